//! What becomes of drift: it can be reported in place of repaired, and a fight over a field is no hot loop.

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{add_barrier, config_map, pass_barrier, runs};
use e2e::wait::{self, Not};
use serde_json::{Value, json};

/// The scenario once Kustomization `app` has applied ConfigMaps `a` and `b`, with `more` lines of metadata.
async fn start(test: Scenario, more: &str) -> Result<Scenario> {
    for name in ["a", "b"] {
        test.repo.write(&format!("app/{name}.yaml"), &config_map(name, "git"))?;
    }
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    let yaml = test.kustomization_yaml("app", "./app", "");
    test.apply(&yaml.replace("{name: app}\nspec", &format!("{{name: app{more}}}\nspec"))).await?;
    test.applied("Kustomization/app", &commit).await?;
    Ok(test)
}

async fn change(test: &Scenario, name: &str) -> Result<()> {
    test.patch(&format!("ConfigMap/{name}"), &json!({"data": {"value": "hand"}})).await.map(drop)
}

async fn repaired(test: &Scenario, name: &str) -> Result<()> {
    let is = |o: &Value| o.text("/data/value") == "git";
    test.until(&format!("ConfigMap/{name}"), "is repaired", is).await.map(drop)
}

/// Waits until drift of exactly these lines is reported; `{}` stands for the namespace.
async fn reported(test: &Scenario, lines: &str) -> Result<()> {
    let lines = lines.replace("{}", &test.namespace);
    let app = test
        .until("Kustomization/app", "reports drift", |o| {
            o.condition("Drifted").is_some_and(|c| c.message == lines)
        })
        .await?;
    let condition = app.condition("Drifted").unwrap();
    assert_eq!((&*condition.status, &*condition.reason), ("True", "DriftDetected"));
    assert!(app.is_ready(), "{app}");
    let event = test.event("Kustomization/app", "Warning", "DriftDetected", &lines).await?;
    assert_eq!(event.text("/message"), lines);
    Ok(())
}

/// The objects that the metric says have drifted.
async fn metric(test: &Scenario) -> Result<f64> {
    let namespace = format!("namespace=\"{}\"", test.namespace);
    test.pair()?.kustomize.metric("gotk_drifted_objects", &[&namespace, "name=\"app\""]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_can_be_reported_until_git_or_a_person_says_otherwise() -> Result<()> {
    let report = ", annotations: {kustomize.toolkit.fluxcd.io/drift: Report}";
    let test = start(Scenario::with_own_controllers("report", &[]).await?, report).await?;
    add_barrier(&test, &config_map("barrier", "git")).await?;
    assert_eq!(metric(&test).await?, 0.0);
    change(&test, "a").await?;
    reported(&test, "ConfigMap/{}/a configured").await?;
    assert_eq!(metric(&test).await?, 1.0);
    test.kubectl(&["delete", "configmap/b"])?;
    reported(&test, "ConfigMap/{}/a configured\nConfigMap/{}/b created").await?;
    assert_eq!(metric(&test).await?, 2.0);
    test.idle().await?;
    let before = runs(&test, "app").await?;
    pass_barrier(&test, "ConfigMap/barrier").await?;
    assert_eq!(runs(&test, "app").await?, before, "it is looked at once");
    assert_eq!(test.get("ConfigMap/a").await?.text("/data/value"), "hand");
    assert!(!test.exists("ConfigMap/b").await?);

    // A commit that changes what is built is applied, all of it.
    let commit = test.repo.commit_file("app/c.yaml", &config_map("c", "git"))?;
    test.request("GitRepository/app").await?;
    let app = test.applied("Kustomization/app", &commit).await?;
    assert_eq!(app.condition("Drifted"), None);
    assert_eq!(metric(&test).await?, 0.0);
    assert!(
        test.get("ConfigMap/b").await?.text("/metadata/labels/kustomize.toolkit.fluxcd.io~1name") == "app"
    );

    // So is what a person asks for; a commit that changes nothing here is not.
    change(&test, "a").await?;
    reported(&test, "ConfigMap/{}/a configured").await?;
    let commit = test.repo.commit_file("elsewhere.yaml", "# nothing")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    assert_eq!(test.get("ConfigMap/a").await?.text("/data/value"), "hand");
    let app = test.run("Kustomization/app").await?;
    assert_eq!(app.condition("Drifted"), None);
    repaired(&test, "a").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn reporting_can_be_the_default_and_outlives_a_restart() -> Result<()> {
    let test = Scenario::with_own_controllers("report-all", &["--drift-mode=report"]).await?;
    let mut test = start(test, "").await?;
    test.own()?.kustomize.stop()?;
    change(&test, "a").await?;
    test.own()?.kustomize.restart().await?;
    reported(&test, "ConfigMap/{}/a configured").await?;
    assert_eq!(test.get("ConfigMap/a").await?.text("/data/value"), "hand");
    // The object's own word counts more.
    let repair = json!({"metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/drift": "repair"}}});
    test.patch("Kustomization/app", &repair).await?;
    change(&test, "b").await?;
    repaired(&test, "b").await?;
    repaired(&test, "a").await?;
    test.until("Kustomization/app", "reports nothing", |o| o.condition("Drifted").is_none()).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fight_over_a_field_slows_down_is_told_once_and_delays_no_other_object() -> Result<()> {
    let test = start(Scenario::new("fight").await?, "").await?;
    for _ in 0..4 {
        change(&test, "a").await?;
        repaired(&test, "a").await?;
    }
    let text =
        format!("ConfigMap/{}/a was changed back 4 times in a row after changes by \"e2e\"", test.namespace);
    test.event("Kustomization/app", "Warning", "DriftRepeated", &text).await?;
    // The next repair is some seconds away; another object does not wait for it.
    change(&test, "a").await?;
    repaired(&test, "a").await?;
    change(&test, "b").await?;
    repaired(&test, "b").await?;
    let told = test
        .wait("events can be read", async || {
            let events = test.objects.events(&test.id("Kustomization/app").map_err(Not::Ever)?).await;
            let events = events.map_err(wait::not_yet)?;
            let told = events.iter().filter(|e| e.text("/reason") == "DriftRepeated");
            Ok(told.map(|e| e.number("/count").max(1)).sum::<i64>())
        })
        .await?;
    assert_eq!(told, 1);
    test.finish().await
}
