//! What is remembered of a Kustomization's applied objects between passes. All of it only saves requests: an empty memory
//! costs a full dry-run and nothing else.

use std::collections::{HashMap, HashSet};

use api::kustomization::IgnoreRule;
use apply::{
    applier::{Applied, Memory},
    change::{Action, Change, ChangeSet},
    drift::{self, Known},
    object::{Manifest, ObjectId},
    observe::Index,
    prepare::Owner,
    prune::Entry,
};

use crate::run::{BuildInputs, Progress};

/// The memory of one Kustomization's objects.
#[derive(Default)]
pub(crate) struct AppliedObjects {
    /// How the objects were left, and what was wanted of them.
    memory: Memory,
    /// The ignore rules that this is good for.
    ignore: Vec<IgnoreRule>,
    /// Objects that are not to be touched, by the owners of their fields at that time: a change may be a reason to look again.
    skipped: HashMap<ObjectId, u64>,
    /// Jobs that remove themselves when they are done.
    vanishing: HashSet<ObjectId>,
    /// Objects that are there and that no watch shows, such as those whose labels a webhook takes away.
    hidden: HashSet<ObjectId>,
    /// Objects that the run under way was begun for because no watch showed them.
    missed: HashSet<ObjectId>,
    /// What the objects were built from, if the last run succeeded.
    pub build: Option<BuildInputs>,
}

impl AppliedObjects {
    /// The memory for the applier.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Forgets the objects if they were compared by other ignore rules.
    pub fn use_ignore_rules(&mut self, rules: &[IgnoreRule]) {
        if self.ignore != rules {
            self.ignore = rules.to_vec();
            self.memory.clear();
        }
    }

    /// Takes in what became of the objects of a stage: those of which nothing is known now are forgotten.
    pub fn stage_applied(&mut self, changes: &ChangeSet, mut memory: Memory) {
        for change in &changes.changes {
            match memory.remove(&change.id) {
                Some(applied) => drop(self.memory.insert(change.id.clone(), applied)),
                None => drop(self.memory.remove(&change.id)),
            }
        }
    }

    /// Takes in what is known of the objects of a stage that failed.
    pub fn stage_failed(&mut self, memory: Memory) {
        self.memory.extend(memory);
    }

    /// A run begins, because of these objects if there are any.
    pub fn run_begins(&mut self, index: &Index, drifted: &[ObjectId]) {
        self.missed = drifted.iter().filter(|id| index.get(id).is_none()).cloned().collect();
    }

    /// Starts to compare with what a run left behind, which is all there is now. An object that was missing, and that its repair
    /// found as it should be, is not missed again.
    pub fn all_applied(&mut self, index: &Index, progress: &Progress) {
        let applied: HashSet<&ObjectId> = progress.changes.applied().map(|change| &change.id).collect();
        self.memory.retain(|id, _| applied.contains(id));
        self.vanishing.clone_from(&progress.vanishing);
        let owners = |id: &ObjectId| index.get(id).map(|seen| seen.fingerprint);
        let skipped = progress.changes.changes.iter().filter(|c| c.action == Action::Skipped);
        self.skipped = skipped.filter_map(|c| Some((c.id.clone(), owners(&c.id)?))).collect();
        // An object that is missing may come back.
        let unrepaired = progress.unrepaired.changes.iter();
        self.skipped.extend(unrepaired.map(|c| (c.id.clone(), owners(&c.id).unwrap_or_default())));
        // One that the watch has shown until now is not hidden but gone.
        let is_hidden = |change: &&Change| {
            change.action == Action::Unchanged
                && self.missed.contains(&change.id)
                && index.get(&change.id).is_none()
        };
        let hidden = progress.changes.changes.iter().filter(is_hidden);
        self.hidden = hidden.map(|change| change.id.clone()).collect();
    }

    /// The objects of the inventory that are not as they were left. What the watches cannot tell is asked for by the next run.
    pub fn drifted(&self, index: &Index, owner: &Owner, inventory: Vec<Entry>) -> Vec<ObjectId> {
        let known = |id: &ObjectId| match (self.memory.get(id), self.skipped.get(id)) {
            (Some(applied), _) if self.vanishing.contains(id) || self.hidden.contains(id) => {
                Some(Known::Unseen(applied.reading()))
            }
            (Some(applied), _) => Some(Known::There(applied.reading())),
            // What kept it from being touched may be gone.
            (None, owners) => owners.copied().map(Known::Skipped),
        };
        let has_drifted =
            |entry: &Entry| drift::has_drifted(index, owner, &entry.id, known(&entry.id).as_ref());
        inventory.into_iter().filter(has_drifted).map(|entry| entry.id).collect()
    }

    /// Takes the manifests out whose objects are as they were left, by what the watches show, and as they are wanted again.
    pub fn take_unchanged(
        &self,
        index: &Index,
        manifests: Vec<Manifest>,
    ) -> (Vec<(Change, Applied)>, Vec<Manifest>) {
        let (mut unchanged, mut open) = (Vec::new(), Vec::new());
        for manifest in manifests {
            let (id, gvk) = (manifest.id(), manifest.gvk());
            let known = self.memory.get(&id);
            let known = known
                .filter(|a| a.desired == manifest.digest() && a.reading().is_untouched(index, &id))
                .cloned();
            match known {
                Some(applied) => {
                    let change = Change { id, version: gvk.version, action: Action::Unchanged };
                    unchanged.push((change, applied));
                }
                None => open.push(manifest),
            }
        }
        (unchanged, open)
    }

    /// Whether every object of the inventory is as the last run left it.
    pub fn all_untouched(&self, index: &Index, inventory: &[Entry]) -> bool {
        self.memory.len() == inventory.len()
            && inventory.iter().all(|entry| {
                let known = self.memory.get(&entry.id);
                known.is_some_and(|known| known.reading().is_untouched(index, &entry.id))
            })
    }
}

#[cfg(test)]
mod tests {
    use apply::cluster::Cluster;
    use kube::Client;

    use super::*;

    #[tokio::test]
    async fn an_object_that_the_watch_has_shown_until_a_run_is_gone_and_not_hidden() {
        let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no server"))
        });
        let client = Client::new(nobody, "default");
        let index = Cluster::new(client, crate::MANAGER, Default::default(), Default::default()).index;
        let (group, kind) = (String::new(), "ConfigMap".to_owned());
        let id = ObjectId { group, kind, namespace: "ns".into(), name: "a".into() };
        let change = Change { id: id.clone(), version: "v1".into(), action: Action::Unchanged };
        let progress = Progress { changes: ChangeSet { changes: vec![change] }, ..Progress::default() };
        let mut applied = AppliedObjects::default();
        for (drifted, hidden) in [(vec![id.clone()], HashSet::from([id])), (Vec::new(), HashSet::new())] {
            applied.run_begins(&index, &drifted);
            applied.all_applied(&index, &progress);
            assert_eq!(applied.hidden, hidden);
        }
    }
}
