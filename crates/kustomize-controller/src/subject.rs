//! One Kustomization during a pass: what the API server has, what we want it to say, and its settings as values.

use std::time::Duration;

use api::{
    Artifact, Kustomization,
    kustomize::{self as keys, reasons::RECONCILIATION_SUCCEEDED},
};
use apply::prepare::Owner;
use kube::{Api, Client, ResourceExt, runtime::reflector::ObjectRef};
use runtime::{
    events::{Event, Recorder, Severity},
    patch::{self, PatchError},
};

use crate::status;

/// `spec.timeout` is at least this, whatever the object says.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A Kustomization being worked on.
pub struct Subject {
    api: Api<Kustomization>,
    stored: Kustomization,
    written: bool,
    /// The object with our changes.
    pub object: Kustomization,
}

impl Subject {
    /// Starts from the object as it was last read.
    pub fn new(client: Client, object: Kustomization) -> Self {
        let api = Api::namespaced(client, &object.namespace().unwrap_or_default());
        Self { api, stored: object.clone(), written: false, object }
    }

    /// Namespace of the object.
    pub fn namespace(&self) -> &str {
        self.object.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Name of the object.
    pub fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// The owner that our labels name.
    pub fn owner(&self) -> Owner {
        Owner { namespace: self.namespace().to_owned(), name: self.name().to_owned() }
    }

    /// The object's key.
    pub fn reference(&self) -> ObjectRef<Kustomization> {
        ObjectRef::from_obj(&self.object)
    }

    /// Sends what changed in the status, if anything.
    pub async fn save(&mut self) -> Result<(), PatchError> {
        let manager = keys::STATUS_FIELD_MANAGER;
        let saved = patch::status(&self.api, &self.stored, &self.object, &status::OWNED, manager).await?;
        self.written |= saved.metadata.resource_version != self.stored.metadata.resource_version;
        self.stored = saved.clone();
        self.object = saved;
        Ok(())
    }

    /// Adds or removes our finalizer.
    pub async fn set_finalizer(&mut self, present: bool) -> Result<(), PatchError> {
        let (finalizer, manager) = (api::meta::FINALIZER, keys::STATUS_FIELD_MANAGER);
        let saved = patch::finalizer(&self.api, &self.stored, finalizer, present, manager).await?;
        self.object.metadata = saved.metadata.clone();
        self.written |= saved.metadata.resource_version != self.stored.metadata.resource_version;
        self.stored = saved;
        Ok(())
    }

    /// The object as our last write left it, if there was one.
    pub fn into_written(self) -> Option<Kustomization> {
        self.written.then_some(self.stored)
    }

    /// Records an event about the object and, if given, the artifact it is reconciled to.
    pub fn event(
        &self,
        recorder: &Recorder,
        severity: Severity,
        reason: &str,
        artifact: Option<&Artifact>,
        message: &str,
    ) {
        recorder.record(self.describe(severity, reason, artifact, message));
    }

    /// Records the event of a finished run, which commit status providers act upon.
    pub fn finished_event(&self, recorder: &Recorder, artifact: &Artifact, message: &str) {
        let event = self.describe(Severity::Info, RECONCILIATION_SUCCEEDED, Some(artifact), message);
        recorder.record(event.with(keys::COMMIT_STATUS_ANNOTATION, "update"));
    }

    fn describe(
        &self,
        severity: Severity,
        reason: &str,
        artifact: Option<&Artifact>,
        message: &str,
    ) -> Event {
        let mut event = Event::new(&self.object, severity, reason, message);
        if let Some(artifact) = artifact {
            event = event.with(keys::REVISION_ANNOTATION, &artifact.revision);
            if let Some(origin) = status::origin_revision(artifact) {
                event = event.with(keys::ORIGIN_REVISION_ANNOTATION, origin);
            }
        }
        event
    }

    /// Time between successful runs. An interval that cannot be read is taken as the schema's least, so that the
    /// object is at least looked at.
    pub fn interval(&self) -> Duration {
        self.object.spec.interval.parse().unwrap_or(SHORTEST_TIMEOUT)
    }

    /// Time before a failed run is tried again.
    pub fn retry_interval(&self) -> Duration {
        let retry = self.object.spec.retry_interval.as_ref();
        retry.and_then(|d| d.parse().ok()).unwrap_or_else(|| self.interval())
    }

    /// How long health checks may take: `spec.timeout`, else 30 s less than the interval, never under 30 s.
    pub fn timeout(&self) -> Duration {
        let timeout = self.object.spec.timeout.as_ref().and_then(|d| d.parse().ok());
        timeout.unwrap_or_else(|| self.interval().saturating_sub(SHORTEST_TIMEOUT)).max(SHORTEST_TIMEOUT)
    }

    /// Who applies: `system:serviceaccount:<namespace>:<name>`, or the controller itself.
    pub fn service_account(&self, default: &str) -> Option<String> {
        let named = self.object.spec.service_account_name.as_deref().filter(|name| !name.is_empty());
        named.or(Some(default).filter(|name| !name.is_empty())).map(str::to_owned)
    }
}
