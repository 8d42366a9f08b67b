//! What makes a release be upgraded, and what does not.

use anyhow::{Context, Result, ensure};
use e2e::objects::Look;
use e2e::testkit::config_map;
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};

/// Changes the spec and waits until that was seen.
async fn change(helm: &Helm, spec: Value) -> Result<Value> {
    helm.test.patch(RELEASE, &json!({"spec": spec})).await?;
    helm.ready("").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_release_consists_of_upgrades_it_for_a_reason_that_is_logged_and_nothing_else_does()
-> Result<()> {
    let helm = Helm::new("helm-changes", &[]).await?;
    let from = json!([{"kind": "ConfigMap", "name": "unwatched", "valuesKey": "word", "targetPath": "word"}]);
    helm.test
        .apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: unwatched}\ndata: {word: a}\n")
        .await?;
    let mut helm = helm.installed(&[("map.yaml", MAP)], &json!({"valuesFrom": from})).await?;
    let logged = |helm: &Helm, text: &str| {
        let log = helm.controller.log_text();
        ensure!(log.contains(text), "{text:?} is not in\n{log}");
        Ok(())
    };
    logged(&helm, "release not installed: no release in storage for object")?;
    let patch = "[{\"op\": \"add\", \"path\": \"/data/added\", \"value\": \"yes\"}]";
    let renderer = json!({"kustomize": {"patches": [{"patch": patch, "target": {"kind": "ConfigMap"}}]}});
    let reasons = [
        (json!({"values": {"text": "two"}}), "release config values changed"),
        (json!({"postRenderers": [renderer]}), "postrenderers digest has changed"),
        (json!({"commonMetadata": {"labels": {"team": "a"}}}), "common metadata digest has changed"),
    ];
    let out_of_sync = "release out-of-sync with desired state";
    for (number, (spec, reason)) in reasons.into_iter().enumerate() {
        change(&helm, spec).await?;
        helm.ready(&format!("app.v{} with chart", number + 2)).await?;
        logged(&helm, &format!("{out_of_sync}: {reason}"))?;
    }
    helm.commit_chart("2.0.0", &[("map.yaml", MAP)])?;
    helm.test.request("GitRepository/app").await?;
    helm.ready("app.v5 with chart app@2.0.0").await?;
    logged(&helm, &format!("{out_of_sync}: release chart changed"))?;

    // How it is done is no part of what is done.
    for spec in [
        json!({"interval": "2h", "timeout": "3m"}),
        json!({"maxHistory": 7, "upgrade": {"timeout": "3m", "cleanupOnFail": true}}),
        json!({"values": {"text": "two"}}),
    ] {
        let release = change(&helm, spec).await?;
        ensure!(release.number("/status/history/0/version") == 5, "{release}");
    }
    is_left_alone_while_suspended(&helm).await?;
    let release = change(&helm, json!({"suspend": false, "values": {"text": "two"}})).await?;
    ensure!(release.number("/status/history/0/version") == 5, "{release}");
    // A source that says nothing new is no reason to look.
    let before = helm.passes().await?;
    let chart = format!("HelmChart/{}-app", helm.test.namespace);
    helm.test.patch(&chart, &json!({"metadata": {"annotations": {"note": "seen"}}})).await?;
    helm.test.run(RELEASE).await?;
    ensure!(helm.passes().await? <= before + 1.0);

    // A process that starts looks at everything, and does nothing.
    let history = helm.test.get(RELEASE).await?["status"]["history"].clone();
    helm.controller.own()?.restart().await?;
    let release = helm.test.run(RELEASE).await?;
    ensure!(release["status"]["history"] == history && helm.statuses("app")?.len() == 5, "{release}");

    // What has no label is read at the next run.
    helm.test.patch("ConfigMap/unwatched", &json!({"data": {"word": "b"}})).await?;
    helm.test.run(RELEASE).await?;
    helm.ready("app.v6 with chart").await?;
    ensure!(helm.helm(&["get", "values", "app"])?["word"] == "b");
    helm.test.finish().await
}

/// Of a suspended release nothing is written but the answer to a request, and which generation was seen.
async fn is_left_alone_while_suspended(helm: &Helm) -> Result<()> {
    let mut before = helm.test.get(RELEASE).await?["status"].take();
    let spec = json!({"suspend": true, "values": {"text": "while suspended"}});
    helm.test.patch(RELEASE, &json!({"spec": spec})).await?;
    let mut after = helm.test.run(RELEASE).await?["status"].take();
    for status in [&mut before, &mut after] {
        let status = status.as_object_mut().context("a status")?;
        status.retain(|field, _| !["lastHandledReconcileAt", "observedGeneration"].contains(&&**field));
    }
    ensure!(before == after, "{before}\n{after}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_retry_what_fails_and_ask_more_than_an_expression() -> Result<()> {
    let gates = "--feature-gates=DefaultToRetryOnFailure=true,AdditiveCELDependencyCheck=true";
    let helm = Helm::new("helm-gates", &[gates]).await?;
    let test = &helm.test;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    let expression = "dep.metadata.name == 'base'";
    let spec = json!({"dependsOn": [{"name": "base", "readyExpr": expression}]});
    helm.release_named("base", &json!({"suspend": true})).await?;
    helm.release(&spec).await?;
    // The expression is true, which alone would do without the gate.
    let unready = format!("dependency '{}/base' is not ready", test.namespace);
    helm.says("Ready", "False", "DependencyNotReady", &unready).await?;
    test.patch("HelmRelease/base", &json!({"spec": {"suspend": false}})).await?;
    helm.ready("Helm install succeeded").await?;

    // Without a strategy in its spec it is tried again, and nothing is rolled back.
    test.patch("HelmRelease/base", &json!({"spec": {"suspend": true}})).await?;
    test.patch(RELEASE, &json!({"spec": {"dependsOn": null}})).await?;
    let immutable = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: refused}\nimmutable: \"no bool\"\n";
    helm.commit_chart("2.0.0", &[("map.yaml", MAP), ("refused.yaml", immutable)])?;
    test.request("GitRepository/app").await?;
    let release = helm.says("Released", "False", "UpgradeFailed", "immutable").await?;
    ensure!(release.condition("Remediated").is_none(), "{release}");
    ensure!(release.condition("Stalled").is_none(), "{release}");
    helm.commit_chart("3.0.0", &[("map.yaml", MAP), ("refused.yaml", &config_map("taken", "1"))])?;
    test.request("GitRepository/app").await?;
    let release = helm.ready("with chart app@3.0.0").await?;
    ensure!(release.number("/status/upgradeFailures") == 0, "{release}");
    let statuses = helm.statuses("app")?;
    ensure!(statuses.last().is_some_and(|last| last == "deployed"), "{statuses:?}");
    ensure!(!helm.controller.log_text().contains("'rollback' action"));
    helm.test.finish().await
}
