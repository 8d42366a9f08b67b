//! What is remembered of a release between passes. All of it only saves requests: an empty memory costs a full look and nothing else.

use std::collections::{HashMap, HashSet};

use apply::drift::{Known, Reading, has_drifted};
use apply::object::ObjectId;
use apply::observe::Index;
use apply::prepare::Owner;
use apply::repairs::Repairs;
use helm_actions::drift::{Diff, Difference};
use helm_state::state::Basis;

/// The memory of one release.
#[derive(Default)]
pub struct Memory {
    /// The newest stored revision with which the release was what is wanted, and what else that rests on.
    in_sync: Option<(u64, Basis)>,
    /// The objects of that revision.
    pub objects: Objects,
    /// Whether the last pass left nothing to do: until then drift is not looked for.
    pub is_done: bool,
    /// Objects that were set back lately.
    pub repairs: Repairs,
    /// The generation of the HelmRelease for which its source object was as wanted, and the resourceVersion in which that was so.
    pub chart_object: Option<(Option<i64>, String)>,
}

impl Memory {
    /// Whether the release is what is wanted, by what is stored of it and wanted now.
    pub fn is_in_sync(&self, stored: u64, basis: &Basis) -> bool {
        self.in_sync.as_ref().is_some_and(|(known, on)| *known == stored && on == basis)
    }

    /// The release is what is wanted.
    pub fn in_sync(&mut self, stored: u64, basis: Basis) {
        if !self.is_in_sync(stored, &basis) {
            self.in_sync = Some((stored, basis));
            self.objects = Objects::default();
        }
    }

    /// The release is not what is wanted, or is not looked at.
    pub fn forget(&mut self) {
        self.in_sync = None;
        self.objects = Objects::default();
    }
}

/// How the objects of a release were left.
#[derive(Default)]
pub struct Objects {
    known: HashMap<ObjectId, Object>,
    /// Objects that the present pass looks at because no watch showed them.
    missed: HashSet<ObjectId>,
    /// Whether those are all objects, and all are as wanted or left to others.
    is_settled: bool,
}

struct Object {
    known: Option<Known<Reading>>,
    difference: Settled,
}

/// How an object stood.
#[derive(Clone, Copy, PartialEq)]
enum Settled {
    AsWanted,
    Excluded,
    Not,
}

impl Objects {
    /// The objects that are not as they were left, as the watches tell.
    pub fn drifted(&self, index: &Index, owner: &Owner) -> Vec<ObjectId> {
        let drifted =
            |(id, object): &(&ObjectId, &Object)| has_drifted(index, owner, id, object.known.as_ref());
        self.known.iter().filter(drifted).map(|(id, _)| id.clone()).collect()
    }

    /// A pass begins that looks at these objects.
    pub fn look_begins(&mut self, index: &Index, drifted: &[ObjectId]) {
        self.missed = drifted.iter().filter(|id| index.get(id).is_none()).cloned().collect();
    }

    /// The objects that need not be asked for, and how they stand: the watches show that nobody touched them since it was known.
    pub fn untouched(&self, index: &Index) -> HashMap<ObjectId, Difference> {
        let is_untouched = |id: &ObjectId, object: &Object| match &object.known {
            Some(Known::There(reading) | Known::Unseen(reading)) => reading.is_untouched(index, id),
            Some(Known::Skipped(_)) => false,
            None => object.difference == Settled::Excluded,
        };
        let stands = |(id, object): (&ObjectId, &Object)| {
            let difference = match object.difference {
                Settled::AsWanted => Difference::None,
                Settled::Excluded => Difference::Excluded,
                Settled::Not => return None,
            };
            is_untouched(id, object).then(|| (id.clone(), difference))
        };
        self.known.iter().filter_map(stands).collect()
    }

    /// Whether `untouched` are all objects there are.
    pub fn are_all(&self, untouched: &HashMap<ObjectId, Difference>) -> bool {
        self.is_settled && untouched.len() == self.known.len()
    }

