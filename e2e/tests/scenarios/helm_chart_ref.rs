//! `spec.chartRef`: charts of HelmCharts, OCIRepositories and ExternalArtifacts, and the versions they get.

use std::fs;

use anyhow::{Context, Result, ensure};
use artifact::digest::{Algorithm, Hasher};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::helm::helm;
use e2e::objects::Look;
use e2e::registry::{Pusher, Registry, Setup};
use e2e::token_server::TokenServer;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::external_artifact::{know, publish};
use crate::helm_release::{Helm, MAP, RELEASE};

/// A folder where Helm packages a chart and pushes it to `charts/app` of the registry.
pub fn push(folder: &TempDir, registry: &Registry, version: &str, text: &str) -> Result<()> {
    let source = folder.path().join("app");
    fs::create_dir_all(source.join("templates"))?;
    fs::write(
        source.join("Chart.yaml"),
        format!("apiVersion: v2\nname: app\nversion: {version}\nappVersion: \"7\"\n"),
    )?;
    fs::write(source.join("values.yaml"), format!("text: {text}\n"))?;
    fs::write(source.join("templates/map.yaml"), MAP)?;
    helm(folder.path(), &["package", "app"])?;
    let (archive, place) = (format!("app-{version}.tgz"), format!("oci://{}/charts", registry.address()));
    helm(folder.path(), &["push", &archive, &place, "--plain-http"])?;
    Ok(())
}

fn repository(registry: &Registry, tag: &str) -> Value {
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "metadata": {"name": "app"},
        "spec": {
            "interval": "1h", "url": format!("oci://{}/charts/app", registry.address()), "ref": {"tag": tag},
            "layerSelector": {"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "operation": "copy"},
        },
    })
}

fn of(kind: &str, name: &str) -> Value {
    json!({"chart": null, "chartRef": {"kind": kind, "name": name}})
}

