//! HelmReleases, with the real Helm client beside.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::deployment;
use serde_json::{Value, json};

use crate::helm_scenario::Running;

pub const RELEASE: &str = "HelmRelease/app";

/// A test, and the controller for its releases.
pub struct Helm {
    pub test: Scenario,
    pub controller: Running,
}

impl Helm {
    pub async fn new(name: &str, options: &[&str]) -> Result<Self> {
        let test = Scenario::with_own_controllers(name, &[]).await?;
        let selector = test.selector();
        let options = [&[&*selector, "--requeue-dependency=1h"], options].concat();
        let controller = Controller::start(test.cluster, User::HelmController, &options).await?;
        Ok(Self { test, controller: Running::Own(Box::new(controller)) })
    }

    /// Commits a chart `app` of these templates.
    pub fn commit_chart(&self, version: &str, templates: &[(&str, &str)]) -> Result<String> {
        let paths: Vec<_> =
            templates.iter().map(|(name, text)| (format!("templates/{name}"), *text)).collect();
        let files: Vec<_> = paths.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        self.commit_chart_in("chart", version, &files)
    }

    /// Applies HelmRelease `app` of the chart with further fields of spec.
    pub async fn release(&self, more: &Value) -> Result<()> {
        self.release_named("app", more).await
    }

    /// The same with another name.
    pub async fn release_named(&self, name: &str, more: &Value) -> Result<()> {
        let mut spec = json!({
            "interval": "1h",
            "chart": self.chart_in("chart"),
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        // As in a merge patch, null is nothing.
        spec.as_object_mut().into_iter().for_each(|spec| spec.retain(|_, value| !value.is_null()));
        let object = json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": name}, "spec": spec,
        });
        self.test.apply(&object.to_string()).await
    }

    /// Waits until the release is ready at its newest generation, and says this.
    pub async fn ready(&self, message: &str) -> Result<Value> {
        self.until(message, |release| {
            release.is_ready()
                && release.condition("Ready").is_some_and(|ready| ready.message.contains(message))
        })
        .await
    }

    pub async fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let waited = self.test.until(RELEASE, what, is).await;
        waited.with_context(|| self.controller.log_about(&self.test.namespace, 40))
    }

    /// Runs the real Helm; gives what it says as JSON.
    pub fn helm(&self, arguments: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.helm_text(&[arguments, &["-o", "json"]].concat())?)?)
    }

    pub fn helm_text(&self, arguments: &[&str]) -> Result<String> {
        let mut helm = Command::new(e2e::helm::program()?);
        helm.args(arguments).args(["-n", &self.test.namespace]);
        helm.env("KUBECONFIG", self.test.cluster.kubeconfig(User::Admin)).env("HELM_NO_PLUGINS", "1");
        let output = tokio::task::block_in_place(|| helm.output())?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The value of the ConfigMap of the chart.
    pub async fn text(&self) -> Result<String> {
        Ok(self.test.get("ConfigMap/app-map").await?.text("/data/text").to_owned())
    }
}

/// A ConfigMap with a value.
pub const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Release.Name }}-map\"}\ndata: {text: \"{{ .Values.text }}\"}\n";

