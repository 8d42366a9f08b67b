//! Artifacts in use: downloaded and unpacked once per digest, shared by everyone who asks.
//!
//! A load runs in a task of its own, so it goes on when the caller who began it gives up, and ends when the last one does.
//! Concurrent callers share a load only if they ask for the same URL: whoever names a digest together with a dead URL delays
//! nobody else.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use budget::{Budget, Grant, Limits, Request};
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    digest::Digest,
    fetch::{FetchError, Fetcher, Verified},
    unpack::UnpackError,
};

/// A value that is let go of tells nobody: how often who waits for memory looks for some to take it from.
const EVICTION_INTERVAL: Duration = Duration::from_millis(100);

/// Bounds of a [`Cache`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of values that nobody uses, by the size their builder states.
    pub idle_bytes: u64,
    /// Bytes of values that are used or being built, beside those. Who finds no room waits.
    pub used_bytes: u64,
    /// Bytes of one value. They may be more than there are for all: it is then the only one.
    pub value_bytes: u64,
    /// Bytes that a value gets at first. One that turns out to be larger is built anew with all that one may have.
    pub first_bytes: u64,
    /// How long a load waits for room.
    pub wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            idle_bytes: 256 << 20,
            used_bytes: 128 << 20,
            value_bytes: 128 << 20,
            first_bytes: 16 << 20,
            wait: Duration::from_secs(600),
        }
    }
}

/// Why a value could not be had. Shared by all who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CacheError {
    /// The download failed.
    #[error(transparent)]
    Fetch(Arc<FetchError>),
    /// The archive is not acceptable.
    #[error("failed to extract archive (check whether file size exceeds max download size)")]
    Unpack(#[source] Arc<UnpackError>),
    /// Other values left no room.
    #[error("no memory to extract the archive within {0:?}")]
    Busy(Duration),
    /// The builder panicked, or the runtime shuts down.
    #[error("failed to extract archive: aborted")]
    Aborted,
}

/// A value and its size.
pub struct Built<T> {
    /// The value.
    pub value: T,
    /// What it takes of the memory, in bytes.
    pub bytes: u64,
}

type Build<T> = dyn Fn(&mut Verified, u64) -> Result<Built<T>, UnpackError> + Send + Sync;

/// Values by digest. Cheap to clone; clones share.
///
/// # Guarantees
/// - A value was built from bytes that match its digest, whoever asked for them and wherever they came from.
/// - One download for all who ask for the same URL and digest at the same time; it ends with the last of them.
/// - All values together have a limit, those in use included, and one tenant cannot have all of it. Nor can it take all downloads.
///
/// # Caveats
/// - Who holds a value must let go of it without waiting for another one of the same cache.
/// - A failure is not remembered: who asks again, downloads again.
pub struct Cache<T> {
    shared: Arc<Inner<T>>,
}

struct Inner<T> {
    fetcher: Fetcher,
    build: Box<Build<T>>,
    options: Options,
    memory: Budget,
    state: Mutex<State<T>>,
}

struct State<T> {
    held: HashMap<Digest, Held<T>>,
    /// Those that somebody waits for.
    loading: HashMap<(String, Digest), WeakShared<Load<T>>>,
    bytes: u64,
    /// Counts uses, to tell which is the longest ago.
    clock: u64,
}

struct Held<T> {
    value: Arc<T>,
    bytes: u64,
    used: u64,
    tenant: String,
    _memory: Grant,
}

type Load<T> = BoxFuture<'static, Result<Arc<T>, CacheError>>;
type Loading<T> = Shared<Load<T>>;

// === impl Options ===

impl Options {
    /// A tenant gets all but what a value of another one needs to begin.
    fn limits(&self) -> Limits {
        let (process, first) = (self.used_bytes.saturating_add(self.idle_bytes), self.first_bytes);
        Limits { process, tenant: process.saturating_sub(first).max(first) }
    }
}

// === impl CacheError ===

impl CacheError {
    /// Whether the server said that there is no such artifact.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Fetch(error) if matches!(**error, FetchError::NotFound))
    }

    /// Whether the server has an artifact there, but not the one with this digest.
    pub fn is_mismatch(&self) -> bool {
        matches!(self, Self::Fetch(error) if matches!(**error, FetchError::Mismatch(_)))
    }
}

// === impl Cache ===

impl<T> Clone for Cache<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Send + Sync + 'static> Cache<T> {
    /// An empty cache. `build` makes a value of no more than the given bytes from an archive, usually through
    /// [`crate::unpack::unpack`]; it runs where blocking is allowed.
    pub fn new(
        fetcher: Fetcher,
        options: &Options,
        build: impl Fn(&mut Verified, u64) -> Result<Built<T>, UnpackError> + Send + Sync + 'static,
    ) -> Self {
        let state = State { held: HashMap::new(), loading: HashMap::new(), bytes: 0, clock: 0 };
        Self {
            shared: Arc::new(Inner {
                fetcher,
                build: Box::new(build),
                memory: Budget::new(options.limits()),
                options: options.clone(),
                state: Mutex::new(state),
            }),
        }
    }

    /// What downloads draw on.
    pub fn downloads(&self) -> &Budget {
        self.shared.fetcher.budget()
    }

    /// What values draw on, in bytes.
    pub fn memory(&self) -> &Budget {
        &self.shared.memory
    }

    /// The value of `digest`, downloaded from `url` for `tenant` if it is not held. Callers that ask for the same at the same time
    /// share one download. A failure is not remembered.
    pub async fn get(&self, url: &str, digest: &str, tenant: &str) -> Result<Arc<T>, CacheError> {
        let digest = Digest::parse_for_verification(digest).map_err(fetch_error)?;
        let loading = {
            let mut state = self.shared.state();
            if let Some(value) = state.touch(&digest) {
                state.evict(self.shared.options.idle_bytes);
                return Ok(value);
            }
            let key = (url.to_owned(), digest);
            match state.loading.get(&key).and_then(WeakShared::upgrade) {
                Some(loading) => loading,
                None => {
                    // Those that were given up.
                    state.loading.retain(|_, loading| loading.upgrade().is_some());
                    let loading = Arc::clone(&self.shared).start(key.clone(), tenant.to_owned());
                    // One that is not over can be referred to.
                    state.loading.extend(loading.downgrade().map(|weak| (key, weak)));
                    loading
                }
            }
        };
        loading.await
    }
}

