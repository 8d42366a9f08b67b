//! Kustomization: apply, prune, drift, health, dependencies, deletion.

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::{applied, config_map, deployment, roll_out};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_removed_from_git_disappears_from_the_cluster() -> Result<()> {
    let test = applied(
        Scenario::new("prune").await?,
        &[("a.yaml", config_map("a", "1")), ("b.yaml", config_map("b", "1"))],
        "",
    )
    .await?;
    let kept = config_map("kept", "1")
        .replace("{name: kept}", "{name: kept, annotations: {kustomize.toolkit.fluxcd.io/prune: Disabled}}");
    test.repo.write("app/kept.yaml", &kept)?;
    let commit = test.repo.commit("keep")?;
    roll_out(&test, &commit).await?;
    test.repo.remove("app/b.yaml")?;
    test.repo.remove("app/kept.yaml")?;
    let commit = test.repo.commit("remove")?;
    roll_out(&test, &commit).await?;
    test.gone("ConfigMap/b").await?;
    assert!(test.exists("ConfigMap/a").await?);
    assert!(test.exists("ConfigMap/kept").await?, "prune: disabled protects it");
    let deleted = format!("ConfigMap/{}/b deleted", test.namespace);
    test.event("Kustomization/app", "Normal", "Progressing", &deleted).await?;
    let app = test.get("Kustomization/app").await?;
    let inventory = json!([{"id": format!("{}_a__ConfigMap", test.namespace), "v": "v1"}]);
    assert_eq!(app["status"]["inventory"]["entries"], inventory);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_stay_without_prune() -> Result<()> {
    let test = applied(
        Scenario::new("no-prune").await?,
        &[("a.yaml", config_map("a", "1")), ("b.yaml", config_map("b", "1"))],
        "",
    )
    .await?;
    test.patch("Kustomization/app", &json!({"spec": {"prune": false}})).await?;
    test.repo.remove("app/b.yaml")?;
    let commit = test.repo.commit("remove")?;
    roll_out(&test, &commit).await?;
    assert!(test.exists("ConfigMap/b").await?);
    test.kubectl(&["delete", "--wait=false", "kustomization/app"])?;
    test.gone("Kustomization/app").await?;
    assert!(test.exists("ConfigMap/a").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_run_touches_no_object() -> Result<()> {
    let files = [("a.yaml", config_map("a", "1")), ("b.yaml", deployment("b", 0))];
    let test = applied(Scenario::new("unchanged").await?, &files, "  wait: true").await?;
    let version = async |name| anyhow::Ok(test.get(name).await?["metadata"]["resourceVersion"].clone());
    // The deployment controller may still be writing status.
    test.until("Deployment/b", "is settled", |d| d.condition("Available").is_some()).await?;
    let before = [version("ConfigMap/a").await?, version("Deployment/b").await?];
    test.run("Kustomization/app").await?;
    test.ready("Kustomization/app").await?;
    assert_eq!([version("ConfigMap/a").await?, version("Deployment/b").await?], before);
    // A new commit that changes one object is an apply of that one.
    let commit = test.repo.commit_file("app/a.yaml", &config_map("a", "2"))?;
    roll_out(&test, &commit).await?;
    assert_eq!(version("Deployment/b").await?, before[1]);
    let line = format!("ConfigMap/{}/a configured", test.namespace);
    let event = test.event("Kustomization/app", "Normal", "Progressing", &line).await?;
    assert_eq!(event.text("/message"), line);
    test.finish().await
}

/// Changes what Kustomization `app` has applied by hand and expects that each change is undone.
async fn undoes_manual_changes(test: &Scenario) -> Result<()> {
    test.patch("ConfigMap/map", &json!({"data": {"value": "hand", "other": "mine"}})).await?;
    let map = test.until("ConfigMap/map", "is repaired", |m| m.text("/data/value") == "git").await?;
    assert_eq!(map.text("/data/other"), "mine", "a field that Git does not name stays");
    test.kubectl(&["scale", "deployment/deploy", "--replicas=3"])?;
    test.until("Deployment/deploy", "is repaired", |d| d["spec"]["replicas"] == 0).await?;
    test.kubectl(&["delete", "configmap/map"])?;
    test.until("ConfigMap/map", "is back", |m| m.text("/data/value") == "git").await?;
    for line in ["ConfigMap/{}/map configured", "Deployment/{}/deploy configured", "ConfigMap/{}/map created"]
    {
        test.event("Kustomization/app", "Normal", "Progressing", &line.replace("{}", &test.namespace))
            .await?;
    }
    Ok(())
}

fn drifting() -> [(&'static str, String); 2] {
    [("map.yaml", config_map("map", "git")), ("deploy.yaml", deployment("deploy", 0))]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_change_is_undone_when_it_happens() -> Result<()> {
    // The interval is an hour: it is the change itself that is noticed.
    let test = applied(Scenario::new("drift").await?, &drifting(), "").await?;
    undoes_manual_changes(&test).await?;
    // Told so, it leaves an object alone.
    test.kubectl(&["annotate", "configmap/map", "kustomize.toolkit.fluxcd.io/reconcile=disabled"])?;
    test.patch("ConfigMap/map", &json!({"data": {"value": "hand"}})).await?;
    test.run("Kustomization/app").await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "hand");
    test.kubectl(&["annotate", "configmap/map", "kustomize.toolkit.fluxcd.io/reconcile-"])?;
    test.until("ConfigMap/map", "is repaired again", |m| m.text("/data/value") == "git").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_change_is_undone_at_the_interval_or_on_request_when_watching_is_off() -> Result<()> {
    let test = Scenario::with_own_controllers("interval", &["--watch-drift=false"]).await?;
    let test = applied(test, &drifting(), "").await?;
    test.patch("ConfigMap/map", &json!({"data": {"value": "hand"}})).await?;
    test.run("Kustomization/app").await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "git");
    test.patch("Kustomization/app", &json!({"spec": {"interval": "1s"}})).await?;
    undoes_manual_changes(&test).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_kustomization_deletes_what_it_applied() -> Result<()> {
    let namespaced = [("a.yaml", config_map("a", "1")), ("d.yaml", deployment("d", 0))];
    let test = applied(Scenario::new("delete").await?, &namespaced, "").await?;
    let app = test.get("Kustomization/app").await?;
    assert_eq!(app["metadata"]["finalizers"], json!(["finalizers.fluxcd.io"]));
    // The source is not needed for that.
    test.kubectl(&["delete", "--wait=false", "gitrepository/app"])?;
    test.gone("GitRepository/app").await?;
    test.kubectl(&["delete", "--wait=false", "kustomization/app"])?;
    test.gone("Kustomization/app").await?;
    test.gone("ConfigMap/a").await?;
    test.gone("Deployment/d").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deletion_policy_decides_what_stays() -> Result<()> {
    for (name, spec, stays) in [
        ("orphan", json!({"deletionPolicy": "Orphan"}), true),
        ("delete-unpruned", json!({"deletionPolicy": "Delete", "prune": false}), false),
        ("suspended", json!({"suspend": true}), true),
    ] {
        let test = applied(Scenario::new(name).await?, &[("map.yaml", config_map("map", "1"))], "").await?;
        test.patch("Kustomization/app", &json!({"spec": spec})).await?;
        test.kubectl(&["delete", "--wait=false", "kustomization/app"])?;
        test.gone("Kustomization/app").await?;
        if stays {
            assert!(test.exists("ConfigMap/map").await?, "{name}");
        } else {
            test.gone("ConfigMap/map").await?;
        }
        test.finish().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_kustomization_applies_nothing_until_it_is_resumed() -> Result<()> {
    let test = applied(Scenario::new("suspend").await?, &[("map.yaml", config_map("map", "1"))], "").await?;
    test.patch("Kustomization/app", &json!({"spec": {"suspend": true}})).await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "2"))?;
    test.run("GitRepository/app").await?;
    test.until("GitRepository/app", "has the commit", |o| {
        o.is_ready() && o.text("/status/artifact/revision").ends_with(&commit)
    })
    .await?;
    test.run("Kustomization/app").await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "1");
    test.patch("Kustomization/app", &json!({"spec": {"suspend": false}})).await?;
    test.applied("Kustomization/app", &commit).await?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "2");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependent_waits_and_wakes_when_its_dependency_is_ready() -> Result<()> {
    // The backstop is an hour away: a dependent is woken.
    let test = Scenario::with_own_controllers("depends", &["--requeue-dependency=1h"]).await?;
    test.repo.write("second/map.yaml", &config_map("second", "1"))?;
    test.repo.commit("second")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("second", "./second", "  dependsOn: [{name: first}]")).await?;
    let missing = format!("dependency '{}/first' not found", test.namespace);
    test.condition("Kustomization/second", "Ready", "False", "DependencyNotReady", &missing).await?;
    let waiting = "Dependencies do not meet ready condition, retrying in 1h0m0s";
    test.event("Kustomization/second", "Normal", "DependencyNotReady", waiting).await?;

    test.apply(&test.kustomization_yaml("first", "./first", "")).await?;
    test.condition("Kustomization/first", "Ready", "False", "ArtifactFailed", "kustomization path not found")
        .await?;
    let not_ready = format!("dependency '{}/first' is not ready", test.namespace);
    test.condition("Kustomization/second", "Ready", "False", "DependencyNotReady", &not_ready).await?;
    assert!(!test.exists("ConfigMap/second").await?);

    test.repo.write("first/map.yaml", &config_map("first", "1"))?;
    let commit = test.repo.commit("first")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/first", &commit).await?;
    test.applied("Kustomization/second", &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_reports_health_and_a_new_commit_ends_a_hopeless_wait() -> Result<()> {
    let test = Scenario::new("health").await?;
    test.repo.commit_file("app/app.yaml", &deployment("web", 1))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true\n  timeout: 1h")).await?;
    test.condition("Kustomization/app", "Healthy", "Unknown", "Progressing", "Running health checks").await?;
    let app = test.get("Kustomization/app").await?;
    assert_eq!(app.condition("Ready").unwrap().status, "Unknown");
    assert_eq!(app.condition("Reconciling").unwrap().reason, "Progressing");
    // It does not wait for the timeout of the first run.
    let commit = test.repo.commit_file("app/app.yaml", &deployment("web", 0))?;
    test.request("GitRepository/app").await?;
    let app = test.applied("Kustomization/app", &commit).await?;
    let canceled = format!(
        "Health checks canceled due to new reconciliation triggered by GitRepository/{}/app",
        test.namespace
    );
    test.event("Kustomization/app", "Normal", "HealthCheckCanceled", &canceled).await?;
    let healthy = app.condition("Healthy").unwrap();
    assert_eq!((&*healthy.status, &*healthy.reason), ("True", "Succeeded"));
    assert!(healthy.message.starts_with("Health check passed in "), "{healthy:?}");
    test.event("Kustomization/app", "Normal", "Progressing", "Health check passed in").await?;
    test.event("Kustomization/app", "Normal", "ReconciliationSucceeded", ", next run in 1h0m0s").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_stays_unhealthy_fails_and_recovers() -> Result<()> {
    let test = Scenario::new("unhealthy").await?;
    test.repo.commit_file("app/app.yaml", &deployment("web", 1))?;
    test.apply_source().await?;
    // Anything below 30 s counts as 30 s.
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true\n  timeout: 1s")).await?;
    let seen = format!("timeout waiting for: [Deployment/{}/web status: 'InProgress'", test.namespace);
    let ready = test.condition("Kustomization/app", "Ready", "False", "HealthCheckFailed", &seen).await?;
    assert!(ready.message.starts_with("health check failed after 30"), "{ready:?}");
    test.condition("Kustomization/app", "Healthy", "False", "HealthCheckFailed", "").await?;
    test.event("Kustomization/app", "Warning", "HealthCheckFailed", &seen).await?;
    let commit = test.repo.commit_file("app/app.yaml", &deployment("web", 0))?;
    roll_out(&test, &commit).await?;
    test.condition("Kustomization/app", "Healthy", "True", "Succeeded", "Health check passed in").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_and_namespaces_come_before_what_needs_them() -> Result<()> {
    let test = Scenario::new("stages").await?;
    let name = test.namespace.replace('-', "");
    let (group, extra) = (format!("{name}.example.org"), format!("{}-extra", test.namespace));
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("things.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    });
    let thing = json!({"apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": {"name": "one", "namespace": extra}});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": extra}});
    // Named so that files would be applied in the wrong order.
    test.repo.write("app/a-thing.yaml", &serde_yaml::to_string(&thing)?)?;
    test.repo.write("app/b-namespace.yaml", &serde_yaml::to_string(&namespace)?)?;
    let commit = test.repo.commit_file("app/c-crd.yaml", &serde_yaml::to_string(&crd)?)?;
    test.apply_source().await?;
    let target = format!("  targetNamespace: {}\n", test.namespace);
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true").replace(&target, "")).await?;
    let app = test.applied("Kustomization/app", &commit).await?;
    let ids: Vec<&str> =
        app["status"]["inventory"]["entries"].as_array().unwrap().iter().map(|e| e.text("/id")).collect();
    let wanted = [
        format!("_things.{group}_apiextensions.k8s.io_CustomResourceDefinition"),
        format!("_{extra}__Namespace"),
        format!("{extra}_one_{group}_Thing"),
    ];
    assert_eq!(ids, wanted);
    test.kubectl(&["delete", "--wait=false", "kustomization/app"])?;
    test.gone("Kustomization/app").await?;
    test.gone(&format!("CustomResourceDefinition/things.{group}")).await?;
    test.gone(&format!("Namespace/{extra}")).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_of_a_base_is_built_and_applied() -> Result<()> {
    let test = Scenario::new("overlay").await?;
    test.repo.write("base/kustomization.yaml", "resources: [web.yaml, map.yaml]\n")?;
    test.repo.write("base/web.yaml", &deployment("web", 0))?;
    test.repo.write("base/map.yaml", &config_map("map", "1"))?;
    let overlay = "resources: [../base]\nnamePrefix: prod-\nlabels: [{pairs: {tier: prod}}]\n\
                   commonAnnotations: {owner: team}\nimages: [{name: app, newName: registry/app, newTag: v2}]\n";
    let commit = test.repo.commit_file("prod/kustomization.yaml", overlay)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./prod", "  nameSuffix: -x")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let web = test.get("Deployment/prod-web-x").await?;
    assert_eq!(web.text("/spec/template/spec/containers/0/image"), "registry/app:v2");
    assert_eq!(web["metadata"]["labels"]["tier"], "prod");
    assert_eq!(web["metadata"]["annotations"]["owner"], "team");
    assert_eq!(web["spec"]["selector"]["matchLabels"], json!({"app": "web"}));
    assert!(test.exists("ConfigMap/prod-map-x").await?);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_leaves_the_exact_inventory() -> Result<()> {
    let test = applied(
        Scenario::new("exact").await?,
        &[("web.yaml", deployment("web", 0)), ("old.yaml", config_map("old", "1"))],
        "  wait: true",
    )
    .await?;
    test.repo.remove("app/old.yaml")?;
    test.repo.write("app/new.yaml", &config_map("new", "1"))?;
    // A new Deployment is not ready at once, so the run is put aside after it has pruned.
    test.repo.write("app/late.yaml", &deployment("late", 0))?;
    let commit = test.repo.commit("swap")?;
    roll_out(&test, &commit).await?;
    let app = test.get("Kustomization/app").await?;
    let entry =
        |name: &str, kind: &str| json!({"id": format!("{}_{name}_{kind}", test.namespace), "v": "v1"});
    let entries = json!([
        entry("new", "_ConfigMap"),
        entry("late", "apps_Deployment"),
        entry("web", "apps_Deployment"),
    ]);
    assert_eq!(app["status"]["inventory"]["entries"], entries);
    assert_eq!(app["status"]["lastAttemptedRevision"], app["status"]["lastAppliedRevision"]);
    assert_eq!(app.condition("Healthy").unwrap().status, "True");
    test.finish().await
}
