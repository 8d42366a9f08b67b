//! Claims, locks and evictions.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

fn caches(most: u64) -> (TempDir, Arc<Caches>) {
    let storage = tempfile::tempdir().unwrap();
    let caches = Caches::open(storage.path(), most);
    (storage, caches)
}

fn unlimited() -> Deadline {
    Deadline::new(Duration::from_secs(60))
}

/// A cache with a file of 1000 bytes.
fn filled(caches: &Arc<Caches>, owner: &str, identity: &[&[u8]]) -> InUse {
    let cache = caches.claim(owner, identity, &unlimited()).unwrap();
    fs::create_dir_all(cache.shared().dir.join("content")).unwrap();
    fs::write(cache.shared().dir.join("content/pack"), [0; 1000]).unwrap();
    cache.record_size().unwrap();
    cache
}

fn is_there(cache: &InUse) -> bool {
    cache.shared().dir.join("content/pack").exists()
}

#[test]
fn equal_identities_share_and_nothing_in_a_name_tells_them() {
    let (storage, caches) = caches(1 << 20);
    let dir =
        |owner, identity: &[&[u8]]| caches.claim(owner, identity, &unlimited()).unwrap().shared().dir.clone();
    let one = dir("ns/a", &[b"https://h/r", b"password"]);
    assert_eq!(one, dir("other/b", &[b"https://h/r", b"password"]));
    assert_ne!(one, dir("ns/c", &[b"https://h/r", b"passwort"]));
    assert_ne!(one, dir("ns/d", &[b"https://h/r"]), "anonymous is another identity");
    assert_ne!(dir("ns/e", &[b"ab", b"c"]), dir("ns/f", &[b"a", b"bc"]));
    let anew = Caches::open(storage.path(), 1 << 20);
    assert_eq!(
        one,
        anew.claim("ns/a", &[b"https://h/r", b"password"], &unlimited()).unwrap().shared().dir,
        "kept"
    );
    let (_elsewhere, other) = self::caches(1 << 20);
    let named = other.claim("ns/a", &[b"https://h/r", b"password"], &unlimited()).unwrap();
    assert_ne!(one.file_name(), named.shared().dir.file_name(), "each storage has a key of its own");
}

#[test]
fn a_cache_goes_with_the_last_source_that_uses_it() {
    let (_storage, caches) = caches(1 << 20);
    let cache = filled(&caches, "ns/a", &[b"url"]);
    caches.claim("ns/b", &[b"url"], &unlimited()).unwrap();
    caches.claim("ns/a", &[b"another url"], &unlimited()).unwrap();
    assert!(is_there(&cache));
    caches.release("ns/b").unwrap();
    assert!(!cache.shared().dir.exists());
    caches.release("ns/never").unwrap();
}

#[test]
fn a_cancelled_deadline_claims_no_cache() {
    let (_storage, caches) = caches(1 << 20);
    let cache = filled(&caches, "ns/a", &[b"new"]);
    let given_up = unlimited();
    given_up.cancel();
    assert!(caches.claim("ns/a", &[b"old"], &given_up).is_err());
    assert!(is_there(&cache));
}

#[test]
fn a_sweep_removes_the_caches_of_sources_that_are_gone() {
    let (storage, before) = caches(1 << 20);
    let (gone, lives) = (filled(&before, "ns/gone", &[b"1"]), filled(&before, "ns/lives", &[b"2"]));
    let (moved, orphan) = (filled(&before, "ns/moved", &[b"3"]), filled(&before, "ns/x", &[b"4"]));
    fs::remove_file(orphan.shared().dir.join(OWNERS_FILE)).unwrap();
    let caches = Caches::open(storage.path(), 1 << 20);
    caches.claim("ns/moved", &[b"3"], &unlimited()).unwrap();
    caches.sweep(|owner| owner == "ns/lives").unwrap();
    assert!(!gone.shared().dir.exists() && !orphan.shared().dir.exists());
    assert!(is_there(&lives) && is_there(&moved), "claimed, or of a source that has yet to come up");
}