/// A Deployment that is ready with 0 replicas alone.
fn scaled() -> String {
    deployment("web", 0).replace("replicas: 0", "replicas: {{ .Values.replicas }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_installed_upgraded_by_a_value_and_uninstalled() -> Result<()> {
    let helm = Helm::new("helm-life", &[]).await?;
    let test = &helm.test;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    helm.release(&json!({"values": {"text": "one"}})).await?;
    let namespace = &test.namespace;
    let release = helm
        .ready(&format!("Helm install succeeded for release {namespace}/app.v1 with chart app@1.0.0"))
        .await?;
    assert_eq!(helm.text().await?, "one");
    let chart = release.text("/status/history/0/chartVersion").to_owned();
    assert!(chart.starts_with("1.0.0+"), "{release}");
    assert_eq!(release.text("/status/history/0/status"), "deployed");
    assert_eq!(release.text("/status/history/0/action"), "install");
    assert_eq!(release.text("/status/helmChart"), format!("{namespace}/{namespace}-app"));
    let entry = json!([{"id": format!("{namespace}_app-map__ConfigMap"), "v": "v1"}]);
    assert_eq!(release["status"]["inventory"]["entries"], entry);
    assert!(release.condition("Reconciling").is_none(), "{release}");
    let event = test.event(RELEASE, "Normal", "InstallSucceeded", "Helm install succeeded").await?;
    assert_eq!(event["metadata"]["annotations"]["helm.toolkit.fluxcd.io/revision"], json!(chart), "{event}");
    test.event(RELEASE, "Normal", "HelmChartCreated", "with SourceRef 'GitRepository/").await?;

    let listed = helm.helm(&["list"])?;
    assert_eq!(listed[0]["chart"], json!(format!("app-{chart}")), "{listed}");
    assert_eq!((listed[0].text("/revision"), listed[0].text("/status")), ("1", "deployed"));
    let manifest = helm.helm_text(&["get", "manifest", "app"])?;
    assert!(manifest.contains("helm.toolkit.fluxcd.io/name: app"), "{manifest}");
    assert_eq!(helm.helm(&["get", "values", "app"])?, json!({"text": "one"}));

    // Without a difference nothing is written.
    let before = test.run(RELEASE).await?;
    let after = test.run(RELEASE).await?;
    assert_eq!(before["status"]["history"], after["status"]["history"]);
    assert_eq!(before["status"]["conditions"], after["status"]["conditions"]);

    test.patch(RELEASE, &json!({"spec": {"values": {"text": "two"}}})).await?;
    let release =
        helm.ready(&format!("Helm upgrade succeeded for release {namespace}/app.v2 with chart app@")).await?;
    assert_eq!(helm.text().await?, "two");
    let status = |at: usize| release.text(&format!("/status/history/{at}/status")).to_owned();
    assert_eq!((status(0), status(1)), ("deployed".to_owned(), "superseded".to_owned()));

    // A chart that changes wakes its release.
    helm.commit_chart("2.0.0", &[("map.yaml", &MAP.replace("text: \"", "text: \"new "))])?;
    test.request("GitRepository/app").await?;
    helm.ready("app.v3 with chart app@2.0.0").await?;
    assert_eq!(helm.text().await?, "new two");
    test.patch(RELEASE, &json!({"spec": {"test": {"enable": true}}})).await?;
    helm.ready(": no test hooks").await?;

    test.kubectl(&["delete", "helmrelease", "app"])?;
    assert!(!test.exists("ConfigMap/app-map").await?);
    assert_eq!(helm.helm(&["list"])?, json!([]));
    test.gone(&format!("HelmChart/{namespace}-app")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_fails_is_rolled_back_until_retries_are_over() -> Result<()> {
    let helm = Helm::new("helm-rollback", &[]).await?;
    let test = &helm.test;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP), ("web.yaml", &scaled())])?;
    test.apply_source().await?;
    let spec = json!({"upgrade": {"timeout": "2s", "remediation": {"retries": 1}}});
    helm.release(&spec).await?;
    helm.ready("Helm install succeeded").await?;
    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 1}}})).await?;
    let release = helm
        .until("has given up", |release| {
            release.condition("Stalled").is_some_and(|stalled| stalled.reason == "RetriesExceeded")
        })
        .await?;
    let stalled = release.condition("Stalled").context("checked above")?;
    assert_eq!(stalled.message, "Failed to upgrade after 2 attempt(s)");
    let ready = release.condition("Ready").context("it has one")?;
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "RollbackSucceeded"), "{release}");
    let released = release.condition("Released").context("it has one")?;
    assert!(released.message.contains("timeout waiting for: [Deployment/"), "{}", released.message);
    assert_eq!(release.number("/status/upgradeFailures"), 2);
    assert_eq!(release.number("/status/observedGeneration"), release.number("/metadata/generation"));
    let history = helm.helm(&["history", "app"])?;
    let statuses: Vec<&str> = history.as_array().into_iter().flatten().map(|r| r.text("/status")).collect();
    assert_eq!(statuses, ["superseded", "failed", "superseded", "failed", "deployed"], "{history}");
    let event = test.event(RELEASE, "Warning", "UpgradeFailed", "timeout waiting for").await?;
    let (message, log) = event.text("/message").split_once("\n\nLast Helm logs:\n\n").context("a log")?;
    assert!(released.message.ends_with(message), "{message}");
    assert!(log.contains("Z: waiting for resources: {\"count\":"), "{log}");
    test.event(RELEASE, "Normal", "RollbackSucceeded", "Helm rollback to previous release").await?;

    // What it was rolled back to is wanted again: there is nothing to do.
    test.patch(RELEASE, &json!({"spec": {"values": null}})).await?;
    let release = helm.ready("Helm upgrade succeeded for release").await?;
    assert_eq!(release.number("/status/history/0/version"), 5, "{release}");
    test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 0, "text": "good"}}})).await?;
    let release = helm.ready("app.v6 with chart").await?;
    assert_eq!(release.number("/status/upgradeFailures"), 0);
    assert!(release.condition("Stalled").is_none(), "{release}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_corrected_where_that_is_asked_for() -> Result<()> {
    let helm = Helm::new("helm-drift", &[]).await?;
    let test = &helm.test;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    helm.release(&json!({"driftDetection": {"mode": "enabled"}})).await?;
    helm.ready("Helm install succeeded").await?;
    test.patch("ConfigMap/app-map", &json!({"data": {"text": "drifted"}})).await?;
    test.run(RELEASE).await?;
    assert_eq!(helm.text().await?, "default");
    test.event(RELEASE, "Warning", "DriftDetected", "changed (0 additions, 1 changes, 0 removals)").await?;
    test.event(RELEASE, "Normal", "DriftCorrected", "app-map configured").await?;
    let release = helm.ready("Helm install succeeded").await?;
    let drifted = release.condition("Drifted").context("it has one")?;
    assert_eq!((drifted.status.as_str(), drifted.reason.as_str()), ("False", "NoDriftDetected"));
    assert_eq!(helm.helm(&["list"])?[0].text("/revision"), "1");
    Ok(())
}
