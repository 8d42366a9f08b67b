//! helm-controller: keeps releases of Helm charts as HelmReleases say.
//!
//! ```text
//! HelmRelease ── prerequisites ── chart, values ── target ── release ──▶ helm_state (what to do) ──▶ helm_actions (doing it)
//!                 │    │                                        └── render: helm, post_render
//!     dependencies┘    └source, chart_object
//! ```
//!
//! What is decided before a release is touched is in modules that read and write nothing: [`chart_template`], [`chart_version`],
//! [`dependencies`] and [`source`]. The texts are those of Flux; each module names where they are from.

#![forbid(unsafe_code)]

mod actions;
mod activity;
mod chart;
mod chart_error;
mod chart_object;
pub mod chart_template;
pub mod chart_version;
mod context;
mod deletion;
pub mod dependencies;
mod dependents;
mod drift;
mod flags;
mod lookup;
mod memory;
mod obstacle;
mod options;
mod pass;
mod post_render;
pub mod preflight;
mod prerequisites;
mod reconciler;
mod refusals;
mod release;
mod render;
pub mod source;
mod subject;
mod target;
mod values;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use api::HelmRelease;
use apply::cluster::Cluster;
use apply::mapper::MapperOptions;
use apply::observe::IndexOptions;
use artifact::cache::Cache;
use artifact::fetch::{self, Fetcher};
use artifact::token::{TokenError, TokenFile};
use auth::{Environment, TokenCache};
use budget::Budget;
use clusters::{Clusters, Trust};
use identity::Tokens;
use references::SharedReads;
use references::configs::Configs;
use references::sources::Sources;
use runtime::app::App;
use runtime::backoff::Failures;
use runtime::client::Fence;
use runtime::conditions::{READY, find};
use runtime::controller::Objects;
use runtime::latest::Latest;
use runtime::metrics::{DriftedObjects, ResourceInfo};
use tokio_util::sync::CancellationToken;

use crate::chart::CachedChart;
use crate::context::Context;
use crate::dependents::Dependents;
pub use crate::flags::Arguments;
use crate::flags::NO_CONFIG_WATCHES;
use crate::reconciler::Reconciler;
use crate::target::MANAGER;

