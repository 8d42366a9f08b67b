//! Who waits for which HelmRelease, and is woken when that changes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use api::HelmRelease;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use runtime::controller::Waker;
use runtime::index::{Index, Referrers};

use crate::dependencies::is_ready;

type Key = ObjectRef<HelmRelease>;

/// Who waits for whom.
#[derive(Default)]
pub struct Dependents {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The version of each.
    seen: Index<Key, Option<String>>,
    /// Whether each is ready.
    ready: Index<Key, bool>,
    /// Who waits until it is ready.
    for_readiness: Referrers<Key, Key>,
    /// Who waits for any change, for an expression looks at it.
    for_change: Referrers<Key, Key>,
}

impl Dependents {
    /// Takes in a watch event, and wakes those who wait for what changed.
    pub fn observe(&self, event: &Event<HelmRelease>, waker: &Waker<HelmRelease>) {
        let mut state = self.lock();
        let changed =
            state.seen.observe(event, |object| (ObjectRef::from_obj(object), object.resource_version()));
        let switched = state.ready.observe(event, |object| (ObjectRef::from_obj(object), is_ready(object)));
        let woken: Vec<Key> = changed
            .iter()
            .flat_map(|key| state.for_change.of(key))
            .chain(switched.iter().flat_map(|key| state.for_readiness.of(key)))
            .cloned()
            .collect();
        drop(state);
        woken.into_iter().for_each(|dependent| waker.wake(dependent));
    }

    /// Has `dependent` woken when one of these becomes ready, or changes in any way. To be called before looking at them, so that
    /// no change falls between.
    pub fn wait(&self, dependent: &Key, for_readiness: Vec<Key>, for_change: Vec<Key>) {
        let mut state = self.lock();
        state.for_readiness.set(dependent, for_readiness);
        state.for_change.set(dependent, for_change);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
