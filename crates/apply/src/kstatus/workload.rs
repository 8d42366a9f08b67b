//! Kinds that run Pods.

use serde_json::Value;

use super::{Verdict, conditions, int, text};

/// The value that stands for "no deadline", as the Deployment controller reads it.
const NO_DEADLINE: i64 = i32::MAX as i64;

pub(super) fn deployment(object: &Value) -> Verdict {
    // Without a deadline the controller never sets the Progressing condition.
    let mut progressing = int(object, "/spec/progressDeadlineSeconds", NO_DEADLINE) == NO_DEADLINE;
    let mut available = false;
    for c in conditions(object) {
        match c.kind {
            "Progressing" if c.reason == "ProgressDeadlineExceeded" => {
                return Verdict::failed("Progress deadline exceeded");
            }
            "Progressing" => progressing |= c.status == "True" && c.reason == "NewReplicaSetAvailable",
            "Available" => available |= c.status == "True",
            _ => {}
        }
    }
    let wanted = int(object, "/spec/replicas", 1);
    let replicas = int(object, "/status/replicas", 0);
    let updated = int(object, "/status/updatedReplicas", 0);
    let ready = int(object, "/status/readyReplicas", 0);
    let available_replicas = int(object, "/status/availableReplicas", 0);
    if wanted > replicas {
        Verdict::in_progress(format!("Replicas: {replicas}/{wanted}"))
    } else if wanted > updated {
        Verdict::in_progress(format!("Updated: {updated}/{wanted}"))
    } else if replicas > wanted {
        Verdict::in_progress(format!("Pending termination: {}", replicas - wanted))
    } else if updated > available_replicas {
        Verdict::in_progress(format!("Available: {available_replicas}/{updated}"))
    } else if wanted > ready {
        Verdict::in_progress(format!("Ready: {ready}/{wanted}"))
    } else if !progressing {
        Verdict::in_progress("ReplicaSet not Available")
    } else if !available {
        Verdict::in_progress("Deployment not Available")
    } else {
        Verdict::current()
    }
}

pub(super) fn stateful_set(object: &Value) -> Verdict {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Verdict::current();
    }
    let wanted = int(object, "/spec/replicas", 1);
    let replicas = int(object, "/status/replicas", 0);
    let ready = int(object, "/status/readyReplicas", 0);
    let current = int(object, "/status/currentReplicas", 0);
    let updated = int(object, "/status/updatedReplicas", 0);
    let partition = int(object, "/spec/updateStrategy/rollingUpdate/partition", -1);
    if wanted > replicas {
        Verdict::in_progress(format!("Replicas: {replicas}/{wanted}"))
    } else if wanted > ready {
        Verdict::in_progress(format!("Ready: {ready}/{wanted}"))
    } else if replicas > wanted {
        Verdict::in_progress(format!("Pending termination: {}", replicas - wanted))
    } else if partition != -1 {
        let wanted = wanted.saturating_sub(partition);
        if updated < wanted {
            return Verdict::in_progress(format!("updated: {updated}/{wanted}"));
        }
        Verdict::current()
    } else if wanted > current {
        Verdict::in_progress(format!("current: {current}/{wanted}"))
    } else if text(object, "/status/currentRevision") != text(object, "/status/updateRevision") {
        Verdict::in_progress("Waiting for updated revision to match current")
    } else {
        Verdict::current()
    }
}

pub(super) fn daemon_set(object: &Value) -> Verdict {
    for (pointer, field) in [
        ("/metadata/generation", "metadata.generation"),
        ("/status/observedGeneration", "status.observedGeneration"),
    ] {
        if object.pointer(pointer).and_then(Value::as_i64).is_none() {
            return Verdict::in_progress(format!("DaemonSet {field} not found"));
        }
    }
    let wanted = int(object, "/status/desiredNumberScheduled", -1);
    if wanted == -1 {
        return Verdict::in_progress("Missing .status.desiredNumberScheduled");
    }
    let counts = [
        ("Current", "/status/currentNumberScheduled"),
        ("Updated", "/status/updatedNumberScheduled"),
        ("Available", "/status/numberAvailable"),
        ("Ready", "/status/numberReady"),
    ];
    first_short(object, &counts, wanted).unwrap_or_else(Verdict::current)
}

