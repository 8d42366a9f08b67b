//! How a pass shows in the status: pure functions on the object in memory. When it is written is [`super`]'s affair.

mod artifact;
pub mod content;
mod end;
mod includes;
pub mod verification;

pub use self::artifact::{answered, artifact_missing, fetched, new_revision, stored, up_to_date};
pub use self::end::{End, end, news, unready};
pub use self::includes::{included, includes_changed};

use api::meta::RECONCILE_REQUEST_ANNOTATION;
use api::{ConditionStatus, GitRepository, GitRepositoryStatus};
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::conditions::Conditions;

use super::failure::condition::*;
use super::failure::reason;

/// The conditions that decide on Ready, most important first.
const ORDER: [&str; 8] = [
    STORAGE_OPERATION_FAILED,
    FETCH_FAILED,
    INCLUDE_UNAVAILABLE,
    ARTIFACT_OUTDATED,
    ARTIFACT_IN_STORAGE,
    SOURCE_VERIFIED,
    STALLED,
    RECONCILING,
];

/// Those of them that are bad news when True.
const NEGATIVE: [&str; 6] =
    [STORAGE_OPERATION_FAILED, FETCH_FAILED, INCLUDE_UNAVAILABLE, ARTIFACT_OUTDATED, STALLED, RECONCILING];

/// The conditions that nobody else may write.
pub fn owned() -> Vec<&'static str> {
    [&ORDER[..], &[READY]].concat()
}

fn status(object: &mut GitRepository) -> &mut GitRepositoryStatus {
    object.status.get_or_insert_default()
}

/// The object's conditions, to be changed at the time `now`.
pub fn conditions(object: &mut GitRepository, now: Timestamp) -> Conditions<'_> {
    let generation = object.metadata.generation.unwrap_or_default();
    Conditions::new(&mut status(object).conditions, generation, now)
}

/// Reconciling, and Ready unknown if the object is known to be behind or was never judged.
fn progressing(conditions: &mut Conditions<'_>, behind: bool, message: &str) {
    conditions.reconciling(reason::PROGRESSING, message);
    let unjudged = conditions.get(READY).is_none_or(|ready| ready.status == ConditionStatus::Unknown);
    if behind || unjudged {
        conditions.set(READY, ConditionStatus::Unknown, reason::PROGRESSING, message);
    }
}

/// The pass begins. Gives whether that is to be written at once: somebody changed the object or asked for the pass.
pub fn begin(object: &mut GitRepository, now: Timestamp) -> bool {
    let news = is_news(object);
    let generation = object.metadata.generation.unwrap_or_default();
    let observed = status(object).observed_generation.unwrap_or_default();
    let mut conditions = conditions(object, now);
    progressing(&mut conditions, false, "reconciliation in progress");
    if generation != observed {
        let message = format!("processing object: new generation {observed} -> {generation}");
        progressing(&mut conditions, false, &message);
    }
    conditions.remove(STORAGE_OPERATION_FAILED);
    news
}

/// Whether somebody changed the object or asked for a pass.
pub fn is_news(object: &GitRepository) -> bool {
    let handled = object.status.as_ref().and_then(|status| status.last_handled_reconcile_at.clone());
    let observed = object.status.as_ref().and_then(|status| status.observed_generation);
    let requested = request(object).is_some_and(|token| handled != Some(token));
    object.metadata.generation.unwrap_or_default() != observed.unwrap_or_default() || requested
}

/// The token of the last request for a pass.
pub fn request(object: &GitRepository) -> Option<String> {
    object.annotations().get(RECONCILE_REQUEST_ANNOTATION).cloned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use api::Artifact;
    use runtime::conditions::is_true;

    pub(super) const REVISION: &str = "main@sha1:1";

    pub(super) fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    pub(super) fn object() -> GitRepository {
        let mut object = GitRepository::new("a", api::GitRepositorySpec::default());
        object.metadata.generation = Some(1);
        object.status =
            Some(GitRepositoryStatus { observed_generation: Some(-1), ..GitRepositoryStatus::default() });
        object
    }

    pub(super) fn artifact(revision: &str, digest: &str) -> Artifact {
        Artifact { revision: revision.into(), digest: digest.into(), ..Artifact::default() }
    }

    /// An object after a good pass.
    pub(super) fn good() -> GitRepository {
        let mut object = object();
        begin(&mut object, now());
        artifact_missing(&mut object, false, now());
        new_revision(&mut object, REVISION, now());
        stored(&mut object, artifact(REVISION, "sha256:1"), Vec::new());
        up_to_date(&mut object, REVISION, now());
        end(&mut object, &End::Success, now());
        object
    }

    /// `type=status/reason message` of each condition, in order.
    pub(super) fn shown(object: &GitRepository) -> Vec<String> {
        let list = &object.status.as_ref().unwrap().conditions;
        list.iter().map(|c| format!("{}={}/{} {}", c.type_, c.status, c.reason, c.message)).collect()
    }

    pub(super) fn observed(object: &GitRepository) -> Option<i64> {
        object.status.as_ref().unwrap().observed_generation
    }

    pub(super) fn request_pass(object: &mut GitRepository, token: &str) {
        object.annotations_mut().insert(RECONCILE_REQUEST_ANNOTATION.into(), token.into());
    }

    #[test]
    fn a_new_object_is_progressing_until_its_artifact_is_stored() {
        let mut object = object();
        assert!(begin(&mut object, now()));
        let text = "processing object: new generation -1 -> 1";
        assert_eq!(
            shown(&object),
            [format!("Reconciling=True/Progressing {text}"), format!("Ready=Unknown/Progressing {text}")]
        );
        artifact_missing(&mut object, false, now());
        assert_eq!(
            shown(&object),
            ["Reconciling=True/Progressing building artifact", "Ready=Unknown/Progressing building artifact"]
        );
        new_revision(&mut object, REVISION, now());
        let text = "building artifact: new upstream revision 'main@sha1:1'";
        assert_eq!(
            shown(&object),
            [format!("Reconciling=True/Progressing {text}"), format!("Ready=Unknown/Progressing {text}")]
        );
        assert_eq!(
            shown(&good()),
            [
                "Ready=True/Succeeded stored artifact for revision 'main@sha1:1'",
                "ArtifactInStorage=True/Succeeded stored artifact for revision 'main@sha1:1'",
            ]
        );
        assert_eq!(observed(&good()), Some(1));
    }

    #[test]
    fn a_quiet_pass_leaves_the_status_as_it_was() {
        let mut object = good();
        let before = object.clone();
        let later = Timestamp::from_second(1_800_000_000).unwrap();
        assert!(!begin(&mut object, later));
        assert_eq!(content::known_revision(&object, &[]).as_deref(), Some(REVISION));
        up_to_date(&mut object, REVISION, later);
        end(&mut object, &End::Success, later);
        assert_eq!(object, before);
    }

    #[test]
    fn ready_stays_true_while_a_poll_finds_nothing_and_is_unknown_while_a_new_revision_is_built() {
        let mut object = good();
        begin(&mut object, now());
        assert!(is_true(&object.status.as_ref().unwrap().conditions, READY));
        new_revision(&mut object, "main@sha1:2", now());
        let text = "new upstream revision 'main@sha1:2'";
        assert_eq!(
            shown(&object),
            [
                format!("Reconciling=True/Progressing building artifact: {text}"),
                format!("Ready=Unknown/Progressing building artifact: {text}"),
                format!("ArtifactInStorage=True/Succeeded stored artifact for revision '{REVISION}'"),
                format!("ArtifactOutdated=True/NewRevision {text}"),
            ]
        );
    }
}
