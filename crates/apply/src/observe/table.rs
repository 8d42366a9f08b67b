//! What one watch knows: its objects reduced to what matters, and which owners must hear of an event.

use std::collections::HashMap;
use std::sync::Arc;

use api::meta::is_older_version;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::Presence;
use crate::kstatus::custom::Rule;
use crate::kstatus::{Verdict, verdict};
use crate::manager::Manager;
use crate::object::meta;
use crate::ownership::Owners;
use crate::prepare::Owner;

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// uid.
    pub uid: Box<str>,
    /// resourceVersion.
    pub resource_version: Box<str>,
    /// Whether its deletion was asked for.
    pub deleting: bool,
    /// Ownership fingerprint; see [`Owners::fingerprint`].
    pub fingerprint: u64,
    /// Health.
    pub verdict: Verdict,
    /// Owner by its labels.
    pub owner: Option<Arc<Owner>>,
}

/// Reduces an object to what is kept of it. `rule` judges its health in place of the rules for its kind.
pub fn reduce(object: &Value, manager: &Manager, now: Timestamp, rule: Option<&Rule>) -> Observed {
    Observed {
        uid: meta(object, "uid").into(),
        resource_version: meta(object, "resourceVersion").into(),
        deleting: !meta(object, "deletionTimestamp").is_empty(),
        fingerprint: Owners::of(object, manager).fingerprint(),
        verdict: rule.map_or_else(|| verdict(object, now), |rule| rule.verdict(object)),
        owner: Owner::of(object, manager).map(Arc::new),
    }
}

impl Observed {
    /// Whether anybody wants to hear of the step from `self` to `other`.
    fn differs(&self, other: &Self) -> bool {
        self.uid != other.uid
            || self.deleting != other.deleting
            || self.fingerprint != other.fingerprint
            || self.verdict != other.verdict
            || self.owner != other.owner
    }
}

/// The objects of one watch.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By `namespace/name`. Boxed: most slots of a map are spare.
    objects: HashMap<Box<str>, Box<Slot>>,
    list: u32,
    /// When the last list began, and when the last one began that is complete.
    list_begun: Option<Instant>,
    complete_since: Option<Instant>,
    /// The newest resource version that any object had in the last list or since.
    newest: Option<u128>,
}

#[derive(Debug)]
struct Slot {
    observed: Observed,
    /// The list in which it was last seen.
    list: u32,
}

fn key(namespace: &str, name: &str) -> Box<str> {
    format!("{namespace}/{name}").into()
}

