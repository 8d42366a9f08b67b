//! source-controller: fetches sources and serves them as artifacts.

mod flags;
pub mod git_repository;
mod helm_chart;
pub mod helm_repository;
mod oci_repository;
pub mod preflight;
mod registry;
mod signatures;
mod verified;
mod volume;

use std::sync::Arc;

use artifact::store::StoreError;
use artifact::token::{TokenError, TokenFile};
use artifact::{server, store};
use auth::{Environment, TokenCache};
use identity::{Clouds, Tokens};
use runtime::app::App;
use runtime::controller::Objects;
use runtime::serve::{self, ServeError};

pub use crate::flags::Arguments;
use crate::flags::{ARTIFACT_SERVER, Budgets, ConfigError};
use crate::helm_chart::wakes::Wakes;

/// The name in events, conditions' field managers, leases and logs.
pub const NAME: &str = "source-controller";

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Arguments that do not go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A series is there already.
    #[error("failed to register metrics")]
    Metrics(#[from] prometheus::Error),
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

/// Opens the storage, serves it, and adds a controller for each kind of source.
///
/// # Errors
/// See [`StartError`].
pub async fn start(app: &mut App<Arguments>) -> Result<(), StartError> {
    let arguments = app.arguments.clone();
    for flag in arguments.ignored.given() {
        tracing::warn!(logger = "setup", "{flag} has no effect: the kinds of Helm are not here yet");
    }
    let token = match &arguments.artifact_token_file {
        Some(path) => Some(TokenFile::open(path).await?),
        None => None,
    };
    let storage = store::Store::open(&arguments.storage_path, arguments.storage()?);
    let storage = Arc::new(storage.map_err(StartError::Storage)?);
    if !volume::claim(&app.process, &storage).await {
        return Ok(());
    }
    // Only the leader has the artifacts, so only the leader listens and is ready.
    let listener = serve::listen("--storage-addr", &arguments.storage_addr).await?;
    app.process.ready.pass(ARTIFACT_SERVER);
    let (files, options) = (storage.clone(), arguments.artifact_server());
    let stop = app.process.stop.clone().cancelled_owned();
    app.process.tasks.spawn(async move {
        let served = server::serve(listener, files.root(), token, options, stop).await;
        Ok(served.map_err(ServeError::Serve)?)
    });
    let budgets = Budgets::new(&app.arguments);
    app.process.metrics.budget("fetch", &budgets.fetches);
    app.process.metrics.budget("build", &budgets.builds);
    app.process.metrics.budget("artifact_disk_bytes", storage.budget());
    let charts = Objects::default();
    let wakes = Arc::new(Wakes::new(charts.waker()));
    let cache = TokenCache::new(arguments.token_cache_max_size, arguments.token_cache_max_duration);
    let (client, tokens) = (app.process.client.clone(), Tokens::new(cache, &app.process.metrics)?);
    let clouds = Clouds::new(client, Environment::of_process(), tokens);
    git_repository::add(app, &storage, &budgets, &clouds, wakes.clone());
    let indexes = helm_repository::add(app, &storage, &budgets, wakes.clone())?;
    helm_chart::add(app, &storage, &budgets, charts, indexes, wakes);
    oci_repository::add(app, &storage, &budgets, clouds);
    Ok(())
}
