//! Webhooks and policies that refuse what a release wants, or never answer: on install, upgrade, in hooks, at the end, and of what is
//! stored.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::api_proxy::Call;
use e2e::objects::Look;
use e2e::testkit::follow_back_off;
use e2e::webhook::{Verdict, Webhook};
use serde_json::json;

use crate::admission_rules::{admits, hook, policy, remove, stamps};
use crate::helm_release::{Helm, MAP, RELEASE};

const HOOK: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app-hook, annotations: {helm.sh/hook: pre-upgrade}}\n";
const FREE: &str = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: free}\n";
const DENIED: &str = "admission webhook \"maps.e2e.test\" denied the request: no maps today";
const SILENT: &str = "failed calling webhook \"maps.e2e.test\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_refuses_or_hangs_fails_what_it_is_asked_about() -> Result<()> {
    let helm = Helm::shared("helm-webhook").await?;
    let (test, webhook) = (&helm.test, Webhook::start().await?);
    let resources = ["configmaps", "secrets"];
    let operations = ["CREATE", "UPDATE", "DELETE"];
    webhook.say_of("CREATE", "probe", Verdict::Deny("no maps today"));
    let id = hook(test, "ValidatingWebhookConfiguration", &resources, &operations, &webhook).await?;
    admits(test, "ConfigMap", "probe", false).await?;

    // An install: it failed, and is told so.
    webhook.say_of("CREATE", "app-map", Verdict::Deny("no maps today"));
    let upgrade = json!({"remediation": {"retries": 0, "remediateLastFailure": true}});
    helm.begin(&[("map.yaml", MAP), ("hook.yaml", HOOK)], &json!({"upgrade": upgrade})).await?;
    let release = helm.says("Stalled", "True", "RetriesExceeded", "Failed to install after 1").await?;
    let released = release.condition("Released").context("it has one")?;
    ensure!(released.reason == "InstallFailed" && released.message.contains(DENIED), "{}", released.message);
    ensure!(helm.statuses("app")? == ["failed"]);
    webhook.say(Verdict::Allow);
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "first"}}})).await?;
    helm.ready("Helm upgrade succeeded for release").await?;

    // A hook of an upgrade: nothing else of it is applied, and it is rolled back.
    webhook.say_of("CREATE", "app-hook", Verdict::Deny("no maps today"));
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "second"}}})).await?;
    let release =
        helm.says("Remediated", "True", "RollbackSucceeded", "Helm rollback to previous release").await?;
    let released = release.condition("Released").context("it has one")?;
    ensure!(released.message.contains("pre-upgrade") && released.message.contains(DENIED), "{release}");
    ensure!(helm.text().await? == "first");

    // Silence at an upgrade, and at the rollback after it; others install meanwhile.
    webhook.say_of("UPDATE", "app-map", Verdict::Hang);
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "third"}}})).await?;
    helm.commit_chart_in("free", "1.0.0", &[("templates/free.yaml", FREE)])?;
    test.request("GitRepository/app").await?;
    helm.release_named("other", &json!({"chart": helm.chart_in("free")})).await?;
    test.ready("HelmRelease/other").await?;
    let release = helm.says("Remediated", "False", "RollbackFailed", SILENT).await?;
    let released = release.condition("Released").context("it has one")?;
    ensure!(released.reason == "UpgradeFailed" && released.message.contains(SILENT), "{release}");
    webhook.say(Verdict::Allow);
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "fourth"}}})).await?;
    helm.ready("Helm upgrade succeeded for release").await?;
    ensure!(helm.text().await? == "fourth");

    // What is to go and may not keeps the HelmRelease.
    webhook.say_of("DELETE", "app-map", Verdict::Deny("no maps today"));
    test.objects.delete(&test.id(RELEASE)?).await?;
    helm.says("Released", "False", "UninstallFailed", "Helm uninstall failed for release").await?;
    test.event(RELEASE, "Warning", "UninstallFailed", "no maps today").await?;
    webhook.say_of("DELETE", "app-map", Verdict::Hang);
    test.request(RELEASE).await?;
    test.event(RELEASE, "Warning", "UninstallFailed", "failed calling webhook").await?;
    ensure!(helm.text().await? == "fourth" && test.exists(RELEASE).await?);
    webhook.say(Verdict::Allow);
    test.request(RELEASE).await?;
    test.gone(RELEASE).await?;
    ensure!(!test.exists("ConfigMap/app-map").await?);
    test.objects.delete(&id).await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_stored_is_not_applied_and_what_was_stored_is_never_stuck() -> Result<()> {
    let helm = Helm::shared("helm-policy").await?;
    let (test, webhook) = (&helm.test, Webhook::start().await?);
    let stored = "!object.metadata.name.startsWith('sh.helm.release')";
    let denied = policy(test, "secrets", &["CREATE"], stored).await?;
    admits(test, "Secret", "sh.helm.release.probe", false).await?;
    let id = hook(test, "ValidatingWebhookConfiguration", &["secrets"], &["UPDATE"], &webhook).await?;

    let spec = json!({"values": {"text": "first"}, "upgrade": {"remediation": {"retries": 3}}});
    helm.begin(&[("map.yaml", MAP)], &spec).await?;
    let release = helm.says("Released", "False", "InstallFailed", "not on my watch").await?;
    ensure!(release.number("/status/installFailures") == 0, "{release}");
    ensure!(!test.exists("ConfigMap/app-map").await?, "nothing is applied that is not written down");
    remove(test, denied).await?;
    admits(test, "Secret", "sh.helm.release.probe", true).await?;
    // Nobody has to say so.
    helm.ready("Helm install succeeded for release").await?;

    // The end of an action cannot be written down: it is known to be unfinished, and done again.
    webhook.say(Verdict::Deny("no secrets today"));
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "second"}}})).await?;
    test.until("ConfigMap/app-map", "is upgraded", |map| map.text("/data/text") == "second").await?;
    let event = test.event(RELEASE, "Warning", "UpgradeFailed", "no secrets today").await;
    webhook.say(Verdict::Allow);
    event?;
    test.request(RELEASE).await?;
    let release = helm.ready("Helm upgrade succeeded for release").await?;
    ensure!(helm.statuses("app")?.last().is_some_and(|status| status == "deployed"), "{release}");
    test.objects.delete(&id).await?;
    helm.test.finish().await
}

