//! Artifacts in use: downloaded and unpacked once per digest, shared by everyone who asks.

use std::sync::Arc;

use crate::{
    BoxError,
    fetch::{FetchError, Fetcher, Verified},
    unpack::UnpackError,
};

/// Bounds of a [`Cache`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of all values, by the size their builder states. Values in use do not fall out, so this can be exceeded while
    /// more than that is in use.
    pub budget_bytes: u64,
    /// Downloads and builds at once.
    pub concurrent_loads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { budget_bytes: 256 << 20, concurrent_loads: 4 }
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
    /// The build was aborted, because it panicked or the runtime shuts down.
    #[error("failed to load artifact: build aborted")]
    Aborted,
}

/// A value and its size in bytes.
pub struct Built<T> {
    /// The value.
    pub value: T,
    /// What it counts against the budget.
    pub bytes: u64,
}

/// Makes a value from a verified archive, usually through [`crate::unpack::unpack`]. Runs where blocking is allowed.
pub type Build<T> = Arc<dyn Fn(Verified) -> Result<Built<T>, UnpackError> + Send + Sync>;

/// Values by digest. Cheap to clone; clones share.
pub struct Cache<T> {
    _fetcher: Arc<Fetcher>,
    _build: Build<T>,
    _options: Options,
}

impl<T: Send + Sync + 'static> Cache<T> {
    /// An empty cache.
    pub fn new(
        fetcher: Fetcher,
        options: Options,
        build: impl Fn(Verified) -> Result<Built<T>, UnpackError> + Send + Sync + 'static,
    ) -> Self {
        Self { _fetcher: Arc::new(fetcher), _build: Arc::new(build), _options: options }
    }

    /// The value of `digest`, downloaded from `url` if it is not held. Callers that ask for one digest at the same time share
    /// one download. A failure is not remembered.
    pub async fn get(&self, _url: &str, _digest: &str) -> Result<Arc<T>, CacheError> {
        let _: Option<BoxError> = None;
        unimplemented!()
    }
}