    /// The objects were compared with what is wanted. Unless the watches tell of each change that matters, they are again next time.
    pub fn compared(&mut self, index: &Index, diff: &Diff, watches_tell: bool) {
        let mut before = std::mem::take(&mut self.known);
        for drift in &diff.objects {
            let id = drift.id();
            let difference = match drift.difference {
                Difference::None if watches_tell => Settled::AsWanted,
                Difference::Excluded => Settled::Excluded,
                Difference::None | Difference::Removed | Difference::Changed(_) => Settled::Not,
            };
            let known = match (&drift.live, &drift.difference) {
                // What was missed and is there all the same is shown by no watch.
                (Some(live), _)
                    if drift.vanishes() || self.missed.contains(id) && index.get(id).is_none() =>
                {
                    Some(Known::Unseen(live.reading.clone()))
                }
                (Some(live), _) => Some(Known::There(live.reading.clone())),
                // It may come back.
                (None, Difference::Removed) => Some(Known::Skipped(0)),
                (None, _) => before.remove(id).and_then(|object| object.known),
            };
            self.known.insert(id.clone(), Object { known, difference });
        }
        self.missed.clear();
        self.is_settled = watches_tell && diff.errors.is_empty() && !diff.has_changes();
    }
}

#[cfg(test)]
mod tests {
    use api::HelmRelease;
    use apply::cluster::Cluster;
    use helm_state::Desired;
    use kube::Client;
    use serde_json::json;

    use super::*;

    fn basis(generation: i64, value: i64) -> Basis {
        let mut object = HelmRelease::new("app", Default::default());
        object.metadata.generation = Some(generation);
        let values = json!({"value": value}).as_object().cloned().unwrap_or_default();
        Basis::new(&object, &Desired::new(&Default::default(), "", values, Default::default()))
    }

    fn id() -> ObjectId {
        ObjectId { group: String::new(), kind: "ConfigMap".into(), namespace: "ns".into(), name: "a".into() }
    }

    fn object(known: Option<Known<Reading>>, difference: Settled) -> Objects {
        Objects {
            known: HashMap::from([(id(), Object { known, difference })]),
            missed: HashSet::new(),
            is_settled: true,
        }
    }

    #[test]
    fn a_release_stays_in_sync_while_what_is_stored_and_wanted_stays() {
        let mut memory = Memory::default();
        assert!(!memory.is_in_sync(1, &basis(1, 1)));
        memory.in_sync(1, basis(1, 1));
        memory.objects = object(None, Settled::Excluded);
        assert!(memory.is_in_sync(1, &basis(1, 1)));
        for (stored, basis) in [(2, basis(1, 1)), (1, basis(2, 1)), (1, basis(1, 2))] {
            assert!(!memory.is_in_sync(stored, &basis), "{stored} {basis:?}");
        }
        memory.in_sync(1, basis(1, 1));
        assert_eq!(memory.objects.known.len(), 1, "the same as before");
        memory.in_sync(2, basis(1, 1));
        assert!(memory.objects.known.is_empty(), "those of another revision are other objects");
    }

    #[tokio::test]
    async fn objects_are_asked_for_unless_a_watch_shows_them_or_they_are_left_to_others() {
        let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no server"))
        });
        let client = Client::new(nobody, "default");
        let cluster = Cluster::new(client, crate::target::MANAGER, Default::default(), Default::default());
        let live = json!({"metadata": {"uid": "u", "resourceVersion": "1"}});
        let reading = Reading::of(&live, &crate::target::MANAGER);
        let seen = object(Some(Known::There(reading)), Settled::AsWanted);
        let untouched = seen.untouched(&cluster.index);
        assert!(untouched.is_empty() && !seen.are_all(&untouched));
        let excluded = object(None, Settled::Excluded);
        let untouched = excluded.untouched(&cluster.index);
        assert_eq!(untouched.get(&id()), Some(&Difference::Excluded));
        assert!(excluded.are_all(&untouched));
        let missing = object(Some(Known::Skipped(0)), Settled::Not);
        assert!(missing.untouched(&cluster.index).is_empty());
        assert!(!Objects::default().are_all(&HashMap::new()), "nothing is known");
    }
}
