//! What a Kustomization says about itself: pure transitions of its status.

use std::{collections::BTreeMap, time::Duration};

use api::{
    Artifact, Condition, Kustomization, KustomizationStatus,
    duration::go_duration_string,
    kustomization::{ResourceInventory, ResourceRef, Snapshot},
    kustomize::{
        conditions::{DRIFTED, HEALTHY},
        reasons::{DRIFT_DETECTED, RECONCILIATION_FAILED, RECONCILIATION_SUCCEEDED},
    },
    meta::{
        RECONCILE_REQUEST_ANNOTATION, is_requested,
        reasons::{PROGRESSING, PROGRESSING_WITH_RETRY, SUCCEEDED},
    },
    source::OCI_REVISION_METADATA,
};
use apply::{object::ObjectId, prune::Entry};
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::{
    conditions::{Conditions, READY, RECONCILING, STALLED, Status, find, is_false, is_true, rfc3339},
    metrics::ResourceInfo,
};

/// Condition types whose values are ours alone.
pub const OWNED: [&str; 5] = [READY, RECONCILING, STALLED, HEALTHY, DRIFTED];

/// Snapshots kept in `status.history`.
const HISTORY_LENGTH: usize = 5;

/// `status` of the object, made if absent.
pub fn of(object: &mut Kustomization) -> &mut KustomizationStatus {
    object.status.get_or_insert_default()
}

/// Works on the object's conditions, at its generation and now.
pub fn conditions(object: &mut Kustomization) -> Conditions<'_> {
    let generation = object.metadata.generation.unwrap_or_default();
    Conditions::new(&mut object.status.get_or_insert_default().conditions, generation, Timestamp::now())
}

/// The object's conditions as they are.
pub fn listed(object: &Kustomization) -> &[Condition] {
    object.status.as_ref().map_or(&[], |s| &s.conditions)
}

/// A run goes on: Ready becomes unknown, `message` tells the phase.
pub fn progressing(object: &mut Kustomization, message: &str) {
    let mut conditions = conditions(object);
    conditions.set(READY, Status::Unknown, PROGRESSING, "Reconciliation in progress");
    conditions.reconciling(PROGRESSING, message);
}

/// A run failed and will be tried again.
pub fn failed(object: &mut Kustomization, reason: &str, message: &str) {
    conditions(object).set(READY, Status::False, reason, message);
}

/// A run failed and only a change of the object can help.
pub fn stalled(object: &mut Kustomization, reason: &str, message: &str) {
    let mut conditions = conditions(object);
    conditions.set(READY, Status::False, reason, message);
    conditions.stalled(reason, message);
}

/// A run applied all of `artifact`.
pub fn succeeded(object: &mut Kustomization, artifact: &Artifact) {
    let message = format!("Applied revision: {}", artifact.revision);
    let mut conditions = conditions(object);
    conditions.remove(STALLED);
    conditions.set(READY, Status::True, RECONCILIATION_SUCCEEDED, message);
    let status = of(object);
    status.last_applied_revision = Some(artifact.revision.clone());
    status.last_applied_origin_revision = origin_revision(artifact).map(str::to_owned);
}

/// The health check passed.
pub fn healthy(object: &mut Kustomization, message: &str) {
    conditions(object).set(HEALTHY, Status::True, SUCCEEDED, message);
}

/// Says which objects have drifted and stay so, one a line, or that none have. Tells whether that is news of some.
pub fn drifted(object: &mut Kustomization, lines: &str) -> bool {
    let mut conditions = conditions(object);
    if lines.is_empty() {
        conditions.remove(DRIFTED);
        return false;
    }
    let is_news = conditions.get(DRIFTED).is_none_or(|before| before.message != lines);
    conditions.set(DRIFTED, Status::True, DRIFT_DETECTED, lines);
    is_news
}

/// Whether objects of this digest are those applied last, all of them, and neither the spec nor a person asks for
/// anything new.
pub fn is_applied(object: &Kustomization, digest: &str) -> bool {
    let Some(status) = &object.status else { return false };
    let mut same = status.history.iter().take_while(|run| run.digest == digest);
    status.observed_generation == object.metadata.generation
        && !is_requested(object, status.last_handled_reconcile_at.as_ref())
        && same.any(|run| run.last_reconciled_status != RECONCILIATION_FAILED)
}