/// What is written is another thing each time: that is drift, and is corrected more and more seldom.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_rewrites_each_time_is_no_reason_to_write_for_ever() -> Result<()> {
    let helm = Helm::through_proxy("helm-rewritten").await?;
    let (test, webhook) = (&helm.test, Webhook::start().await?);
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    // Once a field that nobody wants, once the very field that the chart says.
    for key in ["stamp", "text"] {
        webhook.say(Verdict::Stamp(key));
        let id = hook(test, "MutatingWebhookConfiguration", &["configmaps"], &["CREATE", "UPDATE"], &webhook)
            .await?;
        stamps(test, key).await?;
        let begin = Instant::now();
        helm.release_named(key, &json!({"driftDetection": {"mode": "enabled"}})).await?;
        let object = format!("HelmRelease/{key}");
        test.until(&format!("Secret/sh.helm.release.v1.{key}.v1"), "is installed", |_| true).await?;
        test.event(&object, "Normal", "DriftCorrected", "").await?;
        // Another release that is installed by the same controller comes after all that was due before.
        helm.release_named(&format!("after-{key}"), &json!({})).await?;
        test.event(&format!("HelmRelease/after-{key}"), "Normal", "InstallSucceeded", "").await?;
        let name = format!("{key}-map");
        let ours = |call: &Call| call.is_write() && call.is_about("configmaps") && call.is_about(&name);
        let writes = test.proxy()?.calls(ours);
        follow_back_off(&writes[1..], begin).context(key)?;
        test.objects.delete(&id).await?;
    }
    helm.test.finish().await
}
