//! Builds that outlast their pass. They work on threads, so time is real here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use budget::{Budget, Limits};

use super::upstream::{Fetch, Scripted};
use super::{Fixture, object, object_in, script};
use crate::failure::Failure;

fn endless(fetches: impl IntoIterator<Item = Fetch>) -> Scripted {
    Scripted { builds_without_end: true.into(), ..script(fetches) }
}

impl Fixture {
    /// Passes until one is not under way.
    async fn reconcile_to_the_end(&self) -> String {
        loop {
            match self.reconcile().await {
                outcome if outcome == "under way" => tokio::time::sleep(Duration::from_millis(1)).await,
                outcome => return outcome,
            }
        }
    }

    fn let_builds_end(&self) {
        self.upstream.builds_without_end.store(false, Ordering::Relaxed);
    }

    fn builds(&self) -> usize {
        self.upstream.builds_begun.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_slow_build_is_told_in_the_status_and_taken_by_a_later_pass() {
    let fixture = Fixture::new(endless([Fetch::Revision("one")]));
    assert_eq!(fixture.reconcile().await, "under way");
    let progress = "building artifact: new revision 'one'";
    assert_eq!(
        fixture.conditions(),
        [format!("Reconciling=True/Progressing {progress}"), format!("Ready=Unknown/Progressing {progress}")]
    );
    assert_eq!(fixture.reconcile().await, "under way");
    fixture.let_builds_end();
    assert_eq!(fixture.reconcile_to_the_end().await, "again after 600s");
    assert_eq!(
        fixture.conditions(),
        [
            "Ready=True/Succeeded stored artifact for revision 'one'",
            "ArtifactInStorage=True/Succeeded stored artifact for revision 'one'",
        ]
    );
    assert_eq!((fixture.revision().as_deref(), fixture.builds()), (Some("one"), 1));
    assert_eq!(fixture.upstream.begun.load(Ordering::Relaxed), 1);
    assert_eq!(fixture.events().await, ["Normal NewArtifact stored artifact for title of one"]);
}

#[tokio::test]
async fn a_slow_build_that_fails_says_what_the_artifact_lacks() {
    let upstream = script([Fetch::Revision("two")]);
    let fixture = Fixture::stored("one", upstream).await;
    fixture.upstream.builds_without_end.store(true, Ordering::Relaxed);
    *fixture.upstream.build_failure.lock().unwrap() = Some(Failure::artifact("archive", "disk on fire"));
    assert_eq!(fixture.reconcile().await, "under way");
    fixture.let_builds_end();
    let text = "unable to archive artifact to storage: disk on fire";
    assert_eq!(fixture.reconcile_to_the_end().await, format!("failed: {text}"));
    assert_eq!(fixture.revision().as_deref(), Some("one"));
    let conditions = fixture.conditions();
    assert!(
        conditions.contains(&"ArtifactOutdated=True/NewRevision new revision 'two'".to_owned()),
        "{conditions:?}"
    );
}

#[tokio::test]
async fn a_build_under_way_is_replaced_for_a_new_spec_and_a_request() {
    let changes: [fn(&mut serde_json::Value); 2] = [
        |object| object["metadata"]["generation"] = 2.into(),
        |object| {
            object["metadata"]["annotations"] = serde_json::json!({"reconcile.fluxcd.io/requestedAt": "now"});
        },
    ];
    for change in changes {
        let fixture = Fixture::new(endless([Fetch::Revision("one"), Fetch::Revision("two")]));
        assert_eq!(fixture.reconcile().await, "under way");
        fixture.server.edit(change);
        assert_eq!(fixture.reconcile().await, "under way");
        fixture.let_builds_end();
        assert_eq!(fixture.reconcile_to_the_end().await, "again after 600s");
        assert_eq!((fixture.revision().as_deref(), fixture.builds()), (Some("two"), 2));
    }
}

#[tokio::test]
async fn a_build_of_an_object_that_is_suspended_or_deleted_has_ended_with_the_pass() {
    let changes: [fn(&mut serde_json::Value); 2] = [
        |object| {
            object["spec"]["suspend"] = true.into();
            object["metadata"]["generation"] = 2.into();
        },
        |object| object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into(),
    ];
    for change in changes {
        let fixture = Fixture::new(endless([Fetch::Revision("one")]));
        assert_eq!(fixture.reconcile().await, "under way");
        assert_eq!(Arc::strong_count(&fixture.upstream.running), 2);
        fixture.server.edit(change);
        assert_eq!(fixture.reconcile().await, "wait");
        assert_eq!(Arc::strong_count(&fixture.upstream.running), 1);
    }
}

#[tokio::test]
async fn an_object_whose_references_changed_during_its_build_is_woken() {
    let fixture = Fixture::new(endless([Fetch::Revision("one"), Fetch::Revision("one")]));
    assert_eq!(fixture.reconcile().await, "under way");
    fixture.upstream.has_changed.store(true, Ordering::Relaxed);
    fixture.let_builds_end();
    assert_eq!(fixture.reconcile_to_the_end().await, "again after 0s");
    fixture.upstream.has_changed.store(false, Ordering::Relaxed);
    assert_eq!(fixture.reconcile_to_the_end().await, "again after 600s");
    assert_eq!(fixture.builds(), 1);
}

#[tokio::test]
async fn builds_of_one_namespace_leave_turns_and_workers_to_others() {
    let builds = Budget::new(Limits { process: 3, tenant: 2 });
    let hostile = || Fixture::with_builds(&object(), endless([Fetch::Revision("one")]), builds.clone());
    let hostile = [hostile(), hostile(), hostile()];
    for fixture in &hostile {
        assert_eq!(fixture.reconcile().await, "under way");
    }
    assert_eq!(hostile.iter().map(Fixture::builds).sum::<usize>(), 2);
    let bystander = script([Fetch::Revision("one")]);
    let bystander = Fixture::with_builds(&object_in("other"), bystander, builds.clone());
    assert_eq!(bystander.reconcile_to_the_end().await, "again after 600s");
    assert_eq!(bystander.revision().as_deref(), Some("one"));
    for fixture in &hostile {
        fixture.let_builds_end();
        assert_eq!(fixture.reconcile_to_the_end().await, "again after 600s");
    }
}
