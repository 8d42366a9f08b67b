//! source-controller: fetches sources and serves them as artifacts.

mod bucket;
mod flags;
pub mod git_repository;
mod helm_chart;
pub mod helm_repository;
mod oci_repository;
pub mod preflight;
mod registry;
mod signatures;
mod verified;

use std::sync::Arc;

use artifact_storage::OpenError;
use auth::{Environment, TokenCache};
use identity::{Clouds, Tokens};
use runtime::app::App;
use runtime::controller::Objects;

pub use crate::flags::Arguments;
use crate::flags::Budgets;
use crate::helm_chart::wakes::Wakes;
use crate::signatures::Signatures;

/// The name in events, conditions' field managers, leases and logs.
pub const NAME: &str = "source-controller";

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A series is there already.
    #[error("failed to register metrics")]
    Metrics(#[from] prometheus::Error),
    /// There is no storage.
    #[error(transparent)]
    Storage(#[from] OpenError),
}

/// Opens the storage, serves it, and adds a controller for each kind of source.
///
/// # Errors
/// See [`StartError`].
pub async fn start(app: &mut App<Arguments>) -> Result<(), StartError> {
    let arguments = app.arguments.clone();
    for flag in arguments.ignored.given() {
        tracing::warn!(
            logger = "setup",
            "{flag} has no effect: indexes are always kept, see --helm-index-cache-max-size"
        );
    }
    let grace = arguments.shared.graceful_shutdown_timeout;
    let Some(storage) = artifact_storage::open(&mut app.process, &arguments.storage, grace).await? else {
        return Ok(());
    };
    let budgets = Budgets::new(&app.arguments);
    app.process.metrics.budget("fetch", &budgets.fetches);
    app.process.metrics.budget("build", &budgets.builds);
    app.process.metrics.budget("artifact_disk_bytes", storage.budget());
    let charts = Objects::default();
    let wakes = Arc::new(Wakes::new(charts.waker()));
    let cache = TokenCache::new(arguments.token_cache_max_size, arguments.token_cache_max_duration);
    let (client, tokens) = (app.process.client.clone(), Tokens::new(cache, &app.process.metrics)?);
    let environment = Environment::of_process();
    let signatures = Arc::new(Signatures::new(&environment));
    let clouds = Clouds::new(client, environment, tokens);
    bucket::add(app, &storage, &budgets, clouds.clone(), wakes.clone());
    git_repository::add(app, &storage, &budgets, &clouds, wakes.clone());
    let (indexes, downloads) = helm_repository::add(app, &storage, &budgets, wakes.clone())?;
    helm_chart::add(
        app,
        &storage,
        &budgets,
        (charts, wakes),
        (indexes, downloads),
        signatures.clone(),
        clouds.clone(),
    );
    oci_repository::add(app, &storage, &budgets, clouds, signatures);
    Ok(())
}
