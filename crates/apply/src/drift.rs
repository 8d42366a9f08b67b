//! Drift seen from the outside: what is remembered of an applied object against what the observed index holds of it.

use api::meta::is_older_version;

use crate::compare::Applied;
use crate::observe::Observed;

/// Why an object needs a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// Somebody took, added or gave up a field, or made the object anew.
    Changed,
    /// Its deletion was asked for.
    Deleting,
}

/// Compares an object. An observation from before the apply says nothing.
pub fn of(applied: &Applied, observed: &Observed) -> Option<Drift> {
    if is_older_version(&observed.resource_version, &applied.resource_version) {
        None
    } else if observed.deleting {
        Some(Drift::Deleting)
    } else if observed.uid != applied.uid || observed.fingerprint != applied.owners.fingerprint() {
        Some(Drift::Changed)
    } else {
        None
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
        let applied = Applied::of(&object("10", "kustomize-controller"), 1, &Default::default(), &MANAGER);
        of(&applied, &reduce(live, &MANAGER, Timestamp::UNIX_EPOCH, None))
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