pub(super) fn replica_set(object: &Value) -> Verdict {
    if conditions(object).any(|c| c.kind == "ReplicaFailure" && c.status == "True") {
        return Verdict::in_progress("Replica Failure condition. Check Pods");
    }
    let wanted = int(object, "/spec/replicas", 1);
    let counts = [
        ("Labelled", "/status/fullyLabeledReplicas"),
        ("Available", "/status/availableReplicas"),
        ("Ready", "/status/readyReplicas"),
    ];
    let replicas = int(object, "/status/replicas", 0);
    if let Some(short) = first_short(object, &counts, wanted) {
        short
    } else if replicas > wanted {
        Verdict::in_progress(format!("Pending termination: {}", replicas - wanted))
    } else {
        Verdict::current()
    }
}

pub(super) fn job(object: &Value) -> Verdict {
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return Verdict::current();
    }
    let parallelism = int(object, "/spec/parallelism", 1);
    let completions = int(object, "/spec/completions", parallelism);
    let failed = int(object, "/status/failed", 0);
    for c in conditions(object).filter(|c| c.status == "True") {
        match c.kind {
            "Complete" => return Verdict::current(),
            "Failed" => return Verdict::failed(format!("Job Failed. failed: {failed}/{completions}")),
            _ => {}
        }
    }
    if text(object, "/status/startTime").is_empty() {
        return Verdict::in_progress(format!("Job not started. active: 0/{parallelism}"));
    }
    let (succeeded, active) = (int(object, "/status/succeeded", 0), int(object, "/status/active", 0));
    Verdict::in_progress(format!("Job in progress. success:{succeeded}, active: {active}, failed: {failed}"))
}

