//! What others did to a release, or to the Secrets that its revisions are stored in: it is taken back, and never stuck.

use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::objects::Look;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};

fn secret(version: i64) -> String {
    format!("Secret/sh.helm.release.v1.app.v{version}")
}

/// What is stored of a revision.
pub async fn stored(helm: &Helm, version: i64) -> Result<Value> {
    let stored = helm.test.get(&secret(version)).await?;
    let text = BASE64_STANDARD.decode(BASE64_STANDARD.decode(stored.text("/data/release"))?)?;
    let mut plain = String::new();
    GzDecoder::new(text.as_slice()).read_to_string(&mut plain)?;
    Ok(serde_json::from_str(&plain)?)
}

/// Changes what is stored of a revision, as somebody may who can write Secrets.
pub async fn edit(helm: &Helm, version: i64, change: impl FnOnce(&mut Value)) -> Result<()> {
    let mut release = stored(helm, version).await?;
    change(&mut release);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(release.to_string().as_bytes())?;
    let data = BASE64_STANDARD.encode(BASE64_STANDARD.encode(gzip.finish()?));
    let labels = json!({"status": release.text("/info/status")});
    let patch = json!({"data": {"release": data}, "metadata": {"labels": labels}});
    helm.test.patch(&secret(version), &patch).await.map(drop)
}

