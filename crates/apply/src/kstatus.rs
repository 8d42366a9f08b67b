//! Whether an object is ready: the kstatus rules of the GitOps Toolkit, from the object alone.
//!
//! A Job counts as ready when it is complete or suspended, unlike in plain kstatus, where a running one does.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::object::{meta, split_api_version};

mod accessor;
pub mod custom;
mod workload;

/// The state of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Ready.
    Current,
    /// On the way.
    InProgress,
    /// Will not get ready by itself.
    Failed,
    /// Being deleted.
    Terminating,
    /// Not there.
    NotFound,
    /// Cannot be told.
    Unknown,
}

impl Status {
    /// The word used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "Current",
            Self::InProgress => "InProgress",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::NotFound => "NotFound",
            Self::Unknown => "Unknown",
        }
    }
}

/// The state of an object and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// State.
    pub status: Status,
    /// Why, for people; empty when current.
    pub message: String,
    /// If the object does not change, it counts as failed from then on.
    pub fails_at: Option<Timestamp>,
}

impl Verdict {
    fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), fails_at: None }
    }

    fn current() -> Self {
        Self::new(Status::Current, "")
    }

    fn in_progress(message: impl Into<String>) -> Self {
        Self::new(Status::InProgress, message)
    }

    /// No verdict yet, because the rule for the object has changed.
    pub(crate) fn not_judged() -> Self {
        Self::in_progress("not judged yet")
    }

    fn failed(message: impl Into<String>) -> Self {
        Self::new(Status::Failed, message)
    }

    /// The verdict on the same, unchanged object at a later time.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        if self.fails_at.is_some_and(|end| end <= now) { Self::failed(UNSCHEDULABLE) } else { self }
    }
}

const UNSCHEDULABLE: &str = "Pod could not be scheduled";

/// How long a Pod may stay unschedulable before that counts as a failure.
const SCHEDULE_WINDOW: SignedDuration = SignedDuration::from_secs(15);

/// Whether a Pod speaks for the failure of its set: it has failed, and not for want of a node.
pub(crate) fn pod_has_failed(pod: &Value, now: Timestamp) -> bool {
    let verdict = verdict(pod, now);
    verdict.status == Status::Failed && verdict.message != UNSCHEDULABLE
}

/// Judges an object at a time.
pub fn verdict(object: &Value, now: Timestamp) -> Verdict {
    if let Err(error) = accessor::check(object) {
        return Verdict::new(Status::Unknown, error.to_string());
    }
    if let Some(verdict) = generic(object) {
        return verdict;
    }
    let group = split_api_version(text(object, "/apiVersion")).0;
    match (group, text(object, "/kind")) {
        ("", "Service") => service(object),
        ("", "Pod") => pod(object, now),
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "Secret" | "ConfigMap") | ("batch", "CronJob") | ("policy", "PodDisruptionBudget") => {
            Verdict::current()
        }
        ("apps" | "extensions", "Deployment") => workload::deployment(object),
        ("apps", "StatefulSet") => workload::stateful_set(object),
        ("apps" | "extensions", "DaemonSet") => workload::daemon_set(object),
        ("apps" | "extensions", "ReplicaSet") => workload::replica_set(object),
        ("batch", "Job") => workload::job(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        _ => other(object),
    }
}

/// What any kind may say: deletion, a generation not seen yet, and the two standard conditions.
fn generic(object: &Value) -> Option<Verdict> {
    if !meta(object, "deletionTimestamp").is_empty() {
        return Some(Verdict::new(Status::Terminating, "Resource scheduled for deletion"));
    }
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let observed = object.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if let (Some(generation), Some(observed)) = (generation, observed)
        && generation != observed
    {
        return Some(Verdict::in_progress(format!(
            "{} generation is {generation}, but latest observed generation is {observed}",
            text(object, "/kind")
        )));
    }
    conditions(object).filter(|c| c.status == "True").find_map(|c| match c.kind {
        "Reconciling" => Some(Verdict::in_progress(c.message)),
        "Stalled" => Some(Verdict::failed(c.message)),
        _ => None,
    })
}

fn other(object: &Value) -> Verdict {
    let ready =
        conditions(object).find(|c| c.kind == "Ready" && matches!(c.status, "True" | "False" | "Unknown"));
    match ready {
        Some(c) if c.status != "True" => Verdict::in_progress(c.message),
        _ => Verdict::current(),
    }
}

fn service(object: &Value) -> Verdict {
    if text(object, "/spec/type") == "LoadBalancer" && text(object, "/spec/clusterIP").is_empty() {
        return Verdict::in_progress("ClusterIP not set. Service type: LoadBalancer");
    }
    Verdict::current()
}

