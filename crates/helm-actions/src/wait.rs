//! Waits: for objects to be ready, for hooks to have run, for deleted objects to be gone. Each has a deadline.
//!
//! What the API server answered when an object was written tells of most of them that they are ready. The others are watched,
//! those of one kind and namespace by one watch. Where there are too many kinds and namespaces, objects of the rest are asked for in turn.

mod follow;
mod legacy;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use apply::error::RequestError;
use apply::kstatus::custom::HealthRules;
use apply::kstatus::{Status, Verdict, verdict};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::configuration::Configuration;
use crate::options::{Wait, WaitStrategy};
use crate::resources::Resource;
use crate::steps::Step;

use follow::Group;

/// Watches that one wait has. Objects that would need more are asked for one by one.
const MOST_WATCHES: usize = 32;
/// How long an object has to have failed: a Deployment that did is seen so once more after a change, before its controller looks at it.
/// Flux looks every 5 seconds, and hardly sees that.
const SETTLING: Duration = Duration::from_secs(2);

/// What objects that are ready are called.
const CURRENT: &str = "Current";

/// Why a wait has ended too soon, in the words of Flux.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// There was not enough time.
    #[error("timeout waiting for: [{0}]")]
    Timeout(String),
    /// Objects have failed.
    #[error("failed early due to stalled resources: [{0}]")]
    Stalled(String),
    /// A deleted object is still there.
    #[error("{0} termination timeout: context deadline exceeded")]
    Termination(String),
    /// There was not enough time, by the rules of Helm 3.
    #[error("context deadline exceeded")]
    Deadline,
    /// There was not enough time for a hook, by the rules of Helm 3.
    #[error("timed out waiting for the condition")]
    HookDeadline,
    /// A Job or Pod has failed, by the rules of Helm 3.
    #[error("{0}")]
    Hook(String),
    /// An object is not there any more, by the rules of Helm 3.
    #[error("{0} not found")]
    Missing(String),
    /// An object cannot be read.
    #[error(transparent)]
    Read(#[from] RequestError),
    /// Somebody wanted it to end.
    #[error("context canceled")]
    Canceled,
}

/// By which rules objects are ready.
#[derive(Clone, Debug)]
struct Judge {
    rules: Option<Arc<HealthRules>>,
    subject: Subject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Objects { for_jobs: bool },
    Hooks,
}

impl Judge {
    fn verdict(&self, object: &Value) -> Verdict {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("/apiVersion"), text("/kind"));
        let group = apply::object::split_api_version(api_version).0;
        if let Some(rule) = self.rules.as_ref().and_then(|rules| rules.of(group, kind)) {
            return rule.verdict(object);
        }
        let judged = verdict(object, Timestamp::now());
        match (self.subject, group, kind) {
            (Subject::Hooks, "batch", "Job") => judged,
            (Subject::Hooks, "", "Pod") => pod_of_hook(text("/status/phase"), judged),
            (Subject::Hooks, _, _) => current(),
            // A Job is as good as ready once it runs.
            (Subject::Objects { for_jobs: false }, "batch", "Job")
                if judged.status == Status::InProgress && !text("/status/startTime").is_empty() =>
            {
                Verdict { status: Status::Current, ..judged }
            }
            (Subject::Objects { .. }, _, _) => judged,
        }
    }
}

/// A Pod of a hook is to end, and to end well.
fn pod_of_hook(phase: &str, judged: Verdict) -> Verdict {
    let status = match phase {
        "Succeeded" => Status::Current,
        "Failed" => Status::Failed,
        _ => Status::InProgress,
    };
    Verdict { status, fails_at: None, ..judged }
}

/// Waits until the objects of a release are ready.
///
/// # Errors
/// One has failed, they are not ready in time, or the wait is ended.
pub(crate) async fn for_objects(
    configuration: &Configuration,
    mut resources: Vec<Resource>,
    wait: &Wait,
) -> Result<(), WaitError> {
    let ready = async {
        match wait.strategy {
            WaitStrategy::HooksOnly => Ok(()),
            WaitStrategy::Status => {
                let subject = Subject::Objects { for_jobs: wait.for_jobs };
                let judge = Judge { rules: wait.rules.clone(), subject };
                until_ready(configuration, resources, judge, wait.timeout).await
            }
            WaitStrategy::Legacy => {
                configuration.steps.tell(Step::Wait { open: None, count: resources.len() });
                begin_wait(configuration, &mut resources);
                let ready = legacy::until_ready(configuration, &resources, wait.for_jobs);
                tokio::time::timeout(wait.timeout, ready).await.unwrap_or(Err(WaitError::Deadline))
            }
        }
    };
    let stop = &configuration.stop;
    tokio::select! {
        ended = ready => ended,
        () = stop.interrupt.cancelled() => Err(WaitError::Canceled),
        () = stop.shutdown.cancelled() => Err(WaitError::Canceled),
    }
}

