//! What waits for a worker and what is being worked on: the `workqueue_*` series, and a watchdog over both.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::metrics::{Metrics, Sample};

/// Work under way, by when it began. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    begun: Arc<Mutex<BTreeSet<(Instant, u64)>>>,
    next: Arc<AtomicU64>,
}

impl InFlight {
    /// Something begins; it lasts as long as the guard.
    #[must_use]
    pub fn begin(&self) -> InFlightGuard {
        let entry = (Instant::now(), self.next.fetch_add(1, Ordering::Relaxed));
        self.lock().insert(entry);
        InFlightGuard { all: self.clone(), entry }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Instant, u64)>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the oldest has gone on, nothing if there is none.
    fn oldest(&self, now: Instant) -> Duration {
        self.lock().first().map_or(Duration::ZERO, |(begun, _)| now.saturating_duration_since(*begun))
    }

    fn total(&self, now: Instant) -> Duration {
        self.lock().iter().map(|(begun, _)| now.saturating_duration_since(*begun)).sum()
    }
}

/// Something under way.
#[derive(Debug)]
pub struct InFlightGuard {
    all: InFlight,
    entry: (Instant, u64),
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.all.lock().remove(&self.entry);
    }
}

/// When each object of a controller is due, and what its last pass was. An object has one entry until it is gone.
pub struct Queue<K> {
    known: Mutex<HashMap<K, Known>>,
    passes: InFlight,
    controller: String,
    metrics: Metrics,
}

/// What is known of the passes over one object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// When it is due; nothing while it waits for a change.
    pub due: Option<Instant>,
    /// When it last asked for a pass.
    pub asked: Option<Instant>,
    /// When the pass began that is under way.
    pub begun: Option<Instant>,
    /// The last pass that is over.
    pub last: Option<LastPass>,
}

/// A pass that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastPass {
    /// When it ended.
    pub ended: Instant,
    /// How long it took.
    pub took: Duration,
    /// What it came to.
    pub result: PassResult,
}

/// What a pass came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassResult {
    /// Nothing to do until something changes.
    Done,
    /// Nothing to do until some time has passed, or something changes.
    Scheduled,
    /// The work goes on without a pass.
    Underway,
    /// It failed.
    Failed,
}

/// How many objects of a controller are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Due, and without a pass yet.
    pub due: usize,
    /// In a pass.
    pub running: usize,
    /// Due later.
    pub scheduled: usize,
}

impl Known {
    fn due_by(&mut self, time: Instant) {
        self.due = Some(self.due.map_or(time, |due| due.min(time)));
    }
}

impl<K: Eq + Hash + Send + Sync + 'static> Queue<K> {
    /// The queue of a controller, which tells of itself from now on.
    pub fn new(controller: &str, metrics: &Metrics) -> Arc<Self> {
        let queue = Arc::new(Self {
            known: Mutex::default(),
            passes: InFlight::default(),
            controller: controller.to_owned(),
            metrics: metrics.clone(),
        });
        let told = Arc::downgrade(&queue);
        metrics.live(move || told.upgrade().map_or_else(Vec::new, |queue| queue.samples(Instant::now())));
        queue
    }

    /// An object asks for a pass now.
    pub fn ask(&self, object: K) {
        self.metrics.queued(&self.controller);
        let (now, mut known) = (Instant::now(), self.lock());
        let known = known.entry(object).or_default();
        known.asked = Some(now);
        known.due_by(now);
    }

    /// A pass of an object begins. Gives the last moment at which something made it due, too.
    #[must_use]
    pub fn begin(&self, object: K) -> (InFlightGuard, Instant) {
        let now = Instant::now();
        let (due, asked) = {
            let mut known = self.lock();
            let known = known.entry(object).or_default();
            known.begun = Some(now);
            (known.due.take(), known.asked.take())
        };
        let since = due.max(asked).unwrap_or(now).min(now);
        let waited = due.map(|due| now.saturating_duration_since(due));
        self.metrics.waited(&self.controller, waited.unwrap_or_default());
        (self.passes.begin(), since)
    }

    /// A pass is over; the next one is due after this time, if at all.
    pub fn end(&self, object: K, took: Duration, result: PassResult, next: Option<Duration>) {
        self.metrics.worked(&self.controller, took);
        let now = Instant::now();
        let next = next.and_then(|next| now.checked_add(next));
        if next.is_some() {
            self.metrics.queued(&self.controller);
        }
        let mut known = self.lock();
        let known = known.entry(object).or_default();
        known.begun = None;
        known.last = Some(LastPass { ended: now, took, result });
        next.into_iter().for_each(|next| known.due_by(next));
    }

    /// What is known of an object.
    pub fn get(&self, object: &K) -> Known {
        self.lock().get(object).copied().unwrap_or_default()
    }

    /// How many objects are where.
    pub fn counts(&self, now: Instant) -> Counts {
        let mut counts = Counts::default();
        for known in self.lock().values() {
            counts.running += usize::from(known.begun.is_some());
            match known.due {
                Some(due) if due <= now => counts.due += 1,
                Some(_) => counts.scheduled += 1,
                None => {}
            }
        }
        counts
    }

    /// An object is gone.
    pub fn forget(&self, object: &K) {
        self.lock().remove(object);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn samples(&self, now: Instant) -> Vec<Sample> {
        let (mut depth, mut overdue) = (0_u32, Duration::ZERO);
        for due in self.lock().values().filter_map(|known| known.due).filter(|due| *due <= now) {
            depth += 1;
            overdue = overdue.max(now.saturating_duration_since(due));
        }
        let queue = |name, help, value| Sample {
            name,
            help,
            labels: vec![("controller", self.controller.clone()), ("name", self.controller.clone())],
            value,
        };
        let mut watchdog = queue(
            "gotk_most_overdue_seconds",
            "How long the object that has waited longest has been due, per controller.",
            overdue.as_secs_f64(),
        );
        watchdog.labels.truncate(1);
        vec![
            queue("workqueue_depth", "Current depth of workqueue", depth.into()),
            queue(
                "workqueue_longest_running_processor_seconds",
                "How many seconds has the longest running processor for workqueue been running.",
                self.passes.oldest(now).as_secs_f64(),
            ),
            queue(
                "workqueue_unfinished_work_seconds",
                "How many seconds of work has been done that is in progress and hasn't been observed by work_duration.",
                self.passes.total(now).as_secs_f64(),
            ),
            watchdog,
        ]
    }
}

