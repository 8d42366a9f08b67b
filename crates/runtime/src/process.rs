//! A controller process from start to stop: endpoints, client, events, lease, signals, orderly end.

use std::{future::Future, time::Duration};

use kube::Client;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{self, ClientOptions, ConnectError, Fence, Rate},
    diagnostics::{Diagnostics, ProcessState},
    error::TaskError,
    events::{Recorder, Sinks, hostname},
    flags::{Flags, NOWHERE},
    leader::{Candidate, lease_name},
    metrics::Metrics,
    readiness::{Check, LEADER_ELECTION, PING, Readiness},
    serve::{self, ServeError},
};

/// Longest wait for servers and watches at the end.
const TASKS_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for queued events at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a process could not start or had to end.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum ProcessError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("failed to set up the Kubernetes client")]
    Connect(#[from] ConnectError),
    #[error("failed to register metrics")]
    Metrics(#[source] prometheus::Error),
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("leader election needs the environment variable RUNTIME_NAMESPACE, the namespace of the Lease")]
    NoNamespace,
    #[error("the lease {0} is lost")]
    LeaseLost(String),
    #[error("a background task ended")]
    Panicked(#[source] TaskError),
}

/// A started process.
pub struct Process {
    /// The controller's own identity.
    pub client: Client,
    /// Everything that is counted.
    pub metrics: Metrics,
    /// Where events go.
    pub events: Recorder,
    /// What `/debug/objects` says.
    pub diagnostics: Diagnostics,
    /// What `/readyz` says.
    pub ready: Readiness,
    /// Cancelled when the process should end.
    pub stop: CancellationToken,
    /// Servers and other tasks that end only at the stop; an early end ends the process.
    pub tasks: JoinSet<Result<(), ProcessError>>,
    component: &'static str,
    fence: Fence,
    event_workers: JoinSet<()>,
    lease: Option<CancellationToken>,
}

impl Process {
    /// Opens the endpoints and the client. The name of the process is that in events, leases and logs; it is ready when `checks`
    /// have passed.
    ///
    /// # Errors
    /// See [`ProcessError`].
    pub(crate) async fn start(
        flags: &Flags,
        process: ProcessState,
        checks: &[Check],
    ) -> Result<Self, ProcessError> {
        let component = process.name;
        let (metrics, diagnostics) =
            (Metrics::new().map_err(ProcessError::Metrics)?, Diagnostics::new(process));
        let (stop, ready, mut tasks) = (CancellationToken::new(), Readiness::new(checks), JoinSet::new());
        stop_on_signals(stop.clone())?;
        if flags.metrics_addr != NOWHERE {
            let listener = serve::listen("--metrics-addr", &flags.metrics_addr).await?;
            let shown = flags.debug_objects.then(|| diagnostics.clone());
            let server = serve::metrics(listener, metrics.clone(), shown, stop.clone());
            tasks.spawn(async move { Ok(server.await?) });
        }
        if flags.health_addr != NOWHERE {
            let listener = serve::listen("--health-addr", &flags.health_addr).await?;
            let server = serve::health(listener, ready.clone(), stop.clone());
            tasks.spawn(async move { Ok(server.await?) });
        }
        let config = client::infer_config().await?;
        let fence = Fence::default();
        let rate = Some(Rate { qps: flags.kube_api_qps, burst: flags.kube_api_burst });
        let options = ClientOptions { fence: fence.clone(), rate, ..ClientOptions::default() };
        let client = client::connect(config, options, metrics.clone()).await?;
        let sinks = Sinks {
            client: client.clone(),
            component,
            webhook: flags.webhook(),
            capacity: flags.events_queue_size,
        };
        let (events, event_workers) = Recorder::start(sinks, metrics.clone());
        ready.pass(PING);
        let lease = None;
        Ok(Self {
            client,
            metrics,
            events,
            diagnostics,
            ready,
            stop,
            tasks,
            component,
            fence,
            event_workers,
            lease,
        })
    }

    /// Until when this process may write; for its other clients.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Waits for the controller's Lease if leader election is on; losing it later ends the process. `false` means
    /// that the process was told to stop first.
    ///
    /// # Errors
    /// Without a namespace for the Lease, or when no connection for it can be made.
    pub async fn lead(&mut self, flags: &Flags) -> Result<bool, ProcessError> {
        let options = &flags.leader;
        if !options.enable_leader_election {
            self.ready.pass(LEADER_ELECTION);
            return Ok(true);
        }
        if flags.runtime_namespace.is_empty() {
            return Err(ProcessError::NoNamespace);
        }
        let name = &*lease_name(self.component, &flags.watch_label_selector);
        let timing = options.timing();
        // A connection of its own: renewals must not wait behind other requests. One that is not answered, or whose
        // connection is dead, leaves time for another.
        let options = ClientOptions {
            request_timeout: timing.renew_deadline / 3,
            ping: (timing.renew_deadline / 6, timing.renew_deadline / 6),
            ..ClientOptions::default()
        };
        let own = client::connect(client::infer_config().await?, options, self.metrics.clone());
        let mut candidate = Candidate::new(own.await?, &flags.runtime_namespace, name, &hostname(), timing);
        self.metrics.leading(name, false);
        tracing::info!(
            logger = "setup",
            "attempting to acquire leader lease {}/{name}",
            flags.runtime_namespace
        );
        tokio::select! {
            () = candidate.acquire(&self.fence) => {}
            () = self.stop.cancelled() => return Ok(false),
        }
        self.metrics.leading(name, true);
        self.ready.pass(LEADER_ELECTION);
        tracing::info!(logger = "setup", "successfully acquired lease {}/{name}", flags.runtime_namespace);
        let (finished, name, fence) = (CancellationToken::new(), name.to_owned(), self.fence.clone());
        let (release, until) = (flags.leader.leader_election_release_on_cancel, finished.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = candidate.hold(&fence) => {
                    // Whoever holds it now may write; what still waits here must not.
                    fence.close();
                    Err(ProcessError::LeaseLost(name))
                }
                () = until.cancelled() => {
                    if release {
                        candidate.release().await;
                    }
                    Ok(())
                }
            }
        });
        self.lease = Some(finished);
        Ok(true)
    }

    /// Runs `work`, which ends after `stop`, and then ends the rest: events are flushed, the lease is given up.
    /// A task that ends early, such as a lost lease, ends the process at once.
    ///
    /// # Errors
    /// The failure of a task.
    pub async fn run(mut self, work: impl Future<Output = ()>) -> Result<(), ProcessError> {
        let mut work = std::pin::pin!(work);
        let failed = loop {
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next() => match flatten(ended) {
                    // Servers and watches end with the stop, running passes a little later.
                    Ok(()) if self.stop.is_cancelled() => {}
                    early => break early,
                },
                () = &mut work => break Ok(()),
            }
        };
        self.stop.cancel();
        failed?;
        let Self { events, mut event_workers, mut tasks, lease, .. } = self;
        drop(events);
        let flush = async { while event_workers.join_next().await.is_some() {} };
        if tokio::time::timeout(FLUSH_TIMEOUT, flush).await.is_err() {
            tracing::error!("stopping with events still queued");
        }
        if let Some(lease) = lease {
            lease.cancel();
        }
        let ended = async {
            while let Some(ended) = tasks.join_next().await {
                flatten(ended)?;
            }
            Ok(())
        };
        // A connection that somebody keeps open must not hold up the end.
        tokio::time::timeout(TASKS_TIMEOUT, ended).await.unwrap_or_else(|_| {
            tracing::error!("stopping with servers still answering");
            Ok(())
        })
    }
}

