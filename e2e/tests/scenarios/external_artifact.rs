//! Sources that others than source-controller publish, and what an artifact's digest and metadata mean.

use anyhow::{Context, Result};
use e2e::objects::{Id, Look};
use e2e::scenario::Scenario;
use e2e::silent_server::{self, SilentServer};
use e2e::testkit::config_map;
use serde_json::{Value, json};

const GROUP: &str = "source.toolkit.fluxcd.io";

/// Makes sure that the cluster knows a kind of source; one that is installed is left alone.
pub async fn know(test: &Scenario, kind: &str, plural: &str) -> Result<()> {
    let crd = test.id(&format!("CustomResourceDefinition/{plural}.{GROUP}"))?;
    if test.objects.get(&crd).await?.is_none() {
        let object = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{GROUP}")},
            "spec": {
                "group": GROUP, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }],
            },
        });
        test.objects.apply_one(&object, "").await?;
    }
    test.until(&format!("CustomResourceDefinition/{plural}.{GROUP}"), "is established", |crd| {
        crd.condition("Established").is_some_and(|c| c.status == "True")
    })
    .await
    .map(drop)
}

/// Publishes an artifact as source `app` of a kind.
pub async fn publish(test: &Scenario, kind: &str, artifact: &Value) -> Result<()> {
    let api_version = format!("{GROUP}/v1");
    // Suspended, so that what is published stays.
    let spec = match kind {
        "Bucket" => json!({"bucketName": "app", "endpoint": "h.invalid", "interval": "1h", "suspend": true}),
        "OCIRepository" => json!({"url": "oci://registry.invalid/app", "interval": "1h", "suspend": true}),
        _ => json!({}),
    };
    let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "app"}, "spec": spec});
    test.objects.apply_one(&object, &test.namespace).await?;
    let status = json!({"status": {"artifact": artifact}}).to_string();
    let name = format!("{}.{GROUP}/app", kind.to_lowercase());
    test.kubectl(&["patch", &name, "--subresource=status", "--type=merge", "-p", &status]).map(drop)
}

/// The artifact of GitRepository `app`, which is at this commit.
async fn artifact(test: &Scenario, commit: &str) -> Result<Value> {
    let has =
        |source: &Value| source.is_ready() && source.text("/status/artifact/revision").ends_with(commit);
    let source = test.until("GitRepository/app", "has the commit", has).await?;
    source.pointer("/status/artifact").cloned().context("an artifact")
}

fn of_kind(test: &Scenario, kind: &str) -> String {
    let yaml = test.kustomization_yaml("app", "./app", "");
    yaml.replace("kind: GitRepository, name: app", &format!("kind: {kind}, name: app"))
}

