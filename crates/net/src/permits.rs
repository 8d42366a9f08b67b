//! Permits for work that many tenants want.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Named;

/// So many permits, of which no tenant holds more than a share. Those who wait get theirs in order, first among their tenant's,
/// then among all.
#[derive(Debug)]
pub struct Permits {
    all: Arc<Semaphore>,
    share: u32,
    /// Those of tenants who hold or wait for a permit.
    tenants: Named<Semaphore>,
}

/// A permit, or several, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    // None once the semaphore is closed, which nobody does.
    _of_all: Option<OwnedSemaphorePermit>,
    _of_tenant: Option<OwnedSemaphorePermit>,
}

impl Permits {
    /// `all` permits, at least one, and at most `share` of them, at least one, for one tenant.
    pub fn new(all: u32, share: u32) -> Self {
        let all = Arc::new(Semaphore::new(all.max(1) as usize));
        Self { all, share: share.max(1), tenants: Named::default() }
    }

    /// Waits for a permit. Who is dropped while it waits leaves the queue.
    pub async fn acquire(&self, tenant: &str) -> Permit {
        self.acquire_many(tenant, 1).await
    }

    /// Waits for so many permits at once, which must not be more than there are. More than the share of a tenant it gets only
    /// while it holds no others.
    pub async fn acquire_many(&self, tenant: &str, count: u32) -> Permit {
        let of_tenant = self.tenants.get(tenant, || Semaphore::new(self.share as usize));
        let of_tenant = of_tenant.acquire_many_owned(count.min(self.share)).await.ok();
        let of_all = self.all.clone().acquire_many_owned(count).await.ok();
        Permit { _of_all: of_all, _of_tenant: of_tenant }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn soon(permits: &Permits, tenant: &str) -> Option<Permit> {
        timeout(Duration::from_secs(1), permits.acquire(tenant)).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_holds_no_more_than_its_share_and_all_no_more_than_there_are() {
        let permits = Permits::new(3, 2);
        let held = (soon(&permits, "a").await, soon(&permits, "a").await);
        assert!(held.0.is_some() && held.1.is_some());
        assert!(soon(&permits, "a").await.is_none(), "its share is two");
        let other = soon(&permits, "b").await;
        assert!(other.is_some() && permits.all.available_permits() == 0);
        assert!(soon(&permits, "c").await.is_none(), "all are held");
        drop(held.0);
        assert!(soon(&permits, "c").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_tenants_do_not_keep_others_from_the_permits_that_are_left() {
        let permits = Arc::new(Permits::new(2, 1));
        let _held = permits.acquire("a").await;
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let permits = permits.clone();
                tokio::spawn(async move { drop(permits.acquire("a").await) })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(soon(&permits, "b").await.is_some());
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test(start_paused = true)]
    async fn tenants_without_permits_are_forgotten() {
        let permits = Permits::new(1, 1);
        for tenant in 0..100 {
            drop(permits.acquire(&tenant.to_string()).await);
        }
        assert_eq!(permits.tenants.len(), 1, "the last one");
    }
}