fn flatten(ended: Result<Result<(), ProcessError>, tokio::task::JoinError>) -> Result<(), ProcessError> {
    ended.map_err(|error| ProcessError::Panicked(error.into()))?
}

/// SIGTERM and SIGINT cancel `stop`.
fn stop_on_signals(stop: CancellationToken) -> Result<(), ProcessError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ProcessError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ProcessError::Signals)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn process() -> Process {
        let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no server"))
        });
        let (client, metrics) = (Client::new(nobody, "default"), Metrics::new().unwrap());
        let sinks = Sinks { client: client.clone(), component: "test", webhook: None, capacity: 1 };
        let (events, event_workers) = Recorder::start(sinks, metrics.clone());
        let (ready, stop, tasks) = (Readiness::new(&[]), CancellationToken::new(), JoinSet::new());
        let (component, fence, lease) = ("test", Fence::default(), None);
        let diagnostics = Diagnostics::default();
        Process {
            client,
            metrics,
            events,
            diagnostics,
            ready,
            stop,
            tasks,
            component,
            fence,
            event_workers,
            lease,
        }
    }

    #[tokio::test]
    async fn running_work_ends_in_its_own_time_after_the_stop() {
        let mut process = process();
        let (stop, done) = (process.stop.clone(), CancellationToken::new());
        let server = stop.clone();
        process.tasks.spawn(async move {
            server.cancelled().await;
            Ok(())
        });
        let finished = done.clone();
        let work = async move {
            stop.cancel();
            tokio::time::sleep(Duration::from_millis(200)).await;
            finished.cancel();
        };
        process.run(work).await.unwrap();
        assert!(done.is_cancelled(), "the pass was not cut off");
    }

    #[tokio::test]
    async fn a_lost_lease_ends_the_process_at_once() {
        let mut process = process();
        process.tasks.spawn(async { Err(ProcessError::LeaseLost("l".into())) });
        let error = process.run(std::future::pending()).await.unwrap_err();
        assert_eq!(error.to_string(), "the lease l is lost");
    }
}
