//! A server that gives recorded answers, as forges and clouds do when they are asked for tokens.

use std::collections::HashMap;
use std::future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::pki::Ca;

/// A running server; ends when dropped.
#[derive(Debug)]
pub struct TokenServer {
    /// Its URL, without a path.
    pub url: String,
    ca: Option<Ca>,
    state: Arc<State>,
    accept: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    answers: HashMap<String, (u16, String)>,
    asked: Mutex<Vec<(String, String)>>,
    silent: AtomicBool,
}

impl TokenServer {
    /// Starts a server that gives each request, such as `POST /token`, its status and body, and 404 to all others; with TLS, by an
    /// authority of its own, or without.
    pub async fn start(tls: bool, answers: &[(&str, u16, &str)]) -> Result<Self> {
        crate::init_tls();
        let ca = if tls { Some(Ca::new("e2e tokens")?) } else { None };
        let acceptor = ca.as_ref().map(|ca| ca.acceptor(&[])).transpose()?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listen for token requests")?;
        let url = format!("{}://{}", if tls { "https" } else { "http" }, listener.local_addr()?);
        let answers =
            answers.iter().map(|(line, status, body)| ((*line).to_owned(), (*status, (*body).to_owned())));
        let state = Arc::new(State { answers: answers.collect(), ..State::default() });
        let shared = state.clone();
        let accept = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (tls, state) = (acceptor.clone(), shared.clone());
                tokio::spawn(async move {
                    match tls {
                        None => connection(stream, state).await,
                        // A failed handshake means that the client does not trust us; it knows.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        Ok(Self { url, ca, state, accept })
    }

    /// The certificate authority that clients have to trust.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca.as_ref().map(Ca::pem)
    }

    /// Whether requests are read and never answered.
    pub fn set_silent(&self, silent: bool) {
        self.state.silent.store(silent, Ordering::Relaxed);
    }

    /// Requests and their bodies since the last call.
    pub fn take_requests(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *lock(&self.state))
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

fn lock(state: &State) -> MutexGuard<'_, Vec<(String, String)>> {
    state.asked.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let service = service_fn(|request| answer(request, &state));
    // A broken connection concerns the client, which sees it too.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, state: &State) -> Result<Response<Full<Bytes>>> {
    let line = format!("{} {}", request.method(), request.uri().path());
    let body = request.into_body().collect().await?.to_bytes();
    let (status, text) = state.answers.get(&line).cloned().unwrap_or((404, "{}".to_owned()));
    lock(state).push((line, String::from_utf8_lossy(&body).into_owned()));
    if state.silent.load(Ordering::Relaxed) {
        future::pending::<()>().await;
    }
    Ok(Response::builder().status(status).body(Full::new(Bytes::from(text)))?)
}
