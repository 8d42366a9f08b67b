//! Drift of objects of a release: corrected or told of as soon as it happens.

use std::time::Duration;

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::config_map;
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};
use crate::helm_requests::requests_of;

/// A repair is no matter of an interval, which is an hour; what it takes on a busy machine is left open.
const SOON: Duration = Duration::from_secs(20);

/// How long the other side fights.
const FIGHT: Duration = Duration::from_secs(120);
/// How long it leaves a repair alone.
const PAUSE: Duration = Duration::from_millis(100);

/// Release `app` of ConfigMaps `app-map` and `app-other`, with this drift detection.
async fn released(name: &str, options: &[&str], detection: Value) -> Result<Helm> {
    let helm = Helm::new(name, options).await?;
    let other = config_map("{{ .Release.Name }}-other", "chart")
        .replace("{{", "\"{{")
        .replace("}}-other", "}}-other\"");
    helm.commit_chart("1.0.0", &[("map.yaml", MAP), ("other.yaml", &other)])?;
    helm.test.apply_source().await?;
    helm.release(&json!({"driftDetection": detection})).await?;
    helm.ready("Helm install succeeded").await?;
    Ok(helm)
}

async fn change(test: &Scenario, data: Value) -> Result<()> {
    test.patch("ConfigMap/app-map", &json!({"data": data})).await.map(drop)
}

async fn has_text(test: &Scenario, text: &str) -> Result<()> {
    let is = |map: &Value| map.text("/data/text") == text;
    tokio::time::timeout(SOON, test.until("ConfigMap/app-map", text, is)).await?.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_corrected_as_soon_as_it_happens() -> Result<()> {
    let helm = released("helm-drift", &[], json!({"mode": "enabled"})).await?;
    let test = &helm.test;
    change(test, json!({"text": "by hand"})).await?;
    has_text(test, "default").await?;
    let text = format!("has been corrected:\nConfigMap/{}/app-map configured", test.namespace);
    test.event(RELEASE, "Normal", "DriftCorrected", &text).await?;
    test.kubectl(&["delete", "configmap/app-other"])?;
    tokio::time::timeout(SOON, test.until("ConfigMap/app-other", "is back", |_| true)).await??;
    let text = format!("has been corrected:\nConfigMap/{}/app-other created", test.namespace);
    test.event(RELEASE, "Normal", "DriftCorrected", &text).await?;
    // An object that was made anew is missed again.
    test.kubectl(&["delete", "configmap/app-other"])?;
    tokio::time::timeout(SOON, test.until("ConfigMap/app-other", "is back again", |_| true)).await??;
    helm.until("says that nothing has drifted", |release| {
        release.condition("Drifted").is_some_and(|drifted| drifted.status == "False")
    })
    .await?;
    // A fight goes on, slower and slower, and is told. What is left alone for seconds is no fight.
    let is_told = async || {
        let events = test.objects.events(&test.id(RELEASE)?).await?;
        anyhow::Ok(events.iter().any(|event| event.text("/reason") == "DriftRepeated"))
    };
    let fight = async {
        while !is_told().await? {
            if helm.text().await? == "default" {
                change(test, json!({"text": "by hand"})).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(FIGHT, fight).await??;
    let text =
        format!("ConfigMap/{}/app-map was changed back 4 times in a row after changes by", test.namespace);
    test.event(RELEASE, "Warning", "DriftRepeated", &text).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_stays_and_is_looked_at_once() -> Result<()> {
    let ignore = json!([{"paths": ["/data/text"], "target": {"kind": "ConfigMap", "name": "app-map"}}]);
    let helm = released("helm-ignore", &[], json!({"mode": "enabled", "ignore": ignore})).await?;
    let test = &helm.test;
    let before = helm.passes().await?;
    change(test, json!({"text": "by hand"})).await?;
    test.wait("the change is looked at", async || {
        match helm.passes().await.map_err(e2e::wait::not_yet)? > before {
            true => Ok(()),
            false => Err(e2e::wait::Not::Yet("no pass".to_owned())),
        }
    })
    .await?;
    // What follows is seen only after all that the change has brought about.
    change(test, json!({"text": "by hand", "more": "of somebody else"})).await?;
    test.kubectl(&["delete", "configmap/app-other"])?;
    test.until("ConfigMap/app-other", "is back", |_| true).await?;
    assert_eq!(helm.text().await?, "by hand");
    assert!(helm.passes().await? - before <= 6.0, "it is no loop");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_told_of_where_it_is_only_to_be_told() -> Result<()> {
    let helm = released("helm-warn", &[], json!({"mode": "warn"})).await?;
    let test = &helm.test;
    change(test, json!({"text": "by hand"})).await?;
    let lines = format!("ConfigMap/{}/app-map changed (0 additions, 1 changes, 0 removals)", test.namespace);
    let text = format!(
        "Cluster state of release {}/app.v1 has drifted from the desired state:\n{lines}",
        test.namespace
    );
    let told = async |text: &str| {
        let told = helm.until("says what has drifted", |release| {
            release.condition("Drifted").is_some_and(|drifted| drifted.message == text)
        });
        tokio::time::timeout(SOON, told).await?
    };
    assert!(told(&text).await?.is_ready());
    test.event(RELEASE, "Warning", "DriftDetected", &text).await?;
    assert_eq!(helm.text().await?, "by hand");
    let namespace = format!("namespace=\"{}\"", test.namespace);
    let drifted = async || {
        let labels = [&*namespace, "kind=\"HelmRelease\"", "name=\"app\""];
        helm.controller.metric("gotk_drifted_objects", &labels).await
    };
    assert_eq!(drifted().await?, 1.0);
    // Who has taken a field and changes it once more is not seen until the next look.
    change(test, json!({"text": "default"})).await?;
    test.run(RELEASE).await?;
    told("No drift detected against the cluster state").await?;
    assert_eq!(drifted().await?, 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_drift_detection_objects_are_left_alone() -> Result<()> {
    for (name, options, detection) in [
        ("helm-no-drift", &[][..], json!({"mode": "disabled"})),
        ("helm-no-watch", &["--watch-drift=false"][..], json!({"mode": "enabled"})),
    ] {
        let helm = released(name, options, detection.clone()).await?;
        let test = &helm.test;
        let requests = requests_of(&helm, async || {
            change(test, json!({"text": "by hand"})).await?;
            // Another release that is installed by the same controller comes after all that the change brings about.
            helm.release_named("second", &json!({"dependsOn": [{"name": "app"}]})).await?;
            test.until("ConfigMap/second-map", "is there", |_| true).await.map(drop)
        })
        .await?;
        assert!(!requests.iter().flatten().any(|request| request.name == "app-map"), "{requests:?}");
        assert_eq!(helm.text().await?, "by hand");
        let run = test.run(RELEASE).await?;
        let is_corrected = detection["mode"] == "enabled";
        assert_eq!(helm.text().await? == "default", is_corrected, "{run}");
    }
    Ok(())
}
