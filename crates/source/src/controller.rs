//! The controller of one kind of source.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::source::Source;
use api::{Condition, ConditionStatus};
use artifact::store::Store;
use budget::Budget;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::{Client, Resource, ResourceExt};
use net::Named;
use runtime::conditions::{READY, find};
use runtime::controller::{Objects, Outcome, Reconcile};
use runtime::diagnostics::{Activity, Ready, Step, stalled};
use runtime::events::Recorder;
use runtime::latest::Latest;
use runtime::metrics::{Metrics, ResourceInfo};
use runtime::process::Process;
use runtime::queue::InFlight;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::background::{Background, Queued};
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
    // What has no status cannot fail; Flux's client shows it so, too.
    let ready = match U::is_static(object) {
        true => Some("True".to_owned()),
        false => find(object.conditions(), READY).map(|ready| ready.status.to_string()),
    };
    ResourceInfo {
        ready: ready.unwrap_or_default(),
        suspended: object.is_suspended(),
        revision: object.artifact().map(|artifact| artifact.revision.clone()).unwrap_or_default(),
        more: U::labels(object),
    }
}

/// Work that outlasted its pass: since when it goes on, and what it waits for before it may begin.
fn step(name: &'static str, underway: Option<(Instant, Option<Queued>)>) -> Option<Step> {
    let (begun, queued) = underway?;
    let waits_for = queued.map(|queued| format!("its turn: {queued}"));
    Some(Step { name, since: Some(begun), waits_for })
}

/// What an object waits for without a success: its interval begins with one.
fn pause(conditions: &[Condition]) -> Option<String> {
    stalled(conditions).or_else(|| {
        let ready = find(conditions, READY).filter(|ready| ready.status != ConditionStatus::True)?;
        Some(format!("the next attempt, after {}", ready.reason))
    })
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
        let reference = ObjectRef::from_obj(object);
        Activity {
            suspended: object.is_suspended(),
            ready: Ready::of(object.conditions()),
            step: step("build", self.builds.underway(&reference))
                .or_else(|| step("fetch", self.background.underway(&reference))),
            pause: pause(object.conditions()),
        }
    }

    fn outlasted(&self, object: &ObjectRef<U::Object>) {
        self.background.forget(object);
        self.builds.forget(object);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::pending;

    use api::GitRepository;
    use jiff::Timestamp;
    use runtime::conditions::{Conditions, STALLED};
    use runtime::controller::Waker;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_outlasts_its_pass_is_a_step_that_may_wait_for_its_turn() {
        let budget = Budget::new(budget::Limits { process: 100, tenant: 100 });
        let fetches = Background::<GitRepository, u8, u8>::new(Waker::default(), budget, Some(1));
        let source = |name: &str| ObjectRef::new(name).within("ns");
        for name in ["first", "second"] {
            let fetch = |host: crate::background::Host| async move {
                let _slot = host.slot(name).await;
                pending().await
            };
            assert_eq!(fetches.run(&source(name), 0, "host", fetch).await, None);
        }
        // The second one has asked for its slot when this goes on.
        tokio::task::yield_now().await;
        let told = |name: &str| {
            let Step { name, since, waits_for } = step("fetch", fetches.underway(&source(name)))?;
            Some((name, since.is_some(), waits_for))
        };
        assert_eq!(told("first"), Some(("fetch", true, None)));
        let turn = "its turn: its host is asked by 1 already";
        assert_eq!(told("second"), Some(("fetch", true, Some(turn.to_owned()))));
        assert_eq!(told("third"), None);
    }

    #[test]
    fn a_pause_is_told_of_what_has_not_succeeded() {
        for (status, reason, is_stalled, expected) in [
            (ConditionStatus::True, "Succeeded", false, None),
            (
                ConditionStatus::False,
                "GitOperationFailed",
                false,
                Some("the next attempt, after GitOperationFailed"),
            ),
            (ConditionStatus::Unknown, "Progressing", false, Some("the next attempt, after Progressing")),
            (
                ConditionStatus::False,
                "URLInvalid",
                true,
                Some("a change of the object, which is stalled: URLInvalid"),
            ),
        ] {
            let mut list = Vec::new();
            let mut conditions = Conditions::new(&mut list, 1, Timestamp::UNIX_EPOCH);
            conditions.set(READY, status, reason, "canary");
            if is_stalled {
                conditions.set(STALLED, ConditionStatus::True, reason, "canary");
            }
            assert_eq!(pause(&list).as_deref(), expected, "{reason}");
        }
        assert_eq!(pause(&[]), None);
    }
}
