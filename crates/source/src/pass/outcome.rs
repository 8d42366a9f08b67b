//! What a pass tells: events, the log, and when the next one is due.

use std::time::Duration;

use api::source::{
    DIGEST_ANNOTATION, OCI_REVISION_METADATA, ORIGIN_REVISION_ANNOTATION, REVISION_ANNOTATION, Source,
};
use jiff::Timestamp;
use runtime::backoff::jitter;
use runtime::controller;
use runtime::events::{Event, Severity, action};
use runtime::patch::PatchError;

use super::Pass;
use crate::correction::Correction;
use crate::failure::{Class, reason};
use crate::status::{self, End, Snapshot};
use crate::upstream::{Upstream, Verified};

/// No upstream is looked at more often, whatever `spec.interval` says.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

impl<U: Upstream> Pass<'_, U> {
    pub(super) fn record(
        &self,
        severity: Severity,
        action: &'static str,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.controller.events.record(Event::new(&self.object, severity, action, reason, message));
    }

    /// Tells of something that went well in the log and on the object.
    pub(super) fn trace(&self, action: &'static str, reason: &str, message: String) {
        tracing::info!("{message}");
        self.record(Severity::Trace, action, reason, message);
    }

    /// Takes note of a verification, if there was one.
    pub(super) fn note_verified(&mut self, verified: Option<&Verified>) {
        let Some(verified) = verified else { return };
        self.set_verified(verified);
        if let Some(message) = &verified.message {
            self.trace(action::VERIFY_SOURCE, reason::SUCCEEDED, message.clone());
        }
    }

    /// The same without telling anybody.
    pub(super) fn set_verified(&mut self, verified: &Verified) {
        status::verified(&mut self.object, verified.message.as_deref(), Timestamp::now());
        self.controller.upstream.verified(&mut self.object, verified);
    }

    /// Tells of an artifact that a former version got wrong.
    pub(super) fn note_correction(&self, revision: &str, correction: Option<&Correction>) {
        if let Some(message) = correction.and_then(|correction| correction.message(revision)) {
            tracing::warn!("{message}");
            self.record(Severity::Error, action::RECONCILE_STORAGE, reason::ARTIFACT_CORRECTED, message);
        }
    }

    /// Tells of new content, or of the end of a failure.
    pub(super) fn announce(&self, title: Option<&str>) {
        let news = status::news(&self.beginning.status, &Snapshot::of(&self.object));
        let (Some(reason), Some(artifact)) = (news, self.artifact()) else { return };
        let message = self.controller.upstream.announcement(&self.object, title);
        let reason = U::event_reason(&self.object, reason);
        tracing::info!("{message}");
        let event = Event::new(&self.object, Severity::Info, action::RECONCILE, reason, message)
            .with(REVISION_ANNOTATION, &artifact.revision)
            .with(DIGEST_ANNOTATION, &artifact.digest);
        let origin = artifact.metadata.get(OCI_REVISION_METADATA);
        self.controller.events.record(match origin {
            Some(revision) => event.with(ORIGIN_REVISION_ANNOTATION, revision),
            None => event,
        });
    }

    /// Says how the pass ended, and when the next one is due.
    pub(super) async fn finish(&mut self, end: End) -> Result<controller::Outcome, PatchError> {
        if let End::Failed(failure) = &end {
            let severity = if failure.class == Class::Waiting { Severity::Trace } else { Severity::Error };
            self.record(severity, action::RECONCILE, failure.reason, failure.message.clone());
            let (error, reason) = (&failure.message, failure.reason);
            match failure.class {
                Class::Stalling => tracing::error!(error, reason, "reconciliation stalled"),
                Class::Waiting => tracing::info!(error, reason, "reconciliation waiting"),
                Class::Generic => {}
            }
        }
        // What an earlier pass began, and this one did not get to.
        self.controller.cancel(&self.source()).await;
        status::end(&mut self.object, &end, Timestamp::now());
        self.patch().await?;
        Ok(match end {
            End::Suspended => controller::Outcome::Wait,
            End::Failed(failure) => match failure.class {
                Class::Generic => controller::Outcome::Failed(Box::new(failure)),
                Class::Waiting => controller::Outcome::After(self.controller.requeue_dependency),
                Class::Stalling => controller::Outcome::Wait,
            },
            End::Success => match status::unready(&self.object) {
                Some(message) => controller::Outcome::Failed(message.to_owned().into()),
                None => self.next(),
            },
        })
    }

    /// When the upstream is looked at again; an interval of zero means never.
    fn next(&self) -> controller::Outcome {
        match self.object.interval().parse() {
            _ if self.is_due => controller::Outcome::After(Duration::ZERO),
            Ok(Duration::ZERO) => controller::Outcome::Wait,
            Ok(interval) => {
                controller::Outcome::After(jitter(interval.max(SHORTEST_INTERVAL), self.controller.jitter))
            }
            Err(error) => controller::Outcome::Failed(Box::new(error)),
        }
    }
}
