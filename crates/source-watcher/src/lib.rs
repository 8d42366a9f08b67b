//! source-watcher: composes artifacts of the files of sources, and serves them.
//!
//! ```text
//! ArtifactGenerator ── sources (watched) ── trees (one for each digest) ── artifact_generator ── storage
//!                                                                                        └── ExternalArtifacts
//! ```

mod context;
mod flags;
mod generated;
mod pass;
pub mod preflight;
mod production;
mod reconciler;
mod status;

use std::sync::Arc;

use ::artifact_generator::Tree;
use api::ArtifactGenerator;
use artifact::cache::{Built, Cache};
use artifact::fetch::{self, Fetcher};
use artifact::token::{TokenError, TokenFile};
use artifact::unpack;
use artifact_storage::OpenError;
use budget::{Budget, Limits};
use references::sources::Sources;
use runtime::app::App;
use runtime::conditions::{READY, find};
use runtime::controller::Objects;
use runtime::latest::Latest;
use runtime::metrics::ResourceInfo;

use crate::context::Context;
pub use crate::flags::Arguments;
use crate::generated::Generated;
use crate::reconciler::Reconciler;

/// The name in events, field managers, leases and logs.
pub const NAME: &str = "source-watcher";

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no storage.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// The token for the artifacts of sources cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Artifacts of sources cannot be downloaded.
    #[error("failed to set up downloads of artifacts")]
    Downloads(#[source] reqwest::Error),
}

/// Opens the storage, serves it, and adds the controller.
///
/// # Errors
/// See [`StartError`].
pub async fn start(app: &mut App<Arguments>) -> Result<(), StartError> {
    let arguments = app.arguments.clone();
    let grace = arguments.shared.graceful_shutdown_timeout;
    let trees = trees(&arguments).await?;
    let Some(storage) = artifact_storage::open(&mut app.process, &arguments.storage, grace).await? else {
        return Ok(());
    };
    let (process, objects) = (&app.process, Objects::<ArtifactGenerator>::default());
    let metrics = &process.metrics;
    let builds = Budget::new(arguments.build_limits());
    metrics.budget("build", &builds);
    metrics.budget("download", trees.downloads());
    metrics.budget("artifact_bytes", trees.memory());
    metrics.resources(objects.store(), info);
    let context = Context {
        client: process.client.clone(),
        events: process.events.clone(),
        metrics: metrics.clone(),
        storage,
        sources: Sources::new(process.client.clone(), arguments.sources()),
        trees,
        generated: Generated::new(process.client.clone()),
        builds,
        several: Budget::new(Limits { process: 1, tenant: 1 }),
        store: objects.store(),
        latest: Latest::new(objects.store()),
        waker: objects.waker(),
        jitter: arguments.shared.interval_jitter_percentage,
        requeue_dependency: arguments.shared.requeue_dependency,
        stop: process.stop.clone(),
        arguments: arguments.clone(),
    };
    let namespace = arguments.shared.scope().namespace;
    let watches = context.sources.watch(namespace.as_deref(), &context.waker, metrics);
    let generated = context.generated.clone().watch(namespace, context.waker.clone(), metrics.clone());
    watches.into_iter().for_each(|watch| app.spawn(watch));
    app.spawn(generated);
    app.add_controller(objects, Arc::new(Reconciler::new(context)), arguments.concurrent);
    Ok(())
}

/// The contents of sources, downloaded and unpacked once for all generators that need them.
async fn trees(arguments: &Arguments) -> Result<Cache<Tree>, StartError> {
    let token = match &arguments.storage.artifact_token_file {
        Some(path) => Some(Arc::new(TokenFile::open(path).await?)),
        None => None,
    };
    let fetcher = Fetcher::new(fetch::Options { token, ..arguments.downloads() });
    let fetcher = fetcher.map_err(StartError::Downloads)?;
    Ok(Cache::new(fetcher, &arguments.contents(budget::memory_limit()), |archive, bytes| {
        let limits = unpack::Limits { bytes, ..unpack::Limits::default() };
        Tree::unpack(archive, &limits).map(|(value, bytes)| Built { value, bytes })
    }))
}

/// What dashboards read of an object.
fn info(object: &ArtifactGenerator) -> ResourceInfo {
    let ready = find(status::conditions_of(object), READY).map(|ready| ready.status.to_string());
    ResourceInfo {
        ready: ready.unwrap_or_default(),
        suspended: status::is_disabled(object),
        revision: String::new(),
        more: Vec::new(),
    }
}
