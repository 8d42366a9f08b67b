//! The observed index: what is known about applied objects from watches, without asking.
//!
//! One watch for each kind, restricted to objects that carry an owner label, in the controller's own identity. Each
//! event is reduced on arrival and the object is dropped. The index only ever proves that work can be skipped: while a
//! watch is not [`WatchState::Synced`], nothing follows from what it holds.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use kube::core::GroupVersionKind;
use net::Backoff;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::kstatus::custom::{HealthRules, Rule};
use crate::manager::Manager;
use crate::mapper::Mapper;
use crate::object::ObjectId;
use crate::prepare::Owner;

mod table;
mod watch;

pub use table::{Observed, reduce};

use table::Table;

/// State of the watch of a kind or object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// The first list is not complete.
    Starting,
    /// What is not in the index does not exist (among the owned objects).
    Synced,
    /// The cluster does not serve the kind, so nothing of it exists. Tried again.
    NotServed(String),
    /// The controller may not watch this. Tried again.
    Forbidden(String),
    /// The watch fails and is tried again; what is in the index may be old.
    Failing(String),
}

/// Settings of an index.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// How long a watch without objects is kept after it was last asked for.
    pub idle: Duration,
    /// Waits before a failed watch is tried again.
    pub retry: Backoff,
    /// How old an answer of discovery may be by which a kind that was not served is looked for again.
    pub rediscovery: Duration,
    /// Objects per page of a list.
    pub page_size: u32,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(3600),
            retry: Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) },
            rediscovery: Duration::from_secs(30),
            page_size: 500,
        }
    }
}

/// An object that was there: in which version, and when that was known.
#[derive(Clone, Debug)]
pub struct Presence {
    /// Its resourceVersion.
    pub resource_version: Box<str>,
    /// A time at which whoever read or wrote it had the answer.
    pub at: Instant,
}

/// What a watch is for: a kind's owned objects, or a single object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    group: String,
    kind: String,
    /// Namespace and name.
    only: Option<(String, String)>,
    /// Judges the health of a single object. Those of owned objects are by owner.
    rule: Option<Arc<Rule>>,
}

impl Key {
    fn of(gvk: &GroupVersionKind, only: Option<(String, String)>) -> Self {
        Self { group: gvk.group.clone(), kind: gvk.kind.clone(), only, rule: None }
    }
}

struct Watch {
    table: Table,
    state: WatchState,
    last_asked: Instant,
    /// On whose behalf a single object is watched, and how often.
    subscribers: HashMap<Owner, usize>,
    /// Owners that asked for an object of which the next list will tell: what came and went between two watches is in no event.
    unsure: HashSet<Owner>,
    task: AbortHandle,
    /// Wakes the task from its wait after a failure.
    retry_now: Arc<Notify>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a table takes in an object: [`Table::put`] or [`Table::reread`].
type TakeIn = fn(&mut Table, &str, &str, Observed) -> (bool, Vec<Arc<Owner>>);

/// How the health of an owner's objects is judged, where the owner says so.
type Rules = HashMap<Owner, Arc<HealthRules>>;

#[derive(Default)]
struct State {
    watches: HashMap<Key, Watch>,
    /// Owners that have not been told yet.
    changed: BTreeSet<Owner>,
    /// One copy of each owner, shared by its objects.
    owners: HashSet<Arc<Owner>>,
    rules: Rules,
}

struct Shared {
    client: Client,
    manager: Manager,
    mapper: Arc<Mapper>,
    options: IndexOptions,
    state: Mutex<State>,
    /// An owner was added to those to be told.
    changed: Notify,
}

/// The index of one cluster. Clones share it; its watches end when the last clone is dropped.
///
/// # Flow
/// [`Self::ensure`] begins the watch of a kind. Its events are reduced to [`Observed`], which [`Self::get`] gives, and
/// [`Self::changed`] names the owners whom they concern.
///
/// # Guarantees
/// - While a watch is [`WatchState::Synced`], an owned object that is not in the index does not exist, up to the delay of the watch.
/// - An owner is told at least once of every change that it might act on, also of those during an outage of the watch. Of an object that
///   came and went during one it is told if it has asked for it ([`Self::has_gone`]).
/// - No content of an object is kept.
///
/// # Caveats
/// - The index proves that work can be skipped, nothing else: what it shows may be older than the last write, so that a caller
///   compares resource versions.
/// - A kind that discovery does not have is not watched, until somebody asks for it after it is there.
#[derive(Clone)]
pub struct Index {
    shared: Arc<Shared>,
}

impl Index {
    /// `client` is the controller's own for that cluster.
    pub fn new(client: Client, manager: Manager, mapper: Arc<Mapper>, options: IndexOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                client,
                manager,
                mapper,
                options,
                state: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }

