//! Runs that need no build: everything that the last one was built from is as it was, and so are its objects.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

use apply::change::{Action, Change, ChangeSet};
use kustomize::tree::{MemoryTree, Trace};
use substitute::Variables;

use super::{Phase, Run, Step};
use crate::reconciler::{Reconciler, Slot};

/// What the remembered objects were built from, beside the spec.
pub(crate) struct Basis {
    /// Digest of the artifact.
    pub artifact: String,
    /// What the build read of the artifact.
    pub trace: Arc<Trace>,
    /// Hash of the variables.
    pub variables: u64,
    /// Digest of the built objects.
    pub digest: String,
}

/// Only compared within this process, so nobody can look for variables of equal hash.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Tells variables apart without keeping them.
pub(crate) fn hash(variables: Option<&Variables>) -> u64 {
    HASHER.hash_one(variables)
}

impl Reconciler {
    /// Skips the build of a run that trusts the watches, if it would give the objects that are in the cluster. `tree` is the
    /// artifact, if it was needed.
    pub(super) async fn skip_build(
        &self,
        slot: &mut Slot,
        run: &mut Run,
        basis: &Basis,
        tree: Option<&Arc<MemoryTree>>,
        variables: Option<&Variables>,
    ) -> Option<Step> {
        if !run.trusting || hash(variables) != basis.variables || !self.all_untouched(slot, run) {
            return None;
        }
        if run.artifact.digest != basis.artifact {
            let (tree, trace) = (Arc::clone(tree?), Arc::clone(&basis.trace));
            let same = tokio::task::spawn_blocking(move || trace.holds(tree.as_ref())).await;
            if !same.is_ok_and(|same| same) {
                return None;
            }
        }
        tracing::debug!(revision = run.artifact.revision, "nothing that the build reads has changed");
        run.attempted = true;
        run.desired.clone_from(&run.before);
        run.vanishing.clone_from(&slot.vanishing);
        run.memory = std::mem::take(&mut slot.memory);
        run.built_from(Basis {
            artifact: run.artifact.digest.clone(),
            trace: Arc::clone(&basis.trace),
            digest: basis.digest.clone(),
            ..*basis
        });
        let unchanged = |entry: &apply::prune::Entry| Change {
            id: entry.id.clone(),
            version: entry.version.clone(),
            action: Action::Unchanged,
        };
        run.changes = ChangeSet { changes: run.before.iter().map(unchanged).collect() };
        Some(Step::Next(Phase::Apply(Default::default())))
    }

    /// Whether every object of the inventory is as the last run left it.
    fn all_untouched(&self, slot: &Slot, run: &Run) -> bool {
        slot.memory.len() == run.before.len()
            && run.before.iter().all(|entry| {
                let known = slot.memory.get(&entry.id);
                known.is_some_and(|known| self.untouched(&entry.id, &entry.id.gvk(&entry.version), known))
            })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_told_apart_by_name_and_value() {
        let with = |pairs: &[(&str, &str)]| hash(Some(&Variables::new(pairs.iter().copied()).unwrap()));
        assert_eq!(with(&[("a", "1"), ("b", "2")]), with(&[("b", "2"), ("a", "1")]));
        let others = [with(&[]), with(&[("a", "2")]), with(&[("b", "1")]), hash(None)];
        assert!(others.iter().all(|other| *other != with(&[("a", "1")])));
    }
}
