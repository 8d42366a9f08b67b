//! How long a release waits for its objects, and what ends a wait early.

use anyhow::{Context, Result, ensure};
use e2e::objects::Look;
use e2e::silent_server::{self, SilentServer};
use e2e::testkit::deployment;
use serde_json::{Value, json};

use crate::helm_hooks::{end, pod};
use crate::helm_release::{Helm, MAP, RELEASE};
use crate::helm_remediation::scaled;

/// A Job that nobody runs.
const JOB: &str = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\nspec:\n  template:\n    \
                   spec: {restartPolicy: Never, containers: [{name: a, image: a}]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_something_newer_where_that_is_asked_for() -> Result<()> {
    let helm = Helm::new("helm-cancel", &["--feature-gates=CancelHealthCheckOnNewRevision=true"]).await?;
    let spec = json!({"upgrade": {"remediation": {"retries": 3}}, "timeout": "10m"});
    let helm = helm.installed(&[("map.yaml", MAP), ("web.yaml", &scaled())], &spec).await?;
    let test = &helm.test;
    let waits = async |version: i64| {
        helm.until(&format!("waits as revision {version}"), |release| {
            release
                .condition("Reconciling")
                .is_some_and(|c| c.message.starts_with("Running 'upgrade' action with timeout of 10m"))
        })
        .await?;
        test.until(&format!("Secret/sh.helm.release.v1.app.v{version}"), "is there", |_| true).await?;
        test.until("Deployment/web", "is applied", |web| web.number("/spec/replicas") == 1).await
    };
    // A new spec.
    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 1}}})).await?;
    waits(2).await?;
    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 0, "text": "newer"}}})).await?;
    let text = format!(
        "Health checks canceled due to new reconciliation triggered by HelmRelease/{}/app",
        test.namespace
    );
    test.event(RELEASE, "Normal", "HealthCheckCanceled", &text).await?;
    helm.ready("Helm upgrade succeeded").await?;
    ensure!(helm.text().await? == "newer");
    // A new chart.
    let before = helm.version().await?;
    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 1}}})).await?;
    waits(before + 1).await?;
    helm.commit_chart("2.0.0", &[("web.yaml", &deployment("web", 0))])?;
    test.request("GitRepository/app").await?;
    let text = format!("triggered by HelmChart/{}/{}-app", test.namespace, test.namespace);
    test.event(RELEASE, "Normal", "HealthCheckCanceled", &text).await?;
    let release = helm.ready("with chart app@2.0.0").await?;
    ensure!(release.number("/status/upgradeFailures") == 0, "{release}");
    // What was broken off is no failure. A release that is suspended stays as it is.
    helm.commit_chart("2.1.0", &[("map.yaml", MAP), ("web.yaml", &scaled())])?;
    test.request("GitRepository/app").await?;
    test.until("Deployment/web", "is applied", |web| web.number("/spec/replicas") == 1).await?;
    test.patch(RELEASE, &json!({"spec": {"suspend": true}})).await?;
    let release = helm
        .until("is suspended", |release| {
            release.number("/status/observedGeneration") == release.number("/metadata/generation")
        })
        .await?;
    let ready = release.condition("Ready").context("it has one")?;
    ensure!(ready.reason == "HealthCheckCanceled", "{release}");
    ensure!(release.text("/status/history/0/status") == "failed", "{release}");
    ensure!(
        release.number("/status/failures") == 0 && release.number("/status/upgradeFailures") == 0,
        "{release}"
    );
    test.patch(RELEASE, &json!({"spec": {"suspend": false, "values": {"replicas": 0}}})).await?;
    helm.ready("with chart app@2.1.0").await?;
    // Who deletes it does not want to wait.
    helm.commit_chart("3.0.0", &[("web.yaml", &deployment("web", 1))])?;
    test.request("GitRepository/app").await?;
    test.until("Deployment/web", "is applied", |web| web.number("/spec/replicas") == 1).await?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(!test.exists("Deployment/web").await?);
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_waited_for_is_what_the_spec_says() -> Result<()> {
    let helm = Helm::shared("helm-waits").await?;
    let test = &helm.test;
    let spec =
        json!({"install": {"timeout": "2s", "disableWaitForJobs": false}, "upgrade": {"timeout": "2s"}});
    helm.begin(&[("map.yaml", MAP), ("job.yaml", JOB)], &spec).await?;
    let release =
        helm.says("Stalled", "True", "RetriesExceeded", "Failed to install after 1 attempt(s)").await?;
    let released = release.condition("Released").context("it has one")?;
    let text = format!(
        "Helm install failed for release {}/app with chart app@{}: ",
        test.namespace,
        release.text("/status/history/0/chartVersion")
    );
    ensure!(
        released.message.starts_with(&text) && released.message.contains("timeout waiting for: [Job/"),
        "{}",
        released.message
    );
    ensure!(released.message.contains("status: 'InProgress'"), "{}", released.message);
    // The log of the action is in the event, not in the condition.
    ensure!(!released.message.contains("Last Helm logs"), "{}", released.message);
    test.event(RELEASE, "Warning", "InstallFailed", &text).await?;
    // Jobs are not waited for, then nothing is.
    test.patch(RELEASE, &json!({"spec": {"upgrade": {"disableWaitForJobs": true}}})).await?;
    helm.ready("Helm upgrade succeeded").await?;
    test.patch(RELEASE, &json!({"spec": {"upgrade": {"disableWaitForJobs": null, "disableWait": true}, "values": {"text": "a"}}})).await?;
    helm.ready("Helm upgrade succeeded").await?;
    ensure!(helm.text().await? == "a");

    // A Deployment that cannot become ready ends the wait before its time.
    let slow =
        deployment("web", 1).replace("spec:\n  replicas", "spec:\n  progressDeadlineSeconds: 1\n  replicas");
    test.patch(
        RELEASE,
        &json!({"spec": {"upgrade": {"disableWait": null, "disableWaitForJobs": true, "timeout": "5m"}}}),
    )
    .await?;
    helm.commit_chart("2.0.0", &[("web.yaml", &slow)])?;
    test.request("GitRepository/app").await?;
    let text = format!("failed early due to stalled resources: [Deployment/{}/web", test.namespace);
    helm.says("Released", "False", "UpgradeFailed", &text).await?;
    // An object with its own rule of health that never becomes well.
    let rule = json!([{"apiVersion": "v1", "kind": "ConfigMap", "current": "data.text == 'well'", "failed": "data.text == 'ill'"}]);
    helm.commit_chart("3.0.0", &[("web.yaml", &deployment("web", 0))])?;
    test.patch(RELEASE, &json!({"spec": {"healthCheckExprs": rule, "values": {"text": "ill"}}})).await?;
    test.request("GitRepository/app").await?;
    helm.says(
        "Released",
        "False",
        "UpgradeFailed",
        &format!("stalled resources: [ConfigMap/{}/app-map", test.namespace),
    )
    .await?;
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "well"}}})).await?;
    helm.ready("with chart app@3.0.0").await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_revisions_are_kept_as_the_spec_says() -> Result<()> {
    let helm = Helm::shared("helm-history").await?;
    let spec = json!({"maxHistory": 1, "values": {"text": "0"}});
    let helm = helm.installed(&[("map.yaml", MAP)], &spec).await?;
    let test = &helm.test;
    let upgrade = async |version: i64, max: Value| -> Result<Value> {
        let spec = json!({"maxHistory": max, "values": {"text": version.to_string()}});
        test.patch(RELEASE, &json!({"spec": spec})).await?;
        helm.ready(&format!("app.v{version} with chart")).await
    };
    for version in 2..=4 {
        upgrade(version, json!(1)).await?;
    }
    // The one that is deployed stays until the next one is.
    ensure!(helm.statuses("app")?.len() <= 2, "{:?}", helm.statuses("app")?);
    for version in 5..=8 {
        upgrade(version, json!(0)).await?;
    }
    ensure!(helm.statuses("app")?.len() >= 5, "0 keeps all");
    for version in 9..=13 {
        upgrade(version, Value::Null).await?;
    }
    ensure!(helm.statuses("app")? == ["superseded", "superseded", "superseded", "superseded", "deployed"]);
    // Of what was written down, the newest and the one before are enough.
    let release = test.run(RELEASE).await?;
    let versions: Vec<i64> =
        release["status"]["history"].as_array().into_iter().flatten().map(|s| s.number("/version")).collect();
    ensure!(versions == [13, 12], "{versions:?}");
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_that_wait_hold_no_place_and_a_job_that_is_gone_is_done() -> Result<()> {
    let helm = Helm::new("helm-places", &["--concurrent=1"]).await?;
    let test = &helm.test;
    // Done at once, and gone with that.
    let fleeting =
        JOB.replace("spec:\n  template", "spec:\n  completions: 0\n  ttlSecondsAfterFinished: 0\n  template");
    helm.commit_chart_in("hook", "1.0.0", &[("templates/hook.yaml", &pod("hook", "pre-install"))])?;
    helm.commit_chart_in("web", "1.0.0", &[("templates/web.yaml", &deployment("web", 1))])?;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP), ("job.yaml", &fleeting)])?;
    test.apply_source().await?;
    for name in ["hook", "web"] {
        helm.release_named(name, &json!({"chart": helm.chart_in(name)})).await?;
        let stored = format!("Secret/sh.helm.release.v1.{name}.v1");
        test.until(&stored, "is installed", |_| true).await?;
    }
    test.until("Pod/hook", "is there", |_| true).await?;
    test.until("Deployment/web", "is there", |_| true).await?;
    helm.release(&json!({"install": {"timeout": "20s"}})).await?;
    helm.ready("Helm install succeeded").await?;
    test.gone("Job/job").await?;
    for name in ["hook", "web"] {
        let release = test.get(&format!("HelmRelease/{name}")).await?;
        let ready = release.condition("Ready").context("it has one")?;
        ensure!(ready.message == "Running 'install' action with timeout of 5m0s", "{release}");
    }
    // Both go on when what they wait for has come.
    end(&helm, "hook", "Succeeded").await?;
    test.kubectl(&["scale", "deployment", "web", "--replicas=0"])?;
    for name in ["hook", "web"] {
        test.ready(&format!("HelmRelease/{name}")).await?;
    }
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_whose_charts_do_not_come_hold_no_place() -> Result<()> {
    let helm = Helm::new("helm-no-charts", &["--concurrent=1"]).await?;
    let test = &helm.test;
    let silent = SilentServer::start("127.0.0.4").await?;
    let waiting = ["a", "b", "c"];
    for name in waiting {
        let published = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "ExternalArtifact", "metadata": {"name": name},
        });
        test.objects.apply_one(&published, &test.namespace).await?;
        let artifact = json!({
            "digest": format!("sha256:{}", "0".repeat(64)), "lastUpdateTime": "2026-01-01T00:00:00Z", "path": "a/b/c/d",
            "revision": "latest@sha256:0", "url": format!("{}/{name}", silent.url),
        });
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "Succeeded", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let status = json!({"status": {"artifact": artifact, "conditions": [ready]}}).to_string();
        let resource = format!("externalartifacts/{name}");
        test.kubectl(&["patch", &resource, "--subresource=status", "--type=merge", "-p", &status])?;
        let reference = json!({"kind": "ExternalArtifact", "name": name});
        helm.release_named(name, &json!({"chart": null, "chartRef": reference})).await?;
    }
    let silent = [silent];
    silent_server::until_open(&silent, waiting.len()).await?;
    helm.begin(&[("map.yaml", MAP)], &json!({})).await?;
    helm.ready("Helm install succeeded").await?;
    ensure!(silent_server::open(&silent) == waiting.len(), "they still wait");
    helm.test.finish().await
}
