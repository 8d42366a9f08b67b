//! Whether a dry-run's answer differs from the live object, as upstream sees it, and what can be known of that without
//! having the live object.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::drift::Reading;
use crate::hash;
use crate::ignore::Ignored;
use crate::manager::Manager;
use crate::object::meta;
use crate::ownership::{self, Owners};

/// Upper bound for how far the clocks of the API servers of one cluster may be apart, with the second that their
/// timestamps are cut to. A change made sooner after the last one may carry the same time.
const TIME_RESOLUTION: Duration = Duration::from_secs(5);

/// What is remembered of an object since it was last applied or found to be as desired.
#[derive(Clone, Debug)]
pub struct Applied {
    /// How it was left. Its time is one at which our managedFields entry is known to have existed.
    reading: Reading,
    /// Digest of the manifest.
    pub desired: u64,
    /// Digest of what [`differs`] looks at.
    content: u64,
    /// Time of our managedFields entry.
    time: Option<Timestamp>,
}

impl Applied {
    /// Remembers a live object that is as the manifest with digest `desired` wants it, but for what is ignored.
    pub(crate) fn of(live: &Value, desired: u64, ignored: &Ignored, manager: &Manager) -> Self {
        Self {
            reading: Reading::of(live, manager),
            desired,
            content: content(live, ignored),
            time: ownership::own_time(live, manager),
        }
    }

    /// How it was left, for who looks for drift.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Remembers that a dry-run, which answered `answer`, found the object as desired, with the same owners as before.
    fn confirmed(&self, answer: &Value, desired: u64, content: u64) -> Self {
        let reading = self.reading.in_version(meta(answer, "resourceVersion"));
        Self { reading, desired, content, time: self.time }
    }
}

/// What a dry-run's answer tells with what is remembered.
#[derive(Debug)]
pub(crate) enum Comparison {
    /// The live object is as desired.
    Same(Box<Applied>),
    /// It is not.
    Different,
    /// Only the live object can tell.
    AskLive,
}

/// Compares the answer of a dry-run of the manifest with digest `desired`.
///
/// The answer carries the live object's resourceVersion. If that is the remembered one, the live content is the
/// remembered one too. Otherwise the time of our managedFields entry tells: the API server moves it when an apply
/// changes the object, and keeps it when it does not. The live object is asked for as well when the answer has other
/// owners: our own entry in it may be one that was not written.
///
/// An apply by somebody else in our name, since what is remembered, looks like a change that the dry-run made: the
/// object is then applied once more, which changes nothing.
pub(crate) fn compare_to_memory(
    answer: &Value,
    desired: u64,
    ignored: &Ignored,
    remembered: Option<&Applied>,
    manager: &Manager,
    now: Instant,
) -> Comparison {
    let Some(memory) = remembered.filter(|m| *m.reading.uid == *meta(answer, "uid")) else {
        return Comparison::AskLive;
    };
    let content = content(answer, ignored);
    let same_content = content == memory.content;
    let same = || Comparison::Same(Box::new(memory.confirmed(answer, desired, content)));
    if *memory.reading.presence().resource_version == *meta(answer, "resourceVersion") {
        return if same_content { same() } else { Comparison::Different };
    }
    let time = ownership::own_time(answer, manager);
    let time_tells = time.is_some() && now.duration_since(memory.reading.presence().at) >= TIME_RESOLUTION;
    if time == memory.time && time_tells && Owners::of(answer, manager) == memory.reading.owners {
        same()
    } else if time != memory.time && time.is_some() && desired != memory.desired && !same_content {
        Comparison::Different
    } else {
        Comparison::AskLive
    }
}

/// Whether labels, annotations, or anything outside `metadata` and `status` differ, but for what is ignored.
pub(crate) fn differs(live: &Value, answer: &Value, ignored: &Ignored) -> bool {
    content(live, ignored) != content(answer, ignored)
}

