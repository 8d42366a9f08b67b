//! Prometheus series under the names that Flux dashboards read.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector,
};

mod budget;
mod drifted;
mod labels;
mod live;
mod resource;

pub use drifted::DriftedObjects;
pub use live::Sample;
pub use resource::ResourceInfo;

use live::Live;

/// controller-runtime's buckets of `controller_runtime_reconcile_time_seconds`, in seconds.
const RECONCILE_BUCKETS: [f64; 32] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25,
    1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 10.0, 30.0, 60.0,
];

/// client_golang's `ExponentialBucketsRange(10ms, 30m, 10)`, in seconds, by its own arithmetic.
fn run_buckets() -> Vec<f64> {
    let growth = (1800.0_f64 / 0.01).powf(1.0 / 9.0);
    (0..10).map(|i| 0.01 * growth.powf(f64::from(i))).collect()
}

/// The series of a process that every controller has, and a registry for those of one kind. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    errors: IntCounterVec,
    panics: IntCounterVec,
    time: HistogramVec,
    active: IntGaugeVec,
    max_concurrent: IntGaugeVec,
    duration: HistogramVec,
    api_requests: IntCounterVec,
    events_dropped: IntCounterVec,
    watch_failing: IntGaugeVec,
    leader: IntGaugeVec,
    queued: IntCounterVec,
    queue_time: HistogramVec,
    work_time: HistogramVec,
    retries: IntCounterVec,
    live: Live,
    /// Of the process as a whole, which `/debug/objects` tells, too.
    totals: Live,
    forgotten: Forgotten,
}

type Forget = Box<dyn Fn(&str, &str, &str) + Send + Sync>;

/// Who wants to know of objects that are gone. Clones share it.
#[derive(Clone, Default)]
struct Forgotten(Arc<Mutex<Vec<Forget>>>);

/// How a reconcile ended: the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// Nothing more to do until the object changes.
    Success,
    /// Failed, retried with back-off.
    Error,
    /// Asked to be run again later.
    RequeueAfter,
}

impl ReconcileResult {
    fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::RequeueAfter => "requeue_after",
        }
    }
}

/// Where events go to: to the API server and to the receiver.
const SINKS: [&str; 2] = ["kubernetes", "webhook"];

