//! The object caches on disk. Sources with the same URL and the same credentials share one. Everything here blocks.
//!
//! ```text
//! <storage>/.cache/git/key             a random text that goes into all names, so that they tell nothing
//! <storage>/.cache/git/<name>/owners   the sources that use it, one a line
//! <storage>/.cache/git/<name>/         the rest belongs to `git::Cache`
//! ```

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use api::GitRepository;
use artifact::digest::{Algorithm, Hasher};
use git::{Cache, SharedState, TransportError};
use kube::runtime::reflector::ObjectRef;
use net::Deadline;

const KEY_FILE: &str = "key";
const OWNERS_FILE: &str = "owners";
/// How often a fetch that waits for its lock looks whether its deadline is over.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// All caches of a storage directory.
pub struct Caches {
    root: PathBuf,
    key: Vec<u8>,
    /// Bytes that all caches together may have.
    most: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    caches: HashMap<String, Arc<Shared>>,
    /// The cache of each source.
    owners: HashMap<String, String>,
    /// The sources that an earlier process knew and this one has not met yet.
    inherited: HashSet<String>,
}

/// A cache, for those who use it now.
struct Shared {
    dir: PathBuf,
    state: Arc<SharedState>,
    busy: Mutex<bool>,
    free: Condvar,
    usage: Mutex<Usage>,
}

struct Usage {
    last: SystemTime,
    bytes: u64,
}

/// A cache that will not be removed while this exists.
#[derive(Clone)]
pub struct InUse {
    caches: Arc<Caches>,
    shared: Arc<Shared>,
}

/// The lock of a cache, which a fetch holds while it writes; others wait.
pub struct FetchLock<'a>(&'a Shared);

/// The name by which caches know a source.
pub fn owner(source: &ObjectRef<GitRepository>) -> String {
    format!("{}/{}", source.namespace.as_deref().unwrap_or_default(), source.name)
}

