//! What there is to say of the artifact.

use api::{Artifact, ConditionStatus, GitRepository};
use jiff::Timestamp;

use super::super::failure::condition::*;
use super::super::failure::reason;
use super::{conditions, progressing, status};

/// There is no artifact (any more).
pub fn artifact_missing(object: &mut GitRepository, disappeared: bool, now: Timestamp) {
    status(object).artifact = None;
    let message =
        if disappeared { "building artifact: disappeared from storage" } else { "building artifact" };
    let mut conditions = conditions(object, now);
    progressing(&mut conditions, true, message);
    conditions.remove(ARTIFACT_IN_STORAGE);
}

/// The upstream answered, well or not. That the artifact is outdated is said anew if it is by what it answered.
pub fn answered(object: &mut GitRepository, now: Timestamp) {
    conditions(object, now).remove(ARTIFACT_OUTDATED);
}

/// The upstream answered well. What goes wrong from here on is not its fault.
pub fn fetched(object: &mut GitRepository, now: Timestamp) {
    conditions(object, now).remove(FETCH_FAILED);
}

/// The upstream has something else than what is stored.
pub fn new_revision(object: &mut GitRepository, revision: &str, now: Timestamp) {
    let outdated = status(object).artifact.is_some();
    let mut conditions = conditions(object, now);
    let message = format!("new upstream revision '{revision}'");
    if outdated {
        conditions.set(ARTIFACT_OUTDATED, ConditionStatus::True, reason::NEW_REVISION, &message);
    }
    progressing(&mut conditions, true, &format!("building artifact: {message}"));
}

/// The stored artifact is up to date with `revision`.
pub fn up_to_date(object: &mut GitRepository, revision: &str, now: Timestamp) {
    let mut conditions = conditions(object, now);
    conditions.remove(ARTIFACT_OUTDATED);
    let message = format!("stored artifact for revision '{revision}'");
    conditions.set(ARTIFACT_IN_STORAGE, ConditionStatus::True, reason::SUCCEEDED, message);
}

/// A new artifact was made from the spec as it is, and from `includes`.
pub fn stored(object: &mut GitRepository, artifact: Artifact, includes: Vec<Artifact>) {
    let spec = object.spec.clone();
    let status = status(object);
    status.artifact = Some(artifact);
    status.included_artifacts = includes;
    status.observed_ignore = spec.ignore;
    status.observed_recurse_submodules = spec.recurse_submodules;
    status.observed_include = spec.include;
    status.observed_sparse_checkout = spec.sparse_checkout;
}
