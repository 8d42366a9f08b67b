//! How a pass ends: what Ready says, what was observed, and whether that is news.

use api::{Condition, ConditionStatus, GitRepository, GitRepositoryStatus};
use jiff::Timestamp;
use runtime::conditions::{Conditions, find, is_true};

use super::super::failure::condition::*;
use super::super::failure::{Class, Failure, reason};
use super::{NEGATIVE, ORDER, conditions, request, status};

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
        conditions.set(RECONCILING, ConditionStatus::True, reason::PROGRESSING_WITH_RETRY, message);
    }
}

/// The reason of the event that a successful pass is worth: other content, or the end of a failure.
pub fn news(before: &GitRepositoryStatus, after: &GitRepositoryStatus) -> Option<&'static str> {
    let digest = |status: &GitRepositoryStatus| status.artifact.as_ref().map(|a| a.digest.clone());
    let failing =
        |status: &GitRepositoryStatus| FAILURES.iter().any(|kind| is_true(&status.conditions, kind));
    if digest(before) != digest(after) {
        Some(reason::NEW_ARTIFACT)
    } else if failing(before) && !failing(after) {
        Some(reason::SUCCEEDED)
    } else {
        None
    }
}

/// Whether a pass that thinks it succeeded left the object unready; then why.
pub fn unready(status: &GitRepositoryStatus) -> Option<&str> {
    let list = &status.conditions;
    let ready = find(list, READY)?;
    let busy = [RECONCILING, STALLED].iter().any(|kind| find(list, kind).is_some());
    (busy || ready.status != ConditionStatus::True).then_some(ready.message.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{REVISION, artifact, good, now, object, observed, request_pass, shown};
    use super::super::{begin, fetched, new_revision, up_to_date};
    use super::*;
    use kube::ResourceExt;

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
