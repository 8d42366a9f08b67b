//! What a pass tells: events, the log, and when the next one is due.

use std::time::Duration;

use api::source::{DIGEST_ANNOTATION, REVISION_ANNOTATION};
use git::Commit;
use jiff::Timestamp;
use runtime::backoff::jitter;
use runtime::controller;
use runtime::events::{Event, Severity};
use runtime::patch::PatchError;

use super::super::correction::Correction;
use super::super::failure::{Class, reason};
use super::super::status::{self, End};
use super::super::verify::Signed;
use super::Pass;

impl Pass<'_> {
    pub(super) fn record(&self, severity: Severity, reason: &str, message: impl Into<String>) {
        self.controller.events.record(Event::new(&self.object, severity, reason, message));
    }

    /// Tells of something that went well in the log and on the object.
    pub(super) fn trace(&self, reason: &str, message: String) {
        tracing::info!("{message}");
        self.record(Severity::Trace, reason, message);
    }

    /// Takes note of a verification, if there was one.
    pub(super) fn note_signed(&mut self, signed: Option<Signed>) {
        let Some(Signed { message, version }) = signed else { return };
        status::verification::verified(&mut self.object, &message, Timestamp::now());
        self.trace(reason::SUCCEEDED, message);
        self.controller.fetcher.verified.set(self.source(), version);
    }

    /// Tells of an artifact that a former version got wrong.
    pub(super) fn note_correction(&self, revision: &str, correction: Option<&Correction>) {
        if let Some(message) = correction.and_then(|correction| correction.message(revision)) {
            tracing::warn!("{message}");
            self.record(Severity::Error, reason::ARTIFACT_CORRECTED, message);
        }
    }

    /// Tells of new content, or of the end of a failure.
    pub(super) fn announce(&self, commit: Option<&Commit>) {
        let Some(after) = &self.object.status else { return };
        let news = status::news(&self.beginning.status, after);
        let (Some(reason), Some(artifact)) = (news, &after.artifact) else { return };
        let what = commit.map_or_else(|| artifact.revision.clone(), |commit| short(&commit.subject));
        let message = format!("stored artifact for commit '{what}'");
        tracing::info!("{message}");
        let event = Event::new(&self.object, Severity::Info, reason, message)
            .with(REVISION_ANNOTATION, &artifact.revision)
            .with(DIGEST_ANNOTATION, &artifact.digest);
        self.controller.events.record(event);
    }

    /// Says how the pass ended, and when the next one is due.
    pub(super) async fn finish(&mut self, end: End) -> Result<controller::Outcome, PatchError> {
        if let End::Failed(failure) = &end {
            let severity = if failure.class == Class::Waiting { Severity::Trace } else { Severity::Error };
            self.record(severity, failure.reason, failure.message.clone());
            let (error, reason) = (&failure.message, failure.reason);
            match failure.class {
                Class::Stalling => tracing::error!(error, reason, "reconciliation stalled"),
                Class::Waiting => tracing::info!(error, reason, "reconciliation waiting"),
                Class::Generic => {}
            }
        }
        // What an earlier pass began, and this one did not get to.
        self.controller.background.cancel(&self.source()).await;
        status::end(&mut self.object, &end, Timestamp::now());
        self.patch().await?;
        let status = self.object.status.clone().unwrap_or_default();
        Ok(match end {
            End::Suspended => controller::Outcome::Wait,
            End::Failed(failure) => match failure.class {
                Class::Generic => controller::Outcome::Failed(Box::new(failure)),
                Class::Waiting => controller::Outcome::After(self.controller.requeue_dependency),
                Class::Stalling => controller::Outcome::Wait,
            },
            End::Success => match status::unready(&status) {
                Some(message) => controller::Outcome::Failed(message.into()),
                None => self.next(),
            },
        })
    }

    /// When the upstream is looked at again; an interval of zero means never.
    fn next(&self) -> controller::Outcome {
        match self.object.spec.interval.parse() {
            Ok(Duration::ZERO) => controller::Outcome::Wait,
            Ok(interval) => controller::Outcome::After(jitter(interval, self.controller.jitter)),
            Err(error) => controller::Outcome::Failed(Box::new(error)),
        }
    }
}

/// At most 50 characters of a commit's subject.
fn short(subject: &str) -> String {
    match subject.char_indices().nth(50) {
        Some((end, _)) => format!("{}...", subject.get(..end).unwrap_or_default()),
        None => subject.to_owned(),
    }
}
