//! The object caches on disk. Sources with the same URL and the same credentials share one. Everything here blocks.
//!
//! One of them fetches at a time. So that nobody makes a source of another namespace wait until its time is over, such a source
//! goes to a cache that its namespace has for itself, and stays there.
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
/// This part of its time a fetch waits for one of another namespace, and no longer; what is left is for a clone.
const FOREIGN_WAIT_DIVISOR: u32 = 2;

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
    /// The sources that left a cache to another namespace, and the name of that cache.
    left: HashMap<String, String>,
}

/// A cache, for those who use it now.
struct Shared {
    dir: PathBuf,
    state: Arc<SharedState>,
    /// The namespace for which a fetch holds the lock.
    holder: Mutex<Option<String>>,
    free: Condvar,
    usage: Mutex<Usage>,
}

struct Usage {
    last: SystemTime,
    bytes: u64,
}

/// The cache of a source, which will not be removed while this exists.
pub struct InUse {
    caches: Arc<Caches>,
    owner: String,
    /// Another one after the source left one to another namespace.
    shared: Mutex<Arc<Shared>>,
}

/// The lock of a cache, which a fetch holds while it writes; others wait.
pub struct FetchLock(Arc<Shared>);

/// Where a wait for a lock led.
enum Turn {
    Locked(FetchLock),
    /// A fetch of another namespace has it.
    Foreign,
}

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

    /// How many caches there are, and the bytes of all of them.
    pub fn sizes(&self) -> (usize, u64) {
        let state = self.state();
        (state.caches.len(), state.caches.values().map(|shared| shared.usage().bytes).sum())
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
        let name = self.name(identity);
        let mut state = self.state();
        let shared = if state.left.get(owner) == Some(&name) {
            self.take(&mut state, owner, self.own_name(&name, owner), deadline)?
        } else {
            state.left.remove(owner);
            self.take(&mut state, owner, name, deadline)?
        };
        Ok(InUse { caches: self.clone(), owner: owner.to_owned(), shared: Mutex::new(shared) })
    }

    /// The cache that the namespace of `owner` has for itself in place of the one called `name`.
    fn leave(&self, owner: &str, name: &str, deadline: &Deadline) -> io::Result<Arc<Shared>> {
        tracing::info!("another namespace keeps the object cache of this URL busy: using another one");
        let mut state = self.state();
        let shared = self.take(&mut state, owner, self.own_name(name, owner), deadline)?;
        state.left.insert(owner.to_owned(), name.to_owned());
        Ok(shared)
    }

    fn own_name(&self, name: &str, owner: &str) -> String {
        self.name(&[name.as_bytes(), namespace(owner).as_bytes()])
    }

    /// The name of the cache for these parts, which tells nothing about them.
    fn name(&self, parts: &[&[u8]]) -> String {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        for part in [&self.key[..]].iter().chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finish().hex().to_owned()
    }

    /// Makes `owner` use the cache called `name` and no other.
    fn take(
        &self,
        state: &mut State,
        owner: &str,
        name: String,
        deadline: &Deadline,
    ) -> io::Result<Arc<Shared>> {
        if deadline.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let shared = state.caches.entry(name.clone()).or_insert_with(|| Arc::new(self.shared(&name))).clone();
        shared.usage().last = SystemTime::now();
        state.inherited.remove(owner);
        if state.owners.get(owner) != Some(&name) {
            self.detach(state, owner)?;
            state.owners.insert(owner.to_owned(), name.clone());
            self.write_owners(state, &name)?;
        }
        Ok(shared)
    }

    /// `owner` is gone, and with it its cache, unless others use it.
    pub fn release(&self, owner: &str) -> io::Result<()> {
        let mut state = self.state();
        state.left.remove(owner);
        self.detach(&mut state, owner)
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
            holder: Mutex::default(),
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
        let shared = self.shared();
        Cache::new(shared.dir.clone(), limits).sharing(shared.state.clone(), since)
    }

    /// Waits until no other fetch holds the lock. If that is one for another namespace, this is another cache after a while.
    pub fn fetch_lock(&self, deadline: &Deadline) -> Result<FetchLock, TransportError> {
        let patience = deadline.remaining() / FOREIGN_WAIT_DIVISOR;
        let shared = self.shared();
        match shared.lock(namespace(&self.owner), deadline, patience)? {
            Turn::Locked(lock) => Ok(lock),
            Turn::Foreign => {
                let name = shared.dir.file_name().unwrap_or_default().to_string_lossy();
                let own = self.caches.leave(&self.owner, &name, deadline)?;
                *self.current() = own.clone();
                match own.lock(namespace(&self.owner), deadline, Duration::MAX)? {
                    Turn::Locked(lock) => Ok(lock),
                    Turn::Foreign => Err(TransportError::Deadline),
                }
            }
        }
    }

    /// Records how large the cache is after a fetch, and evicts others if all together are too large.
    pub fn record_size(&self) -> io::Result<()> {
        let shared = self.shared();
        shared.usage().bytes = size(&shared.dir);
        self.caches.evict()
    }

    fn shared(&self) -> Arc<Shared> {
        self.current().clone()
    }

    fn current(&self) -> MutexGuard<'_, Arc<Shared>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holder(&self) -> MutexGuard<'_, Option<String>> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the lock; with `patience` while the holder is another namespace, which need not be the same one all the time.
    fn lock(
        self: &Arc<Self>,
        namespace: &str,
        deadline: &Deadline,
        patience: Duration,
    ) -> Result<Turn, TransportError> {
        let begun = Instant::now();
        let mut holder = self.holder();
        while let Some(other) = &*holder {
            if deadline.is_over() {
                return Err(TransportError::Deadline);
            }
            if other != namespace && begun.elapsed() >= patience {
                return Ok(Turn::Foreign);
            }
            let wait = self.free.wait_timeout(holder, LOCK_POLL);
            (holder, _) = wait.unwrap_or_else(PoisonError::into_inner);
        }
        *holder = Some(namespace.to_owned());
        drop(holder);
        Ok(Turn::Locked(FetchLock(self.clone())))
    }
}

impl Drop for FetchLock {
    fn drop(&mut self) {
        *self.0.holder() = None;
        self.0.free.notify_one();
    }
}

/// The namespace of a source that is known by the name that [`owner`] gives it.
fn namespace(owner: &str) -> &str {
    owner.split_once('/').map_or("", |(namespace, _)| namespace)
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
mod tests;
