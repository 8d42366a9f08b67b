//! The queue before a sink: bounded in events and bytes, and no namespace has more than half of either.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc;

use super::Event;

/// What a queue holds at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub events: usize,
    pub bytes: usize,
}

/// Events and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    events: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Room {
    limits: Limits,
    taken: Mutex<HashMap<String, Load>>,
}

/// The end that events go in. Clones share.
#[derive(Clone)]
pub(super) struct Sender {
    room: Arc<Room>,
    queue: mpsc::Sender<Queued>,
}

/// The end that they come out.
pub(super) type Receiver = mpsc::Receiver<Queued>;

/// An event that takes up room until it is dropped.
pub(super) struct Queued {
    event: Event,
    bytes: usize,
    room: Arc<Room>,
}

/// An empty queue.
pub(super) fn queue(limits: Limits) -> (Sender, Receiver) {
    let (queue, receiver) = mpsc::channel(limits.events.max(1));
    (Sender { room: Arc::new(Room { limits, taken: Mutex::default() }), queue }, receiver)
}

impl Sender {
    /// Puts an event in without waiting. `false` if there is no room for it.
    pub fn try_send(&self, event: Event) -> bool {
        let bytes = size(&event);
        let namespace = event.object.namespace.clone().unwrap_or_default();
        if !self.room.take(namespace, bytes) {
            return false;
        }
        let queued = Queued { event, bytes, room: self.room.clone() };
        self.queue.try_send(queued).is_ok()
    }
}

impl Room {
    fn take(&self, namespace: String, bytes: usize) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all = taken.values().fold(Load::default(), |sum, load| sum.with(load.bytes, load.events));
        let own = taken.get(&namespace).copied().unwrap_or_default().with(bytes, 1);
        let share = Limits { events: self.limits.events.div_ceil(2), bytes: self.limits.bytes.div_ceil(2) };
        let fits = own.fits(share) && all.with(bytes, 1).fits(self.limits);
        if fits {
            taken.insert(namespace, own);
        }
        fits
    }

    fn give_back(&self, namespace: &str, bytes: usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = taken.get_mut(namespace) {
            load.events = load.events.saturating_sub(1);
            load.bytes = load.bytes.saturating_sub(bytes);
            if load.events == 0 {
                taken.remove(namespace);
            }
        }
    }
}

impl Load {
    fn with(self, bytes: usize, events: usize) -> Self {
        Self { events: self.events.saturating_add(events), bytes: self.bytes.saturating_add(bytes) }
    }

    fn fits(self, limits: Limits) -> bool {
        self.events <= limits.events && self.bytes <= limits.bytes
    }
}

impl Deref for Queued {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.event
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.room.give_back(self.event.object.namespace.as_deref().unwrap_or_default(), self.bytes);
    }
}

/// Bytes of the texts of an event.
fn size(event: &Event) -> usize {
    let annotations = event.annotations.iter().map(|(key, value)| key.len() + value.len());
    event.message.len() + event.reason.len() + annotations.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Severity, action};
    use k8s_openapi::api::core::v1::ConfigMap;

    const LIMITS: Limits = Limits { events: 10, bytes: 1000 };

    fn event(namespace: &str, bytes: usize) -> Event {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some(namespace.into());
        Event::new(&object, Severity::Info, action::RECONCILE, "", "x".repeat(bytes))
    }

    #[tokio::test]
    async fn a_namespace_has_half_of_the_events_and_of_the_bytes() {
        let (sender, _receiver) = queue(LIMITS);
        let sent = |namespace, bytes| (0..20).filter(|_| sender.try_send(event(namespace, bytes))).count();
        assert_eq!(sent("a", 1), 5);
        assert_eq!(sent("b", 200), 2);
        assert_eq!(sent("c", 1), 3, "all together are no more than ten");
    }

    #[tokio::test]
    async fn room_is_given_back_when_an_event_is_done_with() {
        let (sender, mut receiver) = queue(LIMITS);
        for _ in 0..100 {
            assert!(sender.try_send(event("a", 500)));
            let taken = receiver.recv().await;
            assert!(!sender.try_send(event("a", 500)), "it still takes room");
            drop(taken);
        }
        assert!(sender.room.taken.lock().is_ok_and(|taken| taken.is_empty()));
    }
}
