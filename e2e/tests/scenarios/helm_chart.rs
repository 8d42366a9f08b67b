//! HelmCharts: packaged from directories of a GitRepository, pulled from registries and HTTP servers that the real Helm has filled.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use e2e::artifact::{digest, download};
use e2e::cluster::User;
use e2e::file_server::FileServer;
use e2e::flux::Client;
use e2e::helm::{helm, package};
use e2e::objects::Look;
use e2e::pki::Ca;
use e2e::process::{output, temp_folder};
use e2e::registry::{PASSWORD, Registry, Setup, USER};
use e2e::repository::Repository;
use e2e::scenario::Scenario;
use serde_json::{Value, json};

const APP: &str = "apiVersion: v2\nname: app\nversion: 1.2.3\n";

/// HelmChart `name` of a source, with further lines of spec, indented by two.
pub fn chart(name: &str, chart: &str, kind: &str, source: &str, more: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmChart\nmetadata: {{name: {name}}}\nspec:\n  interval: 1h\n  \
         chart: {chart}\n  sourceRef: {{kind: {kind}, name: {source}}}\n{more}\n"
    )
}

/// HelmRepository `name` of the type oci.
fn registry_yaml(name: &str, registry: &Registry, more: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {{name: {name}}}\nspec:\n  type: oci\n  \
         url: oci://{}/charts\n{more}\n",
        registry.address()
    )
}

/// Has Helm push an archive to `oci://<registry>/charts`.
fn push(folder: &Path, archive: &str, registry: &Registry) -> Result<()> {
    helm(folder, &["push", archive, &format!("oci://{}/charts", registry.address()), "--plain-http"])?;
    Ok(())
}

fn commit_app(repo: &Repository) -> Result<String> {
    repo.write("charts/app/Chart.yaml", APP)?;
    repo.write("charts/app/values.yaml", "replicas: 1\nimage: {tag: a, name: b}\n")?;
    repo.write("charts/app/templates/map.yaml", "kind: ConfigMap\n")?;
    repo.write("charts/app/.helmignore", "*.bak\n")?;
    repo.write("charts/app/old.bak", "no")?;
    repo.write("values/prod.yaml", "replicas: 3\nimage: {tag: null}\n")?;
    repo.commit("chart")
}

/// What Helm says of the chart that is served.
async fn shown(object: &Value, what: &str) -> Result<String> {
    let folder = temp_folder("chart")?;
    fs::write(folder.path().join("chart.tgz"), download(object).await?)?;
    helm(folder.path(), &["show", what, "chart.tgz"])
}

