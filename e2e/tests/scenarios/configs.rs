//! ConfigMaps and Secrets that start runs when they change.

use anyhow::{Result, ensure};
use e2e::api_proxy::Call;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{config_map, runs};
use e2e::wait::{Not, not_yet};
use serde_json::json;

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
async fn a_change_without_the_label_waits_for_the_interval() -> Result<()> {
    let test = start(Scenario::through_proxy("configs-plain", &[]).await?).await?;
    assert!(!config_watches(&test)?.is_empty());
    // Another Kustomization follows another ConfigMap of the watch.
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\ndata: {value: \"${SIZE}\"}\n";
    test.repo.commit_file("other/map.yaml", map)?;
    test.run("GitRepository/app").await?;
    let sizes = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: sizes, {WATCHED}}}, data: {{SIZE: small}}}}"
    );
    test.objects.apply(&sizes, &test.namespace).await?;
    let from = "  postBuild:\n    substituteFrom: [{kind: ConfigMap, name: sizes}]";
    test.apply(&test.kustomization_yaml("other", "./other", from)).await?;
    test.ready("Kustomization/other").await?;
    // Losing the label is a change itself.
    let before = runs(&test, "app").await?;
    test.kubectl(&["label", "configmap/vars", "reconcile.fluxcd.io/watch-"])?;
    has_run_once(&test, before).await?;

    test.patch("ConfigMap/vars", &json!({"data": {"COLOUR": "blue"}})).await?;
    test.patch("ConfigMap/sizes", &json!({"data": {"SIZE": "large"}})).await?;
    test.until("ConfigMap/other", "is large", |map| map.text("/data/value") == "large").await?;
    test.idle().await?;
    assert_eq!(runs(&test, "app").await?, before + 1.0);
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "red round");
    test.run("Kustomization/app").await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "blue round");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_with_the_gate_waits_for_the_interval_without_a_watch() -> Result<()> {
    let gate = "--feature-gates=DisableConfigWatchers=true";
    let test = start(Scenario::through_proxy("configs-off", &[gate]).await?).await?;
    test.patch("ConfigMap/vars", &json!({"data": {"COLOUR": "blue"}})).await?;
    test.idle().await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "red round");
    test.run("Kustomization/app").await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "blue round");
    assert_eq!(config_watches(&test)?, [""; 0]);
    test.finish().await
}

/// The watches of ConfigMaps and Secrets with the label.
fn config_watches(test: &Scenario) -> Result<Vec<String>> {
    let is_of_configs = |call: &Call| call.is_watch() && call.query.contains("reconcile.fluxcd.io");
    Ok(test.proxy()?.calls(is_of_configs).into_iter().map(|call| call.path).collect())
}

/// Waits until Kustomization `app` has run once more, and for the end of all that follows.
async fn has_run_once(test: &Scenario, before: f64) -> Result<()> {
    test.wait("app has run again", async || match runs(test, "app").await.map_err(not_yet)? {
        now if now > before => Ok(()),
        _ => Err(Not::Yet("it has not".into())),
    })
    .await?;
    test.idle().await?;
    assert_eq!(runs(test, "app").await?, before + 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_label_is_what_the_flag_says() -> Result<()> {
    let flag = "--watch-configs-label-selector=team=a";
    let test = start(Scenario::with_own_controllers("configs-flag", &[flag]).await?).await?;
    // Getting the label is a change itself.
    let before = runs(&test, "app").await?;
    test.kubectl(&["label", "configmap/vars", "team=a"])?;
    has_run_once(&test, before).await?;
    test.patch("ConfigMap/vars", &json!({"data": {"COLOUR": "blue"}})).await?;
    test.until("ConfigMap/map", "is blue", |map| map.text("/data/value") == "blue round").await?;
    test.finish().await
}

#[tokio::test]
async fn many_that_refer_to_one_config_map_read_it_once_for_each_commit_and_never_too_early() -> Result<()> {
    const COUNT: usize = 30;
    let test = Scenario::through_proxy("shared-reads", &[]).await?;
    let variables = |value: usize| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: variables}}\ndata: {{value: v{value}}}\n")
    };
    test.apply(&variables(0)).await?;
    for number in 0..COUNT {
        test.repo
            .write(&format!("app-{number}/map.yaml"), &config_map(&format!("m-{number}"), "${value}"))?;
    }
    test.repo.commit("start")?;
    test.apply_source().await?;
    let from = "  postBuild: {substituteFrom: [{kind: ConfigMap, name: variables}]}\n";
    for number in 0..COUNT {
        test.apply(&test.kustomization_yaml(&format!("k-{number}"), &format!("./app-{number}"), from))
            .await?;
    }
    for number in 0..COUNT {
        test.ready(&format!("Kustomization/k-{number}")).await?;
    }
    test.idle().await?;
    test.proxy()?.take_calls();
    for number in 0..COUNT {
        test.repo
            .write(&format!("app-{number}/map.yaml"), &config_map(&format!("m-{number}"), "${value}2"))?;
    }
    let commit = test.repo.commit("all of them")?;
    test.request("GitRepository/app").await?;
    for number in 0..COUNT {
        test.applied(&format!("Kustomization/k-{number}"), &commit).await?;
    }
    let reads = test.proxy()?.calls(|call| call.is_about("variables") && !call.is_write()).len();
    ensure!((1..COUNT / 3).contains(&reads), "{COUNT} runs read it {reads} times");

    // Without the label no watch tells of the change: what was read before somebody asks for a run is too old for it.
    for value in 1..10 {
        test.apply(&variables(value)).await?;
        test.run("Kustomization/k-0").await?;
        let seen = test.get("ConfigMap/m-0").await?.text("/data/value").to_owned();
        ensure!(seen == format!("v{value}2"), "{seen} instead of v{value}2");
    }
    test.finish().await
}
