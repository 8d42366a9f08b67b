//! The artifacts of sources, known from watches, and who is woken when one changes.
//!
//! Of each source only its artifact is kept. Sources are read in their v1 form whatever `apiVersion` a reference
//! has, and their readiness does not matter: a source that fails to update keeps its last artifact.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::{Artifact, source::GROUP};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
    runtime::{
        WatchStreamExt,
        reflector::ObjectRef,
        watcher::{self, Event, watcher},
    },
};
use runtime::{
    controller::Waker,
    events::reference,
    index::{Index, Referrers},
    metrics::Metrics,
    watch::reported,
};
use tokio::sync::watch;

use crate::{GetError, check_name, get};

/// The kinds that publish artifacts, with their plurals.
const KINDS: [(&str, &str); 5] = [
    ("GitRepository", "gitrepositories"),
    ("OCIRepository", "ocirepositories"),
    ("Bucket", "buckets"),
    ("HelmChart", "helmcharts"),
    (EXTERNAL_ARTIFACT, "externalartifacts"),
];

/// The kind that others than source-controller publish.
pub const EXTERNAL_ARTIFACT: &str = "ExternalArtifact";

/// Where a source is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceKey {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
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
        source: GetError,
    },
}

/// Which sources there are and how they are read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Ask the API server each time (gate DirectSourceFetch).
    pub direct: bool,
    /// The kinds that can be referred to.
    pub kinds: Vec<&'static str>,
    /// Whether a source that becomes ready, or is no longer, counts as changed, too.
    pub tells_readiness: bool,
}

/// What tells the artifacts of a source apart. A revision can get another content: what its source ignores or includes may
/// change, and an artifact that was wrong is made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The revision.
    pub revision: String,
    /// The digest.
    pub digest: String,
}

impl Content {
    /// That of an artifact.
    pub fn of(artifact: &Artifact) -> Self {
        Self { revision: artifact.revision.clone(), digest: artifact.digest.clone() }
    }
}

/// Artifacts by source, and the objects of one kind that refer to it. Clones share them.
pub struct Sources<K: Resource> {
    client: Client,
    options: Options,
    state: Arc<Mutex<State<K>>>,
    /// Told of each change.
    changed: watch::Sender<()>,
}

struct State<K: Resource> {
    /// By kind, as each has a watch of its own.
    artifacts: HashMap<String, Index<SourceKey, Known>>,
    referrers: Referrers<ObjectRef<K>, SourceKey>,
}

impl<K: Resource> Clone for Sources<K> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            options: self.options.clone(),
            state: self.state.clone(),
            changed: self.changed.clone(),
        }
    }
}

/// What is known of a source.
#[derive(Clone, Debug)]
pub struct Known {
    /// The object, as it was when it was read.
    pub source: ObjectReference,
    /// `None` if it has none yet.
    pub artifact: Option<Artifact>,
    /// Whether it is ready at its present generation; `None` if that is not told.
    is_ready: Option<bool>,
}

impl Known {
    fn of(object: &DynamicObject, resource: &ApiResource, tells_readiness: bool) -> Self {
        let is_ready = tells_readiness.then(|| is_ready(object));
        Self { source: reference(object, resource), artifact: artifact(object), is_ready }
    }
}

