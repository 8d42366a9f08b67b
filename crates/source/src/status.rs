//! How a pass shows in the status: pure functions on the object in memory. When it is written is `crate::pass`'s affair.

mod artifact;
mod end;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use self::artifact::{
    answered, artifact_missing, fetched, in_storage, new_revision, outdated, up_to_date, verified,
};
pub use self::end::{End, Snapshot, end, news, unready};

use api::ConditionStatus;
use api::meta::RECONCILE_REQUEST_ANNOTATION;
use api::source::Source;
use jiff::Timestamp;
use kube::core::object::HasStatus;
use kube::{Resource, ResourceExt};
use runtime::conditions::{Conditions, find};

use crate::background::Queued;
use crate::failure::condition::*;
use crate::failure::reason;

/// The conditions that decide on Ready, most important first. A kind that has not all of them never sets the others.
const CONDITION_ORDER: [&str; 9] = [
    STORAGE_OPERATION_FAILED,
    FETCH_FAILED,
    BUILD_FAILED,
    INCLUDE_UNAVAILABLE,
    ARTIFACT_OUTDATED,
    ARTIFACT_IN_STORAGE,
    SOURCE_VERIFIED,
    STALLED,
    RECONCILING,
];

/// Those of them that are bad news when True.
const NEGATIVE_CONDITIONS: [&str; 7] = [
    STORAGE_OPERATION_FAILED,
    FETCH_FAILED,
    BUILD_FAILED,
    INCLUDE_UNAVAILABLE,
    ARTIFACT_OUTDATED,
    STALLED,
    RECONCILING,
];

/// The conditions that nobody else may write.
pub fn owned() -> Vec<&'static str> {
    [&CONDITION_ORDER[..], &[READY]].concat()
}

/// The object's conditions, to be changed at the time `now`.
pub fn conditions<K: Source + Resource>(object: &mut K, now: Timestamp) -> Conditions<'_> {
    let generation = object.meta().generation.unwrap_or_default();
    Conditions::new(object.status_mut().conditions, generation, now)
}

/// Reconciling, and Ready unknown if the object is known to be behind or was never judged.
pub fn progressing(conditions: &mut Conditions<'_>, behind: bool, message: &str) {
    conditions.reconciling(reason::PROGRESSING, message);
    let unjudged = conditions.get(READY).is_none_or(|ready| ready.status == ConditionStatus::Unknown);
    if behind || unjudged {
        conditions.set(READY, ConditionStatus::Unknown, reason::PROGRESSING, message);
    }
}

/// What is told of work that waited for its turn and has it.
pub const BEGUN: &str = "reconciliation in progress";

/// What is told of work that waits for its turn begins so.
const QUEUED: &str = "waiting to ";

/// Why a fetch or a build has not begun.
pub fn queued_message(work: &str, queued: Queued) -> String {
    format!("{QUEUED}{work}: {queued}")
}

/// Whether the status tells of work that waits for its turn.
pub fn is_queued<K: Source>(object: &K) -> bool {
    find(object.conditions(), RECONCILING).is_some_and(|condition| condition.message.starts_with(QUEUED))
}

/// Tells what the pass is at.
pub fn progress<K: Source + Resource>(object: &mut K, message: &str, now: Timestamp) {
    progressing(&mut conditions(object, now), false, message);
}

/// The pass begins. Gives whether that is to be written at once: somebody changed the object or asked for the pass.
pub fn begin<K: Source + Resource>(object: &mut K, now: Timestamp) -> bool {
    let news = is_news(object);
    let generation = object.meta().generation.unwrap_or_default();
    let observed = object.observed_generation().unwrap_or_default();
    let mut conditions = conditions(object, now);
    progressing(&mut conditions, false, BEGUN);
    if generation != observed {
        let message = format!("processing object: new generation {observed} -> {generation}");
        progressing(&mut conditions, false, &message);
    }
    conditions.remove(STORAGE_OPERATION_FAILED);
    news
}

/// Whether somebody changed the object or asked for a pass.
pub fn is_news<K: Source + Resource>(object: &K) -> bool {
    let observed = object.observed_generation().unwrap_or_default();
    let requested = request(object).is_some_and(|token| object.handled_request() != Some(&token));
    object.meta().generation.unwrap_or_default() != observed || requested
}

/// Takes over the whole status of another version of the object.
pub fn copy<K: HasStatus<Status: Clone>>(object: &mut K, from: &K) {
    *object.status_mut() = from.status().cloned();
}

/// The token of the last request for a pass.
pub fn request<K: Resource>(object: &K) -> Option<String> {
    object.annotations().get(RECONCILE_REQUEST_ANNOTATION).cloned()
}
