//! What a Kustomization says of its runs, and that it comes and goes cleanly.

use std::cell::Cell;

use anyhow::Result;
use e2e::objects::{Condition, Id, Look};
use e2e::scenario::Scenario;
use e2e::testkit::{config_map, deployment};
use e2e::wait::{self, Not};
use serde_json::{Value, json};

const APP: &str = "Kustomization/app";
/// Healthy says of ConfigMap `map` what its data say.
const RULE: &str = "  wait: true\n  healthCheckExprs: [{apiVersion: v1, kind: ConfigMap, current: \"data.value != 'bad'\", \
                    failed: \"data.value == 'bad'\"}]";

async fn roll_out(test: &Scenario, value: &str) -> Result<String> {
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", value))?;
    test.request("GitRepository/app").await?;
    Ok(commit)
}

async fn started(name: &str, value: &str, more: &str) -> Result<(Scenario, String)> {
    let test = Scenario::new(name).await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", value))?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    test.apply(&test.kustomization_yaml("app", "./app", more)).await?;
    Ok((test, commit))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_that_is_deleted_at_once_harms_no_other() -> Result<()> {
    let (test, commit) = started("at-once", "1", "").await?;
    for round in 0..10 {
        let name = format!("brief-{round}");
        test.apply(&test.kustomization_yaml(&name, "./app", "")).await?;
        test.kubectl(&["delete", "--wait=false", &format!("kustomization/{name}")])?;
    }
    for round in 0..10 {
        test.gone(&format!("Kustomization/brief-{round}")).await?;
    }
    test.request(APP).await?;
    test.applied(APP, &commit).await?;
    assert!(test.exists("ConfigMap/map").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn success_leaves_the_status_of_flux() -> Result<()> {
    let (test, commit) = started("success", "1", "").await?;
    let app = test.applied(APP, &commit).await?;
    let status = &app["status"];
    let revision = format!("main@sha1:{commit}");
    let ready = app.condition("Ready").unwrap();
    assert_eq!(
        (&*ready.reason, &*ready.message),
        ("ReconciliationSucceeded", &*format!("Applied revision: {revision}"))
    );
    assert_eq!(status["observedGeneration"], app["metadata"]["generation"]);
    assert_eq!(
        (&status["lastAppliedRevision"], &status["lastAttemptedRevision"]),
        (&json!(revision), &json!(revision))
    );
    assert_eq!(status["history"].as_array().map(Vec::len), Some(1));
    let entry = &status["history"][0];
    assert_eq!(
        (&entry["totalReconciliations"], entry.text("/lastReconciledStatus")),
        (&json!(1), "ReconciliationSucceeded")
    );
    for absent in ["Reconciling", "Stalled", "Healthy"] {
        assert!(app.condition(absent).is_none(), "{absent}");
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_is_never_ready_and_reconciling_at_once() -> Result<()> {
    let (test, _) = started("conformant", "1", "  wait: true\n  timeout: 10m").await?;
    let seen_under_way = Cell::new(false);
    for round in 2..8 {
        // Every other commit has something to wait for.
        let replicas = round % 2;
        test.repo.write("app/deployment.yaml", &deployment("web", replicas))?;
        let commit = roll_out(&test, &round.to_string()).await?;
        let is = |app: &Value, kind| app.condition(kind).is_some_and(|c: Condition| c.status == "True");
        test.until(APP, "is ready or has to wait", |app| {
            assert!(!(is(app, "Ready") && is(app, "Reconciling")), "{}", app["status"]["conditions"]);
            assert!(!(is(app, "Stalled") && is(app, "Reconciling")), "{}", app["status"]["conditions"]);
            let under_way = is(app, "Reconciling");
            if under_way && app.condition("Ready").is_some_and(|c| c.status == "Unknown") {
                seen_under_way.set(true);
            }
            let there = app.is_ready() && app.text("/status/lastAppliedRevision").ends_with(&commit);
            let tried = app.text("/status/lastAttemptedRevision").ends_with(&commit);
            there || replicas == 1 && under_way && tried
        })
        .await?;
    }
    assert!(seen_under_way.get(), "a run that waits says so");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_by_a_run_that_fails_too() -> Result<()> {
    let (test, _) = started("requested", "1", "").await?;
    test.patch(APP, &json!({"spec": {"path": "./nowhere"}})).await?;
    test.condition(APP, "Ready", "False", "ArtifactFailed", "path not found").await?;
    // Waits until the request is handled.
    let app = test.run(APP).await?;
    assert_eq!(app.condition("Ready").unwrap().status, "False");
    test.finish().await
}

/// Statuses, counts and digests of the history.
fn history(app: &Value) -> Vec<(String, i64, String)> {
    let entries = app["status"]["history"].as_array().cloned().unwrap_or_default();
    let entry = |e: &Value| {
        (
            e.text("/lastReconciledStatus").to_owned(),
            e.number("/totalReconciliations"),
            e.text("/digest").to_owned(),
        )
    };
    entries.iter().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_health_recovery_and_news_are_told_and_remembered() -> Result<()> {
    let (test, commit) = started("told", "one", RULE).await?;
    let good = history(&test.applied(APP, &commit).await?);
    assert_eq!(good.len(), 1);

    // A spec that is not observed until it succeeds, with content that is not healthy.
    test.patch(APP, &json!({"spec": {"retryInterval": "1h"}})).await?;
    roll_out(&test, "bad").await?;
    let failed = "failed early due to stalled resources: [ConfigMap/";
    test.condition(APP, "Ready", "False", "HealthCheckFailed", failed).await?;
    let healthy = test.condition(APP, "Healthy", "False", "HealthCheckFailed", failed).await?;
    assert!(healthy.message.starts_with(failed), "{healthy:?}");
    test.condition(APP, "Reconciling", "True", "ProgressingWithRetry", "Running health checks for revision")
        .await?;
    let app = test.get(APP).await?;
    assert_eq!(history(&app)[0].0, "HealthCheckFailed");
    let name = format!("ConfigMap/{}/map", test.namespace);
    test.event(APP, "Warning", "HealthCheckFailed", &name).await?;

    // The content of the first commit again: its entry counts on and moves to the front.
    let commit = roll_out(&test, "one").await?;
    let app = test.applied(APP, &commit).await?;
    let healthy = app.condition("Healthy").unwrap();
    assert!(healthy.message.starts_with("Health check passed in "), "{healthy:?}");
    let entries = history(&app);
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert_eq!((&entries[0].0, &entries[0].2), (&good[0].0, &good[0].2));
    assert!(entries[0].1 > good[0].1, "{entries:?}");
    let passed = test.event(APP, "Normal", "Progressing", "Health check passed in").await?;
    let finished = test.event(APP, "Normal", "ReconciliationSucceeded", "Reconciliation finished in").await?;
    assert!(passed.text("/lastTimestamp") <= finished.text("/lastTimestamp"));

    let commit = roll_out(&test, "two").await?;
    let app = test.applied(APP, &commit).await?;
    let ready = app.condition("Ready").unwrap();
    assert_eq!(ready.message, format!("Applied revision: main@sha1:{commit}"));
    assert_eq!(history(&app).len(), 3);
    let revision = format!("main@sha1:{commit}");
    // Health is told again for content that is new.
    test.wait("health is told of for new content", async || {
        let events = test.objects.events(&test.id(APP).map_err(Not::Ever)?).await.map_err(wait::not_yet)?;
        let told = events.iter().any(|e| {
            e.text("/message").contains("Health check passed in")
                && e["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/revision"] == revision
        });
        if told { Ok(()) } else { Err(Not::Yet("no such event".into())) }
    })
    .await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generation_is_not_observed_before_it_succeeds() -> Result<()> {
    let (test, commit) = started("observed", "bad", "").await?;
    let app = test.applied(APP, &commit).await?;
    assert_eq!(app["status"]["observedGeneration"], app["metadata"]["generation"]);
    test.apply(&test.kustomization_yaml("app", "./app", RULE)).await?;
    test.condition(APP, "Ready", "False", "HealthCheckFailed", "map status: 'Failed'").await?;
    let app = test.get(APP).await?;
    assert_eq!(app.number("/status/observedGeneration"), app.number("/metadata/generation") - 1);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_of_what_never_comes_fails_after_half_a_minute() -> Result<()> {
    let more = "  timeout: 1s\n  healthChecks: [{apiVersion: v1, kind: ConfigMap, name: does-not-exist, namespace: NS}]";
    let test = Scenario::new("never").await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", &more.replace("NS", &test.namespace))).await?;
    let missing =
        format!("timeout waiting for: [ConfigMap/{}/does-not-exist status: 'NotFound'", test.namespace);
    let ready = test.condition(APP, "Ready", "False", "HealthCheckFailed", &missing).await?;
    // One second was asked for; half a minute is the least. A busy machine may take longer.
    let took = ready.message.strip_prefix("health check failed after ").and_then(|m| m.split_once("s: "));
    let (took, _) = took.unwrap_or_else(|| panic!("{ready:?}"));
    assert!(took.contains('m') || took.parse::<f64>()? >= 30.0, "{ready:?}");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_ignored_is_neither_made_nor_awaited() -> Result<()> {
    let test = Scenario::new("ignored").await?;
    let ignored = deployment("web", 1)
        .replace("{name: web}", "{name: web, annotations: {kustomize.toolkit.fluxcd.io/ssa: Ignore}}");
    test.repo.write("app/web.yaml", &ignored)?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true\n  timeout: 10m")).await?;
    test.applied(APP, &commit).await?;
    assert!(!test.exists("Deployment/web").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_is_known_as_soon_as_it_is_defined_and_not_any_more_when_it_is_gone() -> Result<()> {
    let test = Scenario::new("kinds-come").await?;
    let group = format!("{}.example.org", test.namespace);
    let version = |name: &str, storage| {
        json!({"name": name, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
    };
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [version("v1alpha1", false), version("v1", true)]},
    });
    let widget =
        |version: &str| format!("apiVersion: {group}/{version}\nkind: Widget\nmetadata: {{name: one}}\n");
    test.repo.write("crd/crd.yaml", &crd.to_string())?;
    test.repo.write("crd/widget.yaml", &widget("v1"))?;
    test.repo.write("app/widget.yaml", &widget("v1").replace("one", "two"))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("crd", "./crd", "  wait: true")).await?;
    test.applied("Kustomization/crd", &commit).await?;
    // A health check in a version that is not the preferred one finds the object in that.
    let check = format!(
        "  healthChecks: [{{apiVersion: {group}/v1alpha1, kind: Widget, name: one, namespace: {}}}]",
        test.namespace
    );
    test.apply(&test.kustomization_yaml("app", "./app", &check)).await?;
    test.applied(APP, &commit).await?;
    assert!(
        test.objects.get(&Id::of(&format!("{group}/v1"), "Widget", &test.namespace, "two")).await?.is_some()
    );

    test.patch(APP, &json!({"spec": {"healthChecks": null}})).await?;
    test.patch("Kustomization/crd", &json!({"spec": {"suspend": true}})).await?;
    test.kubectl(&["delete", "crd", &format!("widgets.{group}")])?;
    test.run(APP).await?;
    test.condition(APP, "Ready", "False", "ReconciliationFailed", "no matches for kind \"Widget\"").await?;
    test.finish().await
}
