//! HelmRepositories: indexes that the real Helm has made, asked for only when they have changed.

use std::fs;

use anyhow::Result;
use e2e::artifact::download;
use e2e::cluster::User;
use e2e::file_server::FileServer;
use e2e::flux::Client;
use e2e::helm::{helm, package};
use e2e::objects::Look;
use e2e::pki::Ca;
use e2e::process::temp_folder;
use e2e::scenario::{Scenario, Settings};
use e2e::wait::{Not, not_yet};
use serde_json::{Value, json};

const DOCKER_CONFIG: &str = "kubernetes.io/dockerconfigjson";

/// HelmRepository `charts`, with further lines of spec, indented by two.
fn repository(url: &str, more: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {{name: charts}}\nspec:\n  \
         interval: 1h\n  url: {url}\n{more}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_stored_and_fetched_again_when_it_has_changed() -> Result<()> {
    let test = Scenario::with_own_controllers("hr-index", &[]).await?;
    let folder = temp_folder("charts")?;
    package(folder.path(), "app", "1.0.0")?;
    helm(folder.path(), &["repo", "index", "."])?;
    let server = FileServer::start(folder.path(), None).await?;
    test.apply(&repository(&server.url(), "")).await?;
    let first = test.ready("HelmRepository/charts").await?;
    let revision = first.text("/status/artifact/revision").to_owned();
    assert!(revision.starts_with("sha256:"), "{first}");
    let hex = revision.trim_start_matches("sha256:");
    assert!(first.text("/status/artifact/path").ends_with(&format!("/charts/index-{hex}.yaml")), "{first}");
    let text = format!("stored artifact: revision '{revision}'");
    test.condition("HelmRepository/charts", "Ready", "True", "Succeeded", &text).await?;
    test.condition("HelmRepository/charts", "ArtifactInStorage", "True", "Succeeded", &text).await?;
    let index: Value = serde_json::from_slice(&download(&first).await?)?;
    assert_eq!(index["entries"]["app"][0]["version"], "1.0.0");
    assert_eq!(index["entries"]["app"][0]["urls"], json!(["app-1.0.0.tgz"]));

    // Nothing has changed: the server says so, and nothing is written but the request that was handled.
    let (sent, version) =
        (server.count("/index.yaml"), first.text("/status/artifact/lastUpdateTime").to_owned());
    let again = test.run("HelmRepository/charts").await?;
    assert_eq!(again.text("/status/artifact/lastUpdateTime"), version);
    assert_eq!(server.count("/index.yaml"), sent + 1);
    assert_eq!(server.not_modified(), 1);

    package(folder.path(), "app", "1.1.0")?;
    helm(folder.path(), &["repo", "index", "."])?;
    let second = test.run("HelmRepository/charts").await?;
    assert_ne!(second.text("/status/artifact/revision"), revision);
    let index: Value = serde_json::from_slice(&download(&second).await?)?;
    assert_eq!(index["entries"]["app"][0]["version"], "1.1.0");
    test.event("HelmRepository/charts", "Normal", "NewArtifact", "stored fetched index of size ").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_helm_repository_are_told_in_the_words_of_flux() -> Result<()> {
    let test = Scenario::new("hr-faults").await?;
    let folder = temp_folder("charts")?;
    let server = FileServer::start(folder.path(), Some(("me", "hunter2"))).await?;
    test.apply(&repository(&server.url(), "")).await?;
    let fetch =
        "failed to fetch Helm repository index: failed to cache index to temporary file: failed to fetch ";
    let refused = format!("{fetch}{}/index.yaml : 401 Unauthorized", server.url());
    test.condition("HelmRepository/charts", "FetchFailed", "True", "Failed", &refused).await?;

    test.patch("HelmRepository/charts", &json!({"spec": {"secretRef": {"name": "login"}}})).await?;
    let text = format!("failed to get authentication secret '{}/login': ", test.namespace);
    test.condition("HelmRepository/charts", "Ready", "False", "AuthenticationFailed", &text).await?;
    let secret =
        |data: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: login}}\nstringData: {data}\n");
    test.apply(&secret("{username: me}")).await?;
    let half = format!(
        "failed to detect authentication methods: secret '{}/login': malformed basic auth - has 'username' but missing 'password'",
        test.namespace
    );
    test.condition("HelmRepository/charts", "Ready", "False", "AuthenticationFailed", &half).await?;
    test.apply(&secret("{username: me, password: hunter2}")).await?;
    let missing = format!("{fetch}{}/index.yaml : 404 Not Found", server.url());
    test.condition("HelmRepository/charts", "FetchFailed", "True", "Failed", &missing).await?;

    fs::write(folder.path().join("index.yaml"), "apiVersion: v1\nmore: 1\n")?;
    let text = "failed to load Helm repository from index YAML: ";
    test.condition("HelmRepository/charts", "FetchFailed", "True", "IndexationFailed", text).await?;
    fs::write(folder.path().join("index.yaml"), "apiVersion: v1\nentries: {}\n")?;
    test.request("HelmRepository/charts").await?;
    test.ready("HelmRepository/charts").await?;

    test.patch("HelmRepository/charts", &json!({"spec": {"url": "oci://h/charts"}})).await?;
    let text =
        "invalid Helm repository URL: 'oci' URL scheme cannot be used with 'default' HelmRepository type";
    test.condition("HelmRepository/charts", "Stalled", "True", "URLInvalid", text).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_trusted_by_the_certificates_of_its_secrets_and_of_the_system() -> Result<()> {
    let folder = temp_folder("charts")?;
    fs::write(folder.path().join("index.yaml"), "apiVersion: v1\nentries: {}\n")?;
    let (known, unknown) = (Ca::new("system")?, Ca::new("private")?);
    let unknown_pem = unknown.pem().to_owned();
    let bundle = folder.path().join("system.pem");
    fs::write(&bundle, known.pem())?;
    let of_system = FileServer::start_tls(folder.path(), known).await?;
    let private = FileServer::start_tls(folder.path(), unknown).await?;
    let bundle = bundle.display().to_string();
    let settings = Settings { environment: &[("SSL_CERT_FILE", &bundle)], ..Settings::default() };
    let test = Scenario::with_settings("hr-tls", settings).await?;
    let charts = "HelmRepository/charts";
    let secret = |name: &str, data: &Value| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": DOCKER_CONFIG, "stringData": data})
            .to_string()
    };
    let of_docker =
        |ca: &str| secret("docker", &json!({".dockerconfigjson": "{\"auths\":{}}", "caFile": ca}));
    test.apply(&secret("empty", &json!({".dockerconfigjson": "{}"}))).await?;
    test.apply(&repository(&private.url(), "")).await?;
    test.condition(charts, "FetchFailed", "True", "Failed", "invalid peer certificate: UnknownIssuer")
        .await?;
    let ns = &test.namespace;
    for (reference, text) in [
        ("none", format!("failed to get TLS authentication secret '{ns}/none': ")),
        (
            "empty",
            format!(
                "failed to construct Helm client's TLS config: secret '{ns}/empty' must contain either 'ca.crt' or both \
                 'tls.crt' and 'tls.key'"
            ),
        ),
    ] {
        test.patch(charts, &json!({"spec": {"certSecretRef": {"name": reference}}})).await?;
        test.condition(charts, "FetchFailed", "True", "AuthenticationFailed", &text).await?;
    }
    // The deprecated place and the deprecated name, in a Secret that is one for registries.
    test.apply(&of_docker(&unknown_pem)).await?;
    test.patch(charts, &json!({"spec": {"certSecretRef": null, "secretRef": {"name": "docker"}}})).await?;
    test.ready(charts).await?;
    assert_eq!(private.count("/index.yaml"), 1);
    // Certificates of a spec are trusted beside those of the system.
    let both = json!({"url": of_system.url(), "secretRef": null, "certSecretRef": {"name": "docker"}});
    test.patch(charts, &json!({"spec": both})).await?;
    test.ready(charts).await?;
    assert_eq!(of_system.count("/index.yaml"), 1);
    test.apply(&of_docker("garbage")).await?;
    test.request(charts).await?;
    let text = "failed to construct Helm client's TLS config: failed to parse CA certificate: ";
    test.condition(charts, "FetchFailed", "True", "AuthenticationFailed", text).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_becomes_one_of_a_registry_is_left_with_nothing_and_comes_back() -> Result<()> {
    let test = Scenario::with_own_controllers("hr-oci", &[]).await?;
    let folder = temp_folder("charts")?;
    package(folder.path(), "app", "1.0.0")?;
    helm(folder.path(), &["repo", "index", "."])?;
    let server = FileServer::start(folder.path(), None).await?;
    test.apply(&repository(&server.url(), "")).await?;
    let before = test.ready("HelmRepository/charts").await?;
    let oci = json!({"spec": {"url": "oci://127.0.0.1:1/charts", "type": "oci"}});
    test.patch("HelmRepository/charts", &oci).await?;
    test.until("HelmRepository/charts", "has neither finalizer nor status", |object| {
        object["metadata"].get("finalizers").is_none() && object["status"].get("conditions").is_none()
    })
    .await?;
    // Else an alert would tell for ever that it is neither ready nor failed.
    let told = ["customresource_kind=\"HelmRepository\"", "name=\"charts\"", "ready=\"True\""];
    let source = &test.pair()?.source;
    test.wait("it counts as ready", async || {
        match source.metric("gotk_resource_info", &told).await.map_err(not_yet)? {
            1.0 => Ok(()),
            other => Err(Not::Yet(format!("{told:?} is {other}"))),
        }
    })
    .await?;
    assert!(download(&before).await.is_err(), "its artifact is still served");
    let back = json!({"spec": {"url": server.url(), "type": "default"}});
    test.patch("HelmRepository/charts", &back).await?;
    test.ready("HelmRepository/charts").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_creates_and_shows_a_helm_repository() -> Result<()> {
    let test = Scenario::new("hr-flux").await?;
    let folder = temp_folder("charts")?;
    package(folder.path(), "app", "1.0.0")?;
    helm(folder.path(), &["repo", "index", "."])?;
    let server = FileServer::start(folder.path(), None).await?;
    let flux = Client::new(test.cluster.kubeconfig(User::Admin), &test.namespace).await?;
    let url = format!("--url={}", server.url());
    flux.run(&["create", "source", "helm", "charts", &url, "--interval=1h"])?;
    let shown = flux.run(&["get", "sources", "helm", "charts"])?;
    assert!(shown.contains("stored artifact: revision 'sha256:"), "{shown}");
    flux.run(&["reconcile", "source", "helm", "charts"])?;
    flux.run(&["suspend", "source", "helm", "charts"])?;
    flux.run(&["resume", "source", "helm", "charts"])?;
    test.finish().await
}
