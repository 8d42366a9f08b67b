//! Artifacts in use: downloaded and unpacked once per digest, shared by everyone who asks.
//!
//! A load runs in a task of its own, so it goes on when the caller who began it gives up, and ends when the last one does.
//! Concurrent callers share a load only if they ask for the same URL: whoever names a digest together with a dead URL delays
//! nobody else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use budget::{Budget, Limits, Request};
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
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
    /// Bytes of the contents of all archives that values are being built from; who finds no room waits.
    pub content_bytes: u64,
    /// Bytes of the content of one archive. It may be more than there is for all, and is then built alone.
    pub archive_bytes: u64,
    /// Bytes that the content of an archive gets at first. One that turns out to be larger is read anew with all that one may have.
    pub first_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            budget_bytes: 256 << 20,
            content_bytes: 128 << 20,
            archive_bytes: 128 << 20,
            first_bytes: 16 << 20,
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

type Build<T> = dyn Fn(&mut Verified, u64) -> Result<Built<T>, UnpackError> + Send + Sync;

/// Values by digest. Cheap to clone; clones share.
///
/// # Guarantees
/// - A value was built from bytes that match its digest, whoever asked for them and wherever they came from.
/// - One download for all who ask for the same URL and digest at the same time; it ends with the last of them.
/// - One tenant cannot take all there is for downloads and builds.
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
    options: Options,
    contents: Budget,
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

// === impl Options ===

impl Options {
    /// A tenant gets all but what an archive of another one needs to begin.
    fn limits(&self) -> Limits {
        let (process, first) = (self.content_bytes, self.first_bytes);
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
    /// An empty cache. `build` makes a value from an archive whose content has no more than the given bytes, usually through
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
                contents: Budget::new(options.limits()),
                options: options.clone(),
                state: Mutex::new(state),
            }),
        }
    }

    /// What downloads draw on.
    pub fn downloads(&self) -> &Budget {
        self.shared.fetcher.budget()
    }

    /// What the contents of archives draw on, in bytes.
    pub fn contents(&self) -> &Budget {
        &self.shared.contents
    }

    /// The value of `digest`, downloaded from `url` for `tenant` if it is not held. Callers that ask for the same at the same time
    /// share one download. A failure is not remembered.
    pub async fn get(&self, url: &str, digest: &str, tenant: &str) -> Result<Arc<T>, CacheError> {
        let digest = Digest::parse_for_verification(digest).map_err(fetch_error)?;
        let loading = {
            let mut state = self.shared.state();
            if let Some(value) = state.touch(&digest) {
                state.evict(self.shared.options.budget_bytes);
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
            state.evict(self.options.budget_bytes);
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
        let Options { first_bytes: first, archive_bytes: all, .. } = self.options;
        let (archive, built) = self.build(archive, tenant, first.min(all)).await?;
        let built = match built {
            Err(error) if first < all && error.is_too_many_bytes() => {
                self.build(archive, tenant, all).await?.1
            }
            built => built,
        };
        built.map_err(|error| CacheError::Unpack(Arc::new(error)))
    }

    /// Builds from an archive whose content may have so many bytes, when there is room for them.
    async fn build(
        self: &Arc<Self>,
        mut archive: Verified,
        tenant: &str,
        bytes: u64,
    ) -> Result<(Verified, Result<Built<T>, UnpackError>), CacheError> {
        let grant = self.contents.acquire(Request::new(tenant, bytes)).await;
        let this = Arc::clone(self);
        // The grant is held as long as the thread works, whoever still waits for it.
        let built = tokio::task::spawn_blocking(move || {
            let _grant = grant;
            let built = archive
                .rewind()
                .map_err(UnpackError::Archive)
                .and_then(|()| (this.build)(&mut archive, bytes));
            (archive, built)
        });
        built.await.map_err(|_| CacheError::Aborted)
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
