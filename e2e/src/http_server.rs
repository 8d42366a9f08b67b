//! What accepts connections for all servers of the harness that answer plain HTTP requests.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::pki::Ca;

/// What a server does with connections and requests.
pub(crate) trait Answer: Clone + Send + Sync + 'static {
    /// Whether it takes one more connection; otherwise that is closed at once.
    fn admits(&self) -> bool {
        true
    }

    /// The answer to a request; an error closes the connection.
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Full<Bytes>>>> + Send;
}

/// A running server; ends when dropped.
#[derive(Debug)]
pub(crate) struct HttpServer {
    address: SocketAddr,
    ca: Option<Ca>,
    accept: JoinHandle<()>,
}

impl HttpServer {
    /// Listens on a port of the loopback address, a free one for 0; with TLS by an authority, or without.
    pub(crate) async fn start(port: u16, ca: Option<Ca>, server: impl Answer) -> Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, port).into(), ca, server).await
    }

    /// The same, on any address.
    pub(crate) async fn start_at(address: SocketAddr, ca: Option<Ca>, server: impl Answer) -> Result<Self> {
        crate::init_tls();
        let tls = ca.as_ref().map(|ca| ca.acceptor(address.ip(), &[])).transpose()?;
        let listener = TcpListener::bind(address).await.context("listen for requests")?;
        let address = listener.local_addr()?;
        let accept = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                if !server.admits() {
                    continue;
                }
                let (tls, server) = (tls.clone(), server.clone());
                tokio::spawn(async move {
                    match tls {
                        None => connection(stream, server).await,
                        // A failed handshake means that the client does not trust us; it knows.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection(stream, server).await;
                            }
                        }
                    }
                });
            }
        });
        Ok(Self { address, ca, accept })
    }

    /// Its URL, without a path.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificate authority that clients have to trust.
    pub(crate) fn ca_pem(&self) -> Option<&str> {
        self.ca.as_ref().map(Ca::pem)
    }

    /// Serves until the program ends.
    pub(crate) async fn forever(mut self) {
        let _ = (&mut self.accept).await;
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, server: impl Answer) {
    let service = service_fn(|request| server.answer(request));
    // A broken connection concerns the client, which sees it too.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