/// The same artifact is no change, whatever else is new, but for readiness where that is told. Another URL alone is none either.
impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.artifact.as_ref().map(Content::of) == other.artifact.as_ref().map(Content::of)
            && self.is_ready == other.is_ready
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Sources<K> {
    /// Nothing known yet; see [`Self::watch`].
    pub fn new(client: Client, options: Options) -> Self {
        let state = State { artifacts: HashMap::new(), referrers: Referrers::default() };
        Self { client, options, state: Arc::new(Mutex::new(state)), changed: watch::Sender::new(()) }
    }

    /// One future per kind that follows it for ever and wakes the objects that refer to a source of which the artifact's content
    /// changed. A kind whose CRD is not installed is tried again and again.
    pub fn watch(
        &self,
        namespace: Option<&str>,
        waker: &Waker<K>,
        metrics: &Metrics,
    ) -> Vec<impl Future<Output = ()> + Send + use<K>> {
        let follow = |kind: &'static str| {
            let resource = resource(kind)?;
            let namespace = namespace.map(str::to_owned);
            Some(self.clone().follow(kind, resource, namespace, waker.clone(), metrics.clone()))
        };
        self.options.kinds.iter().copied().filter_map(follow).collect()
    }

    async fn follow(
        self,
        kind: &'static str,
        resource: ApiResource,
        namespace: Option<String>,
        waker: Waker<K>,
        metrics: Metrics,
    ) {
        let mut events = reported(&self.client, kind, &metrics, is_absent_kind, |client| {
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(client, &namespace, &resource),
                None => Api::all_with(client, &resource),
            };
            watcher(api, watcher::Config::default()).default_backoff()
        });
        while let Some(event) = events.next().await {
            let Ok(event) = event else { continue };
            self.observe(kind, &event).into_iter().for_each(|referrer| waker.wake(referrer));
            self.changed.send_replace(());
        }
    }

    /// Takes in an event; gives the objects that refer to a source whose content changed.
    fn observe(&self, kind: &str, event: &Event<DynamicObject>) -> HashSet<ObjectRef<K>> {
        let key = |object: &DynamicObject| SourceKey {
            kind: kind.to_owned(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        };
        let Some(resource) = resource(kind) else { return HashSet::new() };
        let mut state = self.lock();
        let artifacts = state.artifacts.entry(kind.to_owned()).or_default();
        let tells = self.options.tells_readiness;
        let changed = artifacts.observe(event, |object| (key(object), Known::of(object, &resource, tells)));
        changed.iter().flat_map(|source| state.referrers.of(source)).cloned().collect()
    }

    /// Takes in what an object refers to.
    pub fn refer(&self, object: &ObjectRef<K>, sources: Vec<SourceKey>) {
        self.lock().referrers.set(object, sources);
    }

    /// An object is gone.
    pub fn forget(&self, object: &ObjectRef<K>) {
        self.lock().referrers.set(object, Vec::new());
    }

    /// The objects that refer to a source.
    pub fn referrers(&self, source: &SourceKey) -> Vec<ObjectRef<K>> {
        self.lock().referrers.of(source).cloned().collect()
    }

    /// A source. What no watch has seen is asked for.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn get(&self, key: &SourceKey) -> Result<Known, SourceError> {
        if let Some(known) = self.known(key).filter(|_| !self.options.direct) {
            return Ok(known);
        }
        let (object, resource) = self.read_with_resource(key).await?;
        Ok(Known::of(&object, &resource, self.options.tells_readiness))
    }

    /// A source that is ready and has an artifact, as its watch shows it, unless sources are always asked for.
    pub fn ready(&self, key: &SourceKey) -> Option<Known> {
        let known = self.known(key).filter(|_| !self.options.direct)?;
        (known.is_ready == Some(true) && known.artifact.is_some()).then_some(known)
    }

    /// A source as a whole, which is asked for.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn read(&self, key: &SourceKey) -> Result<DynamicObject, SourceError> {
        Ok(self.read_with_resource(key).await?.0)
    }

    async fn read_with_resource(&self, key: &SourceKey) -> Result<(DynamicObject, ApiResource), SourceError> {
        let is_allowed = self.options.kinds.contains(&key.kind.as_str());
        let Some(resource) = resource(&key.kind).filter(|_| is_allowed) else {
            return Err(SourceError::Kind { kind: key.kind.clone(), name: key.name.clone() });
        };
        if check_name(&key.namespace).is_err() {
            return Err(SourceError::NotFound(key.clone()));
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.namespace, &resource);
        match get(&api, &key.name).await {
            Ok(object) => Ok((object, resource)),
            Err(GetError::Name(_)) => Err(SourceError::NotFound(key.clone())),
            Err(error) if error.is_not_found() => Err(SourceError::NotFound(key.clone())),
            Err(source) => {
                Err(SourceError::Get { namespace: key.namespace.clone(), name: key.name.clone(), source })
            }
        }
    }

    /// Waits until a source has another artifact than this, as a watch shows it.
    pub async fn has_other_than(&self, key: &SourceKey, content: &Content) {
        let mut changed = self.changed.subscribe();
        let is_same = || {
            let known = self.known(key).and_then(|known| known.artifact);
            known.is_none_or(|artifact| Content::of(&artifact) == *content)
        };
        while is_same() {
            // The sender is in here.
            let _ = changed.changed().await;
        }
    }

    fn known(&self, key: &SourceKey) -> Option<Known> {
        self.lock().artifacts.get(&key.kind)?.get(key).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn artifact(object: &DynamicObject) -> Option<Artifact> {
    let artifact = object.data.get("status")?.get("artifact")?;
    serde_json::from_value(artifact.clone()).ok()
}

fn is_ready(object: &DynamicObject) -> bool {
    let Some(status) = object.data.get("status") else { return false };
    let conditions = status.get("conditions").and_then(serde_json::Value::as_array).into_iter().flatten();
    let text = |condition: &serde_json::Value, field| condition.get(field)?.as_str().map(str::to_owned);
    let observed = status.get("observedGeneration").and_then(serde_json::Value::as_i64);
    observed == object.metadata.generation
        && conditions.into_iter().any(|condition| {
            text(condition, "type").as_deref() == Some("Ready")
                && text(condition, "status").as_deref() == Some("True")
        })
}

fn resource(kind: &str) -> Option<ApiResource> {
    let (kind, plural) = KINDS.into_iter().find(|(k, _)| *k == kind)?;
    Some(ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", kind), plural))
}

/// Whether a watch fails because its kind is not installed.
pub fn is_absent_kind(error: &watcher::Error) -> bool {
    let inner = match error {
        watcher::Error::InitialListFailed(inner) | watcher::Error::WatchStartFailed(inner) => inner,
        _ => return false,
    };
    matches!(inner, kube::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use api::Kustomization;

    use super::*;

    fn app() -> ObjectRef<Kustomization> {
        ObjectRef::new("app").within("ns")
    }

    fn key(name: &str) -> SourceKey {
        SourceKey { kind: "GitRepository".into(), namespace: "ns".into(), name: name.into() }
    }

    /// A source with an artifact of this revision and digest at this URL.
    fn source(name: &str, artifact: Option<(&str, &str, &str)>) -> Event<DynamicObject> {
        let resource = resource("GitRepository").unwrap();
        let mut object = DynamicObject::new(name, &resource).within("ns");
        if let Some((revision, digest, url)) = artifact {
            let artifact = Artifact {
                revision: revision.into(),
                digest: digest.into(),
                url: url.into(),
                ..Artifact::default()
            };
            object.data = serde_json::json!({"status": {"artifact": artifact}});
        }
        Event::Apply(object)
    }

    fn sources() -> Sources<Kustomization> {
        let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no server"))
        });
        let options = Options { kinds: vec!["GitRepository"], ..Options::default() };
        Sources::new(Client::new(nobody, "default"), options)
    }

    #[tokio::test]
    async fn another_revision_or_digest_is_a_change_and_another_url_is_none() {
        let sources = sources();
        sources.refer(&app(), vec![key("a")]);
        let woken = |event| sources.observe("GitRepository", &event).len();
        assert_eq!(woken(source("a", None)), 1, "it appeared");
        assert_eq!(woken(source("a", None)), 0);
        assert_eq!(woken(source("a", Some(("r1", "d1", "u")))), 1);
        assert_eq!(woken(source("a", Some(("r1", "d2", "u")))), 1, "other content of the revision");
        assert_eq!(woken(source("a", Some(("r2", "d2", "u")))), 1);
        assert_eq!(woken(source("a", Some(("r2", "d2", "v")))), 0);
        let known = sources.get(&key("a")).await.unwrap().artifact.unwrap();
        assert_eq!(known.url, "v", "the URL is the last one all the same");
    }

    #[tokio::test]
    async fn only_what_its_watch_shows_to_be_ready_at_its_generation_is_ready() {
        let ready = |direct, generation, status: serde_json::Value| {
            let options = Options { tells_readiness: true, direct, ..sources().options };
            let sources = Sources { options, ..sources() };
            let Event::Apply(mut object) = source("a", None) else { panic!("an event with an object") };
            object.metadata.generation = Some(generation);
            object.data = serde_json::json!({"status": status});
            sources.observe("GitRepository", &Event::Apply(object));
            sources.ready(&key("a")).is_some()
        };
        let artifact = serde_json::to_value(Artifact::default()).unwrap();
        let status = |ready: &str| serde_json::json!({"observedGeneration": 1, "artifact": artifact, "conditions": [{"type": "Ready", "status": ready}]});
        assert!(ready(false, 1, status("True")));
        assert!(!ready(false, 2, status("True")) && !ready(false, 1, status("False")));
        assert!(!ready(true, 1, status("True")), "it is always asked for");
        let mut without = status("True");
        without.as_object_mut().unwrap().remove("artifact");
        assert!(!ready(false, 1, without));
    }

    #[tokio::test]
    async fn a_source_is_referred_to_by_its_kind_though_a_list_does_not_name_it() {
        let sources = sources();
        let Event::Apply(mut object) = source("a", None) else { panic!("an event with an object") };
        object.types = None;
        object.metadata.resource_version = Some("7".into());
        sources.observe("GitRepository", &Event::InitApply(object.clone()));
        sources.observe("GitRepository", &Event::Apply(object));
        let known = sources.get(&key("a")).await.unwrap().source;
        assert_eq!(known.kind.as_deref(), Some("GitRepository"));
        assert_eq!(known.api_version.as_deref(), Some("source.toolkit.fluxcd.io/v1"));
        assert_eq!((known.name.as_deref(), known.resource_version.as_deref()), (Some("a"), Some("7")));
    }

    #[tokio::test]
    async fn a_change_wakes_those_that_refer_to_the_source_and_no_others() {
        let sources = sources();
        sources.refer(&app(), vec![key("a")]);
        let woken = |event| sources.observe("GitRepository", &event);
        assert!(woken(source("b", None)).is_empty());
        assert_eq!(woken(source("a", None)), HashSet::from([app()]));
        sources.refer(&app(), vec![key("b")]);
        assert!(woken(source("a", Some(("r1", "d1", "u")))).is_empty());
        assert_eq!(sources.referrers(&key("b")), [app()]);
        sources.forget(&app());
        assert!(sources.referrers(&key("b")).is_empty());
    }

    #[tokio::test]
    async fn a_kind_that_may_not_be_referred_to_is_not_supported() {
        let chart = SourceKey { kind: "HelmChart".into(), ..key("a") };
        let error = sources().get(&chart).await.unwrap_err().to_string();
        assert_eq!(error, "source `a` kind 'HelmChart' not supported");
    }
}
