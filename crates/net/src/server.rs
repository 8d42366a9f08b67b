//! Serving HTTP/1 to anybody who can connect: connections are limited in number and in time, whatever is answered.

mod paced;

use std::{
    convert::Infallible, error::Error, future::Future, io, net::IpAddr, pin::pin, sync::Arc, time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::paced::Pace;
use self::paced::Paced;
use crate::Named;

/// How long to wait after a failed accept, which means that the process is out of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Connections served at once; further ones wait.
    pub max_connections: usize,
    /// Connections from one address served at once; further ones are closed.
    pub max_peer_connections: usize,
    /// How long a client may take to send a request's headers, and may stay idle between requests.
    pub header_timeout: Duration,
    /// Bytes of a request's headers.
    pub max_header_bytes: usize,
    /// How slowly a client may take answers.
    pub pace: Pace,
    /// How long open requests may go on after shutdown was asked for.
    pub shutdown_grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_peer_connections: 64,
            header_timeout: Duration::from_secs(30),
            max_header_bytes: 16 * 1024,
            pace: Pace { bytes: 1 << 20, time: Duration::from_secs(60) },
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// Answers requests until `shutdown` resolves and open requests are done or their grace has passed.
pub async fn serve<A, R, B>(
    listener: TcpListener,
    options: ServerOptions,
    answer: A,
    shutdown: impl Future<Output = ()>,
) where
    A: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let slots = Slots::new(&options);
    let connections = TaskTracker::new();
    let drain = CancellationToken::new();
    let abort = CancellationToken::new();
    // Ends the connections also when this future is dropped.
    let _abort = abort.clone().drop_guard();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = slots.accept(&listener) => accepted,
        };
        let (stream, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = connection(stream, answer.clone(), options.clone(), drain.clone());
        let abort = abort.clone();
        connections.spawn(async move {
            abort.run_until_cancelled(connection).await;
            drop(slot);
        });
    }
    drop(listener);
    drain.cancel();
    connections.close();
    if timeout(options.shutdown_grace, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "closing connections that are still in use");
    }
}

/// Who may be connected.
struct Slots {
    all: Arc<Semaphore>,
    peers: Named<Semaphore>,
    max_peer_connections: usize,
}

/// A place among all, and one among those of the same address.
type Slot = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Slots {
    fn new(options: &ServerOptions) -> Self {
        let all = Arc::new(Semaphore::new(options.max_connections));
        Self { all, peers: Named::default(), max_peer_connections: options.max_peer_connections }
    }

    /// The next connection of somebody who has not too many. Those of others are closed: their like would fill the queue of
    /// the listener if they waited.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, Slot)> {
        let slot = self.all.clone().acquire_owned().await.map_err(io::Error::other)?;
        loop {
            let (stream, peer) = listener.accept().await?;
            match self.of_peer(peer.ip().to_canonical()) {
                Some(of_peer) => return Ok((stream, (slot, of_peer))),
                None => tracing::debug!(%peer, "closing a connection: its address has too many"),
            }
        }
    }

    fn of_peer(&self, peer: IpAddr) -> Option<OwnedSemaphorePermit> {
        let places = self.peers.get(&peer.to_string(), || Semaphore::new(self.max_peer_connections));
        places.try_acquire_owned().ok()
    }
}

async fn connection<A, R, B>(stream: TcpStream, answer: A, options: ServerOptions, drain: CancellationToken)
where
    A: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<B>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = service_fn(move |request| {
        let answered = answer(request);
        async { Ok::<_, Infallible>(answered.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(options.max_header_bytes)
        .serve_connection(TokioIo::new(Paced::new(stream, options.pace)), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended early");
    }
}
