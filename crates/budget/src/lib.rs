//! How much of what work costs may be used at once.
//!
//! A [`Budget`] is an amount of something: work under way, bytes on disk, nodes of builds. The process has so much of it, and a
//! tenant gets no more than a share. A host has a limit, of which a tenant gets no more than a share, too. Whoever needs some gets
//! a [`Grant`], at once or after a wait, and gives it back by dropping it.
//!
//! # Guarantees
//! - Of those who wait, the one whose tenant uses the least goes on; among equals, the one that came first.
//! - Who waits for its tenant's share or for a host keeps nobody else waiting. Who waits for what the process has goes on before
//!   those who came later, so that a large request is not passed by small ones forever.
//! - A tenant that uses nothing may have more than its share in one grant, up to all there is.
//! - Who gives up waiting leaves nothing behind.
//! - Finding who is next takes no longer if many wait. It can take longer if tenants wait for hosts, or ask for many different costs.
//!
//! # Caveats
//! - A grant that grows does not wait and asks nobody who does: a budget is either waited for or grown in.

mod memory;
mod state;
mod tenant;

pub use memory::memory_limit;

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::task::unconstrained;

use state::State;

/// How much there is, in the unit of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the process.
    pub process: u64,
    /// For one tenant, usually a namespace.
    pub tenant: u64,
}

impl Limits {
    /// So much for the process, of which one tenant may use half, rounded up.
    pub fn halved(process: u64) -> Self {
        Self { process, tenant: process.div_ceil(2) }
    }
}

/// What somebody needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Who needs it: usually the namespace of an object.
    pub tenant: String,
    /// How much.
    pub cost: u64,
    /// The host that it is used at, if that counts.
    pub host: Option<Host>,
}

/// A host with a limit of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// How much may be used at it at once.
    pub limit: u64,
    /// How much of that by one tenant: who names a host that others need must not use up all of it.
    pub tenant: u64,
}

/// More was asked for than there is at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cost} exceeds the limit of {limit}")]
pub struct Exceeded {
    /// What was asked for.
    pub cost: u64,
    /// What the process has.
    pub limit: u64,
}

/// What keeps a request waiting, with what there is of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// All that the process has is in use, or kept for those who came before.
    Process(u64),
    /// The share of the tenant.
    Tenant(u64),
    /// The limit of the host.
    Host(u64),
    /// The share of the tenant in that.
    HostTenant(u64),
}

/// What a budget is used for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What the process has.
    pub limit: u64,
    /// What is granted.
    pub used: u64,
    /// How many wait for a grant.
    pub waiting: u64,
    /// How many were refused since the start: see [`Budget::check`] and [`Grant::try_grow`].
    pub refused: u64,
}

/// An amount that is shared out. Cheap to clone; clones share.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    state: Arc<Mutex<State>>,
}

/// The right to use what was asked for. It is given back when this is dropped.
#[derive(Debug)]
pub struct Grant {
    budget: Budget,
    request: Box<Request>,
    number: u64,
}

/// A place among those who wait for a grant, or the grant itself.
#[derive(Debug)]
pub struct Pending {
    told: oneshot::Receiver<()>,
    is_granted: bool,
    grant: Grant,
}

impl Request {
    /// One that counts for no host.
    pub fn new(tenant: impl Into<String>, cost: u64) -> Self {
        Self { tenant: tenant.into(), cost, host: None }
    }
}

