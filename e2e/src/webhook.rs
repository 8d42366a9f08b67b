//! An admission webhook, served over TLS as the API server wants it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use base64::Engine as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::objects::Look;
use crate::pki::Ca;

/// A running webhook; ends when dropped.
#[derive(Debug)]
pub struct Webhook {
    /// Where the API server finds it: `clientConfig` of a webhook configuration.
    pub client_config: Value,
    verdict: Arc<Mutex<Verdict>>,
    accept: JoinHandle<()>,
}

/// What the webhook says of every object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allow,
    /// No, and why.
    Deny(&'static str),
    /// Nothing, ever.
    Hang,
    /// Yes, and sets this key of `data` to another value each time.
    Stamp(&'static str),
}

impl Webhook {
    /// Starts a webhook that allows everything.
    pub async fn start() -> Result<Self> {
        crate::init_tls();
        let ca = Ca::new("e2e webhook")?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listen for reviews")?;
        let url = format!("https://{}/", listener.local_addr()?);
        let bundle = base64::engine::general_purpose::STANDARD.encode(ca.pem());
        let verdict = Arc::new(Mutex::new(Verdict::Allow));
        let accept = tokio::spawn(accept(listener, ca.acceptor(&[])?, verdict.clone()));
        Ok(Self { client_config: json!({"url": url, "caBundle": bundle}), verdict, accept })
    }

    /// From now on it says this.
    pub fn say(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, verdict: Arc<Mutex<Verdict>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(connection(stream, tls.clone(), verdict.clone()));
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, verdict: Arc<Mutex<Verdict>>) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let verdict = *verdict.lock().unwrap_or_else(PoisonError::into_inner);
        answer(request, verdict)
    });
    // A broken connection concerns the API server, which sees it too.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, verdict: Verdict) -> Result<Response<Full<Bytes>>> {
    let review: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
    let uid = review.text("/request/uid");
    let response = match verdict {
        Verdict::Allow => json!({"uid": uid, "allowed": true}),
        Verdict::Deny(why) => json!({"uid": uid, "allowed": false, "status": {"message": why}}),
        Verdict::Hang => std::future::pending().await,
        Verdict::Stamp(key) => {
            let value = format!("{:x}", rand::random::<u64>());
            let patch = json!([{"op": "add", "path": format!("/data/{key}"), "value": value}]);
            let patch = base64::engine::general_purpose::STANDARD.encode(patch.to_string());
            json!({"uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": patch})
        }
    };
    let review =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    let response = Response::builder().header("content-type", "application/json");
    Ok(response.body(Full::new(Bytes::from(review.to_string())))?)
}
