//! Watches that one bad object cannot stop, and the filter that lets only real changes through.

mod answers;
mod object;
mod report;

pub use report::{reported, status};

use std::{
    fmt::Debug,
    hash::{DefaultHasher, Hash, Hasher},
};

use api::meta::RECONCILE_REQUEST_ANNOTATION;
use futures::{StreamExt, future, stream::BoxStream};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        reflector::ObjectRef,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;

use crate::{index::Index, metrics::Metrics};
use object::Watched;

/// Which objects a controller looks after.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// One namespace, or all (`--watch-all-namespaces`).
    pub namespace: Option<String>,
    /// Label selector (`--watch-label-selector`).
    pub labels: Option<String>,
}

impl Scope {
    /// The part of the API that is in scope.
    pub fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }
}

/// Watches `K`, and [reports](reported) how that goes. An object that cannot be decoded is logged and left out, the rest goes on.
pub fn watch<K>(
    client: &Client,
    scope: &Scope,
    metrics: &Metrics,
) -> BoxStream<'static, watcher::Result<Event<K>>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + DeserializeOwned + Debug + Send + 'static,
{
    reported(
        client,
        &K::kind(&()),
        metrics,
        |_| false,
        |client| {
            let api: Api<Watched<K>> = match &scope.namespace {
                Some(namespace) => Api::namespaced(client, namespace),
                None => Api::all(client),
            };
            let config =
                watcher::Config { label_selector: scope.labels.clone(), ..watcher::Config::default() };
            watcher::watcher(api, config).filter_map(|event| future::ready(event.map(decoded).transpose()))
        },
    )
}

fn decoded<K: Resource<DynamicType = ()>>(event: Event<Watched<K>>) -> Option<Event<K>> {
    let wrap: fn(K) -> Event<K> = match &event {
        Event::Init => return Some(Event::Init),
        Event::InitDone => return Some(Event::InitDone),
        Event::Apply(_) => Event::Apply,
        Event::Delete(_) => Event::Delete,
        Event::InitApply(_) => Event::InitApply,
    };
    let (Event::Apply(Watched(object)) | Event::Delete(Watched(object)) | Event::InitApply(Watched(object))) =
        event
    else {
        return None;
    };
    match object {
        Ok(object) => Some(wrap(object)),
        Err(invalid) => {
            let (namespace, name) = (invalid.metadata.namespace, invalid.metadata.name);
            tracing::error!(
                namespace = namespace.as_deref().unwrap_or_default(),
                name = name.as_deref().unwrap_or_default(),
                kind = %K::kind(&()),
                error = %invalid.error,
                "ignoring an object that cannot be decoded"
            );
            None
        }
    }
}

/// What a watch event means to a controller.
#[derive(Debug)]
pub struct Change<K: Resource<DynamicType = ()>> {
    /// These objects ask for a pass.
    pub due: Vec<K>,
    /// These objects are gone.
    pub gone: Vec<ObjectRef<K>>,
}

/// What moves when an object asks for a pass: it is another object, its spec changed, its deletion began, or a reconcile is
/// asked for.
fn fingerprint<K: Resource>(object: &K) -> u64 {
    let mut hasher = DefaultHasher::new();
    let metadata = object.meta();
    (&metadata.uid, metadata.generation, metadata.deletion_timestamp.is_some()).hash(&mut hasher);
    object.annotations().get(RECONCILE_REQUEST_ANNOTATION).hash(&mut hasher);
    hasher.finish()
}

/// Lets an object through when it is new or its fingerprint moved; status writes and other noise stay out. During a list
/// nothing is let through: the store shows the list only when it is complete.
#[derive(Debug)]
pub struct Changes<K: Resource<DynamicType = ()>> {
    /// Fingerprints.
    known: Index<ObjectRef<K>, u64>,
    /// Changed during the list under way.
    due: Vec<K>,
}

impl<K: Resource<DynamicType = ()>> Default for Changes<K> {
    /// Starts with no object known.
    fn default() -> Self {
        Self { known: Index::default(), due: Vec::new() }
    }
}

impl<K: Resource<DynamicType = ()> + Clone> Changes<K> {
    /// Judges the next event.
    pub fn observe(&mut self, event: &Event<K>) -> Change<K> {
        let mut change = Change { due: Vec::new(), gone: Vec::new() };
        match event {
            Event::Init => self.known.begin_list(),
            Event::InitApply(object) => {
                if self.known.list(ObjectRef::from_obj(object), fingerprint(object)) {
                    self.due.push(object.clone());
                }
            }
            Event::InitDone => {
                change.gone = self.known.end_list();
                change.due = std::mem::take(&mut self.due);
            }
            Event::Apply(object) => {
                if self.known.put(ObjectRef::from_obj(object), fingerprint(object)) {
                    change.due.push(object.clone());
                }
            }
            Event::Delete(object) => {
                let reference = ObjectRef::from_obj(object);
                self.known.remove(&reference);
                change.gone.push(reference);
            }
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn object(name: &str, generation: i64) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.into());
        object.metadata.generation = Some(generation);
        object
    }

    fn changes() -> Changes<ConfigMap> {
        Changes::default()
    }

    fn due(changes: &mut Changes<ConfigMap>, event: &Event<ConfigMap>) -> usize {
        changes.observe(event).due.len()
    }

    #[test]
    fn only_a_moved_fingerprint_asks_for_a_pass() {
        let mut changes = changes();
        assert_eq!(due(&mut changes, &Event::Apply(object("a", 1))), 1, "a new object always does");
        assert_eq!(due(&mut changes, &Event::Apply(object("a", 1))), 0);
        assert_eq!(due(&mut changes, &Event::Apply(object("a", 2))), 1);
        assert_eq!(due(&mut changes, &Event::Apply(object("b", 2))), 1);
    }

    #[test]
    fn a_request_a_deletion_and_another_object_ask_for_a_pass() {
        let mut changes = changes();
        let mut object = object("a", 1);
        due(&mut changes, &Event::Apply(object.clone()));
        object.annotations_mut().insert(RECONCILE_REQUEST_ANNOTATION.into(), "now".into());
        assert_eq!(due(&mut changes, &Event::Apply(object.clone())), 1);
        object.annotations_mut().insert("other".into(), "now".into());
        assert_eq!(due(&mut changes, &Event::Apply(object.clone())), 0);
        object.metadata.uid = Some("new".into());
        assert_eq!(due(&mut changes, &Event::Apply(object.clone())), 1);
        object.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(due(&mut changes, &Event::Apply(object)), 1);
    }

    #[test]
    fn includers_are_told_of_a_list_when_it_is_complete() {
        let mut changes = changes();
        changes.observe(&Event::Apply(object("a", 1)));
        changes.observe(&Event::Apply(object("b", 1)));
        changes.observe(&Event::Init);
        assert_eq!(due(&mut changes, &Event::InitApply(object("b", 2))), 0, "the store does not show it yet");
        assert_eq!(due(&mut changes, &Event::InitApply(object("c", 1))), 0);
        let change = changes.observe(&Event::InitDone);
        assert_eq!(change.due.len(), 2);
        assert_eq!(change.gone, [ObjectRef::from_obj(&object("a", 1))]);
        assert_eq!(due(&mut changes, &Event::Apply(object("a", 1))), 1, "made anew");
    }
}
