//! Drift, and its correction.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use apply::ignore::{Limits, Rule, Rules};
use helm_actions::drift::{Difference, DriftOptions};
use serde_json::{Value, json};

use crate::bed::*;

const SECRET: (&str, &str) = (
    "templates/secret.yaml",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: secret}\nstringData: {key: hunter2}\n",
);
const OTHER: (&str, &str) =
    ("templates/other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\ndata: {a: \"1\"}\n");

#[tokio::test(flavor = "multi_thread")]
async fn what_others_changed_is_found_and_set_back() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP, SECRET, OTHER])?;
    let release = good(bed.install("web", &chart, "{}").await).release;
    let options = DriftOptions::default();
    let diff = bed.configuration.diff(&release, &options).await;
    assert!(!diff.has_changes(), "{}", diff.summary());
    let map = bed.id("ConfigMap", "web-map");
    bed.objects
        .patch(&map, &json!({"data": {"text": "theirs"}, "metadata": {"labels": {"theirs": "x"}}}))
        .await?;
    bed.objects.delete(&bed.id("ConfigMap", "other")).await?;
    let diff = bed.configuration.diff(&release, &options).await;
    let namespace = &bed.namespace;
    let lines = format!(
        "ConfigMap/{namespace}/web-map changed (0 additions, 1 changes, 0 removals)\nConfigMap/{namespace}/other removed"
    );
    assert_eq!(diff.summary(), lines);
    assert_eq!(diff.brief(), "removed: 1, changed: 1, excluded: 0");
    let correction = bed.configuration.correct(&diff, LIMIT).await;
    assert!(correction.failures.is_empty(), "{:?}", correction.failures);
    let lines = format!("ConfigMap/{namespace}/other created\nConfigMap/{namespace}/web-map configured");
    assert_eq!(correction.summary(), lines);
    let live = bed.objects.get(&map).await?.unwrap();
    assert_eq!(
        (&live["data"]["text"], &live["metadata"]["labels"]["theirs"]),
        (&json!("default"), &json!("x"))
    );
    assert!(!bed.configuration.diff(&release, &options).await.has_changes());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_to_others_is_no_drift() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP, SECRET, OTHER])?;
    let release = good(bed.install("web", &chart, "{}").await).release;
    bed.objects.patch(&bed.id("ConfigMap", "web-map"), &json!({"data": {"text": "theirs"}})).await?;
    let disabled = json!({"data": {"a": "2"}, "metadata": {"annotations": {"helm.toolkit.fluxcd.io/driftDetection": "disabled"}}});
    bed.objects.patch(&bed.id("ConfigMap", "other"), &disabled).await?;
    bed.objects.patch(&bed.id("Secret", "secret"), &json!({"data": {"key": "eA=="}})).await?;
    let is_map = |object: &Value| object["kind"] == "ConfigMap";
    let rule = Rule { paths: vec!["/data/text".to_owned()], target: Some(Arc::new(is_map)) };
    let options = DriftOptions {
        ignore: Rules::new(vec![rule], Limits::default())?,
        excluded: vec![Arc::new(|object: &Value| object["kind"] == "Secret")],
        override_managers: Vec::new(),
        ..DriftOptions::default()
    };
    let diff = bed.configuration.diff(&release, &options).await;
    assert!(!diff.has_changes(), "{}", diff.summary());
    assert_eq!(diff.brief(), "removed: 0, changed: 0, excluded: 2");
    let map = diff.objects.iter().find(|drift| drift.id().name == "web-map").unwrap();
    assert_eq!(map.difference, Difference::None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_managers_that_are_overridden_go() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    let release = good(bed.install("web", &chart, "{}").await).release;
    let map = bed.id("ConfigMap", "web-map");
    let live = bed.objects.patch(&map, &json!({"data": {"theirs": "x"}})).await?;
    let managers = live["metadata"]["managedFields"].as_array().unwrap().iter();
    let theirs =
        managers.filter_map(|entry| entry["manager"].as_str()).find(|name| *name != "helm-controller");
    let options = DriftOptions { override_managers: vec![theirs.unwrap().to_owned()], ..Default::default() };
    assert!(!bed.configuration.diff(&release, &DriftOptions::default()).await.has_changes());
    let diff = bed.configuration.diff(&release, &options).await;
    assert!(diff.summary().ends_with("changed (0 additions, 0 changes, 1 removals)"), "{}", diff.summary());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_ends_when_its_time_is_over_or_the_process_ends() -> Result<()> {
    let mut bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP, OTHER])?;
    let release = good(bed.install("web", &chart, "{}").await).release;
    bed.objects.patch(&bed.id("ConfigMap", "web-map"), &json!({"data": {"text": "theirs"}})).await?;
    bed.objects.delete(&bed.id("ConfigMap", "other")).await?;
    let diff = bed.configuration.diff(&release, &DriftOptions::default()).await;
    assert_eq!(diff.changes(), 2);
    let failures = |why: &str| {
        let map = format!("ConfigMap/{}", bed.namespace);
        vec![format!("{map}/other creation failure: {why}"), format!("{map}/web-map patch failure: {why}")]
    };
    let [late, canceled] = ["context deadline exceeded", "context canceled"].map(failures);
    let client = bed.hang();
    let correction = bed.configuration.correct(&diff, Duration::from_millis(50)).await;
    assert_eq!((correction.failures, correction.corrected), (late, Vec::new()));
    bed.configuration.client = client;
    bed.configuration.stop.interrupt.cancel();
    let correction = bed.configuration.correct(&diff, LIMIT).await;
    assert_eq!((correction.failures, correction.corrected), (canceled.clone(), Vec::new()));
    bed.configuration.stop = Default::default();
    bed.configuration.stop.shutdown.cancel();
    assert_eq!(bed.configuration.correct(&diff, LIMIT).await.failures, canceled);
    assert_eq!(bed.text("web-map").await?.as_deref(), Some("theirs"));
    assert!(bed.get("ConfigMap", "other").await?.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_beside_one_whose_kind_is_not_served_any_more_are_set_back() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP, OTHER])?;
    let mut release = good(bed.install("web", &chart, "{}").await).release;
    release.manifest.push_str("---\napiVersion: example.org/v1\nkind: Gone\nmetadata: {name: a}\n");
    bed.objects.patch(&bed.id("ConfigMap", "web-map"), &json!({"data": {"text": "theirs"}})).await?;
    let diff = bed.configuration.diff(&release, &DriftOptions::default()).await;
    let errors: Vec<String> = diff.errors.iter().map(|error| net::chain(error)).collect();
    let text = "resource mapping not found for name: \"a\" namespace: \"\" from \"\": no matches for kind \"Gone\" in version \"example.org/v1\"";
    assert!(matches!(&*errors, [error] if error.starts_with(text)), "{errors:?}");
    assert_eq!((diff.objects.len(), diff.changes()), (2, 1));
    let correction = bed.configuration.correct(&diff, LIMIT).await;
    assert_eq!(correction.summary(), format!("ConfigMap/{}/web-map configured", bed.namespace));
    assert_eq!(bed.text("web-map").await?.as_deref(), Some("default"));
    Ok(())
}