/// What every pass leaves behind, whatever happened: the handled request, and conditions that agree with Ready.
pub fn settle_conditions(object: &mut Kustomization) {
    let requested = object.annotations().get(RECONCILE_REQUEST_ANNOTATION).cloned();
    if requested.is_some() {
        of(object).last_handled_reconcile_at = requested;
    }
    let generation = object.metadata.generation;
    if is_true(listed(object), READY) {
        conditions(object).remove(RECONCILING);
        of(object).observed_generation = generation;
    } else if is_false(listed(object), READY) {
        let mut conditions = conditions(object);
        if let Some(phase) = conditions.get(RECONCILING).map(|c| c.message.clone()) {
            conditions.reconciling(PROGRESSING_WITH_RETRY, phase);
        }
    }
}

/// The revision in the artifact's own origin, which OCI artifacts state.
pub fn origin_revision(artifact: &Artifact) -> Option<&str> {
    artifact.metadata.get(OCI_REVISION_METADATA).map(String::as_str).filter(|r| !r.is_empty())
}

/// What dashboards read of the object.
pub fn info(object: &Kustomization) -> ResourceInfo {
    let ready = find(listed(object), READY).map(|ready| ready.status.to_string());
    let revision = object.status.as_ref().and_then(|s| s.last_applied_revision.clone());
    ResourceInfo {
        ready: ready.unwrap_or_default(),
        suspended: object.spec.suspend,
        revision: revision.unwrap_or_default(),
        more: vec![("source_name", object.spec.source_ref.name.clone())],
    }
}

/// Adds the end of a run to the history: an entry of the same digest and result counts on and moves to the front.
pub fn record(object: &mut Kustomization, digest: &str, reason: &str, artifact: &Artifact, took: Duration) {
    let now = rfc3339(Timestamp::now());
    let revision =
        [("revision", Some(artifact.revision.as_str())), ("originRevision", origin_revision(artifact))];
    let metadata: BTreeMap<_, _> =
        revision.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect();
    let history = &mut of(object).history;
    let same = |s: &Snapshot| s.digest == digest && s.last_reconciled_status == reason;
    let before = history.iter().position(same).map(|at| history.remove(at));
    history.insert(
        0,
        Snapshot {
            digest: digest.to_owned(),
            first_reconciled: before.as_ref().map_or_else(|| now.clone(), |s| s.first_reconciled.clone()),
            last_reconciled: now,
            last_reconciled_duration: go_duration_string(took).as_str().into(),
            last_reconciled_status: reason.to_owned(),
            total_reconciliations: before.map_or(0, |s| s.total_reconciliations).saturating_add(1),
            metadata,
        },
    );
    history.truncate(HISTORY_LENGTH);
}

/// The inventory as entries; one that cannot be parsed cannot be acted upon and is left out.
pub fn inventory(object: &Kustomization) -> Vec<Entry> {
    let listed = object.status.as_ref().and_then(|s| s.inventory.as_ref());
    let parse = |r: &ResourceRef| {
        let id = ObjectId::parse_inventory_id(&r.id)?;
        Some(Entry { id, version: r.version.clone() })
    };
    listed.into_iter().flat_map(|i| &i.entries).filter_map(parse).collect()
}

