//! How long a run waits for its objects, and for what.

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::scenario::Scenario;
use e2e::testkit::{applied, config_map, deployment, roll_out};
use e2e::wait::Not;
use serde_json::json;

/// A Deployment that gives up after a second: there is no node for its Pod.
fn failing(name: &str) -> String {
    deployment(name, 1).replace("spec:\n  replicas", "spec:\n  progressDeadlineSeconds: 1\n  replicas")
}

fn job(name: &str, more: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  {more}\n  template:\n    spec: \
         {{restartPolicy: Never, containers: [{{name: app, image: app}}]}}\n"
    )
}

/// A scenario whose Kustomization `app` waits for these files.
async fn start(test: Scenario, files: &[(&str, String)], timeout: &str) -> Result<Scenario> {
    for (file, text) in files {
        test.repo.write(&format!("app/{file}"), text)?;
    }
    test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", &format!("  wait: true\n  timeout: {timeout}")))
        .await?;
    Ok(test)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_failed_object_ends_the_wait() -> Result<()> {
    let files = [("bad.yaml", failing("bad")), ("slow.yaml", deployment("slow", 1))];
    let test = start(Scenario::new("fail-fast").await?, &files, "10m").await?;
    let text = format!(
        "failed early due to stalled resources: [Deployment/{}/bad status: 'Failed']",
        test.namespace
    );
    let ready = test.condition("Kustomization/app", "Ready", "False", "HealthCheckFailed", &text).await?;
    assert!(ready.message.starts_with("health check failed after "), "{ready:?}");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_goes_on_to_the_timeout_if_it_should_and_ends_when_nothing_moves() -> Result<()> {
    let gate = ["--feature-gates=DisableFailFastBehavior=true"];
    let test = Scenario::with_own_controllers("no-fail-fast", &gate).await?;
    let files = [("bad.yaml", failing("bad")), ("slow.yaml", deployment("slow", 1))];
    let begin = Instant::now();
    let test = start(test, &files, "30s").await?;
    let ready = test
        .condition("Kustomization/app", "Ready", "False", "HealthCheckFailed", "timeout waiting for: [")
        .await?;
    assert!(begin.elapsed() >= Duration::from_secs(30), "took {:?}", begin.elapsed());
    for line in ["bad status: 'Failed'", "slow status: 'InProgress'"] {
        assert!(ready.message.contains(line), "{ready:?}");
    }
    // What is left has all ended.
    test.patch("Kustomization/app", &json!({"spec": {"timeout": "10m"}})).await?;
    test.repo.write("app/slow.yaml", &deployment("slow", 0))?;
    test.repo.commit("settle")?;
    test.request("GitRepository/app").await?;
    let text = format!(
        "failed early due to stalled resources: [Deployment/{}/bad status: 'Failed']",
        test.namespace
    );
    test.condition("Kustomization/app", "Ready", "False", "HealthCheckFailed", &text).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_removes_itself_has_succeeded_and_another_is_missed() -> Result<()> {
    let suspended = job("suspended", "suspend: true");
    let files =
        [("vanishing.yaml", job("vanishing", "ttlSecondsAfterFinished: 1")), ("suspended.yaml", suspended)];
    let test = start(Scenario::new("jobs").await?, &files, "10m").await?;
    let running = "Running health checks";
    test.condition("Kustomization/app", "Healthy", "Unknown", "Progressing", running).await?;
    test.until("Job/vanishing", "exists", |_| true).await?;
    test.kubectl(&["delete", "job/vanishing", "--cascade=background"])?;
    test.ready("Kustomization/app").await?;
    test.condition("Kustomization/app", "Healthy", "True", "Succeeded", "Health check passed in").await?;
    test.finish().await?;

    let files = [("missed.yaml", job("missed", "backoffLimit: 0"))];
    let test = start(Scenario::new("jobs-missed").await?, &files, "30s").await?;
    test.condition("Kustomization/app", "Healthy", "Unknown", "Progressing", running).await?;
    test.kubectl(&["delete", "job/missed", "--cascade=background"])?;
    let text = format!("timeout waiting for: [Job/{}/missed status: 'NotFound']", test.namespace);
    test.condition("Kustomization/app", "Ready", "False", "HealthCheckFailed", &text).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_whose_pod_crashes_has_failed() -> Result<()> {
    let set = deployment("web", 1)
        .replace("kind: Deployment", "kind: StatefulSet")
        .replace("spec:\n  replicas", "spec:\n  serviceName: web\n  replicas");
    let test = start(Scenario::new("crash-loop").await?, &[("web.yaml", set.clone())], "10m").await?;
    test.condition("Kustomization/app", "Healthy", "Unknown", "Progressing", "Running health checks").await?;
    let pod = e2e::objects::Id::of("v1", "Pod", &test.namespace, "web-0");
    test.wait("there is a Pod", async || match test.objects.get(&pod).await {
        Ok(Some(_)) => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [
        {"name": "app", "image": "app", "imageID": "", "ready": false, "restartCount": 5, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
    test.kubectl(&["patch", "pod/web-0", "--subresource=status", "--type=merge", "-p", &status.to_string()])?;
    let text = format!(
        "failed early due to stalled resources: [StatefulSet/{}/web status: 'Failed']",
        test.namespace
    );
    test.condition("Kustomization/app", "Ready", "False", "HealthCheckFailed", &text).await?;
    let commit = test.repo.commit_file("app/web.yaml", &set.replace("replicas: 1", "replicas: 0"))?;
    roll_out(&test, &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_asked_for_where_the_controller_may_not_watch() -> Result<()> {
    let test = Scenario::with_own_cluster("no-watch").await?;
    test.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant}}").await?;
    let account = format!("--serviceaccount={}:tenant", test.namespace);
    test.kubectl(&["create", "rolebinding", "tenant", "--clusterrole=admin", &account])?;
    test.kubectl(&["delete", "clusterrolebinding/cluster-reconciler-flux-system"])?;
    let files = [("web.yaml", deployment("web", 0)), ("map.yaml", config_map("map", "1"))];
    let more = "  wait: true\n  timeout: 10m\n  serviceAccountName: tenant";
    let test = applied(test, &files, more).await?;
    test.condition("Kustomization/app", "Healthy", "True", "Succeeded", "Health check passed in").await?;
    // One that is not ready is told as such.
    test.patch("Kustomization/app", &json!({"spec": {"timeout": "30s"}})).await?;
    test.ready("Kustomization/app").await?;
    test.repo.commit_file("app/web.yaml", &deployment("web", 1))?;
    test.request("GitRepository/app").await?;
    let text = format!("timeout waiting for: [Deployment/{}/web status: 'InProgress']", test.namespace);
    test.condition("Kustomization/app", "Ready", "False", "HealthCheckFailed", &text).await?;
    let commit = test.repo.commit_file("app/web.yaml", &deployment("web", 0))?;
    roll_out(&test, &commit).await
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_name_what_is_missing_and_see_objects_of_others() -> Result<()> {
    let check = "  timeout: 1s\n  healthChecks: [{apiVersion: v1, kind: ConfigMap, name: outside, namespace: NAMESPACE}]";
    let test = Scenario::new("listed").await?;
    let check = check.replace("NAMESPACE", &test.namespace);
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", &check)).await?;
    let text = format!("timeout waiting for: [ConfigMap/{}/outside status: 'NotFound']", test.namespace);
    let ready = test.condition("Kustomization/app", "Ready", "False", "HealthCheckFailed", &text).await?;
    assert!(ready.message.starts_with("health check failed after 30"), "{ready:?}");
    test.objects.apply(&config_map("outside", "1"), &test.namespace).await?;
    test.ready("Kustomization/app").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn health_of_what_the_tenant_may_not_read_is_unknown_with_the_reason() -> Result<()> {
    let test = Scenario::new("unseen").await?;
    test.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenant}}").await?;
    let account = format!("--serviceaccount={}:tenant", test.namespace);
    test.kubectl(&["create", "rolebinding", "tenant", "--clusterrole=admin", &account])?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let check =
        "{apiVersion: v1, kind: ConfigMap, name: extension-apiserver-authentication, namespace: kube-system}";
    let more = format!("  serviceAccountName: tenant\n  timeout: 1s\n  healthChecks: [{check}]");
    test.apply(&test.kustomization_yaml("app", "./app", &more)).await?;
    let text = "ConfigMap/kube-system/extension-apiserver-authentication status: 'Unknown': configmaps";
    let ready = test.condition("Kustomization/app", "Ready", "False", "HealthCheckFailed", text).await?;
    assert!(ready.message.contains("is forbidden"), "{ready:?}");
    test.finish().await
}
