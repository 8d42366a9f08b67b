//! One pass over one generator.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ::artifact_generator::{Limits, ObservedSource, check, sources_digest};
use api::artifact_generator::reasons::{RECONCILIATION_DISABLED, VALIDATION_FAILED};
use api::artifact_generator::{ExternalArtifactReference, FINALIZER};
use api::meta::reasons::ACCESS_DENIED;
use api::source::OCI_REVISION_METADATA;
use api::{Artifact, ArtifactGenerator};
use jiff::Timestamp;
use kube::{Api, ResourceExt};
use net::Deadline;
use runtime::backoff::jitter;
use runtime::conditions::READY;
use runtime::controller::{Outcome, give_up_turn};
use runtime::error::chain;
use runtime::events::{Event, Severity, action};
use runtime::patch::{self, PatchError};
use source::storage::{ObjectStorage, Verdict};
use tokio_util::sync::CancellationToken;

use crate::NAME;
use crate::context::Context;
use crate::flags::source_keys;
use crate::production::{Interrupted, Memory, Observed, Production, blocking};
use crate::status::{self, Class, Failure};

/// When a generator is looked at though nothing happened.
const INTERVAL: Duration = Duration::from_secs(3600);
/// How long a pass goes on before others get its turn, and its status tells of it.
const PROGRESS_DELAY: Duration = Duration::from_millis(500);
/// How long a look at the storage may take.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(300);
/// The kind of what is generated.
const EXTERNAL_ARTIFACT: &str = "ExternalArtifact";

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

    /// Removes what was stored before the artifacts that are published. Those stay: somebody may be about to read them. A pass
    /// that was broken off may have published some that the inventory lacks.
    async fn collect_garbage(&self) -> Result<(), Interrupted> {
        let generated = &self.context.generated;
        generated.listed().await;
        let paths: Vec<_> = self
            .inventory()
            .iter()
            .map(|entry| match generated.offered(&self.object, &entry.name) {
                Some(offered) => self.path(&offered),
                None => self.path(entry),
            })
            .collect();
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