/// Digest of labels, annotations and everything outside `metadata` and `status`, without what is ignored. Empty and absent
/// are the same at the top, as in Go's semantic equality.
fn content(object: &Value, ignored: &Ignored) -> u64 {
    let object = ignored.strip(object);
    let mut hasher = blake3::Hasher::new();
    for field in ["labels", "annotations"] {
        let map = object.pointer("/metadata").and_then(|m| m.get(field)).and_then(Value::as_object);
        hash::feed_fields(&mut hasher, map.into_iter().flatten());
    }
    let corrected = (object.get("kind").is_some_and(|k| k == "HorizontalPodAutoscaler"))
        .then(|| without_double_metrics(object.get("spec")));
    let fields = object.as_object().into_iter().flatten();
    let fields = fields
        .filter(|(k, _)| !matches!(k.as_str(), "metadata" | "status" | "apiVersion" | "kind"))
        .map(|(k, v)| (k, corrected.as_ref().filter(|_| k == "spec").unwrap_or(v)))
        .filter(|(_, v)| !is_empty(v));
    hash::feed_fields(&mut hasher, fields);
    hash::short(&hasher)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Old API servers answer a dry-run with the first metric doubled and an empty one at the end.
fn without_double_metrics(spec: Option<&Value>) -> Value {
    let mut spec = spec.cloned().unwrap_or_default();
    if let Some(Value::Array(metrics)) = spec.get_mut("metrics") {
        let mut kept: Vec<Value> = Vec::new();
        for metric in metrics.drain(..) {
            let empty = metric.get("type").and_then(Value::as_str).unwrap_or_default().is_empty();
            if !empty && !kept.contains(&metric) {
                kept.push(metric);
            }
        }
        *metrics = kept;
    }
    spec
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use crate::manager::TEST_MANAGER as MANAGER;
    use serde_json::json;

    fn object(version: &str, time: &str, data: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data, "metadata": {"uid": "u", "resourceVersion": version,
            "managedFields": [{"manager": "kustomize-controller", "operation": "Apply", "apiVersion": "v1", "time": time, "fieldsV1": {}}]}})
    }

    fn nothing() -> Ignored {
        Ignored::default()
    }

    const T1: &str = "2026-01-01T00:00:01Z";
    const T2: &str = "2026-01-01T00:00:02Z";

    fn judged(answer: &Value, desired: u64, age: Duration) -> &'static str {
        let memory = Applied::of(&object("1", T1, json!({"a": "1"})), 7, &nothing(), &MANAGER);
        let now = memory.reading.presence().at + age;
        match compare_to_memory(answer, desired, &nothing(), Some(&memory), &MANAGER, now) {
            Comparison::Same(_) => "same",
            Comparison::Different => "different",
            Comparison::AskLive => "ask",
        }
    }

    #[test]
    fn an_object_of_the_remembered_version_is_compared_by_content() {
        let soon = Duration::ZERO;
        assert_eq!(judged(&object("1", T1, json!({"a": "1"})), 7, soon), "same");
        assert_eq!(judged(&object("1", T2, json!({"a": "1"})), 8, soon), "same");
        assert_eq!(judged(&object("1", T1, json!({"a": "2"})), 8, soon), "different");
    }

    #[test]
    fn of_another_version_the_time_of_our_entry_tells_unless_it_is_too_young() {
        let (soon, late) = (Duration::from_secs(4), Duration::from_secs(6));
        assert_eq!(judged(&object("2", T1, json!({"a": "1", "b": "2"})), 7, late), "same");
        assert_eq!(judged(&object("2", T1, json!({"a": "1"})), 7, soon), "ask");
        assert_eq!(judged(&object("2", T2, json!({"a": "1"})), 7, late), "ask");
        assert_eq!(judged(&object("2", T2, json!({"a": "2"})), 7, late), "ask");
        assert_eq!(judged(&object("2", T2, json!({"a": "2"})), 8, late), "different");
        assert_eq!(judged(&object("2", T2, json!({"a": "1"})), 8, late), "ask");
    }

    #[test]
    fn another_object_of_the_same_name_is_asked_for() {
        let mut other = object("1", T1, json!({"a": "1"}));
        other["metadata"]["uid"] = "v".into();
        assert_eq!(judged(&other, 7, Duration::from_secs(60)), "ask");
        assert!(matches!(
            compare_to_memory(&other, 7, &nothing(), None, &MANAGER, Instant::now()),
            Comparison::AskLive
        ));
    }

    #[test]
    fn other_owners_are_looked_at_on_the_live_object() {
        let late = Duration::from_secs(6);
        let mut answer = object("2", T1, json!({"a": "1"}));
        answer["metadata"]["managedFields"][0]["fieldsV1"] = json!({"f:data": {}});
        assert_eq!(judged(&answer, 7, late), "ask");
        let mut answer = object("2", T1, json!({"a": "1"}));
        let other =
            json!({"manager": "x", "operation": "Update", "apiVersion": "v1", "time": T2, "fieldsV1": {}});
        answer["metadata"]["managedFields"] = json!([answer["metadata"]["managedFields"][0], other]);
        assert_eq!(judged(&answer, 7, late), "ask");
    }

    #[test]
    fn a_confirmed_memory_takes_the_version_and_manifest_it_was_confirmed_for() {
        let memory = Applied::of(&object("1", T1, json!({})), 7, &nothing(), &MANAGER);
        let confirmed = memory.confirmed(&object("2", T1, json!({"a": "1"})), 8, 9);
        assert_eq!(confirmed.reading.owners, memory.reading.owners);
        assert_eq!(
            (&*confirmed.reading.presence().resource_version, confirmed.desired, confirmed.content),
            ("2", 8, 9)
        );
    }

    #[test]
    fn status_and_most_metadata_do_not_count_as_drift() {
        let a = json!({"kind": "A", "spec": {"x": 1, "y": [2]}, "metadata": {"labels": {"a": "1", "b": "2"}, "generation": 1}, "status": 1});
        let b = json!({"metadata": {"labels": {"b": "2", "a": "1"}, "annotations": {}, "finalizers": ["x"]}, "spec": {"y": [2], "x": 1}, "kind": "A"});
        assert!(!differs(&a, &b, &nothing()));
        for changed in [
            json!({"kind": "A", "spec": {"x": 2, "y": [2]}, "metadata": {"labels": {"a": "1", "b": "2"}}}),
            json!({"kind": "A", "spec": {"x": 1, "y": [2]}, "metadata": {"labels": {"a": "1"}}}),
            json!({"kind": "A", "spec": {"x": 1, "y": [2]}, "metadata": {"labels": {"a": "1", "b": "2"}, "annotations": {"c": "3"}}}),
            json!({"kind": "A", "spec": {"x": 1, "y": [2]}, "metadata": {"labels": {"a": "1", "b": "2"}}, "data": 1}),
        ] {
            assert!(differs(&a, &changed, &nothing()), "{changed}");
        }
    }

    #[test]
    fn doubled_autoscaler_metrics_are_no_drift_but_others_are() {
        let hpa = |metrics: Value| json!({"kind": "HorizontalPodAutoscaler", "spec": {"metrics": metrics}});
        let (cpu, memory) =
            (json!({"type": "Resource", "name": "cpu"}), json!({"type": "Resource", "name": "memory"}));
        let live = hpa(json!([cpu, memory]));
        assert!(!differs(&live, &hpa(json!([cpu, memory, cpu, {"type": ""}, {}])), &nothing()));
        assert!(differs(&live, &hpa(json!([cpu])), &nothing()));
    }
}
