//! How a pass shows in the status: pure functions on the object in memory. When it is written is [`super`]'s affair.

pub mod content;
pub mod verification;

use api::meta::RECONCILE_REQUEST_ANNOTATION;
use api::meta::reasons::{PROGRESSING, PROGRESSING_WITH_RETRY, SUCCEEDED};
use api::{Artifact, Condition, ConditionStatus, GitRepository, GitRepositoryStatus};
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::conditions::{self, Conditions, is_true};

use super::failure::condition::*;
use super::failure::{Class, Failure};

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

/// Conditions whose end is worth an event.
const FAILURES: [&str; 3] = [FETCH_FAILED, INCLUDE_UNAVAILABLE, STORAGE_OPERATION_FAILED];

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
    conditions.reconciling(PROGRESSING, message);
    let unjudged = conditions.get(READY).is_none_or(|ready| ready.status == ConditionStatus::Unknown);
    if behind || unjudged {
        conditions.set(READY, ConditionStatus::Unknown, PROGRESSING, message);
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

/// There is no artifact (any more).
pub fn artifact_missing(object: &mut GitRepository, disappeared: bool, now: Timestamp) {
    status(object).artifact = None;
    let message =
        if disappeared { "building artifact: disappeared from storage" } else { "building artifact" };
    let mut conditions = conditions(object, now);
    progressing(&mut conditions, true, message);
    conditions.remove(ARTIFACT_IN_STORAGE);
}

/// The upstream answered. What goes wrong from here on is not its fault.
pub fn fetched(object: &mut GitRepository, now: Timestamp) {
    conditions(object, now).remove(FETCH_FAILED);
}

/// The upstream has something else than what is stored.
pub fn new_revision(object: &mut GitRepository, revision: &str, now: Timestamp) {
    let outdated = status(object).artifact.is_some();
    let mut conditions = conditions(object, now);
    let message = format!("new upstream revision '{revision}'");
    if outdated {
        conditions.set(ARTIFACT_OUTDATED, ConditionStatus::True, "NewRevision", &message);
    }
    progressing(&mut conditions, true, &format!("building artifact: {message}"));
}

/// Other artifacts are included than before. Gives whether that is so.
pub fn includes_changed(object: &mut GitRepository, includes: &[Artifact], now: Timestamp) -> bool {
    let before = &status(object).included_artifacts;
    let known = |one: &Artifact| before.iter().any(|other| other.revision == one.revision);
    if before.len() == includes.len() && includes.iter().all(known) {
        return false;
    }
    let outdated = !before.is_empty();
    let mut conditions = conditions(object, now);
    let message = "included artifacts differ from last observed includes";
    if outdated {
        conditions.set(ARTIFACT_OUTDATED, ConditionStatus::True, "IncludeChange", message);
    }
    progressing(&mut conditions, true, &format!("building artifact: {message}"));
    true
}

/// Everything that is to be included has an artifact.
pub fn included(object: &mut GitRepository, now: Timestamp) {
    conditions(object, now).remove(INCLUDE_UNAVAILABLE);
}

/// The stored artifact is up to date with `revision`.
pub fn up_to_date(object: &mut GitRepository, revision: &str, now: Timestamp) {
    let mut conditions = conditions(object, now);
    conditions.remove(ARTIFACT_OUTDATED);
    let message = format!("stored artifact for revision '{revision}'");
    conditions.set(ARTIFACT_IN_STORAGE, ConditionStatus::True, SUCCEEDED, message);
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

/// The pass is over.
pub fn end(object: &mut GitRepository, end: &End, now: Timestamp) {
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
                conditions.set(kind, status, failure.reason, &failure.message);
            }
            if failure.condition == Some(SOURCE_VERIFIED) {
                // There was something to look at.
                conditions.remove(FETCH_FAILED);
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
    conditions.summarise(&ORDER, &NEGATIVE);
    // Bad signatures are said louder than anything else.
    if let Some(bad) = conditions.get(SOURCE_VERIFIED).filter(|c| c.status == ConditionStatus::False).cloned()
    {
        conditions.set(READY, ConditionStatus::False, &bad.reason, bad.message);
    }
    let generation = object.metadata.generation;
    let status = status(object);
    if observed && !status.conditions.is_empty() {
        status.observed_generation = generation;
    }
    if requested.is_some() {
        status.last_handled_reconcile_at = requested;
    }
}

/// What is still going on will be tried again.
fn retrying(conditions: &mut Conditions<'_>) {
    conditions.remove(STALLED);
    if let Some(Condition { message, .. }) = conditions.get(RECONCILING).cloned() {
        conditions.set(RECONCILING, ConditionStatus::True, PROGRESSING_WITH_RETRY, message);
    }
}

/// The token of the last request for a pass.
pub fn request(object: &GitRepository) -> Option<String> {
    object.annotations().get(RECONCILE_REQUEST_ANNOTATION).cloned()
}

/// The reason of the event that a successful pass is worth: other content, or the end of a failure.
pub fn news(before: &GitRepositoryStatus, after: &GitRepositoryStatus) -> Option<&'static str> {
    let digest = |status: &GitRepositoryStatus| status.artifact.as_ref().map(|a| a.digest.clone());
    let failing =
        |status: &GitRepositoryStatus| FAILURES.iter().any(|kind| is_true(&status.conditions, kind));
    if digest(before) != digest(after) {
        Some("NewArtifact")
    } else if failing(before) && !failing(after) {
        Some(SUCCEEDED)
    } else {
        None
    }
}

/// Whether a pass that thinks it succeeded left the object unready; then why.
pub fn unready(status: &GitRepositoryStatus) -> Option<&str> {
    let list = &status.conditions;
    let ready = conditions::find(list, READY)?;
    let busy = [RECONCILING, STALLED].iter().any(|kind| conditions::find(list, kind).is_some());
    (busy || ready.status != ConditionStatus::True).then_some(ready.message.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    pub(super) const REVISION: &str = "main@sha1:1";

    pub(super) fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn object() -> GitRepository {
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

    fn observed(object: &GitRepository) -> Option<i64> {
        object.status.as_ref().unwrap().observed_generation
    }

    fn request_pass(object: &mut GitRepository, token: &str) {
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

    #[test]
    fn a_failure_is_retried_and_keeps_the_observed_generation() {
        let mut object = good();
        object.metadata.generation = Some(2);
        assert!(begin(&mut object, now()));
        end(&mut object, &End::Failed(Failure::fetch("GitOperationFailed", "no route")), now());
        assert_eq!(
            shown(&object),
            [
                "Reconciling=True/ProgressingWithRetry processing object: new generation 1 -> 2",
                "Ready=False/GitOperationFailed no route",
                "FetchFailed=True/GitOperationFailed no route",
                "ArtifactInStorage=True/Succeeded stored artifact for revision 'main@sha1:1'",
            ]
        );
        assert_eq!(observed(&object), Some(1));
    }

    #[test]
    fn a_stalling_failure_is_observed_and_not_retried() {
        let mut object = object();
        begin(&mut object, now());
        end(&mut object, &End::Failed(Failure::fetch("URLInvalid", "bad").stalling()), now());
        let conditions = shown(&object);
        assert_eq!(conditions.first().unwrap(), "Stalled=True/URLInvalid bad");
        assert!(!conditions.iter().any(|c| c.starts_with("Reconciling")), "{conditions:?}");
        assert!(conditions.contains(&"Ready=False/URLInvalid bad".to_owned()));
        assert_eq!(observed(&object), Some(1));
    }

    #[test]
    fn storage_failures_are_said_before_fetch_failures() {
        let mut object = object();
        begin(&mut object, now());
        end(&mut object, &End::Failed(Failure::fetch("A", "fetch")), now());
        end(&mut object, &End::Failed(Failure::storage("B", "storage")), now());
        assert!(shown(&object).contains(&"Ready=False/B storage".to_owned()));
        begin(&mut object, now());
        fetched(&mut object, now());
        up_to_date(&mut object, REVISION, now());
        end(&mut object, &End::Success, now());
        assert_eq!(shown(&object).len(), 2, "only Ready and ArtifactInStorage are left");
    }

    #[test]
    fn a_fetch_that_failed_is_forgotten_once_one_succeeds_whatever_comes_next() {
        let failed = || {
            let mut object = good();
            end(&mut object, &End::Failed(Failure::fetch("GitOperationFailed", "no route")), now());
            begin(&mut object, now());
            object
        };
        let says_so = |object: &GitRepository| shown(object).iter().any(|c| c.contains("no route"));
        assert!(says_so(&failed()));
        let steps: [fn(&mut GitRepository); 3] = [
            |o| new_revision(o, "main@sha1:2", now()),
            |o| end(o, &End::Failed(Failure::plain("SourceIgnoreError", "bad rules")), now()),
            |o| end(o, &End::Failed(Failure::storage("ArchiveOperationFailed", "disk full")), now()),
        ];
        for step in steps {
            let mut object = failed();
            fetched(&mut object, now());
            step(&mut object);
            assert!(!says_so(&object), "{:?}", shown(&object));
        }
    }

    #[test]
    fn a_suspended_object_is_observed_and_its_request_answered() {
        let mut object = good();
        object.metadata.generation = Some(2);
        request_pass(&mut object, "now");
        end(&mut object, &End::Suspended, now());
        assert_eq!(observed(&object), Some(2));
        assert_eq!(object.status.as_ref().unwrap().last_handled_reconcile_at.as_deref(), Some("now"));
        let mut fresh = self::object();
        end(&mut fresh, &End::Suspended, now());
        assert_eq!(observed(&fresh), Some(-1), "never without conditions");
    }

    #[test]
    fn a_request_is_announced_once_and_copied_whatever_it_says() {
        for token in ["2024-01-01", "", "  "] {
            let mut object = good();
            request_pass(&mut object, token);
            assert!(begin(&mut object, now()));
            end(&mut object, &End::Failed(Failure::fetch("A", "b")), now());
            assert_eq!(object.status.as_ref().unwrap().last_handled_reconcile_at.as_deref(), Some(token));
            assert!(!begin(&mut object, now()));
            object.annotations_mut().clear();
            assert!(!begin(&mut object, now()), "a removed annotation asks for nothing");
            end(&mut object, &End::Success, now());
            assert_eq!(object.status.as_ref().unwrap().last_handled_reconcile_at.as_deref(), Some(token));
        }
    }

    #[test]
    fn sets_of_included_artifacts_are_compared_by_their_revisions_in_any_order() {
        let set = |revisions: &[&str]| -> Vec<_> { revisions.iter().map(|r| artifact(r, "d")).collect() };
        for (before, now_included, changed) in [
            (&[][..], &[][..], false),
            (&["a", "b"], &["b", "a"], false),
            (&["a"], &["b"], true),
            (&["a"], &["a", "a"], true),
            (&["a"], &[], true),
            (&[], &["a"], true),
        ] {
            let mut object = good();
            stored(&mut object, artifact(REVISION, "sha256:1"), set(before));
            assert_eq!(includes_changed(&mut object, &set(now_included), now()), changed);
            let shown = shown(&object);
            let text = "included artifacts differ from last observed includes";
            let outdated = shown.contains(&format!("ArtifactOutdated=True/IncludeChange {text}"));
            assert_eq!(outdated, changed && !before.is_empty(), "{shown:?}");
            let unknown = shown.contains(&format!("Ready=Unknown/Progressing building artifact: {text}"));
            assert_eq!(unknown, changed, "{shown:?}");
        }
    }

    #[test]
    fn a_missing_include_is_waited_for_and_forgotten_when_it_is_there() {
        let mut object = good();
        object.metadata.generation = Some(2);
        begin(&mut object, now());
        end(&mut object, &End::Failed(Failure::include("NoArtifact", "no artifact")), now());
        assert_eq!(
            shown(&object),
            [
                "Reconciling=True/ProgressingWithRetry processing object: new generation 1 -> 2",
                "Ready=False/NoArtifact no artifact",
                "IncludeUnavailable=True/NoArtifact no artifact",
                "ArtifactInStorage=True/Succeeded stored artifact for revision 'main@sha1:1'",
            ]
        );
        assert_eq!(observed(&object), Some(1));
        included(&mut object, now());
        assert!(!shown(&object).iter().any(|c| c.starts_with("IncludeUnavailable")));
    }

    #[test]
    fn news_are_other_content_or_the_end_of_a_failure() {
        let status = |digest: &str, failing: bool| {
            let mut object = good();
            object.status.as_mut().unwrap().artifact = Some(artifact(REVISION, digest));
            if failing {
                conditions(&mut object, now()).set(FETCH_FAILED, ConditionStatus::True, "R", "m");
            }
            object.status.unwrap()
        };
        assert_eq!(news(&GitRepositoryStatus::default(), &status("1", false)), Some("NewArtifact"));
        assert_eq!(news(&status("1", false), &status("2", false)), Some("NewArtifact"));
        assert_eq!(news(&status("1", true), &status("2", false)), Some("NewArtifact"));
        assert_eq!(news(&status("1", true), &status("1", false)), Some("Succeeded"));
        assert_eq!(news(&status("1", true), &status("1", true)), None);
        assert_eq!(news(&status("1", false), &status("1", false)), None);
    }

    #[test]
    fn success_that_is_not_ready_is_none() {
        let mut object = good();
        assert_eq!(unready(object.status.as_ref().unwrap()), None);
        conditions(&mut object, now()).set(STORAGE_OPERATION_FAILED, ConditionStatus::True, "R", "disk");
        end(&mut object, &End::Success, now());
        assert_eq!(unready(object.status.as_ref().unwrap()), Some("disk"));
    }
}
