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
    opinion: Arc<Mutex<Opinion>>,
    _server: HttpServer,
}

/// What the webhook says, and of what: of everything, or of an operation on objects whose names begin like this.
#[derive(Clone, Copy, Debug)]
struct Opinion {
    verdict: Verdict,
    only: Option<(&'static str, &'static str)>,
}

/// What the webhook says of an object.
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
        let opinion = Arc::new(Mutex::new(Opinion { verdict: Verdict::Allow, only: None }));
        let server = HttpServer::start(0, Some(Ca::new("e2e webhook")?), opinion.clone()).await?;
        let bundle = base64::engine::general_purpose::STANDARD.encode(server.ca_pem().unwrap_or_default());
        let client_config = json!({"url": format!("{}/", server.url()), "caBundle": bundle});
        Ok(Self { client_config, opinion, _server: server })
    }

    /// From now on it says this of everything.
    pub fn say(&self, verdict: Verdict) {
        self.set(Opinion { verdict, only: None });
    }

    /// From now on it says this of an operation (`CREATE`, `UPDATE`, `DELETE`) on objects whose names begin like this, and allows
    /// everything else.
    pub fn say_of(&self, operation: &'static str, name: &'static str, verdict: Verdict) {
        self.set(Opinion { verdict, only: Some((operation, name)) });
    }

    fn set(&self, opinion: Opinion) {
        *self.opinion.lock().unwrap_or_else(PoisonError::into_inner) = opinion;
    }
}

impl Opinion {
    fn of(self, review: &Value) -> Verdict {
        let is_about = |(operation, name): (&str, &str)| {
            review.text("/request/operation") == operation && review.text("/request/name").starts_with(name)
        };
        if self.only.is_none_or(is_about) { self.verdict } else { Verdict::Allow }
    }
}

impl Answer for Arc<Mutex<Opinion>> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let opinion = *self.lock().unwrap_or_else(PoisonError::into_inner);
        answer(request, opinion).await
    }
}

async fn answer(request: Request<Incoming>, opinion: Opinion) -> Result<Response<Full<Bytes>>> {
    let review: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
    let uid = review.text("/request/uid");
    let response = match opinion.of(&review) {
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
