//! One pass over one generator.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ::artifact_generator::{Limits, ObservedSource, Tree, check, sources_digest};
use api::artifact_generator::reasons::{RECONCILIATION_DISABLED, VALIDATION_FAILED};
use api::artifact_generator::{ExternalArtifactReference, FINALIZER};
use api::meta::reasons::ACCESS_DENIED;
use api::source::OCI_REVISION_METADATA;
use api::{Artifact, ArtifactGenerator};
use artifact::cache::CacheError;
use budget::Request;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use net::Deadline;
use runtime::backoff::jitter;
use runtime::conditions::READY;
use runtime::controller::{Outcome, give_up_turn};
use runtime::error::chain;
use runtime::events::{Event, Severity, action};
use runtime::patch::{self, PatchError};
use source::blocking::{self, BlockingError};
use source::storage::{ObjectStorage, Verdict};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::NAME;
use crate::context::Context;
use crate::flags::source_keys;
use crate::generated::Desired;
use crate::production::{Job, Made, ProduceError, Produced, produce};
use crate::status::{self, Class, Failure};

/// When a generator is looked at though nothing happened.
const INTERVAL: Duration = Duration::from_secs(3600);
/// How long a pass goes on before others get its turn, and its status tells of it.
const PROGRESS_DELAY: Duration = Duration::from_millis(500);
/// How long a look at the storage may take.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a source that was had a moment ago may take to be had again.
const HELD_FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// The kind of what is generated.
const EXTERNAL_ARTIFACT: &str = "ExternalArtifact";

/// What is remembered of a generator between passes. It only saves work.
#[derive(Default)]
pub struct Memory {
    /// What was made last.
    pub made: HashMap<String, Made>,
    /// What was published last.
    pub published: HashMap<String, Desired>,
}

/// One pass.
pub struct Pass<'a> {
    pub context: &'a Context,
    pub memory: &'a mut Memory,
    /// Cancelled when the object is another one than this pass works on.
    superseded: CancellationToken,
    /// The object as the API server has it.
    before: ArtifactGenerator,
    /// The object as it will be written.
    object: ArtifactGenerator,
}

/// Why a pass was not gone through with.
#[derive(Debug)]
enum Interrupted {
    Failure(Failure),
    /// The status could not be written.
    Patch(PatchError),
    /// The process stops, or the object is another one by now, which has a pass of its own.
    Stopped,
}

impl From<Failure> for Interrupted {
    fn from(failure: Failure) -> Self {
        Interrupted::Failure(failure)
    }
}

impl From<PatchError> for Interrupted {
    fn from(error: PatchError) -> Self {
        Interrupted::Patch(error)
    }
}

type Observed = HashMap<String, ObservedSource>;

impl<'a> Pass<'a> {
    /// A pass over an object as it was last seen.
    pub fn new(
        context: &'a Context,
        memory: &'a mut Memory,
        object: &ArtifactGenerator,
        superseded: CancellationToken,
    ) -> Self {
        Pass { context, memory, superseded, before: object.clone(), object: object.clone() }
    }

