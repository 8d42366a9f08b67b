//! One cluster that is open.

use std::{sync::Arc, time::Duration};

use apply::cluster::Cluster;
use budget::Grant;
use http::{Request, StatusCode};
use kube::client::Body;
use runtime::{
    client::{ClientOptions, open},
    metrics::Metrics,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Changed, ConnectError, Options, Reachability, TokenSource, Unreachable, bearer::with_bearer,
    kubeconfig::Access,
};

/// A server that answered so lately is not asked whether it does. Short, as only this question is waited for without a worker: a
/// request to a server that has died since holds one for its whole timeout.
const FRESH: Duration = Duration::from_secs(1);
/// Longest wait for the answer to that question.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the answer stands if it was none.
const PROBE_PAUSE: Duration = Duration::from_secs(5);
/// What is asked. Every user may, and nothing is done for it.
const PROBE: &str = "/version";

/// A cluster that is open as long as this is held.
pub struct RemoteCluster {
    cluster: Cluster,
    reachability: Reachability,
    server: String,
    /// When the server was last asked in vain, and what came of it. Held while it is asked: all who want to know share the answer.
    probe: Mutex<Option<(Instant, Refusal)>>,
    _place: Grant,
    /// Hands on who has objects that changed.
    _changes: AbortOnDropHandle<()>,
}

/// Why a server that was asked is of no use.
#[derive(Clone)]
enum Refusal {
    Unreachable(Unreachable),
    Unauthorized,
}

impl RemoteCluster {
    /// A client that sends nothing yet.
    pub(crate) fn open(
        access: Access,
        tokens: Option<Arc<dyn TokenSource>>,
        place: Grant,
        options: &Options,
        metrics: &Metrics,
        changed: &Arc<Changed>,
    ) -> Result<Arc<Self>, ConnectError> {
        let server = net::redact(&access.config.cluster_url.to_string());
        let reachability = Reachability::new(server.clone());
        let client_options = ClientOptions { route: access.route, ..options.client.clone() };
        let mut client = open(access.config, client_options, metrics.clone())?;
        if let Some(tokens) = tokens {
            client = with_bearer(&client, tokens);
        }
        let client = reachability.guard(&client);
        let cluster =
            Cluster::new(client, options.manager, options.discovery.clone(), options.watches.clone());
        let (index, changed) = (cluster.index.clone(), changed.clone());
        let changes = tokio::spawn(async move {
            loop {
                changed.add(index.changed().await);
            }
        });
        Ok(Arc::new(Self {
            cluster,
            reachability,
            server,
            probe: Mutex::default(),
            _place: place,
            _changes: AbortOnDropHandle::new(changes),
        }))
    }

    /// The cluster, in the identity of the kubeconfig.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Waits until the server is known to answer: at once if it did lately.
    pub(crate) async fn ready(&self) -> Result<(), ConnectError> {
        if self.reachability.has_answered_within(FRESH) {
            return Ok(());
        }
        let mut last = self.probe.lock().await;
        if self.reachability.has_answered_within(PROBE_PAUSE) && last.is_none() {
            return Ok(());
        }
        if let Some((at, refusal)) = &*last
            && at.elapsed() < PROBE_PAUSE
        {
            return Err(self.refused(refusal.clone()));
        }
        *last = None;
        match self.ask().await {
            Ok(()) => Ok(()),
            Err(refusal) => {
                *last = Some((Instant::now(), refusal.clone()));
                Err(self.refused(refusal))
            }
        }
    }

    async fn ask(&self) -> Result<(), Refusal> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static(PROBE);
        match timeout(PROBE_TIMEOUT, self.cluster.client.send(request)).await {
            Ok(Ok(answer)) if answer.status() == StatusCode::UNAUTHORIZED => Err(Refusal::Unauthorized),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let (server, cause) = (self.server.clone(), runtime::error::chain(&error));
                Err(Refusal::Unreachable(Unreachable { server, cause }))
            }
            Err(_) => {
                let cause = format!("no answer within {}s", PROBE_TIMEOUT.as_secs());
                Err(Refusal::Unreachable(self.reachability.failed(cause)))
            }
        }
    }

    fn refused(&self, refusal: Refusal) -> ConnectError {
        match refusal {
            Refusal::Unreachable(unreachable) => unreachable.into(),
            Refusal::Unauthorized => ConnectError::Unauthorized(self.server.clone()),
        }
    }
}
