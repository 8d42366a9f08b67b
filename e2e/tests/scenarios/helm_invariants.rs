//! What holds of every status that a HelmRelease ever has.

use anyhow::{Result, ensure};
use e2e::objects::Look;
use serde_json::{Value, json};

use crate::helm_hooks::{end, pod};
use crate::helm_release::{Helm, MAP, RELEASE};
use crate::helm_remediation::scaled;
use crate::invariants::{Recorder, status_of};

fn conditions(release: &Value) -> impl Iterator<Item = &Value> {
    release["status"]["conditions"].as_array().into_iter().flatten()
}

/// In the middle of a pass too.
fn check_always(release: &Value) {
    let [ready, reconciling, stalled] = ["Ready", "Reconciling", "Stalled"].map(|c| status_of(release, c));
    assert!(reconciling != "True" || stalled != "True", "reconciling and stalled: {release}");
    assert!(stalled != "True" || ready == "False", "stalled and not failed: {release}");
    for condition in ["Reconciling", "Stalled"] {
        assert!(matches!(status_of(release, condition), "" | "True"), "{condition} of {release}");
    }
    if ready == "True" {
        assert_ne!(status_of(release, "Released"), "False", "ready and not released: {release}");
        assert_ne!(status_of(release, "Remediated"), "False", "ready and not remediated: {release}");
    }
    let generation = release.number("/metadata/generation");
    let observed = release.number("/status/observedGeneration");
    assert!(observed <= generation, "{release}");
    // As in Flux an action that went well is told before it is known that no other one follows: not as the end of it.
    let is_both = reconciling == "True" && ready == "True";
    assert!(!is_both || observed < generation, "reconciling and ready: {release}");
    for condition in conditions(release) {
        assert!(condition.number("/observedGeneration") <= generation, "{release}");
        assert!(
            !condition.text("/reason").is_empty() && condition.text("/message").len() <= 32768,
            "{release}"
        );
    }
}

/// At the end of what was to be done: ready, stalled or to be tried again.
fn check_end(release: &Value, outcome: &str) {
    let observed = release.number("/status/observedGeneration");
    // As in Flux what is to be tried again is not observed.
    assert_eq!(observed == release.number("/metadata/generation"), outcome != "Reconciling", "{release}");
    let [ready, reconciling, stalled] = ["Ready", "Reconciling", "Stalled"].map(|c| status_of(release, c));
    match outcome {
        "Ready" => assert_eq!([ready, reconciling, stalled], ["True", "", ""], "{release}"),
        "Stalled" => assert_eq!([ready, reconciling, stalled], ["False", "", "True"], "{release}"),
        _ => assert_eq!([ready, reconciling, stalled], ["False", "True", ""], "{release}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_of_a_release_never_contradict_themselves() -> Result<()> {
    let helm = Helm::shared("helm-invariants").await?;
    let test = &helm.test;
    let recorder = Recorder::start(test, RELEASE).await?;
    let upgrade = json!({"timeout": "1s", "remediation": {"retries": 1}});
    let templates = [("map.yaml", MAP), ("web.yaml", &*scaled()), ("one.yaml", &pod("one", "test"))];
    helm.begin(&templates, &json!({"upgrade": upgrade, "test": {"enable": true}})).await?;
    end(&helm, "one", "Succeeded").await?;
    check_end(&helm.ready("Helm test succeeded").await?, "Ready");

    let change = async |spec: Value| test.patch(RELEASE, &json!({"spec": spec})).await;
    // Failing, rolled back, tried again, given up; and well again.
    change(json!({"values": {"replicas": 1}, "test": {"enable": false}})).await?;
    check_end(&helm.says("Stalled", "True", "RetriesExceeded", "2 attempt(s)").await?, "Stalled");
    change(json!({"values": {"replicas": 0, "text": "good"}})).await?;
    check_end(&helm.ready("Helm upgrade succeeded").await?, "Ready");
    // What cannot go on: dependencies, values, the source, expressions.
    for (spec, reason, outcome) in [
        (json!({"dependsOn": [{"name": "absent"}]}), "DependencyNotReady", "Reconciling"),
        (
            json!({"dependsOn": null, "valuesFrom": [{"kind": "ConfigMap", "name": "absent"}]}),
            "ValuesError",
            "Reconciling",
        ),
        (
            json!({"valuesFrom": null, "chart": {"spec": {"chart": "./absent"}}}),
            "SourceNotReady",
            "Reconciling",
        ),
        (
            json!({"chart": {"spec": {"chart": "./chart"}}, "healthCheckExprs": [{"apiVersion": "v1", "kind": "A", "current": "("}]}),
            "InvalidCELExpression",
            "Stalled",
        ),
    ] {
        let generation = change(spec).await?.number("/metadata/generation");
        let release = helm
            .until(&format!("says {reason}"), |release| {
                conditions(release).any(|condition| {
                    condition.text("/type") == "Ready"
                        && condition.text("/status") == "False"
                        && condition.text("/reason") == reason
                        && condition.number("/observedGeneration") == generation
                })
            })
            .await?;
        check_end(&release, outcome);
    }
    // Suspended it is as it was left.
    let before = change(json!({"healthCheckExprs": null, "suspend": true})).await?;
    let after = test.run(RELEASE).await?;
    ensure!(before["status"]["conditions"] == after["status"]["conditions"], "{before} {after}");
    change(json!({"suspend": false})).await?;
    check_end(&helm.ready("Helm upgrade succeeded").await?, "Ready");
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;

    let states = recorder.end();
    states.iter().for_each(check_always);
    let seen = |kind: &str| states.iter().filter(|release| status_of(release, kind) == "True").count();
    ensure!(states.len() > 20 && seen("Reconciling") > 3 && seen("Stalled") > 1, "{} states", states.len());
    helm.test.finish().await
}
