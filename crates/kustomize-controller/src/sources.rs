//! The artifacts of sources, known from watches, and who is woken when one changes.
//!
//! Of each source only its artifact is kept. Sources are read in their v1 form whatever `apiVersion` a reference
//! has, and their readiness does not matter: a source that fails to update keeps its last artifact.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::{Artifact, Kustomization, source::GROUP};
use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store},
        watcher::{self, Event, watcher},
    },
};
use references::check_name;
use runtime::controller::Waker;

/// Kinds that a Kustomization can refer to, with their plurals.
const KINDS: [(&str, &str); 4] = [
    ("GitRepository", "gitrepositories"),
    ("OCIRepository", "ocirepositories"),
    ("Bucket", "buckets"),
    (EXTERNAL_ARTIFACT, "externalartifacts"),
];

/// The kind that others than source-controller publish; it has to be allowed.
pub const EXTERNAL_ARTIFACT: &str = "ExternalArtifact";

/// Where a source is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceKey {
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl SourceKey {
    /// The source that a Kustomization refers to.
    pub fn of(object: &Kustomization) -> Self {
        let reference = &object.spec.source_ref;
        let own = || object.metadata.namespace.clone().unwrap_or_default();
        let namespace = reference.namespace.clone().filter(|n| !n.is_empty()).unwrap_or_else(own);
        Self { kind: reference.kind.clone(), namespace, name: reference.name.clone() }
    }
}

impl std::fmt::Display for SourceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// Why a source has no artifact to offer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The kind is none of those that publish artifacts.
    #[error("source `{name}` kind '{kind}' not supported")]
    Kind {
        /// Kind asked for.
        kind: String,
        /// Name asked for.
        name: String,
    },
    /// It does not exist.
    #[error("{}.{GROUP} \"{}\" not found", .0.kind, .0.name)]
    NotFound(SourceKey),
    /// The API server could not say.
    #[error("unable to get source '{namespace}/{name}'")]
    Get {
        /// Namespace asked for.
        namespace: String,
        /// Name asked for.
        name: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Which sources there are and how they are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Ask the API server each time (gate DirectSourceFetch).
    pub direct: bool,
    /// Allow [`EXTERNAL_ARTIFACT`] (the gate of that name).
    pub external: bool,
}

/// What tells the artifacts of a source apart. A revision can get another content: what its source ignores or includes may
/// change, and an artifact that was wrong is made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub revision: String,
    pub digest: String,
}

impl Content {
    /// That of an artifact.
    pub fn of(artifact: &Artifact) -> Self {
        Self { revision: artifact.revision.clone(), digest: artifact.digest.clone() }
    }
}

/// Artifacts by source. Clones share them.
#[derive(Clone)]
pub struct Sources {
    client: Client,
    options: Options,
    known: Arc<Mutex<HashMap<SourceKey, Option<Artifact>>>>,
}

impl Sources {
    /// Nothing known yet; see [`Self::watch`].
    pub fn new(client: Client, options: Options) -> Self {
        Self { client, options, known: Arc::default() }
    }

