//! What a pass over a generator says in its status: pure functions on the object in memory.

use api::artifact_generator::reasons::{
    BUILD_FAILED, RECONCILIATION_DISABLED, RECONCILIATION_FAILED, SOURCE_FETCH_FAILED,
};
use api::artifact_generator::{DISABLED, RECONCILE_ANNOTATION};
use api::meta::RECONCILE_REQUEST_ANNOTATION;
use api::meta::reasons::{PROGRESSING, PROGRESSING_WITH_RETRY, SUCCEEDED};
use api::{ArtifactGenerator, Condition, ConditionStatus};
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::conditions::{Conditions, READY, RECONCILING, STALLED, find};

/// The conditions that nobody else may write.
pub const OWNED: [&str; 3] = [READY, RECONCILING, STALLED];

/// What a generator says that is worked on.
const IN_PROGRESS: &str = "Reconciliation in progress";
/// What a generator says that was made with the annotation that disables it.
const INITIALIZED_DISABLED: &str = "Initialized with reconciliation suspended";

/// Why a pass did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reason in conditions and events.
    pub reason: &'static str,
    /// The message in conditions and events.
    pub message: String,
    /// What becomes of the object.
    pub class: Class,
}

/// What becomes of an object after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Only another spec can help.
    Stalling,
    /// It waits for a source, and looks again after a while.
    Waiting,
    /// It is tried again with back-off.
    Retried,
}

impl Failure {
    /// Only another spec can help.
    pub fn stalling(reason: &'static str, message: String) -> Self {
        Failure { reason, message, class: Class::Stalling }
    }

    /// A source is not there, or cannot be fetched.
    pub fn source(message: String) -> Self {
        Failure { reason: SOURCE_FETCH_FAILED, message, class: Class::Waiting }
    }

    /// An artifact cannot be made.
    pub fn build(message: String) -> Self {
        Failure { reason: BUILD_FAILED, message, class: Class::Retried }
    }

    /// An ExternalArtifact cannot be written.
    pub fn publish(message: String) -> Self {
        Failure { reason: RECONCILIATION_FAILED, message, class: Class::Retried }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Whether the annotation says that nothing shall be done.
pub fn is_disabled(object: &ArtifactGenerator) -> bool {
    object.annotations().get(RECONCILE_ANNOTATION).is_some_and(|value| value.eq_ignore_ascii_case(DISABLED))
}

/// The conditions of an object.
pub fn conditions_of(object: &ArtifactGenerator) -> &[Condition] {
    object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
}

/// The token of the last request for a pass is handled.
pub fn handled(object: &mut ArtifactGenerator) {
    if let Some(token) = object.annotations().get(RECONCILE_REQUEST_ANNOTATION).cloned() {
        object.status.get_or_insert_default().last_handled_reconcile_at = Some(token);
    }
}

/// The object is seen for the first time, and is not to be worked on.
pub fn initialized_disabled(object: &mut ArtifactGenerator, now: Timestamp) {
    conditions(object, now).set(READY, ConditionStatus::True, RECONCILIATION_DISABLED, INITIALIZED_DISABLED);
}

/// Work goes on.
pub fn progressing(object: &mut ArtifactGenerator, now: Timestamp) {
    let mut conditions = conditions(object, now);
    conditions.reconciling(PROGRESSING, IN_PROGRESS);
    conditions.set(READY, ConditionStatus::Unknown, PROGRESSING, IN_PROGRESS);
}

/// All artifacts are what they should be.
pub fn succeeded(object: &mut ArtifactGenerator, count: usize, now: Timestamp) {
    let mut conditions = conditions(object, now);
    conditions.remove(RECONCILING);
    conditions.remove(STALLED);
    conditions.set(READY, ConditionStatus::True, SUCCEEDED, success_message(count));
}

/// What is said of so many artifacts.
pub fn success_message(count: usize) -> String {
    format!("reconciliation succeeded, generated {count} artifact(s)")
}

/// A pass failed.
pub fn failed(object: &mut ArtifactGenerator, failure: &Failure, now: Timestamp) {
    let mut conditions = conditions(object, now);
    conditions.set(READY, ConditionStatus::False, failure.reason, &failure.message);
    if failure.class == Class::Stalling {
        conditions.stalled(failure.reason, &failure.message);
        return;
    }
    conditions.remove(STALLED);
    if let Some(Condition { message, .. }) = conditions.get(RECONCILING).cloned() {
        conditions.set(RECONCILING, ConditionStatus::True, PROGRESSING_WITH_RETRY, message);
    }
}

/// What in the object itself tells that its artifacts may not be what they should be; `digest` is that of its sources.
pub fn drift(object: &ArtifactGenerator, digest: &str) -> Option<&'static str> {
    let Some(ready) =
        find(conditions_of(object), READY).filter(|ready| ready.status == ConditionStatus::True)
    else {
        return Some("NotReady");
    };
    let status = object.status.as_ref()?;
    let is_expanded = object.spec.path_pattern.as_ref().is_some_and(|pattern| !pattern.is_empty());
    if ready.observed_generation != object.metadata.generation {
        Some("GenerationChanged")
    } else if status.observed_sources_digest.as_deref() != Some(digest) {
        Some("SourcesChanged")
    } else if !is_expanded && status.inventory.len() != object.spec.artifacts.len() {
        Some("ArtifactsChanged")
    } else {
        None
    }
}

fn conditions(object: &mut ArtifactGenerator, now: Timestamp) -> Conditions<'_> {
    let generation = object.metadata.generation.unwrap_or_default();
    Conditions::new(&mut object.status.get_or_insert_default().conditions, generation, now)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> ArtifactGenerator {
        let source = json!({"alias": "a", "kind": "Bucket", "name": "b"});
        let artifact = json!({"name": "x", "copy": []});
        serde_json::from_value(json!({
            "metadata": {"name": "g", "namespace": "ns", "generation": 2},
            "spec": {"sources": [source], "artifacts": [artifact]},
        }))
        .unwrap()
    }

