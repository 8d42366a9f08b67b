//! Whole statuses, step by step.

use api::meta::RECONCILE_REQUEST_ANNOTATION;
use api::{Artifact, ConditionStatus, GitRepository, GitRepositorySpec, GitRepositoryStatus};
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::conditions::is_true;

use super::*;
use crate::failure::Failure;

const REVISION: &str = "main@sha1:1";

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn object() -> GitRepository {
    let mut object = GitRepository::new("a", GitRepositorySpec::default());
    object.metadata.generation = Some(1);
    object.status =
        Some(GitRepositoryStatus { observed_generation: Some(-1), ..GitRepositoryStatus::default() });
    object
}

fn artifact(revision: &str, digest: &str) -> Artifact {
    Artifact { revision: revision.into(), digest: digest.into(), ..Artifact::default() }
}

fn stored_text(revision: &str) -> String {
    format!("stored artifact for revision '{revision}'")
}

fn news_text(revision: &str) -> String {
    format!("new upstream revision '{revision}'")
}

/// An object after a good pass.
fn good() -> GitRepository {
    let mut object = object();
    begin(&mut object, now());
    artifact_missing(&mut object, false, now());
    new_revision(&mut object, &news_text(REVISION), now());
    object.status.get_or_insert_default().artifact = Some(artifact(REVISION, "sha256:1"));
    up_to_date(&mut object, &stored_text(REVISION), now());
    end(&mut object, &End::Success, now());
    object
}

/// `type=status/reason message` of each condition, in order.
fn shown(object: &GitRepository) -> Vec<String> {
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
    new_revision(&mut object, &news_text(REVISION), now());
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
fn ready_stays_true_while_a_poll_finds_nothing_and_is_unknown_while_a_new_revision_is_built() {
    let mut object = good();
    begin(&mut object, now());
    assert!(is_true(&object.status.as_ref().unwrap().conditions, READY));
    new_revision(&mut object, &news_text("main@sha1:2"), now());
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
    up_to_date(&mut object, &stored_text(REVISION), now());
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
        |o| new_revision(o, &news_text("main@sha1:2"), now()),
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
fn news_are_other_content_or_the_end_of_a_failure() {
    let status = |digest: &str, failing: bool| {
        let mut object = good();
        object.status.as_mut().unwrap().artifact = Some(artifact(REVISION, digest));
        if failing {
            conditions(&mut object, now()).set(FETCH_FAILED, ConditionStatus::True, "R", "m");
        }
        Snapshot::of(&object)
    };
    assert_eq!(news(&Snapshot::default(), &status("1", false)), Some("NewArtifact"));
    assert_eq!(news(&status("1", false), &status("2", false)), Some("NewArtifact"));
    assert_eq!(news(&status("1", true), &status("2", false)), Some("NewArtifact"));
    assert_eq!(news(&status("1", true), &status("1", false)), Some("Succeeded"));
    assert_eq!(news(&status("1", true), &status("1", true)), None);
    assert_eq!(news(&status("1", false), &status("1", false)), None);
}

#[test]
fn a_success_that_leaves_ready_false_is_unready() {
    let mut object = good();
    assert_eq!(unready(&object), None);
    conditions(&mut object, now()).set(STORAGE_OPERATION_FAILED, ConditionStatus::True, "R", "disk");
    end(&mut object, &End::Success, now());
    assert_eq!(unready(&object), Some("disk"));
}

#[test]
fn a_failed_build_and_a_failed_fetch_replace_each_other_and_a_success_ends_both() {
    let mut object = good();
    let kinds = |object: &GitRepository| {
        let kinds = object.conditions().iter().filter(|c| c.type_.ends_with("Failed"));
        kinds.map(|c| format!("{} {} {}", c.type_, c.reason, c.message)).collect::<Vec<_>>()
    };
    end(&mut object, &End::Failed(Failure::packaging("ChartPackageError", "chart package error: x")), now());
    assert_eq!(kinds(&object), ["BuildFailed ChartPackageError chart package error: x"]);
    assert_eq!(unready(&object), Some("chart package error: x"));
    let other =
        Failure::fetch("AuthenticationFailed", "no").observed_as("Unknown", "unknown build error: no".into());
    end(&mut object, &End::Failed(other), now());
    assert_eq!(kinds(&object), ["FetchFailed Unknown unknown build error: no"]);
    end(&mut object, &End::Failed(Failure::packaging("ChartPackageError", "x")), now());
    fetched(&mut object, now());
    in_storage(&mut object, "ChartPackageSucceeded", "packaged", now());
    end(&mut object, &End::Success, now());
    assert_eq!(kinds(&object), [""; 0]);
    assert_eq!(find(object.conditions(), ARTIFACT_IN_STORAGE).unwrap().reason, "ChartPackageSucceeded");
    assert_eq!(unready(&object), None);
}