fn claim(object: &Value) -> Verdict {
    match object.pointer("/status/phase").and_then(Value::as_str).unwrap_or("unknown") {
        "Bound" => Verdict::current(),
        phase => Verdict::in_progress(format!("PVC is not Bound. phase: {phase}")),
    }
}

fn definition(object: &Value) -> Verdict {
    for c in conditions(object) {
        match (c.kind, c.status) {
            ("NamesAccepted", "False") => return Verdict::failed(c.message),
            ("Established", "False") if c.reason != "Installing" => return Verdict::failed(c.message),
            ("Established", "True") => return Verdict::current(),
            _ => {}
        }
    }
    Verdict::in_progress("Install in progress")
}

fn pod(object: &Value, now: Timestamp) -> Verdict {
    match text(object, "/status/phase") {
        "Succeeded" | "Failed" => Verdict::current(),
        "Running" => running_pod(object),
        "Pending" => {
            let unschedulable = conditions(object)
                .any(|c| c.kind == "PodScheduled" && c.status == "False" && c.reason == "Unschedulable");
            if unschedulable {
                unschedulable_pod(object, now)
            } else {
                Verdict::in_progress("Pod is in the Pending phase")
            }
        }
        "" => Verdict::in_progress("Pod phase not available"),
        phase => Verdict::new(Status::Unknown, format!("unknown phase {phase}")),
    }
}

fn running_pod(object: &Value) -> Verdict {
    if conditions(object).any(|c| c.kind == "Ready" && c.status == "True") {
        return Verdict::current();
    }
    let containers =
        object.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
    let looping: Vec<&str> = containers
        .filter(|c| text(c, "/state/waiting/reason") == "CrashLoopBackOff")
        .map(|c| text(c, "/name"))
        .collect();
    if looping.is_empty() {
        Verdict::in_progress("Pod is running but is not Ready")
    } else {
        Verdict::failed(format!("Containers in CrashLoop state: {}", looping.join(",")))
    }
}

fn unschedulable_pod(object: &Value, now: Timestamp) -> Verdict {
    let created: Option<Timestamp> = meta(object, "creationTimestamp").parse().ok();
    match created.and_then(|t| t.checked_add(SCHEDULE_WINDOW).ok()) {
        Some(end) => {
            Verdict { fails_at: Some(end), ..Verdict::in_progress("Pod has not been scheduled") }.at(now)
        }
        None => Verdict::failed(UNSCHEDULABLE),
    }
}

struct Condition<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

