//! Applied objects that are deleted at a moment at which nobody looks: while nothing is watched, before a pass has seen
//! them, while their run waits. None of them may stay away until the next run by interval, which is an hour here.

use anyhow::Result;
use e2e::api_proxy::{Break, Call, Fault, Rule};
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{add_barrier, applied, config_map, deployment};
use e2e::wait::LIMIT;
use serde_json::{Value, json};

/// A scenario in which no ConfigMap is listed or watched until the proxy heals, with ConfigMap `a` in Git.
async fn blind(name: &str) -> Result<(Scenario, String)> {
    let test = Scenario::through_proxy(name, &[]).await?;
    let looks = |call: &Call| call.is_about("configmaps") && (call.is_list() || call.is_watch());
    test.proxy()?.add(Rule::new(Fault::Status(500), looks));
    let commit = test.repo.commit_file("app/a.yaml", &config_map("a", "git"))?;
    test.apply_source().await?;
    Ok((test, commit))
}

async fn is_back(test: &Scenario) -> Result<()> {
    test.until("ConfigMap/a", "is back", |map| map.text("/data/value") == "git").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_only_a_health_check_has_seen() -> Result<()> {
    let (test, commit) = blind("missing-healthy").await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true")).await?;
    test.condition("Kustomization/app", "Healthy", "Unknown", "Progressing", "").await?;
    test.proxy()?.heal();
    test.applied("Kustomization/app", &commit).await?;
    test.idle().await?;
    test.kubectl(&["delete", "configmap/a"])?;
    is_back(&test).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_came_and_went_while_nothing_was_watched() -> Result<()> {
    let (test, commit) = blind("missing-unseen").await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    test.idle().await?;
    test.kubectl(&["delete", "configmap/a"])?;
    test.proxy()?.heal();
    is_back(&test).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_goes_while_its_run_waits_for_another() -> Result<()> {
    let test = Scenario::with_own_controllers("missing-waiting", &[]).await?;
    test.repo.commit_file("app/a.yaml", &config_map("a", "git"))?;
    test.apply_source().await?;
    add_barrier(&test, &config_map("barrier", "git")).await?;
    let check =
        format!("{{apiVersion: apps/v1, kind: Deployment, name: outside, namespace: {}}}", test.namespace);
    let yaml = test.kustomization_yaml("app", "./app", &format!("  timeout: 5m\n  healthChecks: [{check}]"));
    test.apply(&yaml).await?;
    test.condition("Kustomization/app", "Healthy", "Unknown", "Progressing", "").await?;
    for object in ["configmap/a", "configmap/barrier"] {
        test.kubectl(&["delete", object])?;
    }
    // Its watch has shown both by now.
    test.until("ConfigMap/barrier", "is made anew", |_| true).await?;
    assert!(!test.exists("ConfigMap/a").await?, "the run waits");
    // Healthy, and no object of ours.
    test.apply(&deployment("outside", 0)).await?;
    test.ready("Kustomization/app").await?;
    is_back(&test).await?;
    test.finish().await
}

/// The watch of Kustomizations lags: it has not shown yet what was applied.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_owner_was_seen_before_it_applied_it() -> Result<()> {
    let test = Scenario::through_proxy("missing-owner", &[]).await?;
    let commit = test.repo.commit_file("app/a.yaml", &config_map("a", "git"))?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.condition("Kustomization/app", "Ready", "False", "ArtifactFailed", "").await?;
    let looks = |call: &Call| call.is_about("kustomizations") && (call.is_list() || call.is_watch());
    let blind = test.proxy()?.add(Rule::new(Fault::Status(500), looks));
    test.proxy()?.break_watches(Break::Reset);
    blind.has_hit(1, LIMIT).await?;
    test.apply_source().await?;
    test.applied("Kustomization/app", &commit).await?;
    test.idle().await?;
    test.kubectl(&["delete", "configmap/a"])?;
    is_back(&test).await?;
    test.finish().await
}

#[tokio::test]
async fn objects_that_go_as_soon_as_they_are_repaired_are_missed() -> Result<()> {
    const COUNT: usize = 40;
    let test = Scenario::with_own_controllers("missing-repaired", &[]).await?;
    let files: Vec<_> = (0..COUNT).map(|number| config_map(&format!("m-{number}"), "1")).collect();
    let names: Vec<_> = (0..COUNT).map(|number| format!("{number}.yaml")).collect();
    let files: Vec<_> = names.iter().map(String::as_str).zip(files).collect();
    let test = applied(test, &files, "").await?;
    let value = |object: &Value| object.text("/data/value").to_owned();
    for number in 0..COUNT {
        let id = test.id(&format!("ConfigMap/m-{number}"))?;
        test.objects.patch(&id, &json!({"data": {"value": "drifted"}})).await?;
        test.until(&format!("ConfigMap/m-{number}"), "is repaired", |object| value(object) == "1").await?;
        test.objects.delete(&id).await?;
    }
    for number in 0..COUNT {
        test.until(&format!("ConfigMap/m-{number}"), "is made anew", |object| value(object) == "1").await?;
    }
    test.finish().await
}
