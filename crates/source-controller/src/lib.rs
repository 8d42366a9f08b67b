//! source-controller: fetches sources and serves them as artifacts. The binary only calls [`main`].

mod blocking;
mod flags;
pub mod git_repository;
mod volume;

use std::sync::Arc;

use anyhow::Context;
use artifact::{server, store};
use futures::StreamExt;
use runtime::controller::Waker;
use runtime::{log, process::Process, serve, watch};

use crate::flags::Arguments;
use crate::git_repository::{Caches, GitRepositories};

/// The name in events, conditions' field managers, leases and logs.
const NAME: &str = "source-controller";

/// Runs the process until it is told to end.
pub fn main() -> anyhow::Result<()> {
    let flags: Arguments = runtime::flags::parse();
    log::init(flags.shared.log_encoding, flags.shared.log_level);
    let tokio = tokio::runtime::Runtime::new()?;
    let result = tokio.block_on(run(flags));
    if let Err(error) = &result {
        tracing::error!(logger = "setup", error = format!("{error:#}"), "problem running manager");
    }
    // A thread that still reads from a Git server must not hold up the end.
    tokio.shutdown_background();
    result
}

async fn run(flags: Arguments) -> anyhow::Result<()> {
    for flag in flags.later.given() {
        tracing::warn!(logger = "setup", "{flag} has no effect: the kinds of Helm are not here yet");
    }
    let storage = Arc::new(
        store::Store::open(&flags.storage_path, flags.storage()?).context("unable to initialise storage")?,
    );
    let mut process = Process::start(&flags.shared, NAME).await?;
    process.ready.set(true);
    if !process.lead(&flags.shared).await? {
        return Ok(());
    }
    if !volume::claim(&process, &storage).await {
        return Ok(());
    }
    // Only the leader has the artifacts, so only the leader listens: the readiness probe asks this port.
    let listener = serve::listen(&flags.storage_addr).await?;
    let (files, stop) = (storage.clone(), process.stop.clone().cancelled_owned());
    process.tasks.spawn(async move {
        let served = server::serve(listener, files.root(), server::Options::default(), stop).await;
        Ok(served.map_err(serve::ServeError::Serve)?)
    });
    let ((store, writer), waker) = (kube::runtime::reflector::store(), Waker::default());
    let caches = Caches::open(storage.root(), flags.git_cache_max_size);
    let reconciler =
        Arc::new(GitRepositories::new(&process, &flags, storage, caches, store.clone(), waker.clone())?);
    let observing = reconciler.clone();
    let events = watch::watch(process.client.clone(), &flags.shared.scope()).inspect(move |event| {
        if let Ok(event) = event {
            observing.observed(event);
        }
    });
    let controller = runtime::controller::run(
        reconciler,
        events,
        (store, writer),
        waker,
        flags.shared.controller(flags.concurrent),
        process.metrics.clone(),
        process.stop.clone(),
    );
    Ok(process.run(controller).await?)
}
