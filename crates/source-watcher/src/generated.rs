//! The ExternalArtifacts of generators: what the watch knows of them, and how they are written.
//!
//! Whatever somebody else does to one wakes its generator. What is as it should be is not written again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::artifact_generator::{self, ExternalArtifactReference, GENERATOR_LABEL};
use api::external_artifact::{ExternalArtifactStatus, ProducerReference};
use api::meta::is_older_version;
use api::meta::reasons::SUCCEEDED;
use api::{Artifact, ArtifactGenerator, Condition, ConditionStatus, source};
use futures::StreamExt;
use jiff::Timestamp;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::GroupVersionKind;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use references::sources::{EXTERNAL_ARTIFACT, is_absent_kind};
use runtime::conditions::{READY, rfc3339};
use runtime::controller::Waker;
use runtime::index::{Index, Referrers};
use runtime::metrics::Metrics;
use runtime::watch::reported;
use serde_json::json;
use tokio::sync::watch;

use crate::NAME;

/// Label that says which program keeps an object.
const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// What a generated object says of itself.
const READY_MESSAGE: &str = "Artifact is ready";

/// How long a pass waits for the first list of objects.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// Namespace and name of an ExternalArtifact.
type Key = (String, String);

/// Why an ExternalArtifact is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It is another generator's.
    #[error("the ExternalArtifact belongs to another ArtifactGenerator, with the uid {0}")]
    Foreign(String),
    /// The object could not be written.
    #[error("failed to apply ExternalArtifact")]
    Apply(#[source] kube::Error),
    /// Its status could not be written.
    #[error("failed to patch ExternalArtifact status")]
    Status(#[source] kube::Error),
    /// It could not be read or deleted.
    #[error("failed to delete ExternalArtifact")]
    Delete(#[source] kube::Error),
}

/// What an ExternalArtifact shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Its name.
    pub name: String,
    /// Its labels, without those of the controller.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The artifact.
    pub artifact: Artifact,
}

/// What is known of an ExternalArtifact.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    uid: Option<String>,
    generation: Option<i64>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    source: Option<ProducerReference>,
    status: ExternalArtifactStatus,
}

/// The ExternalArtifacts that say that they are generated. Clones share them.
#[derive(Clone)]
pub struct Generated {
    client: Client,
    resource: ApiResource,
    state: Arc<Mutex<State>>,
    /// Becomes true when the first list is complete.
    listed: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    objects: Index<Key, Known>,
    generators: Referrers<ObjectRef<ArtifactGenerator>, Key>,
    /// The versions of our own last writes that the watch has not come to yet.
    written: HashMap<Key, String>,
}

impl State {
    /// Takes in an event of the watch. Gives the objects that are not as they were known to be.
    fn observe(&mut self, event: &Event<DynamicObject>) -> Vec<Key> {
        match event {
            // A list is believed: a cluster that was restored counts from an older version on.
            Event::Init => self.written.clear(),
            Event::Apply(object) | Event::Delete(object) => {
                let (key, version) = (key(object), object.resource_version().unwrap_or_default());
                if let Some(ours) = self.written.get(&key) {
                    if is_older_version(&version, ours) {
                        return Vec::new();
                    }
                    self.written.remove(&key);
                }
            }
            Event::InitApply(_) | Event::InitDone => {}
        }
        self.objects.observe(event, |object| (key(object), Known::of(object)))
    }

    /// Takes in the answer to a write, so that the watch has no news in it, nor in what it tells from before.
    fn wrote(&mut self, object: &DynamicObject) -> Known {
        let (key, known) = (key(object), Known::of(object));
        self.written.insert(key.clone(), object.resource_version().unwrap_or_default());
        self.objects.put(key, known.clone());
        known
    }
}

impl Known {
    fn of(object: &DynamicObject) -> Self {
        let decoded = |pointer: &str| object.data.pointer(pointer).cloned();
        let source = decoded("/spec/sourceRef").and_then(|value| serde_json::from_value(value).ok());
        let status = decoded("/status").and_then(|value| serde_json::from_value(value).ok());
        Known {
            uid: object.uid(),
            generation: object.metadata.generation,
            labels: object.labels().clone(),
            annotations: object.annotations().clone(),
            source,
            status: status.unwrap_or_default(),
        }
    }

    fn generator(&self) -> Option<&str> {
        self.labels.get(GENERATOR_LABEL).map(String::as_str)
    }

    /// Whether the artifact is published as it should be, and nothing else is said of it.
    fn has_status(&self, artifact: &Artifact) -> bool {
        let [ready] = self.status.conditions.as_slice() else { return false };
        let said = (ready.type_.as_str(), ready.status, ready.reason.as_str(), ready.message.as_str());
        self.status.artifact.as_ref() == Some(artifact)
            && said == (READY, ConditionStatus::True, SUCCEEDED, READY_MESSAGE)
            && ready.observed_generation == self.generation
    }
}