/// Tells how long the oldest run of a controller has gone on.
pub fn watch_runs(controller: &str, runs: &InFlight, metrics: &Metrics) {
    let (controller, runs) = (controller.to_owned(), runs.clone());
    metrics.live(move || {
        vec![Sample {
            name: "gotk_oldest_run_seconds",
            help: "How long the oldest run that is not over has gone on, per controller.",
            labels: vec![("controller", controller.clone())],
            value: runs.oldest(Instant::now()).as_secs_f64(),
        }]
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn value(queue: &Queue<&'static str>, name: &str, now: Instant) -> f64 {
        queue.samples(now).iter().find(|sample| sample.name == name).unwrap().value
    }

    #[test]
    fn the_depth_is_what_is_due_and_has_no_worker() {
        let queue = Queue::new("kustomization", &Metrics::new().unwrap());
        queue.ask("a");
        queue.ask("a");
        queue.end("later", Duration::ZERO, PassResult::Scheduled, Some(Duration::from_secs(60)));
        queue.end("never", Duration::ZERO, PassResult::Done, None);
        let now = Instant::now();
        assert_eq!(value(&queue, "workqueue_depth", now), 1.0);
        let then = now + Duration::from_secs(100);
        assert_eq!(value(&queue, "workqueue_depth", then), 2.0);
        assert!(value(&queue, "gotk_most_overdue_seconds", then) >= 100.0);
        assert_eq!(queue.counts(now), Counts { due: 1, running: 0, scheduled: 1 });
        let _pass = queue.begin("a");
        assert_eq!(queue.counts(now), Counts { due: 0, running: 1, scheduled: 1 });
        assert_eq!(value(&queue, "workqueue_depth", now), 0.0);
        assert!(value(&queue, "workqueue_longest_running_processor_seconds", then) >= 99.0);
        queue.forget(&"later");
        assert_eq!(value(&queue, "gotk_most_overdue_seconds", then), 0.0);
    }

    #[test]
    fn an_object_has_a_pass_a_last_pass_and_a_next_one_until_it_is_gone() {
        let queue = Queue::new("kustomization", &Metrics::new().unwrap());
        queue.ask("a");
        let pass = queue.begin("a");
        queue.ask("a");
        let during = queue.get(&"a");
        assert!(during.due.is_some() && during.begun.is_some() && during.last.is_none(), "{during:?}");
        drop(pass);
        let (took, next) = (Duration::from_secs(1), Some(Duration::from_secs(60)));
        queue.end("a", took, PassResult::Failed, next);
        let after = queue.get(&"a");
        assert_eq!(
            (after.due, after.begun),
            (during.due, None),
            "what was asked for during the pass comes first"
        );
        assert_eq!(after.last.map(|last| (last.took, last.result)), Some((took, PassResult::Failed)));
        queue.forget(&"a");
        let gone = queue.get(&"a");
        assert!(gone.due.is_none() && gone.last.is_none(), "{gone:?}");
    }

    #[test]
    fn the_oldest_run_is_told_until_it_ends() {
        let (metrics, runs) = (Metrics::new().unwrap(), InFlight::default());
        watch_runs("kustomization", &runs, &metrics);
        let (first, second) = (runs.begin(), runs.begin());
        std::thread::sleep(Duration::from_millis(5));
        let now = Instant::now();
        assert!(runs.oldest(now) >= runs.total(now) / 2);
        drop(first);
        drop(second);
        assert_eq!(runs.oldest(Instant::now()), Duration::ZERO);
        assert!(metrics.render().contains(r#"gotk_oldest_run_seconds{controller="kustomization"} 0"#));
    }
}
