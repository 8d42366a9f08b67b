//! Slots for fetches, and for builds: the process has so many, one namespace gets no more than its share, and one host no more
//! than its limit.
//!
//! Who waits holds nothing that others could use. Of those who could go on, the one whose namespace has the fewest slots does;
//! among equals, the one that came first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime::metrics::{Metrics, Sample};
use tokio::sync::Notify;

/// How much may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotLimits {
    /// In the process.
    pub all: usize,
    /// For the objects of one namespace.
    pub namespace: usize,
}

/// Slots of a process.
pub struct Slots {
    limits: SlotLimits,
    state: Mutex<State>,
}

/// For whom a slot is, and what it counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRequest {
    /// The namespace of the object.
    pub namespace: String,
    /// The host that is asked.
    pub host: String,
    /// How many fetches may ask this host at once.
    pub host_limit: usize,
}

/// The right to go on, or to wait for that. It is given back when this is dropped.
pub struct Slot {
    slots: Arc<Slots>,
    request: SlotRequest,
    number: u64,
}

#[derive(Default)]
struct State {
    taken: usize,
    namespaces: HashMap<String, usize>,
    hosts: HashMap<String, usize>,
    /// In the order in which they came. None of them could go on now.
    waiting: BTreeMap<u64, (SlotRequest, Arc<Notify>)>,
    next_number: u64,
}

impl Slots {
    /// Slots that are all free.
    pub fn new(limits: SlotLimits) -> Arc<Slots> {
        Arc::new(Slots { limits, state: Mutex::default() })
    }

    /// Waits for a slot.
    pub async fn take(self: &Arc<Self>, request: SlotRequest) -> Slot {
        let (slot, granted) = self.enter(request);
        granted.notified().await;
        slot
    }

    /// Shows in the metrics how many are taken, and how many wait; `work` is what they are for.
    pub fn show(self: &Arc<Self>, work: &'static str, metrics: &Metrics) {
        let slots = self.clone();
        metrics.live(move || {
            let state = slots.state();
            let numbers =
                [("limit", slots.limits.all), ("taken", state.taken), ("waiting", state.waiting.len())];
            let sample = |(kind, number): (&'static str, usize)| Sample {
                name: "gotk_slots",
                help: "How much work of a sort may be under way, is under way, and waits for that.",
                labels: vec![("state", kind.to_owned()), ("work", work.to_owned())],
                value: number as f64,
            };
            numbers.map(sample).to_vec()
        });
    }

    /// Takes a slot, or a place among those who wait.
    fn enter(self: &Arc<Self>, request: SlotRequest) -> (Slot, Arc<Notify>) {
        let (mut state, granted) = (self.state(), Arc::new(Notify::new()));
        let number = state.next_number;
        state.next_number += 1;
        if state.is_free(&request, self.limits) {
            state.count(&request);
            granted.notify_one();
        } else {
            state.waiting.insert(number, (request.clone(), granted.clone()));
        }
        (Slot { slots: self.clone(), request, number }, granted)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        if state.waiting.remove(&self.number).is_none() {
            state.give_back(&self.request);
            state.grant(self.slots.limits);
        }
    }
}

impl State {
    fn of_namespace(&self, request: &SlotRequest) -> usize {
        self.namespaces.get(&request.namespace).copied().unwrap_or_default()
    }

    fn is_free(&self, request: &SlotRequest, limits: SlotLimits) -> bool {
        self.taken < limits.all
            && self.of_namespace(request) < limits.namespace
            && self.hosts.get(&request.host).copied().unwrap_or_default() < request.host_limit
    }

    fn count(&mut self, request: &SlotRequest) {
        self.taken += 1;
        *self.namespaces.entry(request.namespace.clone()).or_default() += 1;
        *self.hosts.entry(request.host.clone()).or_default() += 1;
    }

    fn give_back(&mut self, request: &SlotRequest) {
        self.taken = self.taken.saturating_sub(1);
        decrement(&mut self.namespaces, &request.namespace);
        decrement(&mut self.hosts, &request.host);
    }

