//! ConfigMaps and Secrets that start runs when they change.

use std::time::Duration;

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use serde_json::{Value, json};

const WATCHED: &str = "labels: {reconcile.fluxcd.io/watch: Enabled}";

/// A scenario whose Kustomization `app` puts `${COLOUR}` and `${SHAPE}` of ConfigMap `vars` and Secret `more` into
/// ConfigMap `map`. Both are labelled.
async fn start(test: Scenario) -> Result<Scenario> {
    let map =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map}\ndata: {value: \"${COLOUR} ${SHAPE}\"}\n";
    test.repo.commit_file("app/map.yaml", map)?;
    let objects = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: vars, {WATCHED}}}, data: {{COLOUR: red}}}}\n---\n\
         {{apiVersion: v1, kind: Secret, metadata: {{name: more, {WATCHED}}}, stringData: {{SHAPE: round}}}}\n"
    );
    test.objects.apply(&objects, &test.namespace).await?;
    test.apply_source().await?;
    let from =
        "  postBuild:\n    substituteFrom: [{kind: ConfigMap, name: vars}, {kind: Secret, name: more}]";
    test.apply(&test.kustomization_yaml("app", "./app", from)).await?;
    test.ready("Kustomization/app").await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "red round");
    Ok(test)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_labelled_config_starts_a_run() -> Result<()> {
    let test = start(Scenario::new("configs").await?).await?;
    // The interval is an hour: it is the change itself that is noticed.
    test.patch("ConfigMap/vars", &json!({"data": {"COLOUR": "blue"}})).await?;
    test.until("ConfigMap/map", "is blue", |map| map.text("/data/value") == "blue round").await?;
    test.patch("Secret/more", &json!({"stringData": {"SHAPE": "square"}})).await?;
    test.until("ConfigMap/map", "is square", |map| map.text("/data/value") == "blue square").await?;
    test.ready("Kustomization/app").await?;
    // One that is gone is a change, too.
    test.kubectl(&["delete", "configmap/vars"])?;
    test.condition("Kustomization/app", "Ready", "False", "BuildFailed", "vars").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_the_label_or_with_the_gate_waits_for_the_interval() -> Result<()> {
    let plain = start(Scenario::new("configs-plain").await?).await?;
    let gate = "--feature-gates=DisableConfigWatchers=true";
    let gated = start(Scenario::with_own_controllers("configs-off", &[gate]).await?).await?;
    plain.kubectl(&["label", "configmap/vars", "reconcile.fluxcd.io/watch-"])?;
    // Losing the label is a change itself.
    let runs = |app: &Value| app["status"]["history"][0].number("/totalReconciliations");
    plain.until("Kustomization/app", "has run again", |app| runs(app) == 2).await?;
    for test in [&plain, &gated] {
        test.patch("ConfigMap/vars", &json!({"data": {"COLOUR": "blue"}})).await?;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    for test in [&plain, &gated] {
        assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "red round");
        test.run("Kustomization/app").await?;
        assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "blue round");
    }
    plain.finish().await?;
    gated.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_label_is_what_the_flag_says() -> Result<()> {
    let flag = "--watch-configs-label-selector=team=a";
    let test = start(Scenario::with_own_controllers("configs-flag", &[flag]).await?).await?;
    test.kubectl(&["label", "configmap/vars", "team=a"])?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    test.patch("ConfigMap/vars", &json!({"data": {"COLOUR": "blue"}})).await?;
    test.until("ConfigMap/map", "is blue", |map| map.text("/data/value") == "blue round").await?;
    test.finish().await
}