impl Table {
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Observed> {
        self.objects.get(&key(namespace, name)).map(|slot| &slot.observed)
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether all that happened until an object was known to be there was seen: events come in the order of resource
    /// versions, and a list shows what was there when it began. A version that is no number counts as seen.
    pub fn has_reached(&self, last: &Presence) -> bool {
        let shown = |version: u128| self.newest.is_some_and(|newest| newest >= version);
        last.resource_version.parse().map_or(true, shown)
            || self.complete_since.is_some_and(|begun| begun > last.at)
    }

    /// A new complete list begins. What was known stays known until the list ends.
    pub fn begin_list(&mut self, now: Instant) {
        self.list = self.list.wrapping_add(1);
        self.list_begun = Some(now);
        // A cluster that was restored counts from an older version on.
        self.newest = None;
    }

    /// Takes in an object from a list or an event, unless a newer version of it is known from this list or since. Tells
    /// whether that is news to anybody, and which owners must hear of it: the former and the present one.
    pub fn put(&mut self, namespace: &str, name: &str, observed: Observed) -> (bool, Vec<Arc<Owner>>) {
        self.newest = self.newest.max(observed.resource_version.parse().ok());
        let list = self.list;
        let known = self.objects.get(&key(namespace, name)).filter(|slot| slot.list == list);
        if known
            .is_some_and(|slot| is_older_version(&observed.resource_version, &slot.observed.resource_version))
        {
            return (false, Vec::new());
        }
        self.replace(key(namespace, name), Slot { observed, list })
    }

    /// Takes in an object that was read apart from the watch, if it is known and in no newer version. It says nothing of the
    /// list that goes on, nor of how far the watch has come.
    pub fn reread(&mut self, namespace: &str, name: &str, observed: Observed) -> (bool, Vec<Arc<Owner>>) {
        match self.objects.get(&key(namespace, name)) {
            Some(known)
                if !is_older_version(&observed.resource_version, &known.observed.resource_version) =>
            {
                let list = known.list;
                self.replace(key(namespace, name), Slot { observed, list })
            }
            _ => (false, Vec::new()),
        }
    }

    fn replace(&mut self, key: Box<str>, slot: Slot) -> (bool, Vec<Arc<Owner>>) {
        let present = slot.observed.owner.clone();
        let former = self
            .objects
            .get(&key)
            .map(|old| (old.observed.differs(&slot.observed), old.observed.owner.clone()));
        self.objects.insert(key, Box::new(slot));
        let (is_news, former) = former.unwrap_or((true, None));
        if !is_news {
            return (false, Vec::new());
        }
        let moved = former.filter(|owner| present.as_ref() != Some(owner));
        (true, moved.into_iter().chain(present).collect())
    }

    /// Takes back the verdicts on the objects of an owner, which are to be judged by another rule. Tells whether there
    /// are any.
    pub fn invalidate_health(&mut self, owner: &Owner) -> bool {
        let owned = |slot: &&mut Box<Slot>| slot.observed.owner.as_deref() == Some(owner);
        let mut any = false;
        for slot in self.objects.values_mut().filter(owned) {
            slot.observed.verdict = Verdict::not_judged();
            any = true;
        }
        any
    }

    /// An object is gone. Gives the owner that must hear of it.
    pub fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<Owner>> {
        self.objects.remove(&key(namespace, name))?.observed.owner
    }

    /// Lets verdicts fail whose time is over. Tells whether there were any, gives their owners, and when the next one is
    /// due.
    pub fn expire(&mut self, now: Timestamp) -> (bool, Vec<Arc<Owner>>, Option<Timestamp>) {
        let (mut any, mut owners, mut next) = (false, Vec::new(), None);
        for slot in self.objects.values_mut() {
            let Some(due) = slot.observed.verdict.fails_at else { continue };
            if due <= now {
                slot.observed.verdict = slot.observed.verdict.clone().at(now);
                any = true;
                owners.extend(slot.observed.owner.clone());
            } else {
                next = Some(next.map_or(due, |n: Timestamp| n.min(due)));
            }
        }
        (any, owners, next)
    }

    /// The owners of all objects, with repeats.
    pub fn owners(&self) -> impl Iterator<Item = Arc<Owner>> {
        self.objects.values().filter_map(|slot| slot.observed.owner.clone())
    }

    /// The list is complete: what was not in it is gone. Gives the owners of that.
    pub fn end_list(&mut self) -> Vec<Arc<Owner>> {
        self.complete_since = self.list_begun;
        let list = self.list;
        let mut owners = Vec::new();
        self.objects.retain(|_, slot| {
            let stays = slot.list == list;
            if !stays {
                owners.extend(slot.observed.owner.take());
            }
            stays
        });
        owners
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::time::Duration;

    use super::*;
    use crate::manager::TEST_MANAGER as MANAGER;
    use serde_json::json;

    fn object(owner: &str, manager: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"uid": "u", "resourceVersion": "1",
            "labels": {"kustomize.toolkit.fluxcd.io/name": owner, "kustomize.toolkit.fluxcd.io/namespace": "ns"},
            "managedFields": [{"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsV1": {}}]}})
    }

    fn at_version(version: &str) -> Value {
        let mut object = object("a", "m");
        object["metadata"]["resourceVersion"] = version.into();
        object
    }

    fn put(table: &mut Table, name: &str, object: &Value) -> Vec<String> {
        let (_, owners) = table.put("ns", name, reduce(object, &MANAGER, Timestamp::UNIX_EPOCH, None));
        owners.iter().map(|o| o.name.clone()).collect()
    }

    #[test]
    fn owners_hear_of_new_and_changed_objects_only() {
        let mut t = Table::default();
        let mut o = object("a", "m");
        assert_eq!(put(&mut t, "x", &o), ["a"]);
        o["metadata"]["resourceVersion"] = "2".into();
        o["data"] = json!({"k": "v"});
        assert!(put(&mut t, "x", &o).is_empty());
        assert_eq!(&*t.get("ns", "x").unwrap().resource_version, "2");
        let mut other = object("a", "other");
        other["metadata"]["resourceVersion"] = "3".into();
        assert_eq!(put(&mut t, "x", &other), ["a"]);
        let mut unready = other;
        unready["status"] = json!({"conditions": [{"type": "Stalled", "status": "True", "message": "m"}]});
        assert_eq!(put(&mut t, "x", &unready), ["a"]);
    }

    #[test]
    fn an_object_that_changes_hands_is_told_to_both_owners() {
        let mut t = Table::default();
        put(&mut t, "x", &object("a", "m"));
        assert_eq!(put(&mut t, "x", &object("b", "m")), ["a", "b"]);
    }

    #[test]
    fn a_table_knows_all_owners_to_be_told_after_an_outage() {
        let mut t = Table::default();
        put(&mut t, "x", &object("a", "m"));
        put(&mut t, "y", &object("b", "m"));
        let mut owners: Vec<_> = t.owners().map(|owner| owner.name.clone()).collect();
        owners.sort();
        assert_eq!(owners, ["a", "b"]);
    }

    #[test]
    fn an_older_version_does_not_replace_a_newer_one_until_the_next_list() {
        let mut t = Table::default();
        put(&mut t, "x", &at_version("10"));
        put(&mut t, "x", &at_version("9"));
        assert_eq!(&*t.get("ns", "x").unwrap().resource_version, "10");
        t.begin_list(Instant::now());
        put(&mut t, "x", &at_version("9"));
        assert_eq!(&*t.get("ns", "x").unwrap().resource_version, "9", "the cluster was restored");
    }

    #[test]
    fn objects_of_one_owner_are_judged_anew() {
        let mut t = Table::default();
        put(&mut t, "x", &object("a", "m"));
        put(&mut t, "y", &object("b", "m"));
        let owner = |name: &str| Owner { namespace: "ns".into(), name: name.into() };
        assert!(t.invalidate_health(&owner("a")) && !t.invalidate_health(&owner("c")));
        assert_eq!(t.get("ns", "x").unwrap().verdict.status, crate::kstatus::Status::InProgress);
        assert_eq!(t.get("ns", "y").unwrap().verdict.status, crate::kstatus::Status::Current);
        assert_eq!(put(&mut t, "x", &object("a", "m")), ["a"], "the new verdict is told");
    }

    #[test]
    fn removal_is_told_once() {
        let mut t = Table::default();
        put(&mut t, "x", &object("a", "m"));
        assert_eq!(t.remove("ns", "x").unwrap().name, "a");
        assert_eq!(t.remove("ns", "x"), None);
        assert!(t.is_empty());
    }

    #[test]
    fn a_new_list_removes_what_it_lacks_and_leaves_the_rest_quiet() {
        let mut t = Table::default();
        put(&mut t, "x", &object("a", "m"));
        put(&mut t, "y", &object("b", "m"));
        t.begin_list(Instant::now());
        assert!(put(&mut t, "x", &object("a", "m")).is_empty());
        assert!(t.get("ns", "y").is_some());
        assert_eq!(t.end_list().iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(t.get("ns", "y").is_none() && t.get("ns", "x").is_some());
    }

    #[test]
    fn a_verdict_whose_time_is_over_fails_and_is_told() {
        let mut t = Table::default();
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let pod = |age: i64| {
            let mut pod = object("a", "m");
            pod["kind"] = "Pod".into();
            pod["metadata"]["creationTimestamp"] =
                Timestamp::from_second(start.as_second() - age).unwrap().to_string().into();
            pod["status"] = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
            reduce(&pod, &MANAGER, start, None)
        };
        t.put("ns", "old", pod(10));
        t.put("ns", "young", pod(3));
        let at = |s: i64| Timestamp::from_second(start.as_second() + s).unwrap();
        assert_eq!(t.expire(at(0)), (false, vec![], Some(at(5))));
        let (any, owners, next) = t.expire(at(5));
        assert_eq!((any, owners.len(), next), (true, 1, Some(at(12))));
        assert_eq!(t.get("ns", "old").unwrap().verdict.status, crate::kstatus::Status::Failed);
        assert_eq!(t.expire(at(12)).2, None);
    }

    #[test]
    fn an_observed_object_is_small() {
        assert!(size_of::<Slot>() <= 128, "{}", size_of::<Slot>());
    }

    #[test]
    fn events_up_to_the_newest_version_were_seen() {
        let mut t = Table::default();
        let now = Instant::now();
        let reached =
            |t: &Table, version: &str| t.has_reached(&Presence { resource_version: version.into(), at: now });
        assert!(!reached(&t, "1"));
        put(&mut t, "x", &at_version("10"));
        t.remove("ns", "x");
        assert!(reached(&t, "9") && reached(&t, "10") && !reached(&t, "11"));
        t.begin_list(now);
        put(&mut t, "x", &at_version("5"));
        t.end_list();
        assert!(reached(&t, "5") && !reached(&t, "9"), "the cluster was restored");
    }

    #[test]
    fn a_complete_list_shows_what_was_there_when_it_began() {
        let mut t = Table::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let reached = |t: &Table, at| t.has_reached(&Presence { resource_version: "10".into(), at });
        t.begin_list(after(1));
        assert!(!reached(&t, start), "it is not complete");
        t.end_list();
        assert!(reached(&t, start) && !reached(&t, after(1)) && !reached(&t, after(2)));
        t.begin_list(after(3));
        assert!(!reached(&t, after(2)), "the one that is complete began before");
        t.end_list();
        assert!(reached(&t, after(2)));
    }

    #[test]
    fn what_is_read_apart_from_the_watch_says_nothing_of_its_list_and_its_progress() {
        let mut t = Table::default();
        let reread = |t: &mut Table, version: &str| {
            t.reread("ns", "x", reduce(&at_version(version), &MANAGER, Timestamp::UNIX_EPOCH, None))
        };
        reread(&mut t, "10");
        assert!(t.is_empty(), "it may have gone since");
        put(&mut t, "x", &at_version("10"));
        for (version, seen) in [("12", "12"), ("11", "12")] {
            reread(&mut t, version);
            assert_eq!(&*t.get("ns", "x").unwrap().resource_version, seen);
        }
        assert!(!t.has_reached(&Presence { resource_version: "11".into(), at: Instant::now() }));
        t.begin_list(Instant::now());
        reread(&mut t, "12");
        assert_eq!(t.end_list().len(), 1, "the list lacks it");
        assert!(t.is_empty());
    }
}
