//! Sources in an OCI registry: what is asked for is stored, followed and applied.

use std::io::Write;

use anyhow::Result;
use e2e::artifact::{artifact_entries, digest, download};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::{SHARD, Scenario};
use e2e::testkit::config_map;
use flate2::Compression;
use flate2::write::GzEncoder;
use oci::Digest;
use serde_json::{Value, json};

use e2e::registry::{LAYER, PASSWORD, Registry, Setup, USER};

const HELM: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// A layer with these files, as `flux push artifact` writes it.
fn layer(files: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content.as_bytes())?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    Ok(gzip.finish()?)
}

/// OCIRepository `app` for the repository `team/app`, with further lines of spec, indented by two.
fn source(registry: &Registry, more: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {{name: app}}\n\
         spec:\n  interval: 1h\n  url: oci://{}/team/app\n{more}\n",
        registry.address()
    )
}

/// Waits until the source has stored the manifest.
async fn stores(test: &Scenario, manifest: &Digest) -> Result<Value> {
    let manifest = manifest.to_string();
    test.until("OCIRepository/app", &format!("has {manifest}"), |o| {
        o.is_ready() && o.text("/status/artifact/revision").ends_with(&manifest)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_stored_followed_and_applied() -> Result<()> {
    let test = Scenario::new("oci-tag").await?;
    let registry = Registry::start(Setup::default()).await;
    let push = async |value: &str| -> Result<Digest> {
        let map = config_map("map", value);
        let files = [("app/map.yaml", map.as_str()), ("app/logo.png", "no picture"), ("docs/a.md", "text")];
        Ok(registry.pusher().artifact("latest", &[(LAYER, &layer(&files)?)]).await)
    };
    let first = push("1").await?;
    test.apply(&source(&registry, "  ignore: |\n    docs/\n    *.png")).await?;
    let kustomization = test.kustomization_yaml("app", "./app", "").replace("GitRepository", "OCIRepository");
    test.apply(&kustomization).await?;
    let app = stores(&test, &first).await?;
    assert_eq!(app.text("/status/artifact/revision"), format!("latest@{first}"));
    assert!(app.text("/status/artifact/path").ends_with(&format!("/{first}.tar.gz")));
    assert_eq!(artifact_entries(&app).await?, [".", "app", "app/map.yaml"]);
    let metadata = &app["status"]["artifact"]["metadata"];
    assert_eq!(metadata["org.opencontainers.image.revision"], "main@sha1:0123");
    let text = format!("stored artifact for digest 'latest@{first}'");
    test.condition("OCIRepository/app", "Ready", "True", "Succeeded", &text).await?;
    let text = format!(
        "stored artifact with revision 'latest@{first}' from 'oci://{}/team/app', \
         origin source 'https://example.com/repo', origin revision 'main@sha1:0123'",
        registry.address()
    );
    let event = test.event("OCIRepository/app", "Normal", "NewArtifact", &text).await?;
    let annotations = &event["metadata"]["annotations"];
    assert_eq!(annotations["source.toolkit.fluxcd.io/originRevision"], "main@sha1:0123");
    test.until("ConfigMap/map", "is applied", |o| o["data"]["value"] == "1").await?;
    let applied = test.ready("Kustomization/app").await?;
    assert_eq!(applied.text("/status/lastAppliedOriginRevision"), "main@sha1:0123");
    // Nothing new: nothing is written.
    let before = test.run("OCIRepository/app").await?;
    let after = test.run("OCIRepository/app").await?;
    assert_eq!(after["status"]["artifact"], before["status"]["artifact"]);
    let second = push("2").await?;
    test.request("OCIRepository/app").await?;
    stores(&test, &second).await?;
    test.until("ConfigMap/map", "has the new value", |o| o["data"]["value"] == "2").await?;
    // Other rules make another artifact of the same manifest.
    test.patch("OCIRepository/app", &json!({"spec": {"ignore": "*.md\n"}})).await?;
    let app = test
        .until("OCIRepository/app", "observed the rules", |o| {
            o.is_ready() && o["status"]["observedIgnore"] == "*.md\n"
        })
        .await?;
    assert_eq!(artifact_entries(&app).await?, [".", "app", "app/logo.png", "app/map.yaml", "docs"]);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_reference_and_layer_is_found() -> Result<()> {
    let test = Scenario::new("oci-refs").await?;
    let registry = Registry::start(Setup::default()).await;
    let mut pushed = Vec::new();
    for tag in ["1.0.0", "1.2.0", "2.0.0-rc.1", "latest"] {
        let text = layer(&[("tag", tag)])?;
        pushed.push(registry.pusher().artifact(tag, &[(LAYER, &text), (HELM, tag.as_bytes())]).await);
    }
    test.apply(&source(&registry, "")).await?;
    stores(&test, &pushed[3]).await?;
    for (reference, expected, revision) in [
        (json!({"tag": "1.0.0"}), &pushed[0], format!("1.0.0@{}", pushed[0])),
        (json!({"semver": "1.x"}), &pushed[1], format!("1.2.0@{}", pushed[1])),
        (
            json!({"semver": ">=1.0.0-0", "semverFilter": ".*-rc.*"}),
            &pushed[2],
            format!("2.0.0-rc.1@{}", pushed[2]),
        ),
        (json!({"digest": pushed[0].to_string(), "semver": "1.x"}), &pushed[0], pushed[0].to_string()),
    ] {
        test.patch("OCIRepository/app", &json!({"spec": {"ref": null}})).await?;
        test.patch("OCIRepository/app", &json!({"spec": {"ref": reference}})).await?;
        stores(&test, expected).await?;
        let app = test
            .until("OCIRepository/app", &revision, |o| o.text("/status/artifact/revision") == revision)
            .await?;
        download(&app).await?;
    }
    // A layer as it is, whatever it holds.
    let selector = json!({"mediaType": HELM, "operation": "copy"});
    test.patch("OCIRepository/app", &json!({"spec": {"layerSelector": selector}})).await?;
    let app = test
        .until("OCIRepository/app", "has the other layer", |o| {
            o["status"]["observedLayerSelector"] == selector
        })
        .await?;
    assert_eq!(download(&app).await?, b"1.0.0");
    assert_eq!(app.text("/status/artifact/digest"), digest(b"1.0.0"));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_wants_a_password_gets_that_of_the_pull_secret() -> Result<()> {
    let test = Scenario::new("oci-auth").await?;
    let registry = Registry::start(Setup { basic_auth: true, ..Setup::default() }).await;
    let manifest = registry.pusher().artifact("latest", &[(LAYER, &layer(&[("a", "1")])?)]).await;
    test.apply(&source(&registry, "  secretRef: {name: pull}")).await?;
    let fails = async |reason: &str, text: &str| {
        test.condition("OCIRepository/app", "FetchFailed", "True", reason, text).await.map(drop)
    };
    let missing = format!("failed to get credential: failed to get secret '{}/pull': ", test.namespace);
    fails("AuthenticationFailed", &missing).await?;
    let secret = async |password: &str| {
        let auths = json!({"auths": {registry.address(): {"username": USER, "password": password}}});
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": auths.to_string()},
        });
        test.apply(&secret.to_string()).await
    };
    secret("wrong").await?;
    test.request("OCIRepository/app").await?;
    fails("OCIArtifactPullFailed", "UNAUTHORIZED").await?;
    secret(PASSWORD).await?;
    test.request("OCIRepository/app").await?;
    stores(&test, &manifest).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_an_oci_repository_are_told_in_the_words_of_flux() -> Result<()> {
    let test = Scenario::new("oci-faults").await?;
    let registry = Registry::start(Setup::default()).await;
    let manifest = registry.pusher().artifact("latest", &[(LAYER, b"no archive"), (LAYER, b"x")]).await;
    test.apply(&source(&registry, "")).await?;
    let app = "OCIRepository/app";
    let layer_failed = "OCIArtifactLayerOperationFailed";
    let text = "failed to extract layer contents from artifact: requires gzip-compressed body";
    test.condition(app, "FetchFailed", "True", layer_failed, text).await?;
    for (spec, reason, text) in [
        (json!({"ref": {"tag": "none"}}), "OCIArtifactPullFailed", "MANIFEST_UNKNOWN"),
        (json!({"ref": {"semver": "one"}}), "ReadOperationFailed", "semver 'one' parse error: "),
        (json!({"ref": {"semver": "1.x"}}), "ReadOperationFailed", "no match found for semver: 1.x"),
        (
            json!({"ref": {"digest": "sha256:1"}}),
            "OCIArtifactPullFailed",
            "failed to determine artifact digest: ",
        ),
        (
            json!({"ref": null, "layerSelector": {"mediaType": "a/b"}}),
            layer_failed,
            "failed to find layer with media type 'a/b' in artifact",
        ),
    ] {
        test.patch(app, &json!({"spec": spec})).await?;
        test.condition(app, "FetchFailed", "True", reason, text).await?;
    }
    test.patch(app, &json!({"spec": {"url": "oci://127.0.0.1:1/team/app:v1"}})).await?;
    let text = "URL must not contain a tag; remove ':v1'";
    test.condition(app, "Stalled", "True", "URLInvalid", text).await?;
    // What it was asked for before is not lost.
    let url = format!("oci://{}/team/app", registry.address());
    let copied = json!({"url": url, "layerSelector": {"mediaType": null, "operation": "copy"}});
    test.patch(app, &json!({"spec": copied})).await?;
    let source = stores(&test, &manifest).await?;
    assert_eq!(download(&source).await?, b"no archive");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_without_room_for_its_temporary_file_names_the_flag() -> Result<()> {
    let test = Scenario::new("oci-room").await?;
    let selector = test.selector();
    let options = [&*selector, "--oci-temporary-max-size=8192"];
    let _controller = Controller::start(test.cluster, User::SourceController, &options).await?;
    let registry = Registry::start(Setup::default()).await;
    let manifest = registry.pusher().artifact("latest", &[(LAYER, &[b'x'; 4097])]).await;
    let shard = format!("metadata: {{name: app, labels: {{{SHARD}: {}}}}}", test.namespace);
    let source = source(&registry, "  layerSelector: {operation: copy}");
    test.apply(&source.replace("metadata: {name: app}", &shard)).await?;
    let text = "4097 bytes of temporary files exceed the limit of 4096 (half of --oci-temporary-max-size)";
    test.condition("OCIRepository/app", "FetchFailed", "True", "OCIArtifactPullFailed", text).await?;
    let manifest_with_room = registry.pusher().artifact("latest", &[(LAYER, &[b'x'; 4096])]).await;
    assert_ne!(manifest, manifest_with_room);
    test.request("OCIRepository/app").await?;
    stores(&test, &manifest_with_room).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_lets_in_by_its_pull_secrets() -> Result<()> {
    let test = Scenario::new("oci-account").await?;
    let registry = Registry::start(Setup { basic_auth: true, ..Setup::default() }).await;
    let manifest = registry.pusher().artifact("latest", &[(LAYER, &layer(&[("a", "1")])?)]).await;
    test.apply(&source(&registry, "  serviceAccountName: puller\n  provider: gcp")).await?;
    let failed =
        format!("failed to get service account '{}/puller': serviceaccounts \"puller\"", test.namespace);
    let fails = async |text: &str| {
        let text = format!("{failed} {text}");
        test.condition("OCIRepository/app", "FetchFailed", "True", "AuthenticationFailed", &text)
            .await
            .map(drop)
    };
    // The right is one that is opted into.
    fails("is forbidden").await?;
    let group = "rbac.authorization.k8s.io";
    let role = json!({
        "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": "accounts"},
        "rules": [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]}],
    });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "accounts"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "accounts"},
        "subjects": [{"kind": "ServiceAccount", "name": "source-controller", "namespace": "flux-system"}],
    });
    test.apply(&role.to_string()).await?;
    test.apply(&binding.to_string()).await?;
    test.request("OCIRepository/app").await?;
    fails("not found").await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"}});
    test.apply(&account.to_string()).await?;
    test.request("OCIRepository/app").await?;
    // Without pull secrets it is the identity, which a cloud does not give for registries of others.
    let text = format!("invalid GCP registry: '{}'. must match ", registry.address());
    test.condition("OCIRepository/app", "FetchFailed", "True", "OCIArtifactPullFailed", &text).await?;
    let auths = json!({"auths": {registry.address(): {"username": USER, "password": PASSWORD}}});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": auths.to_string()},
    });
    test.apply(&secret.to_string()).await?;
    test.patch("ServiceAccount/puller", &json!({"imagePullSecrets": [{"name": "pull"}]})).await?;
    test.request("OCIRepository/app").await?;
    stores(&test, &manifest).await?;
    test.finish().await
}