pub async fn stored(test: &Scenario, name: &str, version: &str) -> Result<Value> {
    test.until(name, &format!("has version {version}"), |object| {
        object.is_ready() && object.text("/status/artifact/revision") == version
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_packaged_from_a_directory_of_a_repository() -> Result<()> {
    let test = Scenario::with_own_controllers("hc-git", &[]).await?;
    let first = commit_app(&test.repo)?;
    test.apply(&chart("app", "./charts/app", "GitRepository", "app", "")).await?;
    let missing = "failed to get source: GitRepository.source.toolkit.fluxcd.io \"app\" not found";
    test.condition("HelmChart/app", "FetchFailed", "True", "SourceUnavailable", missing).await?;
    test.apply_source().await?;
    // The source wakes its chart.
    let app = stored(&test, "HelmChart/app", "1.2.3").await?;
    assert_eq!(app.text("/status/observedChartName"), "app");
    assert_eq!(app.text("/status/observedSourceArtifactRevision"), format!("main@sha1:{first}"));
    assert!(app.text("/status/artifact/path").ends_with("/app/app-1.2.3.tgz"), "{app}");
    let summary = "packaged 'app' chart with version '1.2.3'";
    test.condition("HelmChart/app", "Ready", "True", "ChartPackageSucceeded", summary).await?;
    test.condition("HelmChart/app", "ArtifactInStorage", "True", "ChartPackageSucceeded", summary).await?;
    test.event("HelmChart/app", "Normal", "ChartPackageSucceeded", summary).await?;
    assert!(shown(&app, "chart").await?.contains("version: 1.2.3"));
    // Another commit without another version makes no other artifact, and writes nothing.
    let version = |object: &Value| object.text("/metadata/resourceVersion").to_owned();
    let before = test.run("HelmChart/app").await?;
    test.repo.commit_file("charts/app/templates/new.yaml", "kind: Secret\n")?;
    test.run("GitRepository/app").await?;
    test.idle().await?;
    assert_eq!(version(&test.get("HelmChart/app").await?), version(&before));
    // Values of its own.
    let values = json!({"spec": {"valuesFiles": ["charts/app/values.yaml", "values/prod.yaml", "no.yaml"],
        "ignoreMissingValuesFiles": true}});
    test.patch("HelmChart/app", &values).await?;
    let app = stored(&test, "HelmChart/app", "1.2.3+2").await?;
    assert_eq!(shown(&app, "values").await?.trim(), "image:\n  name: b\n  tag: null\nreplicas: 3");
    assert_eq!(app["status"]["observedValuesFiles"], json!(["charts/app/values.yaml", "values/prod.yaml"]));
    let summary = "packaged 'app' chart with version '1.2.3+2' and merged values files \
                   [charts/app/values.yaml values/prod.yaml]";
    test.condition("HelmChart/app", "Ready", "True", "ChartPackageSucceeded", summary).await?;
    // Each revision is another version.
    test.patch("HelmChart/app", &json!({"spec": {"reconcileStrategy": "Revision", "valuesFiles": null}}))
        .await?;
    let short = |commit: &str| commit.get(..12).unwrap_or_default().to_owned();
    let head = test.repo.head()?;
    stored(&test, "HelmChart/app", &format!("1.2.3+{}", short(&head))).await?;
    let next = test.repo.commit_file("other", "x")?;
    test.request("GitRepository/app").await?;
    let app = stored(&test, "HelmChart/app", &format!("1.2.3+{}", short(&next))).await?;
    assert_eq!(app["status"]["observedValuesFiles"], Value::Null);
    // One that cannot be made leaves what there is, and tells what it would be.
    let none = json!({"spec": {"valuesFiles": ["none.yaml"], "ignoreMissingValuesFiles": false}});
    test.patch("HelmChart/app", &none).await?;
    let failed =
        "values files merge error: no values file found at path '/none.yaml' (reference 'none.yaml')";
    test.condition("HelmChart/app", "BuildFailed", "True", "ValuesFilesError", failed).await?;
    let version = format!("1.2.3+{}.", short(&next));
    let news = format!("new 'app' chart with version '{version}");
    test.condition("HelmChart/app", "ArtifactOutdated", "True", "NewChart", &news).await?;
    assert_eq!(test.get("HelmChart/app").await?["status"]["artifact"], app["status"]["artifact"]);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn dependencies_come_from_the_same_source_from_http_and_from_registries() -> Result<()> {
    let test = Scenario::new("hc-deps").await?;
    let (folder, registry) = (temp_folder("charts")?, Registry::start(Setup::default()).await);
    for version in ["1.0.0", "1.1.0", "2.0.0"] {
        package(folder.path(), "cache", version)?;
        let archive = package(folder.path(), "queue", version)?;
        push(folder.path(), &archive, &registry)?;
    }
    helm(folder.path(), &["repo", "index", "."])?;
    let server = FileServer::start(folder.path(), None).await?;
    let dependencies = format!(
        "dependencies:\n- {{name: lib, version: 0.x, repository: \"file://../lib\", alias: base}}\n\
         - {{name: cache, version: ^1, repository: \"{}\"}}\n\
         - {{name: queue, version: 1.0.0, repository: \"oci://{}/charts\"}}\n",
        server.url(),
        registry.address()
    );
    commit_app(&test.repo)?;
    test.repo.write("charts/lib/Chart.yaml", "apiVersion: v2\nname: lib\nversion: 0.4.0\ntype: library\n")?;
    test.repo.commit_file("charts/app/Chart.yaml", &format!("{APP}{dependencies}"))?;
    test.apply_source().await?;
    test.apply(&chart("app", "charts/app", "GitRepository", "app", "")).await?;
    let app = stored(&test, "HelmChart/app", "1.2.3").await?;
    let folder_of = temp_folder("unpacked")?;
    let file = folder_of.path().join("app.tgz");
    fs::write(&file, download(&app).await?)?;
    output(Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(folder_of.path()))?;
    let version = |name: &str| -> Result<String> {
        let text = fs::read_to_string(folder_of.path().join(format!("app/charts/{name}/Chart.yaml")))?;
        Ok(text.lines().find_map(|line| line.strip_prefix("version: ")).unwrap_or_default().to_owned())
    };
    assert_eq!(version("base")?, "0.4.0");
    assert_eq!(version("cache")?, "1.1.0");
    assert_eq!(version("queue")?, "1.0.0");
    // A chart that is made anew takes what was pulled.
    test.repo
        .commit_file("charts/app/Chart.yaml", &format!("{}{dependencies}", APP.replace("1.2.3", "1.2.4")))?;
    test.request("GitRepository/app").await?;
    stored(&test, "HelmChart/app", "1.2.4").await?;
    assert_eq!(server.count("/cache-1.1.0.tgz"), 1);
    // A lock file pins versions.
    let lock = format!(
        "generated: \"2024-01-02T03:04:05Z\"\ndigest: d\ndependencies:\n\
         - {{name: cache, version: 1.0.0, repository: \"{}\"}}\n",
        server.url()
    );
    test.repo.write("charts/app/Chart.lock", &lock)?;
    test.repo
        .commit_file("charts/app/Chart.yaml", &format!("{}{dependencies}", APP.replace("1.2.3", "1.2.5")))?;
    test.request("GitRepository/app").await?;
    let app = stored(&test, "HelmChart/app", "1.2.5").await?;
    fs::write(&file, download(&app).await?)?;
    let names = output(Command::new("tar").arg("-tzf").arg(&file))?;
    ensure!(names.contains("app/charts/cache/Chart.yaml") && !names.contains("queue"), "{names}");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_of_a_registry_is_followed_and_pulled_once() -> Result<()> {
    let test = Scenario::new("hc-oci").await?;
    let (folder, registry) = (temp_folder("charts")?, Registry::start(Setup::default()).await);
    let archive = package(folder.path(), "app", "1.0.0")?;
    push(folder.path(), &archive, &registry)?;
    test.apply(&registry_yaml("charts", &registry, "")).await?;
    test.apply(&chart("app", "app", "HelmRepository", "charts", "  version: 1.x")).await?;
    let app = stored(&test, "HelmChart/app", "1.0.0").await?;
    assert_eq!(app.text("/status/artifact/digest"), digest(&fs::read(folder.path().join(&archive))?));
    let summary = "pulled 'app' chart with version '1.0.0'";
    test.condition("HelmChart/app", "Ready", "True", "ChartPullSucceeded", summary).await?;
    test.event("HelmChart/app", "Normal", "ChartPullSucceeded", summary).await?;
    let before = test.run("HelmChart/app").await?;
    let after = test.run("HelmChart/app").await?;
    assert_eq!(after["status"]["artifact"], before["status"]["artifact"]);
    let archive = package(folder.path(), "app", "1.1.0")?;
    push(folder.path(), &archive, &registry)?;
    test.request("HelmChart/app").await?;
    stored(&test, "HelmChart/app", "1.1.0").await?;
    let values = json!({"spec": {"valuesFiles": ["values.yaml", "values-prod.yaml"]}});
    test.patch("HelmChart/app", &values).await?;
    let app = stored(&test, "HelmChart/app", "1.1.0+2").await?;
    assert_eq!(shown(&app, "values").await?.trim(), "name: default\nreplicas: 3");
    // A version that nobody has pushed yet is looked for again without being asked for.
    test.patch("HelmChart/app", &json!({"spec": {"version": "2.x", "valuesFiles": null}})).await?;
    let none = "chart pull error: failed to get chart version for remote reference: could not locate a version matching \
                provided version string 2.x";
    test.condition("HelmChart/app", "FetchFailed", "True", "ChartPullError", none).await?;
    assert_eq!(test.get("HelmChart/app").await?.condition("Stalled"), None);
    let archive = package(folder.path(), "app", "2.0.0")?;
    push(folder.path(), &archive, &registry)?;
    stored(&test, "HelmChart/app", "2.0.0").await?;
    // A version that is told exactly is asked for no more than once: the registry may go.
    test.patch("HelmChart/app", &json!({"spec": {"version": "1.0.0"}})).await?;
    stored(&test, "HelmChart/app", "1.0.0").await?;
    drop(registry);
    let app = test.run("HelmChart/app").await?;
    ensure!(app.is_ready(), "{app}");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_asks_who_it_is_lets_in_who_has_the_secret() -> Result<()> {
    let test = Scenario::new("hc-auth").await?;
    let (folder, registry) =
        (temp_folder("charts")?, Registry::start(Setup { basic_auth: true, ..Setup::default() }).await);
    let archive = package(folder.path(), "app", "1.0.0")?;
    let login = ["registry", "login", &registry.address(), "-u", USER, "-p", PASSWORD, "--plain-http"];
    helm(folder.path(), &login)?;
    push(folder.path(), &archive, &registry)?;
    test.apply(&registry_yaml("charts", &registry, "")).await?;
    test.apply(&chart("app", "app", "HelmRepository", "charts", "  version: 1.0.0")).await?;
    let refused = "unknown build error: failed to authenticate with the Helm repository: chart pull error: \
                   failed to download chart for remote reference: failed to get 'oci://";
    test.condition("HelmChart/app", "FetchFailed", "True", "Unknown", refused).await?;
    test.event("HelmChart/app", "Warning", "AuthenticationFailed", "failed to authenticate").await?;
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: user}}\nstringData: {{username: {USER}, password: {PASSWORD}}}\n"
    );
    test.patch("HelmRepository/charts", &json!({"spec": {"secretRef": {"name": "user"}}})).await?;
    test.request("HelmChart/app").await?;
    let missing =
        format!("unknown build error: failed to get authentication secret '{}/user': ", test.namespace);
    test.condition("HelmChart/app", "FetchFailed", "True", "Unknown", &missing).await?;
    test.apply(&secret).await?;
    test.request("HelmChart/app").await?;
    stored(&test, "HelmChart/app", "1.0.0").await?;
    let audit = test.cluster.audit();
    test.run("HelmChart/app").await?;
    if let Some(audit) = audit {
        let mut reads = audit.requests(User::SourceController, &test.namespace)?;
        reads.retain(|request| request.resource == "secrets");
        assert_eq!(reads.len(), 1, "{reads:?}");
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_chart_is_told_in_the_words_of_flux() -> Result<()> {
    let test = Scenario::new("hc-faults").await?;
    commit_app(&test.repo)?;
    let bad = |dependency: &str| format!("{APP}dependencies: [{dependency}]\n");
    for (path, text) in [
        ("bad/name/Chart.yaml", "apiVersion: v2\nversion: 1.0.0\n".to_owned()),
        ("bad/local/Chart.yaml", bad("{name: x, version: 1.x, repository: \"file://../no\"}")),
        ("bad/alias/Chart.yaml", bad("{name: x, version: 1.x, repository: \"@stable\"}")),
        ("bad/loop/Chart.yaml", bad("{name: app, version: 1.x, repository: \"file://../../bad/loop\"}")),
        ("bad/schema/Chart.yaml", APP.to_owned()),
        ("bad/schema/values.schema.json", "{".to_owned()),
        ("bad/values/Chart.yaml", APP.to_owned()),
        ("bad/values/values.yaml", "- 1\n".to_owned()),
    ] {
        test.repo.write(path, &text)?;
    }
    // A link that leads out of the source.
    let link = test.repo.git(&["hash-object", "-w", "values/prod.yaml"])?;
    let link = format!("120000,{},charts/app/link.yaml", link.trim());
    test.repo.commit("bad charts")?;
    test.repo.git(&["update-index", "--add", "--cacheinfo", &link])?;
    test.repo.git(&["commit", "-q", "-m", "link"])?;
    test.repo.git(&["push", "-q", "origin", "HEAD"])?;
    test.apply_source().await?;
    let of = |path: &str, more: &str| chart("app", path, "GitRepository", "app", more);
    for (path, more, condition, reason, message, stalls) in [
        (
            "no",
            "",
            "FetchFailed",
            "InvalidChartReference",
            "invalid chart reference: stat no: no such file or directory",
            true,
        ),
        (
            "bad/name",
            "",
            "FetchFailed",
            "InvalidChartReference",
            "invalid chart reference: validation: chart.metadata.name is required",
            true,
        ),
        (
            "charts/app",
            "  valuesFiles: [../../no.yaml]",
            "BuildFailed",
            "ValuesFilesError",
            "values files merge error: no values file found at path '/no.yaml' (reference '../../no.yaml')",
            true,
        ),
        (
            "charts/app",
            "  valuesFiles: [charts/app/link.yaml]",
            "BuildFailed",
            "ValuesFilesError",
            "values files merge error: no values file found at path '/charts/app/link.yaml' (reference 'charts/app/link.yaml')",
            true,
        ),
        (
            "bad/local",
            "",
            "BuildFailed",
            "DependencyBuildError",
            "dependency build error: failed to add local dependency 'x': no chart found at '/bad/no' (reference 'file://../no')",
            false,
        ),
        (
            "bad/alias",
            "",
            "BuildFailed",
            "DependencyBuildError",
            "dependency build error: failed to add remote dependency 'x': aliased repository dependency is not supported: @stable",
            false,
        ),
        (
            "bad/schema",
            "",
            "BuildFailed",
            "ChartPackageError",
            "chart package error: failed to package chart: invalid JSON in values.schema.json",
            false,
        ),
        (
            "bad/values",
            "",
            "BuildFailed",
            "ChartPackageError",
            "chart package error: failed to load chart from /bad/values/: cannot load values.yaml: ",
            false,
        ),
    ] {
        test.apply(&of(path, more)).await?;
        let told = test.condition("HelmChart/app", condition, "True", reason, message).await;
        told.map_err(|error| error.context(format!("{path}: {message}")))?;
        let ready = test.condition("HelmChart/app", "Ready", "False", reason, message).await?;
        let app = test.get("HelmChart/app").await?;
        let other = if condition == "FetchFailed" { "BuildFailed" } else { "FetchFailed" };
        ensure!(app.condition(other).is_none(), "{path}: {app}");
        ensure!(app.condition("Stalled").is_some() == stalls, "{path}: {ready:?}");
        test.kubectl(&["delete", "helmchart", "app"])?;
        test.gone("HelmChart/app").await?;
    }
    // A chart that depends on itself is in itself once.
    test.apply(&of("bad/loop", "")).await?;
    stored(&test, "HelmChart/app", "1.2.3").await?;
    // Who has to have signed it must be said.
    test.apply(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: charts}\nspec: {type: oci, \
         url: 'oci://127.0.0.1:1/charts'}\n",
    )
    .await?;
    test.apply(&chart("signed", "app", "HelmRepository", "charts", "  verify: {provider: notation}")).await?;
    let empty = "failed to verify the signature using provider 'notation': verification secret cannot be empty: \
                 '127.0.0.1:1/charts/app'";
    test.condition("HelmChart/signed", "SourceVerified", "False", "VerificationError", empty).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_flux_makes_and_lists_charts() -> Result<()> {
    let test = Scenario::new("hc-flux").await?;
    commit_app(&test.repo)?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    let flux = Client::new(test.cluster.kubeconfig(e2e::cluster::User::Admin), &test.namespace).await?;
    flux.run(&[
        "create",
        "source",
        "chart",
        "made",
        "--source=GitRepository/app",
        "--chart=charts/app",
        "--interval=1h",
    ])?;
    stored(&test, "HelmChart/made", "1.2.3").await?;
    let table = flux.table(&["get", "sources", "chart"])?;
    let row =
        ["made", "1.2.3", "False", "True", "packaged 'app' chart with version '1.2.3'"].map(str::to_owned);
    ensure!(table.contains(&row.to_vec()), "{table:?}");
    flux.run(&["reconcile", "source", "chart", "made"])?;
    flux.run(&["delete", "source", "chart", "made", "--silent"])?;
    test.gone("HelmChart/made").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_of_an_index_follow_it_and_share_what_they_pull() -> Result<()> {
    let test = Scenario::with_own_controllers("hc-index", &[]).await?;
    let folder = temp_folder("charts")?;
    for (name, version) in [("app", "1.0.0"), ("app", "1.1.0"), ("app", "2.0.0-rc.1"), ("other", "0.1.0")] {
        package(folder.path(), name, version)?;
    }
    helm(folder.path(), &["repo", "index", "."])?;
    let server = FileServer::start(folder.path(), None).await?;
    let repository = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {{name: charts}}\nspec:\n  interval: 1h\n  \
         url: {}\n",
        server.url()
    );
    let of = |name: &str, more: &str| chart(name, "app", "HelmRepository", "charts", more);
    test.apply(&of("latest", "")).await?;
    test.apply(&repository.replace("interval: 1h", "interval: 1h\n  suspend: true")).await?;
    let unfetched = "no artifact available for HelmRepository source 'charts'";
    test.condition("HelmChart/latest", "FetchFailed", "True", "NoSourceArtifact", unfetched).await?;
    test.apply(&repository).await?;
    test.patch("HelmRepository/charts", &json!({"spec": {"suspend": false}})).await?;
    let latest = stored(&test, "HelmChart/latest", "1.1.0").await?;
    let archive = fs::read(folder.path().join("app-1.1.0.tgz"))?;
    assert_eq!(latest.text("/status/artifact/digest"), digest(&archive));
    for number in 0..5 {
        test.apply(&of(&format!("same-{number}"), "  version: \"<2\"")).await?;
    }
    test.apply(&of("exact", "  version: 2.0.0-rc.1")).await?;
    test.apply(&of("future", "  version: 3.x")).await?;
    test.apply(&chart("other", "other", "HelmRepository", "charts", "")).await?;
    test.apply(&chart("none", "none", "HelmRepository", "charts", "")).await?;
    for number in 0..5 {
        stored(&test, &format!("HelmChart/same-{number}"), "1.1.0").await?;
    }
    assert_eq!(server.count("/app-1.1.0.tgz"), 1, "all charts of a version are one download");
    stored(&test, "HelmChart/exact", "2.0.0-rc.1").await?;
    let other = stored(&test, "HelmChart/other", "0.1.0").await?;
    let what = "invalid chart reference: failed to get chart version for remote reference: ";
    let message = format!("{what}no 'app' chart with version matching '3.x' found");
    test.condition("HelmChart/future", "Stalled", "True", "InvalidChartReference", &message).await?;
    let message = format!("{what}no chart name found");
    test.condition("HelmChart/none", "FetchFailed", "True", "InvalidChartReference", &message).await?;
    // A new index wakes charts that are stalled, and others write nothing.
    package(folder.path(), "app", "3.0.0")?;
    helm(folder.path(), &["repo", "index", "."])?;
    test.request("HelmRepository/charts").await?;
    stored(&test, "HelmChart/future", "3.0.0").await?;
    stored(&test, "HelmChart/latest", "3.0.0").await?;
    test.idle().await?;
    let after = test.get("HelmChart/other").await?;
    assert_eq!(after["metadata"]["resourceVersion"], other["metadata"]["resourceVersion"]);
    assert_eq!(server.count("/other-0.1.0.tgz"), 1);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_a_repository_are_for_its_host_unless_they_are_to_be_passed_on() -> Result<()> {
    let test = Scenario::new("hc-foreign").await?;
    let (folder, user) = (temp_folder("charts")?, Some(("me", "hunter2")));
    for name in ["app", "cache"] {
        package(folder.path(), name, "1.0.0")?;
    }
    let [server, foreign] =
        [FileServer::start(folder.path(), user).await?, FileServer::start(folder.path(), user).await?];
    // What is in the index leads to the other host.
    helm(folder.path(), &["repo", "index", ".", "--url", &foreign.url()])?;
    test.apply(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {username: me, password: hunter2}\n",
    )
    .await?;
    let repository = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {{name: charts}}\nspec:\n  interval: 1h\n  \
         url: {}\n  secretRef: {{name: login}}\n",
        server.url()
    );
    test.apply(&repository).await?;
    test.apply(&chart("app", "app", "HelmRepository", "charts", "")).await?;
    let refused = format!(
        "unknown build error: failed to authenticate with the Helm repository: chart pull error: failed to download chart for \
         remote reference: failed to fetch {}/app-1.0.0.tgz : 401 Unauthorized",
        foreign.url()
    );
    test.condition("HelmChart/app", "FetchFailed", "True", "Unknown", &refused).await?;
    test.patch("HelmRepository/charts", &json!({"spec": {"passCredentials": true}})).await?;
    test.request("HelmChart/app").await?;
    stored(&test, "HelmChart/app", "1.0.0").await?;

    // A dependency has the credentials of the HelmRepository with its address, and no others.
    let dependent =
        format!("{APP}dependencies: [{{name: cache, version: 1.x, repository: \"{}/\"}}]\n", server.url());
    test.repo.commit_file("charts/app/Chart.yaml", &dependent)?;
    test.apply_source().await?;
    test.apply(&chart("dependent", "charts/app", "GitRepository", "app", "")).await?;
    stored(&test, "HelmChart/dependent", "1.2.3").await?;
    test.kubectl(&["delete", "helmrepository", "charts"])?;
    test.repo.commit_file("charts/app/Chart.yaml", &dependent.replace("1.2.3", "1.2.4"))?;
    test.request("GitRepository/app").await?;
    let refused = format!("failed to fetch {}/index.yaml : 401 Unauthorized", server.url());
    let message = test
        .condition("HelmChart/dependent", "Ready", "False", "DependencyBuildError", &refused)
        .await?
        .message;
    let head = format!(
        "dependency build error: failed to add remote dependency 'cache': failed to get chart repository for URL '{}/': ",
        server.url()
    );
    ensure!(message.starts_with(&head), "{message}");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_wants_a_certificate_is_shown_that_of_the_secret() -> Result<()> {
    let test = Scenario::new("hc-tls").await?;
    let (folder, ca) = (temp_folder("charts")?, Ca::new("registry")?);
    let setup = Setup { tls: Some(&ca), client_certificates: true, ..Setup::default() };
    let registry = Registry::start(setup).await;
    let identity = ca.issue(&["client"])?;
    for (name, pem) in [("ca.crt", ca.pem()), ("tls.crt", &identity.certificate), ("tls.key", &identity.key)]
    {
        fs::write(folder.path().join(name), pem)?;
    }
    let archive = package(folder.path(), "app", "1.0.0")?;
    let place = format!("oci://{}/charts", registry.address());
    let shown = ["--ca-file", "ca.crt", "--cert-file", "tls.crt", "--key-file", "tls.key"];
    helm(folder.path(), &[&["push", &archive, &place], &shown[..]].concat())?;
    let secret = |data: Value| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "stringData": data})
            .to_string()
    };
    test.apply(&registry_yaml("charts", &registry, "  certSecretRef: {name: tls}")).await?;
    test.apply(&chart("app", "app", "HelmRepository", "charts", "  version: 1.0.0")).await?;
    let fails = async |text: &str| {
        let text = format!("unknown build error: {text}");
        test.condition("HelmChart/app", "FetchFailed", "True", "Unknown", &text).await.map(drop)
    };
    fails(&format!("failed to get TLS authentication secret '{}/tls': ", test.namespace)).await?;
    for (data, text) in [
        (
            json!({"ca.crt": "garbage"}),
            "failed to construct Helm client's TLS config: failed to parse CA certificate: ",
        ),
        (json!({"ca.crt": ca.pem()}), "failed to authenticate with the Helm repository: chart pull error: "),
    ] {
        test.apply(&secret(data)).await?;
        test.request("HelmChart/app").await?;
        fails(text).await?;
    }
    let whole = json!({"ca.crt": ca.pem(), "tls.crt": identity.certificate, "tls.key": identity.key});
    test.apply(&secret(whole)).await?;
    test.request("HelmChart/app").await?;
    stored(&test, "HelmChart/app", "1.0.0").await?;
    test.finish().await
}
