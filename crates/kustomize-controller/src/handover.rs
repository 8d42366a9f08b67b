//! Objects that move from one Kustomization to another: neither deleted by the one nor made anew by the other.
//!
//! A Kustomization names what it will apply in its inventory before it applies anything. So an object that is about to be
//! pruned is looked for in the inventories of the others. Those of the same source get a moment to write theirs down.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use api::Kustomization;
use apply::{object::ObjectId, prune::Entry};
use kube::runtime::reflector::ObjectRef;
use runtime::conditions::{READY, STALLED, find, is_true};

use crate::{dependencies, status};

/// How long a run that has something to prune waits for others of its source.
pub const HANDOVER_TIMEOUT: Duration = Duration::from_secs(30);

pub type Key = ObjectRef<Kustomization>;

/// The entries that other Kustomizations name, in the same cluster.
pub fn claimed(own: &Kustomization, others: &[Arc<Kustomization>], entries: &[Entry]) -> HashSet<ObjectId> {
    let wanted: HashMap<String, &ObjectId> = entries.iter().map(|e| (e.id.inventory_id(), &e.id)).collect();
    let inventories = others
        .iter()
        .filter(|other| is_another(own, other) && other.spec.kube_config == own.spec.kube_config)
        .filter_map(|other| other.status.as_ref()?.inventory.as_ref());
    let named = inventories.flat_map(|inventory| &inventory.entries);
    named.filter_map(|entry| wanted.get(&entry.id).map(|id| ObjectId::clone(id))).collect()
}

/// Those of `others`, Kustomizations of the same source, that have yet to say what they will apply of a revision. `find` gives
/// any Kustomization.
pub fn pending(
    own: &Kustomization,
    others: &[Arc<Kustomization>],
    find: impl Fn(&Key) -> Option<Arc<Kustomization>>,
    revision: &str,
) -> Vec<Key> {
    let key = ObjectRef::from_obj(own);
    let coming = |other: &&Arc<Kustomization>| {
        is_another(own, other)
            && !other.spec.suspend
            && !has_said(other, revision)
            && !needs(other, &key, &find)
    };
    others.iter().filter(coming).map(|other| ObjectRef::from_obj(other.as_ref())).collect()
}

fn is_another(own: &Kustomization, other: &Kustomization) -> bool {
    ObjectRef::from_obj(own) != ObjectRef::from_obj(other) && other.metadata.deletion_timestamp.is_none()
}

/// Whether a Kustomization has written down its inventory for a revision and its present generation, or will not.
fn has_said(object: &Kustomization, revision: &str) -> bool {
    let conditions = status::listed(object);
    let seen = find(conditions, READY).is_some_and(|c| c.observed_generation == object.metadata.generation);
    let attempted = object.status.as_ref().and_then(|s| s.last_attempted_revision.as_deref());
    seen && (attempted == Some(revision) || is_true(conditions, STALLED))
}

/// Whether a Kustomization waits for another one, if only through others.
fn needs(object: &Arc<Kustomization>, key: &Key, find: &impl Fn(&Key) -> Option<Arc<Kustomization>>) -> bool {
    let (mut open, mut seen) = (vec![object.clone()], HashSet::new());
    while let Some(object) = open.pop() {
        for dependency in object.spec.depends_on.iter().map(|d| dependencies::key(&object, d)) {
            if dependency == *key {
                return true;
            }
            if seen.insert(dependency.clone())
                && let Some(next) = find(&dependency)
            {
                open.push(next);
            }
        }
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use api::{Artifact, kustomization::DependencyReference};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn object(name: &str) -> Kustomization {
        let mut object = Kustomization::new(name, Default::default());
        object.metadata.namespace = Some("ns".into());
        object.metadata.generation = Some(1);
        object.spec.source_ref.kind = "GitRepository".into();
        object.spec.source_ref.name = "app".into();
        object
    }

    fn at(mut object: Kustomization, revision: &str) -> Kustomization {
        status::succeeded(&mut object, &Artifact { revision: revision.into(), ..Artifact::default() });
        status::of(&mut object).last_attempted_revision = Some(revision.into());
        object
    }

    fn depending(mut object: Kustomization, on: &str) -> Kustomization {
        object.spec.depends_on.push(DependencyReference { name: on.into(), ..Default::default() });
        object
    }

    fn is_pending(others: Vec<Kustomization>) -> bool {
        let others: Vec<_> = others.into_iter().map(Arc::new).collect();
        let find = |key: &Key| others.iter().find(|o| ObjectRef::from_obj(o.as_ref()) == *key).cloned();
        !pending(&object("own"), &others, find, "r2").is_empty()
    }

    #[test]
    fn pending_are_those_of_the_source_that_have_not_begun_the_revision() {
        assert!(!is_pending(vec![object("own")]));
        assert!(is_pending(vec![object("new")]) && is_pending(vec![at(object("old"), "r1")]));
        assert!(!is_pending(vec![at(object("done"), "r2")]));
        let mut changed = at(object("changed"), "r2");
        changed.metadata.generation = Some(2);
        assert!(is_pending(vec![changed.clone()]));
        changed.spec.suspend = true;
        assert!(!is_pending(vec![changed]));
        let mut stalled = object("stalled");
        status::stalled(&mut stalled, "AccessDenied", "no");
        assert!(!is_pending(vec![stalled]));
    }

    #[test]
    fn pending_are_none_that_wait_for_this_one() {
        assert!(!is_pending(vec![depending(object("a"), "own")]));
        assert!(!is_pending(vec![depending(object("b"), "a"), depending(object("a"), "own")]));
        assert!(
            is_pending(vec![depending(object("b"), "a"), at(depending(object("a"), "b"), "r2")]),
            "a cycle"
        );
    }

    #[test]
    fn entries_are_claimed_by_the_inventories_of_others() {
        let id = |name: &str| ObjectId {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: "ns".into(),
            name: name.into(),
        };
        let entry = |name: &str| Entry { id: id(name), version: "v1".into() };
        let with = |name: &str, map: &str| {
            let mut object = object(name);
            status::set_inventory(&mut object, [&entry(map)]);
            object
        };
        let mut going = with("going", "c");
        going.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        let mut remote = with("remote", "d");
        remote.spec.kube_config = Some(Default::default());
        let others: Vec<_> =
            [with("own", "a"), with("other", "b"), going, remote].into_iter().map(Arc::new).collect();
        let entries = ["a", "b", "c", "d"].map(entry);
        assert_eq!(claimed(&object("own"), &others, &entries), HashSet::from([id("b")]));
    }
}