/// Runs the release; it has to become ready as this revision, with objects as wanted.
async fn comes_back_as(helm: &Helm, version: i64, message: &str) -> Result<()> {
    helm.test.run(RELEASE).await?;
    let what = format!("{message} succeeded for release {}/app.v{version} with chart", helm.test.namespace);
    let release = helm.ready(&what).await?;
    // What somebody has uninstalled is first taken for something to upgrade, as in Flux.
    ensure!(
        release.number("/status/failures") <= 1,
        "{release}\n{}",
        helm.controller.log_about(&helm.test.namespace, 60)
    );
    ensure!(helm.text().await? == "mine");
    ensure!(helm.statuses("app")?.last().is_some_and(|status| status == "deployed"));
    // And that is all: another run does nothing.
    helm.test.run(RELEASE).await?;
    ensure!(helm.version().await? == version);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_with_the_real_client_is_taken_back() -> Result<()> {
    let helm = Helm::shared("helm-others").await?;
    let helm = helm.installed(&[("map.yaml", MAP)], &json!({"values": {"text": "first"}})).await?;
    let test = &helm.test;
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "mine"}}})).await?;
    helm.ready("app.v2 with chart").await?;

    helm.helm_text(&["rollback", "app", "1", "--force-conflicts"])?;
    ensure!(helm.text().await? == "first");
    comes_back_as(&helm, 4, "Helm upgrade").await?;
    let release = test.get(RELEASE).await?;
    ensure!(release["status"]["history"].as_array().map(Vec::len) == Some(1), "{release}");

    helm.helm_text(&["uninstall", "app"])?;
    comes_back_as(&helm, 1, "Helm install").await?;
    // With a history of what is uninstalled, there is a name to take again.
    helm.helm_text(&["uninstall", "app", "--keep-history"])?;
    test.patch(RELEASE, &json!({"spec": {"install": {"replace": true}}})).await?;
    comes_back_as(&helm, 2, "Helm install").await?;

    // `helm test` by somebody else changes what is stored of the hooks, and nothing else.
    helm.helm_text(&["test", "app"])?;
    comes_back_as(&helm, 2, "Helm install").await?;

    // What Helm has installed is taken over, with its history.
    test.kubectl(&["delete", "helmrelease", "app"])?;
    let chart = test.repo.folder().join("chart").display().to_string();
    helm.helm_text(&["install", "app", &chart, "--set", "text=theirs"])?;
    helm.release(&json!({"values": {"text": "mine"}})).await?;
    helm.ready("app.v2 with chart").await?;
    ensure!(helm.statuses("app")? == ["superseded", "deployed"]);
    test.patch(RELEASE, &json!({"spec": {"suspend": true}})).await?;
    test.kubectl(&["delete", "helmrelease", "app"])?;
    // And Helm goes on from there.
    helm.helm_text(&["upgrade", "app", &chart, "--set", "text=theirs", "--force-conflicts"])?;
    ensure!(helm.text().await? == "theirs");
    helm.helm_text(&["rollback", "app", "2", "--force-conflicts"])?;
    ensure!(helm.text().await? == "mine");
    helm.helm_text(&["uninstall", "app"])?;
    ensure!(!test.exists("ConfigMap/app-map").await?);
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_is_damaged_or_lost_is_no_end() -> Result<()> {
    let helm = Helm::shared("helm-storage").await?;
    let helm = helm.installed(&[("map.yaml", MAP)], &json!({"values": {"text": "first"}})).await?;
    let test = &helm.test;
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "mine"}}})).await?;
    helm.ready("app.v2 with chart").await?;

    // Another release than was written down.
    edit(&helm, 2, |release| release["info"]["description"] = "by hand".into()).await?;
    comes_back_as(&helm, 3, "Helm upgrade").await?;
    // The newest revision is lost.
    test.objects.delete(&test.id(&secret(3))?).await?;
    comes_back_as(&helm, 3, "Helm upgrade").await?;
    // What cannot be read is passed over, and its number is not used again.
    let noise = json!({"data": {"release": BASE64_STANDARD.encode("no release")}});
    test.patch(&secret(3), &noise).await?;
    comes_back_as(&helm, 4, "Helm upgrade").await?;
    // All is lost.
    test.kubectl(&["delete", "secret", "-l", "owner=helm,name=app"])?;
    comes_back_as(&helm, 1, "Helm install").await?;
    // Nothing of what there is can be read.
    test.patch(&secret(1), &noise).await?;
    comes_back_as(&helm, 2, "Helm install").await?;
    // One that is no release at all, and one of another release.
    let foreign = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "stringData": {"release": "foreign"},
        "metadata": {"name": "foreign", "labels": {"owner": "helm", "name": "app", "version": "seven", "status": "deployed"}},
    });
    test.apply(&foreign.to_string()).await?;
    comes_back_as(&helm, 2, "Helm install").await?;

    // A process that died in an action.
    for (version, status) in [(2, "pending-install"), (3, "pending-upgrade"), (4, "pending-rollback")] {
        edit(&helm, version, |release| release["info"]["status"] = status.into()).await?;
        comes_back_as(&helm, version + 1, "Helm upgrade").await?;
        let text = format!("Unlocked Helm release {}/app.v{version} with chart app@1.0.0+", test.namespace);
        let event = test.event(RELEASE, "Normal", "PendingRelease", &text).await?;
        ensure!(event.text("/message").ends_with(&format!(" in {status} state")), "{event}");
    }
    // A snapshot of an older controller has a digest of another kind, and what is stored is believed.
    let release = test.patch(RELEASE, &json!({"spec": {"suspend": true}})).await?;
    let mut snapshot = release["status"]["history"][0].clone();
    snapshot.as_object_mut().context("a snapshot")?.remove("apiVersion");
    let version = snapshot.number("/version");
    let status = json!({"status": {"history": [snapshot]}}).to_string();
    let name = "helmrelease.helm.toolkit.fluxcd.io/app";
    test.kubectl(&["patch", name, "--subresource=status", "--type=merge", "-p", &status])?;
    edit(&helm, version, |release| release["info"]["description"] = "by hand".into()).await?;
    test.patch(RELEASE, &json!({"spec": {"suspend": false}})).await?;
    test.run(RELEASE).await?;
    ensure!(helm.version().await? == version);
    // States in which nothing can be told.
    for status in ["superseded", "unknown"] {
        edit(&helm, version, |release| release["info"]["status"] = status.into()).await?;
        test.request(RELEASE).await?;
        let text = format!(
            "Could not determine release state: unable to determine state for release with status '{status}'"
        );
        helm.says("Ready", "False", "StateError", &text).await?;
    }
    edit(&helm, version, |release| release["info"]["status"] = "deployed".into()).await?;
    test.request(RELEASE).await?;
    helm.ready("").await?;
    ensure!(helm.version().await? == version);
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(!test.exists("ConfigMap/app-map").await?);
    ensure!(helm.helm(&["list"])? == json!([]));
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_no_secret_can_hold_is_refused_before_anything_is_applied() -> Result<()> {
    let helm = Helm::shared("helm-large").await?;
    // It does not compress, so it is larger than what a Secret holds.
    let noise: String = (0..1_600_000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    let hook = MAP
        .replace("-map", "-hook")
        .replace("metadata: {", "metadata: {annotations: {helm.sh/hook: pre-install}, ");
    helm.begin(&[("map.yaml", MAP), ("hook.yaml", &hook)], &json!({})).await?;
    helm.ready("Helm install succeeded").await?;
    helm.commit_chart_in(
        "chart",
        "2.0.0",
        &[("noise.txt", &noise), ("templates/more.yaml", &MAP.replace("-map", "-more"))],
    )?;
    helm.test.request("GitRepository/app").await?;
    let text =
        "Secret \"sh.helm.release.v1.app.v2\" is invalid: data: Too long: may not be more than 1048576 bytes";
    let release = helm.says("Released", "False", "UpgradeFailed", text).await?;
    ensure!(release.number("/status/upgradeFailures") == 0, "{release}");
    let event = helm.test.event(RELEASE, "Warning", "UpgradeFailed", text).await.context("told")?;
    ensure!(event.text("/message").len() < 4000, "{}", event.text("/message").len());
    ensure!(!helm.test.exists("ConfigMap/app-more").await?);
    ensure!(helm.statuses("app")? == ["deployed"]);
    // Smaller again, it is well.
    helm.commit_chart_in("chart", "2.0.1", &[("noise.txt", "little")])?;
    helm.test.request("GitRepository/app").await?;
    helm.ready("app.v2 with chart app@2.0.1").await?;
    ensure!(helm.test.exists("ConfigMap/app-more").await?);
    helm.test.finish().await
}
