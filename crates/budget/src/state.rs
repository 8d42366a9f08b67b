//! Who uses what, and who is next.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use tokio::sync::oneshot;

use crate::{Bound, Host, Limits, Request};

#[derive(Debug, Default)]
pub(crate) struct State {
    used: u64,
    tenants: HashMap<String, u64>,
    hosts: HashMap<String, u64>,
    /// By host and tenant.
    host_tenants: HashMap<(String, String), u64>,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    next_number: u64,
    pub refused: u64,
}

#[derive(Debug)]
struct Waiting {
    request: Request,
    granted: oneshot::Sender<()>,
}

impl State {
    /// Takes a place among those who wait.
    pub fn wait(&mut self, request: Request) -> (u64, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.insert(number, Waiting { request, granted: sender });
        (number, receiver)
    }

    /// Counts a request at once.
    pub fn start(&mut self, request: &Request) -> u64 {
        self.count(request);
        self.next_number += 1;
        self.next_number - 1
    }

    /// Lets go on whoever can.
    pub fn grant(&mut self, limits: Limits) {
        while self.used < limits.process {
            let ready =
                self.waiting.iter().filter(|(_, Waiting { request, .. })| self.is_ready(request, limits));
            let next = ready
                .map(|(number, Waiting { request, .. })| {
                    (self.of_tenant(&request.tenant), *number, request.cost)
                })
                .min();
            let Some((_, number, cost)) = next else { return };
            if self.used.saturating_add(cost) > limits.process {
                return;
            }
            let Some(Waiting { request, granted }) = self.waiting.remove(&number) else { return };
            self.count(&request);
            // Whoever is gone already gives back what it got.
            let _ = granted.send(());
        }
    }

    /// Takes somebody out of those who wait, or back what it was granted.
    pub fn leave(&mut self, number: u64, request: &Request) {
        if self.waiting.remove(&number).is_some() {
            return;
        }
        self.give_back(request);
    }

    /// Takes back what was granted.
    pub fn give_back(&mut self, request: &Request) {
        self.used = self.used.saturating_sub(request.cost);
        subtract(&mut self.tenants, &request.tenant, request.cost);
        if let Some(host) = &request.host {
            subtract(&mut self.hosts, &host.name, request.cost);
            let key = (host.name.clone(), request.tenant.clone());
            subtract(&mut self.host_tenants, &key, request.cost);
        }
    }

    pub fn of_tenant(&self, tenant: &str) -> u64 {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    pub fn used(&self) -> u64 {
        self.used
    }

    pub fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// What keeps a request waiting.
    pub fn bound(&self, request: &Request, limits: Limits) -> Bound {
        if !self.is_within_share(request, limits) {
            return Bound::Tenant(limits.tenant);
        }
        match &request.host {
            Some(host) if !self.is_within_host_share(request, host) => Bound::HostTenant(host.tenant),
            Some(host) if !self.is_within_host(request, host) => Bound::Host(host.limit),
            _ => Bound::Process(limits.process),
        }
    }

    fn is_within_share(&self, request: &Request, limits: Limits) -> bool {
        let used = self.of_tenant(&request.tenant);
        used == 0 || used.saturating_add(request.cost) <= limits.tenant
    }

    fn is_within_host(&self, request: &Request, host: &Host) -> bool {
        let used = self.hosts.get(&host.name).copied().unwrap_or_default();
        used.saturating_add(request.cost) <= host.limit
    }

    fn is_within_host_share(&self, request: &Request, host: &Host) -> bool {
        let key = (host.name.clone(), request.tenant.clone());
        let used = self.host_tenants.get(&key).copied().unwrap_or_default();
        used.saturating_add(request.cost) <= host.tenant
    }

    /// Whether nothing but what the process has keeps a request waiting.
    pub fn is_ready(&self, request: &Request, limits: Limits) -> bool {
        self.is_within_share(request, limits)
            && request.host.as_ref().is_none_or(|host| {
                self.is_within_host(request, host) && self.is_within_host_share(request, host)
            })
    }

    /// Counts what is granted.
    pub fn count(&mut self, request: &Request) {
        self.used = self.used.saturating_add(request.cost);
        *self.tenants.entry(request.tenant.clone()).or_default() += request.cost;
        if let Some(host) = &request.host {
            *self.hosts.entry(host.name.clone()).or_default() += request.cost;
            let key = (host.name.clone(), request.tenant.clone());
            *self.host_tenants.entry(key).or_default() += request.cost;
        }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.used == 0
            && self.tenants.is_empty()
            && self.hosts.is_empty()
            && self.host_tenants.is_empty()
            && self.waiting.is_empty()
    }
}

/// Counts so much less; names that count nothing are forgotten.
fn subtract<K, Q>(counts: &mut HashMap<K, u64>, name: &Q, cost: u64)
where
    K: Borrow<Q> + Eq + Hash,
    Q: Eq + Hash + ?Sized,
{
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_sub(cost);
        if *count == 0 {
            counts.remove(name);
        }
    }
}