/// Waits until a hook has done its work.
///
/// # Errors
/// It has failed, is not done in time, or the wait is ended.
pub(crate) async fn for_hook(
    configuration: &Configuration,
    mut resources: Vec<Resource>,
    wait: &Wait,
) -> Result<(), WaitError> {
    let done = async {
        match wait.strategy {
            WaitStrategy::HooksOnly | WaitStrategy::Status => {
                let judge = Judge { rules: wait.rules.clone(), subject: Subject::Hooks };
                until_ready(configuration, resources, judge, wait.timeout).await
            }
            WaitStrategy::Legacy => {
                begin_wait(configuration, &mut resources);
                let done = legacy::until_done(configuration, &resources);
                tokio::time::timeout(wait.timeout, done).await.unwrap_or(Err(WaitError::HookDeadline))
            }
        }
    };
    tokio::select! {
        ended = done => ended,
        () = configuration.stop.shutdown.cancelled() => Err(WaitError::Canceled),
    }
}

/// Waits until deleted objects are gone.
///
/// # Errors
/// One is still there in the end, or the wait is ended.
pub(crate) async fn for_deletion(
    configuration: &Configuration,
    resources: Vec<Resource>,
    wait: &Wait,
) -> Result<(), WaitError> {
    match wait.strategy {
        WaitStrategy::HooksOnly => Ok(()),
        _ => for_end(configuration, resources, wait).await,
    }
}

