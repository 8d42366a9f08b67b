//! What one tenant uses, and who of it waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::sync::oneshot;

use crate::Request;

/// One that uses something or waits.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    pub used: u64,
    /// By host.
    hosts: HashMap<String, u64>,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    /// The numbers of those who ask for the same. No other one than the first of them can be the next.
    same: HashMap<Request, BTreeSet<u64>>,
    /// These firsts: cost and number.
    firsts: BTreeSet<(u64, u64)>,
}

#[derive(Debug)]
pub(crate) struct Waiting {
    pub request: Request,
    pub granted: oneshot::Sender<()>,
}

impl Tenant {
    /// What it uses at a host.
    pub fn at_host(&self, host: &str) -> u64 {
        self.hosts.get(host).copied().unwrap_or_default()
    }

    /// Counts what is granted.
    pub fn count(&mut self, request: &Request) {
        self.used = self.used.saturating_add(request.cost);
        if let Some(host) = &request.host {
            add(&mut self.hosts, &host.name, request.cost);
        }
    }

    /// Takes back what was granted.
    pub fn give_back(&mut self, request: &Request) {
        self.used = self.used.saturating_sub(request.cost);
        if let Some(host) = &request.host {
            subtract(&mut self.hosts, &host.name, request.cost);
        }
    }

    /// Takes in one that waits.
    pub fn wait(&mut self, number: u64, waiting: Waiting) {
        let same = self.same.entry(waiting.request.clone()).or_default();
        if same.is_empty() {
            self.firsts.insert((waiting.request.cost, number));
        }
        same.insert(number);
        self.waiting.insert(number, waiting);
    }

    /// Takes out one that waits.
    pub fn remove(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        let cost = waiting.request.cost;
        if let Some(same) = self.same.get_mut(&waiting.request) {
            same.remove(&number);
            let next = same.first().copied();
            if self.firsts.remove(&(cost, number)) {
                self.firsts.extend(next.map(|next| (cost, next)));
            }
            if next.is_none() {
                self.same.remove(&waiting.request);
            }
        }
        Some(waiting)
    }

    /// The number of the one who has waited for the longest.
    pub fn first(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|(number, _)| *number)
    }

    /// The one who has waited for the longest of those who ask for no more than its share has left, and of whom `is_ready` is true.
    pub fn first_ready(&self, share: u64, is_ready: impl Fn(&Request) -> bool) -> Option<(u64, &Request)> {
        let mut next = None;
        let mut cost = self.firsts.first().map(|(cost, _)| *cost);
        while let Some(asked) = cost.filter(|cost| self.is_within(share, *cost)) {
            let of_cost = self.firsts.range((asked, 0)..=(asked, u64::MAX));
            let mut waiting = of_cost.filter_map(|(_, number)| self.waiting.get_key_value(number));
            let ready = waiting.find(|(_, waiting)| is_ready(&waiting.request));
            let ready = ready.map(|(number, waiting)| (*number, &waiting.request));
            next = next.into_iter().chain(ready).min_by_key(|(number, _)| *number);
            let more = self.firsts.range((asked.saturating_add(1), 0)..).next();
            cost = more.map(|(cost, _)| *cost).filter(|cost| *cost > asked);
        }
        next
    }

    /// Whether a share has so much left for it. One that uses nothing may have more.
    pub fn is_within(&self, share: u64, cost: u64) -> bool {
        self.used == 0 || self.used.saturating_add(cost) <= share
    }

    pub fn is_idle(&self) -> bool {
        self.used == 0 && self.waiting.is_empty()
    }
}

/// Counts so much more.
pub(crate) fn add(counts: &mut HashMap<String, u64>, name: &str, cost: u64) {
    match counts.get_mut(name) {
        Some(count) => *count = count.saturating_add(cost),
        None => drop(counts.insert(name.to_owned(), cost)),
    }
}

/// Counts so much less; names that count nothing are forgotten.
pub(crate) fn subtract(counts: &mut HashMap<String, u64>, name: &str, cost: u64) {
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_sub(cost);
        if *count == 0 {
            counts.remove(name);
        }
    }
}
