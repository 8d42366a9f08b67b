//! The shared cache: one load for all, failures forgotten, and what falls out when memory is short.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::{Reply, Scripted, archive};
use artifact::{
    cache::{Built, Cache, CacheError, Options},
    fetch::{self, Fetcher},
    unpack::{Entry, Limits, UnpackError, unpack},
};
use futures::FutureExt as _;
use tokio::time::timeout;

/// A cache of the text of an archive's only file, which counts its builds. A text of `panic` makes the builder panic.
fn cache(options: &Options) -> (Cache<String>, Arc<AtomicUsize>) {
    with(fetch_options(), options)
}

fn fetch_options() -> fetch::Options {
    fetch::Options { retries: 0, deadline: Duration::from_secs(20), ..fetch::Options::default() }
}

fn with(fetching: fetch::Options, options: &Options) -> (Cache<String>, Arc<AtomicUsize>) {
    let fetcher = Fetcher::new(fetching);
    let builds = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&builds);
    let cache = Cache::new(fetcher.unwrap(), options, move |archive, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        let mut text = String::new();
        unpack(archive, &Limits::default(), &mut |entry| {
            if let Entry::File { content, .. } = entry {
                content.read_to_string(&mut text)?;
            }
            Ok(())
        })?;
        assert_ne!(text, "panic");
        Ok(Built { bytes: 60, value: text })
    });
    (cache, builds)
}

