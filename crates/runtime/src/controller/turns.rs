//! Whose pass may begin: a share of the passes for each namespace.
//!
//! A controller has `--concurrent` passes for a namespace, and one more for all together: with passes that hang, a namespace keeps
//! no other one from going on, and one that has all the work loses nothing.
//!
//! # Flow
//! An object that is due asks for its turn ([`Turns::take`]). If there is none it gets a place among those who wait, and holds
//! nothing else. The end of a pass gives its turn to the one who is next, which brings that object back, and it takes it then.
//!
//! A pass that waits for another server, which may be dead, goes on without its turn ([`give_up_turn`]), so that those who wait for
//! none of it are not held up.
//!
//! # Guarantees
//! - Of the objects that wait, that goes on whose namespace has the fewest passes; among equals, the one that was due first.
//! - An object has one place at most, however often it is due meanwhile.
//! - An object that is gone has no place, and no turn that it did not take.
//! - There are no more passes without a turn than [`WITHOUT_TURN`] says.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Wake},
};

use budget::{Bound, Budget, Grant, Limits, Pending, Request};
use futures::Stream;
use kube::{Resource, runtime::reflector::ObjectRef};

use super::Waker;

/// Passes of a namespace that go on without a turn, for each that may have one; all together may be as many as of this many
/// namespaces.
const WITHOUT_TURN: u64 = 16;
const NAMESPACES: u64 = 4;

tokio::task_local! {
    /// That of the pass.
    static TURN: Arc<Turn>;
}

/// Lets another pass begin in place of this one, which waits for a server that others do not need. This one goes on without a turn,
/// unless there are too many of those. Does nothing outside of a pass.
pub fn give_up_turn() {
    // There is none where no controller runs, as in the tests of others.
    let _ = TURN.try_with(|turn| turn.give_up());
}

/// The passes that a controller may run at once, and the objects that wait for one.
pub(super) struct Turns<K: Resource> {
    budget: Budget,
    /// For passes that have given up their turn.
    without: Budget,
    /// Of objects that wait, and of those that are brought back and have not come yet.
    places: Mutex<HashMap<ObjectRef<K>, Pending>>,
    waker: Waker<K>,
}

/// The right to run one pass, until this is dropped.
pub(super) struct Turn {
    namespace: String,
    without: Budget,
    right: Mutex<Right>,
}

/// What a pass goes on by.
enum Right {
    Turn { _place: Pending },
    WithoutTurn { _grant: Grant },
}

impl Turn {
    /// Runs a pass that may give up its turn.
    pub async fn run<T>(self, pass: impl Future<Output = T>) -> T {
        TURN.scope(Arc::new(self), pass).await
    }

    fn give_up(&self) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if let Right::Turn { .. } = &*right {
            let mut without = self.without.start(&self.namespace);
            if without.try_grow(1).is_ok() {
                *right = Right::WithoutTurn { _grant: without };
            }
        }
    }
}

/// Brings an object back that gets a turn by what was given back.
struct BringBack<K: Resource<DynamicType = ()> + 'static> {
    object: ObjectRef<K>,
    waker: Waker<K>,
}

impl<K: Resource<DynamicType = ()> + 'static> Wake for BringBack<K> {
    fn wake(self: Arc<Self>) {
        self.waker.wake(self.object.clone());
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Turns<K> {
    /// Turns for `concurrent` passes of one namespace.
    pub fn new(concurrent: u16) -> Self {
        let tenant = u64::from(concurrent);
        let budget = Budget::new(Limits { process: tenant + 1, tenant });
        let without = tenant * WITHOUT_TURN;
        let without = Budget::new(Limits { process: without * NAMESPACES, tenant: without });
        Self { budget, without, places: Mutex::default(), waker: Waker::default() }
    }

    /// What the turns are counted in: one for each pass.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Objects whose turn has come, for the one controller of this kind.
    pub fn come(&self) -> impl Stream<Item = ObjectRef<K>> + Send + use<K> {
        self.waker.stream()
    }

    /// The turn of an object that is due. Without one the object keeps its place, and is brought back.
    pub fn take(&self, object: &ObjectRef<K>) -> Option<Turn> {
        // Held over all of it: who is brought back meanwhile finds its place.
        let mut places = self.places();
        let mut place = places.remove(object).unwrap_or_else(|| {
            self.budget.enter(Request::new(object.namespace.as_deref().unwrap_or_default(), 1))
        });
        let bring_back = BringBack { object: object.clone(), waker: self.waker.clone() };
        let waker = Arc::new(bring_back).into();
        if place.poll_granted(&mut Context::from_waker(&waker)).is_ready() {
            let namespace = object.namespace.clone().unwrap_or_default();
            return Some(Turn {
                namespace,
                without: self.without.clone(),
                right: Mutex::new(Right::Turn { _place: place }),
            });
        }
        places.insert(object.clone(), place);
        None
    }

    /// What an object waits for that has a place.
    pub fn waits_for(&self, object: &ObjectRef<K>) -> Option<Bound> {
        self.places()
            .contains_key(object)
            .then(|| self.budget.bound(&Request::new(object.namespace.as_deref().unwrap_or_default(), 1)))
    }

    /// The object is gone: its place goes, or the turn that it has not taken yet.
    pub fn forget(&self, object: &ObjectRef<K>) {
        self.places().remove(object);
    }

    fn places(&self) -> MutexGuard<'_, HashMap<ObjectRef<K>, Pending>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
