//! Drift seen from the outside: what is remembered of applied objects against what the observed index holds of them.

use crate::applier::Memory;
use crate::compare::Applied;
use crate::object::ObjectId;
use crate::observe::Observed;

/// Why an object needs a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// Somebody took, added or gave up a field, or made the object anew.
    Changed,
    /// It does not exist, or is about to be deleted.
    Gone,
}

/// Compares one object.
pub fn of(applied: &Applied, observed: Option<&Observed>) -> Option<Drift> {
    match observed {
        None => Some(Drift::Gone),
        Some(o) if o.deleting => Some(Drift::Gone),
        Some(o) if o.uid != applied.uid || o.fingerprint != applied.owners.fingerprint() => {
            Some(Drift::Changed)
        }
        Some(_) => None,
    }
}

/// The remembered objects that need a look, in no order. `observed` must be backed by synced watches for all of them.
pub fn find(memory: &Memory, observed: impl Fn(&ObjectId) -> Option<Observed>) -> Vec<(ObjectId, Drift)> {
    memory
        .iter()
        .filter_map(|(id, applied)| Some((id.clone(), of(applied, observed(id).as_ref())?)))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use crate::observe::reduce;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    fn object(uid: &str, manager: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": uid, "resourceVersion": "1", "managedFields": [
            {"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsV1": {}}]}})
    }

    fn drift(live: &Value) -> Option<Drift> {
        let applied = Applied::of(&object("u", "kustomize-controller"), 1);
        of(&applied, Some(&reduce(live, Timestamp::UNIX_EPOCH)))
    }

    #[test]
    fn an_untouched_object_has_not_drifted_whatever_its_version_and_status() {
        let mut live = object("u", "kustomize-controller");
        live["metadata"]["resourceVersion"] = "2".into();
        live["status"] = json!({"x": 1});
        assert_eq!(drift(&live), None);
    }

    #[test]
    fn other_owners_another_uid_and_deletion_are_drift() {
        assert_eq!(drift(&object("u", "kubectl")), Some(Drift::Changed));
        assert_eq!(drift(&object("v", "kustomize-controller")), Some(Drift::Changed));
        let mut deleting = object("u", "kustomize-controller");
        deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(drift(&deleting), Some(Drift::Gone));
        let applied = Applied::of(&object("u", "x"), 1);
        assert_eq!(of(&applied, None), Some(Drift::Gone));
    }
}
