//! Watches that one bad object cannot stop, and the filter that lets only real changes through.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
};

use futures::{Stream, StreamExt, future};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{
        reflector::ObjectRef,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;

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

/// Watches `K`. An object that cannot be decoded is logged and left out, the rest goes on.
pub fn watch<K>(
    client: Client,
    scope: &Scope,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + DeserializeOwned + Debug + Send + 'static,
{
    let api: Api<DeserializeGuard<K>> = match &scope.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let config = watcher::Config { label_selector: scope.labels.clone(), ..watcher::Config::default() };
    watcher::watcher(api, config).filter_map(|event| future::ready(event.map(decoded).transpose()))
}

fn decoded<K: Resource<DynamicType = ()>>(event: Event<DeserializeGuard<K>>) -> Option<Event<K>> {
    let wrap: fn(K) -> Event<K> = match &event {
        Event::Init => return Some(Event::Init),
        Event::InitDone => return Some(Event::InitDone),
        Event::Apply(_) => Event::Apply,
        Event::Delete(_) => Event::Delete,
        Event::InitApply(_) => Event::InitApply,
    };
    let (Event::Apply(DeserializeGuard(object))
    | Event::Delete(DeserializeGuard(object))
    | Event::InitApply(DeserializeGuard(object))) = event
    else {
        return None;
    };
    match object {
        Ok(mut object) => {
            object.managed_fields_mut().clear();
            Some(wrap(object))
        }
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
pub enum Change<K: Resource<DynamicType = ()>> {
    /// The object asks for a reconcile.
    Reconcile(K),
    /// These objects are gone.
    Gone(Vec<ObjectRef<K>>),
}

/// Lets an object through when it is new or its fingerprint moved; status writes and other noise stay out.
#[derive(Debug)]
pub struct Changes<K: Resource<DynamicType = ()>> {
    fingerprint: fn(&K) -> u64,
    known: HashMap<ObjectRef<K>, u64>,
    listed: HashSet<ObjectRef<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone> Changes<K> {
    /// Starts with no object known.
    pub fn new(fingerprint: fn(&K) -> u64) -> Self {
        Self { fingerprint, known: HashMap::new(), listed: HashSet::new() }
    }

    /// Judges the next event.
    pub fn observe(&mut self, event: &Event<K>) -> Option<Change<K>> {
        match event {
            Event::Init => {
                self.listed.clear();
                None
            }
            Event::InitApply(object) => {
                self.listed.insert(ObjectRef::from_obj(object));
                self.changed(object)
            }
            Event::Apply(object) => self.changed(object),
            Event::Delete(object) => {
                let reference = ObjectRef::from_obj(object);
                self.known.remove(&reference);
                Some(Change::Gone(vec![reference]))
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<_> = self.known.keys().filter(|k| !listed.contains(*k)).cloned().collect();
                self.known.retain(|k, _| listed.contains(k));
                (!gone.is_empty()).then_some(Change::Gone(gone))
            }
        }
    }

    fn changed(&mut self, object: &K) -> Option<Change<K>> {
        let fingerprint = (self.fingerprint)(object);
        let before = self.known.insert(ObjectRef::from_obj(object), fingerprint);
        (before != Some(fingerprint)).then(|| Change::Reconcile(object.clone()))
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
        Changes::new(|o| o.metadata.generation.unwrap_or_default().unsigned_abs())
    }

    #[test]
    fn only_a_moved_fingerprint_asks_for_a_reconcile() {
        let mut changes = changes();
        assert!(changes.observe(&Event::Apply(object("a", 1))).is_some(), "a new object always does");
        assert!(changes.observe(&Event::Apply(object("a", 1))).is_none());
        assert!(changes.observe(&Event::Apply(object("a", 2))).is_some());
        assert!(changes.observe(&Event::Apply(object("b", 2))).is_some());
    }

    #[test]
    fn objects_deleted_while_the_watch_was_broken_are_gone_after_the_relist() {
        let mut changes = changes();
        changes.observe(&Event::Apply(object("a", 1)));
        changes.observe(&Event::Apply(object("b", 1)));
        changes.observe(&Event::Init);
        assert!(changes.observe(&Event::InitApply(object("b", 1))).is_none(), "known and unchanged");
        let Some(Change::Gone(gone)) = changes.observe(&Event::InitDone) else { panic!("a is gone") };
        assert_eq!(gone, [ObjectRef::from_obj(&object("a", 1))]);
        assert!(changes.observe(&Event::Apply(object("a", 1))).is_some(), "made anew");
    }
}
