//! What becomes of an action when helm-controller is told to end.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::objects::Look;
use e2e::process::Signal;
use e2e::testkit::deployment;
use serde_json::json;

use crate::helm_release::{Helm, MAP, RELEASE};

/// Longer than the end takes once the action is over, and shorter than the action may take.
const END: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_waits_goes_on_when_the_process_should_end() -> Result<()> {
    let mut helm = Helm::new("helm-shutdown", &[]).await?;
    let web = deployment("web", 0).replace("replicas: 0", "replicas: {{ .Values.replicas }}");
    helm.commit_chart("1.0.0", &[("map.yaml", MAP), ("web.yaml", &web)])?;
    helm.test.apply_source().await?;
    helm.release(&json!({})).await?;
    helm.ready("Helm install succeeded").await?;
    helm.test.patch(RELEASE, &json!({"spec": {"values": {"replicas": 1}}})).await?;
    helm.test.until("Deployment/web", "is upgraded", |web| web.number("/spec/replicas") == 1).await?;
    helm.controller.signal(Signal::TERM)?;
    helm.until("is being upgraded", |release| {
        release.condition("Ready").is_some_and(|ready| ready.message.starts_with("Running 'upgrade' action"))
    })
    .await?;
    helm.test.patch("Deployment/web", &json!({"spec": {"replicas": 0}})).await?;
    let status = helm.controller.own()?.ends(END).await?;
    assert!(status.success(), "{status}");
    let release = helm.test.get(RELEASE).await?;
    let ready = release.condition("Ready").context("it has one")?;
    assert!(ready.message.starts_with("Helm upgrade succeeded"), "{release}");
    assert_eq!(release.number("/status/upgradeFailures"), 0);
    Ok(())
}
