//! `lookup` of templates: what the identity of the release may read in its cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apply::mapper::Mapper;
use apply::object::split_api_version;
use kube::api::{DynamicObject, ListParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::{Api, Client};
use net::chain;
use references::{check_name, get};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most questions of one rendering.
const QUESTIONS: usize = 1000;
/// Most objects in one answer.
const OBJECTS: u32 = 5000;

/// The cluster as templates see it. Called from a thread that is none of the runtime's.
pub struct ClusterLookup {
    client: Client,
    mapper: Arc<Mapper>,
    runtime: Handle,
    questions: AtomicUsize,
}

impl ClusterLookup {
    /// For the runtime that this is called on.
    pub fn new(client: Client, mapper: Arc<Mapper>) -> Self {
        Self { client, mapper, runtime: Handle::current(), questions: AtomicUsize::new(0) }
    }

    async fn ask(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, String> {
        let (group, version) = split_api_version(api_version);
        let mapped = self.mapper.resolve(&GroupVersionKind::gvk(group, version, kind)).await;
        let mapped = mapped.map_err(|error| error.to_string())?;
        let is_of_namespace = mapped.namespaced && !namespace.is_empty();
        let api: Api<DynamicObject> = if is_of_namespace {
            check_name(namespace).map_err(|error| error.to_string())?;
            Api::namespaced_with(self.client.clone(), namespace, &mapped.resource)
        } else {
            Api::all_with(self.client.clone(), &mapped.resource)
        };
        if name.is_empty() {
            let found =
                api.list(&ListParams::default().limit(OBJECTS)).await.map_err(|error| chain(&error))?;
            if found.metadata.continue_.as_deref().is_some_and(|more| !more.is_empty()) {
                return Err(format!("there are more than {OBJECTS} objects of kind {kind}"));
            }
            // What the API server leaves out, clients of Go put in.
            let types = TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() };
            let mut items = found.items;
            items.iter_mut().for_each(|item| item.types = Some(types.clone()));
            return Ok(json!({
                "apiVersion": api_version, "kind": format!("{kind}List"), "metadata": found.metadata, "items": items,
            }));
        }
        match get(&api, name).await {
            Ok(object) => serde_json::to_value(&object).map_err(|error| error.to_string()),
            Err(error) if error.is_not_found() => Ok(json!({})),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl helm::Lookup for ClusterLookup {
    fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Value, String> {
        if self.questions.fetch_add(1, Ordering::Relaxed) >= QUESTIONS {
            return Err(format!("the chart looks up more than {QUESTIONS} times"));
        }
        let answer = self.ask(api_version, kind, namespace, name);
        let answer = self.runtime.block_on(async { tokio::time::timeout(TIMEOUT, answer).await });
        answer.unwrap_or_else(|_| Err(format!("no answer within {}s", TIMEOUT.as_secs())))
    }
}
