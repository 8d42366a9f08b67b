//! ConfigMaps and Secrets that ask for it by a label wake the objects that refer to them when they change.
//!
//! Only metadata is watched, and the server selects by the label, so that nothing is held of all the others.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::kustomization::KubeConfigReference;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Client, Resource, ResourceExt,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        reflector::ObjectRef,
        watcher::{self, Event, watcher},
    },
};
use runtime::{
    controller::Waker,
    index::{Index, Referrers},
    metrics::Metrics,
    watch::{Scope, reported, status},
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// A ConfigMap or Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigKey {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ConfigKey {
    /// One of a kind, by its place.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// What access to another cluster is read from, by an object of a namespace.
    pub fn of_kube_config(namespace: &str, config: &KubeConfigReference) -> Vec<Self> {
        let secret = config.secret_ref.as_ref().map(|secret| Self::new("Secret", namespace, &secret.name));
        let config_map = config.config_map_ref.as_ref();
        secret.into_iter().chain(config_map.map(|map| Self::new("ConfigMap", namespace, &map.name))).collect()
    }
}

struct State<K: Resource> {
    /// Resource versions, by kind, as each has a watch of its own.
    versions: HashMap<String, Index<ConfigKey, String>>,
    referrers: Referrers<ObjectRef<K>, ConfigKey>,
}

/// The watched ConfigMaps and Secrets, and the objects of one kind that refer to them. Clones share them.
pub struct Configs<K: Resource> {
    state: Arc<Mutex<State<K>>>,
    /// Watches that have not told how they stand.
    starting: watch::Sender<usize>,
}

