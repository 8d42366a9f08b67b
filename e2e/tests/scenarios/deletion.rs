//! What becomes of applied objects when their Kustomization is deleted.

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{applied, config_map};
use serde_json::json;

async fn delete(test: &Scenario) -> Result<()> {
    test.kubectl(&["delete", "--wait=false", "kustomization/app"]).map(drop)
}

/// Annotates a live ConfigMap, `key=value`; not with kubectl, whose fields are taken over and removed.
async fn mark_with(test: &Scenario, name: &str, mark: &str) -> Result<()> {
    let (key, value) = mark.split_once('=').unwrap();
    let annotations = json!({(format!("kustomize.toolkit.fluxcd.io/{key}")): value});
    test.patch(&format!("ConfigMap/{name}"), &json!({"metadata": {"annotations": annotations}}))
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_and_prune_decide_together() -> Result<()> {
    for (policy, prune, stays) in [
        ("MirrorPrune", true, false),
        ("MirrorPrune", false, true),
        ("Delete", true, false),
        ("Delete", false, false),
        ("WaitForTermination", true, false),
        ("WaitForTermination", false, false),
        ("Orphan", true, true),
        ("Orphan", false, true),
    ] {
        let name = format!("policy-{}-{prune}", policy.to_lowercase());
        let files = [("map.yaml", config_map("map", "1"))];
        let test =
            applied(Scenario::new(&name).await?, &files, &format!("  deletionPolicy: {policy}")).await?;
        test.patch("Kustomization/app", &json!({"spec": {"prune": prune}})).await?;
        test.ready("Kustomization/app").await?;
        delete(&test).await?;
        test.gone("Kustomization/app").await?;
        if stays {
            assert!(test.exists("ConfigMap/map").await?, "{policy} {prune}");
        } else {
            test.gone("ConfigMap/map").await?;
        }
        test.finish().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn marked_objects_outlive_their_kustomization() -> Result<()> {
    let names = ["ignored", "kept", "once", "foreign"];
    let files = names.map(|name| (format!("{name}.yaml"), config_map(name, "1")));
    let files: Vec<_> = files.iter().map(|(file, text)| (file.as_str(), text.clone())).collect();
    let test = applied(Scenario::new("outlive").await?, &files, "").await?;
    test.patch("Kustomization/app", &json!({"spec": {"suspend": true}})).await?;
    test.run("Kustomization/app").await?;
    for (name, mark) in [("ignored", "ssa=Ignore"), ("kept", "prune=disabled"), ("once", "ssa=IfNotPresent")]
    {
        mark_with(&test, name, mark).await?;
    }
    let labels = json!({"kustomize.toolkit.fluxcd.io/namespace": "elsewhere"});
    test.patch("ConfigMap/foreign", &json!({"metadata": {"labels": labels}})).await?;
    delete(&test).await?;
    test.gone("Kustomization/app").await?;
    for name in names {
        assert!(test.exists(&format!("ConfigMap/{name}")).await?, "suspended, it removes nothing: {name}");
    }
    test.finish().await?;

    let test = applied(Scenario::new("outlive-too").await?, &files, "").await?;
    for (name, mark) in [("ignored", "ssa=Ignore"), ("kept", "prune=disabled"), ("once", "ssa=IfNotPresent")]
    {
        mark_with(&test, name, mark).await?;
    }
    delete(&test).await?;
    test.gone("Kustomization/app").await?;
    test.gone("ConfigMap/once").await?;
    test.gone("ConfigMap/foreign").await?;
    assert!(test.exists("ConfigMap/ignored").await? && test.exists("ConfigMap/kept").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_finalizer_delays_the_end_until_the_timeout_if_it_is_waited_for() -> Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(10);
    let slow =
        config_map("slow", "1").replace("{name: slow}", "{name: slow, finalizers: [example.org/slow]}");
    let files = [("slow.yaml", slow), ("map.yaml", config_map("map", "1"))];
    let more = |timeout| format!("  deletionPolicy: WaitForTermination\n  timeout: {timeout}s");
    // It is the end of the object that ends the wait of one, and the timeout that of the other.
    let ended = applied(Scenario::new("ended").await?, &files, &more(3600)).await?;
    let stuck = applied(Scenario::new("stuck").await?, &files, &more(TIMEOUT.as_secs())).await?;
    let begin = Instant::now();
    delete(&ended).await?;
    delete(&stuck).await?;
    for test in [&ended, &stuck] {
        test.gone("ConfigMap/map").await?;
        test.until("ConfigMap/slow", "is being deleted", |o| {
            !o.text("/metadata/deletionTimestamp").is_empty()
        })
        .await?;
    }
    assert!(ended.exists("Kustomization/app").await?);
    ended.patch("ConfigMap/slow", &json!({"metadata": {"finalizers": null}})).await?;
    ended.gone("Kustomization/app").await?;
    let text = format!("failed to wait for resources termination: ConfigMap/{}/slow", stuck.namespace);
    stuck.event("Kustomization/app", "Warning", "ReconciliationSucceeded", &text).await?;
    stuck.gone("Kustomization/app").await?;
    assert!(begin.elapsed() >= TIMEOUT, "took {:?}", begin.elapsed());
    assert!(stuck.exists("ConfigMap/slow").await?);
    stuck.patch("ConfigMap/slow", &json!({"metadata": {"finalizers": null}})).await?;
    ended.finish().await?;
    stuck.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_named_and_left_when_their_service_account_is_gone() -> Result<()> {
    let test = Scenario::new("no-account").await?;
    test.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant}}").await?;
    let account = format!("--serviceaccount={}:tenant", test.namespace);
    test.kubectl(&["create", "rolebinding", "tenant", "--clusterrole=admin", &account])?;
    let files = [("map.yaml", config_map("map", "1"))];
    let test = applied(test, &files, "  serviceAccountName: tenant").await?;
    test.kubectl(&["delete", "serviceaccount/tenant"])?;
    delete(&test).await?;
    test.gone("Kustomization/app").await?;
    let text = format!("unable to prune objects: \nConfigMap/{}/map", test.namespace);
    test.event("Kustomization/app", "Warning", "ReconciliationSucceeded", &text).await?;
    assert!(test.exists("ConfigMap/map").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_fails_keeps_the_kustomization_and_is_tried_again() -> Result<()> {
    let test = Scenario::new("no-rights").await?;
    test.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant}}").await?;
    let bind = async || {
        let account = format!("--serviceaccount={}:tenant", test.namespace);
        test.kubectl(&["create", "rolebinding", "tenant", "--clusterrole=admin", &account])
    };
    bind().await?;
    test.repo.write("app/map.yaml", &config_map("map", "1"))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  serviceAccountName: tenant")).await?;
    test.applied("Kustomization/app", &commit).await?;
    test.kubectl(&["delete", "rolebinding/tenant"])?;
    delete(&test).await?;
    let text = "pruning for deleted resource failed";
    test.event("Kustomization/app", "Warning", "ReconciliationSucceeded", text).await?;
    assert!(test.exists("Kustomization/app").await? && test.exists("ConfigMap/map").await?);
    bind().await?;
    test.gone("Kustomization/app").await?;
    test.gone("ConfigMap/map").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_goes_takes_its_kustomizations_along() -> Result<()> {
    let test = Scenario::new("namespace").await?;
    test.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant}}").await?;
    let account = format!("--serviceaccount={}:tenant", test.namespace);
    test.kubectl(&["create", "rolebinding", "tenant", "--clusterrole=admin", &account])?;
    let files = [("map.yaml", config_map("map", "1"))];
    let more = "  serviceAccountName: tenant\n  deletionPolicy: WaitForTermination";
    let test = applied(test, &files, more).await?;
    test.apply(&test.kustomization_yaml("other", "./app", "  dependsOn: [{name: nobody}]")).await?;
    let namespace = format!("Namespace/{}", test.namespace);
    test.kubectl(&["delete", "--wait=false", "namespace", &test.namespace])?;
    test.gone(&namespace).await
}