/// Actions are spawned by controllers.
#[tokio::test(flavor = "multi_thread")]
async fn actions_can_run_in_tasks_of_their_own() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    let plan = bed.configuration.plan_install("web", &bed.namespace, false).await?;
    let rendition = bed.rendition(&chart, plan.release(), "{}")?;
    let configuration = bed.configuration.clone();
    let task = tokio::spawn(async move {
        let release = good(plan.run(rendition, &install()).await).release;
        let diff = configuration.diff(&release, &DriftOptions::default()).await;
        configuration.correct(&diff, LIMIT).await;
        let crds = Default::default();
        let policy = helm_actions::CrdPolicy::Create;
        let method = helm_release::ApplyMethod::ServerSide;
        configuration.apply_crds(&[], policy, method, &crds, &wait()).await?;
        let plan = configuration.plan_upgrade("web").await?;
        good(plan.run(Default::default(), &upgrade()).await);
        good(configuration.rollback("web", &rollback(1)).await);
        configuration.unlock("web").await?;
        let tests = helm_actions::options::Test {
            timeout: LIMIT,
            rules: None,
            included: Vec::new(),
            excluded: Vec::new(),
        };
        good(configuration.test("web", &tests).await);
        good(configuration.uninstall("web", &uninstall()).await);
        anyhow::Ok(())
    });
    task.await?
}
