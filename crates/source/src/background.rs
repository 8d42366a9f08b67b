//! Fetches and builds that outlast the pass that began them.
//!
//! A pass waits for its fetch for a moment. If that is not enough the pass ends, its worker goes on with other objects,
//! and the fetch brings its object back when it is done. So `--concurrent` limits what works, not what waits for a server. Builds
//! are treated alike; where the text says host, it is the namespace for them.
//!
//! What is under way draws on a budget, so a fetch may have to wait for its turn. One that waits for long shows in the status.

mod queue;
mod task;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use budget::Budget;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use net::Named;
use runtime::controller::Waker;

use self::queue::Queue;
pub use self::queue::{Host, QUEUE_NEWS, Queued};
use self::task::{Look, Task};

/// How long a pass waits before it ends, if nothing else of this host keeps its pass waiting already.
pub const PASS_WAIT: Duration = Duration::from_millis(500);

/// The fetches of all sources of the kind `K`; `I` is what a fetch was begun with, `T` what it gives.
pub struct Background<K: Resource, I, T> {
    waker: Waker<K>,
    /// What the process may have under way.
    budget: Budget,
    /// Fetches from one host at once, if that is limited.
    per_host: Option<u64>,
    pending: Mutex<HashMap<ObjectRef<K>, Pending<I, T>>>,
    hosts: Named<LeftFetches>,
}

/// What there is of a fetch that an earlier pass began.
pub enum Earlier<T> {
    /// No fetch.
    Nothing,
    /// It goes on, and wakes its object at its end.
    Underway,
    /// What it gave.
    Done(T),
}

struct Pending<I, T> {
    inputs: I,
    begun: Instant,
    task: Task<T>,
    queue: Arc<Queue>,
    _left: LeftFetch,
}

/// How many fetches of a host outlasted their passes.
#[derive(Default)]
struct LeftFetches(AtomicUsize);

/// One of them.
struct LeftFetch(Arc<LeftFetches>);

/// Who gets what a fetch gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The pass that waits for it.
    Attended,
    /// A later pass, for which the object is woken.
    Left,
    /// It is over.
    Done,
}

