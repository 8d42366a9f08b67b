//! Objects and releases for tests.

use api::HelmRelease;
use api::helm_release::{HelmReleaseStatus, ReleaseAction, Snapshot};
use artifact::digest::Algorithm;
use helm_chart::Metadata;
use helm_release::{Hook, Info, Observation, Phase, Release, Status};
use helm_state::{Desired, Settings};
use jiff::Timestamp;
use runtime::conditions::{Conditions, Status as ConditionStatus, find};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

pub fn now() -> Timestamp {
    "2026-11-30T10:00:00Z".parse().unwrap()
}

pub fn settings() -> Settings {
    Settings { digest: Algorithm::Sha256, retry_on_failure: false }
}

/// A HelmRelease `apps/web` of generation 1.
pub fn object(spec: Value) -> HelmRelease {
    let mut whole = json!({"interval": "10m"});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": "web", "namespace": "apps", "generation": 1},
        "spec": whole,
    }))
    .unwrap()
}

pub fn annotate(object: &mut HelmRelease, pairs: &[(&str, &str)]) {
    for (name, value) in pairs {
        let annotations = object.metadata.annotations.get_or_insert_default();
        annotations.insert(format!("reconcile.fluxcd.io/{name}"), (*value).to_owned());
    }
}

pub fn values() -> Map<String, Value> {
    json!({"replicas": 2}).as_object().unwrap().clone()
}

pub fn chart(version: &str) -> Metadata {
    Metadata {
        name: "podinfo".into(),
        version: version.into(),
        app_version: "6".into(),
        ..Metadata::default()
    }
}

/// Chart `podinfo` of version 1.0.0 with [`values`].
pub fn desired() -> Desired {
    Desired::new(&chart("1.0.0"), "sha256:0c1", values(), Algorithm::Sha256)
}

/// A revision of `apps/web` as it is [`desired`].
pub fn release(version: i64, status: Status) -> Release {
    release_of(&chart("1.0.0"), version, status)
}

pub fn release_of(chart: &Metadata, version: i64, status: Status) -> Release {
    let text = json!({"metadata": chart.to_json()}).to_string();
    Release {
        name: "web".into(),
        namespace: "apps".into(),
        version,
        info: Info { status, description: "x".into(), ..Info::default() },
        chart: Some(RawValue::from_string(text).unwrap()),
        config: Some(values()),
        ..Release::default()
    }
}

pub fn test_hook(name: &str, phase: Phase) -> Hook {
    let mut hook = Hook { name: name.into(), events: Some(vec!["test".into()]), ..Hook::default() };
    hook.last_run.phase = phase;
    hook
}

pub fn status(object: &mut HelmRelease) -> &mut HelmReleaseStatus {
    helm_state::status(object)
}

/// The snapshot of a release, of an artifact.
pub fn snapshot(release: &Release) -> Snapshot {
    let observed = Observation::new(release, "sha256:0c1").unwrap();
    helm_state::snapshot(&observed, Algorithm::Sha256, Some(ReleaseAction::Install))
}

/// Puts a release into the history.
pub fn know(object: &mut HelmRelease, release: &Release) {
    status(object).history.insert(0, snapshot(release));
}

/// Sets a condition of the object's generation.
pub fn set(object: &mut HelmRelease, kind: &str, status: ConditionStatus, reason: &str) {
    let generation = object.metadata.generation.unwrap();
    let conditions = &mut helm_state::status(object).conditions;
    let earlier = "2026-11-30T09:00:00Z".parse().unwrap();
    Conditions::new(conditions, generation, earlier).set(kind, status, reason, "before");
}

/// `<status> <reason>: <message>` of a condition, empty without it.
pub fn condition(object: &HelmRelease, kind: &str) -> String {
    let conditions = &object.status.as_ref().unwrap().conditions;
    find(conditions, kind).map(|c| format!("{} {}: {}", c.status, c.reason, c.message)).unwrap_or_default()
}

/// `failures`, `installFailures`, `upgradeFailures`
pub fn counters(object: &HelmRelease) -> (i64, i64, i64) {
    let status = object.status.as_ref().unwrap();
    (status.failures, status.install_failures, status.upgrade_failures)
}

/// `<version> <status> <action>` of each snapshot.
pub fn history(object: &HelmRelease) -> Vec<String> {
    let entry = |s: &Snapshot| {
        let action = s.action.map(|action| serde_json::to_value(action).unwrap());
        let action = action.as_ref().and_then(Value::as_str).unwrap_or("-");
        format!("{} {} {action}", s.version, s.status)
    };
    object.status.as_ref().unwrap().history.iter().map(entry).collect()
}