    /// Watches the owned objects of a kind from now on, in the version the cluster prefers, and tells how that
    /// watch stands. A kind that was served before is looked for again at once; one that discovery does not have is not watched,
    /// so that made-up kinds cost nothing. Must be called within a Tokio runtime.
    pub fn ensure(&self, gvk: &GroupVersionKind) -> WatchState {
        let key = Key::of(gvk, None);
        let is_unknown = || self.shared.mapper.last_known(&gvk.group, &gvk.kind) == Some(false);
        if !self.shared.lock().watches.contains_key(&key) && is_unknown() {
            let (kind, group) = (&gvk.kind, &gvk.group);
            return WatchState::NotServed(format!("no matches for kind \"{kind}\" in group \"{group}\""));
        }
        self.watch(key, None)
    }

    /// What is known about an owned object, or one that is watched by [`Self::watch_object`].
    pub fn get(&self, id: &ObjectId) -> Option<Observed> {
        let kind = Key { group: id.group.clone(), kind: id.kind.clone(), only: None, rule: None };
        let single = Key { only: Some((id.namespace.clone(), id.name.clone())), ..kind.clone() };
        let state = self.shared.lock();
        let found = [kind, single]
            .iter()
            .find_map(|k| state.watches.get(k)?.table.get(&id.namespace, &id.name).cloned());
        drop(state);
        found
    }

    /// How many kinds and single objects are watched, and how many objects are kept of all of them.
    pub fn sizes(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.watches.len(), state.watches.values().map(|watch| watch.table.len()).sum())
    }

    /// Whether an owned object that was there has gone since: the watch of its kind has shown all that happened until then, and
    /// does not show the object. While that is not known, `owner` is told when the next list is complete.
    pub fn has_gone(&self, id: &ObjectId, last: &Presence, owner: &Owner) -> bool {
        let kind = Key { group: id.group.clone(), kind: id.kind.clone(), only: None, rule: None };
        let mut state = self.shared.lock();
        let Some(watch) = state.watches.get_mut(&kind) else { return false };
        if watch.table.get(&id.namespace, &id.name).is_some() {
            return false;
        }
        let is_known = watch.state == WatchState::Synced && watch.table.has_reached(last);
        if !is_known && !watch.unsure.contains(owner) {
            watch.unsure.insert(owner.clone());
        }
        is_known
    }

    /// Has the health of an owner's objects judged by these rules from now on, or by those of their kinds. What was seen
    /// before is judged anew. Must be called within a Tokio runtime.
    pub fn set_health_rules(&self, owner: &Owner, rules: Option<HealthRules>) {
        let rules = rules.filter(|rules| !rules.is_empty()).map(Arc::new);
        let mut state = self.shared.lock();
        let State { watches, rules: all, .. } = &mut *state;
        let before = match &rules {
            Some(rules) => all.insert(owner.clone(), rules.clone()),
            None => all.remove(owner),
        };
        if before == rules {
            return;
        }
        let rule =
            |rules: &Option<Arc<HealthRules>>, key: &Key| rules.as_ref()?.of(&key.group, &key.kind).cloned();
        for (key, watch) in watches.iter_mut().filter(|(key, _)| key.only.is_none()) {
            if rule(&before, key) != rule(&rules, key) && watch.table.invalidate_health(owner) {
                tokio::spawn(watch::reread_health(Arc::downgrade(&self.shared), key.clone(), owner.clone()));
            }
        }
    }