impl<K, I, T> Background<K, I, T>
where
    K: Resource<DynamicType = ()> + 'static,
    I: PartialEq,
    T: Send + 'static,
{
    /// No fetches yet; `waker` brings objects back, and `per_host` fetches from one host go on at once.
    pub fn new(waker: Waker<K>, budget: Budget, per_host: Option<u64>) -> Self {
        Background { waker, budget, per_host, pending: Mutex::default(), hosts: Named::default() }
    }

    /// Since when the fetch of an object goes on that outlasted its pass, and what it waits for before it may begin.
    pub fn underway(&self, source: &ObjectRef<K>) -> Option<(Instant, Option<Queued>)> {
        let pending = self.pending();
        let pending = pending.get(source)?;
        Some((pending.begun, pending.queue.queued()))
    }

    /// What the fetch of an object waits for before it may begin, and since when.
    pub fn queued(&self, source: &ObjectRef<K>) -> Option<Queued> {
        self.underway(source)?.1
    }

    /// The fetch that an earlier pass began with the same `inputs`. One with others is given up.
    pub async fn earlier(&self, source: &ObjectRef<K>, inputs: &I) -> Earlier<T> {
        let before = self.pending().remove(source);
        let Some(mut pending) = before else { return Earlier::Nothing };
        if pending.inputs != *inputs {
            pending.task.end().await;
            return Earlier::Nothing;
        }
        match pending.task.look() {
            Look::Done(done) => Earlier::Done(done),
            Look::Lost => Earlier::Nothing,
            Look::Underway => {
                self.pending().insert(source.clone(), pending);
                Earlier::Underway
            }
        }
    }

    /// What `fetch` gives; `None` if it takes longer, and then the object is woken when it is done. A fetch that is already
    /// under way with the same `inputs` is taken, one with others is given up.
    pub async fn run<F>(
        &self,
        source: &ObjectRef<K>,
        inputs: I,
        host: &str,
        fetch: impl FnOnce(Host) -> F,
    ) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        match self.earlier(source, &inputs).await {
            Earlier::Nothing => {}
            Earlier::Underway => return None,
            Earlier::Done(done) => return Some(done),
        }
        let left = self.left(host);
        let wait = if left.0.load(Ordering::Relaxed) == 0 { PASS_WAIT } else { Duration::ZERO };
        let (queue, begun) = (self.queue(source), Instant::now());
        let stage = Arc::new(Mutex::new(Stage::Attended));
        let ending = Ending { stage: stage.clone(), waker: self.waker.clone(), source: source.clone() };
        let mut task = Task::spawn(fetch(self.host(host, queue.clone())), ending);
        if let Ok(done) = tokio::time::timeout(wait, task.result()).await {
            return done;
        }
        {
            let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
            if *stage == Stage::Attended {
                *stage = Stage::Left;
                left.0.fetch_add(1, Ordering::Relaxed);
                let pending = Pending { inputs, begun, task, queue, _left: LeftFetch(left) };
                self.pending().insert(source.clone(), pending);
                return None;
            }
        }
        task.result().await
    }

    /// Gives up the fetch of an object that goes. Nothing of it begins any more when this returns.
    pub async fn cancel(&self, source: &ObjectRef<K>) {
        let pending = self.pending().remove(source);
        if let Some(pending) = pending {
            pending.task.end().await;
        }
    }

    /// The object is gone, nobody waits any more.
    pub fn forget(&self, source: &ObjectRef<K>) {
        if let Some(pending) = self.pending().remove(source) {
            pending.task.abort();
        }
    }

    fn left(&self, host: &str) -> Arc<LeftFetches> {
        self.hosts.get(host, LeftFetches::default)
    }

    fn queue(&self, source: &ObjectRef<K>) -> Arc<Queue> {
        let (waker, source) = (self.waker.clone(), source.clone());
        Arc::new(Queue::new(self.budget.clone(), move || waker.wake(source.clone())))
    }

    fn host(&self, name: &str, queue: Arc<Queue>) -> Host {
        // The kinds of sources have a limit each, and a namespace has half of it: anybody can name a host that others need.
        let limited = |limit: u64| budget::Host {
            name: format!("{} {name}", K::kind(&())),
            limit,
            tenant: limit.div_ceil(2),
        };
        Host::new(self.per_host.map(limited), queue)
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<ObjectRef<K>, Pending<I, T>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LeftFetch {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Wakes the object at the end of a fetch, however it ends, unless its pass is still there.
struct Ending<K: Resource<DynamicType = ()> + 'static> {
    stage: Arc<Mutex<Stage>>,
    waker: Waker<K>,
    source: ObjectRef<K>,
}

impl<K: Resource<DynamicType = ()> + 'static> Drop for Ending<K> {
    fn drop(&mut self) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *stage, Stage::Done) == Stage::Left {
            self.waker.wake(self.source.clone());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tokio::sync::oneshot;

    fn background(per_host: u64) -> Background<api::GitRepository, u8, u8> {
        let budget = Budget::new(budget::Limits { process: 100, tenant: 100 });
        Background::new(Waker::default(), budget, Some(per_host))
    }

    fn source(name: &str) -> ObjectRef<api::GitRepository> {
        ObjectRef::new(name).within("ns")
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_fetch_gives_its_result_to_a_later_pass() {
        let (background, (give, get)) = (background(1), oneshot::channel());
        assert_eq!(background.run(&source("quick"), 0, "h", |_| ready(7)).await, Some(7));
        let slow = source("slow");
        assert_eq!(background.run(&slow, 1, "h", |_| async { get.await.unwrap() }).await, None);
        assert_eq!(background.run(&slow, 1, "h", |_| ready(0)).await, None, "it is under way");
        give.send(8).unwrap();
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(background.run(&slow, 1, "h", |_| ready(0)).await, Some(8));
        assert_eq!(background.run(&slow, 1, "h", |_| ready(9)).await, Some(9), "it is taken once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_for_other_inputs_replaces_the_one_under_way() {
        let background = background(1);
        assert_eq!(background.run(&source("a"), 1, "h", |_| pending()).await, None);
        assert_eq!(background.run(&source("a"), 2, "other", |_| ready(5)).await, Some(5));
        assert_eq!(background.run(&source("b"), 1, "h", |_| ready(6)).await, Some(6), "its permit is free");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_is_given_up_has_ended_when_the_next_one_begins() {
        let (background, running) = (background(1), Arc::new(()));
        let held = running.clone();
        let endless = |_| async move {
            let _held = held;
            pending().await
        };
        assert_eq!(background.run(&source("a"), 1, "h", endless).await, None);
        assert_eq!(Arc::strong_count(&running), 2);
        let next = |_| ready(u8::try_from(Arc::strong_count(&running)).unwrap());
        assert_eq!(background.run(&source("a"), 2, "h", next).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_keeps_passes_waiting_keeps_no_further_pass_waiting() {
        let background = background(100);
        let begun = tokio::time::Instant::now();
        for i in 0..50 {
            assert_eq!(background.run(&source(&i.to_string()), 1, "dead", |_| pending()).await, None);
        }
        assert!(begun.elapsed() < 2 * PASS_WAIT, "{:?}", begun.elapsed());
        assert_eq!(background.run(&source("healthy"), 1, "alive", |_| ready(1)).await, Some(1));
        for i in 0..50 {
            background.forget(&source(&i.to_string()));
        }
        assert_eq!(background.left("dead").0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_asked_by_a_limited_number_at_once() {
        let background = background(2);
        let (begun, most) = (Arc::new(AtomicUsize::new(0)), 10);
        for i in 0..most {
            let begun = begun.clone();
            let fetch = |host: Host| async move {
                let _slot = host.slot(&format!("ns-{i}")).await;
                begun.fetch_add(1, Ordering::Relaxed);
                pending().await
            };
            assert_eq!(background.run(&source(&i.to_string()), 1, "h", fetch).await, None);
        }
        tokio::task::yield_now().await;
        assert_eq!(begun.load(Ordering::Relaxed), 2);
        let queued = |name: &str| {
            let (_, queued) = background.underway(&source(name)).unwrap();
            assert_eq!(background.queued(&source(name)), queued);
            queued.map(|queued| queued.to_string())
        };
        assert_eq!((queued("0"), queued("2")), (None, Some("its host is asked by 2 already".to_owned())));
    }
}