    /// One future per kind that follows it for ever and wakes the Kustomizations of `store` that refer to a source
    /// of which the artifact's content changed. A kind whose CRD is not installed is tried again and again.
    pub fn watch(
        &self,
        namespace: Option<&str>,
        store: &Store<Kustomization>,
        waker: &Waker<Kustomization>,
    ) -> Vec<impl Future<Output = ()> + Send + use<>> {
        let follow = |kind: &'static str| {
            let resource = resource(kind)?;
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
                None => Api::all_with(self.client.clone(), &resource),
            };
            Some(self.clone().follow(kind, api, store.clone(), waker.clone()))
        };
        let allowed = |kind: &&str| *kind != EXTERNAL_ARTIFACT || self.options.external;
        KINDS.into_iter().map(|(kind, _)| kind).filter(allowed).filter_map(follow).collect()
    }

    async fn follow(
        self,
        kind: &'static str,
        api: Api<DynamicObject>,
        store: Store<Kustomization>,
        waker: Waker<Kustomization>,
    ) {
        let mut listed = HashSet::new();
        let events = watcher(api, watcher::Config::default()).default_backoff();
        let mut events = pin!(events.inspect_err(move |error| {
            if !is_absent_kind(error) {
                tracing::error!(kind, error = %runtime::error::chain(error), "source watch failed, trying again");
            }
        }));
        while let Some(event) = events.next().await {
            let changed = match event {
                Err(_) => continue,
                Ok(event) => self.observe(kind, event, &mut listed),
            };
            if !changed.is_empty() {
                wake(&store, &waker, &changed);
            }
        }
    }

    /// Takes in an event; the sources whose content changed.
    fn observe(
        &self,
        kind: &str,
        event: Event<DynamicObject>,
        listed: &mut HashSet<SourceKey>,
    ) -> Vec<SourceKey> {
        let key = |object: &DynamicObject| SourceKey {
            kind: kind.to_owned(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        };
        let mut known = self.known();
        match event {
            Event::Init => {
                listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let key = key(&object);
                listed.insert(key.clone());
                put(&mut known, key, artifact(&object))
            }
            Event::Apply(object) => put(&mut known, key(&object), artifact(&object)),
            Event::Delete(object) => {
                let key = key(&object);
                known.remove(&key);
                vec![key]
            }
            Event::InitDone => {
                let gone: Vec<_> =
                    known.keys().filter(|k| k.kind == kind && !listed.contains(*k)).cloned().collect();
                known.retain(|k, _| k.kind != kind || listed.contains(k));
                gone
            }
        }
    }

    /// The artifact of a source, `None` if it has none yet. What no watch has seen is asked for.
    pub async fn get(&self, key: &SourceKey) -> Result<Option<Artifact>, SourceError> {
        if let Some(artifact) = self.known().get(key).filter(|_| !self.options.direct) {
            return Ok(artifact.clone());
        }
        let Some(resource) = resource(&key.kind) else {
            return Err(SourceError::Kind { kind: key.kind.clone(), name: key.name.clone() });
        };
        if check_name(&key.name).and(check_name(&key.namespace)).is_err() {
            return Err(SourceError::NotFound(key.clone()));
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.namespace, &resource);
        match api.get(&key.name).await {
            Ok(object) => Ok(artifact(&object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Err(SourceError::NotFound(key.clone())),
            Err(error) => Err(SourceError::Get {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                source: Box::new(error),
            }),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SourceKey, Option<Artifact>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Remembers an artifact; the key again if its content is another one than before.
fn put(
    known: &mut HashMap<SourceKey, Option<Artifact>>,
    key: SourceKey,
    artifact: Option<Artifact>,
) -> Vec<SourceKey> {
    let content = artifact.as_ref().map(Content::of);
    let before = known.insert(key.clone(), artifact).map(|before| before.as_ref().map(Content::of));
    if before == Some(content) { Vec::new() } else { vec![key] }
}

fn artifact(object: &DynamicObject) -> Option<Artifact> {
    let artifact = object.data.get("status")?.get("artifact")?;
    serde_json::from_value(artifact.clone()).ok()
}

fn resource(kind: &str) -> Option<ApiResource> {
    let (kind, plural) = KINDS.into_iter().find(|(k, _)| *k == kind)?;
    Some(ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", kind), plural))
}

fn wake(store: &Store<Kustomization>, waker: &Waker<Kustomization>, changed: &[SourceKey]) {
    for object in store.state() {
        if changed.contains(&SourceKey::of(&object)) {
            waker.wake(ObjectRef::from_obj(object.as_ref()));
        }
    }
}

fn is_absent_kind(error: &watcher::Error) -> bool {
    let inner = match error {
        watcher::Error::InitialListFailed(inner) | watcher::Error::WatchStartFailed(inner) => inner,
        _ => return false,
    };
    matches!(inner, kube::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(name: &str) -> SourceKey {
        SourceKey { kind: "GitRepository".into(), namespace: "ns".into(), name: name.into() }
    }

    fn some(revision: &str, digest: &str) -> Option<Artifact> {
        Some(Artifact { revision: revision.into(), digest: digest.into(), ..Artifact::default() })
    }

    #[test]
    fn another_revision_or_digest_is_a_change() {
        let mut known = HashMap::new();
        assert_eq!(put(&mut known, key("a"), None), [key("a")], "it appeared");
        assert_eq!(put(&mut known, key("a"), None), []);
        assert_eq!(put(&mut known, key("a"), some("r1", "d1")), [key("a")]);
        assert_eq!(put(&mut known, key("a"), some("r1", "d2")), [key("a")], "other content of the revision");
        assert_eq!(put(&mut known, key("a"), some("r2", "d2")), [key("a")]);
        let moved = some("r2", "d2").map(|artifact| Artifact { url: "http://elsewhere".into(), ..artifact });
        assert_eq!(put(&mut known, key("a"), moved), []);
    }

    #[test]
    fn a_reference_without_namespace_means_its_own() {
        let mut object = Kustomization::new("app", Default::default());
        object.metadata.namespace = Some("apps".into());
        object.spec.source_ref.name = "repo".into();
        assert_eq!(SourceKey::of(&object).namespace, "apps");
        object.spec.source_ref.namespace = Some("flux-system".into());
        assert_eq!(SourceKey::of(&object).namespace, "flux-system");
    }
}