impl Generated {
    /// Nothing known yet; see [`Self::watch`].
    pub fn new(client: Client) -> Self {
        let kind = GroupVersionKind::gvk(source::GROUP, "v1", EXTERNAL_ARTIFACT);
        let resource = ApiResource::from_gvk_with_plural(&kind, "externalartifacts");
        Self { client, resource, state: Arc::default(), listed: watch::Sender::new(false) }
    }

    /// Follows the objects for ever, and wakes the generators of those that somebody else changed.
    pub async fn watch(self, namespace: Option<String>, waker: Waker<ArtifactGenerator>, metrics: Metrics) {
        let mut events = reported(&self.client, EXTERNAL_ARTIFACT, &metrics, is_absent_kind, |client| {
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(client, &namespace, &self.resource),
                None => Api::all_with(client, &self.resource),
            };
            watcher(api, watcher::Config::default().labels(GENERATOR_LABEL)).default_backoff()
        });
        while let Some(event) = events.next().await {
            let Ok(event) = event else { continue };
            let is_list = matches!(event, Event::InitDone);
            let mut state = self.lock();
            let changed = state.observe(&event);
            changed
                .iter()
                .flat_map(|key| state.generators.of(key))
                .cloned()
                .for_each(|generator| waker.wake(generator));
            if is_list {
                self.listed.send_replace(true);
            }
        }
    }

    /// Waits for the first list, for a while: an object that was not listed yet is not missing.
    pub async fn listed(&self) {
        let mut listed = self.listed.subscribe();
        let _ = tokio::time::timeout(LIST_TIMEOUT, listed.wait_for(|is_listed| *is_listed)).await;
    }

    /// Takes in which objects a generator has.
    pub fn belong(&self, generator: &ObjectRef<ArtifactGenerator>, names: impl IntoIterator<Item = String>) {
        let namespace = generator.namespace.clone().unwrap_or_default();
        let keys = names.into_iter().map(|name| (namespace.clone(), name)).collect();
        self.lock().generators.set(generator, keys);
    }

    /// Whether an object is there and says what was written last: `expected`, or an artifact with `digest` where that is not known.
    pub fn is_intact(
        &self,
        generator: &ArtifactGenerator,
        name: &str,
        expected: Option<&Desired>,
        digest: &str,
    ) -> bool {
        let namespace = generator.namespace().unwrap_or_default();
        let state = self.lock();
        let Some(known) = state.objects.get(&(namespace, name.to_owned())) else { return false };
        match expected {
            Some(expected) => {
                has_metadata(known, generator, expected) && known.has_status(&expected.artifact)
            }
            None => {
                known.generator() == generator.uid().as_deref()
                    && known.status.artifact.as_ref().is_some_and(|artifact| artifact.digest == digest)
            }
        }
    }

    /// What an object of the generator offers.
    pub fn offered(&self, generator: &ArtifactGenerator, name: &str) -> Option<ExternalArtifactReference> {
        let namespace = generator.namespace().unwrap_or_default();
        let state = self.lock();
        let known = state.objects.get(&(namespace.clone(), name.to_owned()))?;
        let artifact = known.status.artifact.as_ref()?;
        (known.generator() == generator.uid().as_deref())
            .then(|| ExternalArtifactReference::of(name, &namespace, artifact))
    }

    /// Brings an object to what it shall be; an artifact that it has already keeps its time. `former` is what this process wrote
    /// last. `is_alive` tells whether there is a generator with a uid.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(
        &self,
        generator: &ArtifactGenerator,
        desired: &mut Desired,
        former: Option<&Desired>,
        is_alive: impl Fn(&str) -> bool,
    ) -> Result<(), PublishError> {
        let namespace = generator.namespace().unwrap_or_default();
        let own = generator.uid().unwrap_or_default();
        let known = self.lock().objects.get(&(namespace.clone(), desired.name.clone())).cloned();
        if let Some(other) = known.as_ref().and_then(Known::generator).filter(|uid| *uid != own)
            && is_alive(other)
        {
            return Err(PublishError::Foreign(other.to_owned()));
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &namespace, &self.resource);
        let params = PatchParams::apply(NAME).force();
        // A label that is no longer wanted is only known from what was written before.
        let same_metadata = former.is_some_and(|former| {
            (&former.labels, &former.annotations) == (&desired.labels, &desired.annotations)
        });
        let known = match known.filter(|known| same_metadata && has_metadata(known, generator, desired)) {
            Some(known) => known,
            None => {
                let body = body(&self.resource, generator, desired);
                let written = api.patch(&desired.name, &params, &Patch::Apply(&body)).await;
                self.lock().wrote(&written.map_err(PublishError::Apply)?)
            }
        };
        if let Some(published) = &known.status.artifact
            && (&published.digest, &published.path) == (&desired.artifact.digest, &desired.artifact.path)
        {
            desired.artifact.last_update_time.clone_from(&published.last_update_time);
        }
        if known.has_status(&desired.artifact) {
            return Ok(());
        }
        let since = known
            .status
            .conditions
            .iter()
            .find(|condition| condition.type_ == READY && condition.status == ConditionStatus::True);
        let ready = Condition {
            type_: READY.to_owned(),
            status: ConditionStatus::True,
            observed_generation: known.generation,
            last_transition_time: since
                .map_or_else(|| rfc3339(Timestamp::now()), |ready| ready.last_transition_time.clone()),
            reason: SUCCEEDED.to_owned(),
            message: READY_MESSAGE.to_owned(),
        };
        let status = json!({
            "apiVersion": self.resource.api_version, "kind": self.resource.kind,
            "metadata": {"name": desired.name},
            "status": {"artifact": desired.artifact, "conditions": [ready]},
        });
        let written = api.patch_status(&desired.name, &params, &Patch::Apply(&status)).await;
        self.lock().wrote(&written.map_err(PublishError::Status)?);
        Ok(())
    }

    /// Deletes an object unless it is none of the generator's. Gives whether it may have been.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn delete(&self, generator: &ArtifactGenerator, name: &str) -> Result<bool, PublishError> {
        let namespace = generator.namespace().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &namespace, &self.resource);
        let live = match references::get(&api, name).await {
            Ok(live) => live,
            Err(references::GetError::Api(error)) if !is_not_found(&error) => {
                return Err(PublishError::Delete(*error));
            }
            Err(_) => return Ok(true),
        };
        if live.labels().get(GENERATOR_LABEL) != generator.uid().as_ref() {
            return Ok(false);
        }
        let preconditions = Some(Preconditions { uid: live.uid(), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match api.delete(name, &params).await {
            Err(error) if !is_not_found(&error) => Err(PublishError::Delete(error)),
            _ => Ok(true),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(object: &DynamicObject) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn labels(generator: &ArtifactGenerator, desired: &Desired) -> BTreeMap<String, String> {
    let mut labels = desired.labels.clone();
    labels.insert(MANAGED_BY_LABEL.to_owned(), NAME.to_owned());
    labels.insert(GENERATOR_LABEL.to_owned(), generator.uid().unwrap_or_default());
    labels
}

fn producer(generator: &ArtifactGenerator) -> ProducerReference {
    ProducerReference {
        api_version: Some(format!("{}/v1beta1", artifact_generator::GROUP)),
        kind: "ArtifactGenerator".to_owned(),
        name: generator.name_any(),
        namespace: generator.namespace(),
    }
}

fn has_metadata(known: &Known, generator: &ArtifactGenerator, desired: &Desired) -> bool {
    let has = |all: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>| {
        wanted.iter().all(|(name, value)| all.get(name) == Some(value))
    };
    has(&known.labels, &labels(generator, desired))
        && has(&known.annotations, &desired.annotations)
        && known.source == Some(producer(generator))
}

fn body(resource: &ApiResource, generator: &ArtifactGenerator, desired: &Desired) -> serde_json::Value {
    json!({
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": {
            "name": desired.name,
            "labels": labels(generator, desired),
            "annotations": desired.annotations,
        },
        "spec": {"sourceRef": producer(generator)},
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// An object in a version, with content that is told by a digest.
    fn object(version: &str, digest: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": "out", "namespace": "ns", "resourceVersion": version},
            "status": {"artifact": {"digest": digest}},
        }))
        .unwrap()
    }

    fn digest(state: &State) -> Option<String> {
        let known = state.objects.get(&("ns".to_owned(), "out".to_owned()))?;
        known.status.artifact.as_ref().map(|artifact| artifact.digest.clone())
    }

    /// How many objects an event changes, and what is known then.
    fn seen(state: &mut State, event: Event<DynamicObject>) -> (usize, Option<String>) {
        (state.observe(&event).len(), digest(state))
    }

    fn known(digest: &str) -> Option<String> {
        Some(digest.to_owned())
    }

    #[test]
    fn what_the_watch_tells_from_before_our_own_writes_is_no_news() {
        let mut state = State::default();
        assert_eq!(seen(&mut state, Event::Apply(object("7", "a"))), (1, known("a")));
        state.wrote(&object("8", "b"));
        state.wrote(&object("10", "c"));
        for event in
            [Event::Apply(object("8", "b")), Event::Delete(object("9", "b")), Event::Apply(object("10", "c"))]
        {
            assert_eq!(seen(&mut state, event), (0, known("c")));
        }
        assert_eq!(seen(&mut state, Event::Apply(object("11", "d"))), (1, known("d")));
        assert_eq!(seen(&mut state, Event::Delete(object("12", "d"))), (1, None));
    }

    #[test]
    fn a_list_is_believed_though_our_own_write_has_a_newer_version() {
        let mut state = State::default();
        state.wrote(&object("90", "b"));
        seen(&mut state, Event::Init);
        assert_eq!(seen(&mut state, Event::InitApply(object("5", "a"))), (0, known("a")));
        assert_eq!(seen(&mut state, Event::InitDone), (1, known("a")));
        assert_eq!(seen(&mut state, Event::Apply(object("6", "c"))), (1, known("c")));
    }
}