    fn said(object: &ArtifactGenerator) -> Vec<String> {
        let text = |c: &Condition| format!("{} {} {} {}", c.type_, c.status, c.reason, c.message);
        conditions_of(object).iter().map(text).collect()
    }

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    #[test]
    fn conditions_tell_how_a_pass_went() {
        let mut object = object();
        progressing(&mut object, now());
        let unknown = "Ready Unknown Progressing Reconciliation in progress";
        assert_eq!(said(&object), ["Reconciling True Progressing Reconciliation in progress", unknown]);
        failed(&mut object, &Failure::build("x build failed: y".into()), now());
        let retried = "Reconciling True ProgressingWithRetry Reconciliation in progress";
        assert_eq!(said(&object), [retried, "Ready False BuildFailed x build failed: y"]);
        failed(&mut object, &Failure::stalling("ValidationFailed", "z".into()), now());
        assert_eq!(said(&object), ["Stalled True ValidationFailed z", "Ready False ValidationFailed z"]);
        succeeded(&mut object, 2, now());
        assert_eq!(said(&object), ["Ready True Succeeded reconciliation succeeded, generated 2 artifact(s)"]);
    }

    #[test]
    fn a_generator_is_disabled_by_its_annotation_in_any_case() {
        let mut object = object();
        for (value, expected) in [("disabled", true), ("Disabled", true), ("enabled", false), ("", false)] {
            object.annotations_mut().insert(RECONCILE_ANNOTATION.into(), value.into());
            assert_eq!(is_disabled(&object), expected, "{value}");
        }
        initialized_disabled(&mut object, now());
        let text = "Ready True ReconciliationDisabled Initialized with reconciliation suspended";
        assert_eq!(said(&object), [text]);
    }

    #[test]
    fn drift_is_told_by_readiness_generation_sources_and_the_number_of_artifacts() {
        let mut object = object();
        assert_eq!(drift(&object, "d"), Some("NotReady"));
        succeeded(&mut object, 1, now());
        object.metadata.generation = Some(3);
        assert_eq!(drift(&object, "d"), Some("GenerationChanged"));
        succeeded(&mut object, 1, now());
        assert_eq!(drift(&object, "d"), Some("SourcesChanged"));
        object.status.as_mut().unwrap().observed_sources_digest = Some("d".into());
        assert_eq!(drift(&object, "d"), Some("ArtifactsChanged"));
        object.spec.path_pattern = Some("@a/{x}".into());
        assert_eq!(drift(&object, "d"), None, "the source says how many");
    }
}
