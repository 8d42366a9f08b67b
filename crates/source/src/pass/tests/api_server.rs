//! An API server with one object: it applies merge patches, keeps events, and answers as a real one does.

use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};

/// The server. Clones are the same one.
#[derive(Clone)]
pub struct ApiServer(Arc<Mutex<State>>);

struct State {
    /// `None` once it is gone.
    object: Option<Value>,
    /// `type reason message` of each event.
    events: Vec<String>,
    /// Bodies of patches of the status.
    status_writes: Vec<Value>,
}

impl ApiServer {
    /// A server that has `object`.
    pub fn new(object: &impl serde::Serialize) -> ApiServer {
        let mut object = serde_json::to_value(object).unwrap();
        object["metadata"]["resourceVersion"] = json!("1");
        ApiServer(Arc::new(Mutex::new(State {
            object: Some(object),
            events: Vec::new(),
            status_writes: Vec::new(),
        })))
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                Ok::<_, std::io::Error>(server.answer(&parts.method, parts.uri.path(), &body))
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, method: &Method, path: &str, body: &Value) -> Response<Body> {
        let mut state = self.lock();
        if path.ends_with("/events") {
            let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
            state.events.push(format!("{} {} {}", text("type"), text("reason"), text("message")));
            return response(201, body);
        }
        let Some(object) = &mut state.object else { return failure(404, "NotFound") };
        if *method == Method::GET {
            return response(200, object);
        }
        let wanted = &body["metadata"];
        if wanted["uid"] != object["metadata"]["uid"] {
            return failure(409, "Conflict");
        }
        let version = object["metadata"]["resourceVersion"].clone();
        if wanted.get("resourceVersion").is_some_and(|wanted| *wanted != version) {
            return failure(409, "Conflict");
        }
        merge(object, body);
        let next = version.as_str().and_then(|version| version.parse::<u64>().ok()).unwrap() + 1;
        object["metadata"]["resourceVersion"] = json!(next.to_string());
        let written = object.clone();
        let finalizers = written["metadata"]["finalizers"].as_array().map_or(0, Vec::len);
        if written["metadata"]["deletionTimestamp"].is_string() && finalizers == 0 {
            state.object = None;
        }
        if path.ends_with("/status") {
            state.status_writes.push(body["status"].clone());
        }
        response(200, &written)
    }

    /// Changes the object as somebody else would.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut state = self.lock();
        let object = state.object.as_mut().unwrap();
        change(object);
        let version = object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
        object["metadata"]["resourceVersion"] = json!((version + 1).to_string());
    }

    /// The object goes, whoever looks at it.
    pub fn remove(&self) {
        self.lock().object = None;
    }

    /// The object as it is now.
    pub fn object<K: serde::de::DeserializeOwned>(&self) -> Option<K> {
        self.lock().object.clone().map(|object| serde_json::from_value(object).unwrap())
    }

    /// `type reason message` of each event.
    pub fn events(&self) -> Vec<String> {
        self.lock().events.clone()
    }

    /// How often the status was written.
    pub fn status_writes(&self) -> usize {
        self.lock().status_writes.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

fn response(code: u16, body: &Value) -> Response<Body> {
    Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
}

fn failure(code: u16, reason: &str) -> Response<Body> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": reason,
    });
    response(code, &body)
}
