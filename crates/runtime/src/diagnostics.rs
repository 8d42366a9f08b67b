//! `/debug/objects`: what a process does with each of its objects, for who asks why one of them does not move.
//!
//! Nothing is kept for it: what is told is read where it is when somebody asks. Names, reasons of conditions and steps are told, and
//! nothing else that a tenant writes: no specs, no messages, no URLs.

mod activity;
mod query;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{
    conditions::{Condition, READY, STALLED, find, is_true},
    metrics::Metrics,
};

pub use activity::{Activity, Pause, Progress, Step, missing_dependency, objects};
pub(crate) use query::{Place, Query, QueryError};

/// What the Ready condition says, without its message.
#[derive(Debug, Serialize)]
pub struct Ready {
    /// Its status.
    pub status: &'static str,
    /// Its reason.
    pub reason: String,
}

impl Ready {
    /// What is told of the Ready condition among these.
    pub fn of(conditions: &[Condition]) -> Option<Self> {
        find(conditions, READY)
            .map(|ready| Self { status: ready.status.as_str(), reason: ready.reason.clone() })
    }
}

/// What an object with these conditions waits for, if it is stalled.
pub fn stalled(conditions: &[Condition]) -> Option<String> {
    let reason = find(conditions, READY).map(|ready| ready.reason.as_str()).unwrap_or_default();
    is_true(conditions, STALLED).then(|| format!("a change of the object, which is stalled: {reason}"))
}

/// One object in the answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectState {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub generation: Option<i64>,
    pub suspended: bool,
    pub deleting: bool,
    pub ready: Option<Ready>,
    /// The last pass.
    pub last: Option<LastState>,
    /// What goes on now.
    pub running: Option<StepState>,
    /// When it comes next, and why not now.
    pub next: Option<NextState>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LastState {
    pub ended: String,
    pub seconds: f64,
    pub result: &'static str,
    /// Failures in a row.
    pub failures: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepState {
    pub step: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct NextState {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    pub why: String,
}

/// How many objects of a kind are where.
#[derive(Debug, Serialize)]
pub(crate) struct QueueState {
    pub kind: String,
    pub objects: usize,
    pub due: usize,
    pub running: usize,
    pub scheduled: usize,
}

/// The objects of one kind, for who asks about them.
pub(crate) trait Inspect: Send + Sync {
    fn kind(&self) -> String;

    fn queue(&self) -> QueueState;

    /// The first objects that `query` asks for, in the order of their names, and no more than `most`.
    fn objects(&self, query: &Query, most: usize) -> Vec<ObjectState>;
}

/// The process. Its flags are in its log: they hold addresses and names of accounts.
#[derive(Debug, Serialize)]
pub(crate) struct ProcessState {
    pub name: &'static str,
    pub version: &'static str,
    pub revision: &'static str,
    pub started: String,
    pub gates: BTreeMap<&'static str, bool>,
}

#[derive(Serialize)]
struct Answer<'a> {
    process: Option<&'a ProcessState>,
    now: String,
    queues: Vec<QueueState>,
    totals: BTreeMap<String, f64>,
    objects: Vec<ObjectState>,
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What `/debug/objects` tells of. Clones share it.
#[derive(Clone, Default)]
pub struct Diagnostics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    process: Option<ProcessState>,
    kinds: Mutex<Vec<Box<dyn Inspect>>>,
}

impl Diagnostics {
    /// Those of a process that has no objects yet.
    pub(crate) fn new(process: ProcessState) -> Self {
        Self(Arc::new(Inner { process: Some(process), kinds: Mutex::default() }))
    }

    /// Tells of the objects of a kind from now on.
    pub(crate) fn add(&self, kind: Box<dyn Inspect>) {
        let mut kinds = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.push(kind);
        kinds.sort_by_key(|kind| kind.kind());
    }

    /// The answer to a query, as JSON.
    ///
    /// # Errors
    /// For a query that makes no sense.
    pub(crate) fn answer(&self, query: &str, metrics: &Metrics) -> Result<String, QueryError> {
        let query = Query::parse(query)?;
        let kinds = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut objects = Vec::new();
        for kind in kinds.iter().filter(|kind| query.concerns(&kind.kind())) {
            // One more than there is room for tells that there are more.
            objects.extend(kind.objects(&query, query.limit + 1 - objects.len()));
        }
        let is_cut = objects.len() > query.limit;
        objects.truncate(query.limit);
        let place =
            |object: &ObjectState| Place::new(&object.kind, &object.namespace, &object.name).to_string();
        let answer = Answer {
            process: self.0.process.as_ref(),
            now: text(Timestamp::now()),
            queues: kinds
                .iter()
                .filter(|kind| query.concerns(&kind.kind()))
                .map(|kind| kind.queue())
                .collect(),
            totals: totals(metrics),
            next: objects.last().filter(|_| is_cut).map(place),
            objects,
        };
        // Texts and numbers can always be written.
        Ok(serde_json::to_string_pretty(&answer).unwrap_or_default() + "\n")
    }
}

/// Budgets and sizes by name, such as `budget fetch used` and `kept_bytes git_caches`.
fn totals(metrics: &Metrics) -> BTreeMap<String, f64> {
    let name = |sample: &crate::metrics::Sample| {
        let labels = sample.labels.iter().rev().map(|(_, value)| value.as_str());
        std::iter::once(sample.name.trim_start_matches("gotk_")).chain(labels).collect::<Vec<_>>().join(" ")
    };
    metrics.totals().iter().map(|sample| (name(sample), sample.value)).collect()
}

/// The time of the wall clock at an instant.
pub(crate) fn wall_time(instant: Instant) -> String {
    let (now, wall) = (Instant::now(), Timestamp::now());
    let signed = |time: Duration| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    let time = match instant.checked_duration_since(now) {
        Some(ahead) => wall.checked_add(signed(ahead)),
        None => wall.checked_sub(signed(now.saturating_duration_since(instant))),
    };
    text(time.unwrap_or(wall))
}

pub(crate) fn text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