impl<K: Resource> Clone for Configs<K> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), starting: self.starting.clone() }
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Default for Configs<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Configs<K> {
    /// Nothing known yet; see [`Self::watch`].
    pub fn new() -> Self {
        let state = State { versions: HashMap::new(), referrers: Referrers::default() };
        Self { state: Arc::new(Mutex::new(state)), starting: watch::Sender::new(0) }
    }

    /// How those of them are that are watched, as one number that changes with any of these.
    pub fn state(&self, configs: Vec<ConfigKey>) -> u64 {
        let state = self.lock();
        let version = |key: ConfigKey| {
            let version = state.versions.get(&key.kind)?.get(&key)?;
            Some((key, version.clone()))
        };
        let mut seen: Vec<_> = configs.into_iter().filter_map(version).collect();
        // The same whether others are watched or none.
        if seen.is_empty() {
            return 0;
        }
        seen.sort();
        let mut hasher = DefaultHasher::new();
        seen.hash(&mut hasher);
        hasher.finish()
    }

    /// One future for each of the two kinds that follows what has the label for ever and wakes the objects that refer to
    /// what changes.
    pub fn watch(
        &self,
        client: &Client,
        scope: &Scope,
        labels: &str,
        waker: &Waker<K>,
        metrics: &Metrics,
    ) -> Vec<BoxFuture<'static, ()>> {
        self.starting.send_replace(2);
        let scope = Scope { labels: Some(labels.to_owned()).filter(|l| !l.is_empty()), ..scope.clone() };
        vec![
            self.clone()
                .follow::<ConfigMap>(client.clone(), scope.clone(), waker.clone(), metrics.clone())
                .boxed(),
            self.clone().follow::<Secret>(client.clone(), scope, waker.clone(), metrics.clone()).boxed(),
        ]
    }

    /// Waits until both watches are complete or have failed, at most for `limit`: what was there before the start is no
    /// change.
    pub fn settled(&self, limit: Duration) -> impl Future<Output = ()> + use<K> {
        let mut starting = self.starting.subscribe();
        async move {
            // The time being over is no fault: a late list starts runs, that is all.
            let _ = tokio::time::timeout(limit, starting.wait_for(|left| *left == 0)).await;
        }
    }

    async fn follow<C>(self, client: Client, scope: Scope, waker: Waker<K>, metrics: Metrics)
    where
        C: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let kind = C::kind(&());
        let mut events = reported(&client, &kind, &metrics, is_forbidden, |client| {
            let config =
                watcher::Config { label_selector: scope.labels.clone(), ..watcher::Config::default() };
            watcher(scope.api::<PartialObjectMeta<C>>(client), config).default_backoff()
        });
        let mut settled = false;
        while let Some(event) = events.next().await {
            let done = matches!(event, Ok(Event::InitDone) | Err(_));
            if let Ok(event) = event {
                let referrers = self.observe(&kind, &event);
                // What the first list shows is the state that runs begin with.
                if settled {
                    referrers.into_iter().for_each(|referrer| waker.wake(referrer));
                }
            }
            if done && !settled {
                settled = true;
                self.starting.send_modify(|left| *left = left.saturating_sub(1));
            }
        }
    }

    /// Takes in an event; gives the objects that refer to what changed.
    fn observe<C: Resource<DynamicType = ()>>(
        &self,
        kind: &str,
        event: &Event<PartialObjectMeta<C>>,
    ) -> HashSet<ObjectRef<K>> {
        let reduce = |object: &PartialObjectMeta<C>| {
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            let key = ConfigKey { kind: kind.to_owned(), namespace, name };
            (key, object.resource_version().unwrap_or_default())
        };
        let mut state = self.lock();
        let changed = state.versions.entry(kind.to_owned()).or_default().observe(event, reduce);
        changed.iter().flat_map(|config| state.referrers.of(config)).cloned().collect()
    }

    /// Takes in what an object refers to.
    pub fn refer(&self, object: &ObjectRef<K>, configs: Vec<ConfigKey>) {
        self.lock().referrers.set(object, configs);
    }

    /// An object is gone.
    pub fn forget(&self, object: &ObjectRef<K>) {
        self.lock().referrers.set(object, Vec::new());
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody has to grant the right to watch them: without it, changes are noticed at the interval.
fn is_forbidden(error: &watcher::Error) -> bool {
    status(error).is_some_and(|status| status.code == 403)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use api::Kustomization;
    use kube::core::ObjectMeta;

    use super::*;

    fn app() -> ObjectRef<Kustomization> {
        ObjectRef::new("app").within("ns")
    }

    fn key(name: &str) -> ConfigKey {
        ConfigKey::new("ConfigMap", "ns", name)
    }

    fn object(name: &str, version: &str) -> PartialObjectMeta<ConfigMap> {
        PartialObjectMeta {
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some("ns".into()),
                resource_version: Some(version.into()),
                ..ObjectMeta::default()
            },
            ..PartialObjectMeta::default()
        }
    }

    #[test]
    fn the_state_changes_with_what_is_referred_to_and_nothing_else() {
        let configs = Configs::new();
        let used = || vec![key("vars"), key("absent")];
        configs.refer(&app(), used());
        let see = |event: Event<PartialObjectMeta<ConfigMap>>| configs.observe("ConfigMap", &event).len();
        let nothing = configs.state(used());
        assert_eq!(see(Event::Apply(object("other", "1"))), 0);
        assert_eq!(configs.state(used()), nothing, "what is watched for others");
        assert_eq!(see(Event::Apply(object("vars", "1"))), 1);
        let first = configs.state(used());
        assert_ne!(nothing, first);
        assert_eq!(see(Event::Apply(object("vars", "1"))), 0, "a repeat is no change");
        see(Event::Apply(object("other", "2")));
        assert_eq!(configs.state(used()), first);
        see(Event::Apply(object("vars", "2")));
        assert_ne!(configs.state(used()), first);
        see(Event::Init);
        see(Event::InitApply(object("other", "2")));
        assert_eq!(see(Event::InitDone), 1, "vars is gone");
    }

    #[tokio::test]
    async fn work_begins_whatever_becomes_of_the_watch_and_only_a_missing_right_is_no_failure() {
        for (code, failing) in [(403, 0), (500, 1), (404, 1)] {
            let refusing = tower::service_fn(move |_: http::Request<kube::client::Body>| async move {
                let status = format!(
                    r#"{{"kind": "Status", "status": "Failure", "reason": "R", "message": "no", "code": {code}}}"#
                );
                http::Response::builder().status(code).body(kube::client::Body::from(status.into_bytes()))
            });
            let (configs, metrics) = (Configs::<Kustomization>::new(), Metrics::new().unwrap());
            let client = Client::new(refusing, "default");
            for watch in configs.watch(&client, &Scope::default(), "a=b", &Waker::default(), &metrics) {
                tokio::spawn(watch);
            }
            let settled = configs.settled(Duration::from_secs(60));
            assert!(
                tokio::time::timeout(Duration::from_secs(20), settled).await.is_ok(),
                "nothing is waited for"
            );
            assert_eq!(configs.state(vec![key("vars")]), 0);
            for kind in ["ConfigMap", "Secret"] {
                let line = format!("gotk_watch_failing{{kind=\"{kind}\"}} {failing}");
                assert!(metrics.render().lines().any(|l| l == line), "{code}: {line}");
            }
        }
    }
}
