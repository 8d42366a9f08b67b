//! How the end of a pass shows in the status of a GitRepository.

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use api::{ConditionStatus, GitRepository};
    use kube::ResourceExt;
    use source::failure::Failure;
    use source::failure::condition::*;
    use source::status::{
        End, Snapshot, begin, conditions, end, fetched, new_revision, news, unready, up_to_date,
    };

    use super::super::tests::{
        REVISION, artifact, good, news_text, now, object, observed, request_pass, shown, stored_text,
    };

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
    fn success_that_is_not_ready_is_none() {
        let mut object = good();
        assert_eq!(unready(&object), None);
        conditions(&mut object, now()).set(STORAGE_OPERATION_FAILED, ConditionStatus::True, "R", "disk");
        end(&mut object, &End::Success, now());
        assert_eq!(unready(&object), Some("disk"));
    }
}
