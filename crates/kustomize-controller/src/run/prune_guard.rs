//! A brake on commits that would empty a cluster by mistake: a wrong path, a deleted folder, another prefix of all names.
//!
//! It is asked before anything is applied. An apply would bring the new objects into the inventory, and the next try of the same
//! commit would find the old ones to be a smaller part of it.

use api::kustomize::PRUNE_GUARD_ANNOTATION;
use apply::prune::Entry;

/// In a smaller inventory a commit that is meant easily takes away most.
const MIN_ENTRIES: usize = 10;

/// The part of an inventory that no run may delete.
#[derive(Clone, Copy, Debug)]
pub struct PruneGuard {
    percent: usize,
}

impl PruneGuard {
    /// A guard that refuses to delete so much; none for 0, or if the annotation of the Kustomization turns it off.
    pub fn new(percent: u8, annotation: Option<&str>) -> Option<Self> {
        let is_off = percent == 0 || annotation.is_some_and(|value| value.eq_ignore_ascii_case("disabled"));
        (!is_off).then_some(Self { percent: percent.into() })
    }

    /// What is wrong with deleting `stale` of an inventory; nothing if they are few.
    pub fn refuse(self, stale: &[Entry], inventory: &[Entry]) -> Option<String> {
        let (stale, all) = (stale.len(), inventory.len());
        let are_many = all >= MIN_ENTRIES && stale.saturating_mul(100) >= all.saturating_mul(self.percent);
        are_many.then(|| {
            format!(
                "{stale} of {all} objects of the inventory are no longer there, and --prune-guard-percent={} refuses to delete so \
                 many: nothing was applied or deleted. If it is meant, set the annotation {PRUNE_GUARD_ANNOTATION}=disabled",
                self.percent
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use apply::object::ObjectId;

    use super::*;

    fn entries(number: usize) -> Vec<Entry> {
        let id = |name: usize| ObjectId {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: "ns".into(),
            name: name.to_string(),
        };
        (0..number).map(|name| Entry { id: id(name), version: "v1".into() }).collect()
    }

    #[test]
    fn prune_guard_refuses_a_large_part_of_a_large_inventory() {
        for (percent, stale, all, expected) in [
            (50, 5, 10, true),
            (50, 4, 10, false),
            (50, 9, 9, false),
            (100, 10, 10, true),
            (100, 9, 10, false),
            (1, 1, 100, true),
            (1, 1, 101, false),
            (1, 0, 100, false),
        ] {
            let refused =
                PruneGuard::new(percent, None).and_then(|guard| guard.refuse(&entries(stale), &entries(all)));
            assert_eq!(refused.is_some(), expected, "{percent}% of {all}: {stale}");
        }
    }

    #[test]
    fn prune_guard_is_off_by_default_and_by_the_annotation() {
        assert!(PruneGuard::new(0, None).is_none());
        assert!(PruneGuard::new(50, Some("Disabled")).is_none());
        assert!(PruneGuard::new(50, Some("enabled")).is_some());
    }

    #[test]
    fn prune_guard_says_how_many_and_how_to_go_on() {
        let message = PruneGuard::new(50, None).and_then(|guard| guard.refuse(&entries(11), &entries(12)));
        let text = "11 of 12 objects of the inventory are no longer there, and --prune-guard-percent=50 refuses to delete so many: \
                    nothing was applied or deleted. If it is meant, set the annotation \
                    kustomize.toolkit.fluxcd.io/prune-guard=disabled";
        assert_eq!(message.as_deref(), Some(text));
    }
}