#[test]
fn a_source_that_this_process_never_met_takes_its_cache_along() {
    let (storage, before) = caches(1 << 20);
    let (cache, shared) = (filled(&before, "ns/a", &[b"1"]), filled(&before, "ns/b", &[b"2"]));
    before.claim("ns/c", &[b"2"], &unlimited()).unwrap();
    let caches = Caches::open(storage.path(), 1 << 20);
    caches.release("ns/a").unwrap();
    caches.release("ns/b").unwrap();
    assert!(!cache.shared().dir.exists() && is_there(&shared), "one of them has another owner");
    caches.claim("ns/c", &[b"moved"], &unlimited()).unwrap();
    assert!(!shared.shared().dir.exists());
}

#[test]
fn the_longest_unused_caches_make_room_and_used_ones_stay() {
    let (storage, caches) = caches(2500);
    let first = filled(&caches, "ns/1", &[b"1"]);
    let second = filled(&caches, "ns/2", &[b"2"]).shared().dir.clone();
    let third = filled(&caches, "ns/3", &[b"3"]);
    assert!(is_there(&first) && is_there(&third), "in use");
    assert!(!second.join("content").exists() && second.join(OWNERS_FILE).exists());
    let unused = |cache: InUse| cache.shared().dir.clone();
    let (first, third) = (unused(first), unused(third));
    caches.claim("ns/1", &[b"1"], &unlimited()).unwrap();
    filled(&caches, "ns/2", &[b"2"]);
    assert!(first.join("content").exists() && !third.join("content").exists());
    // Also what an earlier process left.
    let caches = Caches::open(storage.path(), 1500);
    filled(&caches, "ns/4", &[b"4"]);
    assert!(!first.join("content").exists());
}

#[test]
fn a_fetch_lock_has_one_holder_and_others_wait_until_their_deadline() {
    let (_storage, caches) = caches(1 << 20);
    let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for owner in ["a", "b", "c", "d"] {
            let (caches, inside, most) = (&caches, &inside, &most);
            scope.spawn(move || {
                let cache = caches.claim(owner, &[b"url"], &unlimited()).unwrap();
                let _lock = cache.fetch_lock(&unlimited()).ok().unwrap();
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                inside.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 1);
    let cache = caches.claim("a", &[b"url"], &unlimited()).unwrap();
    let _lock = cache.fetch_lock(&unlimited()).ok().unwrap();
    let late = cache.fetch_lock(&Deadline::new(Duration::from_millis(1)));
    assert!(matches!(late, Err(TransportError::Deadline)));
}

#[test]
fn a_fetch_of_another_namespace_is_not_waited_for_until_the_end() {
    let (storage, caches) = caches(1 << 20);
    let claim = |owner: &str| caches.claim(owner, &[b"url"], &unlimited()).unwrap();
    let stranger = claim("a/1");
    let lock = stranger.fetch_lock(&unlimited()).ok().unwrap();
    let (one, two) = (claim("b/1"), claim("b/2"));
    let shared = stranger.shared().dir.clone();
    assert!(one.shared().dir == shared && two.shared().dir == shared);
    for waiting in [&one, &two] {
        // Half of that is too long for it.
        drop(waiting.fetch_lock(&Deadline::new(Duration::from_secs(2))).ok().unwrap());
        assert_ne!(waiting.shared().dir, shared);
    }
    assert_eq!(one.shared().dir, two.shared().dir, "of one namespace");
    // They stay there, as long as they want the same.
    drop(lock);
    assert_eq!(claim("b/1").shared().dir, one.shared().dir);
    let other = caches.claim("b/1", &[b"another url"], &unlimited()).unwrap();
    assert_ne!(other.shared().dir, one.shared().dir);
    assert_eq!(claim("b/1").shared().dir, shared);
    // The cache goes with the last one.
    let own = two.shared().dir.clone();
    assert!(own.join(OWNERS_FILE).exists());
    caches.release("b/2").unwrap();
    assert!(!own.exists() && storage.path().exists());
}

#[test]
fn a_fetch_of_the_same_namespace_is_waited_for() {
    let (_storage, caches) = caches(1 << 20);
    let claim = |owner: &str| caches.claim(owner, &[b"url"], &unlimited()).unwrap();
    let (first, second) = (claim("a/1"), claim("a/2"));
    let _lock = first.fetch_lock(&unlimited()).ok().unwrap();
    let late = second.fetch_lock(&Deadline::new(Duration::from_millis(300)));
    assert!(matches!(late, Err(TransportError::Deadline)));
    assert_eq!(second.shared().dir, first.shared().dir);
}
