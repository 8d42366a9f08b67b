//! A server that gives recorded answers, as forges and clouds do when they are asked for tokens.

use std::collections::HashMap;
use std::future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use crate::http_server::{Answer, HttpServer};
use crate::pki::Ca;

/// A running server; ends when dropped.
#[derive(Debug)]
pub struct TokenServer {
    /// Its URL, without a path.
    pub url: String,
    server: HttpServer,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    answers: Mutex<HashMap<String, (u16, String)>>,
    asked: Mutex<Vec<(String, String)>>,
    authorizations: Mutex<Vec<String>>,
    silent: AtomicBool,
}

impl TokenServer {
    /// Starts a server that gives each request, such as `POST /token`, its status and body, and 404 to all others; with TLS, by an
    /// authority of its own, or without.
    pub async fn start(tls: bool, answers: &[(&str, u16, &str)]) -> Result<Self> {
        let ca = if tls { Some(Ca::new("e2e tokens")?) } else { None };
        let answers =
            answers.iter().map(|(line, status, body)| ((*line).to_owned(), (*status, (*body).to_owned())));
        let state = Arc::new(State { answers: Mutex::new(answers.collect()), ..State::default() });
        let server = HttpServer::start(0, ca, state.clone()).await?;
        Ok(Self { url: server.url(), server, state })
    }

    /// The certificate authority that clients have to trust.
    pub fn ca_pem(&self) -> Option<&str> {
        self.server.ca_pem()
    }

    /// Gives this answer from now on.
    pub fn set_answer(&self, line: &str, status: u16, body: &str) {
        lock(&self.state.answers).insert(line.to_owned(), (status, body.to_owned()));
    }

    /// Whether requests are read and never answered.
    pub fn set_silent(&self, silent: bool) {
        self.state.silent.store(silent, Ordering::Relaxed);
    }

    /// Requests and their bodies since the last call.
    pub fn take_requests(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *lock(&self.state.asked))
    }

    /// What requests had in the header `Authorization` since the last call.
    pub fn take_authorizations(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.state.authorizations))
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answer for Arc<State> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let line = format!("{} {}", request.method(), request.uri().path());
        let authorization = request.headers().get(http::header::AUTHORIZATION);
        if let Some(authorization) = authorization.and_then(|value| value.to_str().ok()) {
            lock(&self.authorizations).push(authorization.to_owned());
        }
        let body = request.into_body().collect().await?.to_bytes();
        let (status, text) = lock(&self.answers).get(&line).cloned().unwrap_or((404, "{}".to_owned()));
        lock(&self.asked).push((line, String::from_utf8_lossy(&body).into_owned()));
        if self.silent.load(Ordering::Relaxed) {
            future::pending::<()>().await;
        }
        Ok(Response::builder().status(status).body(Full::new(Bytes::from(text)))?)
    }
}