    /// Watches one object, owned or not, on behalf of `owner`, until the guard is dropped. Its changes are told to `owner`,
    /// whose rules judge it. Must be called within a Tokio runtime.
    pub fn watch_object(
        &self,
        gvk: &GroupVersionKind,
        namespace: &str,
        name: &str,
        owner: &Owner,
    ) -> ObjectWatch {
        let rules = self.shared.lock().rules.get(owner).cloned();
        let rule = rules.and_then(|rules| rules.of(&gvk.group, &gvk.kind).cloned());
        let key = Key { rule, ..Key::of(gvk, Some((namespace.to_owned(), name.to_owned()))) };
        self.watch(key.clone(), Some(owner));
        ObjectWatch { index: self.clone(), key, owner: owner.clone() }
    }

    /// Waits for owners with an object that appeared, changed its verdict, fingerprint or owner, or is gone, and takes
    /// them. An owner that changes again before it is taken is told once. For one caller at a time.
    pub async fn changed(&self) -> Vec<Owner> {
        loop {
            let changed = std::mem::take(&mut self.shared.lock().changed);
            if !changed.is_empty() {
                return changed.into_iter().collect();
            }
            self.shared.changed.notified().await;
        }
    }

    fn watch(&self, key: Key, subscriber: Option<&Owner>) -> WatchState {
        let mut state = self.shared.lock();
        let watch = state.watches.entry(key).or_insert_with_key(|key| {
            let retry_now = Arc::new(Notify::new());
            let task = watch::run(Arc::downgrade(&self.shared), key.clone(), retry_now.clone());
            Watch {
                table: Table::default(),
                state: WatchState::Starting,
                last_asked: Instant::now(),
                subscribers: HashMap::new(),
                unsure: HashSet::new(),
                task: tokio::spawn(task).abort_handle(),
                retry_now,
            }
        });
        let told = watch.state.clone();
        if matches!(watch.state, WatchState::NotServed(_)) {
            watch.state = WatchState::Starting;
            watch.retry_now.notify_one();
        }
        watch.last_asked = Instant::now();
        if let Some(owner) = subscriber {
            *watch.subscribers.entry(owner.clone()).or_default() += 1;
        }
        told
    }
}

