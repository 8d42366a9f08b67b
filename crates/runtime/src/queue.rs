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

/// When each object of a controller is due. An object has one entry at most, and none while it waits for a change.
pub struct Queue<K> {
    due: Mutex<HashMap<K, Instant>>,
    passes: InFlight,
    controller: String,
    metrics: Metrics,
}

impl<K: Eq + Hash + Send + Sync + 'static> Queue<K> {
    /// The queue of a controller, which tells of itself from now on.
    pub fn new(controller: &str, metrics: &Metrics) -> Arc<Self> {
        let queue = Arc::new(Self {
            due: Mutex::default(),
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
        let now = Instant::now();
        self.lock().entry(object).and_modify(|due| *due = (*due).min(now)).or_insert(now);
    }

    /// A pass of an object begins.
    #[must_use]
    pub fn begin(&self, object: &K) -> InFlightGuard {
        let waited = self.lock().remove(object).map(|due| due.elapsed());
        self.metrics.waited(&self.controller, waited.unwrap_or_default());
        self.passes.begin()
    }

    /// A pass is over; the next one is due after this time, if at all.
    pub fn end(&self, object: K, took: Duration, next: Option<Duration>) {
        self.metrics.worked(&self.controller, took);
        let Some(due) = next.and_then(|next| Instant::now().checked_add(next)) else { return };
        self.metrics.queued(&self.controller);
        self.lock().entry(object).and_modify(|known| *known = (*known).min(due)).or_insert(due);
    }

    /// An object is gone.
    pub fn forget(&self, object: &K) {
        self.lock().remove(object);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn samples(&self, now: Instant) -> Vec<Sample> {
        let (mut depth, mut overdue) = (0_u32, Duration::ZERO);
        for due in self.lock().values().filter(|due| **due <= now) {
            depth += 1;
            overdue = overdue.max(now.saturating_duration_since(*due));
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
        queue.end("later", Duration::ZERO, Some(Duration::from_secs(60)));
        queue.end("never", Duration::ZERO, None);
        let now = Instant::now();
        assert_eq!(value(&queue, "workqueue_depth", now), 1.0);
        let then = now + Duration::from_secs(100);
        assert_eq!(value(&queue, "workqueue_depth", then), 2.0);
        assert!(value(&queue, "gotk_most_overdue_seconds", then) >= 100.0);
        let _pass = queue.begin(&"a");
        assert_eq!(value(&queue, "workqueue_depth", now), 0.0);
        assert!(value(&queue, "workqueue_longest_running_processor_seconds", then) >= 99.0);
        queue.forget(&"later");
        assert_eq!(value(&queue, "gotk_most_overdue_seconds", then), 0.0);
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
