//! The turn of one fetch: what it draws on the budget, and what there is to say while it waits for that.

use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use budget::{Bound, Budget, Grant, Request};
use tokio::time::{Instant, sleep};

/// How long a fetch waits for its turn before its object is brought back to say so.
pub const QUEUE_NEWS: Duration = Duration::from_secs(10);

/// The host that one fetch asks.
pub struct Host {
    host: Option<budget::Host>,
    queue: Arc<Queue>,
}

/// Where a fetch stands that may have to wait.
pub(super) struct Queue {
    budget: Budget,
    waiting: Mutex<Option<(Request, Instant)>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// What a fetch waits for. Its text goes on after "waiting to fetch: ".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    bound: Bound,
    /// For how long.
    pub time: Duration,
}

impl Host {
    pub(super) fn new(host: Option<budget::Host>, queue: Arc<Queue>) -> Self {
        Host { host, queue }
    }

    /// Waits for a turn to ask it for an object of `namespace`. The grant belongs to what asks, on whatever thread that goes on.
    pub async fn slot(&self, namespace: &str) -> Grant {
        let request = Request { host: self.host.clone(), ..Request::new(namespace, 1) };
        self.queue.turn(request).await
    }
}

impl Queue {
    pub fn new(budget: Budget, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Queue { budget, waiting: Mutex::default(), wake: Box::new(wake) }
    }

    /// What is waited for now.
    pub fn queued(&self) -> Option<Queued> {
        let (request, since) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(Queued { bound: self.budget.bound(&request), time: since.elapsed() })
    }

    /// Waits for a grant. The object is woken if that takes long, and again when its status is no longer true.
    async fn turn(&self, request: Request) -> Grant {
        let mut pending = self.budget.enter(request.clone());
        if pending.is_granted() {
            return pending.granted().await;
        }
        self.set(Some((request, Instant::now())));
        let mut granted = std::pin::pin!(pending.granted());
        let (grant, is_told) = tokio::select! {
            grant = &mut granted => (grant, false),
            () = sleep(QUEUE_NEWS) => {
                (self.wake)();
                (granted.await, true)
            }
        };
        self.set(None);
        if is_told {
            (self.wake)();
        }
        grant
    }

    fn set(&self, waiting: Option<(Request, Instant)>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }
}

impl Display for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bound {
            Bound::Process(limit) => write!(f, "all {limit} are in use"),
            Bound::Tenant(limit) => write!(f, "its namespace uses its share of {limit}"),
            Bound::Host(limit) => write!(f, "its host is asked by {limit} already"),
            Bound::HostTenant(limit) => write!(f, "its host is asked by {limit} of its namespace already"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Weak;

    use budget::Limits;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_object_is_woken_when_its_fetch_has_waited_long_and_when_that_is_over() {
        let budget = Budget::new(Limits { process: 2, tenant: 1 });
        // Whether it still waits when its object is woken.
        let woken = Arc::new(Mutex::new(Vec::new()));
        let queue = Arc::new_cyclic(|queue: &Weak<Queue>| {
            let (queue, woken) = (queue.clone(), woken.clone());
            let is_queued = move || queue.upgrade().is_some_and(|queue| queue.queued().is_some());
            Queue::new(budget.clone(), move || woken.lock().unwrap().push(is_queued()))
        });
        let woken = || woken.lock().unwrap().clone();
        let host = Host::new(None, queue.clone());
        let held = host.slot("ns").await;
        assert_eq!(queue.queued(), None);
        let waiting = tokio::spawn(async move { host.slot("ns").await });
        sleep(QUEUE_NEWS / 2).await;
        let queued = queue.queued().map(|queued| (queued.to_string(), queued.time));
        assert_eq!(queued, Some(("its namespace uses its share of 1".to_owned(), QUEUE_NEWS / 2)));
        assert!(woken().is_empty());
        sleep(QUEUE_NEWS).await;
        assert_eq!(woken(), [true]);
        drop(held);
        assert!(waiting.await.is_ok());
        assert_eq!((woken(), queue.queued()), (vec![true, false], None));
    }
}
