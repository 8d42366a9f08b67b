//! kustomize-controller: builds artifacts with kustomize, applies them and keeps them applied.

mod activity;
mod applied;
mod base_folder;
mod builds;
mod configs;
mod context;
mod decryption;
mod deletion;
mod dependencies;
mod drift;
mod flags;
mod handover;
mod health;
mod ignore;
mod limits;
mod memory;
mod pass;
mod polling;
pub mod preflight;
mod reconciler;
mod remote;
mod render;
mod run;
mod sources;
mod status;
mod subject;
mod variables;

use std::{sync::Arc, time::Duration};

use api::Kustomization;
use apply::{cluster::Cluster, manager::Manager, mapper::MapperOptions, observe::IndexOptions};
use artifact::{
    cache::{self, Built, Cache},
    fetch::{self, Fetcher},
    token::{TokenError, TokenFile},
    unpack::{self, Entry, Limits as UnpackLimits},
};
use auth::{Environment, TokenCache};
use clusters::{Clusters, Trust};
use identity::Tokens;
use kms::KeyServices;
use kustomize::{Options, ParseCache, tree::MemoryTree};
use net::AddressPolicy;
use references::{SharedReads, configs::Configs, sources::Sources};
use runtime::{app::App, client::Fence, controller::Objects, metrics::DriftedObjects, queue::InFlight};

pub use crate::flags::Arguments;
use crate::{
    builds::Builds,
    context::Context,
    decryption::{Clouds, Decryption},
    flags::NO_CONFIG_WATCHES,
    handover::Skipped,
    memory::MemoryShares,
    reconciler::Reconciler,
    remote::{BaseOptions, RemoteBases},
};

/// The name in events, conditions' field managers, leases and logs.
pub const NAME: &str = "kustomize-controller";
/// How it applies, and what it marks its objects with.
const MANAGER: Manager = Manager { field_manager: NAME, group: api::kustomize::GROUP };

