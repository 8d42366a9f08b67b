//! How a pass ends: what Ready says, what was observed, and whether that is news.

use api::source::Source;
use api::{Condition, ConditionStatus};
use jiff::Timestamp;
use kube::Resource;
use runtime::conditions::{Conditions, find, is_true};

use super::{CONDITION_ORDER, NEGATIVE_CONDITIONS, conditions, request};
use crate::failure::condition::*;
use crate::failure::{Class, Failure, reason};

/// Conditions whose end is worth an event.
const FAILURE_CONDITIONS: [&str; 4] =
    [FETCH_FAILED, BUILD_FAILED, INCLUDE_UNAVAILABLE, STORAGE_OPERATION_FAILED];

/// How a pass ended.
#[derive(Debug)]
pub enum End {
    /// The artifact is what spec and upstream ask for.
    Success,
    /// Nothing was looked at.
    Suspended,
    /// A step failed.
    Failed(Failure),
}

/// The pass is over.
pub fn end<K: Source + Resource>(object: &mut K, end: &End, now: Timestamp) {
    let requested = request(object);
    let mut conditions = conditions(object, now);
    let observed = match end {
        End::Success => {
            conditions.remove(RECONCILING);
            conditions.remove(STALLED);
            true
        }
        End::Failed(failure) => {
            if let Some(kind) = failure.condition {
                let status = match kind {
                    SOURCE_VERIFIED => ConditionStatus::False,
                    _ => ConditionStatus::True,
                };
                let (reason, message) = match &failure.observed {
                    Some((reason, message)) => (*reason, message),
                    None => (failure.reason, &failure.message),
                };
                conditions.set(kind, status, reason, message);
            }
            if failure.is_unverified {
                let message = &failure.message;
                conditions.set(SOURCE_VERIFIED, ConditionStatus::False, reason::VERIFICATION_ERROR, message);
            }
            match failure.condition {
                // There was something to look at.
                Some(SOURCE_VERIFIED | BUILD_FAILED) => conditions.remove(FETCH_FAILED),
                Some(FETCH_FAILED) => conditions.remove(BUILD_FAILED),
                _ => {}
            }
            match failure.class {
                Class::Stalling => conditions.stalled(failure.reason, &failure.message),
                Class::Generic | Class::Waiting => retrying(&mut conditions),
            }
            failure.class == Class::Stalling
        }
        End::Suspended => {
            retrying(&mut conditions);
            true
        }
    };
    conditions.summarise(&CONDITION_ORDER, &NEGATIVE_CONDITIONS);
    // Bad signatures are said louder than anything else.
    if let Some(bad) = conditions.get(SOURCE_VERIFIED).filter(|c| c.status == ConditionStatus::False).cloned()
    {
        conditions.set(READY, ConditionStatus::False, &bad.reason, bad.message);
    }
    let generation = object.meta().generation;
    let status = object.status_mut();
    if observed && !status.conditions.is_empty() {
        *status.observed_generation = generation;
    }
    if requested.is_some() {
        *status.handled_request = requested;
    }
}

/// What is still going on will be tried again.
fn retrying(conditions: &mut Conditions<'_>) {
    conditions.remove(STALLED);
    if let Some(Condition { message, .. }) = conditions.get(RECONCILING).cloned() {
        conditions.set(RECONCILING, ConditionStatus::True, reason::PROGRESSING_WITH_RETRY, message);
    }
}

/// What of a status decides whether the end of a pass is news.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    digest: Option<String>,
    failing: bool,
}

impl Snapshot {
    /// That of an object as it is.
    pub fn of(object: &impl Source) -> Snapshot {
        Snapshot {
            digest: object.artifact().map(|artifact| artifact.digest.clone()),
            failing: FAILURE_CONDITIONS.iter().any(|kind| is_true(object.conditions(), kind)),
        }
    }
}

/// The reason of the event that a successful pass is worth: other content, or the end of a failure.
pub fn news(before: &Snapshot, after: &Snapshot) -> Option<&'static str> {
    if before.digest != after.digest {
        Some(reason::NEW_ARTIFACT)
    } else if before.failing && !after.failing {
        Some(reason::SUCCEEDED)
    } else {
        None
    }
}

/// Whether a pass that thinks it succeeded left the object unready; then why.
pub fn unready(object: &impl Source) -> Option<&str> {
    let list = object.conditions();
    let ready = find(list, READY)?;
    let busy = [RECONCILING, STALLED].iter().any(|kind| find(list, kind).is_some());
    (busy || ready.status != ConditionStatus::True).then_some(ready.message.as_str())
}