impl Budget {
    /// A budget that nobody uses yet. One of nothing has one unit, and a share has one, so that work goes on.
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { process: limits.process.max(1), tenant: limits.tenant.max(1) };
        Self { limits, state: Arc::default() }
    }

    /// Refuses a cost that is more than there is.
    ///
    /// # Errors
    /// If it is.
    pub fn check(&self, cost: u64) -> Result<(), Exceeded> {
        let limit = self.limits.process;
        if cost > limit {
            self.state().refused += 1;
            return Err(Exceeded { cost, limit });
        }
        Ok(())
    }

    /// Waits for a grant. A cost of more than there is counts as all of it.
    pub async fn acquire(&self, request: Request) -> Grant {
        self.enter(request).granted().await
    }

    /// Takes a grant, or a place among those who wait for one. A cost of more than there is counts as all of it.
    pub fn enter(&self, mut request: Request) -> Pending {
        request.cost = request.cost.min(self.limits.process);
        let mut state = self.state();
        let is_ready = state.is_ready(&request, self.limits);
        let (number, told) = state.wait(request.clone());
        if is_ready {
            // Nobody else can go on because of this one.
            state.grant(self.limits);
        }
        drop(state);
        Pending {
            told,
            is_granted: false,
            grant: Grant { budget: self.clone(), request: request.into(), number },
        }
    }

    /// A grant of nothing for a tenant, which may grow.
    pub fn start(&self, tenant: &str) -> Grant {
        self.count(Request::new(tenant, 0))
    }

    /// A grant of what is in use already, whatever the limits.
    pub fn count(&self, request: Request) -> Grant {
        let number = self.state().start(&request);
        Grant { budget: self.clone(), request: request.into(), number }
    }

    /// What keeps such a request waiting, or would.
    pub fn bound(&self, request: &Request) -> Bound {
        self.state().bound(request, self.limits)
    }

    /// What is used, and how many wait.
    pub fn usage(&self) -> Usage {
        let state = self.state();
        Usage {
            limit: self.limits.process,
            used: state.used(),
            waiting: state.waiting(),
            refused: state.refused,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that may panic runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Whether the grant is there.
    pub fn is_granted(&mut self) -> bool {
        self.is_granted |= !matches!(self.told.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        self.is_granted
    }

    /// Whether the grant is there. If it is not, `context` is woken when it is.
    pub fn poll_granted(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_granted() {
            return Poll::Ready(());
        }
        // Else tokio would wake it without a grant where a task has done much.
        let told = pin!(unconstrained(&mut self.told));
        // The other end is not dropped before it has told.
        told.poll(context).map(|_| self.is_granted = true)
    }

    /// Waits for the grant.
    pub async fn granted(mut self) -> Grant {
        poll_fn(|context| self.poll_granted(context)).await;
        self.grant
    }
}

impl Grant {
    /// Makes it one of `cost`, if that can be had now.
    ///
    /// # Errors
    /// If it cannot. The grant stays as it was.
    pub fn try_grow(&mut self, cost: u64) -> Result<(), Exceeded> {
        self.try_grow_instead(cost, 0)
    }

    /// The same for what takes the place of something that its tenant was granted `former` for: that does not count for its share.
    ///
    /// # Errors
    /// As above.
    pub fn try_grow_instead(&mut self, cost: u64, former: u64) -> Result<(), Exceeded> {
        let more = cost.saturating_sub(self.request.cost);
        let mut state = self.budget.state();
        let of_tenant = state.of_tenant(&self.request.tenant);
        let of_others = of_tenant.saturating_sub(self.request.cost).saturating_sub(former);
        let is_within_share = of_others == 0 || of_others.saturating_add(cost) <= self.budget.limits.tenant;
        if !is_within_share || state.used().saturating_add(more) > self.budget.limits.process {
            state.refused += 1;
            return Err(Exceeded { cost, limit: self.budget.limits.process });
        }
        state.count(&Request { cost: more, ..(*self.request).clone() });
        self.request.cost += more;
        Ok(())
    }

    /// How much it is.
    pub fn cost(&self) -> u64 {
        self.request.cost
    }

    /// Gives back what is not needed: keeps no more than `cost`.
    pub fn shrink(&mut self, cost: u64) {
        let mut state = self.budget.state();
        let left = self.request.cost.saturating_sub(cost);
        self.request.cost -= left;
        state.give_back(&Request { cost: left, ..(*self.request).clone() });
        state.grant(self.budget.limits);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.leave(self.number, &self.request);
        state.grant(self.budget.limits);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
