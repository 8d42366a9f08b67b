//! The process's own HTTP endpoints: `/metrics` on one address, `/healthz` and `/readyz` on another.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// An address that could not be listened on or stopped serving.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The text is neither `host:port` nor `:port`.
    #[error("invalid listen address {0:?}")]
    Address(String),
    /// The socket could not be opened.
    #[error("failed to listen on {address}")]
    Listen {
        /// What was asked for.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Accepting connections failed.
    #[error("failed to serve")]
    Serve(#[source] std::io::Error),
}

/// Opens a listener on a Go-style address: `:8080` means every interface.
///
/// # Errors
/// When the address is malformed or taken.
pub async fn listen(address: &str) -> Result<TcpListener, ServeError> {
    let any = address.starts_with(':');
    let full = if any { format!("[::]{address}") } else { address.to_owned() };
    let resolved =
        tokio::net::lookup_host(&full).await.map_err(|_| ServeError::Address(address.to_owned()))?;
    let resolved: Vec<SocketAddr> = resolved.collect();
    match TcpListener::bind(&resolved[..]).await {
        // Hosts without IPv6 have no `[::]`.
        Err(_) if any => TcpListener::bind(format!("0.0.0.0{address}")).await,
        result => result,
    }
    .map_err(|source| ServeError::Listen { address: address.to_owned(), source })
}

/// Whether the process is ready for traffic; shared by those who decide and `/readyz`.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Reports ready (or not ready) from now on.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Serves `/metrics` until `stop`.
///
/// # Errors
/// When accepting connections fails.
pub async fn metrics(
    listener: TcpListener,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let app = Router::new().route("/metrics", get(move || async move { metrics.render() }));
    serve(listener, app, stop).await
}

/// Serves `/healthz` (alive) and `/readyz` until `stop`.
///
/// # Errors
/// When accepting connections fails.
pub async fn health(
    listener: TcpListener,
    ready: Readiness,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let ok = |State(ready): State<Readiness>| async move {
        if ready.get() { (StatusCode::OK, "ok") } else { (StatusCode::INTERNAL_SERVER_ERROR, "not ready") }
    };
    let app =
        Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(ok)).with_state(ready);
    serve(listener, app, stop).await
}

async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) -> Result<(), ServeError> {
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await.map_err(ServeError::Serve)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn status(address: SocketAddr, path: &str) -> u16 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn readiness_follows_the_process_and_liveness_does_not() {
        let listener = listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ready, stop) = (Readiness::default(), CancellationToken::new());
        let server = tokio::spawn(health(listener, ready.clone(), stop.clone()));
        assert_eq!(status(address, "/healthz").await, 200);
        assert_eq!(status(address, "/readyz").await, 500);
        ready.set(true);
        assert_eq!(status(address, "/readyz").await, 200);
        assert_eq!(status(address, "/other").await, 404);
        stop.cancel();
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_taken_or_malformed_address_is_named() {
        let first = listen("127.0.0.1:0").await.unwrap();
        let taken = first.local_addr().unwrap().to_string();
        assert_eq!(listen(&taken).await.unwrap_err().to_string(), format!("failed to listen on {taken}"));
        assert_eq!(listen("nonsense").await.unwrap_err().to_string(), "invalid listen address \"nonsense\"");
    }
}