impl Caches {
    /// The caches in `<storage>/.cache`, those included that an earlier process left. A storage that cannot be written ends
    /// nothing: whoever needs a cache will say so.
    pub fn open(storage: &Path, most: u64) -> Arc<Caches> {
        let root = storage.join(".cache/git");
        let key = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .and_then(|()| key(&root.join(KEY_FILE)));
        let key = key.unwrap_or_else(|error| {
            tracing::warn!(%error, "object caches cannot be kept for the next process");
            rand::random::<[u8; 32]>().to_vec()
        });
        let caches = Caches { key, root, most, state: Mutex::default() };
        let mut state = caches.state();
        for entry in fs::read_dir(&caches.root).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if let (true, Ok(name)) = (metadata.is_dir(), entry.file_name().into_string()) {
                let owners = fs::read_to_string(entry.path().join(OWNERS_FILE)).unwrap_or_default();
                for owner in owners.lines().map(str::to_owned) {
                    state.inherited.insert(owner.clone());
                    state.owners.insert(owner, name.clone());
                }
                let shared = caches.shared(&name);
                shared.usage().last = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                shared.usage().bytes = size(&entry.path());
                state.caches.insert(name, Arc::new(shared));
            }
        }
        drop(state);
        Arc::new(caches)
    }

    /// The cache that `owner` shares with all sources of the same `identity`, which are parts that may be secret. Its
    /// former cache goes, unless others use it. Nothing is claimed with a deadline that is cancelled: by then the owner may be
    /// gone, or have another identity.
    pub fn claim(
        self: &Arc<Self>,
        owner: &str,
        identity: &[&[u8]],
        deadline: &Deadline,
    ) -> io::Result<InUse> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        for part in [&self.key[..]].iter().chain(identity) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let name = hasher.finish().hex().to_owned();
        let mut state = self.state();
        if deadline.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let shared = state.caches.entry(name.clone()).or_insert_with(|| Arc::new(self.shared(&name))).clone();
        shared.usage().last = SystemTime::now();
        state.inherited.remove(owner);
        if state.owners.get(owner) != Some(&name) {
            self.detach(&mut state, owner)?;
            state.owners.insert(owner.to_owned(), name.clone());
            self.write_owners(&state, &name)?;
        }
        Ok(InUse { caches: self.clone(), shared })
    }

    /// `owner` is gone, and with it its cache, unless others use it.
    pub fn release(&self, owner: &str) -> io::Result<()> {
        self.detach(&mut self.state(), owner)
    }

    /// Removes what an earlier process left for sources that are no more.
    pub fn sweep(&self, lives: impl Fn(&str) -> bool) -> io::Result<()> {
        let mut state = self.state();
        let gone: Vec<String> = state.inherited.iter().filter(|owner| !lives(owner)).cloned().collect();
        for owner in gone {
            self.detach(&mut state, &owner)?;
        }
        let owned: HashSet<String> = state.owners.values().cloned().collect();
        let orphans: Vec<String> =
            state.caches.keys().filter(|name| !owned.contains(*name)).cloned().collect();
        for name in orphans {
            self.remove(&mut state, &name)?;
        }
        Ok(())
    }

    /// Takes the cache from `owner`; without another owner it is removed.
    fn detach(&self, state: &mut State, owner: &str) -> io::Result<()> {
        state.inherited.remove(owner);
        let Some(name) = state.owners.remove(owner) else { return Ok(()) };
        if state.owners.values().any(|other| *other == name) {
            self.write_owners(state, &name)
        } else {
            self.remove(state, &name)
        }
    }

    fn remove(&self, state: &mut State, name: &str) -> io::Result<()> {
        state.caches.remove(name);
        absent(fs::remove_dir_all(self.root.join(name)))
    }

    fn write_owners(&self, state: &State, name: &str) -> io::Result<()> {
        let dir = self.root.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let owners = state.owners.iter().filter(|(_, cache)| *cache == name);
        let text: String = owners.map(|(owner, _)| format!("{owner}\n")).collect();
        fs::write(dir.join(OWNERS_FILE), text)
    }

    /// Empties caches that nobody uses, the longest unused one first, until all fit.
    fn evict(&self) -> io::Result<()> {
        let state = self.state();
        let mut total: u64 = state.caches.values().map(|cache| cache.usage().bytes).sum();
        while total > self.most {
            // The map has one reference; nobody can get another one meanwhile.
            let idle = state.caches.values().filter(|c| Arc::strong_count(c) == 1 && c.usage().bytes > 0);
            let Some(oldest) = idle.min_by_key(|cache| cache.usage().last) else { break };
            let bytes = std::mem::take(&mut oldest.usage().bytes);
            tracing::info!(bytes, "removing an object cache to keep within the limit");
            for entry in fs::read_dir(&oldest.dir)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                }
            }
            total -= bytes;
        }
        Ok(())
    }

    fn shared(&self, name: &str) -> Shared {
        Shared {
            dir: self.root.join(name),
            state: Arc::default(),
            busy: Mutex::default(),
            free: Condvar::new(),
            usage: Mutex::new(Usage { last: SystemTime::now(), bytes: 0 }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InUse {
    /// The cache, in which what a server said counts if it was asked at `since` or later.
    pub fn cache(&self, limits: git::Limits, since: Instant) -> Cache {
        Cache::new(self.shared.dir.clone(), limits).sharing(self.shared.state.clone(), since)
    }

    /// Waits until no other fetch holds the lock.
    pub fn fetch_lock(&self, deadline: &Deadline) -> Result<FetchLock<'_>, TransportError> {
        let mut busy = self.shared.busy();
        while *busy {
            if deadline.is_over() {
                return Err(TransportError::Deadline);
            }
            let wait = self.shared.free.wait_timeout(busy, LOCK_POLL);
            (busy, _) = wait.unwrap_or_else(PoisonError::into_inner);
        }
        *busy = true;
        Ok(FetchLock(&self.shared))
    }

    /// Records how large the cache is after a fetch, and evicts others if all together are too large.
    pub fn record_size(&self) -> io::Result<()> {
        self.shared.usage().bytes = size(&self.shared.dir);
        self.caches.evict()
    }
}

impl Shared {
    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> MutexGuard<'_, bool> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FetchLock<'_> {
    fn drop(&mut self) {
        *self.0.busy() = false;
        self.0.free.notify_one();
    }
}

/// Reads the key, or makes one.
fn key(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Ok(key) if key.len() == 32 => return Ok(key),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let key: [u8; 32] = rand::random();
    let options = &mut fs::OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600).open(path)?.write_all(&key)?;
    Ok(key.to_vec())
}

/// Bytes of all files; what vanishes meanwhile has none.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
        fs::create_dir_all(cache.shared.dir.join("content")).unwrap();
        fs::write(cache.shared.dir.join("content/pack"), [0; 1000]).unwrap();
        cache.record_size().unwrap();
        cache
    }

    fn is_there(cache: &InUse) -> bool {
        cache.shared.dir.join("content/pack").exists()
    }

    #[test]
    fn equal_identities_share_and_nothing_in_a_name_tells_them() {
        let (storage, caches) = caches(1 << 20);
        let dir = |owner, identity: &[&[u8]]| {
            caches.claim(owner, identity, &unlimited()).unwrap().shared.dir.clone()
        };
        let one = dir("ns/a", &[b"https://h/r", b"password"]);
        assert_eq!(one, dir("other/b", &[b"https://h/r", b"password"]));
        assert_ne!(one, dir("ns/c", &[b"https://h/r", b"passwort"]));
        assert_ne!(one, dir("ns/d", &[b"https://h/r"]), "anonymous is another identity");
        assert_ne!(dir("ns/e", &[b"ab", b"c"]), dir("ns/f", &[b"a", b"bc"]));
        let anew = Caches::open(storage.path(), 1 << 20);
        assert_eq!(
            one,
            anew.claim("ns/a", &[b"https://h/r", b"password"], &unlimited()).unwrap().shared.dir,
            "kept"
        );
        let (_elsewhere, other) = self::caches(1 << 20);
        let named = other.claim("ns/a", &[b"https://h/r", b"password"], &unlimited()).unwrap();
        assert_ne!(one.file_name(), named.shared.dir.file_name(), "each storage has a key of its own");
    }

    #[test]
    fn a_cache_goes_with_the_last_source_that_uses_it() {
        let (_storage, caches) = caches(1 << 20);
        let cache = filled(&caches, "ns/a", &[b"url"]);
        caches.claim("ns/b", &[b"url"], &unlimited()).unwrap();
        caches.claim("ns/a", &[b"another url"], &unlimited()).unwrap();
        assert!(is_there(&cache));
        caches.release("ns/b").unwrap();
        assert!(!cache.shared.dir.exists());
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
        fs::remove_file(orphan.shared.dir.join(OWNERS_FILE)).unwrap();
        let caches = Caches::open(storage.path(), 1 << 20);
        caches.claim("ns/moved", &[b"3"], &unlimited()).unwrap();
        caches.sweep(|owner| owner == "ns/lives").unwrap();
        assert!(!gone.shared.dir.exists() && !orphan.shared.dir.exists());
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
        assert!(!cache.shared.dir.exists() && is_there(&shared), "one of them has another owner");
        caches.claim("ns/c", &[b"moved"], &unlimited()).unwrap();
        assert!(!shared.shared.dir.exists());
    }

    #[test]
    fn the_longest_unused_caches_make_room_and_used_ones_stay() {
        let (storage, caches) = caches(2500);
        let first = filled(&caches, "ns/1", &[b"1"]);
        let second = filled(&caches, "ns/2", &[b"2"]).shared.dir.clone();
        let third = filled(&caches, "ns/3", &[b"3"]);
        assert!(is_there(&first) && is_there(&third), "in use");
        assert!(!second.join("content").exists() && second.join(OWNERS_FILE).exists());
        let unused = |cache: InUse| cache.shared.dir.clone();
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
}