async fn history(test: &Scenario) -> Result<Value> {
    Ok(test.get("Kustomization/app").await?["status"]["history"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_artifact_is_applied_and_followed() -> Result<()> {
    let test = Scenario::new("external").await?;
    know(&test, "ExternalArtifact", "externalartifacts").await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let mut artifact = artifact(&test, &commit).await?;
    artifact["revision"] = "latest@sha256:1".into();
    publish(&test, "ExternalArtifact", &artifact).await?;
    test.apply(&of_kind(&test, "ExternalArtifact")).await?;
    test.applied("Kustomization/app", "latest@sha256:1").await?;
    artifact["revision"] = "latest@sha256:2".into();
    publish(&test, "ExternalArtifact", &artifact).await?;
    test.applied("Kustomization/app", "latest@sha256:2").await?;
    // The same content once more.
    let newest = history(&test).await?;
    assert_eq!(newest["totalReconciliations"], 2);
    assert_eq!(newest["metadata"]["revision"], "latest@sha256:2");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_artifact_is_denied_without_the_gate() -> Result<()> {
    let test =
        Scenario::with_own_controllers("external-off", &["--feature-gates=ExternalArtifact=false"]).await?;
    test.apply(&of_kind(&test, "ExternalArtifact")).await?;
    let text = format!(
        "can't access 'ExternalArtifact/{}/app', ExternalArtifact feature gate is disabled",
        test.namespace
    );
    test.condition("Kustomization/app", "Ready", "False", "AccessDenied", &text).await?;
    test.condition("Kustomization/app", "Stalled", "True", "AccessDenied", &text).await?;
    test.event("Kustomization/app", "Warning", "AccessDenied", &text).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_source_gives_its_artifact_and_its_origin_from_the_watch_or_directly() -> Result<()> {
    let direct =
        Scenario::with_own_controllers("direct", &["--feature-gates=DirectSourceFetch=true"]).await?;
    for test in [Scenario::new("kinds").await?, direct] {
        let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
        test.apply_source().await?;
        let mut artifact = artifact(&test, &commit).await?;
        artifact["metadata"] = json!({"org.opencontainers.image.revision": "main@sha1:origin"});
        test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
        test.applied("Kustomization/app", &commit).await?;
        for (kind, plural) in [("OCIRepository", "ocirepositories"), ("Bucket", "buckets")] {
            know(&test, kind, plural).await?;
            test.apply(&of_kind(&test, kind)).await?;
            let missing = format!("{kind}.{GROUP} \"app\" not found");
            test.condition("Kustomization/app", "Ready", "False", "ArtifactFailed", &missing).await?;
            artifact["revision"] = format!("{kind}@sha256:1").into();
            publish(&test, kind, &artifact).await?;
            let app = test.applied("Kustomization/app", &format!("{kind}@sha256:1")).await?;
            assert_eq!(app.text("/status/lastAppliedOriginRevision"), "main@sha1:origin");
            let newest = history(&test).await?;
            assert_eq!(newest["metadata"]["originRevision"], "main@sha1:origin");
            let name = Id::of(&format!("{GROUP}/v1"), kind, &test.namespace, "app");
            test.objects.delete(&name).await?;
        }
        let finished = "Reconciliation finished in";
        let events = test.objects.events(&test.id("Kustomization/app")?).await?;
        let origin = |e: &&Value| {
            e["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/originRevision"] == "main@sha1:origin"
        };
        assert!(events.iter().filter(|e| e.text("/message").contains(finished)).any(|e| origin(&e)));
        test.finish().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_taken_only_with_a_digest_that_fits() -> Result<()> {
    let test = Scenario::new("digests").await?;
    know(&test, "ExternalArtifact", "externalartifacts").await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let mut artifact = artifact(&test, &commit).await?;
    let good = artifact.text("/digest").to_owned();
    test.apply(&of_kind(&test, "ExternalArtifact")).await?;
    let wrong = format!("sha256:{}", "0".repeat(64));
    for (revision, digest) in [("r1", "md5:abc"), ("r2", "sha256:short"), ("r3", &*wrong)] {
        artifact["revision"] = revision.into();
        artifact["digest"] = digest.into();
        publish(&test, "ExternalArtifact", &artifact).await?;
        // What is wrong with it is for the message; that it fails at this revision is what counts.
        test.until("Kustomization/app", &format!("refuses {digest:?}"), |app| {
            app.condition("Ready")
                .is_some_and(|c| c.reason == "ArtifactFailed" && c.message.contains("digest"))
                && app.condition("Reconciling").is_some_and(|c| c.message.contains(revision))
        })
        .await?;
        assert!(!test.exists("ConfigMap/map").await?);
    }
    artifact["revision"] = "r4".into();
    artifact["digest"] = good.into();
    publish(&test, "ExternalArtifact", &artifact).await?;
    test.applied("Kustomization/app", "r4").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_listed_is_not_asked_for_an_artifact() -> Result<()> {
    let options = ["--artifact-hosts=127.0.0.1,*.example.com:80"];
    let test = Scenario::with_own_controllers("artifact-hosts", &options).await?;
    know(&test, "ExternalArtifact", "externalartifacts").await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let artifact = artifact(&test, &commit).await?;
    let elsewhere = [SilentServer::start("127.0.0.2").await?];
    let mut stolen = artifact.clone();
    stolen["revision"] = "elsewhere".into();
    stolen["url"] = format!("{}?token=canary", elsewhere[0].url).into();
    publish(&test, "ExternalArtifact", &stolen).await?;
    test.apply(&of_kind(&test, "ExternalArtifact")).await?;
    let host = elsewhere[0].url.trim_start_matches("http://").trim_end_matches("/app");
    let text = format!("failed to create a new request: host '{host}' is not one of --artifact-hosts");
    let ready = test.condition("Kustomization/app", "Ready", "False", "ArtifactFailed", &text).await?;
    assert_eq!(ready.message, text);
    test.event("Kustomization/app", "Warning", "ArtifactFailed", &text).await?;
    // Not at the next try either, and there is a pause before each.
    test.run("Kustomization/app").await?;
    test.idle().await?;
    assert_eq!(silent_server::open(&elsewhere), 0);
    publish(&test, "ExternalArtifact", &artifact).await?;
    test.applied("Kustomization/app", &commit).await?;
    test.finish().await
}