/// The name in events, field managers, leases and logs.
pub const NAME: &str = "helm-controller";
/// Longest wait for the first list of ConfigMaps and Secrets.
const FIRST_LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Charts cannot be downloaded.
    #[error("failed to set up downloads of charts")]
    Downloads(#[source] reqwest::Error),
    /// No token to show for charts.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A series is there already.
    #[error("failed to register metrics")]
    Metrics(#[from] prometheus::Error),
}

/// Begins the watches that wake HelmReleases, and adds their controller.
///
/// # Errors
/// See [`StartError`].
pub async fn start(app: &mut App<Arguments>) -> Result<(), StartError> {
    let (arguments, process) = (app.arguments.clone(), &app.process);
    let objects = Objects::<HelmRelease>::default();
    let (client, metrics) = (process.client.clone(), process.metrics.clone());
    let charts = charts(&arguments).await?;
    let renderings = Budget::new(arguments.render_limits());
    let waiting = Budget::new(waiting::limits(budget::memory_limit(), arguments.wait_memory_max_size));
    metrics.budget("rendering", &renderings);
    metrics.budget("waiting_bytes", &waiting);
    metrics.budget("download", charts.downloads());
    metrics.budget("chart_bytes", charts.memory());
    metrics.resources(objects.store(), info);
    let reads = SharedReads::new(client.clone());
    let tokens = TokenCache::new(arguments.token_cache_max_size, arguments.token_cache_max_duration);
    let tokens = Tokens::new(tokens, &metrics)?;
    let clouds = identity::Clouds::new(client.clone(), Environment::of_process(), tokens);
    let options = clusters_options(process.fence(), &arguments);
    let clusters = Clusters::new(clouds, reads.clone(), metrics.clone(), options);
    metrics.budget("remote_clusters", clusters.budget());
    let retry = arguments.shared.controller(arguments.concurrent).retry;
    let context = Context {
        client: client.clone(),
        metrics: metrics.clone(),
        drifted: DriftedObjects::of_kind("HelmRelease", &metrics),
        events: process.events.clone(),
        cluster: Cluster::new(client.clone(), MANAGER, MapperOptions::default(), IndexOptions::default()),
        clusters,
        sources: Sources::new(client.clone(), arguments.sources()),
        configs: Configs::new(),
        reads,
        dependents: Dependents::default(),
        charts,
        renderings,
        waiting,
        requeues: Failures::new(retry),
        store: objects.store(),
        latest: Latest::new(objects.store()),
        waker: objects.waker(),
        ending: process.stop.clone(),
        stop: last_stop(process.stop.clone(), arguments.actions_grace()),
        arguments: arguments.clone(),
    };
    let (scope, waker, configs) = (arguments.shared.scope(), objects.waker(), context.configs.clone());
    for watch in context.sources.watch(scope.namespace.as_deref(), &waker, &metrics) {
        app.spawn(watch);
    }
    if !arguments.feature_gates.is_on(NO_CONFIG_WATCHES) {
        let labels = &arguments.watch_configs_label_selector;
        for watch in configs.watch(&client, &scope, labels, &waker, &metrics) {
            app.spawn(watch);
        }
    }
    let (cluster, clusters) = (context.cluster.clone(), context.clusters.clone());
    clusters.show_watched(&metrics, &cluster.index);
    let reconciler = Arc::new(Reconciler::new(context));
    let observer = reconciler.clone();
    app.spawn(
        async move { clusters.follow_owners(&cluster.index, |owner| observer.object_changed(owner)).await },
    );
    configs.settled(FIRST_LIST_TIMEOUT).await;
    app.add_controller(objects, reconciler, arguments.concurrent);
    Ok(())
}

/// Cancelled so long after another one.
fn last_stop(stop: CancellationToken, grace: Duration) -> CancellationToken {
    let last = CancellationToken::new();
    let told = last.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
        told.cancel();
    });
    last
}

/// The charts, downloaded and loaded once for all releases that need them.
async fn charts(arguments: &Arguments) -> Result<Cache<CachedChart>, StartError> {
    let token = match &arguments.artifact_token_file {
        Some(path) => Some(Arc::new(TokenFile::open(path).await?)),
        None => None,
    };
    let fetcher = Fetcher::new(fetch::Options { token, ..arguments.downloads() });
    let fetcher = fetcher.map_err(StartError::Downloads)?;
    Ok(Cache::new(fetcher, &arguments.charts(budget::memory_limit()), CachedChart::load))
}

/// How other clusters are opened.
fn clusters_options(fence: Fence, arguments: &Arguments) -> clusters::Options {
    clusters::Options {
        trust: Trust { insecure_tls: arguments.insecure_kubeconfig_tls, ..Trust::default() },
        default_account: arguments.default_kubeconfig_service_account.clone(),
        ..clusters::Options::new(
            MANAGER,
            fence,
            arguments.remote_clusters_max,
            arguments.remote_answer_max_size,
        )
    }
}

/// What dashboards read of an object.
fn info(object: &HelmRelease) -> ResourceInfo {
    let ready = find(subject::conditions_of(object), READY).map(|ready| ready.status.to_string());
    let status = object.status.as_ref();
    let revision = status.and_then(|status| api::helm_release::latest(&status.history));
    ResourceInfo {
        ready: ready.unwrap_or_default(),
        suspended: object.spec.suspend,
        revision: revision.map(|snapshot| snapshot.chart_version.clone()).unwrap_or_default(),
        more: vec![("chart_name", revision.map(|snapshot| snapshot.chart_name.clone()).unwrap_or_default())],
    }
}