    /// Lets go on whoever can.
    fn grant(&mut self, limits: SlotLimits) {
        while self.taken < limits.all {
            let ready = self.waiting.iter().filter(|(_, (request, _))| self.is_free(request, limits));
            let next = ready.min_by_key(|(number, (request, _))| (self.of_namespace(request), **number));
            let Some(number) = next.map(|(number, _)| *number) else { break };
            let Some((request, granted)) = self.waiting.remove(&number) else { break };
            self.count(&request);
            granted.notify_one();
        }
    }
}

/// Counts one less; names that count nothing are forgotten.
fn decrement(counts: &mut HashMap<String, usize>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(name);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn slots(all: usize, namespace: usize) -> Arc<Slots> {
        Slots::new(SlotLimits { all, namespace })
    }

    fn request(namespace: &str, host: &str) -> SlotRequest {
        SlotRequest { namespace: namespace.to_owned(), host: host.to_owned(), host_limit: 3 }
    }

    /// A slot that is free now.
    fn taken(slots: &Arc<Slots>, namespace: &str, host: &str) -> Option<Slot> {
        slots.take(request(namespace, host)).now_or_never()
    }

    #[test]
    fn the_process_a_namespace_and_a_host_have_so_many_slots() {
        let slots = slots(6, 4);
        let of_host: Vec<_> = (0..5).filter_map(|_| taken(&slots, "a", "one")).collect();
        assert_eq!(of_host.len(), 3, "of one host");
        let of_namespace: Vec<_> = (0..5).filter_map(|n| taken(&slots, "a", &n.to_string())).collect();
        assert_eq!(of_namespace.len(), 1, "of one namespace");
        let of_others: Vec<_> = (0..5).filter_map(|n| taken(&slots, "b", &n.to_string())).collect();
        assert_eq!(of_others.len(), 2, "of all");
        drop((of_host, of_namespace, of_others));
        let state = slots.state();
        assert_eq!((state.taken, state.namespaces.len(), state.hosts.len()), (0, 0, 0));
    }

    #[test]
    fn who_waits_for_a_host_or_a_share_keeps_nobody_else_waiting() {
        let slots = slots(10, 3);
        let _held: Vec<_> = (0..3).map(|_| taken(&slots, "a", "slow").unwrap()).collect();
        let _share = slots.enter(request("a", "shared"));
        let _host = slots.enter(request("b", "slow"));
        assert!(taken(&slots, "b", "shared").is_some() && taken(&slots, "c", "shared").is_some());
    }

    #[test]
    fn a_free_slot_goes_to_the_namespace_that_has_the_fewest() {
        let slots = slots(3, 3);
        let held: Vec<_> = (0..3).map(|n| taken(&slots, "many", &n.to_string()).unwrap()).collect();
        let mut waiting: Vec<_> = ["many", "many", "few", "none"]
            .iter()
            .map(|namespace| (*namespace, slots.enter(request(namespace, namespace))))
            .collect();
        let mut order = Vec::new();
        for slot in held {
            drop(slot);
            let went =
                waiting.iter().position(|(_, (_, granted))| granted.notified().now_or_never().is_some());
            order.push(waiting.remove(went.unwrap()));
        }
        assert_eq!(
            order.iter().map(|(namespace, _)| *namespace).collect::<Vec<_>>(),
            ["few", "none", "many"]
        );
    }

    #[test]
    fn slots_show_in_the_metrics() {
        let (slots, metrics) = (slots(2, 1), Metrics::new().unwrap());
        slots.show("fetch", &metrics);
        let _taken = taken(&slots, "a", "h").unwrap();
        let _waiting = [slots.enter(request("a", "h")), slots.enter(request("a", "i"))];
        let text = metrics.render();
        for (state, number) in [("limit", 2), ("taken", 1), ("waiting", 2)] {
            let line = format!("gotk_slots{{state=\"{state}\",work=\"fetch\"}} {number}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }

    #[test]
    fn who_gives_up_waiting_leaves_nothing_behind() {
        let slots = slots(1, 1);
        let held = taken(&slots, "a", "h").unwrap();
        let (given_up, _) = slots.enter(request("b", "h"));
        let granted_unseen = slots.enter(request("c", "h"));
        drop(given_up);
        drop(held);
        assert!(taken(&slots, "d", "h").is_none(), "granted");
        drop(granted_unseen);
        assert!(taken(&slots, "d", "h").is_some() && slots.state().waiting.is_empty());
    }
}
