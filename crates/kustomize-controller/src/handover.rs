//! Objects that move from one Kustomization to another: neither deleted by the one nor made anew by the other.
//!
//! A Kustomization names what it will apply in its inventory before it applies anything. So an object that is about to be
//! pruned is looked for in the inventories of the others. Those of the same source get a moment to write theirs down.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::Kustomization;
use apply::{object::ObjectId, prune::Entry};
use kube::runtime::reflector::ObjectRef;
use runtime::conditions::{READY, STALLED, find, is_true};
use tokio::time::Instant;

use crate::{dependencies, sources::source_key, status, subject::service_account};

/// How long a run that has something to prune waits for others of its source.
pub const HANDOVER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an object that is to be pruned is left to another Kustomization which does not get to apply it.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(600);
/// How soon a run that left something to others is followed by another.
pub const CLAIM_RECHECK: Duration = Duration::from_secs(60);

pub type Key = ObjectRef<Kustomization>;

/// Objects that stand in the inventories of Kustomizations and were not applied by their last runs, because they say that they are
/// not to be. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Skipped(Arc<Mutex<HashMap<Key, HashSet<ObjectId>>>>);

impl Skipped {
    /// A run of a Kustomization skipped these.
    pub fn set(&self, by: Key, objects: HashSet<ObjectId>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if objects.is_empty() { drop(all.remove(&by)) } else { drop(all.insert(by, objects)) }
    }

    fn contains(&self, by: &Key, object: &ObjectId) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(by).is_some_and(|objects| objects.contains(object))
    }
}

/// Who claims an object.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    /// The Kustomization that names it.
    pub by: Key,
    /// Whether its run is over: it has applied the object, if perhaps another one did after it.
    pub is_applied: bool,
}

/// Objects of one Kustomization that are left to others instead of being pruned, since when.
#[derive(Debug, Default)]
pub struct Claims(HashMap<ObjectId, Instant>);

impl Claims {
    /// The claims that still count: those on applied objects, and for a while those on objects that are yet to be.
    pub fn admit(&self, claims: &HashMap<ObjectId, Claim>, now: Instant) -> HashSet<ObjectId> {
        let is_recent = |id: &ObjectId| {
            self.0.get(id).is_none_or(|since| now.saturating_duration_since(*since) < CLAIM_TIMEOUT)
        };
        let counting = claims.iter().filter(|(id, claim)| claim.is_applied || is_recent(id));
        counting.map(|(id, _)| id.clone()).collect()
    }

    /// Takes down what was left to others in a prune, which is all there is. Gives what was not left before.
    pub fn left<'a>(&mut self, left: &[&'a ObjectId], now: Instant) -> Vec<&'a ObjectId> {
        self.0.retain(|id, _| left.contains(&id));
        let mut news = Vec::new();
        for id in left {
            if self.0.insert(ObjectId::clone(id), self.0.get(*id).copied().unwrap_or(now)).is_none() {
                news.push(*id);
            }
        }
        news
    }

    /// These objects are wanted again.
    pub fn forget<'a>(&mut self, wanted: impl Iterator<Item = &'a ObjectId>) {
        for id in wanted {
            self.0.remove(id);
        }
    }

    /// Whether something is left to others.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The entries that other Kustomizations have applied or are about to, each with the one that does.
///
/// A status is believed only of a Kustomization that could take the object anyway: it applies in the same identity, and is of the
/// same namespace or source. What its runs skip is not claimed.
pub fn claimed(
    own: &Kustomization,
    others: &[Arc<Kustomization>],
    entries: &[Entry],
    default_account: Option<&str>,
    skipped: &Skipped,
) -> HashMap<ObjectId, Claim> {
    let wanted: HashMap<String, &ObjectId> = entries.iter().map(|e| (e.id.inventory_id(), &e.id)).collect();
    let mut claimed = HashMap::new();
    for other in others {
        let trusted = is_another(own, other)
            && is_same_identity(own, other, default_account)
            && (own.metadata.namespace == other.metadata.namespace || source_key(own) == source_key(other));
        if !trusted {
            continue;
        }
        let (by, is_applied) = (ObjectRef::from_obj(other.as_ref()), is_over(other));
        let inventory = other.status.iter().filter_map(|status| status.inventory.as_ref());
        let ids = inventory.flat_map(|i| &i.entries).filter_map(|entry| wanted.get(&entry.id));
        for id in ids.filter(|id| !skipped.contains(&by, id)) {
            claimed.insert(ObjectId::clone(id), Claim { by: by.clone(), is_applied });
        }
    }
    claimed
}