fn first_short(object: &Value, counts: &[(&str, &str)], wanted: i64) -> Option<Verdict> {
    counts.iter().find_map(|(name, pointer)| {
        let count = int(object, pointer, 0);
        (wanted > count).then(|| Verdict::in_progress(format!("{name}: {count}/{wanted}")))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Status::{self, Current, Failed, InProgress};
    use super::*;
    use serde_json::json;

    fn is(verdict: Verdict, status: Status, message: &str) {
        assert_eq!((verdict.status, verdict.message.as_str()), (status, message));
    }

    fn rollout(replicas: i64, updated: i64, available: i64, ready: i64, conditions: Value) -> Verdict {
        deployment(
            &json!({"spec": {"replicas": 2, "progressDeadlineSeconds": 600}, "status": {"replicas": replicas,
            "updatedReplicas": updated, "availableReplicas": available, "readyReplicas": ready, "conditions": conditions}}),
        )
    }

    #[test]
    fn deployments_by_counts_then_conditions() {
        let good = json!([{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}, {"type": "Available", "status": "True"}]);
        is(rollout(1, 0, 0, 0, json!([])), InProgress, "Replicas: 1/2");
        is(rollout(2, 1, 0, 0, json!([])), InProgress, "Updated: 1/2");
        is(rollout(3, 2, 0, 0, json!([])), InProgress, "Pending termination: 1");
        is(rollout(2, 2, 1, 0, json!([])), InProgress, "Available: 1/2");
        is(rollout(2, 2, 2, 1, json!([])), InProgress, "Ready: 1/2");
        is(rollout(2, 2, 2, 2, json!([])), InProgress, "ReplicaSet not Available");
        is(rollout(2, 2, 2, 2, good.clone()), Current, "");
        let progressing =
            json!([{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]);
        is(rollout(2, 2, 2, 2, progressing), InProgress, "Deployment not Available");
        let exceeded =
            json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
        is(rollout(2, 2, 2, 2, exceeded), Failed, "Progress deadline exceeded");
    }

    #[test]
    fn a_deployment_without_deadline_needs_no_progress_condition() {
        let status = json!({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1,
            "conditions": [{"type": "Available", "status": "True"}]});
        is(deployment(&json!({"status": status})), Current, "");
        is(
            deployment(&json!({"spec": {"progressDeadlineSeconds": i32::MAX}, "status": status})),
            Current,
            "",
        );
    }

    fn set(spec: Value, status: Value) -> Verdict {
        stateful_set(&json!({"spec": spec, "status": status}))
    }

    #[test]
    fn stateful_sets_by_strategy_counts_and_revision() {
        is(set(json!({"updateStrategy": {"type": "OnDelete"}}), json!({})), Current, "");
        is(set(json!({"replicas": 2}), json!({"replicas": 1})), InProgress, "Replicas: 1/2");
        is(set(json!({"replicas": 2}), json!({"replicas": 2, "readyReplicas": 1})), InProgress, "Ready: 1/2");
        is(
            set(json!({"replicas": 1}), json!({"replicas": 2, "readyReplicas": 2})),
            InProgress,
            "Pending termination: 1",
        );
        let ready = |more: Value| {
            let mut status = json!({"replicas": 2, "readyReplicas": 2});
            if let (Value::Object(status), Value::Object(more)) = (&mut status, more) {
                status.extend(more);
            }
            status
        };
        is(set(json!({"replicas": 2}), ready(json!({"currentReplicas": 1}))), InProgress, "current: 1/2");
        let moving = ready(json!({"currentReplicas": 2, "currentRevision": "a", "updateRevision": "b"}));
        is(set(json!({"replicas": 2}), moving), InProgress, "Waiting for updated revision to match current");
        let done = ready(json!({"currentReplicas": 2, "currentRevision": "a", "updateRevision": "a"}));
        is(set(json!({"replicas": 2}), done), Current, "");
        let partition = json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}});
        is(set(partition.clone(), ready(json!({"updatedReplicas": 0}))), InProgress, "updated: 0/1");
        is(set(partition, ready(json!({"updatedReplicas": 1}))), Current, "");
    }

    #[test]
    fn daemon_sets_need_their_generation_observed_and_all_counts() {
        is(daemon_set(&json!({})), InProgress, "DaemonSet metadata.generation not found");
        is(
            daemon_set(&json!({"metadata": {"generation": 1}})),
            InProgress,
            "DaemonSet status.observedGeneration not found",
        );
        let ds = |status: Value| {
            let mut object = json!({"metadata": {"generation": 1}, "status": {"observedGeneration": 1}});
            if let (Some(Value::Object(s)), Value::Object(more)) = (object.pointer_mut("/status"), status) {
                s.extend(more);
            }
            daemon_set(&object)
        };
        is(ds(json!({})), InProgress, "Missing .status.desiredNumberScheduled");
        is(ds(json!({"desiredNumberScheduled": 1})), InProgress, "Current: 0/1");
        let almost = json!({"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1});
        is(ds(almost), InProgress, "Ready: 0/1");
        is(ds(json!({"desiredNumberScheduled": 0})), Current, "");
    }

    #[test]
    fn replica_sets_by_counts() {
        let failure = json!({"status": {"conditions": [{"type": "ReplicaFailure", "status": "True"}]}});
        is(replica_set(&failure), InProgress, "Replica Failure condition. Check Pods");
        is(replica_set(&json!({})), InProgress, "Labelled: 0/1");
        let counts = |replicas: i64| json!({"status": {"replicas": replicas, "fullyLabeledReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}});
        is(replica_set(&counts(2)), InProgress, "Pending termination: 1");
        is(replica_set(&counts(1)), Current, "");
    }

    #[test]
    fn jobs_are_ready_when_complete_or_suspended() {
        let with =
            |kind: &str| json!({"status": {"failed": 3, "conditions": [{"type": kind, "status": "True"}]}});
        is(job(&with("Complete")), Current, "");
        is(job(&json!({"spec": {"suspend": true}})), Current, "");
        is(job(&with("Failed")), Failed, "Job Failed. failed: 3/1");
        is(job(&json!({})), InProgress, "Job not started. active: 0/1");
        let running = json!({"status": {"startTime": "2026-01-01T00:00:00Z", "active": 1}});
        is(job(&running), InProgress, "Job in progress. success:0, active: 1, failed: 0");
    }
}
