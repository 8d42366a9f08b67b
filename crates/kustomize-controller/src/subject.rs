//! One Kustomization during a pass: what the API server has, what we want it to say, and its settings as values.

use std::time::Duration;

use api::{
    Artifact, Kustomization,
    kustomize::{self as keys, reasons::RECONCILIATION_SUCCEEDED},
};
use apply::prepare::Owner;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, runtime::reflector::ObjectRef};
use references::account_of;
use runtime::{
    events::{Event, Recorder, Severity, action},
    patch::PatchError,
    serial_patcher::SerialPatcher,
};

use crate::status;

/// The least time between two runs: the CRD admits an interval of nothing.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// `spec.timeout` is at least this, whatever the object says.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A Kustomization being worked on.
pub struct Subject {
    patcher: SerialPatcher<Kustomization>,
    /// The object with our changes.
    pub object: Kustomization,
    /// Its source, once that was read.
    pub source: Option<ObjectReference>,
}

impl Subject {
    /// Starts from the object as it was last read.
    pub fn new(client: Client, object: Kustomization) -> Self {
        let patcher = SerialPatcher::new(client, &object, &status::OWNED, keys::STATUS_FIELD_MANAGER);
        Self { patcher, object, source: None }
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
        self.patcher.status(&mut self.object).await
    }

    /// Adds or removes our finalizer.
    pub async fn set_finalizer(&mut self, present: bool) -> Result<(), PatchError> {
        self.patcher.finalizer(&mut self.object, present).await
    }

    /// The object as our last write left it, if there was one.
    pub fn into_written(self) -> Option<Kustomization> {
        self.patcher.into_written()
    }

    /// Records an event about the object and, if given, the artifact it is reconciled to and the source of that. At deletion,
    /// and before the source counts, there is none.
    pub fn event(
        &self,
        recorder: &Recorder,
        severity: Severity,
        action: &'static str,
        reason: &str,
        artifact: Option<&Artifact>,
        message: &str,
    ) {
        recorder.record(self.describe(severity, action, reason, artifact, message));
    }

    /// Records the event of a finished run, which commit status providers act upon.
    pub fn finished_event(&self, recorder: &Recorder, artifact: &Artifact, message: &str) {
        let event = self.describe(
            Severity::Info,
            action::RECONCILE,
            RECONCILIATION_SUCCEEDED,
            Some(artifact),
            message,
        );
        recorder.record(event.with(keys::COMMIT_STATUS_ANNOTATION, "update"));
    }

    fn describe(
        &self,
        severity: Severity,
        action: &'static str,
        reason: &str,
        artifact: Option<&Artifact>,
        message: &str,
    ) -> Event {
        let event = Event::new(&self.object, severity, action, reason, message);
        let Some(artifact) = artifact else { return event };
        let event = event.related_to(self.source.clone()).with(keys::REVISION_ANNOTATION, &artifact.revision);
        match status::origin_revision(artifact) {
            Some(origin) => event.with(keys::ORIGIN_REVISION_ANNOTATION, origin),
            None => event,
        }
    }

    /// Time between successful runs. With an interval that cannot be read the object is at least looked at.
    pub fn interval(&self) -> Duration {
        self.object.spec.interval.parse().unwrap_or(SHORTEST_TIMEOUT).max(SHORTEST_INTERVAL)
    }

    /// Time before a failed run is tried again.
    pub fn retry_interval(&self) -> Duration {
        let retry = self.object.spec.retry_interval.as_ref();
        retry.and_then(|d| d.parse().ok()).unwrap_or_else(|| self.interval()).max(SHORTEST_INTERVAL)
    }

    /// How long health checks may take: `spec.timeout`, else 30 s less than the interval, never under 30 s.
    pub fn timeout(&self) -> Duration {
        let timeout = self.object.spec.timeout.as_ref().and_then(|d| d.parse().ok());
        timeout.unwrap_or_else(|| self.interval().saturating_sub(SHORTEST_TIMEOUT)).max(SHORTEST_TIMEOUT)
    }

    /// The service account of the namespace that applies; none means the controller itself.
    pub fn service_account(&self, default: Option<&str>) -> Option<String> {
        service_account(&self.object, default).map(str::to_owned)
    }
}

/// The service account that a Kustomization applies with, of its own namespace; none means the controller itself.
pub fn service_account<'a>(object: &'a Kustomization, default: Option<&'a str>) -> Option<&'a str> {
    account_of(object.spec.service_account_name.as_deref(), default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(interval: &str, retry: Option<&str>, timeout: Option<&str>) -> Subject {
        let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no server"))
        });
        let mut object = Kustomization::new("app", Default::default());
        object.spec.interval = interval.into();
        object.spec.retry_interval = retry.map(Into::into);
        object.spec.timeout = timeout.map(Into::into);
        Subject::new(Client::new(nobody, "default"), object)
    }

    #[tokio::test]
    async fn an_interval_of_nothing_is_no_hot_loop() {
        let object = subject("0s", Some("1ms"), None);
        assert_eq!((object.interval(), object.retry_interval()), (SHORTEST_INTERVAL, SHORTEST_INTERVAL));
        assert_eq!(subject("tomorrow", None, None).interval(), SHORTEST_TIMEOUT);
    }

    #[test]
    fn an_empty_service_account_is_none_and_has_the_default() {
        for (named, default, account) in [
            (None, None, None),
            (Some(""), None, None),
            (Some(""), Some("tenant"), Some("tenant")),
            (Some("me"), Some("tenant"), Some("me")),
        ] {
            let mut object = Kustomization::new("app", Default::default());
            object.spec.service_account_name = named.map(str::to_owned);
            assert_eq!(service_account(&object, default), account, "{named:?} {default:?}");
        }
    }

    #[tokio::test]
    async fn the_timeout_follows_the_interval_and_has_a_floor() {
        let timeout = |interval, timeout| subject(interval, None, timeout).timeout().as_secs();
        assert_eq!(timeout("10m", None), 570);
        assert_eq!(timeout("10s", None), 30);
        assert_eq!(timeout("10m", Some("1s")), 30);
        assert_eq!(timeout("10m", Some("2m")), 120);
    }
}