/// Whether two Kustomizations apply to the same cluster as the same user.
fn is_same_identity(own: &Kustomization, other: &Kustomization, default_account: Option<&str>) -> bool {
    let account = |object: &Kustomization| {
        let account = service_account(object, default_account)?.to_owned();
        Some((object.metadata.namespace.clone(), account))
    };
    // A Secret of another namespace is another one, whatever its name.
    let cluster = |object: &Kustomization| {
        let reference = object.spec.kube_config.clone()?;
        Some((object.metadata.namespace.clone(), reference))
    };
    cluster(own) == cluster(other) && account(own) == account(other)
}

/// Whether the last run of a Kustomization succeeded, for what it asks for now.
fn is_over(object: &Kustomization) -> bool {
    let Some(status) = &object.status else { return false };
    is_true(&status.conditions, READY)
        && status.observed_generation == object.metadata.generation
        && status.last_applied_revision == status.last_attempted_revision
}

/// Those of `others`, Kustomizations of the same source, that apply in the same identity and have yet to say what they will apply of a revision. `find` gives
/// any Kustomization.
pub fn pending(
    own: &Kustomization,
    others: &[Arc<Kustomization>],
    find: impl Fn(&Key) -> Option<Arc<Kustomization>>,
    revision: &str,
    default_account: Option<&str>,
) -> Vec<Key> {
    let key = ObjectRef::from_obj(own);
    let coming = |other: &&Arc<Kustomization>| {
        is_another(own, other)
            && is_same_identity(own, other, default_account)
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
        !pending(&object("own"), &others, find, "r2", None).is_empty()
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
    fn a_claim_is_news_once_and_counts_for_a_while() {
        let id = ObjectId { group: String::new(), kind: "A".into(), namespace: "n".into(), name: "a".into() };
        let (mut claims, start) = (Claims::default(), Instant::now());
        let claim = |is_applied| HashMap::from([(id.clone(), Claim { by: ObjectRef::new("b"), is_applied })]);
        let admitted = |claims: &Claims, at| claims.admit(&claim(false), at).len();
        assert_eq!(admitted(&claims, start), 1);
        assert_eq!(claims.left(&[&id], start).len(), 1);
        let later = start + CLAIM_TIMEOUT / 2;
        assert_eq!((admitted(&claims, later), claims.left(&[&id], later).len()), (1, 0));
        assert_eq!(admitted(&claims, start + CLAIM_TIMEOUT), 0, "it does not begin anew each time");
        assert_eq!(claims.admit(&claim(true), start + CLAIM_TIMEOUT).len(), 1, "it was applied");
        claims.left(&[], later);
        assert!(claims.is_empty());
        claims.left(&[&id], later);
        claims.forget([&id].into_iter());
        assert!(claims.is_empty());
    }

    #[test]
    fn claims_are_of_trusted_kustomizations_that_apply_the_object() {
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
        let mut over = at(with("over", "e"), "r2");
        status::settle_conditions(&mut over);
        let mut foreign = with("foreign", "f");
        foreign.metadata.namespace = Some("tenant".into());
        let mut shared = with("shared", "g");
        shared.metadata.namespace = Some("tenant".into());
        shared.spec.source_ref.namespace = Some("ns".into());
        let mut other_user = with("other-user", "h");
        other_user.spec.service_account_name = Some("deployer".into());
        let others = [with("own", "a"), with("other", "b"), going, remote, over, foreign, shared, other_user];
        let others: Vec<_> = others.into_iter().map(Arc::new).collect();
        let entries = ["a", "b", "c", "d", "e", "f", "g", "h"].map(entry);
        let skipped = Skipped::default();
        let names = |skipped: &Skipped, account: Option<&str>| {
            let claims = claimed(&object("own"), &others, &entries, account, skipped);
            let name = |(id, claim): (&ObjectId, &Claim)| {
                format!("{} by {}{}", id.name, claim.by.name, if claim.is_applied { ", applied" } else { "" })
            };
            let mut names: Vec<_> = claims.iter().map(name).collect();
            names.sort();
            names
        };
        assert_eq!(names(&skipped, None), ["b by other", "e by over, applied", "g by shared"]);
        let own = names(&skipped, Some("default"));
        assert_eq!(
            own,
            ["b by other", "e by over, applied"],
            "each namespace has a default account of its own"
        );
        skipped.set(ObjectRef::new("over").within("ns"), HashSet::from([id("e")]));
        assert_eq!(names(&skipped, None), ["b by other", "g by shared"], "what is skipped is not claimed");
    }
}