/// Waits until deleted objects of a hook are gone, whatever else is waited for: what is not gone would be taken for the new one.
///
/// # Errors
/// As [`for_deletion`].
pub(crate) async fn for_end(
    configuration: &Configuration,
    mut resources: Vec<Resource>,
    wait: &Wait,
) -> Result<(), WaitError> {
    configuration.log.debug("waiting for resources to be deleted", [("count", resources.len().into())]);
    let deadline = Instant::now() + wait.timeout;
    begin_wait(configuration, &mut resources);
    let gone = async {
        for resource in &resources {
            let gone = follow::until_gone(&configuration.client, resource, configuration.request_timeout);
            if tokio::time::timeout_at(deadline, gone).await.is_err() {
                return Err(match wait.strategy {
                    WaitStrategy::Legacy => WaitError::Deadline,
                    _ => WaitError::Termination(resource.id.subject()),
                });
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = gone => ended,
        () = configuration.stop.shutdown.cancelled() => Err(WaitError::Canceled),
    }
}

/// A wait for these objects begins: their content is dropped, and what is kept for a later look.
fn begin_wait(configuration: &Configuration, resources: &mut [Resource]) {
    resources.iter_mut().for_each(Resource::forget);
    configuration.kept.clear();
    configuration.memory.wait_for(resources.len());
}

/// How objects stand, by their places in the list of those that are waited for; nothing for those that are not there.
type States = BTreeMap<usize, Option<Verdict>>;

fn status(verdict: Option<&Verdict>) -> Status {
    verdict.map_or(Status::NotFound, |verdict| verdict.status)
}

async fn until_ready(
    configuration: &Configuration,
    mut resources: Vec<Resource>,
    judge: Judge,
    timeout: Duration,
) -> Result<(), WaitError> {
    let timeout_nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    configuration.log.debug(
        "waiting for resources",
        [("count", resources.len().into()), ("timeout", timeout_nanos.into())],
    );
    let mut states = States::new();
    for (place, resource) in resources.iter().enumerate() {
        if !is_paused(resource) {
            states.insert(place, resource.live.as_ref().map(|live| judge.verdict(live)));
        }
    }
    let deadline = Instant::now() + timeout;
    let ended = tokio::time::timeout_at(deadline, watch(configuration, &mut resources, &judge, &mut states));
    let is_late = ended.await.is_err();
    let stands = states.iter().map(|(place, verdict)| (*place, status(verdict.as_ref())));
    let told: Vec<String> = stands
        .filter(|(_, status)| *status == Status::Failed || (is_late && *status != Status::Current))
        .filter_map(|(place, status)| {
            Some(format!("{} status: '{}'", resources.get(place)?.id, status.as_str()))
        })
        .collect();
    match told.join(", ") {
        none if none.is_empty() => {
            configuration.log.debug(
                "all resources achieved desired status",
                [("desiredStatus", CURRENT.into()), ("resourceCount", states.len().into())],
            );
            Ok(())
        }
        all if is_late => Err(WaitError::Timeout(all)),
        all => Err(WaitError::Stalled(all)),
    }
}

/// Follows all objects that are not ready, until they are, or enough of them have failed.
async fn watch(
    configuration: &Configuration,
    resources: &mut [Resource],
    judge: &Judge,
    states: &mut States,
) {
    let fails_fast = judge.subject != Subject::Hooks;
    let has_failed =
        |states: &States| states.values().flatten().any(|verdict| verdict.status == Status::Failed);
    let has_ended = |states: &States| {
        let mut all = states.values().map(|verdict| status(verdict.as_ref()));
        all.all(|status| status == Status::Current || (!fails_fast && status == Status::Failed))
    };
    if has_ended(states) {
        return;
    }
    let settled = |states: &States| (fails_fast && has_failed(states)).then(|| Instant::now() + SETTLING);
    let mut gives_up = settled(states);
    let open = states.iter().filter(|(_, verdict)| status(verdict.as_ref()) != Status::Current);
    let open = open.filter_map(|(place, _)| Some((*place, resources.get(*place)?)));
    let mut watched = Group::all(open, &configuration.manager);
    let polled = watched.split_off(MOST_WATCHES.min(watched.len()));
    let cleaning: BTreeSet<usize> =
        resources.iter().zip(0..).filter(|(resource, _)| has_ttl(resource)).map(|(_, place)| place).collect();
    begin_wait(configuration, resources);
    let (client, timeout) = (&configuration.client, configuration.request_timeout);
    let follow = |group: Group| follow::states(client.clone(), group, judge.clone(), timeout).boxed();
    let watched = stream::iter(watched).map(follow).flatten_unordered(MOST_WATCHES);
    let polled = follow::polled(client.clone(), polled, judge.clone(), timeout);
    let mut changes = pin!(stream::select(watched, polled));
    loop {
        if judge.subject != Subject::Hooks {
            let open = states.values().filter(|verdict| status(verdict.as_ref()) != Status::Current).count();
            configuration.steps.tell(Step::Wait { open: Some(open), count: states.len() });
        }
        tell_first(configuration, resources, states);
        tokio::select! {
            change = changes.next() => match change {
                Some((place, verdict)) => drop(states.insert(place, with_ttl(cleaning.contains(&place), verdict))),
                // A watch has no end.
                None => return,
            },
            () = until_next_failure(states) => {
                let now = Timestamp::now();
                states.values_mut().for_each(|verdict| *verdict = verdict.take().map(|verdict| verdict.at(now)));
            }
            () = at(gives_up) => return,
        }
        if has_ended(states) {
            return;
        }
        gives_up = gives_up.filter(|_| has_failed(states)).or_else(|| settled(states));
    }
}

/// A moment, or none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Names one of the objects that are waited for.
fn tell_first(configuration: &Configuration, resources: &[Resource], states: &States) {
    let open = states.iter().map(|(place, verdict)| (place, status(verdict.as_ref())));
    let open = open.filter(|(_, status)| !matches!(status, Status::Current | Status::Failed));
    let open = open.filter_map(|(place, status)| Some((resources.get(*place)?, status)));
    let Some((resource, status)) = open.min_by(|(a, _), (b, _)| a.id.name.cmp(&b.id.name)) else { return };
    let [namespace, name, kind] = resource.named();
    let (expected, actual) = (("expectedStatus", CURRENT.into()), ("actualStatus", status.as_str().into()));
    configuration.log.debug("waiting for resource", [namespace, name, kind, expected, actual]);
}

/// When the next object that does not change counts as failed.
async fn until_next_failure(states: &States) {
    match states.values().flatten().filter_map(|verdict| verdict.fails_at).min() {
        Some(end) => {
            let left = end.duration_since(Timestamp::now()).try_into().unwrap_or_default();
            tokio::time::sleep(left).await;
        }
        None => std::future::pending().await,
    }
}

/// A Job that cleans up behind itself has been there.
fn with_ttl(cleans_up: bool, verdict: Option<Verdict>) -> Option<Verdict> {
    match verdict {
        None if cleans_up => Some(current()),
        verdict => verdict,
    }
}

fn current() -> Verdict {
    Verdict { status: Status::Current, message: String::new(), fails_at: None }
}

/// Helm does not wait for what does not go on, whoever stopped it.
fn is_paused(resource: &Resource) -> bool {
    let object = resource.live.as_ref().unwrap_or(&resource.object);
    let paused = object.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or_default();
    paused && resource.id.group == "apps" && resource.id.kind == "Deployment"
}

fn has_ttl(resource: &Resource) -> bool {
    let is_job = resource.id.group == "batch" && resource.id.kind == "Job";
    is_job && resource.object.pointer("/spec/ttlSecondsAfterFinished").is_some_and(|ttl| !ttl.is_null())
}
