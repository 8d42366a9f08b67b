//! What becomes of an action that fails, by the strategies of the spec and the annotations that force and reset.

use anyhow::{Context, Result, ensure};
use e2e::objects::Look;
use e2e::testkit::deployment;
use serde_json::{Value, json};

use crate::helm_hooks::{end, pod};
use crate::helm_release::{Helm, MAP, RELEASE};

/// A Deployment that is ready with 0 replicas alone.
pub fn scaled() -> String {
    deployment("web", 0).replace("replicas: 0", "replicas: {{ .Values.replicas }}")
}

fn stalled(reason: &'static str) -> impl Fn(&Value) -> bool {
    move |release| release.condition("Stalled").is_some_and(|stalled| stalled.reason == reason)
}

fn reason(release: &Value, kind: &str) -> String {
    release.condition(kind).map(|condition| condition.reason).unwrap_or_default()
}

/// Asks for a run with further annotations that have the token of the request, and waits until it is over.
async fn run_with(helm: &Helm, annotation: &str, token: &str) -> Result<Value> {
    let annotations = json!({
        "reconcile.fluxcd.io/requestedAt": token, format!("reconcile.fluxcd.io/{annotation}"): token,
    });
    helm.test.patch(RELEASE, &json!({"metadata": {"annotations": annotations}})).await?;
    helm.until(&format!("has handled {token}"), |release| {
        release.text("/status/lastHandledReconcileAt") == token
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_left_in_place_or_forced_or_counted_anew() -> Result<()> {
    let helm = Helm::shared("helm-force").await?;
    let upgrade = json!({"timeout": "1s", "remediation": {"retries": 0}});
    let spec = json!({"upgrade": upgrade, "rollback": {"timeout": "1s"}});
    let helm = helm.installed(&[("map.yaml", MAP), ("web.yaml", &scaled())], &spec).await?;
    let test = &helm.test;
    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 1, "text": "bad"}}})).await?;
    let release = helm.until("has given up", stalled("RetriesExceeded")).await?;
    // Without retries the failure stays, for somebody to look at.
    ensure!(
        reason(&release, "Ready") == "UpgradeFailed" && reason(&release, "Remediated").is_empty(),
        "{release}"
    );
    ensure!(
        helm.statuses("app")? == ["superseded", "failed"] || helm.statuses("app")? == ["deployed", "failed"]
    );
    ensure!(helm.text().await? == "bad");
    ensure!(release.number("/status/upgradeFailures") == 1, "{release}");
    // The log of the action is in the event alone.
    let ready = release.condition("Ready").context("it has one")?;
    ensure!(!ready.message.contains("Last Helm logs"), "{}", ready.message);

    // A run that nobody forces does nothing.
    test.run(RELEASE).await?;
    ensure!(helm.version().await? == 2);
    // Forcing alone, without a request, does nothing.
    test.patch(RELEASE, &json!({"metadata": {"annotations": {"reconcile.fluxcd.io/forceAt": "alone"}}}))
        .await?;
    test.run(RELEASE).await?;
    ensure!(helm.version().await? == 2);
    // Once forced, once upgraded.
    let release = run_with(&helm, "forceAt", "forced").await?;
    ensure!(release.text("/status/lastHandledForceAt") == "forced", "{release}");
    ensure!(release.number("/status/history/0/version") == 3, "{release}");
    ensure!(release.number("/status/upgradeFailures") == 2, "{release}");
    test.patch(RELEASE, &json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "again"}}}))
        .await?;
    helm.until("has run again", |release| release.text("/status/lastHandledReconcileAt") == "again").await?;
    ensure!(helm.version().await? == 3, "the annotation is still there, and was answered");
    // Counted anew, it is tried once more.
    let release = run_with(&helm, "resetAt", "reset").await?;
    ensure!(release.text("/status/lastHandledResetAt") == "reset", "{release}");
    ensure!(release.number("/status/history/0/version") == 4, "{release}");
    ensure!(release.number("/status/upgradeFailures") == 1, "{release}");

    // The former spec again: an upgrade, after which it is well.
    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 0}, "upgrade": {"timeout": "1m"}}})).await?;
    let release = helm.ready("Helm upgrade succeeded").await?;
    ensure!(
        release.number("/status/upgradeFailures") == 0 && release.number("/status/failures") == 0,
        "{release}"
    );
    // What is in order is upgraded if it is forced.
    let before = helm.version().await?;
    run_with(&helm, "forceAt", "in order").await?;
    ensure!(helm.version().await? == before + 1);
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_fails_is_uninstalled_or_tried_for_ever_or_goes_back_to_nothing() -> Result<()> {
    let helm = Helm::shared("helm-strategies").await?;
    let remediation = json!({"retries": 1, "strategy": "uninstall"});
    let spec = json!({"upgrade": {"timeout": "1s", "remediation": remediation}});
    let helm = helm.installed(&[("map.yaml", MAP), ("web.yaml", &scaled())], &spec).await?;
    let test = &helm.test;
    // Uninstalled, and installed as it is wanted now; that fails, too.
    let failing = json!({"spec": {"values": {"replicas": 1}, "install": {"timeout": "1s"}}});
    test.patch(RELEASE, &failing).await?;
    let release = helm.until("has given up", stalled("RetriesExceeded")).await?;
    ensure!(
        release.number("/status/installFailures") == 1 && release.number("/status/upgradeFailures") == 1,
        "{release}"
    );
    ensure!(release.condition("Stalled").context("seen")?.message == "Failed to install after 1 attempt(s)");
    ensure!(release.text("/status/lastAttemptedReleaseAction") == "install", "{release}");
    test.event(RELEASE, "Normal", "UninstallSucceeded", "Helm uninstall remediation for release").await?;
    ensure!(helm.statuses("app")? == ["failed"]);

    // Tried again and again, and no failure is remediated.
    let strategy = json!({"name": "RetryOnFailure", "retryInterval": "1s"});
    let spec =
        json!({"install": {"strategy": strategy}, "upgrade": {"strategy": strategy, "remediation": null}});
    test.patch(RELEASE, &json!({"spec": spec})).await?;
    let release = helm
        .until("is tried again and again", |release| release.number("/status/history/0/version") >= 4)
        .await?;
    ensure!(release.condition("Stalled").is_none() && release.condition("Remediated").is_none(), "{release}");
    let release = helm.says("Reconciling", "True", "ProgressingWithRetry", "retrying after 1s").await?;
    ensure!(
        release.number("/status/observedGeneration") == release.number("/metadata/generation"),
        "{release}"
    );
    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 0}}})).await?;
    let release = helm.ready("Helm upgrade succeeded").await?;
    let counters = ["failures", "installFailures", "upgradeFailures"]
        .map(|name| release.number(&format!("/status/{name}")));
    ensure!(counters == [0; 3], "{release}");
    // So many snapshots are kept, as are revisions.
    ensure!(release["status"]["history"].as_array().map_or(0, Vec::len) <= 5, "{release}");
    ensure!(helm.statuses("app")?.len() == 5);

    // What there was before is lost: there is nothing to go back to.
    helm.helm_text(&["uninstall", "app"])?;
    let spec = json!({
        "install": {"timeout": null, "strategy": null, "remediation": {"retries": 1}},
        "upgrade": {"strategy": null, "remediation": {"retries": 1}},
        "values": {"replicas": 0},
    });
    test.patch(RELEASE, &json!({"spec": spec})).await?;
    helm.ready("app.v1 with chart").await?;
    test.kubectl(&["delete", "secret", "sh.helm.release.v1.app.v1"])?;
    test.kubectl(&["delete", "deployment", "web"])?;
    let chart = test.repo.folder().join("chart").display().to_string();
    helm.helm_text(&["install", "app", &chart, "--take-ownership"])?;
    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 1}}})).await?;
    let release = helm.until("has nothing to go back to", stalled("MissingRollbackTarget")).await?;
    let text =
        "Failed to perform remediation: missing target release for rollback: cannot remediate failed release";
    ensure!(release.condition("Stalled").context("seen")?.message == text, "{release}");
    // A new spec is a new start.
    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 0}, "upgrade": {"timeout": "1m"}}})).await?;
    helm.ready("Helm upgrade succeeded").await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_rendered_or_checked_changes_nothing() -> Result<()> {
    let helm = Helm::shared("helm-render").await?;
    let schema = r#"{"properties": {"text": {"type": "string", "maxLength": 10}}}"#;
    helm.commit_chart_in("chart", "1.0.0", &[("templates/map.yaml", MAP), ("values.schema.json", schema)])?;
    helm.test.apply_source().await?;
    helm.release(&json!({"values": {"text": "far too long for it"}})).await?;
    let release = helm.says("Released", "False", "InstallFailed", "maxLength: got 19, want 10").await?;
    ensure!(
        release.number("/status/installFailures") == 0 && release.number("/status/failures") >= 1,
        "{release}"
    );
    ensure!(helm.helm(&["list"])? == json!([]));
    helm.test.patch(RELEASE, &json!({"spec": {"install": {"disableSchemaValidation": true}}})).await?;
    helm.ready("app.v1 with chart").await?;
    ensure!(helm.text().await? == "far too long for it");

    // Templates at fault, objects that are none, kinds that nobody serves, fields that no object has, objects that come twice.
    let unknown = "apiVersion: nobody.example/v1\nkind: Thing\nmetadata: {name: a}\n";
    let upgrade = |disabled: bool| json!({"spec": {"upgrade": {"disableSchemaValidation": disabled}}});
    helm.test.patch(RELEASE, &upgrade(true)).await?;
    for (version, template, text) in [
        ("1.0.1", "{{ fail \"it is wrong\" }}", "it is wrong"),
        ("1.0.2", "a: {{ .Values.absent.more }}", "nil pointer evaluating interface {}.more"),
        ("1.0.3", "kind: ConfigMap\n", "missing metadata.name"),
        ("1.0.4", unknown, "no matches for kind \"Thing\" in version \"nobody.example/v1\""),
        ("1.0.5", MAP, "may not add resource with an already registered id"),
    ] {
        helm.commit_chart_in("chart", version, &[("templates/wrong.yaml", template)])?;
        helm.test.request("GitRepository/app").await?;
        let release = helm.says("Released", "False", "UpgradeFailed", text).await?;
        ensure!(release.number("/status/upgradeFailures") == 0, "{release}");
        ensure!(helm.statuses("app")? == ["deployed"]);
    }
    helm.test.repo.remove("chart/templates/wrong.yaml")?;
    helm.commit_chart_in("chart", "1.1.0", &[])?;
    helm.test.request("GitRepository/app").await?;
    helm.ready("app.v2 with chart app@1.1.0").await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_revision_is_not_gone_back_to() -> Result<()> {
    let helm = Helm::shared("helm-damaged").await?;
    let spec = json!({"upgrade": {"remediation": {"retries": 5}}});
    let templates = [("map.yaml", MAP), ("hook.yaml", &*pod("hook", "pre-upgrade"))];
    let helm = helm.installed(&templates, &spec).await?;
    let test = &helm.test;
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "new"}}})).await?;
    test.until("Pod/hook", "is there", |_| true).await?;
    test.patch("Secret/sh.helm.release.v1.app.v1", &json!({"data": {"release": "bm8gcmVsZWFzZQ=="}})).await?;
    end(&helm, "hook", "Failed").await?;
    test.until("Secret/sh.helm.release.v1.app.v3", "is upgraded to instead", |_| true).await?;
    end(&helm, "hook", "Succeeded").await?;
    let release = helm.ready("Helm upgrade succeeded for release").await?;
    ensure!(release.number("/status/history/0/version") == 3, "{release}");
    ensure!(release.text("/status/history/0/action") == "upgrade" && helm.text().await? == "new");
    helm.test.finish().await
}
