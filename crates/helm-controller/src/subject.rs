//! One HelmRelease during a pass: what the API server has, and what we want it to say.

use std::time::Duration;

use api::helm::conditions::{RELEASED, REMEDIATED, TEST_SUCCESS};
use api::helm::{
    APP_VERSION_ANNOTATION, FIELD_MANAGER, OCI_DIGEST_ANNOTATION, REVISION_ANNOTATION, TOKEN_ANNOTATION,
};
use api::meta::{RECONCILE_REQUEST_ANNOTATION, is_requested};
use api::{Condition, HelmRelease};
use apply::prepare::Owner;
use helm_state::Notice;
use jiff::Timestamp;
use kube::{Client, ResourceExt};
use runtime::conditions::{Conditions, READY, RECONCILING, STALLED};
use runtime::events::{Event, Recorder, Severity};
use runtime::patch::PatchError;
use runtime::serial_patcher::SerialPatcher;

/// The conditions that nobody else may write. Drifted is none of them, as in Flux.
const OWNED: [&str; 6] = [RELEASED, REMEDIATED, TEST_SUCCESS, RECONCILING, READY, STALLED];
/// The least time between two runs: the CRD admits intervals of nothing.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Time between runs with an interval that cannot be read.
const UNREADABLE_INTERVAL: Duration = Duration::from_secs(30);

/// A HelmRelease being worked on.
pub struct Subject {
    patcher: SerialPatcher<HelmRelease>,
    /// The object with our changes.
    pub object: HelmRelease,
}

impl Subject {
    /// Starts from the object as it was last read.
    pub fn new(client: Client, object: HelmRelease) -> Self {
        let patcher = SerialPatcher::new(client, &object, &OWNED, FIELD_MANAGER);
        Self { patcher, object }
    }

    /// Namespace of the object.
    pub fn namespace(&self) -> &str {
        self.object.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Name of the object.
    pub fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// What its objects name as their owner.
    pub fn owner(&self) -> Owner {
        Owner { namespace: self.namespace().to_owned(), name: self.name().to_owned() }
    }

    /// Whether somebody asks for this pass.
    pub fn is_requested(&self) -> bool {
        let status = self.object.status.as_ref();
        is_requested(&self.object, status.and_then(|status| status.last_handled_reconcile_at.as_ref()))
    }

    /// Works on its conditions.
    pub fn conditions(&mut self) -> Conditions<'_> {
        let generation = self.object.metadata.generation.unwrap_or_default();
        let status = helm_state::status(&mut self.object);
        Conditions::new(&mut status.conditions, generation, Timestamp::now())
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
    pub fn into_written(self) -> Option<HelmRelease> {
        self.patcher.into_written()
    }

    /// The token of the request that this pass answers is handled.
    pub fn handled(&mut self) {
        if let Some(token) = self.object.annotations().get(RECONCILE_REQUEST_ANNOTATION).cloned() {
            helm_state::status(&mut self.object).last_handled_reconcile_at = Some(token);
        }
    }

    /// The generation of the object counts as observed.
    pub fn observed(&mut self) {
        helm_state::status(&mut self.object).observed_generation = self.object.metadata.generation;
    }

    /// Records an event without metadata of a release.
    pub fn event(
        &self,
        recorder: &Recorder,
        severity: Severity,
        action: &'static str,
        reason: &str,
        message: &str,
    ) {
        recorder.record(Event::new(&self.object, severity, action, reason, message));
    }

    /// Records what is to be told of a release.
    pub fn notify(&self, recorder: &Recorder, notice: &Notice) {
        let severity = if notice.is_warning { Severity::Error } else { Severity::Info };
        let mut event =
            Event::new(&self.object, severity, notice.action, notice.reason, notice.message.as_str());
        if let Some(about) = &notice.about {
            for (key, value) in [
                (REVISION_ANNOTATION, &about.revision),
                (TOKEN_ANNOTATION, &about.token),
                (APP_VERSION_ANNOTATION, &about.app_version),
                (OCI_DIGEST_ANNOTATION, &about.oci_digest),
            ] {
                if !value.is_empty() {
                    event = event.with(key, value);
                }
            }
        }
        recorder.record(event);
    }

    /// Time between runs.
    pub fn interval(&self) -> Duration {
        at_least_shortest(self.object.spec.interval.parse().unwrap_or(UNREADABLE_INTERVAL))
    }
}

/// The time until the next run, where the spec says so much.
pub fn at_least_shortest(interval: Duration) -> Duration {
    interval.max(SHORTEST_INTERVAL)
}

/// The conditions of an object.
pub fn conditions_of(object: &HelmRelease) -> &[Condition] {
    object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_follow_each_other_once_a_second_at_most() {
        for (given, time) in [(0, 1000), (1, 1000), (1000, 1000), (300_000, 300_000)] {
            assert_eq!(at_least_shortest(Duration::from_millis(given)), Duration::from_millis(time));
        }
    }
}
