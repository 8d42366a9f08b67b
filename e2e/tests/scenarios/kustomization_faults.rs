//! Kustomizations that cannot be applied: what they say, and that they recover by themselves.

use std::fs;

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{config_map, deployment};
use serde_json::json;

/// A scenario with source `app` at a first commit of one good ConfigMap `map`, and a Kustomization of `path`.
async fn start(name: &str, path: &str) -> Result<Scenario> {
    let test = Scenario::new(name).await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", path, "")).await?;
    Ok(test)
}

/// Pushes what the work tree holds now and expects that it is applied.
async fn recovers(test: &Scenario) -> Result<()> {
    let commit = test.repo.commit("fix")?;
    test.request("GitRepository/app").await?;
    let app = test.applied("Kustomization/app", &commit).await?;
    assert_eq!(app.condition("Stalled"), None);
    test.event("Kustomization/app", "Normal", "ReconciliationSucceeded", "Reconciliation finished in ")
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_does_not_exist() -> Result<()> {
    let test = start("no-path", "./nowhere").await?;
    let text = "kustomization path not found: stat ";
    let ready = test.condition("Kustomization/app", "Ready", "False", "ArtifactFailed", text).await?;
    assert!(ready.message.ends_with("/nowhere: no such file or directory"), "{ready:?}");
    test.event("Kustomization/app", "Warning", "ArtifactFailed", text).await?;
    let app = test.get("Kustomization/app").await?;
    assert_eq!(app.condition("Reconciling").unwrap().reason, "ProgressingWithRetry");
    assert_eq!(app.number("/status/observedGeneration"), -1);
    test.repo.write("nowhere/map.yaml", &config_map("map", "2"))?;
    recovers(&test).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_cannot_leave_the_artifact() -> Result<()> {
    let test = start("escape", "../../../../etc").await?;
    test.condition("Kustomization/app", "Ready", "False", "ArtifactFailed", "kustomization path not found")
        .await?;
    test.repo.write("etc/map.yaml", &config_map("map", "2"))?;
    recovers(&test).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_yaml() -> Result<()> {
    let test = start("no-yaml", "./app").await?;
    test.ready("Kustomization/app").await?;
    let bad = test.repo.commit_file("app/broken.yaml", "a: [1\nb: }\n")?;
    test.request("GitRepository/app").await?;
    let text = "failed to decode Kubernetes YAML from ";
    let ready = test.condition("Kustomization/app", "Ready", "False", "BuildFailed", text).await?;
    assert!(ready.message.contains("broken.yaml"), "{ready:?}");
    test.event("Kustomization/app", "Warning", "BuildFailed", text).await?;
    let app = test.get("Kustomization/app").await?;
    assert!(app.text("/status/lastAttemptedRevision").ends_with(&bad));
    assert!(!app.text("/status/lastAppliedRevision").ends_with(&bad));
    assert!(test.exists("ConfigMap/map").await?, "what was applied before stays");
    test.repo.remove("app/broken.yaml")?;
    recovers(&test).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_file_that_does_not_build() -> Result<()> {
    let test = start("no-build", "./app").await?;
    test.ready("Kustomization/app").await?;
    test.repo.commit_file("app/kustomization.yaml", "resources: [map.yaml, missing.yaml]\n")?;
    test.request("GitRepository/app").await?;
    let ready = test
        .condition("Kustomization/app", "Ready", "False", "BuildFailed", "kustomize build failed: ")
        .await?;
    assert!(ready.message.contains("missing.yaml"), "{ready:?}");
    test.event("Kustomization/app", "Warning", "BuildFailed", "missing.yaml").await?;
    test.repo.write("app/missing.yaml", &config_map("found", "1"))?;
    recovers(&test).await?;
    assert!(test.exists("ConfigMap/found").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_the_api_server_rejects_keeps_its_stage_unapplied() -> Result<()> {
    let test = start("rejected", "./app").await?;
    test.ready("Kustomization/app").await?;
    // Its selector does not match its own template.
    let bad = deployment("bad", 0).replace("matchLabels: {app: bad}", "matchLabels: {app: other}");
    test.repo.write("app/bad.yaml", &bad)?;
    // Sorted before the Deployment: a controller that applies one by one would create it.
    test.repo.write("app/first.yaml", &config_map("first", "1"))?;
    test.repo.commit("bad")?;
    test.request("GitRepository/app").await?;
    let text = format!("Deployment/{}/bad dry-run failed (Invalid): ", test.namespace);
    let ready = test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", &text).await?;
    assert!(ready.message.contains("`selector` does not match template `labels`"), "{ready:?}");
    test.event("Kustomization/app", "Warning", "ReconciliationFailed", &text).await?;
    assert!(!test.exists("ConfigMap/first").await?, "the others of that stage are not applied");
    let app = test.get("Kustomization/app").await?;
    assert_eq!(app.text("/status/history/0/lastReconciledStatus"), "ReconciliationFailed");
    test.repo.write("app/bad.yaml", &deployment("bad", 0))?;
    recovers(&test).await?;
    assert!(test.exists("ConfigMap/first").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_too_large_for_the_api_server() -> Result<()> {
    let test = Scenario::new("too-large").await?;
    test.repo.write("app/kustomization.yaml", "configMapGenerator: [{name: large, files: [large.txt]}]\n")?;
    test.repo.write("app/large.txt", &"x".repeat(2_000_000))?;
    test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    let text = "Too long: may not be more than 1048576 bytes";
    let ready = test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", text).await?;
    assert!(ready.message.len() < 1000, "{} bytes", ready.message.len());
    test.repo.write("app/large.txt", "x")?;
    let commit = test.repo.commit("small")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_does_not_exist() -> Result<()> {
    let test = start("no-namespace", "./app").await?;
    test.ready("Kustomization/app").await?;
    let absent = format!("{}-absent", test.namespace);
    test.patch("Kustomization/app", &json!({"spec": {"targetNamespace": absent}})).await?;
    let text = format!("ConfigMap/{absent}/map not found: namespaces \"{absent}\" not found");
    test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", &text).await?;
    test.event("Kustomization/app", "Warning", "ReconciliationFailed", &text).await?;
    assert!(test.exists("ConfigMap/map").await?, "a failed apply prunes nothing");
    test.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {absent}}}")).await?;
    test.ready("Kustomization/app").await?;
    test.gone("ConfigMap/map").await?;
    test.kubectl(&["delete", "--wait=false", &format!("namespace/{absent}")])?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_missing_and_one_that_is_deleted() -> Result<()> {
    let test = Scenario::new("no-source").await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    // The words of controller-runtime's cache, which names the kind and not the resource.
    let text = "GitRepository.source.toolkit.fluxcd.io \"app\" not found";
    let missing =
        async || test.condition("Kustomization/app", "Ready", "False", "ArtifactFailed", text).await;
    missing().await?;
    test.apply_source().await?;
    test.applied("Kustomization/app", &commit).await?;

    test.kubectl(&["delete", "--wait=false", "gitrepository/app"])?;
    test.gone("GitRepository/app").await?;
    test.request("Kustomization/app").await?;
    missing().await?;
    assert!(test.exists("ConfigMap/map").await?, "nothing is pruned for want of a source");
    test.apply_source().await?;
    test.applied("Kustomization/app", &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_an_artifact() -> Result<()> {
    let test = Scenario::new("no-artifact").await?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    let text = "Source artifact not found, retrying in 30s";
    test.condition("Kustomization/app", "Ready", "False", "ArtifactFailed", text).await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    test.finish().await
}

/// A scenario with controllers of its own and the file of its suspended source's artifact, which a test
/// damages; nothing has used that artifact yet.
async fn stored(name: &str) -> Result<(Scenario, std::path::PathBuf)> {
    let test = Scenario::with_own_controllers(name, &["--requeue-dependency=2s"]).await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let source = test.ready("GitRepository/app").await?;
    test.patch("GitRepository/app", &json!({"spec": {"suspend": true}})).await?;
    let file = test.pair()?.source.storage().join(source.text("/status/artifact/path"));
    Ok((test, file))
}

/// Kustomization `app` whose retry interval is an hour: an artifact is looked for again as a dependency is.
async fn apply_patiently(test: &Scenario) -> Result<()> {
    let app = test.kustomization_yaml("app", "./app", "");
    test.apply(&app.replace("retryInterval: 2s", "retryInterval: 1h")).await
}

/// The artifact comes back, and there was no event about its absence: whoever mends it knows.
async fn recovers_in_silence(test: &Scenario) -> Result<()> {
    test.ready("Kustomization/app").await?;
    test.event("Kustomization/app", "Normal", "ReconciliationSucceeded", "").await?;
    let events = test.objects.events(&test.id("Kustomization/app")?).await?;
    assert!(events.iter().all(|event| event["reason"] != "ArtifactFailed"), "{events:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_is_not_there() -> Result<()> {
    let (test, file) = stored("artifact-404").await?;
    fs::remove_file(file)?;
    apply_patiently(&test).await?;
    let text = "Source is not ready, artifact not found, retrying in 2s";
    test.condition("Kustomization/app", "Ready", "False", "ArtifactFailed", text).await?;
    test.patch("GitRepository/app", &json!({"spec": {"suspend": false}})).await?;
    recovers_in_silence(&test).await?;
    assert!(test.exists("ConfigMap/map").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_with_other_bytes() -> Result<()> {
    let (test, file) = stored("artifact-digest").await?;
    fs::write(file, "not what the digest says")?;
    apply_patiently(&test).await?;
    let text = "Source is not ready, artifact digest changed, retrying in 2s";
    test.condition("Kustomization/app", "Ready", "False", "ArtifactFailed", text).await?;
    assert!(!test.exists("ConfigMap/map").await?);
    test.patch("GitRepository/app", &json!({"spec": {"suspend": false}})).await?;
    recovers_in_silence(&test).await?;
    assert!(test.exists("ConfigMap/map").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_without_rights() -> Result<()> {
    let test = start("tenant", "./app").await?;
    test.ready("Kustomization/app").await?;
    let tenant = format!("system:serviceaccount:{}:tenant", test.namespace);
    test.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant}}").await?;
    test.patch("Kustomization/app", &json!({"spec": {"serviceAccountName": "tenant"}})).await?;
    let ready =
        test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", &tenant).await?;
    assert!(ready.message.contains("(Forbidden)"), "{ready:?}");
    test.event("Kustomization/app", "Warning", "ReconciliationFailed", &tenant).await?;
    test.kubectl(&[
        "create",
        "rolebinding",
        "tenant",
        "--clusterrole=admin",
        &format!("--serviceaccount={}:tenant", test.namespace),
    ])?;
    test.ready("Kustomization/app").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_another_namespace() -> Result<()> {
    let owner = Scenario::new("cross-owner").await?;
    let commit = owner.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    owner.apply_source().await?;
    let test = Scenario::with_own_controllers("cross", &["--no-cross-namespace-refs"]).await?;
    let foreign = format!("kind: GitRepository, name: app, namespace: {}", owner.namespace);
    let app = test.kustomization_yaml("app", "./app", "").replace("kind: GitRepository, name: app", &foreign);
    test.apply(&app).await?;
    let text = format!(
        "can't access 'GitRepository/{}/app', cross-namespace references have been blocked",
        owner.namespace
    );
    test.condition("Kustomization/app", "Ready", "False", "AccessDenied", &text).await?;
    test.condition("Kustomization/app", "Stalled", "True", "AccessDenied", &text).await?;
    test.event("Kustomization/app", "Warning", "AccessDenied", &text).await?;
    // Without that flag it is allowed.
    owner.apply(&app).await?;
    owner.applied("Kustomization/app", &commit).await?;
    test.finish().await?;
    owner.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_would_change_the_request() -> Result<()> {
    let test = Scenario::new("odd-name").await?;
    for name in ["?watch=true", "../../secrets/x", "a%2fb"] {
        let yaml = test
            .kustomization_yaml("odd", "./app", "")
            .replace("kind: GitRepository, name: app", &format!("kind: GitRepository, name: \"{name}\""));
        assert!(yaml.contains(name), "{yaml}");
        test.apply(&yaml).await?;
        test.condition("Kustomization/odd", "Ready", "False", "ArtifactFailed", "not found").await?;
    }
    // The workers are free.
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    test.finish().await
}