    /// Does what the object asks for.
    ///
    /// # Errors
    /// When its status cannot be written.
    pub async fn run(&mut self) -> Result<Outcome, PatchError> {
        if self.object.metadata.deletion_timestamp.is_some() {
            return self.finalize().await;
        }
        if !self.object.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
            let written = patch::finalizer(&self.api(), &self.object, FINALIZER, true, NAME).await?;
            (self.before, self.object) = (written.clone(), written);
            if status::is_disabled(&self.object) {
                status::initialized_disabled(&mut self.object, Timestamp::now());
            }
        }
        if status::is_disabled(&self.object) {
            tracing::info!("Reconciliation is disabled");
            let message = "Reconciliation is disabled".to_owned();
            self.record(Severity::Trace, action::RECONCILE, RECONCILIATION_DISABLED, message);
            return self.finish(Outcome::Wait).await;
        }
        match self.reconcile().await {
            Ok(()) => self.finish(Outcome::After(jitter(INTERVAL, self.context.jitter))).await,
            Err(Interrupted::Stopped) => Ok(Outcome::Wait),
            Err(Interrupted::Patch(error)) => Err(error),
            Err(Interrupted::Failure(failure)) => self.fail(failure).await,
        }
    }

    async fn fail(&mut self, failure: Failure) -> Result<Outcome, PatchError> {
        status::failed(&mut self.object, &failure, Timestamp::now());
        self.record(Severity::Error, action::RECONCILE, failure.reason, failure.message.clone());
        let outcome = match failure.class {
            Class::Stalling => Outcome::Wait,
            Class::Waiting => {
                tracing::error!("{failure}, retrying");
                Outcome::After(self.context.requeue_dependency)
            }
            Class::Retried => Outcome::Failed(Box::new(failure)),
        };
        self.finish(outcome).await
    }

    async fn finish(&mut self, outcome: Outcome) -> Result<Outcome, PatchError> {
        status::handled(&mut self.object);
        self.write().await?;
        Ok(outcome)
    }

    async fn write(&mut self) -> Result<(), PatchError> {
        let written = patch::status(&self.api(), &self.before, &self.object, &status::OWNED, NAME).await?;
        self.context.latest.wrote(written.clone());
        self.before = written.clone();
        self.object.metadata.resource_version = written.metadata.resource_version;
        Ok(())
    }

    async fn reconcile(&mut self) -> Result<(), Interrupted> {
        check(&self.object, &Limits::default())
            .map_err(|error| Failure::stalling(VALIDATION_FAILED, error.to_string()))?;
        if let Some(denied) = self.context.arguments.denied(&self.object) {
            return Err(Failure::stalling(ACCESS_DENIED, denied).into());
        }
        let observed = self.observe().await?;
        let digest = sources_digest(observed.iter().map(|(alias, source)| (alias.as_str(), source)));
        let drift = match status::drift(&self.object, &digest) {
            Some(drift) => Some(drift),
            None => self.drift_of_artifacts().await?,
        };
        let Some(drift) = drift else {
            let message = format!("No drift detected, {} artifact(s) up to date", self.inventory().len());
            tracing::info!("{message}");
            self.record(Severity::Trace, action::RECONCILE, READY, message);
            return Ok(());
        };
        tracing::info!(reason = drift, "Reconciliation in progress");
        self.collect_garbage().await?;
        let inventory = self.produce(observed).await?;
        self.remove_orphans(&inventory).await?;
        self.succeed(inventory, digest);
        Ok(())
    }

    /// The artifacts of all sources; the first one that has none is a failure.
    async fn observe(&self) -> Result<Observed, Failure> {
        let mut observed = HashMap::new();
        for (alias, key) in source_keys(&self.object) {
            let known = self.context.sources.get(&key).await;
            let known =
                known.map_err(|error| Failure::source(format!("get sources failed: {}", chain(&error))))?;
            let Some(Artifact { digest, revision, url, metadata, .. }) = known.artifact else {
                return Err(Failure::source(format!("get sources failed: source '{key}' is not ready")));
            };
            let origin_revision = metadata.get(OCI_REVISION_METADATA).cloned();
            observed.insert(alias, ObservedSource { digest, revision, url, origin_revision });
        }
        Ok(observed)
    }

    /// What tells that an artifact or its object is not as it was left.
    async fn drift_of_artifacts(&mut self) -> Result<Option<&'static str>, Interrupted> {
        let entries: Vec<_> = self.inventory().to_vec();
        let files: Vec<_> = entries
            .iter()
            .map(|entry| {
                let (digest, path) = (entry.digest.clone(), self.path(entry));
                (self.storage(&entry.name), Artifact { digest, path, ..Artifact::default() })
            })
            .collect();
        let stored = self.blocking(STORAGE_TIMEOUT, move |deadline| {
            for (storage, artifact) in files {
                if deadline.is_cancelled() {
                    break;
                }
                match storage.inspect(&artifact).1 {
                    Verdict::Good => {}
                    Verdict::Missing => return Ok(Some("ArtifactMissing")),
                    Verdict::Damaged(..) => return Ok(Some("ArtifactCorrupted")),
                    Verdict::Outdated => return Ok(Some("ArtifactOutdated")),
                    Verdict::Unknown(error) => {
                        return Err(Failure::build(format!("failed to verify artifacts: {}", chain(&error))));
                    }
                }
            }
            Ok(None)
        });
        if let Some(drift) = stored.await? {
            return Ok(Some(drift));
        }
        self.context.generated.listed().await;
        let is_intact = |entry: &ExternalArtifactReference| {
            let expected = self.memory.published.get(&entry.name);
            self.context.generated.is_intact(&self.object, &entry.name, expected, &entry.digest)
        };
        Ok((!entries.iter().all(is_intact)).then_some("ExternalArtifactsChanged"))
    }

    /// Removes what was stored before the artifacts that are published. Those stay: somebody may be about to read them.
    async fn collect_garbage(&self) -> Result<(), Interrupted> {
        let paths: Vec<_> = self.inventory().iter().map(|entry| self.path(entry)).collect();
        let storage = self.context.storage.clone();
        self.blocking(STORAGE_TIMEOUT, move |_| {
            for path in paths {
                // What cannot be collected now will be the next time.
                let _ = storage.collect_garbage(&path);
            }
            Ok(())
        })
        .await
    }

    /// Makes and publishes all artifacts. Where that takes long, others get the turn of this pass, and the status says so.
    async fn produce(&mut self, observed: Observed) -> Result<Vec<ExternalArtifactReference>, Interrupted> {
        let (context, object) = (self.context, self.object.clone());
        let mut memory = std::mem::take(self.memory);
        let produced = {
            let work = Production { context, object: &object, memory: &mut memory }.run(observed);
            let superseded = self.superseded.clone();
            let work =
                async { superseded.run_until_cancelled(work).await.unwrap_or(Err(Interrupted::Stopped)) };
            let mut work =
                std::pin::pin!(tokio::time::timeout(context.arguments.reconciliation_timeout, work));
            match tokio::time::timeout(PROGRESS_DELAY, &mut work).await {
                Ok(produced) => Ok(produced),
                Err(_) => {
                    give_up_turn();
                    status::progressing(&mut self.object, Timestamp::now());
                    match self.write().await {
                        Ok(()) => Ok(work.await),
                        Err(error) => Err(error),
                    }
                }
            }
        };
        *self.memory = memory;
        produced?.unwrap_or_else(|_| {
            Err(Failure::build("it took too long: see --reconciliation-timeout".to_owned()).into())
        })
    }

    /// Removes what the inventory has and the generator does not produce any more.
    async fn remove_orphans(&mut self, inventory: &[ExternalArtifactReference]) -> Result<(), Interrupted> {
        let wanted: HashSet<_> = inventory.iter().map(|entry| entry.name.as_str()).collect();
        let orphans: Vec<_> =
            self.inventory().iter().filter(|entry| !wanted.contains(entry.name.as_str())).cloned().collect();
        for orphan in orphans {
            self.remove(&orphan).await?;
        }
        Ok(())
    }

    /// Removes an ExternalArtifact and what is stored for it.
    async fn remove(&mut self, entry: &ExternalArtifactReference) -> Result<(), Interrupted> {
        // A status can be edited: nothing of another namespace is ever ours.
        if Some(&entry.namespace) != self.object.metadata.namespace.as_ref() {
            return Ok(());
        }
        self.memory.made.remove(&entry.name);
        self.memory.published.remove(&entry.name);
        let deleted = self.context.generated.delete(&self.object, &entry.name).await;
        let failed = |why: String| Failure::publish(format!("{} reconcile failed: {why}", entry.name));
        if !deleted.map_err(|error| failed(chain(&error)))? {
            return Ok(());
        }
        let (storage, name) = (self.storage(&entry.name), entry.name.clone());
        self.blocking(STORAGE_TIMEOUT, move |_| {
            storage
                .clear()
                .map(drop)
                .map_err(|error| Failure::publish(format!("{name} reconcile failed: {}", chain(&error))))
        })
        .await
    }

    fn succeed(&mut self, inventory: Vec<ExternalArtifactReference>, digest: String) {
        let before: HashSet<_> =
            self.inventory().iter().map(|entry| (entry.name.clone(), entry.digest.clone())).collect();
        let news: Vec<_> = inventory
            .iter()
            .filter(|entry| !before.contains(&(entry.name.clone(), entry.digest.clone())))
            .map(|entry| format!("{}/{} ({})", entry.namespace, entry.name, entry.digest))
            .collect();
        let count = inventory.len();
        let status = self.object.status.get_or_insert_default();
        status.inventory = inventory;
        status.observed_sources_digest = Some(digest);
        status::succeeded(&mut self.object, count, Timestamp::now());
        self.record(Severity::Trace, action::RECONCILE, READY, status::success_message(count));
        if !news.is_empty() {
            let message = format!("external artifacts reconciled: {}", news.join("\n"));
            self.record(Severity::Info, action::RECONCILE, READY, message);
        }
    }

    /// Removes all that was generated, then lets the object go.
    async fn finalize(&mut self) -> Result<Outcome, PatchError> {
        if !self.object.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(Outcome::Wait);
        }
        for entry in self.inventory().to_vec() {
            match self.remove(&entry).await {
                Ok(()) => {}
                Err(Interrupted::Stopped) => return Ok(Outcome::Wait),
                Err(Interrupted::Patch(error)) => return Err(error),
                Err(Interrupted::Failure(failure)) => {
                    let message = failure.message.clone();
                    self.record(Severity::Error, action::FINALIZE, failure.reason, message);
                    return Ok(Outcome::Failed(Box::new(failure)));
                }
            }
        }
        match patch::finalizer(&self.api(), &self.object, FINALIZER, false, NAME).await {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Outcome::Wait),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Deadline) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Interrupted> {
        blocking(self.context, limit, work).await
    }

    fn inventory(&self) -> &[ExternalArtifactReference] {
        self.object.status.as_ref().map(|status| status.inventory.as_slice()).unwrap_or_default()
    }

    /// Where the artifact of an entry is stored.
    fn path(&self, entry: &ExternalArtifactReference) -> String {
        self.storage(&entry.name).path(entry.filename.trim_end_matches(".tar.gz"))
    }

    fn storage(&self, name: &str) -> ObjectStorage {
        let namespace = self.object.namespace().unwrap_or_default();
        ObjectStorage::new(self.context.storage.clone(), EXTERNAL_ARTIFACT, &namespace, name)
    }

    fn api(&self) -> Api<ArtifactGenerator> {
        Api::namespaced(self.context.client.clone(), &self.object.namespace().unwrap_or_default())
    }

    fn record(&self, severity: Severity, action: &'static str, reason: &str, message: String) {
        self.context.events.record(Event::new(&self.object, severity, action, reason, message));
    }
}