impl Metrics {
    /// Registers every series.
    ///
    /// # Errors
    /// When a name is registered twice, which is a programming error.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone())).map(|()| vec)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone())).map(|()| vec)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>, labels: &[&str]| {
            let vec = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)?;
            registry.register(Box::new(vec.clone())).map(|()| vec)
        };
        let by_object = ["kind", "name", "namespace"];
        let by_queue = ["name", "controller"];
        let queue_buckets = prometheus::exponential_buckets(1e-8, 10.0, 12)?;
        let metrics = Self {
            reconciles: counter(
                "controller_runtime_reconcile_total",
                "Total number of reconciliations per controller",
                &["controller", "result"],
            )?,
            errors: counter(
                "controller_runtime_reconcile_errors_total",
                "Total number of reconciliation errors per controller",
                &["controller"],
            )?,
            panics: counter(
                "controller_runtime_reconcile_panics_total",
                "Total number of reconciliation panics per controller",
                &["controller"],
            )?,
            time: histogram(
                "controller_runtime_reconcile_time_seconds",
                "Length of time per reconciliation per controller",
                RECONCILE_BUCKETS.to_vec(),
                &["controller"],
            )?,
            active: gauge(
                "controller_runtime_active_workers",
                "Number of currently used workers per controller",
                &["controller"],
            )?,
            max_concurrent: gauge(
                "controller_runtime_max_concurrent_reconciles",
                "Maximum number of concurrent reconciles per controller",
                &["controller"],
            )?,
            duration: histogram(
                "gotk_reconcile_duration_seconds",
                "The duration in seconds of a GitOps Toolkit resource reconciliation.",
                run_buckets(),
                &by_object,
            )?,
            api_requests: counter(
                "rest_client_requests_total",
                "Number of HTTP requests, partitioned by status code, method, and host.",
                &["code", "host", "method"],
            )?,
            events_dropped: counter(
                "gotk_events_dropped_total",
                "Events given up because their sink did not keep up, per sink.",
                &["sink"],
            )?,
            watch_failing: gauge(
                "gotk_watch_failing",
                "Whether the watch of a kind fails, so that nothing new is known of its objects.",
                &["kind"],
            )?,
            leader: gauge(
                "leader_election_master_status",
                "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. 'name' is the string used to identify the lease.",
                &["name"],
            )?,
            queued: counter("workqueue_adds_total", "Total number of adds handled by workqueue", &by_queue)?,
            queue_time: histogram(
                "workqueue_queue_duration_seconds",
                "How long in seconds an item stays in workqueue before being requested",
                queue_buckets.clone(),
                &by_queue,
            )?,
            work_time: histogram(
                "workqueue_work_duration_seconds",
                "How long in seconds processing an item from workqueue takes.",
                queue_buckets,
                &by_queue,
            )?,
            retries: counter(
                "workqueue_retries_total",
                "Total number of retries handled by workqueue",
                &by_queue,
            )?,
            live: Live::default(),
            totals: Live::default(),
            forgotten: Forgotten::default(),
            registry: registry.clone(),
        };
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// Announces a controller's number of workers.
    pub fn controller(&self, controller: &str, concurrency: u16) {
        self.max_concurrent.with_label_values(&[controller]).set(concurrency.into());
        self.active.with_label_values(&[controller]).set(0);
        // What counts from zero shows its first failure as an increase.
        for sink in SINKS {
            self.events_dropped.with_label_values(&[sink]).inc_by(0);
        }
        for result in [ReconcileResult::Success, ReconcileResult::Error, ReconcileResult::RequeueAfter] {
            self.reconciles.with_label_values(&[controller, result.label()]).inc_by(0);
        }
        self.errors.with_label_values(&[controller]).inc_by(0);
        self.panics.with_label_values(&[controller]).inc_by(0);
        self.retries.with_label_values(&[controller, controller]).inc_by(0);
    }

    /// Marks one worker busy until the guard is dropped.
    #[must_use]
    pub fn busy(&self, controller: &str) -> BusyGuard {
        let gauge = self.active.with_label_values(&[controller]);
        gauge.inc();
        BusyGuard(gauge)
    }

    /// Records the end of one reconcile.
    pub fn reconciled(&self, controller: &str, result: ReconcileResult, took: Duration) {
        self.reconciles.with_label_values(&[controller, result.label()]).inc();
        self.time.with_label_values(&[controller]).observe(took.as_secs_f64());
        if result == ReconcileResult::Error {
            self.errors.with_label_values(&[controller]).inc();
            self.retries.with_label_values(&[controller, controller]).inc();
        }
    }

    /// Counts an object that was put into a controller's queue.
    pub fn queued(&self, controller: &str) {
        self.queued.with_label_values(&[controller, controller]).inc();
    }

    /// Records how long an object was due before its pass began.
    pub fn waited(&self, controller: &str, time: Duration) {
        self.queue_time.with_label_values(&[controller, controller]).observe(time.as_secs_f64());
    }

    /// Records how long a pass took.
    pub fn worked(&self, controller: &str, time: Duration) {
        self.work_time.with_label_values(&[controller, controller]).observe(time.as_secs_f64());
    }

    /// Adds series of one kind or controller.
    ///
    /// # Errors
    /// When a name is registered twice, which is a programming error.
    pub fn register<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    /// Calls `forget` with kind, namespace and name of each object that is gone.
    pub fn on_forget(&self, forget: impl Fn(&str, &str, &str) + Send + Sync + 'static) {
        self.forgotten.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(forget));
    }

    /// Asks `source` for samples whenever the series are read.
    pub fn live(&self, source: impl Fn() -> Vec<Sample> + Send + Sync + 'static) {
        self.live.add(Box::new(source));
    }

    /// Shows how many entries of a cache or an index are kept.
    pub fn kept_entries(&self, what: &'static str, count: impl Fn() -> usize + Send + Sync + 'static) {
        self.kept(
            "gotk_kept_entries",
            "How many entries of caches and indices the process keeps.",
            what,
            count,
        );
    }

    /// Shows how many bytes are kept of something.
    pub fn kept_bytes(&self, what: &'static str, bytes: impl Fn() -> usize + Send + Sync + 'static) {
        self.kept("gotk_kept_bytes", "How many bytes the process keeps in caches.", what, bytes);
    }

    fn kept(
        &self,
        name: &'static str,
        help: &'static str,
        what: &'static str,
        amount: impl Fn() -> usize + Send + Sync + 'static,
    ) {
        self.totals.add(Box::new(move || {
            vec![Sample { name, help, labels: vec![("what", what.to_owned())], value: amount() as f64 }]
        }));
    }

    /// What is used of budgets and what is kept: see [`Self::budget`], [`Self::kept_entries`] and [`Self::kept_bytes`].
    pub fn totals(&self) -> Vec<Sample> {
        self.totals.samples()
    }

    /// Records a reconcile that panicked.
    pub fn panicked(&self, controller: &str) {
        self.panics.with_label_values(&[controller]).inc();
    }

    /// Records how long a whole run of one object took.
    pub fn ran(&self, kind: &str, namespace: &str, name: &str, took: Duration) {
        self.duration.with_label_values(&[kind, name, namespace]).observe(took.as_secs_f64());
    }

    /// Drops the series of an object that is gone.
    pub fn forget(&self, kind: &str, namespace: &str, name: &str) {
        // An object that never ran has no series; that is no fault.
        let _absent = self.duration.remove_label_values(&[kind, name, namespace]);
        for forget in self.forgotten.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            forget(kind, namespace, name);
        }
    }

    /// Counts one request to an API server.
    pub fn api_request(&self, code: &str, host: &str, method: &str) {
        self.api_requests.with_label_values(&[code, host, method]).inc();
    }

    /// Counts one event that was given up.
    pub fn event_dropped(&self, sink: &str) {
        self.events_dropped.with_label_values(&[sink]).inc();
    }

    /// Whether the watch of a kind fails.
    pub fn watch_failing(&self, kind: &str, failing: bool) {
        self.watch_failing.with_label_values(&[kind]).set(failing.into());
    }

    /// Whether this process holds the lease.
    pub fn leading(&self, lease: &str, leading: bool) {
        self.leader.with_label_values(&[lease]).set(leading.into());
    }

    /// The text format that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        let mut families = self.registry.gather();
        families.extend(self.live.gather());
        families.extend(self.totals.gather());
        labels::limit_labels(&mut families);
        // Encoding into memory fails only for a series without samples, which is left out.
        let _incomplete = TextEncoder::new().encode(&families, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// A busy worker.
pub struct BusyGuard(prometheus::IntGauge);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn series_have_the_names_and_labels_that_dashboards_read() {
        let metrics = Metrics::new().unwrap();
        metrics.controller("gitrepository", 2);
        metrics.reconciled("gitrepository", ReconcileResult::RequeueAfter, Duration::from_millis(7));
        metrics.ran("GitRepository", "flux-system", "app", Duration::from_secs(2));
        let text = metrics.render();
        for line in [
            r#"controller_runtime_reconcile_total{controller="gitrepository",result="requeue_after"} 1"#,
            r#"controller_runtime_reconcile_total{controller="gitrepository",result="error"} 0"#,
            r#"controller_runtime_reconcile_errors_total{controller="gitrepository"} 0"#,
            r#"controller_runtime_reconcile_panics_total{controller="gitrepository"} 0"#,
            r#"workqueue_retries_total{controller="gitrepository",name="gitrepository"} 0"#,
            r#"controller_runtime_active_workers{controller="gitrepository"} 0"#,
            r#"controller_runtime_max_concurrent_reconciles{controller="gitrepository"} 2"#,
            r#"gotk_reconcile_duration_seconds_count{kind="GitRepository",name="app",namespace="flux-system"} 1"#,
        ] {
            assert!(text.contains(line), "{line}\nnot in\n{text}");
        }
        assert_eq!(text.matches("gotk_reconcile_duration_seconds_bucket{").count(), 11, "ten and +Inf");
        assert!(text.contains("process_resident_memory_bytes"));
        metrics.forget("GitRepository", "flux-system", "app");
        assert!(!metrics.render().contains("gotk_reconcile_duration_seconds_count"));
    }

    #[test]
    fn entries_and_bytes_that_are_kept_are_series_of_their_own() {
        let metrics = Metrics::new().unwrap();
        metrics.kept_entries("git_caches", || 2);
        metrics.kept_bytes("git_caches", || 4096);
        let text = metrics.render();
        for line in
            [r#"gotk_kept_entries{what="git_caches"} 2"#, r#"gotk_kept_bytes{what="git_caches"} 4096"#]
        {
            assert!(text.lines().any(|l| l == line), "{line}\nnot in\n{text}");
        }
    }

    #[test]
    fn label_values_are_limited_and_escaped_wherever_they_come_from() {
        let metrics = Metrics::new().unwrap();
        let (revision, name) = ("x".repeat(1 << 20), "a\"b\\c\nd");
        let labels = vec![("name", name.to_owned()), ("revision", revision.clone())];
        metrics
            .live(move || vec![Sample { name: "test_live", help: "", labels: labels.clone(), value: 1.0 }]);
        metrics.ran(&revision, "ns", name, Duration::ZERO);
        metrics.api_request("200", &revision, "GET");
        let text = metrics.render();
        let cut = "x".repeat(509) + "…";
        for line in [
            format!(r#"test_live{{name="a\"b\\c\nd",revision="{cut}"}} 1"#),
            format!(
                r#"gotk_reconcile_duration_seconds_count{{kind="{cut}",name="a\"b\\c\nd",namespace="ns"}} 1"#
            ),
            format!(r#"rest_client_requests_total{{code="200",host="{cut}",method="GET"}} 1"#),
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nnot in\n{text}");
        }
    }

    #[test]
    fn a_worker_is_busy_as_long_as_its_guard_lives() {
        let metrics = Metrics::new().unwrap();
        let guard = metrics.busy("kustomization");
        assert!(metrics.render().contains(r#"active_workers{controller="kustomization"} 1"#));
        drop(guard);
        assert!(metrics.render().contains(r#"active_workers{controller="kustomization"} 0"#));
    }
}
