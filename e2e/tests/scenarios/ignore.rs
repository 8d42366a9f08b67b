//! `spec.ignore`: fields that are left to others, also when drift is repaired as it happens.

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{add_barrier, config_map, deployment, pass_barrier, runs};
use serde_json::json;

const RULE: &str = "  ignore: [{paths: [/spec/replicas], target: {kind: 'Deploy.*', name: scaled}}]";

#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_field_is_left_alone_and_looked_at_once() -> Result<()> {
    let test = Scenario::with_own_controllers("ignore", &[]).await?;
    for name in ["scaled", "fixed"] {
        test.repo.write(&format!("app/{name}.yaml"), &deployment(name, 0))?;
    }
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", RULE)).await?;
    test.applied("Kustomization/app", &commit).await?;
    add_barrier(&test, &deployment("barrier", 0)).await?;
    pass_barrier(&test, "Deployment/barrier").await?;
    let before = runs(&test, "app").await?;

    // Both get another owner of their replicas; one is put back, the other looked at and left.
    for name in ["scaled", "fixed"] {
        test.kubectl(&["scale", &format!("deployment/{name}"), "--replicas=2"])?;
    }
    test.until("Deployment/fixed", "is repaired", |d| d["spec"]["replicas"] == 0).await?;
    test.ready("Kustomization/app").await?;
    assert_eq!(test.get("Deployment/scaled").await?["spec"]["replicas"], 2);
    let event = test.event("Kustomization/app", "Normal", "Progressing", "fixed configured").await?;
    assert_eq!(event.text("/message"), format!("Deployment/{}/fixed configured", test.namespace));

    pass_barrier(&test, "Deployment/barrier").await?;
    let settled = runs(&test, "app").await?;
    assert!(settled <= before + 4.0, "{} runs for two changes", settled - before);

    // Scaled again by the same manager, nobody looks.
    test.kubectl(&["scale", "deployment/scaled", "--replicas=3"])?;
    pass_barrier(&test, "Deployment/barrier").await?;
    assert_eq!(runs(&test, "app").await?, settled);

    // A commit that changes the object leaves the field, one that a person asks for too.
    let labelled = deployment("scaled", 0).replace("{name: scaled}", "{name: scaled, labels: {tier: web}}");
    let commit = test.repo.commit_file("app/scaled.yaml", &labelled)?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    let scaled = test.get("Deployment/scaled").await?;
    assert_eq!((scaled.text("/metadata/labels/tier"), &scaled["spec"]["replicas"]), ("web", &json!(3)));
    test.run("Kustomization/app").await?;
    assert_eq!(test.get("Deployment/scaled").await?["spec"]["replicas"], 3);

    // Nor is a field missed that the manifest leaves to an autoscaler.
    let unset = labelled.replace("  replicas: 0\n", "").replace("tier: web", "tier: api");
    assert!(!unset.contains("replicas"), "{unset}");
    let commit = test.repo.commit_file("app/scaled.yaml", &unset)?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    test.kubectl(&["scale", "deployment/scaled", "--replicas=4"])?;
    test.run("Kustomization/app").await?;
    test.ready("Kustomization/app").await?;
    let scaled = test.get("Deployment/scaled").await?;
    assert_eq!((scaled.text("/metadata/labels/tier"), &scaled["spec"]["replicas"]), ("api", &json!(4)));
    let commit = test.repo.commit_file("app/scaled.yaml", &labelled)?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;

    // Without the rule it is drift.
    test.patch("Kustomization/app", &json!({"spec": {"ignore": null}})).await?;
    test.until("Deployment/scaled", "is repaired", |d| d["spec"]["replicas"] == 0).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_cannot_be_used_is_told_and_can_be_mended() -> Result<()> {
    let test = Scenario::new("ignore-bad").await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  ignore: [{paths: [/data], target: {name: '('}}]"))
        .await?;
    let text = "failed to create ignore rule selector: ";
    test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", text).await?;
    assert!(!test.exists("ConfigMap/map").await?);
    test.patch("Kustomization/app", &json!({"spec": {"ignore": [{"paths": ["/data", "nonsense"]}]}})).await?;
    test.applied("Kustomization/app", &commit).await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "1", "nothing is ignored on creation");
    test.finish().await
}