/// The chart version of a release that is ready, as its history has it.
pub async fn version_of(helm: &Helm, message: &str, begin: &str) -> Result<(String, Value)> {
    let release = helm.ready(message).await?;
    let version = release.text("/status/history/0/chartVersion").to_owned();
    ensure!(version.starts_with(begin), "{version} of {release}");
    Ok((version, release))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_of_a_registry_is_upgraded_when_its_tag_moves() -> Result<()> {
    let helm = Helm::shared("helm-oci").await?;
    let (test, folder, registry) =
        (&helm.test, tempfile::tempdir()?, Registry::start(Setup::default()).await);
    // In a tag `+` is `_`.
    push(&folder, &registry, "1.0.0+b1", "one")?;
    test.apply(&repository(&registry, "1.0.0_b1").to_string()).await?;
    helm.release(&of("OCIRepository", "app")).await?;
    let (first, release) = version_of(&helm, "app.v1 with chart", "1.0.0+").await?;
    let source = test.get("OCIRepository/app").await?;
    let revision = source.text("/status/artifact/revision").to_owned();
    let digest = revision.split_once('@').map(|(_, digest)| digest.to_owned()).unwrap_or_default();
    ensure!(first == format!("1.0.0+{}", &digest["sha256:".len()..][..12]), "{first} of {revision}");
    ensure!(
        release.text("/status/history/0/ociDigest") == digest
            && release.text("/status/lastAttemptedRevisionDigest") == digest,
        "{release}"
    );
    ensure!(
        release.text("/status/lastAttemptedRevision") == first
            && release.text("/status/helmChart").is_empty(),
        "{release}"
    );
    let event = test.event(RELEASE, "Normal", "InstallSucceeded", &first).await?;
    let annotation = |event: &Value, name: &str| {
        event["metadata"]["annotations"][format!("helm.toolkit.fluxcd.io/{name}")].clone()
    };
    ensure!(
        annotation(&event, "oci-digest") == digest && annotation(&event, "app-version") == "7",
        "{event}"
    );
    ensure!(helm.text().await? == "one");

    push(&folder, &registry, "1.0.0+b1", "two")?;
    test.request("OCIRepository/app").await?;
    let (second, _) = version_of(&helm, "app.v2 with chart", "1.0.0+").await?;
    ensure!(second != first && helm.text().await? == "two", "{second}");
    let listed = helm.helm(&["list"])?;
    ensure!(listed[0].text("/chart") == format!("app-{second}"), "{listed}");
    // What was attempted is not attempted again by what the source says of it.
    test.run("OCIRepository/app").await?;
    test.run(RELEASE).await?;
    ensure!(helm.version().await? == 2);

    // A tag that says another version than the chart.
    let pusher = registry.pusher();
    let pusher = Pusher { url: pusher.url.replace("team/app", "charts/app"), ..pusher };
    let manifest = pusher.get("1.0.0_b1").await;
    pusher.manifest("2.0.0", "application/vnd.oci.image.manifest.v1+json", &manifest).await;
    test.apply(&repository(&registry, "2.0.0").to_string()).await?;
    let text = "artifact revision 2.0.0 does not match chart version 1.0.0+b1";
    helm.says("Ready", "False", "ChartMutateError", text).await?;
    test.event(RELEASE, "Warning", "ChartMutateError", text).await?;
    // One that says none is not compared.
    pusher.manifest("newest", "application/vnd.oci.image.manifest.v1+json", &manifest).await;
    test.apply(&repository(&registry, "newest").to_string()).await?;
    let (version, _) = version_of(&helm, "app.v2 with chart", "1.0.0+").await?;
    ensure!(version == second, "{version} is the same content");

    // A source that fails says why, for the release.
    test.apply(&repository(&registry, "absent").to_string()).await?;
    let failed = |source: &Value| source.condition("Ready").is_some_and(|ready| ready.status == "False");
    let source = test.until("OCIRepository/app", "has failed", failed).await?;
    let why = source.condition("Ready").context("seen")?.message;
    test.request(RELEASE).await?;
    let text = format!("OCIRepository '{}/app' is not ready: {why}", test.namespace);
    helm.says("Ready", "False", "SourceNotReady", &text).await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_of_others_are_followed_and_switched_between() -> Result<()> {
    let mut helm = Helm::new("helm-ref", &["--feature-gates=ExternalArtifact=false"]).await?;
    know(&helm.test, "ExternalArtifact", "externalartifacts").await?;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    helm.test.apply_source().await?;
    helm.release(&json!({})).await?;
    helm.ready("app.v1 with chart app@1.0.0").await?;
    let made = format!("HelmChart/{}-app", helm.test.namespace);

    // A HelmChart that others made; the one that was made goes.
    let chart = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmChart", "metadata": {"name": "mine"},
        "spec": {"chart": "./chart", "interval": "1h", "sourceRef": {"kind": "GitRepository", "name": "app"}, "reconcileStrategy": "ChartVersion"},
    });
    let missing = "could not get Source object: ";
    helm.test.patch(RELEASE, &json!({"spec": of("HelmChart", "mine")})).await?;
    helm.says("Ready", "False", "ArtifactFailed", missing).await?;
    helm.test.apply(&chart.to_string()).await?;
    // The version is another one: this chart has no commit in it.
    let (version, _) = version_of(&helm, "app.v2 with chart", "1.0.0").await?;
    ensure!(version == "1.0.0", "{version}");
    helm.test.gone(&made).await?;
    let text = format!("deleted HelmChart '{}/{}-app'", helm.test.namespace, helm.test.namespace);
    helm.test.event(RELEASE, "Normal", "HelmChartDeleted", &text).await?;

    // Other content under the same version: the source does not take it, and nothing happens.
    helm.commit_chart("1.0.0", &[("map.yaml", &MAP.replace("text: \"", "text: \"other "))])?;
    helm.test.run("GitRepository/app").await?;
    helm.test.run("HelmChart/mine").await?;
    helm.test.run(RELEASE).await?;
    ensure!(helm.version().await? == 2 && helm.text().await? == "default");

    // ExternalArtifacts need their gate.
    let artifact = helm.test.get("HelmChart/mine").await?["status"]["artifact"].clone();
    publish(&helm.test, "ExternalArtifact", &artifact).await?;
    helm.test.patch(RELEASE, &json!({"spec": of("ExternalArtifact", "app")})).await?;
    let text = format!(
        "can't access 'ExternalArtifact/{}/app', ExternalArtifact feature gate is disabled",
        helm.test.namespace
    );
    let release = helm.says("Stalled", "True", "AccessDenied", &text).await?;
    ensure!(
        release
            .condition("Ready")
            .is_some_and(|ready| ready.reason == "AccessDenied" && ready.message == text),
        "{release}"
    );
    ensure!(release.condition("Reconciling").is_none(), "{release}");
    helm.controller.own()?.stop()?;

    let selector = helm.test.selector();
    let gates = "--feature-gates=ExternalArtifact=true,DisableChartDigestTracking=true";
    *helm.controller.own()? =
        Controller::start(helm.test.cluster, User::HelmController, &[&selector, gates]).await?;
    helm.ready("app.v2 with chart app@1.0.0").await?;
    // A revision with a digest is a version of its own, unless that is switched off: then it is written down alone.
    let mut moved = artifact.clone();
    let digest = format!("latest@sha256:{}", "ab".repeat(32));
    moved["revision"] = digest.as_str().into();
    publish(&helm.test, "ExternalArtifact", &moved).await?;
    let release = helm
        .until("has attempted the digest", |release| {
            release.text("/status/lastAttemptedRevisionDigest") == digest
        })
        .await?;
    ensure!(release.text("/status/lastAttemptedRevision") == "1.0.0", "{release}");
    helm.ready("with chart app@1.0.0").await?;

    // Every digest that Flux knows is compared.
    let path = helm.test.pair()?.source.storage().join(artifact.text("/path"));
    let archive = fs::read(path)?;
    for (n, algorithm) in [Algorithm::Sha384, Algorithm::Sha512, Algorithm::Blake3].into_iter().enumerate() {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&archive);
        moved["digest"] = hasher.finish().to_string().into();
        let digest = format!("latest@sha256:{}", format!("0{n}").repeat(32));
        moved["revision"] = digest.as_str().into();
        publish(&helm.test, "ExternalArtifact", &moved).await?;
        helm.until(&format!("takes {algorithm}"), |release| {
            release.text("/status/lastAttemptedRevisionDigest") == digest && release.is_ready()
        })
        .await?;
    }
    charts_that_cannot_be_had_are_told(&helm, &moved).await?;
    helm.test.finish().await
}

