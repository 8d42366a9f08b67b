//! What there is to say of the artifact.

use api::ConditionStatus;
use api::source::Source;
use jiff::Timestamp;
use kube::Resource;

use super::{conditions, progressing};
use crate::failure::condition::*;
use crate::failure::reason;

/// There is no artifact (any more).
pub fn artifact_missing<K: Source + Resource>(object: &mut K, disappeared: bool, now: Timestamp) {
    let status = object.status_mut();
    *status.artifact = None;
    if let Some(url) = status.url {
        *url = None;
    }
    let message =
        if disappeared { "building artifact: disappeared from storage" } else { "building artifact" };
    let mut conditions = conditions(object, now);
    progressing(&mut conditions, true, message);
    conditions.remove(ARTIFACT_IN_STORAGE);
}

/// The upstream answered, well or not. Clears ArtifactOutdated; it is set again if the answer differs.
pub fn answered<K: Source + Resource>(object: &mut K, now: Timestamp) {
    conditions(object, now).remove(ARTIFACT_OUTDATED);
}

/// The upstream answered well. What goes wrong from here on is not its fault.
pub fn fetched<K: Source + Resource>(object: &mut K, now: Timestamp) {
    conditions(object, now).remove(FETCH_FAILED);
}

/// The upstream has something else than what is stored; `news` says what.
pub fn new_revision<K: Source + Resource>(object: &mut K, news: &str, now: Timestamp) {
    outdated(object, reason::NEW_REVISION, news, now);
}

/// The same with another reason.
pub fn outdated<K: Source + Resource>(object: &mut K, reason: &str, news: &str, now: Timestamp) {
    let outdated = object.artifact().is_some();
    let mut conditions = conditions(object, now);
    if outdated {
        conditions.set(ARTIFACT_OUTDATED, ConditionStatus::True, reason, news);
    }
    progressing(&mut conditions, true, &format!("building artifact: {news}"));
}

/// The stored artifact is up to date; `message` says with what.
pub fn up_to_date<K: Source + Resource>(object: &mut K, message: &str, now: Timestamp) {
    in_storage(object, reason::SUCCEEDED, message, now);
}

/// The same with another reason.
pub fn in_storage<K: Source + Resource>(object: &mut K, reason: &str, message: &str, now: Timestamp) {
    let mut conditions = conditions(object, now);
    conditions.remove(ARTIFACT_OUTDATED);
    conditions.remove(BUILD_FAILED);
    conditions.set(ARTIFACT_IN_STORAGE, ConditionStatus::True, reason, message);
}

/// What was fetched is signed as the spec wants it; `message` says by whom. Without it, nobody has to have signed it.
pub fn verified<K: Source + Resource>(object: &mut K, message: Option<&str>, now: Timestamp) {
    let mut conditions = conditions(object, now);
    match message {
        Some(message) => conditions.set(SOURCE_VERIFIED, ConditionStatus::True, reason::SUCCEEDED, message),
        None => conditions.remove(SOURCE_VERIFIED),
    }
}