/// Longest wait for the first list of ConfigMaps and Secrets.
const FIRST_LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No client for artifacts.
    #[error("failed to set up the artifact client")]
    Artifacts(#[source] reqwest::Error),
    /// No token to show for artifacts.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No clients for key services.
    #[error("failed to set up the clients for key services")]
    KeyServices(#[source] kms::SetupError),
    /// No client for bases in other repositories.
    #[error("failed to set up the client for bases")]
    Bases(#[source] reqwest::Error),
    /// A series is there already.
    #[error("failed to register metrics")]
    Metrics(#[from] prometheus::Error),
}

/// Begins the watches that wake Kustomizations, and adds their controller.
///
/// # Errors
/// See [`StartError`].
pub async fn start(app: &mut App<Arguments>) -> Result<(), StartError> {
    let (arguments, process) = (app.arguments.clone(), &app.process);
    let objects = Objects::<Kustomization>::default();
    let (store, waker) = (objects.store(), objects.waker());
    let memory = budget::memory_limit();
    let shares = MemoryShares::new(memory, &arguments);
    tracing::info!(
        logger = "setup",
        memory,
        artifact_bytes = shares.artifact_bytes,
        all_artifact_bytes = shares.all_artifact_bytes,
        build_nodes = shares.build_nodes,
        build_bytes = shares.build_bytes,
        all_build_nodes = shares.all_build_nodes,
        "limits of artifacts and builds follow the memory of the process"
    );
    let builds = Arc::new(Builds::new(&shares, arguments.build_timeout));
    process.metrics.budget("build_nodes", builds.budget());
    let artifacts = artifacts(&arguments, &shares).await?;
    process.metrics.budget("download", artifacts.downloads());
    process.metrics.budget("artifact_bytes", artifacts.memory());
    if let Err(error) = tokio::task::spawn_blocking(base_folder::remove_abandoned).await {
        tracing::error!(logger = "setup", %error, "failed to remove folders of bases");
    }
    let cluster =
        Cluster::new(process.client.clone(), MANAGER, MapperOptions::default(), IndexOptions::default());
    let tokens = TokenCache::new(arguments.token_cache_max_size, arguments.token_cache_max_duration);
    let tokens = Tokens::new(tokens, &process.metrics)?;
    let clouds = identity::Clouds::new(process.client.clone(), Environment::of_process(), tokens);
    let reads = SharedReads::new(process.client.clone());
    let clusters = Clusters::new(
        clouds.clone(),
        reads.clone(),
        process.metrics.clone(),
        clusters_options(process.fence(), &arguments, &shares),
    );
    process.metrics.budget("remote_clusters", clusters.budget());
    let context = Context {
        cluster: cluster.clone(),
        clusters: clusters.clone(),
        artifacts,
        build: build_options(&arguments, &shares),
        builds,
        bases: remote_bases(&arguments, &shares)?,
        decryption: decryption(&arguments, clouds.clone(), reads.clone()).await?,
        reads,
        sources: Sources::new(process.client.clone(), sources::options(&arguments)),
        configs: Configs::new(),
        runs: InFlight::default(),
        dependencies: Default::default(),
        client: process.client.clone(),
        metrics: process.metrics.clone(),
        drifted: DriftedObjects::of_kind("Kustomization", &process.metrics),
        skipped: Skipped::default(),
        events: process.events.clone(),
        waker: waker.clone(),
        store: store.clone(),
        arguments: arguments.clone(),
    };
    let (metrics, parsed) = (process.metrics.clone(), context.build.parsed.clone());
    metrics.resources(store.clone(), status::info);
    runtime::queue::watch_runs("kustomization", &context.runs, &process.metrics);
    let (scope, client) = (arguments.shared.scope(), process.client.clone());
    for watch in context.sources.watch(scope.namespace.as_deref(), &waker, &process.metrics) {
        app.spawn(watch);
    }
    let configs = context.configs.clone();
    if !arguments.feature_gates.is_on(NO_CONFIG_WATCHES) {
        let labels = &arguments.watch_configs_label_selector;
        for watch in configs.watch(&client, &scope, labels, &waker, &metrics) {
            app.spawn(watch);
        }
    }
    let reconciler = Arc::new(Reconciler::new(context));
    let (observer, slots) = (reconciler.clone(), Arc::downgrade(&reconciler));
    metrics.kept_entries("kustomizations", move || slots.upgrade().map_or(0, |reconciler| reconciler.kept()));
    clusters.show_watched(&metrics, &cluster.index);
    metrics.kept_bytes("parsed_files", move || parsed.as_ref().map_or(0, ParseCache::bytes));
    app.spawn(async move {
        let look = |owner: &_| {
            observer.object_changed(owner);
            None
        };
        clusters.follow_owners(&cluster.index, look).await
    });
    configs.settled(FIRST_LIST_TIMEOUT).await;
    app.add_controller(objects, reconciler, arguments.concurrent);
    Ok(())
}

/// How other clusters are opened.
fn clusters_options(fence: Fence, arguments: &Arguments, shares: &MemoryShares) -> clusters::Options {
    clusters::Options {
        trust: Trust { insecure_tls: arguments.insecure_kubeconfig_tls, ..Trust::default() },
        default_account: arguments.default_kubeconfig_service_account.clone(),
        ..clusters::Options::new(MANAGER, fence, shares.clusters, arguments.remote_answer_max_size)
    }
}

async fn decryption(
    arguments: &Arguments,
    identities: identity::Clouds,
    reads: SharedReads,
) -> Result<Decryption, StartError> {
    // As for bases: who writes to Git must not reach what only this process can.
    let addresses = AddressPolicy { allow_link_local: false, denied: Vec::new() };
    let (client, environment) = (identities.client().clone(), identities.environment().clone());
    let services = KeyServices::new(environment, addresses, &kms::Limits::default()).await;
    let clouds = Clouds {
        services: services.map_err(StartError::KeyServices)?,
        identities,
        vaults: (arguments.shared.runtime_namespace.clone(), arguments.sops_vault_configmap.clone()),
        runtime: tokio::runtime::Handle::current(),
    };
    Ok(Decryption {
        client,
        reads,
        namespace: arguments.shared.runtime_namespace.clone(),
        age_secret: arguments.sops_age_secret.clone(),
        default_account: arguments.default_decryption_service_account.clone(),
        clouds: Some(Arc::new(clouds)),
    })
}

/// Bases from elsewhere, unless `--no-remote-bases`.
fn remote_bases(
    arguments: &Arguments,
    shares: &MemoryShares,
) -> Result<Option<Arc<RemoteBases>>, StartError> {
    if arguments.no_remote_bases {
        return Ok(None);
    }
    let bases = RemoteBases::new(BaseOptions {
        pack_bytes: arguments.artifact_max_size,
        memory: git::Memory::new(shares.artifact_bytes),
        addresses: AddressPolicy {
            allow_link_local: arguments.remote_bases_allow_link_local,
            denied: arguments.remote_bases_deny.clone(),
        },
        redirects: arguments.remote_bases_redirects,
        timeout: remote::FETCH_TIMEOUT,
    });
    Ok(Some(Arc::new(bases.map_err(StartError::Bases)?)))
}

fn build_options(arguments: &Arguments, shares: &MemoryShares) -> Options {
    let limits = kustomize::Limits {
        nodes: shares.build_nodes,
        total_bytes: shares.build_bytes,
        fetched_bytes: shares.artifact_bytes,
        ..kustomize::Limits::default()
    };
    let parsed = Some(ParseCache::new(arguments.build_cache_size));
    Options { parsed, limits, ..Options::default() }
}

async fn artifacts(arguments: &Arguments, shares: &MemoryShares) -> Result<Cache<MemoryTree>, StartError> {
    let token = match &arguments.artifact_token_file {
        Some(path) => Some(Arc::new(TokenFile::open(path).await?)),
        None => None,
    };
    let fetcher = Fetcher::new(fetch::Options {
        retries: arguments.http_retry,
        max_bytes: arguments.artifact_max_size,
        source_controller_host: arguments.source_controller_localhost.clone(),
        source_watcher_host: arguments.source_watcher_localhost.clone(),
        hosts: arguments.artifact_hosts.clone(),
        token,
        ..fetch::Options::default()
    })
    .map_err(StartError::Artifacts)?;
    let options = cache::Options {
        idle_bytes: arguments.artifact_cache_size,
        used_bytes: shares.all_artifact_bytes,
        value_bytes: shares.artifact_bytes,
        first_bytes: shares.first_artifact_bytes,
        ..cache::Options::default()
    };
    Ok(Cache::new(fetcher, &options, |archive, most_bytes| {
        let (mut tree, mut bytes) = (MemoryTree::default(), 0);
        let limits = UnpackLimits { bytes: most_bytes, ..UnpackLimits::default() };
        unpack::unpack(archive, &limits, &mut |entry| {
            match entry {
                Entry::Directory { path } => tree.insert_directory(std::str::from_utf8(path)?),
                Entry::File { path, content, .. } => {
                    let mut text = Vec::new();
                    content.read_to_end(&mut text)?;
                    bytes += (path.len() + text.len()) as u64;
                    tree.insert(std::str::from_utf8(path)?, text);
                }
            }
            Ok(())
        })?;
        Ok(Built { value: tree, bytes })
    }))
}
