//! A registry that takes one password, and refuses others as registries of clouds do.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use oci::{Digest, OCI_MANIFEST};

use crate::http_server::{Answer, HttpServer};
use crate::pki::Ca;

/// A running registry, with TLS; every tag of every repository is the same empty manifest. Ends when dropped.
#[derive(Debug)]
pub struct CloudRegistry {
    server: HttpServer,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    user: String,
    password: Mutex<String>,
    /// The status for other passwords.
    refusal: AtomicU16,
    /// The header `WWW-Authenticate` for them.
    challenge: Mutex<String>,
    /// Headers `Authorization`.
    asked: Mutex<Vec<String>>,
}

impl CloudRegistry {
    /// Starts one.
    pub async fn start(user: &str, password: &str) -> Result<CloudRegistry> {
        let state = Arc::new(State {
            user: user.to_owned(),
            password: Mutex::new(password.to_owned()),
            refusal: AtomicU16::new(401),
            challenge: Mutex::new("Basic realm=\"cloud\"".to_owned()),
            asked: Mutex::default(),
        });
        let server = HttpServer::start(0, Some(Ca::new("e2e cloud registry")?), state.clone()).await?;
        Ok(CloudRegistry { server, state })
    }

    /// On the loopback address.
    pub fn port(&self) -> u16 {
        self.server.url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default()
    }

    /// Takes this password from now on, and gives the status to those who have another one.
    pub fn set_password(&self, password: &str, refusal: u16) {
        password.clone_into(&mut self.state.password.lock().unwrap_or_else(PoisonError::into_inner));
        self.state.refusal.store(refusal, Ordering::Relaxed);
    }

    /// What is asked for from now on by who has the wrong credentials or none: the header `WWW-Authenticate`.
    pub fn set_challenge(&self, challenge: &str) {
        challenge.clone_into(&mut self.state.challenge.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The credentials that came since the last call: headers `Authorization`.
    pub fn take_authorizations(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The certificate authority that clients have to trust.
    pub fn ca_pem(&self) -> Option<&str> {
        self.server.ca_pem()
    }
}

impl Answer for Arc<State> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let header = request.headers().get(http::header::AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        if !header.is_empty() {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(header.clone());
        }
        let password = self.password.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let expected = format!("Basic {}", STANDARD.encode(format!("{}:{password}", self.user)));
        if header != expected {
            let status = if header.is_empty() { 401 } else { self.refusal.load(Ordering::Relaxed) };
            let challenge = self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let refused = Response::builder().status(status).header("WWW-Authenticate", challenge);
            return Ok(refused.body(Full::default())?);
        }
        let manifest = br#"{"schemaVersion":2,"layers":[]}"#;
        let found = Response::builder()
            .header("Content-Type", OCI_MANIFEST)
            .header("Docker-Content-Digest", Digest::of(manifest).to_string());
        Ok(found.body(Full::from(Bytes::from_static(manifest)))?)
    }
}
