//! Fetches that outlast their pass, and what happens to their object meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use budget::{Budget, Limits, Request};
use kube::runtime::reflector::ObjectRef;
use runtime::controller::Reconcile;
use tokio::sync::oneshot;

use super::upstream::{Fetch, Scripted};
use super::{Fixture, object, script};
use crate::background::QUEUE_NEWS;

#[tokio::test(start_paused = true)]
async fn a_slow_fetch_is_told_in_the_status_and_taken_by_a_later_pass() {
    let (give, get) = oneshot::channel();
    let fixture = Fixture::new(script([Fetch::When(get)]));
    assert_eq!(fixture.reconcile().await, "under way");
    assert_eq!(
        fixture.conditions(),
        ["Reconciling=True/Progressing building artifact", "Ready=Unknown/Progressing building artifact",]
    );
    assert_eq!(fixture.reconcile().await, "under way");
    give.send("one").unwrap();
    tokio::task::yield_now().await;
    assert_eq!(fixture.reconcile().await, "again after 600s");
    assert_eq!(fixture.revision().as_deref(), Some("one"));
    assert_eq!(fixture.upstream.begun.load(Ordering::Relaxed), 1);
    assert_eq!(fixture.events().await, ["Normal NewArtifact stored artifact for title of one"]);
}

#[tokio::test(start_paused = true)]
async fn work_that_waits_long_for_its_turn_is_told_in_the_status() {
    let budget = || Budget::new(Limits { process: 1, tenant: 1 });
    let (fetches, builds) = (budget(), budget());
    let held = (fetches.acquire(Request::new("a", 1)).await, builds.acquire(Request::new("a", 1)).await);
    let fixture = Fixture::with_budgets(&object(), script([Fetch::Revision("one")]), fetches, builds);
    let told = |reason: &str| {
        ["Reconciling=True", "Ready=Unknown"].map(|condition| format!("{condition}/Progressing {reason}"))
    };
    assert_eq!(fixture.reconcile().await, "under way");
    assert_eq!(fixture.conditions(), told("building artifact"));
    tokio::time::sleep(QUEUE_NEWS).await;
    assert_eq!(fixture.reconcile().await, "under way");
    assert_eq!(fixture.conditions(), told("waiting to fetch: all 1 are in use"));
    let writes = fixture.server.status_writes();
    assert_eq!(fixture.reconcile().await, "under way");
    assert_eq!(fixture.server.status_writes(), writes, "nothing is new");

    drop(held.0);
    tokio::task::yield_now().await;
    assert_eq!(fixture.reconcile().await, "under way");
    assert_eq!(fixture.conditions(), told("building artifact: new revision 'one'"));
    tokio::time::sleep(QUEUE_NEWS).await;
    assert_eq!(fixture.reconcile().await, "under way");
    assert_eq!(fixture.conditions(), told("waiting to build: all 1 are in use"));
    drop(held.1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_under_way_is_replaced_for_a_new_spec_a_request_and_another_object() {
    let changes: [fn(&mut serde_json::Value); 3] = [
        |object| object["metadata"]["generation"] = 2.into(),
        |object| {
            object["metadata"]["annotations"] = serde_json::json!({"reconcile.fluxcd.io/requestedAt": "now"});
        },
        |object| object["metadata"]["uid"] = "4-5-6".into(),
    ];
    for change in changes {
        let fixture = Fixture::new(script([Fetch::Never, Fetch::Revision("one")]));
        assert_eq!(fixture.reconcile().await, "under way");
        fixture.server.edit(change);
        assert_eq!(fixture.reconcile().await, "again after 600s");
        assert_eq!(Arc::strong_count(&fixture.upstream.running), 1, "the first fetch has ended");
        assert_eq!(fixture.upstream.begun.load(Ordering::Relaxed), 2);
        assert_eq!(fixture.revision().as_deref(), Some("one"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_ends_with_the_pass_that_outlasts_its_object() {
    let fixture = Fixture::new(script([Fetch::Never]));
    let source = ObjectRef::from_obj(&fixture.object());
    fixture.controller.gone(&source);
    assert_eq!(fixture.reconcile().await, "under way");
    assert_eq!(Arc::strong_count(&fixture.upstream.running), 2);
    fixture.controller.outlasted(&source);
    while Arc::strong_count(&fixture.upstream.running) > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_fetch_writes_nothing() {
    let fixture = Fixture::new(script([Fetch::Stopped]));
    assert_eq!(fixture.reconcile().await, "wait");
    assert_eq!(fixture.server.status_writes(), 0);
    assert!(fixture.events().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_build_and_writes_no_failure() {
    let fixture =
        Fixture::new(Scripted { builds_without_end: true.into(), ..script([Fetch::Revision("one")]) });
    let stop = fixture.stop.clone();
    let stopping = async {
        while fixture.upstream.begun.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(fixture.reconcile(), stopping);
    assert_eq!(outcome, "wait");
    assert_eq!(fixture.revision(), None);
    assert!(fixture.events().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_goes_during_its_pass_is_no_failure() {
    let (give, get) = oneshot::channel();
    let fixture = Fixture::new(script([Fetch::When(get)]));
    let going = async {
        while fixture.upstream.begun.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        fixture.server.remove();
        give.send("one").unwrap();
    };
    let (outcome, ()) = tokio::join!(fixture.reconcile(), going);
    assert_eq!(outcome, "wait");
    let object: Option<api::GitRepository> = fixture.server.object();
    assert!(object.is_none());
}