/// What is not what its digest says is told, as is who does not give it; what is not there is looked for again.
async fn charts_that_cannot_be_had_are_told(helm: &Helm, artifact: &Value) -> Result<()> {
    let test = &helm.test;
    let server = TokenServer::start(false, &[("GET /chart.tgz", 403, "")]).await?;
    let (absent, refused) =
        (format!("{}.absent", artifact.text("/url")), format!("{}/chart.tgz", server.url));
    let (url, zeros) = (artifact.text("/url"), format!("sha256:{}", "00".repeat(32)));
    for (n, (url, digest, text)) in [
        (url, &*zeros, format!("integrity failure: computed digest doesn't match '{zeros}'")),
        (url, "sha512:00", "failed to parse digest 'sha512:00': invalid checksum digest length".to_owned()),
        (&*refused, &*zeros, format!("failed to download chart from '{refused}' (status: 403 Forbidden)")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut wrong = artifact.clone();
        wrong["url"] = url.into();
        wrong["digest"] = digest.into();
        wrong["revision"] = format!("latest@sha256:wrong-{n}").into();
        publish(test, "ExternalArtifact", &wrong).await?;
        let release =
            helm.says("Ready", "False", "ArtifactFailed", &format!("Could not load chart: {text}")).await?;
        ensure!(release.number("/status/history/0/version") == 2, "{release}");
        let event = test.event(RELEASE, "Warning", "ArtifactFailed", &text).await?;
        ensure!(event.text("/message") == text, "{event}");
    }
    let mut missing = artifact.clone();
    missing["url"] = absent.into();
    missing["digest"] = zeros.into();
    missing["revision"] = "latest@sha256:absent".into();
    publish(test, "ExternalArtifact", &missing).await?;
    let text = "Source not ready: artifact not found. Retrying in ";
    helm.says("Ready", "False", "ArtifactFailed", text).await?;
    let events = test.objects.events(&test.id(RELEASE)?).await?;
    ensure!(events.iter().all(|event| !event.text("/message").contains("not found")), "{events:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_not_ready_says_why() -> Result<()> {
    let helm = Helm::shared("helm-unready").await?;
    let test = &helm.test;
    // Suspended, so that this test alone writes its status.
    let mut source = repository(&Registry::start(Setup::default()).await, "any");
    source["spec"]["suspend"] = true.into();
    test.apply(&source.to_string()).await?;
    helm.release(&of("OCIRepository", "app")).await?;
    let condition = |kind: &str, status: &str| {
        json!([{
            "type": kind, "status": status, "reason": "Any", "message": "what the source says",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }])
    };
    let generation = test.get("OCIRepository/app").await?.number("/metadata/generation");
    let lag = "latest generation of object has not been reconciled";
    for (observed, conditions, why) in [
        (generation - 1, condition("Ready", "True"), lag),
        (generation - 1, condition("Ready", "False"), "what the source says"),
        (generation, condition("Ready", "True"), "does not have an artifact"),
        (generation, condition("Stalled", "True"), "what the source says"),
    ] {
        let status =
            json!({"status": {"observedGeneration": observed, "conditions": conditions}}).to_string();
        let name = "ocirepository.source.toolkit.fluxcd.io/app";
        test.kubectl(&["patch", name, "--subresource=status", "--type=merge", "-p", &status])?;
        test.request(RELEASE).await?;
        let text = format!("OCIRepository '{}/app' is not ready: {why}", test.namespace);
        let release = helm.says("Ready", "False", "SourceNotReady", &text).await?;
        ensure!(release.condition("Ready").context("seen")?.message == text, "{release}");
    }
    helm.test.finish().await
}
