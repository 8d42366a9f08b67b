//! Failures: conditions, event, observed generation, and when the next pass is.

use std::sync::Arc;

use artifact::ignore::IgnoreError;

use super::upstream::{Fetch, Scripted};
use super::{Fixture, script};
use crate::failure::Failure;

/// What fails, and how that shows.
struct Case {
    upstream: Scripted,
    outcome: &'static str,
    conditions: &'static [&'static str],
    observed_generation: Option<i64>,
    event: &'static str,
}

fn spec(failure: Failure) -> Scripted {
    Scripted { spec_failure: Some(failure), ..Scripted::default() }
}

fn build(failure: Failure) -> Scripted {
    Scripted { build_failure: Some(failure).into(), ..script([Fetch::Revision("one")]) }
}

const RETRYING: &str = "Reconciling=True/ProgressingWithRetry building artifact";
const RETRYING_BUILD: &str = "Reconciling=True/ProgressingWithRetry building artifact: new revision 'one'";

#[tokio::test(start_paused = true)]
async fn a_failure_decides_on_conditions_event_and_next_pass() {
    let cases = [
        Case {
            upstream: spec(Failure::fetch("URLInvalid", "bad url").stalling()),
            outcome: "wait",
            conditions: &[
                "Stalled=True/URLInvalid bad url",
                "Ready=False/URLInvalid bad url",
                "FetchFailed=True/URLInvalid bad url",
            ],
            observed_generation: Some(1),
            event: "Warning URLInvalid bad url",
        },
        Case {
            upstream: spec(Failure::include("NotFound", "no such source")),
            outcome: "again after 30s",
            conditions: &[
                RETRYING,
                "Ready=False/NotFound no such source",
                "IncludeUnavailable=True/NotFound no such source",
            ],
            observed_generation: None,
            event: "Normal NotFound no such source",
        },
        Case {
            upstream: script([Fetch::Fails(Failure::fetch("GitOperationFailed", "no route"))]),
            outcome: "failed: no route",
            conditions: &[
                RETRYING,
                "Ready=False/GitOperationFailed no route",
                "FetchFailed=True/GitOperationFailed no route",
            ],
            observed_generation: None,
            event: "Warning GitOperationFailed no route",
        },
        Case {
            upstream: script([Fetch::Fails(Failure::verification("InvalidCommitSignature", "not signed"))]),
            outcome: "failed: not signed",
            conditions: &[
                RETRYING,
                "Ready=False/InvalidCommitSignature not signed",
                "SourceVerified=False/InvalidCommitSignature not signed",
            ],
            observed_generation: None,
            event: "Warning InvalidCommitSignature not signed",
        },
        Case {
            upstream: build(Failure::artifact("archive", "disk full")),
            outcome: "failed: unable to archive artifact to storage: disk full",
            conditions: &[
                RETRYING_BUILD,
                "Ready=False/ArchiveOperationFailed unable to archive artifact to storage: disk full",
                "StorageOperationFailed=True/ArchiveOperationFailed unable to archive artifact to storage: disk full",
            ],
            observed_generation: None,
            event: "Warning ArchiveOperationFailed unable to archive artifact to storage: disk full",
        },
        Case {
            upstream: build(IgnoreError::FileBytes(7).into()),
            outcome: "failed: failed to load source ignore patterns from repository: \
                      an ignore file exceeds the limit of 7 bytes",
            conditions: &[
                RETRYING_BUILD,
                "Ready=False/ProgressingWithRetry building artifact: new revision 'one'",
            ],
            observed_generation: None,
            event: "Warning SourceIgnoreError failed to load source ignore patterns from repository: \
                    an ignore file exceeds the limit of 7 bytes",
        },
    ];
    for case in cases {
        let fixture = Fixture::new(case.upstream);
        assert_eq!(fixture.reconcile().await, case.outcome);
        assert_eq!(fixture.conditions(), case.conditions, "{}", case.event);
        assert_eq!(fixture.observed_generation(), case.observed_generation, "{}", case.event);
        assert_eq!(fixture.events().await, [case.event]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_leaves_the_artifact_and_its_end_is_an_event() {
    let failure = Failure::fetch("GitOperationFailed", "no route");
    let fetches = [Fetch::Fails(failure), Fetch::Revision("one")];
    let fixture = Fixture::stored("one", script(fetches)).await;
    assert_eq!(fixture.reconcile().await, "failed: no route");
    assert_eq!(fixture.revision().as_deref(), Some("one"));
    assert_eq!(
        fixture.conditions(),
        [
            "Reconciling=True/ProgressingWithRetry reconciliation in progress",
            "Ready=False/GitOperationFailed no route",
            "ArtifactInStorage=True/Succeeded stored artifact for revision 'one'",
            "FetchFailed=True/GitOperationFailed no route",
        ]
    );
    assert_eq!(fixture.reconcile().await, "again after 600s");
    assert_eq!(
        fixture.events().await,
        [
            "Normal NewArtifact stored artifact for title of one",
            "Warning GitOperationFailed no route",
            "Normal Succeeded stored artifact for what is known",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_build_says_that_the_artifact_is_outdated() {
    let mut fixture = Fixture::stored("one", Scripted::default()).await;
    let failing = Scripted {
        build_failure: Some(Failure::artifact("archive", "disk full")).into(),
        ..script([Fetch::Revision("two")])
    };
    fixture.controller.upstream = Arc::new(failing);
    assert_eq!(fixture.reconcile().await, "failed: unable to archive artifact to storage: disk full");
    let outdated = "ArtifactOutdated=True/NewRevision new revision 'two'".to_owned();
    assert!(fixture.conditions().contains(&outdated), "{:?}", fixture.conditions());
    assert_eq!(fixture.revision().as_deref(), Some("one"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_longest_timeout_names_the_argument() {
    for (timeout, expected) in
        [("20m", "failed: too slow (--max-timeout limits spec.timeout to 0s)"), ("0s", "failed: too slow")]
    {
        let mut object = super::object();
        object.spec.timeout = timeout.into();
        let mut fixture =
            Fixture::of(&object, script([Fetch::Fails(Failure::fetch("GitOperationFailed", "too slow"))]));
        fixture.controller.max_timeout = std::time::Duration::ZERO;
        assert_eq!(fixture.reconcile().await, expected);
    }
}
