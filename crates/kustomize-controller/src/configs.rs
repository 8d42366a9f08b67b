//! ConfigMaps and Secrets that ask for it by a label start a run of the Kustomizations that refer to them when they change.
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

use api::Kustomization;
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
struct ConfigKey {
    kind: String,
    namespace: String,
    name: String,
}

/// What a Kustomization refers to: variables, decryption keys, access to other clusters. All in its own namespace.
fn references(object: &Kustomization) -> Vec<ConfigKey> {
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let key = |kind: &str, name: &str| ConfigKey {
        kind: kind.to_owned(),
        namespace: namespace.clone(),
        name: name.to_owned(),
    };
    let spec = &object.spec;
    let variables = spec.post_build.iter().flat_map(|post_build| &post_build.substitute_from);
    let keys = spec.decryption.iter().filter_map(|decryption| decryption.secret_ref.as_ref());
    let secrets = spec.kube_config.iter().filter_map(|config| config.secret_ref.as_ref());
    let config_maps = spec.kube_config.iter().filter_map(|config| config.config_map_ref.as_ref());
    variables
        .map(|reference| key(&reference.kind, &reference.name))
        .chain(keys.map(|reference| key("Secret", &reference.name)))
        .chain(secrets.map(|reference| key("Secret", &reference.name)))
        .chain(config_maps.map(|reference| key("ConfigMap", &reference.name)))
        .collect()
}

type Key = ObjectRef<Kustomization>;

#[derive(Default)]
struct State {
    /// Resource versions, by kind, as each has a watch of its own.
    versions: HashMap<String, Index<ConfigKey, String>>,
    referrers: Referrers<Key, ConfigKey>,
}

/// The watched ConfigMaps and Secrets, and the Kustomizations that refer to them. Clones share them.
#[derive(Clone)]
pub struct Configs {
    state: Arc<Mutex<State>>,
    /// Watches that have not told how they stand.
    starting: watch::Sender<usize>,
}

impl Configs {
    /// Nothing known yet; see [`Self::watch`].
    pub fn new() -> Self {
        Self { state: Arc::default(), starting: watch::Sender::new(0) }
    }

    /// What of the watched ConfigMaps and Secrets a Kustomization refers to, as one number that changes with any of them.
    pub fn state(&self, object: &Kustomization) -> u64 {
        let state = self.lock();
        let version = |key: ConfigKey| {
            let version = state.versions.get(&key.kind)?.get(&key)?;
            Some((key, version.clone()))
        };
        let mut seen: Vec<_> = references(object).into_iter().filter_map(version).collect();
        // The same whether others are watched or none.
        if seen.is_empty() {
            return 0;
        }
        seen.sort();
        let mut hasher = DefaultHasher::new();
        seen.hash(&mut hasher);
        hasher.finish()
    }

    /// One future for each of the two kinds that follows what has the label for ever and wakes the Kustomizations that
    /// refer to what changes.
    pub fn watch(
        &self,
        client: &Client,
        scope: &Scope,
        labels: &str,
        waker: &Waker<Kustomization>,
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
    pub fn settled(&self, limit: Duration) -> impl Future<Output = ()> + use<> {
        let mut starting = self.starting.subscribe();
        async move {
            // The time being over is no fault: a late list starts runs, that is all.
            let _ = tokio::time::timeout(limit, starting.wait_for(|left| *left == 0)).await;
        }
    }

    async fn follow<K>(self, client: Client, scope: Scope, waker: Waker<Kustomization>, metrics: Metrics)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let kind = K::kind(&());
        let mut events = reported(&client, &kind, &metrics, is_forbidden, |client| {
            let config =
                watcher::Config { label_selector: scope.labels.clone(), ..watcher::Config::default() };
            watcher(scope.api::<PartialObjectMeta<K>>(client), config).default_backoff()
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

    /// Takes in an event; gives the Kustomizations that refer to what changed.
    fn observe<K: Resource<DynamicType = ()>>(
        &self,
        kind: &str,
        event: &Event<PartialObjectMeta<K>>,
    ) -> HashSet<Key> {
        let reduce = |object: &PartialObjectMeta<K>| {
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            let key = ConfigKey { kind: kind.to_owned(), namespace, name };
            (key, object.resource_version().unwrap_or_default())
        };
        let mut state = self.lock();
        let changed = state.versions.entry(kind.to_owned()).or_default().observe(event, reduce);
        changed.iter().flat_map(|config| state.referrers.of(config)).cloned().collect()
    }

    /// Takes in what a Kustomization refers to.
    pub fn refer(&self, object: &Kustomization) {
        self.lock().referrers.set(&ObjectRef::from_obj(object), references(object));
    }

    /// A Kustomization is gone.
    pub fn forget(&self, object: &Key) {
        self.lock().referrers.set(object, Vec::new());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
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
    use super::*;
    use api::kustomization::{Decryption, PostBuild, SubstituteReference};
    use kube::core::ObjectMeta;

    fn app() -> Kustomization {
        let mut app = Kustomization::new("app", Default::default());
        app.metadata.namespace = Some("ns".into());
        let reference = |kind: &str, name: &str| SubstituteReference {
            kind: kind.into(),
            name: name.into(),
            ..SubstituteReference::default()
        };
        app.spec.post_build = Some(PostBuild {
            substitute_from: vec![reference("ConfigMap", "vars"), reference("Secret", "more")],
            ..PostBuild::default()
        });
        app.spec.decryption = Some(Decryption {
            secret_ref: Some(api::LocalObjectReference { name: "keys".into() }),
            ..Decryption::default()
        });
        app
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
    fn variables_keys_and_access_are_references() {
        let names: Vec<_> =
            references(&app()).into_iter().map(|k| format!("{}/{}", k.kind, k.name)).collect();
        assert_eq!(names, ["ConfigMap/vars", "Secret/more", "Secret/keys"]);
    }

    #[test]
    fn the_state_changes_with_what_is_referred_to_and_nothing_else() {
        let (configs, app) = (Configs::new(), app());
        configs.refer(&app);
        let see = |event: Event<PartialObjectMeta<ConfigMap>>| configs.observe("ConfigMap", &event).len();
        let nothing = configs.state(&app);
        assert_eq!(see(Event::Apply(object("other", "1"))), 0);
        assert_eq!(configs.state(&app), nothing, "what is watched for others");
        assert_eq!(see(Event::Apply(object("vars", "1"))), 1);
        let first = configs.state(&app);
        assert_ne!(nothing, first);
        assert_eq!(see(Event::Apply(object("vars", "1"))), 0, "a repeat is no change");
        see(Event::Apply(object("other", "2")));
        assert_eq!(configs.state(&app), first);
        see(Event::Apply(object("vars", "2")));
        assert_ne!(configs.state(&app), first);
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
            let (configs, metrics) = (Configs::new(), Metrics::new().unwrap());
            let client = Client::new(refusing, "default");
            for watch in configs.watch(&client, &Scope::default(), "a=b", &Waker::default(), &metrics) {
                tokio::spawn(watch);
            }
            let settled = configs.settled(Duration::from_secs(60));
            assert!(
                tokio::time::timeout(Duration::from_secs(20), settled).await.is_ok(),
                "nothing is waited for"
            );
            assert_eq!(configs.state(&app()), 0);
            for kind in ["ConfigMap", "Secret"] {
                let line = format!("gotk_watch_failing{{kind=\"{kind}\"}} {failing}");
                assert!(metrics.render().lines().any(|l| l == line), "{code}: {line}");
            }
        }
    }
}
