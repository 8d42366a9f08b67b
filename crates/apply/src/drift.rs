//! Drift seen from the outside: what is remembered of an applied object against what the observed index holds of it.

use std::borrow::Borrow;

use api::meta::is_older_version;
use serde_json::Value;
use tokio::time::Instant;

use crate::manager::Manager;
use crate::object::{ObjectId, meta};
use crate::observe::{Index, Observed, Presence, WatchState};
use crate::ownership::Owners;
use crate::prepare::Owner;

/// Why an object needs a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// Somebody took, added or gave up a field, or made the object anew.
    Changed,
    /// Its deletion was asked for.
    Deleting,
}

/// An object as somebody who read or wrote it left it.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its uid.
    pub uid: Box<str>,
    /// Who owned its fields.
    pub(crate) owners: Owners,
    presence: Presence,
}

impl Reading {
    /// That of an object that was answered just now.
    pub fn of(live: &Value, manager: &Manager) -> Self {
        let presence =
            Presence { resource_version: meta(live, "resourceVersion").into(), at: Instant::now() };
        Self { uid: meta(live, "uid").into(), owners: Owners::of(live, manager), presence }
    }

    /// The last that is known of its presence.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// The same in a version that is known to have the same owners.
    pub(crate) fn in_version(&self, resource_version: &str) -> Self {
        let presence = Presence { resource_version: resource_version.into(), at: self.presence.at };
        Self { presence, ..self.clone() }
    }

    /// What has become of it. An observation from before the reading says nothing.
    pub fn drift(&self, observed: &Observed) -> Option<Drift> {
        if is_older_version(&observed.resource_version, &self.presence.resource_version) {
            None
        } else if observed.deleting {
            Some(Drift::Deleting)
        } else if observed.uid != self.uid || observed.fingerprint != self.owners.fingerprint() {
            Some(Drift::Changed)
        } else {
            None
        }
    }

    /// Whether a watch that is up to date shows the object as it was left.
    pub fn is_untouched(&self, index: &Index, id: &ObjectId) -> bool {
        let is_watched = index.ensure(&id.gvk("")) == WatchState::Synced;
        index.get(id).filter(|_| is_watched).is_some_and(|seen| {
            self.drift(&seen).is_none()
                && !is_older_version(&seen.resource_version, &self.presence.resource_version)
        })
    }
}

/// What is remembered of an object. The reading may be borrowed.
#[derive(Clone, Debug)]
pub enum Known<R> {
    /// It was left like this.
    There(R),
    /// The same, and that no watch shows it says nothing: its labels are taken away, or it removes itself.
    Unseen(R),
    /// It was not touched when its fields had these owners, 0 if it was not there: a change may be a reason to look again.
    Skipped(u64),
}

/// Whether an object of `owner` is not as it was left. What the watches cannot tell is asked for by the next run. Begins the watch of
/// the kind where there is none, so it must be called within a Tokio runtime.
pub fn has_drifted<R: Borrow<Reading>>(
    index: &Index,
    owner: &Owner,
    id: &ObjectId,
    known: Option<&Known<R>>,
) -> bool {
    let is_watched = index.ensure(&id.gvk("")) == WatchState::Synced;
    match (index.get(id), known) {
        (None, Some(Known::There(reading))) => index.has_gone(id, &reading.borrow().presence, owner),
        (None, _) | (_, None) => false,
        _ if !is_watched => false,
        (Some(seen), Some(Known::There(reading) | Known::Unseen(reading))) => {
            reading.borrow().drift(&seen) == Some(Drift::Changed)
        }
        (Some(seen), Some(Known::Skipped(owners))) => seen.fingerprint != *owners,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use crate::manager::TEST_MANAGER as MANAGER;
    use crate::observe::reduce;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    fn object(version: &str, manager: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "u", "resourceVersion": version,
            "managedFields": [{"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsV1": {}}]}})
    }

    fn drift(live: &Value) -> Option<Drift> {
        let reading = Reading::of(&object("10", "kustomize-controller"), &MANAGER);
        reading.drift(&reduce(live, &MANAGER, Timestamp::UNIX_EPOCH, None))
    }

    #[test]
    fn an_untouched_object_has_not_drifted_whatever_its_version_and_status() {
        let mut live = object("11", "kustomize-controller");
        live["status"] = json!({"x": 1});
        assert_eq!(drift(&live), None);
    }

    #[test]
    fn other_owners_another_uid_and_deletion_are_drift() {
        assert_eq!(drift(&object("11", "kubectl")), Some(Drift::Changed));
        let mut anew = object("11", "kustomize-controller");
        anew["metadata"]["uid"] = "v".into();
        assert_eq!(drift(&anew), Some(Drift::Changed));
        let mut deleting = object("11", "kustomize-controller");
        deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(drift(&deleting), Some(Drift::Deleting));
    }

    #[test]
    fn an_observation_from_before_the_apply_is_no_drift() {
        assert_eq!(drift(&object("9", "kubectl")), None);
        let mut former = object("9", "kustomize-controller");
        former["metadata"]["uid"] = "v".into();
        assert_eq!(drift(&former), None, "we made it anew");
    }
}