fn within(budget_bytes: u64) -> Options {
    Options { idle_bytes: budget_bytes, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_callers_share_one_download_and_one_build() {
    let (bytes, digest) = archive("text");
    let server = Scripted::start(vec![Reply::ok(&bytes)]).await;
    let (cache, builds) = cache(&Options::default());
    let callers = (0..50).map(|_| {
        let (cache, url, digest) = (cache.clone(), server.url("/a"), digest.to_string());
        tokio::spawn(async move { cache.get(&url, &digest, "a").await.unwrap() })
    });
    let values: Vec<Arc<String>> =
        futures::future::join_all(callers).await.into_iter().map(Result::unwrap).collect();
    assert!(values.iter().all(|value| Arc::ptr_eq(value, &values[0]) && **value == "text"));
    // A bare hash means the same artifact.
    assert!(Arc::ptr_eq(&cache.get(&server.url("/b"), digest.hex(), "a").await.unwrap(), &values[0]));
    assert_eq!((server.count(), builds.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn failures_are_told_and_not_remembered() {
    let (bytes, digest) = archive("text");
    let server = Scripted::start(vec![
        Reply::status("404 Not Found"),
        Reply::status("500 Internal Server Error"),
        Reply::ok(b"something else"),
        Reply::ok(&bytes),
    ])
    .await;
    let (cache, builds) = cache(&Options::default());
    let mut failures = Vec::new();
    for _ in 0..3 {
        failures.push(cache.get(&server.url("/a"), &digest.to_string(), "a").await.unwrap_err());
    }
    assert_eq!(failures.iter().map(CacheError::is_not_found).collect::<Vec<_>>(), [true, false, false]);
    assert!(failures[2].to_string().starts_with("failed to verify archive: computed digest"));
    assert_eq!(builds.load(Ordering::SeqCst), 0);
    assert_eq!(*cache.get(&server.url("/a"), &digest.to_string(), "a").await.unwrap(), "text");
    assert!(matches!(cache.get(&server.url("/a"), "sha256:short", "a").await, Err(CacheError::Fetch(_))));
    assert_eq!(server.count(), 4);
}

#[tokio::test]
async fn an_archive_that_cannot_be_built_is_an_error_for_all_who_wait() {
    let mut hasher = artifact::digest::Hasher::new(Default::default());
    hasher.update(b"plain");
    let digest = hasher.finish().to_string();
    let server = Scripted::start(vec![Reply::ok(b"plain")]).await;
    let (cache, builds) = cache(&Options::default());
    let url = server.url("/a");
    let (first, second) = tokio::join!(cache.get(&url, &digest, "a"), cache.get(&url, &digest, "a"));
    for result in [first, second] {
        assert!(matches!(result, Err(CacheError::Unpack(error)) if matches!(*error, UnpackError::Gzip(_))));
    }
    assert_eq!(builds.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_builder_that_panics_fails_its_callers_only() {
    let (bytes, digest) = archive("panic");
    let (fine, fine_digest) = archive("fine");
    let server = Scripted::start(vec![Reply::ok(&bytes), Reply::ok(&bytes), Reply::ok(&fine)]).await;
    let (cache, _) = cache(&Options::default());
    for _ in 0..2 {
        let result = cache.get(&server.url("/a"), &digest.to_string(), "a").await;
        assert!(matches!(result, Err(CacheError::Aborted)));
    }
    assert_eq!(*cache.get(&server.url("/a"), &fine_digest.to_string(), "a").await.unwrap(), "fine");
}

#[tokio::test]
async fn the_longest_unused_value_falls_out_but_none_in_use() {
    let archives = ["a", "b", "c"].map(archive);
    let mut servers = Vec::new();
    for (bytes, _) in &archives {
        servers.push(Scripted::start(vec![Reply::ok(bytes)]).await);
    }
    // Room for two.
    let (cache, _) = cache(&within(120));
    let get =
        async |n: usize| cache.get(&servers[n].url("/"), &archives[n].1.to_string(), "a").await.unwrap();
    let counts = || servers.iter().map(Scripted::count).collect::<Vec<_>>();

    for n in [0, 1, 0, 2] {
        get(n).await;
    }
    get(0).await;
    assert_eq!(counts(), [1, 1, 1], "b, the longest unused, made room for c");
    get(1).await;
    assert_eq!(counts(), [1, 2, 1]);

    // What is in use stays, even beyond the budget; once released it falls out.
    let held = [get(0).await, get(1).await, get(2).await];
    let before = counts();
    for (n, held) in held.iter().enumerate() {
        assert!(Arc::ptr_eq(&get(n).await, held));
    }
    assert_eq!(counts(), before);
    drop(held);
    get(2).await;
    get(1).await;
    assert_eq!(counts(), before);
    get(0).await;
    assert_eq!(counts()[0], before[0] + 1);
}

#[tokio::test]
async fn a_caller_who_gives_up_does_not_end_the_load_of_others() {
    let (bytes, digest) = archive("text");
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len());
    let slow = Reply::Endless(head.into_bytes(), bytes, Duration::from_millis(300));
    let server = Scripted::start(vec![slow]).await;
    let (cache, _) = cache(&Options::default());
    let (url, digest) = (server.url("/a"), digest.to_string());
    let first = {
        let (cache, url, digest) = (cache.clone(), url.clone(), digest.clone());
        tokio::spawn(async move { cache.get(&url, &digest, "a").await })
    };
    while server.count() == 0 {
        tokio::task::yield_now().await;
    }
    let second = cache.get(&url, &digest, "b");
    tokio::pin!(second);
    assert!(timeout(Duration::from_millis(1), &mut second).await.is_err());
    first.abort();
    assert_eq!(*second.await.unwrap(), "text");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_load_that_nobody_waits_for_ends_and_gives_its_permit_back() {
    let (bytes, digest) = archive("text");
    let stuck =
        Scripted::start(vec![Reply::Endless(Vec::new(), Vec::new(), Duration::from_secs(3600))]).await;
    let alive = Scripted::start(vec![Reply::ok(&bytes)]).await;
    let (cache, _) = with(fetch::Options { concurrent: 1, ..fetch_options() }, &Options::default());
    let digest = digest.to_string();
    let first = {
        let (cache, url, digest) = (cache.clone(), stuck.url("/a"), digest.clone());
        tokio::spawn(async move { cache.get(&url, &digest, "a").await })
    };
    while stuck.count() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert_eq!(*cache.get(&alive.url("/a"), &digest, "b").await.unwrap(), "text");
}

#[tokio::test]
async fn a_download_that_waits_for_its_next_attempt_holds_nobody_up() {
    let (bytes, digest) = archive("text");
    let failing = Scripted::start(vec![Reply::status("503 Service Unavailable")]).await;
    let alive = Scripted::start(vec![Reply::ok(&bytes)]).await;
    let backoff = net::Backoff { first: Duration::from_secs(10), longest: Duration::from_secs(10) };
    let options = fetch::Options { concurrent: 1, retries: 9, backoff, ..fetch_options() };
    let (cache, _) = with(options, &Options::default());
    let digest = digest.to_string();
    let first = {
        let (cache, url, digest) = (cache.clone(), failing.url("/a"), digest.clone());
        tokio::spawn(async move { cache.get(&url, &digest, "a").await })
    };
    while failing.count() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*cache.get(&alive.url("/a"), &digest, "b").await.unwrap(), "text");
    assert!(!first.is_finished());
    first.abort();
}

#[tokio::test]
async fn a_dead_url_does_not_delay_the_same_digest_from_elsewhere() {
    let (bytes, digest) = archive("text");
    let dead = Scripted::start(vec![Reply::Endless(Vec::new(), Vec::new(), Duration::from_secs(3600))]).await;
    let alive = Scripted::start(vec![Reply::ok(&bytes)]).await;
    let (cache, _) = cache(&Options::default());
    let digest = digest.to_string();
    let waiting = {
        let (cache, url, digest) = (cache.clone(), dead.url("/a"), digest.clone());
        tokio::spawn(async move { cache.get(&url, &digest, "a").await })
    };
    while dead.count() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*cache.get(&alive.url("/a"), &digest, "a").await.unwrap(), "text");
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn downloads_of_one_tenant_leave_room_for_others() {
    let (bytes, digest) = archive("text");
    let stuck = Reply::Endless(Vec::new(), Vec::new(), Duration::from_secs(3600));
    let (server, alive) =
        (Scripted::start(vec![stuck]).await, Scripted::start(vec![Reply::ok(&bytes)]).await);
    let (cache, _) = with(fetch::Options { concurrent: 3, share: 2, ..fetch_options() }, &Options::default());
    let callers: Vec<_> = (0..5)
        .map(|n| {
            let (cache, url) = (cache.clone(), server.url("/a"));
            let digest = archive(&n.to_string()).1.to_string();
            tokio::spawn(async move { cache.get(&url, &digest, "a").await })
        })
        .collect();
    while server.count() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*cache.get(&alive.url("/a"), &digest.to_string(), "b").await.unwrap(), "text");
    assert_eq!(server.count(), 2, "the others wait for their turn");
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_larger_than_most_is_built_anew_when_there_is_room() {
    let options = Options { value_bytes: 4 << 20, first_bytes: 8192, ..within(0) };
    let builds = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&builds);
    let cache = Cache::new(Fetcher::new(fetch_options()).unwrap(), &options, move |archive, bytes| {
        counted.fetch_add(1, Ordering::SeqCst);
        unpack(archive, &Limits { bytes, ..Limits::default() }, &mut |_| Ok(()))?;
        Ok(Built { bytes: 100, value: bytes })
    });
    for (size, attempts, limit) in [(1000, 1, Some(8192)), (100_000, 2, Some(4 << 20)), (5 << 20, 2, None)] {
        builds.store(0, Ordering::SeqCst);
        let (bytes, digest) = archive(&"x".repeat(size));
        let server = Scripted::start(vec![Reply::ok(&bytes)]).await;
        let result = cache.get(&server.url("/a"), &digest.to_string(), "a").await;
        assert_eq!((builds.load(Ordering::SeqCst), server.count()), (attempts, 1));
        let used = cache.memory().usage().used;
        match (result, limit) {
            (Ok(value), Some(limit)) => assert_eq!((*value, used), (limit, 100)),
            (Err(CacheError::Unpack(error)), None) => {
                assert_eq!(
                    error.to_string(),
                    "archive exceeds the limit of 4194304 bytes after decompression"
                );
            }
            (result, _) => panic!("{result:?}"),
        }
    }
}

/// A cache whose values have 60 bytes each, with room for three of them and two of one tenant.
fn narrow(fetching: fetch::Options) -> (Cache<String>, Arc<AtomicUsize>) {
    let sizes =
        Options { idle_bytes: 0, used_bytes: 180, value_bytes: 60, first_bytes: 60, ..Options::default() };
    with(fetching, &sizes)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_in_use_leave_memory_to_other_tenants_and_those_that_wait_are_not_unpacked() {
    let archives: Vec<_> = (0..6).map(|n| archive(&n.to_string())).collect();
    let mut servers = Vec::new();
    for (bytes, _) in &archives {
        servers.push(Scripted::start(vec![Reply::ok(bytes)]).await);
    }
    let fetching = fetch::Options { concurrent: 5, share: 3, ..fetch_options() };
    let (cache, builds) = narrow(fetching);
    let get = |n: usize, tenant: &'static str| {
        let (cache, url, digest) = (cache.clone(), servers[n].url("/"), archives[n].1.to_string());
        async move { cache.get(&url, &digest, tenant).await }
    };
    let held = (get(0, "a").await.unwrap(), get(1, "a").await.unwrap());
    let load = |n: usize| tokio::spawn(get(n, "a").map(|value| drop(value.unwrap())));
    let waiting: Vec<_> = (2..6).map(load).collect();
    // Archives that wait for memory count as downloads: the last one is not even asked for.
    let asked = || servers[2..].iter().map(Scripted::count).sum::<usize>();
    while asked() < 3 {
        tokio::task::yield_now().await;
    }
    let (bytes, digest) = archive("other");
    let alive = Scripted::start(vec![Reply::ok(&bytes)]).await;
    let other = cache.get(&alive.url("/"), &digest.to_string(), "b").await.unwrap();
    assert_eq!((other.as_str(), builds.load(Ordering::SeqCst), asked()), ("other", 3, 3));
    assert!(waiting.iter().all(|load| !load.is_finished()));
    // Each that is let go of makes room for one that waits.
    drop(held);
    for load in waiting {
        load.await.unwrap();
    }
    assert_eq!(builds.load(Ordering::SeqCst), 7);
}

#[tokio::test]
async fn a_load_that_finds_no_memory_in_time_says_so() {
    let (bytes, digest) = archive("one");
    let (other_bytes, other) = archive("two");
    let server = Scripted::start(vec![Reply::ok(&bytes), Reply::ok(&other_bytes)]).await;
    let wait = Duration::from_millis(300);
    let sizes = Options { used_bytes: 60, value_bytes: 60, first_bytes: 60, wait, ..within(0) };
    let (cache, _) = cache(&sizes);
    let held = cache.get(&server.url("/a"), &digest.to_string(), "a").await.unwrap();
    let error = cache.get(&server.url("/b"), &other.to_string(), "b").await.unwrap_err();
    assert_eq!(error.to_string(), "no memory to extract the archive within 300ms");
    assert_eq!(held.as_str(), "one");
}
