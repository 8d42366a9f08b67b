//! Rights and kinds that are missing, at the start and later: what is told, and that nothing has to be restarted.

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, User};
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::config_map;
use e2e::wait::Not;
use serde_json::{Value, json};

const ROLE: &str = "ClusterRole/kustomize-controller-flux-system";

/// The lines of a log that say that the watch of a kind fails.
fn failures<'a>(log: &'a str, kind: &str) -> Vec<&'a str> {
    let kind = format!("\"kind\":\"{kind}\"");
    log.lines().filter(|line| line.contains("watch failed, trying again") && line.contains(&kind)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_installed_later_and_a_right_that_is_granted_later_need_no_restart() -> Result<()> {
    // A cluster without anything of ours, where nobody has a right.
    let cluster = Cluster::start().await?;
    let controller = Controller::start(&cluster, User::SourceController, &[]).await?;
    controller.watch_fails("GitRepository", true).await?;
    let log = controller.log_text();
    let told = failures(&log, "GitRepository");
    let first: Value = serde_json::from_str(told.first().context("nothing is told")?)?;
    let error = first.text("/error");
    ensure!(error.ends_with("; grant that right (config/rbac, or the chart's rbac.create)"), "{error}");
    cluster.install().await?;
    for kind in ["GitRepository", "OCIRepository"] {
        controller.watch_fails(kind, false).await?;
    }
    ensure!(controller.log_text().contains("the watch works again"), "{}", controller.log_about("watch", 5));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_kind_says_what_to_install() -> Result<()> {
    let cluster = Cluster::start().await?;
    // Who may do all gets the answer that there is no such kind.
    let kubeconfig = cluster.kubeconfig(User::Admin);
    let controller = Controller::start_with(kubeconfig, User::KustomizeController, &[], &[]).await?;
    controller.watch_fails("Kustomization", true).await?;
    let log = controller.log_text();
    let told = failures(&log, "Kustomization");
    let first: Value = serde_json::from_str(told.first().context("nothing is told")?)?;
    let expected = "Kustomization is not served; install its CRD (config/crd/bases, or the chart)";
    assert_eq!(first.text("/error"), expected);
    cluster.install().await?;
    controller.watch_fails("Kustomization", false).await
}

/// Waits until the API server knows that kustomize-controller may not write statuses, which it learns by a watch.
async fn until_statuses_are_forbidden(test: &Scenario) -> Result<()> {
    let user = format!("--as={}", User::KustomizeController.identity());
    let resource = "kustomizations.kustomize.toolkit.fluxcd.io";
    test.wait("statuses are forbidden", async || {
        // kubectl ends with 1 for "no".
        match test.kubectl(&["auth", "can-i", "patch", resource, "--subresource=status", &user]) {
            Ok(answer) => Err(Not::Yet(answer)),
            Err(_) => Ok(()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_lost_are_told_and_work_goes_on_when_they_are_back() -> Result<()> {
    let test = Scenario::with_own_cluster("rights").await?;
    let kustomize = &test.pair()?.kustomize;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "one"))?;
    test.apply_source().await?;
    test.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: tenant}").await?;
    test.kubectl(&[
        "create",
        "rolebinding",
        "tenant",
        "--clusterrole=edit",
        &format!("--serviceaccount={}:tenant", test.namespace),
    ])?;
    test.apply(&test.kustomization_yaml("app", "./app", "  serviceAccountName: tenant\n")).await?;
    test.applied("Kustomization/app", &commit).await?;
    // With it the controller may do all.
    test.kubectl(&["delete", "clusterrolebinding", "cluster-reconciler-flux-system"])?;
    let role = test.get(ROLE).await?;
    let rules = role.pointer("/rules").and_then(Value::as_array).context("no rules")?.clone();
    let has = |rule: &Value, path: &str, value: &str| {
        rule.pointer(path).and_then(Value::as_array).is_some_and(|values| values.contains(&json!(value)))
    };

    // Impersonation: the object says it, and gets well by itself.
    let kept: Vec<Value> = rules.iter().filter(|rule| !has(rule, "/verbs", "impersonate")).cloned().collect();
    ensure!(kept.len() < rules.len(), "no rule to impersonate: {rules:?}");
    test.patch(ROLE, &json!({ "rules": kept })).await?;
    // The API server learns it by a watch, and may remember for some seconds who could impersonate whom.
    let message = test
        .wait("runs fail", async || {
            let app = test.run("Kustomization/app").await.map_err(Not::Ever)?;
            match app.condition("Ready") {
                Some(ready) if ready.status == "False" => Ok(ready.message),
                seen => Err(Not::Yet(format!("{seen:?}"))),
            }
        })
        .await?;
    ensure!(message.contains("cannot impersonate"), "{message}");
    let second = test.repo.commit_file("app/map.yaml", &config_map("map", "two"))?;
    test.request("GitRepository/app").await?;
    test.patch(ROLE, &json!({ "rules": rules })).await?;
    test.applied("Kustomization/app", &second).await?;

    // The status: passes fail, with back-off, and the next one that may write does.
    let kept: Vec<Value> =
        rules.iter().filter(|rule| !has(rule, "/resources", "kustomizations/status")).cloned().collect();
    ensure!(kept.len() < rules.len(), "no rule for statuses: {rules:?}");
    test.patch(ROLE, &json!({ "rules": kept })).await?;
    until_statuses_are_forbidden(&test).await?;
    let failures = async || kustomize.metric("controller_runtime_reconcile_errors_total", &[]).await;
    let before = failures().await?;
    let third = test.repo.commit_file("app/map.yaml", &config_map("map", "three"))?;
    test.request("GitRepository/app").await?;
    test.wait("passes fail, and the log says why", async || {
        let more = failures().await.map_err(Not::Ever)? - before;
        match kustomize.log_text().contains("kustomizations/status") {
            true if more > 0.0 => Ok(()),
            is_told => Err(Not::Yet(format!("{more} more have failed, and it is told: {is_told}"))),
        }
    })
    .await?;
    test.patch(ROLE, &json!({ "rules": rules })).await?;
    test.applied("Kustomization/app", &third).await?;
    Ok(())
}
