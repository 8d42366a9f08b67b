//! kustomize-controller: builds artifacts with kustomize, applies them and keeps them applied.

mod configs;
mod context;
mod deletion;
mod dependencies;
mod drift;
mod flags;
mod handover;
mod health;
mod ignore;
mod polling;
mod reconciler;
mod remote;
mod render;
mod run;
mod sources;
mod status;
mod subject;
mod unsupported;
mod variables;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use api::Kustomization;
use apply::{
    mapper::{Mapper, MapperOptions},
    observe::{Index, IndexOptions},
};
use artifact::{
    cache::{self, Built, Cache},
    fetch::{self, Fetcher},
    unpack::{self, Entry, Limits},
};
use futures::StreamExt;
use kube::runtime::reflector;
use kustomize::{Options, ParseCache, tree::MemoryTree};
use runtime::{controller::Waker, process::Process, queue::InFlight};

use crate::{
    configs::Configs,
    context::Context,
    flags::{Arguments, DIRECT_SOURCES, EXTERNAL_ARTIFACT, NO_CONFIG_WATCHES},
    reconciler::Reconciler,
    remote::RemoteBases,
    sources::Sources,
};

const NAME: &str = "kustomize-controller";
const DISCOVERY: MapperOptions =
    MapperOptions { floor: Duration::from_secs(2), request_timeout: Duration::from_secs(30) };
const INDEX: IndexOptions = IndexOptions {
    idle: Duration::from_secs(3600),
    retry: (Duration::from_millis(500), Duration::from_secs(30)),
    page_size: 500,
};

/// Longest wait for the first list of ConfigMaps and Secrets.
const SETTLE: Duration = Duration::from_secs(2);

/// Longest wait at the end for builds that do not look at the time.
const ABANDON: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    let result = runtime.block_on(run());
    runtime.shutdown_timeout(ABANDON);
    result
}

async fn run() -> anyhow::Result<()> {
    let arguments: Arguments = runtime::flags::parse();
    runtime::log::init(arguments.shared.log_encoding, arguments.shared.log_level);
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok().context("failed to set up TLS")?;
    let mut process = Process::start(&arguments.shared, NAME).await?;
    process.ready.set(true);
    if !process.lead(&arguments.shared).await? {
        return Ok(());
    }
    let (store, writer) = reflector::store::<Kustomization>();
    let waker = Waker::default();
    let mapper = Arc::new(Mapper::new(process.client.clone(), DISCOVERY));
    let context = Context {
        index: Index::new(process.client.clone(), mapper.clone(), INDEX),
        artifacts: artifacts(&arguments)?,
        build: Options { parsed: Some(ParseCache::new(arguments.build_cache_size)), ..Options::default() },
        bases: remote_bases(&arguments)?,
        sources: Sources::new(process.client.clone(), sources_options(&arguments)),
        configs: Configs::new(),
        runs: InFlight::default(),
        dependencies: Default::default(),
        client: process.client.clone(),
        metrics: process.metrics.clone(),
        events: process.events.clone(),
        waker: waker.clone(),
        store: store.clone(),
        mapper,
        arguments: arguments.clone(),
    };
    let scope = arguments.shared.scope();
    for watch in context.sources.watch(scope.namespace.as_deref(), &store, &waker) {
        spawn(&mut process, watch);
    }
    let configs = context.configs.clone();
    if !arguments.feature_gates.is_on(NO_CONFIG_WATCHES) {
        let labels = &arguments.watch_configs_label_selector;
        for watch in configs.watch(&process.client, &scope, labels, &store, &waker) {
            spawn(&mut process, watch);
        }
    }
    process.metrics.resources(store.clone(), status::info);
    runtime::queue::watch_runs("kustomization", &context.runs, &process.metrics);
    let index = context.index.clone();
    let reconciler = Arc::new(Reconciler::new(context));
    let noticing = reconciler.clone();
    spawn(&mut process, async move {
        loop {
            index.changed().await.iter().for_each(|owner| noticing.noticed(owner));
        }
    });
    let observing = reconciler.clone();
    let events =
        runtime::watch::watch::<Kustomization>(process.client.clone(), &scope).inspect(move |event| {
            if let Ok(event) = event {
                observing.observed(event);
            }
        });
    let (metrics, stop) = (process.metrics.clone(), process.stop.clone());
    let options = arguments.shared.controller(arguments.concurrent);
    configs.settled(SETTLE).await;
    let work = runtime::controller::run(reconciler, events, (store, writer), waker, options, metrics, stop);
    process.run(work).await?;
    Ok(())
}

fn sources_options(arguments: &Arguments) -> sources::Options {
    let gates = &arguments.feature_gates;
    sources::Options { direct: gates.is_on(DIRECT_SOURCES), external: gates.is_on(EXTERNAL_ARTIFACT) }
}

/// Runs something that goes on until the process ends.
fn spawn(process: &mut Process, work: impl Future<Output = ()> + Send + 'static) {
    let stop = process.stop.clone();
    process.tasks.spawn(async move {
        stop.run_until_cancelled(work).await;
        Ok(())
    });
}

/// Bases from elsewhere, unless `--no-remote-bases`.
fn remote_bases(arguments: &Arguments) -> anyhow::Result<Option<Arc<RemoteBases>>> {
    if arguments.no_remote_bases {
        return Ok(None);
    }
    let bases =
        RemoteBases::new(arguments.artifact_max_size).context("failed to set up the client for bases")?;
    Ok(Some(Arc::new(bases)))
}

fn artifacts(arguments: &Arguments) -> anyhow::Result<Cache<MemoryTree>> {
    let fetcher = Fetcher::new(fetch::Options {
        retries: arguments.http_retry,
        max_bytes: arguments.artifact_max_size,
        source_controller_host: arguments.source_controller_localhost.clone(),
        source_watcher_host: arguments.source_watcher_localhost.clone(),
        ..fetch::Options::default()
    })
    .context("failed to set up the artifact client")?;
    let options = cache::Options { budget_bytes: arguments.artifact_cache_size, ..cache::Options::default() };
    let limits = Limits { bytes: arguments.artifact_max_unpacked_size, ..Limits::default() };
    Ok(Cache::new(fetcher, &options, move |archive| {
        let (mut tree, mut bytes) = (MemoryTree::default(), 0);
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
