//! Permits for work that many tenants want.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many permits, of which no tenant holds more than a share. Those who wait get theirs in order, first among their tenant's,
/// then among all.
#[derive(Debug)]
pub struct Permits {
    all: Arc<Semaphore>,
    share: usize,
    /// Those of tenants who hold or wait for a permit.
    tenants: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A permit, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    // None once the semaphore is closed, which nobody does.
    _of_all: Option<OwnedSemaphorePermit>,
    _of_tenant: Option<OwnedSemaphorePermit>,
}

impl Permits {
    /// `all` permits, at least one, and at most `share` of them, at least one, for one tenant.
    pub fn new(all: usize, share: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all.max(1))), share: share.max(1), tenants: Mutex::default() }
    }

    /// Waits for a permit. Who is dropped while it waits leaves the queue.
    pub async fn acquire(&self, tenant: &str) -> Permit {
        let of_tenant = self.tenant(tenant).acquire_owned().await.ok();
        let of_all = self.all.clone().acquire_owned().await.ok();
        Permit { _of_all: of_all, _of_tenant: of_tenant }
    }

    /// Permits that nobody holds.
    pub fn available(&self) -> usize {
        self.all.available_permits()
    }

    fn tenant(&self, tenant: &str) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get(tenant).and_then(Weak::upgrade) {
            return known;
        }
        tenants.retain(|_, semaphore| semaphore.strong_count() > 0);
        let semaphore = Arc::new(Semaphore::new(self.share));
        tenants.insert(tenant.to_owned(), Arc::downgrade(&semaphore));
        semaphore
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
        assert!(other.is_some() && permits.available() == 0);
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
        let known = permits.tenants.lock().unwrap_or_else(PoisonError::into_inner).len();
        assert_eq!(known, 1, "the last one");
    }
}
