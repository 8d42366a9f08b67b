//! `lookup` of templates: what the identity of the release may read in its cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use apply::mapper::Mapper;
use apply::object::split_api_version;
use helm_actions::memory::of_fields;
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
const OBJECTS: usize = 5000;
/// Objects that are asked for at once: each may have some MiB, and is in memory several times until it is part of the answer.
const PAGE: u32 = 50;
/// Bytes of memory that the answers to one rendering may take together, for templates can keep them all.
const ANSWER_MEMORY: u64 = 64 << 20;

/// The cluster as templates see it. Called from a thread that is none of the runtime's.
pub struct ClusterLookup {
    client: Client,
    mapper: Arc<Mapper>,
    runtime: Handle,
    questions: AtomicUsize,
    answers: Answers,
}

/// What the answers take.
struct Answers {
    limit: u64,
    bytes: AtomicU64,
}

impl ClusterLookup {
    /// For the runtime that this is called on.
    pub fn new(client: Client, mapper: Arc<Mapper>) -> Self {
        let answers = Answers { limit: ANSWER_MEMORY, bytes: AtomicU64::new(0) };
        Self { client, mapper, runtime: Handle::current(), questions: AtomicUsize::new(0), answers }
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
            return self.answers.list(&api, api_version, kind).await;
        }
        match get(&api, name).await {
            Ok(object) => self.answers.of(&object),
            Err(error) if error.is_not_found() => Ok(json!({})),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Answers {
    /// An object as a part of the answer.
    fn of(&self, object: &DynamicObject) -> Result<Value, String> {
        let value = serde_json::to_value(object).map_err(|error| error.to_string())?;
        let bytes = value.as_object().map_or(0, of_fields);
        let taken = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if taken > self.limit {
            return Err(format!("what the chart looks up takes more than {} bytes of memory", self.limit));
        }
        Ok(value)
    }

    async fn list(&self, api: &Api<DynamicObject>, api_version: &str, kind: &str) -> Result<Value, String> {
        // What the API server leaves out, clients of Go put in.
        let types = TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() };
        let (mut items, mut params) = (Vec::new(), ListParams::default().limit(PAGE));
        loop {
            let page = api.list(&params).await.map_err(|error| chain(&error))?;
            for item in page.items {
                items.push(self.of(&DynamicObject { types: Some(types.clone()), ..item })?);
            }
            let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
            if items.len() > OBJECTS || (items.len() == OBJECTS && next.is_some()) {
                return Err(format!("there are more than {OBJECTS} objects of kind {kind}"));
            }
            let Some(next) = next else {
                return Ok(json!({
                    "apiVersion": api_version, "kind": format!("{kind}List"), "metadata": page.metadata, "items": items,
                }));
            };
            params = params.continue_token(&next);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use http::{Request, Response};
    use kube::client::Body;
    use kube::core::ApiResource;

    /// A collection of so many Secrets with so much text each.
    fn secrets(count: usize, bytes: usize) -> Api<DynamicObject> {
        let server = tower::service_fn(move |request: Request<Body>| async move {
            let query = request.uri().query().unwrap_or_default();
            let number = |name: &str| {
                let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
                value.map(|value| value.parse::<usize>().unwrap())
            };
            let (from, limit) = (number("continue").unwrap_or_default(), number("limit").unwrap());
            let end = count.min(from + limit);
            let item = |index| json!({"metadata": {"name": format!("s{index}")}, "text": "x".repeat(bytes)});
            let next = if end < count { end.to_string() } else { String::new() };
            let list = json!({
                "apiVersion": "v1", "kind": "SecretList", "metadata": {"resourceVersion": "7", "continue": next},
                "items": (from..end).map(item).collect::<Vec<_>>(),
            });
            Ok::<_, std::convert::Infallible>(Response::new(Body::from(list.to_string().into_bytes())))
        });
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"));
        Api::namespaced_with(Client::new(server, "default"), "ns", &resource)
    }

    fn answers(limit: u64) -> Answers {
        Answers { limit, bytes: AtomicU64::new(0) }
    }

    #[tokio::test]
    async fn lists_are_put_together_of_pages() {
        let list = answers(ANSWER_MEMORY).list(&secrets(120, 10), "v1", "Secret").await.unwrap();
        assert_eq!(list["kind"], "SecretList");
        assert_eq!(list["metadata"]["resourceVersion"], "7");
        let items = list["items"].as_array().unwrap();
        assert_eq!((items.len(), &items[119]["metadata"]["name"]), (120, &json!("s119")));
        assert_eq!((&items[0]["kind"], &items[0]["apiVersion"]), (&json!("Secret"), &json!("v1")));
    }

    #[tokio::test]
    async fn answers_are_bounded_by_number_and_memory() {
        let full = answers(ANSWER_MEMORY).list(&secrets(OBJECTS, 1), "v1", "Secret").await.unwrap();
        assert_eq!(full["items"].as_array().unwrap().len(), OBJECTS);
        let many = answers(ANSWER_MEMORY).list(&secrets(OBJECTS + 1, 1), "v1", "Secret").await;
        assert_eq!(many.unwrap_err(), "there are more than 5000 objects of kind Secret");
        // All answers count together.
        let answers = answers(100_000);
        let secrets = secrets(3, 20_000);
        answers.list(&secrets, "v1", "Secret").await.unwrap();
        let more = answers.list(&secrets, "v1", "Secret").await;
        assert_eq!(more.unwrap_err(), "what the chart looks up takes more than 100000 bytes of memory");
    }
}
