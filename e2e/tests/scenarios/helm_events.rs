//! What notification-controller gets to know of a HelmRelease: the bodies that are posted to `--events-addr`.

use anyhow::{Result, ensure};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use serde_json::{Value, json};

use crate::events::{Posts, assert_names_object};
use crate::helm_hooks::{end, pod};
use crate::helm_release::{Helm, MAP, RELEASE};
use crate::helm_remediation::scaled;
use crate::helm_scenario::Running;

/// What an event says of the release: chart version, digest of values, version of the application.
fn metadata(event: &Value) -> [String; 3] {
    ["revision", "token", "app-version"]
        .map(|name| event.text(&format!("/metadata/helm.toolkit.fluxcd.io~1{name}")).to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_name_the_action_the_revision_and_the_values_of_a_release() -> Result<()> {
    let Posts { test, receiver, sources: _sources, address } = Posts::start("helm-posted", &[]).await?;
    let flags = [&*test.selector(), &*address];
    let controller = Controller::start(test.cluster, User::HelmController, &flags).await?;
    let helm = Helm { test, controller: Running::Own(Box::new(controller)) };
    let test = &helm.test;
    let posted = async |reason: &str, action: &str, severity: &str| -> Result<Value> {
        let event = receiver.posted(test, reason, action).await?;
        ensure!(event.text("/involvedObject/kind") == "HelmRelease", "{event}");
        assert_names_object(&event, &test.namespace);
        ensure!(event.text("/severity") == severity, "{event}");
        ensure!(event.text("/reportingController") == "helm-controller", "{event}");
        Ok(event)
    };
    let upgrade = json!({"timeout": "1s", "remediation": {"retries": 0, "remediateLastFailure": true}});
    let spec = json!({"test": {"enable": true}, "upgrade": upgrade, "driftDetection": {"mode": "enabled"}, "dependsOn": [{"name": "absent"}]});
    helm.begin(&[("map.yaml", MAP), ("web.yaml", &scaled()), ("one.yaml", &pod("one", "test"))], &spec)
        .await?;
    // What goes wrong before there is a release has no revision.
    let event = posted("DependencyNotReady", "CheckDependencies", "info").await?;
    ensure!(metadata(&event) == [""; 3], "{event}");
    let values = json!([{"kind": "ConfigMap", "name": "absent"}]);
    test.patch(RELEASE, &json!({"spec": {"dependsOn": null, "valuesFrom": values}})).await?;
    let event = posted("ValuesError", "ResolveValues", "error").await?;
    ensure!(metadata(&event) == [""; 3], "{event}");

    let annotations = json!({"event.toolkit.fluxcd.io/team": "a"});
    test.patch(RELEASE, &json!({"metadata": {"annotations": annotations}, "spec": {"valuesFrom": null}}))
        .await?;
    end(&helm, "one", "Succeeded").await?;
    let release = helm.ready("Helm test succeeded").await?;
    let snapshot = |at: usize, field: &str| release.text(&format!("/status/history/{at}/{field}")).to_owned();
    let first = [snapshot(0, "chartVersion"), snapshot(0, "configDigest"), "7".to_owned()];
    for (reason, action) in [("InstallSucceeded", "HelmInstall"), ("TestSucceeded", "HelmTest")] {
        let event = posted(reason, action, "info").await?;
        ensure!(metadata(&event) == first, "{event}");
        ensure!(event.text("/metadata/event.toolkit.fluxcd.io~1team") == "a", "{event}");
    }
    // What is only traced is not posted.
    test.event(RELEASE, "Normal", "HelmChartCreated", "").await?;
    ensure!(receiver.find("HelmChartCreated", "Reconcile").is_err());

    test.patch("ConfigMap/app-map", &json!({"data": {"text": "drifted"}})).await?;
    let event = posted("DriftDetected", "DriftDetection", "error").await?;
    ensure!(event.text("/message").contains("app-map changed"), "{event}");
    posted("DriftCorrected", "DriftDetection", "info").await?;

    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 1}, "test": null}})).await?;
    let failed = posted("UpgradeFailed", "HelmUpgrade", "error").await?;
    ensure!(metadata(&failed)[0] == first[0] && metadata(&failed)[1] != first[1], "{failed}");
    ensure!(failed.text("/message").contains("Last Helm logs"), "{failed}");
    // It went back to the chart of the first one; the values are those that are wanted.
    let event = posted("RollbackSucceeded", "HelmRollback", "info").await?;
    ensure!(metadata(&event) == metadata(&failed), "{event}");
    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 0}}})).await?;
    posted("UpgradeSucceeded", "HelmUpgrade", "info").await?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    let event = posted("UninstallSucceeded", "HelmUninstall", "info").await?;
    ensure!(metadata(&event)[0] == first[0], "{event}");
    test.gone(RELEASE).await?;
    helm.test.finish().await
}