/// Replaces the inventory.
pub fn set_inventory<'a>(object: &mut Kustomization, entries: impl IntoIterator<Item = &'a Entry>) {
    let entries = entries.into_iter();
    let entries = entries.map(|e| ResourceRef { id: e.id.inventory_id(), version: e.version.clone() });
    of(object).inventory = Some(ResourceInventory { entries: entries.collect() });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn object() -> Kustomization {
        let mut object = Kustomization::new("app", Default::default());
        object.metadata.generation = Some(3);
        object
    }

    fn artifact(revision: &str) -> Artifact {
        Artifact { revision: revision.into(), ..Artifact::default() }
    }

    #[test]
    fn success_clears_reconciling_and_observes_the_generation() {
        let mut object = object();
        progressing(&mut object, "Building manifests");
        succeeded(&mut object, &artifact("main@sha1:1"));
        settle_conditions(&mut object);
        let status = object.status.as_ref().unwrap();
        assert_eq!(status.observed_generation, Some(3));
        assert_eq!(find(&status.conditions, READY).unwrap().message, "Applied revision: main@sha1:1");
        assert!(find(&status.conditions, RECONCILING).is_none());
    }

    #[test]
    fn failure_keeps_the_phase_and_leaves_the_generation_unobserved() {
        let mut object = object();
        progressing(&mut object, "Building manifests");
        failed(&mut object, "BuildFailed", "no");
        settle_conditions(&mut object);
        let status = object.status.as_ref().unwrap();
        assert_eq!(status.observed_generation, None);
        let reconciling = find(&status.conditions, RECONCILING).unwrap();
        assert_eq!(
            (reconciling.reason.as_str(), reconciling.message.as_str()),
            ("ProgressingWithRetry", "Building manifests")
        );
    }

    #[test]
    fn a_request_is_handled_even_by_a_failed_run() {
        let mut object = object();
        object.annotations_mut().insert(RECONCILE_REQUEST_ANNOTATION.into(), "now".into());
        failed(&mut object, "ArtifactFailed", "no");
        settle_conditions(&mut object);
        assert_eq!(object.status.unwrap().last_handled_reconcile_at.as_deref(), Some("now"));
    }

    #[test]
    fn history_counts_repeats_moves_them_to_the_front_and_keeps_five() {
        let mut object = object();
        let mut run = |digest: &str| {
            record(&mut object, digest, "ReconciliationSucceeded", &artifact("r"), Duration::ZERO)
        };
        ["a", "b", "a"].into_iter().for_each(&mut run);
        (0..4).for_each(|i| run(&i.to_string()));
        run("a");
        let history = &object.status.as_ref().unwrap().history;
        assert_eq!(history.len(), 5);
        assert_eq!((history[0].digest.as_str(), history[0].total_reconciliations), ("a", 3));
        assert!(history.iter().all(|s| s.digest != "b"), "the oldest falls out");
    }

    #[test]
    fn objects_are_applied_until_digest_generation_or_request_change() {
        let mut object = object();
        let run = |object: &mut Kustomization, digest: &str, reason: &str| {
            record(object, digest, reason, &artifact("r"), Duration::ZERO);
        };
        succeeded(&mut object, &artifact("r"));
        settle_conditions(&mut object);
        assert!(!is_applied(&object, "a"));
        run(&mut object, "a", "ReconciliationSucceeded");
        assert!(is_applied(&object, "a") && !is_applied(&object, "b"));
        run(&mut object, "a", "ReconciliationFailed");
        assert!(is_applied(&object, "a"), "a look that failed changed nothing");
        let mut asked = object.clone();
        asked.annotations_mut().insert(RECONCILE_REQUEST_ANNOTATION.into(), "now".into());
        assert!(!is_applied(&asked, "a"));
        of(&mut asked).last_handled_reconcile_at = Some("now".into());
        assert!(is_applied(&asked, "a"));
        let mut changed = object.clone();
        changed.metadata.generation = Some(4);
        assert!(!is_applied(&changed, "a"));
        run(&mut object, "b", "ReconciliationFailed");
        assert!(!is_applied(&object, "a") && !is_applied(&object, "b"), "half of b may be in the cluster");
        run(&mut object, "b", "HealthCheckFailed");
        assert!(is_applied(&object, "b"));
    }

    #[test]
    fn drift_is_news_when_it_changes() {
        let mut object = object();
        assert!(!drifted(&mut object, ""));
        assert!(drifted(&mut object, "A/a configured") && !drifted(&mut object, "A/a configured"));
        assert!(drifted(&mut object, "A/b configured"));
        drifted(&mut object, "");
        assert_eq!(listed(&object), []);
    }

    #[test]
    fn an_unreadable_inventory_entry_does_not_hide_the_others() {
        let mut object = object();
        let entry = |id: &str| ResourceRef { id: id.into(), version: "v1".into() };
        of(&mut object).inventory =
            Some(ResourceInventory { entries: vec![entry("nonsense"), entry("ns_x__ConfigMap")] });
        let names: Vec<_> = inventory(&object).into_iter().map(|e| e.id.name).collect();
        assert_eq!(names, ["x"]);
    }
}