// === impl Inner ===

impl<T: Send + Sync + 'static> Inner<T> {
    fn start(self: Arc<Self>, key: (String, Digest), tenant: String) -> Loading<T> {
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let result = Arc::clone(&self).load(&key, &tenant).await;
            let mut state = self.state();
            state.loading.remove(&key);
            let (built, memory) = result?;
            let value = state.hold(key.1, built, tenant, memory);
            state.evict(self.options.idle_bytes);
            Ok(value)
        }));
        async { task.await.unwrap_or(Err(CacheError::Aborted)) }.boxed().shared()
    }

    async fn load(
        self: Arc<Self>,
        (url, digest): &(String, Digest),
        tenant: &str,
    ) -> Result<(Built<T>, Grant), CacheError> {
        let archive = self.fetcher.fetch(url, &digest.to_string(), tenant).await.map_err(fetch_error)?;
        let Options { first_bytes: first, value_bytes: all, .. } = self.options;
        let (archive, built) = self.build(archive, tenant, first.min(all)).await?;
        let built = match built {
            Err(error) if first < all && error.is_too_many_bytes() => {
                self.build(archive, tenant, all).await?.1
            }
            built => built,
        };
        built.map_err(|error| CacheError::Unpack(Arc::new(error)))
    }

    /// Builds a value of up to so many bytes, when there is room for them.
    async fn build(
        self: &Arc<Self>,
        mut archive: Verified,
        tenant: &str,
        bytes: u64,
    ) -> Result<(Verified, Result<(Built<T>, Grant), UnpackError>), CacheError> {
        let mut memory = self.room(tenant, bytes).await?;
        let this = Arc::clone(self);
        // The memory is held as long as the thread works, whoever still waits for it.
        let built = tokio::task::spawn_blocking(move || {
            let built = archive.rewind().map_err(UnpackError::Archive);
            let built = built.and_then(|()| (this.build)(&mut archive, bytes)).map(|built| {
                memory.shrink(built.bytes);
                (built, memory)
            });
            (archive, built)
        });
        built.await.map_err(|_| CacheError::Aborted)
    }

    /// Waits until there is memory for so many bytes. Values that nobody uses make room for others of their tenant.
    async fn room(&self, tenant: &str, bytes: u64) -> Result<Grant, CacheError> {
        let deadline = Instant::now() + self.options.wait;
        let mut granted = pin!(self.memory.acquire(Request::new(tenant, bytes)));
        let mut look = Instant::now();
        loop {
            if let Ok(memory) = timeout_at(look.min(deadline), &mut granted).await {
                return Ok(memory);
            }
            if look >= deadline {
                return Err(CacheError::Busy(self.options.wait));
            }
            let mut state = self.state();
            state.evict(self.options.idle_bytes);
            state.evict_all_of(tenant);
            drop(state);
            look = Instant::now() + EVICTION_INTERVAL;
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that may panic runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fetch_error(error: impl Into<FetchError>) -> CacheError {
    CacheError::Fetch(Arc::new(error.into()))
}

// === impl State ===

impl<T> State<T> {
    fn touch(&mut self, digest: &Digest) -> Option<Arc<T>> {
        let held = self.held.get_mut(digest)?;
        self.clock += 1;
        held.used = self.clock;
        Some(Arc::clone(&held.value))
    }

    /// Keeps the value, unless another URL brought the same one in the meantime.
    fn hold(&mut self, digest: Digest, built: Built<T>, tenant: String, memory: Grant) -> Arc<T> {
        if let Some(value) = self.touch(&digest) {
            return value;
        }
        let value = Arc::new(built.value);
        self.clock += 1;
        self.bytes += built.bytes;
        let (bytes, used) = (built.bytes, self.clock);
        let held = Held { value: Arc::clone(&value), bytes, used, tenant, _memory: memory };
        self.held.insert(digest, held);
        value
    }

    /// Drops values that nobody holds, the longest unused first, until there are no more bytes than these.
    fn evict(&mut self, idle_bytes: u64) {
        while self.bytes > idle_bytes {
            let idle = self.held.iter().filter(|(_, held)| held.is_idle());
            let Some(digest) = idle.min_by_key(|(_, held)| held.used).map(|(digest, _)| digest.clone())
            else {
                return;
            };
            if let Some(held) = self.held.remove(&digest) {
                self.bytes -= held.bytes;
            }
        }
    }

    /// Drops all values of a tenant that nobody holds.
    fn evict_all_of(&mut self, tenant: &str) {
        let bytes = &mut self.bytes;
        self.held.retain(|_, held| {
            let stays = held.tenant != tenant || !held.is_idle();
            *bytes -= if stays { 0 } else { held.bytes };
            stays
        });
    }
}

// === impl Held ===

impl<T> Held<T> {
    /// Whether nobody uses the value.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.value) == 1
    }
}
