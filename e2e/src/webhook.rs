//! An admission webhook, served over TLS as the API server wants it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use base64::Engine as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::http_server::{Answer, HttpServer};
use crate::objects::Look;
use crate::pki::Ca;

/// A running webhook; ends when dropped.
#[derive(Debug)]
pub struct Webhook {
    /// Where the API server finds it: `clientConfig` of a webhook configuration.
    pub client_config: Value,
    verdict: Arc<Mutex<Verdict>>,
    _server: HttpServer,
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
        let verdict = Arc::new(Mutex::new(Verdict::Allow));
        let server = HttpServer::start(0, Some(Ca::new("e2e webhook")?), verdict.clone()).await?;
        let bundle = base64::engine::general_purpose::STANDARD.encode(server.ca_pem().unwrap_or_default());
        let client_config = json!({"url": format!("{}/", server.url()), "caBundle": bundle});
        Ok(Self { client_config, verdict, _server: server })
    }

    /// From now on it says this.
    pub fn say(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
    }
}

impl Answer for Arc<Mutex<Verdict>> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let verdict = *self.lock().unwrap_or_else(PoisonError::into_inner);
        answer(request, verdict).await
    }
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
