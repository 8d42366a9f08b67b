//! The controller of one kind of source.

use std::sync::Arc;
use std::time::Duration;

use api::ConditionStatus;
use api::source::Source;
use artifact::store::Store;
use budget::Budget;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Client, Resource, ResourceExt};
use net::Named;
use runtime::conditions::{READY, STALLED, find, is_true};
use runtime::controller::{Objects, Outcome, Reconcile};
use runtime::diagnostics::{Activity, Ready, Step};
use runtime::events::Recorder;
use runtime::latest::Latest;
use runtime::metrics::{Metrics, ResourceInfo};
use runtime::process::Process;
use runtime::queue::InFlight;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::background::Background;
use crate::failure::Interrupted;
use crate::pass::{Beginning, EndedBuild, Inputs, Pass, Version};
use crate::upstream::{Fetched, Upstream};

/// How a controller works.
#[derive(Clone)]
pub struct Options {
    /// The field manager of its writes: the name of the process.
    pub manager: &'static str,
    /// Percentage by which an interval is varied at random.
    pub jitter: u8,
    /// When something that is missing is looked for again.
    pub requeue_dependency: Duration,
    /// Fetches that the process may have under way.
    pub fetches: Budget,
    /// Builds that the process may have under way.
    pub builds: Budget,
    /// Fetches from one host at once.
    pub host_concurrency: u64,
    /// The longest `spec.timeout` that counts.
    pub max_timeout: Duration,
    /// How long an artifact may be in the making.
    pub build_timeout: Duration,
}

type FetchResult<C> = Result<Fetched<C>, Interrupted>;

/// Reconciles the objects of one kind.
pub struct Controller<U: Upstream> {
    pub(crate) client: Client,
    pub(crate) events: Recorder,
    pub(crate) metrics: Metrics,
    pub(crate) storage: Arc<Store>,
    pub(crate) upstream: Arc<U>,
    pub(crate) background: Background<U::Object, Inputs, (Beginning, FetchResult<U::Content>)>,
    /// With the share of a namespace as their only limit.
    pub(crate) builds: Background<U::Object, Version, EndedBuild<U::References>>,
    /// One for each object. A build holds it until its thread has ended.
    pub(crate) build_turns: Named<Mutex<()>>,
    pub(crate) latest: Arc<Latest<U::Object>>,
    pub(crate) manager: &'static str,
    pub(crate) jitter: u8,
    pub(crate) requeue_dependency: Duration,
    pub(crate) max_timeout: Duration,
    pub(crate) build_timeout: Duration,
    pub(crate) stop: CancellationToken,
    pub(crate) runs: InFlight,
}

impl<U: Upstream> Controller<U> {
    /// A controller of `process` that keeps its artifacts in `storage`. `latest` is fed with what it writes.
    pub fn new(
        process: &Process,
        options: Options,
        storage: Arc<Store>,
        objects: &Objects<U::Object>,
        latest: Arc<Latest<U::Object>>,
        upstream: Arc<U>,
    ) -> Self {
        let runs = InFlight::default();
        runtime::queue::watch_runs(&U::KIND.to_lowercase(), &runs, &process.metrics);
        process.metrics.resources(objects.store(), info::<U>);
        Controller {
            client: process.client.clone(),
            events: process.events.clone(),
            metrics: process.metrics.clone(),
            storage,
            upstream,
            background: Background::new(objects.waker(), options.fetches, Some(options.host_concurrency)),
            builds: Background::new(objects.waker(), options.builds, None),
            build_turns: Named::default(),
            latest,
            manager: options.manager,
            jitter: options.jitter,
            requeue_dependency: options.requeue_dependency,
            max_timeout: options.max_timeout,
            build_timeout: options.build_timeout,
            stop: process.stop.clone(),
            runs,
        }
    }
}

impl<U: Upstream> Controller<U> {
    /// Gives up what earlier passes over an object began. Nothing of it begins any more when this returns.
    pub(crate) async fn cancel(&self, source: &ObjectRef<U::Object>) {
        self.background.cancel(source).await;
        self.builds.cancel(source).await;
        // A thread that was told to end may still write.
        drop(self.build_turn(source).lock().await);
    }

    /// The turn of an object's builds.
    pub(crate) fn build_turn(&self, source: &ObjectRef<U::Object>) -> Arc<Mutex<()>> {
        self.build_turns.get(&source.to_string(), Mutex::default)
    }
}

/// What dashboards read of an object.
fn info<U: Upstream>(object: &U::Object) -> ResourceInfo {
    let ready = find(object.conditions(), READY).map(|ready| ready.status.to_string());
    ResourceInfo {
        ready: ready.unwrap_or_default(),
        suspended: object.is_suspended(),
        revision: object.artifact().map(|artifact| artifact.revision.clone()).unwrap_or_default(),
        more: U::labels(object),
    }
}

impl<U: Upstream> Reconcile<U::Object> for Controller<U> {
    async fn reconcile(&self, object: Arc<U::Object>) -> Outcome {
        let _run = self.runs.begin();
        let object = self.latest.newest(object);
        let mut pass = Pass::new(self, &object);
        let outcome = pass.run().await;
        let is_over = !matches!(outcome, Ok(Outcome::Underway));
        if is_over && object.meta().deletion_timestamp.is_none() {
            let namespace = object.namespace().unwrap_or_default();
            self.metrics.ran(U::KIND, &namespace, &object.name_any(), pass.elapsed());
        }
        match outcome {
            Ok(outcome) => outcome,
            Err(error) if error.is_gone() => Outcome::Wait,
            Err(error) => Outcome::Failed(Box::new(error)),
        }
    }

    fn observe(&self, event: &Event<U::Object>) {
        self.upstream.observe(event);
    }

    fn gone(&self, object: &ObjectRef<U::Object>) {
        self.background.forget(object);
        self.builds.forget(object);
        self.latest.forget(object);
        self.upstream.gone(object);
    }

    fn activity(&self, object: &U::Object) -> Activity {
        let (reference, conditions) = (ObjectRef::from_obj(object), object.conditions());
        let ready = find(conditions, READY);
        let works =
            [("build", self.builds.underway(&reference)), ("fetch", self.background.underway(&reference))];
        let step = works.into_iter().find_map(|(name, underway)| {
            let (begun, queued) = underway?;
            Some(Step {
                name,
                since: Some(begun),
                waits_for: queued.map(|queued| format!("its turn: {queued}")),
            })
        });
        // Not its interval: that is waited for after a success alone.
        let pause = ready.filter(|ready| ready.status != ConditionStatus::True).map(|ready| match () {
            () if is_true(conditions, STALLED) => {
                format!("a change of the object, which is stalled: {}", ready.reason)
            }
            () => format!("the next attempt, after {}", ready.reason),
        });
        Activity {
            suspended: object.is_suspended(),
            ready: ready.map(|ready| Ready { status: ready.status.as_str(), reason: ready.reason.clone() }),
            step,
            pause,
        }
    }

    fn outlasted(&self, object: &ObjectRef<U::Object>) {
        self.background.forget(object);
        self.builds.forget(object);
    }
}
