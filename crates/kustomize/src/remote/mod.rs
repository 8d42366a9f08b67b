//! Resources that are not in the tree. The engine opens no socket: it asks the fetcher it was given.

mod spec;

use std::sync::Arc;

pub use spec::{NotARepo, RepoSpec};

use crate::tree::FileTree;

/// Gets what lies outside the tree. Whoever implements it bounds time and hosts; the engine bounds the number.
pub trait Fetcher: Send + Sync {
    /// The files of a Git repository at `spec.reference`, or of its default branch when that is empty.
    ///
    /// # Errors
    /// When the repository cannot be had or its files have more than `limit` bytes.
    fn git(&self, spec: &RepoSpec, limit: u64) -> Result<Repository, FetchError>;

    /// The body of a successful GET of an `http` or `https` URL.
    ///
    /// # Errors
    /// When it cannot be had or has more than `limit` bytes.
    fn http(&self, url: &str, limit: usize) -> Result<Vec<u8>, FetchError>;
}

/// A repository that was fetched for a build, and is held until its end.
pub struct Repository {
    /// Its files.
    pub tree: Arc<dyn FileTree>,
    /// What they take.
    pub bytes: u64,
}

/// A remote resource could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// The server answered with something other than success.
    #[error("HTTP Error: status code {0}")]
    Status(u16),
    /// Anything else; the text must not hold credentials.
    #[error("{0}")]
    Failed(String),
}
