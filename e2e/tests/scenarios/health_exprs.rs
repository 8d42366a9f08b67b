//! `spec.healthCheckExprs`: health as the user defines it.

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{config_map, runs};
use e2e::wait::{Not, not_yet};
use serde_json::json;

const APP: &str = "Kustomization/app";

/// Kustomization `app` with `wait`, `retryInterval` of 2 s and these lines of spec.
async fn start(test: &Scenario, more: &str) -> Result<()> {
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    test.apply(&test.kustomization_yaml("app", "./app", &format!("  wait: true\n{more}"))).await
}

fn map_rule(current: &str, failed: &str) -> String {
    format!(
        "  healthCheckExprs: [{{apiVersion: v1, kind: ConfigMap, current: \"{current}\", failed: \"{failed}\"}}]"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_tell_whether_an_object_is_healthy() -> Result<()> {
    let test = Scenario::new("cel").await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "bad"))?;
    start(&test, &map_rule("data.value == 'good'", "data.value == 'bad'")).await?;
    let text =
        format!("failed early due to stalled resources: [ConfigMap/{}/map status: 'Failed']", test.namespace);
    test.condition(APP, "Ready", "False", "HealthCheckFailed", &text).await?;
    test.event(APP, "Warning", "HealthCheckFailed", &text).await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "good"))?;
    test.request("GitRepository/app").await?;
    test.applied(APP, &commit).await?;
    // Neither: it is on its way, and a change of the object alone ends the wait.
    test.patch(APP, &json!({"spec": {"timeout": "10m"}})).await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "busy"))?;
    test.request("GitRepository/app").await?;
    test.condition(APP, "Healthy", "Unknown", "Progressing", "Running health checks").await?;
    // The watchdog sees the run, though no worker is held.
    let oldest = test.pair()?.kustomize.metric("gotk_oldest_run_seconds", &["kustomization"]).await?;
    assert!(oldest > 0.0);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn new_expressions_judge_objects_that_were_seen_before() -> Result<()> {
    let test = Scenario::new("cel-again").await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    start(&test, "").await?;
    test.applied(APP, &commit).await?;
    test.apply(&test.kustomization_yaml(
        "app",
        "./app",
        &format!("  wait: true\n{}", map_rule("true", "data.value == '1'")),
    ))
    .await?;
    test.condition(APP, "Ready", "False", "HealthCheckFailed", "map status: 'Failed'").await?;
    test.apply(&test.kustomization_yaml(
        "app",
        "./app",
        &format!("  wait: true\n{}", map_rule("true", "data.value == '2'")),
    ))
    .await?;
    test.ready(APP).await?;
    // Without expressions the kind's own rule holds again.
    test.apply(&test.kustomization_yaml(
        "app",
        "./app",
        &format!("  wait: true\n{}", map_rule("false", "true")),
    ))
    .await?;
    test.condition(APP, "Ready", "False", "HealthCheckFailed", "map status: 'Failed'").await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true")).await?;
    test.ready(APP).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_covers_its_kinds_a_kind_beats_its_group_and_an_error_is_unknown() -> Result<()> {
    let test = Scenario::new("cel-group").await?;
    test.repo.write("app/map.yaml", &config_map("map", "1"))?;
    test.repo.write("app/secret.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: hidden}}")?;
    test.repo.write("app/account.yaml", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: robot}}")?;
    test.repo.commit("three kinds")?;
    let rules = "  timeout: 1s\n  healthCheckExprs:\n  - {apiVersion: v1, current: status.ready}\n  \
                 - {apiVersion: v1, kind: ConfigMap, current: \"data.value == '1'\"}";
    start(&test, rules).await?;
    let ready = test.condition(APP, "Ready", "False", "HealthCheckFailed", "timeout waiting for").await?;
    let error = "status: 'Unknown': failed to evaluate the CEL expression 'status.ready': no such attribute(s): status";
    for object in ["Secret/{}/hidden", "ServiceAccount/{}/robot"] {
        let line = format!("{} {error}", object.replace("{}", &test.namespace));
        assert!(ready.message.contains(&line), "{line}\nnot in {}", ready.message);
    }
    assert!(!ready.message.contains("ConfigMap/"), "its own rule holds: {}", ready.message);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_an_expression_stalls_until_the_spec_changes() -> Result<()> {
    let test = Scenario::new("cel-wrong").await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    let terminal = "Reconciliation failed terminally due to configuration error: ";
    let twice = "  healthCheckExprs:\n  - {apiVersion: x.org/v1, kind: W, current: 'true'}\n  \
                 - {apiVersion: x.org/v2, kind: W, current: 'true'}";
    start(&test, twice).await?;
    // Fails, too, and is tried again by the same retry interval.
    test.apply(&test.kustomization_yaml("retried", "./nowhere", "")).await?;
    let duplicate =
        format!("{terminal}duplicate custom health check for GroupKind W.x.org at healthchecks[1]");
    let unparsable = format!(
        "{terminal}failed to create custom status evaluator for healthchecks[0]: failed to parse the expression \
         Current: failed to parse the CEL expression 'foo.': "
    );
    let wrong = "  healthCheckExprs: [{apiVersion: x.org/v1, kind: W, current: foo.}]";
    for (spec, text) in [(None, duplicate), (Some(wrong), unparsable)] {
        if let Some(spec) = spec {
            test.apply(&test.kustomization_yaml("app", "./app", spec)).await?;
        }
        for (kind, status) in [("Ready", "False"), ("Stalled", "True")] {
            let condition = test.condition(APP, kind, status, "InvalidCELExpression", &text).await?;
            assert!(condition.message.starts_with(terminal), "{condition:?}");
        }
        test.event(APP, "Warning", "InvalidCELExpression", &text).await?;
        let app = test.get(APP).await?;
        assert_eq!(app.number("/status/observedGeneration"), app.number("/metadata/generation"));
        let before = runs(&test, "retried").await?;
        test.wait("another one is tried again", async || {
            match runs(&test, "retried").await.map_err(not_yet)? {
                now if now >= before + 3.0 => Ok(()),
                now => Err(Not::Yet(format!("{} runs", now - before))),
            }
        })
        .await?;
        assert_eq!(test.get(APP).await?["metadata"]["resourceVersion"], app["metadata"]["resourceVersion"]);
    }
    assert!(!test.exists("ConfigMap/map").await?);
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied(APP, &commit).await?;
    assert!(test.get(APP).await?.condition("Stalled").is_none());
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_others_is_judged_by_the_expressions_of_who_checks_it() -> Result<()> {
    let test = Scenario::new("cel-listed").await?;
    test.objects.apply(&config_map("other", "busy"), &test.namespace).await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let checks = format!(
        "  timeout: 10m\n  healthChecks: [{{apiVersion: v1, kind: ConfigMap, name: other, namespace: {}}}]\n{}",
        test.namespace,
        map_rule("data.value == 'good'", "data.value == 'bad'")
    );
    test.apply(&test.kustomization_yaml("app", "./app", &checks)).await?;
    test.condition(APP, "Healthy", "Unknown", "Progressing", "Running health checks").await?;
    test.patch("ConfigMap/other", &json!({"data": {"value": "good"}})).await?;
    test.applied(APP, &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_judged_by_the_controller_or_by_the_expressions_of_a_tenant() -> Result<()> {
    let test = Scenario::new("cel-job").await?;
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: work}\nspec:\n  suspend: true\n  template:\n    \
               spec: {restartPolicy: Never, containers: [{name: work, image: work}]}\n";
    let commit = test.repo.commit_file("app/job.yaml", job)?;
    let rule = "  healthCheckExprs: [{apiVersion: batch/v1, kind: Job, current: 'false', failed: 'true'}]";
    start(&test, rule).await?;
    // A suspended Job is fine, and the controller's own reader comes first.
    test.applied(APP, &commit).await?;
    test.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant}}").await?;
    test.kubectl(&[
        "create",
        "rolebinding",
        "tenant",
        "--clusterrole=admin",
        &format!("--serviceaccount={}:tenant", test.namespace),
    ])?;
    test.patch(APP, &json!({"spec": {"serviceAccountName": "tenant"}})).await?;
    test.condition(APP, "Ready", "False", "HealthCheckFailed", "work status: 'Failed'").await?;
    test.finish().await
}
