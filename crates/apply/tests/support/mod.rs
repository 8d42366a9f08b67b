//! An API server that serves ConfigMaps: lists in pages, and watches that end as the test wants.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use apply::manager::Manager;
use apply::mapper::{Mapper, MapperOptions};
use apply::object::ObjectId;
use apply::observe::{Index, IndexOptions, WatchState};
use apply::prepare::Owner;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::time::timeout;

pub const MANAGER: Manager =
    Manager { field_manager: "kustomize-controller", group: "kustomize.toolkit.fluxcd.io" };
/// The namespace of all objects and owners.
pub const NAMESPACE: &str = "ns";
/// Bytes of content in each object.
const CONTENT_BYTES: usize = 256;

/// What a watch is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(dead_code)] // Not every test refuses.
pub enum Watching {
    /// Nothing, until [`ApiServer::expire_watches`].
    Quiet,
    /// This status.
    Refused(u16),
}

struct State {
    /// Owner and resourceVersion, by name.
    objects: BTreeMap<String, (String, usize)>,
    version: usize,
    watching: Watching,
    /// Path and query of each list of ConfigMaps.
    lists: Vec<String>,
}

/// The server. Clones are the same one.
#[derive(Clone)]
pub struct ApiServer {
    state: Arc<Mutex<State>>,
    expire: broadcast::Sender<()>,
}

impl ApiServer {
    pub fn new(watching: Watching) -> Self {
        let state = State { objects: BTreeMap::new(), version: 1, watching, lists: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)), expire: broadcast::Sender::new(1) }
    }

    /// An index over a client of it, with pages of this size and waits of 1 to 64 s after failures.
    pub fn index(&self, page_size: u32) -> Index {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, uri) = (server.clone(), request.uri().clone());
            async move {
                Ok::<_, std::io::Error>(server.answer(uri.path(), uri.query().unwrap_or_default()).await)
            }
        });
        let client = Client::new(service, "default");
        let second = Duration::from_secs(1);
        let discovery = MapperOptions { min_interval: second, request_timeout: 60 * second };
        let mapper = Arc::new(Mapper::new(client.clone(), discovery));
        let retry = net::Backoff { first: second, longest: 64 * second };
        let options = IndexOptions { idle: 100_000 * second, retry, rediscovery: second, page_size };
        Index::new(client, MANAGER, mapper, options)
    }

    /// Makes an object or changes it, and gives its resourceVersion.
    pub fn put(&self, name: &str, owner: &str) -> String {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        state.objects.insert(name.to_owned(), (owner.to_owned(), version));
        version.to_string()
    }

    pub fn delete(&self, name: &str) {
        let mut state = self.state();
        state.version += 1;
        state.objects.remove(name);
    }

    #[allow(dead_code)]
    pub fn set_watching(&self, watching: Watching) {
        self.state().watching = watching;
    }

    /// Ends the watches that go on: the version that they began with is too old.
    pub fn expire_watches(&self) {
        let _ = self.expire.send(());
    }

    /// The queries of the lists since the last call.
    pub fn take_lists(&self) -> Vec<String> {
        std::mem::take(&mut self.state().lists)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn answer(&self, path: &str, query: &str) -> Response<Body> {
        let mut expired = self.expire.subscribe();
        match path {
            "/api" => answer(
                200,
                discovery(json!([{"version": "v1", "resources": [
                {"resource": "configmaps", "scope": "Namespaced", "responseKind": {"kind": "ConfigMap"}}]}])),
            ),
            "/apis" => answer(
                200,
                json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": []}),
            ),
            _ if parameter(query, "watch") != Some("true") => answer(200, self.page(query)),
            _ => {
                let watching = self.state().watching;
                match watching {
                    Watching::Refused(code) => answer(code, status(code)),
                    Watching::Quiet => {
                        let _ = expired.recv().await;
                        answer(200, json!({"type": "ERROR", "object": status(410)}))
                    }
                }
            }
        }
    }

    /// A page of a list as text, which is made faster than values.
    fn page(&self, query: &str) -> String {
        let mut state = self.state();
        state.lists.push(query.to_owned());
        let limit = parameter(query, "limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
        let after = (Bound::Excluded(parameter(query, "continue").unwrap_or_default()), Bound::Unbounded);
        let mut rest = state.objects.range::<str, _>(after).peekable();
        let (mut items, mut last) = (Vec::new(), "");
        for (name, (owner, version)) in rest.by_ref().take(limit) {
            items.push(object(name, owner, *version));
            last = name;
        }
        let next = if rest.peek().is_some() { last } else { "" };
        format!(
            r#"{{"kind": "ConfigMapList", "apiVersion": "v1", "items": [{}],
                "metadata": {{"resourceVersion": "{}", "continue": "{next}"}}}}"#,
            items.join(","),
            state.version
        )
    }
}

pub fn config_maps() -> GroupVersionKind {
    GroupVersionKind::gvk("", "v1", "ConfigMap")
}

pub fn id(name: &str) -> ObjectId {
    ObjectId {
        group: String::new(),
        kind: "ConfigMap".into(),
        namespace: NAMESPACE.into(),
        name: name.into(),
    }
}

pub fn owner(name: &str) -> Owner {
    Owner { namespace: NAMESPACE.into(), name: name.into() }
}

/// Waits for owners that are told.
pub async fn told(index: &Index) -> Vec<Owner> {
    timeout(Duration::from_secs(600), index.changed()).await.expect("nobody is told")
}

/// Waits until the index tells somebody, and has a complete list.
pub async fn synced(index: &Index) -> Vec<Owner> {
    let mut told = Vec::new();
    loop {
        told.extend(self::told(index).await);
        if index.ensure(&config_maps()) == WatchState::Synced {
            return told;
        }
    }
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn object(name: &str, owner: &str, version: usize) -> String {
    let Manager { field_manager, group } = MANAGER;
    format!(
        r#"{{"data": {{"content": "{:x<CONTENT_BYTES$}"}}, "metadata": {{
            "name": "{name}", "namespace": "{NAMESPACE}", "uid": "uid-of-{name}", "resourceVersion": "{version}",
            "labels": {{"{group}/name": "{owner}", "{group}/namespace": "{NAMESPACE}"}},
            "managedFields": [{{"manager": "{field_manager}", "operation": "Apply", "apiVersion": "v1",
                "fieldsV1": {{"f:data": {{"f:content": {{}}}}}}}}]}}}}"#,
        ""
    )
}

fn discovery(versions: Value) -> Value {
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": [{"metadata": {}, "versions": versions}]})
}

fn status(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no", "code": code})
}

fn answer(code: u16, body: impl ToString) -> Response<Body> {
    Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
}
