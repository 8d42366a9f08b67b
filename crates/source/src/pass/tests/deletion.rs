//! Deletion: artifacts and what the kind keeps go first, then the finalizer.

use std::io;
use std::sync::Arc;

use api::GitRepository;
use artifact::store::StoreError;

use super::upstream::{Fetch, Scripted};
use super::{Fixture, script};

fn delete(fixture: &Fixture) {
    fixture.server.edit(|object| object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_goes_after_its_fetch_and_its_artifacts() {
    let fixture = Fixture::stored("one", script([Fetch::Never])).await;
    assert_eq!(fixture.reconcile().await, "under way");
    delete(&fixture);
    assert_eq!(fixture.reconcile().await, "wait");
    assert_eq!(Arc::strong_count(&fixture.upstream.running), 1, "its fetch has ended");
    assert!(fixture.server.object::<GitRepository>().is_none());
    assert!(!fixture.storage.path().join("gitrepository/ns/app").exists());
    assert_eq!(
        fixture.events().await,
        [
            "Normal NewArtifact stored artifact for title of one",
            "Normal GarbageCollectionSucceeded garbage collected artifacts for deleted resource",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_stays_until_all_of_it_is_removed() {
    let failure = || StoreError::Io {
        step: "remove object cache of",
        path: "ns/app".to_owned(),
        source: io::Error::other("disk on fire"),
    };
    let fixture = Fixture::new(Scripted { release_failure: Some(failure), ..Scripted::default() });
    delete(&fixture);
    let message = "garbage collection for deleted resource failed: \
                   failed to remove object cache of \"ns/app\": disk on fire";
    assert_eq!(fixture.reconcile().await, format!("failed: {message}"));
    assert!(fixture.server.object::<GitRepository>().is_some());
    assert_eq!(fixture.events().await, [format!("Warning GarbageCollectionFailed {message}")]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_without_our_finalizer_is_left_alone() {
    let mut object = super::object();
    object.metadata.finalizers = Some(vec!["somebody.else/finalizer".to_owned()]);
    let fixture = Fixture::of(&object, Scripted::default());
    delete(&fixture);
    assert_eq!(fixture.reconcile().await, "wait");
    assert!(fixture.server.object::<GitRepository>().is_some());
    assert!(fixture.events().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_becomes_one_without_artifacts_is_left_with_nothing_once_unless_it_is_suspended() {
    let fixture = Fixture::stored("one", Scripted::default()).await;
    let folder = fixture.storage.path().join("gitrepository/ns/app");
    fixture.server.edit(|object| {
        object["spec"]["url"] = "oci://h/charts".into();
        object["spec"]["suspend"] = true.into();
    });
    assert_eq!(fixture.reconcile().await, "wait");
    assert_eq!(fixture.revision().as_deref(), Some("one"));
    assert!(folder.exists());
    fixture.server.edit(|object| object["spec"]["suspend"] = false.into());
    assert_eq!(fixture.reconcile().await, "wait");
    let left = fixture.object();
    assert_eq!((left.metadata.finalizers.unwrap_or_default().len(), fixture.conditions().len()), (0, 0));
    assert_eq!(fixture.revision(), None);
    assert!(!folder.exists());
    // That was all that there is to do.
    let version = left.metadata.resource_version;
    assert_eq!(fixture.reconcile().await, "wait");
    assert_eq!(fixture.object().metadata.resource_version, version);
}
