//! What the observed index makes of watches that fail, and of what happened while nothing was watched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use apply::observe::{Presence, WatchState};
use support::{ApiServer, Watching, config_maps, id, owner, synced, told};
use tokio::time::{Instant, sleep};

/// An object as it was left by an apply that is over by now.
fn applied(version: &str) -> Presence {
    Presence { resource_version: version.into(), at: Instant::now() }
}

#[tokio::test(start_paused = true)]
async fn what_came_and_went_between_two_lists_has_gone_and_its_owner_is_told() {
    let (server, app) = (ApiServer::new(Watching::Quiet), owner("app"));
    let index = server.index(500);
    index.ensure(&config_maps());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(index.ensure(&config_maps()), WatchState::Synced);
    let applied = applied(&server.put("a", "app"));
    assert!(!index.has_gone(&id("a"), &applied, &app), "the watch has yet to show it");
    server.delete("a");
    sleep(Duration::from_secs(5)).await;
    server.expire_watches();
    assert_eq!(told(&index).await, [owner("app")]);
    assert!(index.get(&id("a")).is_none() && index.has_gone(&id("a"), &applied, &app));
}

#[tokio::test(start_paused = true)]
async fn who_looks_while_a_watch_fails_is_told_when_it_no_longer_does() {
    let (server, app) = (ApiServer::new(Watching::Refused(500)), owner("app"));
    let index = server.index(500);
    let applied = applied(&server.put("a", "app"));
    index.ensure(&config_maps());
    while !matches!(index.ensure(&config_maps()), WatchState::Failing(_)) {
        sleep(Duration::from_millis(10)).await;
    }
    server.delete("a");
    assert!(!index.has_gone(&id("a"), &applied, &app), "what is known may be old");
    told(&index).await;
    server.set_watching(Watching::Quiet);
    assert_eq!(synced(&index).await, [owner("app")]);
    assert!(index.has_gone(&id("a"), &applied, &app));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_after_each_list_is_not_one_list_after_another() {
    let server = ApiServer::new(Watching::Refused(500));
    let index = server.index(500);
    index.ensure(&config_maps());
    // After 1, 2, 4 … 64 s, and then every 64 s.
    sleep(Duration::from_secs(127 + 10 * 64 - 1)).await;
    assert_eq!(server.take_lists().len(), 1 + 7 + 9);
    // Two watches that expire soon after each other are failures in a row.
    server.set_watching(Watching::Quiet);
    sleep(Duration::from_secs(64)).await;
    assert_eq!(server.take_lists().len(), 1);
    server.expire_watches();
    sleep(Duration::from_secs(63)).await;
    assert_eq!(server.take_lists().len(), 0);
    // One that has lasted begins anew.
    sleep(Duration::from_secs(200)).await;
    assert_eq!(server.take_lists().len(), 1);
    server.expire_watches();
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(server.take_lists().len(), 1);
}