/// Work that blocks, on a thread of its own.
async fn blocking<T: Send + 'static>(
    context: &Context,
    limit: Duration,
    work: impl FnOnce(&Deadline) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Interrupted> {
    match blocking::run(Deadline::new(limit), Some(limit), &context.stop, work).await {
        Ok(done) => Ok(done?),
        Err(BlockingError::Stopped) => Err(Interrupted::Stopped),
        Err(error @ BlockingError::Panicked(_)) => Err(Failure::build(error.to_string()).into()),
    }
}

/// The artifacts of a generator from its sources to the cluster.
struct Production<'a> {
    context: &'a Context,
    object: &'a ArtifactGenerator,
    memory: &'a mut Memory,
}

impl Production<'_> {
    async fn run(self, observed: Observed) -> Result<Vec<ExternalArtifactReference>, Interrupted> {
        let context = self.context;
        let namespace = self.object.namespace().unwrap_or_default();
        // Downloads hold up nobody: what they bring is kept for a while.
        for source in observed.values() {
            self.fetch(source, &namespace).await?;
        }
        let _build = context.builds.acquire(Request::new(namespace.clone(), 1)).await;
        // Who holds one source and waits for another one could wait for somebody who does the same.
        let _several = match observed.len() {
            0 | 1 => None,
            _ => Some(context.several.acquire(Request::new(namespace.clone(), 1)).await),
        };
        let mut trees = HashMap::new();
        for (alias, source) in &observed {
            let held = tokio::time::timeout(HELD_FETCH_TIMEOUT, self.fetch(source, &namespace)).await;
            let slow =
                |_| Failure::source(format!("fetch sources failed: no answer in {HELD_FETCH_TIMEOUT:?}"));
            trees.insert(alias.clone(), held.map_err(slow)??);
        }
        let job = Job {
            object: self.object.clone(),
            trees,
            observed,
            made: self.memory.made.clone(),
            storage: context.storage.clone(),
            limits: Limits::default(),
        };
        let (sender, finished) = mpsc::channel(1);
        let limit = context.arguments.reconciliation_timeout;
        let made = blocking(context, limit, move |deadline| {
            produce(&job, &sender, deadline).map_err(|error| match error {
                ProduceError::Expand(_) => {
                    Failure { class: Class::Stalling, ..Failure::build(error.to_string()) }
                }
                ProduceError::Build { .. } => Failure::build(error.to_string()),
            })
        });
        let (made, published) = tokio::join!(made, self.publish(finished));
        let inventory = published?;
        made?;
        Ok(inventory)
    }

    async fn fetch(&self, source: &ObservedSource, namespace: &str) -> Result<Arc<Tree>, Failure> {
        let fetched = self.context.trees.get(&source.url, &source.digest, namespace).await;
        fetched
            .map_err(|error: CacheError| Failure::source(format!("fetch sources failed: {}", chain(&error))))
    }

    /// Publishes what is made, as it comes.
    async fn publish(
        self,
        mut finished: mpsc::Receiver<Produced>,
    ) -> Result<Vec<ExternalArtifactReference>, Failure> {
        let Production { context, object, memory } = self;
        let (generator, common) = (ObjectRef::from_obj(object), object.spec.common_metadata.clone());
        let (common, mut inventory) = (common.unwrap_or_default(), Vec::new());
        let is_alive =
            |uid: &str| context.store.state().iter().any(|other| other.metadata.uid.as_deref() == Some(uid));
        while let Some(Produced { output, made, artifact }) = finished.recv().await {
            let name = output.artifact.name;
            let mut labels = common.labels.clone();
            labels.extend(output.labels);
            let entry = ExternalArtifactReference {
                name: name.clone(),
                namespace: object.namespace().unwrap_or_default(),
                digest: artifact.digest.clone(),
                filename: artifact.path.rsplit('/').next().unwrap_or_default().to_owned(),
            };
            let annotations = common.annotations.clone();
            let mut desired = Desired { name: name.clone(), labels, annotations, artifact };
            let former = memory.published.remove(&name);
            let published = context.generated.publish(object, &mut desired, former.as_ref(), is_alive).await;
            published
                .map_err(|error| Failure::publish(format!("{name} reconcile failed: {}", chain(&error))))?;
            memory.published.insert(name.clone(), desired);
            memory.made.insert(name, made);
            inventory.push(entry);
        }
        context.generated.belong(&generator, inventory.iter().map(|entry| entry.name.clone()));
        Ok(inventory)
    }
}

#[cfg(test)]
mod tests {
    use api::ExternalArtifact;
    use kube::Resource;

    use super::*;

    #[test]
    fn the_kind_of_what_is_generated_is_its_own() {
        assert_eq!(ExternalArtifact::kind(&()), EXTERNAL_ARTIFACT);
    }
}
