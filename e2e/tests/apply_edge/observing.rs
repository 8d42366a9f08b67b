//! What the observed index sees.

use anyhow::anyhow;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_index_tells_drift_and_health_without_being_asked() -> Result<()> {
    let bed = Bed::new("index").await?;
    let mut memory = Memory::new();
    bed.apply(APP, &mut memory).await?;
    let index = bed.index();
    let kinds = ["ConfigMap", "Secret", "Service"].map(|k| GroupVersionKind::gvk("", "v1", k));
    let deployments = GroupVersionKind::gvk("apps", "v1", "Deployment");
    let all: Vec<_> = kinds.into_iter().chain([deployments]).collect();
    settled(&index, &all).await?;
    assert!(all.iter().all(|k| index.ensure(k) == WatchState::Synced));
    let deployment = bed.object_id("apps", "Deployment", "web");
    // Scaled to zero, it becomes available, which its status tells and no owner of a field.
    wait::until(LIMIT, async || match index.get(&deployment) {
        Some(seen) if seen.verdict.status == Status::Current => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    assert_eq!(drifted(&memory, &index), []);
    assert!(told(&index, &bed.owner()).await);

    let map = bed.object_id("", "ConfigMap", "a");
    for (manager, change) in [
        ("someone", json!({"data": {"k": "drift"}})),
        ("someone", json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/namespace": null}}})),
        ("kubectl-edit", json!({"data": {"new": "x"}})),
    ] {
        bed.patch_as(manager, "ConfigMap/a", change.clone()).await?;
        wait::until(LIMIT, async || match drifted(&memory, &index) {
            found if found == [(map.clone(), "Changed".into())] => Ok(()),
            found => Err(Not::Yet(format!("{change}: {found:?}"))),
        })
        .await?;
        assert!(told(&index, &bed.owner()).await, "{change}");
        bed.apply(APP, &mut memory).await?;
        wait::until(LIMIT, async || match drifted(&memory, &index) {
            found if found.is_empty() => Ok(()),
            found => Err(Not::Yet(format!("{change}: {found:?}"))),
        })
        .await?;
    }
    bed.objects.delete(&bed.id("ConfigMap/a")).await?;
    wait::until(LIMIT, async || match drifted(&memory, &index) {
        found if found == [(map.clone(), "gone".into())] => Ok(()),
        found => Err(Not::Yet(format!("{found:?}"))),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_came_back_under_another_owner_is_looked_at_once() -> Result<()> {
    let bed = Bed::new("returned").await?;
    let mut memory = Memory::new();
    bed.apply(MAP, &mut memory).await?;
    let index = bed.index();
    settled(&index, &[GroupVersionKind::gvk("", "v1", "ConfigMap")]).await?;
    for value in ["w", "v"] {
        bed.patch_as("someone", "ConfigMap/a", json!({"data": {"k": value}})).await?;
    }
    let id = bed.object_id("", "ConfigMap", "a");
    let version = bed.live("ConfigMap/a").await?.text("/metadata/resourceVersion").to_owned();
    wait::until(LIMIT, async || match index.get(&id) {
        Some(seen) if *seen.resource_version == *version => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    assert_eq!(drifted(&memory, &index), [(id, "Changed".into())]);
    age().await;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a unchanged"]);
    assert_eq!(bed.take_requests(), repeated(&[("GET", 1), ("PATCH dry-run", 1)]));
    assert_eq!(drifted(&memory, &index), []);
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a unchanged"]);
    assert_eq!(bed.take_requests(), repeated(&[("PATCH dry-run", 1)]));
    Ok(())
}

/// The remembered objects that the index shows changed, or does not show, with a word on what is wrong.
fn drifted(memory: &Memory, index: &Index) -> Vec<(ObjectId, String)> {
    let look = |(id, applied): (&ObjectId, &Applied)| match index.get(id) {
        None => Some((id.clone(), "gone".to_owned())),
        Some(seen) => applied.reading().drift(&seen).map(|d| (id.clone(), format!("{d:?}"))),
    };
    memory.iter().filter_map(look).collect()
}

/// Whether the index has told this owner; other tests' owners may be told too.
async fn told(index: &Index, owner: &Owner) -> bool {
    tokio::time::timeout(LIMIT, async { while !index.changed().await.contains(owner) {} }).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_object_is_watched_for_as_long_as_somebody_asks() -> Result<()> {
    let bed = Bed::new("single").await?;
    let index = bed.index();
    let kind = GroupVersionKind::gvk("", "v1", "ConfigMap");
    let first = index.watch_object(&kind, &bed.namespace, "outside", &bed.owner());
    let second = index.watch_object(&kind, &bed.namespace, "outside", &bed.owner());
    wait::until(LIMIT, async || match first.state() {
        WatchState::Synced => Ok(()),
        state => Err(Not::Yet(format!("{state:?}"))),
    })
    .await?;
    assert_eq!(first.get(), None);
    assert!(told(&index, &bed.owner()).await, "that the watch is complete");
    bed.objects
        .apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: outside}, data: {k: v}}", &bed.namespace)
        .await?;
    assert!(told(&index, &bed.owner()).await);
    drop(first);
    assert_eq!(second.get().map(|o| o.verdict.status), Some(Status::Current));
    drop(second);
    assert_eq!(index.get(&bed.object_id("", "ConfigMap", "outside")), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_watch_says_so() -> Result<()> {
    let bed = Bed::new("forbidden").await?;
    let nobody = recording(bed.client.clone(), Arc::default(), Some("nobody".into()));
    let retry = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) };
    let index = Index::new(
        nobody,
        MANAGER,
        bed.mapper.clone(),
        IndexOptions { idle: LIMIT, retry, rediscovery: Duration::from_secs(1), page_size: 100 },
    );
    let kind = GroupVersionKind::gvk("", "v1", "Secret");
    settled(&index, std::slice::from_ref(&kind)).await?;
    assert!(matches!(index.ensure(&kind), WatchState::Forbidden(_)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_and_the_apply_survive_an_api_server_restart() -> Result<()> {
    let cluster = Cluster::start().await?;
    let bed = Bed::on(&cluster, "restart").await?;
    let mut memory = Memory::new();
    bed.apply(APP, &mut memory).await?;
    // A controller manager that loses the API server while it starts gives up.
    bed.available("Deployment/web").await?;
    let index = bed.index();
    let kind = GroupVersionKind::gvk("", "v1", "ConfigMap");
    let watch = async |wanted: fn(&WatchState) -> bool| {
        wait::until(LIMIT, async || match index.ensure(&kind) {
            state if wanted(&state) => Ok(()),
            state => Err(Not::Yet(format!("{state:?}"))),
        })
        .await
    };
    watch(|state| *state == WatchState::Synced).await?;
    cluster.kill_apiserver();
    watch(|state| matches!(state, WatchState::Failing(_))).await?;
    let error = bed.try_apply(MAP, &memory).await?.unwrap_err();
    assert!(error.failures.iter().all(|f| f.source.status().is_none()), "{error}");
    cluster.start_apiserver().await?;
    watch(|state| *state == WatchState::Synced).await?;
    // What happens from now on is seen.
    bed.patch_as("someone", "ConfigMap/a", json!({"data": {"k": "drift"}})).await?;
    let map = bed.object_id("", "ConfigMap", "a");
    wait::until(LIMIT, async || match index.get(&map).and_then(|seen| memory[&map].reading().drift(&seen)) {
        Some(Drift::Changed) => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    assert_eq!(bed.apply(MAP, &mut memory).await?, ["ConfigMap/a configured"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_without_objects_ends_when_nobody_asks_for_it() -> Result<()> {
    let bed = Bed::new("idle").await?;
    bed.apply(MAP, &mut Memory::new()).await?;
    let retry = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) };
    let idle = Duration::from_millis(200);
    let options = IndexOptions { idle, retry, rediscovery: Duration::from_secs(1), page_size: 100 };
    let index = Index::new(bed.client.clone(), MANAGER, bed.mapper.clone(), options);
    // No test owns one of the second.
    let kinds = ["ConfigMap", "PodTemplate"].map(|kind| GroupVersionKind::gvk("", "v1", kind));
    settled(&index, &kinds).await?;
    assert_eq!(kinds.each_ref().map(|kind| index.ensure(kind)), [WatchState::Synced, WatchState::Synced]);
    wait::until(LIMIT, async || {
        // Each look is one who asks: between two of them there has to be time to end.
        tokio::time::sleep(5 * idle).await;
        match kinds.each_ref().map(|kind| index.ensure(kind)) {
            [WatchState::Synced, WatchState::Starting] => Ok(()),
            [WatchState::Synced, state] => Err(Not::Yet(format!("{state:?}"))),
            states => Err(Not::Ever(anyhow!("the watch with objects ended: {states:?}"))),
        }
    })
    .await
}
