//! Artifacts in use: downloaded and unpacked once per digest, shared by everyone who asks.
//!
//! A load runs in a task of its own, so it goes on when the caller who began it gives up, and ends when the last one does.
//! Concurrent callers share a load only if they ask for the same URL: whoever names a digest together with a dead URL delays
//! nobody else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use net::Permits;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    digest::Digest,
    fetch::{FetchError, Fetcher, Verified},
    unpack::UnpackError,
};

/// Bounds of a [`Cache`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of all values, by the size their builder states. Values in use do not fall out, so this is exceeded while
    /// more than that is in use.
    pub budget_bytes: u64,
    /// Builds at once; further ones wait.
    pub concurrent_builds: u32,
    /// How many of these may be of one tenant.
    pub share: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { budget_bytes: 256 << 20, concurrent_builds: 4, share: 2 }
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
    /// The builder panicked, or the runtime shuts down.
    #[error("failed to extract archive: aborted")]
    Aborted,
}

/// A value and its size.
pub struct Built<T> {
    /// The value.
    pub value: T,
    /// What it counts against the budget, in bytes.
    pub bytes: u64,
}

type Build<T> = dyn Fn(Verified) -> Result<Built<T>, UnpackError> + Send + Sync;

/// Values by digest. Cheap to clone; clones share.
///
/// # Guarantees
/// - A value was built from bytes that match its digest, whoever asked for them and wherever they came from.
/// - One download for all who ask for the same URL and digest at the same time; it ends with the last of them.
/// - One tenant cannot take all permits to download and to build.
///
/// # Caveats
/// - Values in use do not fall out, so the budget is exceeded while more than that is in use.
/// - A failure is not remembered: who asks again, downloads again.
pub struct Cache<T> {
    shared: Arc<Inner<T>>,
}

struct Inner<T> {
    fetcher: Fetcher,
    build: Box<Build<T>>,
    budget_bytes: u64,
    builds: Permits,
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
}

type Load<T> = BoxFuture<'static, Result<Arc<T>, CacheError>>;
type Loading<T> = Shared<Load<T>>;

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
    /// An empty cache. `build` makes a value from an archive, usually through [`crate::unpack::unpack`]; it runs where
    /// blocking is allowed.
    pub fn new(
        fetcher: Fetcher,
        options: &Options,
        build: impl Fn(Verified) -> Result<Built<T>, UnpackError> + Send + Sync + 'static,
    ) -> Self {
        let state = State { held: HashMap::new(), loading: HashMap::new(), bytes: 0, clock: 0 };
        Self {
            shared: Arc::new(Inner {
                fetcher,
                build: Box::new(build),
                budget_bytes: options.budget_bytes,
                builds: Permits::new(options.concurrent_builds, options.share),
                state: Mutex::new(state),
            }),
        }
    }

    /// The value of `digest`, downloaded from `url` for `tenant` if it is not held. Callers that ask for the same at the same time
    /// share one download. A failure is not remembered.
    pub async fn get(&self, url: &str, digest: &str, tenant: &str) -> Result<Arc<T>, CacheError> {
        let digest = Digest::parse_for_verification(digest).map_err(fetch_error)?;
        let loading = {
            let mut state = self.shared.state();
            if let Some(value) = state.touch(&digest) {
                state.evict(self.shared.budget_bytes);
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
            let value = state.hold(key.1, result?);
            state.evict(self.budget_bytes);
            Ok(value)
        }));
        async { task.await.unwrap_or(Err(CacheError::Aborted)) }.boxed().shared()
    }

    async fn load(
        self: Arc<Self>,
        (url, digest): &(String, Digest),
        tenant: &str,
    ) -> Result<Built<T>, CacheError> {
        let archive = self.fetcher.fetch(url, &digest.to_string(), tenant).await.map_err(fetch_error)?;
        let permit = self.builds.acquire(tenant).await;
        let this = Arc::clone(&self);
        // The permit is held as long as the thread works, whoever still waits for it.
        let built = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            (this.build)(archive)
        });
        let built = built.await;
        built.map_err(|_| CacheError::Aborted)?.map_err(|error| CacheError::Unpack(Arc::new(error)))
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
    fn hold(&mut self, digest: Digest, built: Built<T>) -> Arc<T> {
        if let Some(value) = self.touch(&digest) {
            return value;
        }
        let value = Arc::new(built.value);
        self.clock += 1;
        self.bytes += built.bytes;
        self.held.insert(digest, Held { value: Arc::clone(&value), bytes: built.bytes, used: self.clock });
        value
    }

    /// Drops values that nobody holds, the longest unused first, until the budget is kept.
    fn evict(&mut self, budget_bytes: u64) {
        while self.bytes > budget_bytes {
            let idle = self.held.iter().filter(|(_, held)| Arc::strong_count(&held.value) == 1);
            let Some(digest) = idle.min_by_key(|(_, held)| held.used).map(|(digest, _)| digest.clone())
            else {
                return;
            };
            if let Some(held) = self.held.remove(&digest) {
                self.bytes -= held.bytes;
            }
        }
    }
}
