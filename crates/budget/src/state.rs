//! Who uses what, and who is next.
//!
//! Whoever gives something back asks who is next, so that must not take longer the more there are who wait. Tenants are looked at
//! in the order in which they would be next, up to the first one that waits neither for its share nor for a host. Of its requests
//! those that ask for the same are looked at once.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::oneshot;

use crate::tenant::{Tenant, Waiting, add, subtract};
use crate::{Bound, Host, Limits, Request};

#[derive(Debug, Default)]
pub(crate) struct State {
    used: u64,
    hosts: HashMap<String, u64>,
    tenants: HashMap<String, Tenant>,
    /// Tenants of those who wait, by what they use and the number of the first who waits.
    order: BTreeMap<(u64, u64), String>,
    waiting: u64,
    next_number: u64,
    pub refused: u64,
    /// How many tenants and requests were looked at to find out who is next.
    #[cfg(test)]
    pub looks: std::cell::Cell<u64>,
}

impl State {
    /// Takes a place among those who wait.
    pub fn wait(&mut self, request: Request) -> (u64, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        let number = self.number();
        self.waiting += 1;
        let tenant = request.tenant.clone();
        self.change(&tenant, |tenant| tenant.wait(number, Waiting { request, granted: sender }));
        (number, receiver)
    }

    /// Counts a request at once.
    pub fn start(&mut self, request: &Request) -> u64 {
        self.count(request);
        self.number()
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Lets go on whoever can.
    pub fn grant(&mut self, limits: Limits) {
        while self.used < limits.process {
            let Some((number, request)) = self.next(limits) else { return };
            if self.used.saturating_add(request.cost) > limits.process {
                return;
            }
            let tenant = request.tenant.clone();
            let Some(Waiting { request, granted }) = self.remove(&tenant, number) else { return };
            self.count(&request);
            // Whoever is gone already gives back what it got.
            let _ = granted.send(());
        }
    }

    /// The one whose tenant uses the least of those whom only what the process has keeps waiting, and of them the first.
    fn next(&self, limits: Limits) -> Option<(u64, &Request)> {
        let mut next: Option<(u64, u64, &Request)> = None;
        for (&(used, first), tenant) in &self.order {
            if next.is_some_and(|(least, number, _)| (least, number) < (used, first)) {
                break;
            }
            self.look();
            let ready = self.tenants.get(tenant).and_then(|tenant| {
                tenant.first_ready(limits.tenant, |request| {
                    self.look();
                    self.is_host_ready(request)
                })
            });
            let ready = ready.map(|(number, request)| (used, number, request));
            next = next.into_iter().chain(ready).min_by_key(|(used, number, _)| (*used, *number));
        }
        next.map(|(_, number, request)| (number, request))
    }

    fn look(&self) {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
    }

    /// Takes somebody out of those who wait, or back what it was granted.
    pub fn leave(&mut self, number: u64, request: &Request) {
        if self.remove(&request.tenant, number).is_none() {
            self.give_back(request);
        }
    }

    fn remove(&mut self, tenant: &str, number: u64) -> Option<Waiting> {
        let removed = self.change(tenant, |tenant| tenant.remove(number))?;
        self.waiting -= 1;
        Some(removed)
    }

    /// Counts what is granted.
    pub fn count(&mut self, request: &Request) {
        self.used = self.used.saturating_add(request.cost);
        if let Some(host) = &request.host {
            add(&mut self.hosts, &host.name, request.cost);
        }
        self.change(&request.tenant, |tenant| tenant.count(request));
    }

    /// Takes back what was granted.
    pub fn give_back(&mut self, request: &Request) {
        self.used = self.used.saturating_sub(request.cost);
        if let Some(host) = &request.host {
            subtract(&mut self.hosts, &host.name, request.cost);
        }
        self.change(&request.tenant, |tenant| tenant.give_back(request));
    }

    /// Changes a tenant, and its place in the order with it. One that neither uses anything nor waits is forgotten.
    fn change<T>(&mut self, name: &str, change: impl FnOnce(&mut Tenant) -> T) -> T {
        let known = self.tenants.remove_entry(name);
        let (name, mut tenant) = known.unwrap_or_else(|| (name.to_owned(), Tenant::default()));
        let place = |tenant: &Tenant| tenant.first().map(|first| (tenant.used, first));
        let before = place(&tenant);
        let result = change(&mut tenant);
        let after = place(&tenant);
        if before != after {
            before.and_then(|place| self.order.remove(&place));
            self.order.extend(after.map(|place| (place, name.clone())));
        }
        if !tenant.is_idle() {
            self.tenants.insert(name, tenant);
        }
        result
    }

    pub fn of_tenant(&self, tenant: &str) -> u64 {
        self.tenants.get(tenant).map(|tenant| tenant.used).unwrap_or_default()
    }

    pub fn used(&self) -> u64 {
        self.used
    }

    pub fn waiting(&self) -> u64 {
        self.waiting
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

    /// Whether nothing but what the process has keeps a request waiting.
    pub fn is_ready(&self, request: &Request, limits: Limits) -> bool {
        self.is_within_share(request, limits) && self.is_host_ready(request)
    }

    fn is_within_share(&self, request: &Request, limits: Limits) -> bool {
        let tenant = self.tenants.get(&request.tenant);
        tenant.is_none_or(|tenant| tenant.is_within(limits.tenant, request.cost))
    }

    fn is_host_ready(&self, request: &Request) -> bool {
        request
            .host
            .as_ref()
            .is_none_or(|host| self.is_within_host(request, host) && self.is_within_host_share(request, host))
    }

    fn is_within_host(&self, request: &Request, host: &Host) -> bool {
        let used = self.hosts.get(&host.name).copied().unwrap_or_default();
        used.saturating_add(request.cost) <= host.limit
    }

    fn is_within_host_share(&self, request: &Request, host: &Host) -> bool {
        let tenant = self.tenants.get(&request.tenant);
        let used = tenant.map(|tenant| tenant.at_host(&host.name)).unwrap_or_default();
        used.saturating_add(request.cost) <= host.tenant
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.used == 0
            && self.hosts.is_empty()
            && self.tenants.is_empty()
            && self.order.is_empty()
            && self.waiting == 0
    }
}