fn conditions(object: &Value) -> impl Iterator<Item = Condition<'_>> {
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter().flatten().map(|c| Condition {
        kind: text(c, "/type"),
        status: text(c, "/status"),
        reason: text(c, "/reason"),
        message: text(c, "/message"),
    })
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn int(object: &Value, pointer: &str, default: i64) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Current, Failed, InProgress, Terminating, Unknown};
    use serde_json::json;

    fn at() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap_or_default()
    }

    fn check(api_version: &str, kind: &str, rest: Value, status: Status, message: &str) {
        let mut object = json!({"apiVersion": api_version, "kind": kind});
        if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest.clone()) {
            object.extend(rest);
        }
        let got = verdict(&object, at());
        assert_eq!((got.status, got.message.as_str()), (status, message), "{kind} {rest}");
    }

    fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({"status": {"conditions": [{"type": kind, "status": status, "reason": reason, "message": message}]}})
    }

    #[test]
    fn deletion_generation_and_standard_conditions_come_first() {
        let deleted = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        check("v1", "ConfigMap", deleted, Terminating, "Resource scheduled for deletion");
        let lagging = json!({"metadata": {"generation": 3}, "status": {"observedGeneration": 2}});
        check("x.org/v1", "W", lagging, InProgress, "W generation is 3, but latest observed generation is 2");
        check("x.org/v1", "W", condition("Reconciling", "True", "", "busy"), InProgress, "busy");
        check("x.org/v1", "W", condition("Stalled", "True", "", "stuck"), Failed, "stuck");
        check("x.org/v1", "W", condition("Stalled", "False", "", "no"), Current, "");
    }

    #[test]
    fn other_kinds_go_by_their_ready_condition_if_they_have_one() {
        check("x.org/v1", "W", json!({}), Current, "");
        check("x.org/v1", "W", condition("Ready", "True", "", "yes"), Current, "");
        check("x.org/v1", "W", condition("Ready", "False", "", "not yet"), InProgress, "not yet");
        check("x.org/v1", "W", condition("Ready", "Unknown", "", "who knows"), InProgress, "who knows");
        check("x.org/v1", "W", json!({"status": "text"}), Unknown, "cannot restore struct from: string");
        let odd = json!({"status": {"conditions": [1, null, "a"]}});
        check("x.org/v1", "W", odd, Unknown, "cannot restore struct from: int64");
    }

    #[test]
    fn kinds_without_a_state_are_always_ready() {
        for (api, kind) in [
            ("v1", "Secret"),
            ("v1", "ConfigMap"),
            ("batch/v1", "CronJob"),
            ("policy/v1", "PodDisruptionBudget"),
        ] {
            check(api, kind, condition("Ready", "False", "", "x"), Current, "");
        }
        let lagging = json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}});
        let message = "PodDisruptionBudget generation is 2, but latest observed generation is 1";
        check("policy/v1", "PodDisruptionBudget", lagging, InProgress, message);
    }

    #[test]
    fn services_wait_only_for_a_cluster_ip_of_a_load_balancer() {
        check("v1", "Service", json!({"spec": {"type": "ClusterIP"}}), Current, "");
        check(
            "v1",
            "Service",
            json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}}),
            Current,
            "",
        );
        let waiting = json!({"spec": {"type": "LoadBalancer"}});
        check("v1", "Service", waiting, InProgress, "ClusterIP not set. Service type: LoadBalancer");
    }

    #[test]
    fn claims_are_ready_when_bound() {
        check("v1", "PersistentVolumeClaim", json!({"status": {"phase": "Bound"}}), Current, "");
        check("v1", "PersistentVolumeClaim", json!({}), InProgress, "PVC is not Bound. phase: unknown");
    }

    #[test]
    fn definitions_are_ready_when_established() {
        let (api, kind) = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        check(api, kind, json!({}), InProgress, "Install in progress");
        check(api, kind, condition("Established", "True", "", ""), Current, "");
        check(
            api,
            kind,
            condition("Established", "False", "Installing", "x"),
            InProgress,
            "Install in progress",
        );
        check(api, kind, condition("Established", "False", "Broken", "x"), Failed, "x");
        check(api, kind, condition("NamesAccepted", "False", "", "taken"), Failed, "taken");
    }

    #[test]
    fn pods_by_phase() {
        check("v1", "Pod", json!({}), InProgress, "Pod phase not available");
        check("v1", "Pod", json!({"status": {"phase": "Succeeded"}}), Current, "");
        check("v1", "Pod", json!({"status": {"phase": "Failed"}}), Current, "");
        check("v1", "Pod", json!({"status": {"phase": "Odd"}}), Unknown, "unknown phase Odd");
        check(
            "v1",
            "Pod",
            json!({"status": {"phase": "Pending"}}),
            InProgress,
            "Pod is in the Pending phase",
        );
        let running = |ready: &str, reason: &str| {
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": [{"name": "a", "state": {"waiting": {"reason": reason}}}, {"name": "b", "state": {}}]}})
        };
        check("v1", "Pod", running("True", "CrashLoopBackOff"), Current, "");
        check("v1", "Pod", running("False", "CrashLoopBackOff"), Failed, "Containers in CrashLoop state: a");
        check(
            "v1",
            "Pod",
            running("False", "ContainerCreating"),
            InProgress,
            "Pod is running but is not Ready",
        );
    }

    #[test]
    fn a_pod_speaks_for_its_set_unless_it_waits_for_a_node_or_is_deleted() {
        let looping = json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Running",
            "containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
        assert!(pod_has_failed(&looping, at()));
        let mut deleted = looping.clone();
        if let Value::Object(fields) = &mut deleted {
            fields.insert("metadata".into(), json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}));
        }
        assert!(!pod_has_failed(&deleted, at()));
        let unschedulable = json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}});
        assert_eq!(verdict(&unschedulable, at()).status, Failed);
        assert!(!pod_has_failed(&unschedulable, at()));
    }

    #[test]
    fn an_unschedulable_pod_fails_after_its_window_and_says_when() {
        let pod = |age: i64| {
            let created = at().checked_sub(SignedDuration::from_secs(age)).unwrap_or_default();
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"creationTimestamp": created.to_string()},
                "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}})
        };
        let young = verdict(&pod(5), at());
        assert_eq!(young.status, InProgress);
        assert_eq!(young.fails_at, at().checked_add(SignedDuration::from_secs(10)).ok());
        assert_eq!(verdict(&pod(15), at()).status, Failed);
        let end = at().checked_add(SignedDuration::from_secs(10)).unwrap_or_default();
        assert_eq!(young.clone().at(at()), young);
        assert_eq!(young.at(end).status, Failed);
    }
}
