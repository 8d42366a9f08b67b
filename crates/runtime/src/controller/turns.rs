//! Whose pass may begin: a share of the passes for each namespace.
//!
//! A controller has `--concurrent` passes for a namespace, and one more for all together: with passes that hang, a namespace keeps
//! no other one from going on, and one that has all the work loses nothing.
//!
//! # Flow
//! An object that is due asks for its turn ([`Turns::take`]). If there is none it gets a place among those who wait, and holds
//! nothing else. The end of a pass gives its turn to the one who is next, and brings that object back, which takes it then.
//!
//! # Guarantees
//! - Of the objects that wait, that goes on whose namespace has the fewest passes; among equals, the one that was due first.
//! - An object has one place at most, however often it is due meanwhile.
//! - An object that is gone has no place, and no turn that it did not take.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use budget::{Budget, Limits, Pending, Request};
use futures::Stream;
use kube::{Resource, runtime::reflector::ObjectRef};

use super::Waker;

/// The passes that a controller may run at once, and the objects that wait for one.
pub(super) struct Turns<K: Resource> {
    budget: Budget,
    places: Mutex<Places<K>>,
    waker: Waker<K>,
}

struct Places<K: Resource> {
    waiting: HashMap<ObjectRef<K>, Pending>,
    /// Of objects that are brought back and have not come yet.
    granted: HashMap<ObjectRef<K>, Pending>,
}

impl<K: Resource<DynamicType = ()>> Places<K> {
    fn remove(&mut self, object: &ObjectRef<K>) -> Option<Pending> {
        self.granted.remove(object).or_else(|| self.waiting.remove(object))
    }
}

/// The right to run one pass, until this is dropped.
pub(super) struct Turn<K: Resource<DynamicType = ()> + 'static> {
    /// Taken when the turn ends.
    place: Option<Pending>,
    turns: Arc<Turns<K>>,
}

impl<K: Resource<DynamicType = ()> + 'static> Turns<K> {
    /// Turns for `concurrent` passes of one namespace.
    pub fn new(concurrent: u16) -> Arc<Self> {
        let tenant = u64::from(concurrent);
        Arc::new(Self {
            budget: Budget::new(Limits { process: tenant + 1, tenant }),
            places: Mutex::new(Places { waiting: HashMap::new(), granted: HashMap::new() }),
            waker: Waker::default(),
        })
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
    pub fn take(self: &Arc<Self>, object: &ObjectRef<K>) -> Option<Turn<K>> {
        // Held over all of it: who gets a turn meanwhile is found among those who wait, or has it already.
        let mut places = self.places();
        let mut place = places.remove(object).unwrap_or_else(|| {
            self.budget.enter(Request::new(object.namespace.as_deref().unwrap_or_default(), 1))
        });
        if place.is_granted() {
            return Some(Turn { place: Some(place), turns: self.clone() });
        }
        places.waiting.insert(object.clone(), place);
        None
    }

    /// The object is gone: its place goes, or the turn that it has not taken yet.
    pub fn forget(&self, object: &ObjectRef<K>) {
        let known = self.places().remove(object);
        if known.is_some() {
            drop(known);
            self.bring_back();
        }
    }

    /// Brings back those who got a turn by what was given back.
    fn bring_back(&self) {
        let mut places = self.places();
        let granted: Vec<_> = places.waiting.extract_if(|_, place| place.is_granted()).collect();
        for (object, place) in granted {
            places.granted.insert(object.clone(), place);
            self.waker.wake(object);
        }
    }

    fn places(&self) -> MutexGuard<'_, Places<K>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Drop for Turn<K> {
    fn drop(&mut self) {
        drop(self.place.take());
        self.turns.bring_back();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
