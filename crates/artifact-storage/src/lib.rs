//! The storage of a controller that publishes artifacts: its flags, the volume that it has for itself, and the server for it.
//!
//! ```text
//! StorageFlags ── open ── claim of the volume ── artifact::store::Store
//!                                    └── artifact::server, ready from then on
//! ```

mod flags;
mod volume;

use std::sync::Arc;
use std::time::Duration;

use artifact::server;
use artifact::store::{Store, StoreError};
use artifact::token::{TokenError, TokenFile};
use runtime::process::Process;
use runtime::readiness::Check;
use runtime::serve::{self, ServeError};

pub use flags::{AddressError, StorageFlags};

/// Passes when artifacts are served. It is ours alone: Flux does not wait for the storage.
pub const ARTIFACT_SERVER: Check =
    Check { name: "artifact-server", failure: "artifact server is not listening" };

/// Why there is no storage.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The artifact server has no address that others can use.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The storage cannot be opened.
    #[error("failed to open the storage at --storage-path, which must be an existing directory")]
    Storage(#[source] StoreError),
    /// There is no token to ask clients of the artifact server for.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The artifact server cannot listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Opens the storage of a process, waits until it is the process's own, and serves it; at the end, requests have up to
/// `shutdown_grace`. `None` means that the process was told to stop first.
///
/// # Errors
/// See [`OpenError`].
pub async fn open(
    process: &mut Process,
    flags: &StorageFlags,
    shutdown_grace: Duration,
) -> Result<Option<Arc<Store>>, OpenError> {
    let token = match &flags.artifact_token_file {
        Some(path) => Some(TokenFile::open(path).await?),
        None => None,
    };
    let storage = Store::open(&flags.storage_path, flags.store()?);
    let storage = Arc::new(storage.map_err(OpenError::Storage)?);
    if !volume::claim(process, &storage).await {
        return Ok(None);
    }
    // Only the leader has the artifacts, so only the leader listens and is ready.
    let listener = serve::listen("--storage-addr", &flags.storage_addr).await?;
    process.ready.pass(ARTIFACT_SERVER);
    let (files, options) = (storage.clone(), flags.server(shutdown_grace));
    let stop = process.stop.clone().cancelled_owned();
    process.tasks.spawn(async move {
        let served = server::serve(listener, files.root(), token, options, stop).await;
        Ok(served.map_err(ServeError::Serve)?)
    });
    process.metrics.budget("artifact_disk_bytes", storage.budget());
    Ok(Some(storage))
}
