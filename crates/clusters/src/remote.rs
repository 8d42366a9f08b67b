//! One cluster that is open.

use std::{
    sync::{Arc, Mutex as PlainMutex, PoisonError},
    time::Duration,
};

use apply::cluster::Cluster;
use budget::Grant;
use http::{Request, StatusCode};
use identity::Requester;
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
    Changed, ClusterTokens, ConnectError, Options, Reachability, TokenError, Unreachable,
    bearer::with_bearer, kubeconfig::Access,
};

/// A server that answered so lately is not asked whether it does. Short, as only this question is waited for without a worker: a
/// request to a server that has died since holds one for its whole timeout.
const FRESH: Duration = Duration::from_secs(1);
/// Longest wait for the answer to that question.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the answer stands if it was none.
const PROBE_PAUSE: Duration = Duration::from_secs(5);
/// A cloud is asked again where a cluster is that does not answer, so long after it was last asked.
const DESCRIPTION_LIFETIME: Duration = Duration::from_secs(300);
/// What is asked. Every user may, and nothing is done for it.
const PROBE: &str = "/version";

/// A cluster that is open as long as this is held.
pub struct RemoteCluster {
    cluster: Cluster,
    reachability: Reachability,
    server: String,
    /// What its requests show, if that ends.
    tokens: Option<Arc<ClusterTokens>>,
    location: Location,
    /// When a cloud was last asked for that.
    described: PlainMutex<Instant>,
    /// When the server was last asked in vain, and what came of it. Held while it is asked: all who want to know share the answer.
    probe: Mutex<Option<(Instant, Refusal)>>,
    _place: Grant,
    /// Hands on who has objects that changed.
    _changes: AbortOnDropHandle<()>,
}

/// Where a cluster is, and whom it is trusted by.
#[derive(PartialEq, Eq)]
struct Location {
    server: http::Uri,
    authorities: Option<Vec<Vec<u8>>>,
}

impl Location {
    fn of(access: &Access) -> Self {
        Self { server: access.config.cluster_url.clone(), authorities: access.config.root_cert.clone() }
    }
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
        tokens: Option<Arc<ClusterTokens>>,
        place: Grant,
        options: &Options,
        metrics: &Metrics,
        changed: &Arc<Changed>,
    ) -> Result<Arc<Self>, ConnectError> {
        let server = net::redact(&access.config.cluster_url.to_string());
        let (reachability, location) = (Reachability::new(server.clone()), Location::of(&access));
        let client_options = ClientOptions { route: access.route, ..options.client.clone() };
        let mut client = open(access.config, client_options, metrics.clone())?;
        if let Some(tokens) = &tokens {
            client = with_bearer(&client, tokens.clone());
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
            tokens,
            location,
            described: PlainMutex::new(Instant::now()),
            probe: Mutex::default(),
            _place: place,
            _changes: AbortOnDropHandle::new(changes),
        }))
    }

    /// The cluster, in the identity of the kubeconfig.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Whether a cloud should be asked where the cluster is by now. Who is told so is the one to ask.
    pub(crate) fn may_have_moved(&self) -> bool {
        if self.tokens.is_none() || !self.reachability.is_failing() {
            return false;
        }
        let mut described = self.described.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = described.elapsed() >= DESCRIPTION_LIFETIME;
        if is_old {
            *described = Instant::now();
        }
        is_old
    }

    /// Whether the cluster is there, and trusted by the same.
    pub(crate) fn is_at(&self, access: &Access) -> bool {
        self.location == Location::of(access)
    }

    /// Waits until there is a token to show, if one is needed, on behalf of an object.
    pub(crate) async fn authenticate(&self, object: Requester<'_>) -> Result<(), TokenError> {
        match &self.tokens {
            Some(tokens) => tokens.token(Some(object)).await.map(drop),
            None => Ok(()),
        }
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
