//! What a single object's annotations or labels say about how it is treated. Keys may stand in either place; values
//! are compared without regard to case. All keys have the manager's group.

use serde_json::Value;

use crate::manager::Manager;
use crate::object::{annotation, label};

/// What `ssa` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ssa {
    /// Apply and take over fields of the known foreign managers. Also the meaning of an unknown value.
    Override,
    /// Apply and leave foreign managers alone.
    Merge,
    /// Apply only where the object does not exist.
    IfNotPresent,
    /// Never apply, never prune.
    Ignore,
}

/// The keys of one object, desired or live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `ssa`.
    pub ssa: Ssa,
    /// `reconcile: disabled`.
    pub reconcile_disabled: bool,
    /// `force: enabled`.
    pub force: bool,
    /// `prune: disabled`.
    pub prune_disabled: bool,
}

impl Policy {
    /// Reads the keys of an object.
    pub fn of(object: &Value, manager: &Manager) -> Self {
        let says = |key, value| says(object, manager, key, value);
        let ssa = if says("ssa", "Ignore") {
            Ssa::Ignore
        } else if says("ssa", "IfNotPresent") {
            Ssa::IfNotPresent
        } else if says("ssa", "Merge") {
            Ssa::Merge
        } else {
            Ssa::Override
        };
        Self {
            ssa,
            reconcile_disabled: says("reconcile", "disabled"),
            force: says("force", "enabled"),
            prune_disabled: says("prune", "disabled"),
        }
    }

    /// Whether an object with these keys, desired or live, is not applied.
    pub fn forbids_apply(self) -> bool {
        self.reconcile_disabled || self.ssa == Ssa::Ignore
    }

    /// Whether a live object with these keys is not deleted.
    pub fn forbids_delete(self) -> bool {
        self.prune_disabled || self.forbids_apply()
    }
}

/// Whether the object carries one of our keys at all, so that applying it may hide what the live object says.
pub(crate) fn declares_any(object: &Value, manager: &Manager) -> bool {
    ["ssa", "reconcile"].iter().any(|key| {
        let key = manager.key(key);
        label(object, &key).is_some() || annotation(object, &key).is_some()
    })
}

/// `decrypt: disabled`, which counts as an annotation only.
pub fn decrypt_disabled(object: &Value, manager: &Manager) -> bool {
    annotation(object, &manager.key("decrypt")).is_some_and(|v| v.eq_ignore_ascii_case("disabled"))
}

fn says(object: &Value, manager: &Manager, key: &str, value: &str) -> bool {
    let key = manager.key(key);
    [label(object, &key), annotation(object, &key)]
        .into_iter()
        .flatten()
        .any(|v| v.eq_ignore_ascii_case(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::TEST_MANAGER as MANAGER;
    use serde_json::json;

    fn annotated(key: &str, value: &str) -> Policy {
        Policy::of(&json!({"metadata": {"annotations": {(MANAGER.key(key)): value}}}), &MANAGER)
    }

    #[test]
    fn policies_are_read_without_regard_to_case_from_labels_and_annotations() {
        assert_eq!(annotated("ssa", "merge").ssa, Ssa::Merge);
        assert_eq!(annotated("ssa", "IFNOTPRESENT").ssa, Ssa::IfNotPresent);
        assert_eq!(annotated("ssa", "Override").ssa, Ssa::Override);
        let labelled = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/reconcile": "Disabled"}}});
        assert!(Policy::of(&labelled, &MANAGER).reconcile_disabled);
    }

    #[test]
    fn policies_forbid_apply_or_deletion() {
        assert!(annotated("reconcile", "disabled").forbids_apply());
        assert!(annotated("ssa", "Ignore").forbids_apply());
        assert!(annotated("ssa", "Ignore").forbids_delete());
        assert!(!annotated("ssa", "IfNotPresent").forbids_delete());
        assert!(annotated("prune", "disabled").forbids_delete());
        assert!(!annotated("prune", "disabled").forbids_apply());
        assert!(!Policy::of(&json!({}), &MANAGER).forbids_delete());
    }

    #[test]
    fn decrypt_counts_as_annotation_only() {
        assert!(decrypt_disabled(
            &json!({"metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/decrypt": "Disabled"}}}),
            &MANAGER
        ));
        assert!(!decrypt_disabled(
            &json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/decrypt": "disabled"}}}),
            &MANAGER
        ));
    }
}