impl State {
    /// The copy of an owner that its objects share.
    fn shared_owner(&mut self, owner: Arc<Owner>) -> Arc<Owner> {
        match self.owners.get(&owner) {
            Some(known) => known.clone(),
            None => {
                self.owners.insert(owner.clone());
                owner
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_of(&self, key: &Key) -> WatchState {
        self.lock().watches.get(key).map_or(WatchState::Starting, |w| w.state.clone())
    }

    /// Changes a watch. `change` tells whether that is news, and to which owners of objects; those on whose behalf a single
    /// object is watched hear all news.
    fn update(&self, key: &Key, change: impl FnOnce(&mut Watch, &Rules) -> (bool, Vec<Arc<Owner>>)) {
        let mut state = self.lock();
        let State { watches, changed, rules, .. } = &mut *state;
        let Some(watch) = watches.get_mut(key) else { return };
        let (is_news, owners) = change(watch, rules);
        if !is_news {
            return;
        }
        let before = changed.len();
        changed.extend(owners.iter().map(|owner| Owner::clone(owner)));
        changed.extend(watch.subscribers.keys().cloned());
        if changed.len() > before {
            self.changed.notify_one();
        }
    }

    fn begin_list(&self, key: &Key) {
        self.update(key, |watch, _| {
            watch.table.begin_list(Instant::now());
            if watch.state == WatchState::Synced {
                watch.state = WatchState::Starting;
            }
            (false, Vec::new())
        });
    }

    /// The rule that judges an object that has this owner.
    fn rule(&self, key: &Key, owner: Option<&Owner>) -> Option<Arc<Rule>> {
        rule_of(key, owner, &self.lock().rules).cloned()
    }

    /// Takes in an object that was judged by `rule`, as `take` says. `false`, and nothing is taken in, if another rule is to
    /// judge it by now.
    fn put(
        &self,
        key: &Key,
        (namespace, name): (&str, &str),
        mut observed: Observed,
        rule: Option<&Arc<Rule>>,
        take: TakeIn,
    ) -> bool {
        observed.owner = observed.owner.map(|owner| self.lock().shared_owner(owner));
        let mut judged = true;
        self.update(key, |watch, rules| {
            judged = rule_of(key, observed.owner.as_deref(), rules) == rule;
            if judged { take(&mut watch.table, namespace, name, observed) } else { (false, Vec::new()) }
        });
        judged
    }

    fn remove(&self, key: &Key, namespace: &str, name: &str) {
        self.update(key, |watch, _| (true, watch.table.remove(namespace, name).into_iter().collect()));
    }

    /// Gives when the next verdict of the watch will change by itself.
    fn expire(&self, key: &Key) -> Option<Timestamp> {
        let mut next = None;
        self.update(key, |watch, _| {
            let (any, owners, due) = watch.table.expire(Timestamp::now());
            next = due;
            (any, owners)
        });
        next
    }

    fn end_list(&self, key: &Key) {
        self.update(key, |watch, _| {
            let was_synced = std::mem::replace(&mut watch.state, WatchState::Synced) == WatchState::Synced;
            let mut owners = watch.table.end_list();
            owners.extend(std::mem::take(&mut watch.unsure).into_iter().map(Arc::new));
            // Owners notified while the watch was not Synced may have ignored the event: notify all of them again.
            if !was_synced {
                owners.extend(watch.table.owners());
            }
            (true, owners)
        });
        self.lock().owners.retain(|owner| Arc::strong_count(owner) > 1);
    }

    /// The watch failed. If the kind is not served, its objects are gone.
    fn failed(&self, key: &Key, failure: WatchState) {
        self.update(key, |watch, _| {
            let is_news = watch.state != failure;
            let mut owners = Vec::new();
            if matches!(failure, WatchState::NotServed(_)) {
                watch.table.begin_list(Instant::now());
                owners = watch.table.end_list();
            }
            watch.state = failure;
            (is_news, owners)
        });
    }

    /// Ends a watch that has nothing to watch and that nobody asked for in a long time.
    fn retire(&self, key: &Key) -> bool {
        let mut state = self.lock();
        let is_unneeded = state.watches.get(key).is_none_or(|w| {
            w.table.is_empty() && w.subscribers.is_empty() && w.last_asked.elapsed() >= self.options.idle
        });
        if is_unneeded {
            state.watches.remove(key);
        }
        is_unneeded
    }
}

/// The rule that judges an object: that of the watch if it is of one object, else that of the object's owner.
fn rule_of<'a>(key: &'a Key, owner: Option<&Owner>, rules: &'a Rules) -> Option<&'a Arc<Rule>> {
    match &key.only {
        Some(_) => key.rule.as_ref(),
        None => rules.get(owner?)?.of(&key.group, &key.kind),
    }
}

/// Keeps one object watched.
pub struct ObjectWatch {
    index: Index,
    key: Key,
    owner: Owner,
}

impl ObjectWatch {
    /// How the watch stands. When synced, an object that is not in the index does not exist.
    pub fn state(&self) -> WatchState {
        self.index.shared.state_of(&self.key)
    }

    /// What is known about the object.
    pub fn get(&self) -> Option<Observed> {
        let (namespace, name) = self.key.only.as_ref()?;
        let state = self.index.shared.lock();
        let table = &state.watches.get(&self.key)?.table;
        // Cluster-scoped objects have no namespace, whatever was asked for.
        table.get(namespace, name).or_else(|| table.get("", name)).cloned()
    }
}

impl Drop for ObjectWatch {
    fn drop(&mut self) {
        let mut state = self.index.shared.lock();
        let Some(watch) = state.watches.get_mut(&self.key) else { return };
        if let Some(count) = watch.subscribers.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                watch.subscribers.remove(&self.owner);
            }
        }
        if watch.subscribers.is_empty() {
            state.watches.remove(&self.key);
        }
    }
}
