//! The end of a run, or of a pass before it: what the status, the log and the events say.

use std::time::Duration;

use api::{
    Kustomization,
    duration::go_duration_string,
    kustomize::{
        conditions::HEALTHY,
        reasons::{ARTIFACT_FAILED, HEALTH_CHECK_CANCELED, RECONCILIATION_SUCCEEDED},
    },
};
use runtime::{
    backoff::jitter,
    conditions::Status,
    controller::Outcome,
    events::{Severity, action},
    patch::PatchError,
};
use tokio::time::Instant;

use super::Pass;
use crate::{
    flags::NO_COMMIT_STATUS,
    handover,
    reconciler::State,
    run::{Ending, Failure, Inputs, Phase, Run},
    sources::source_key,
    status,
};

/// Puts into the status what the run has come to. Between passes only the run remembers it.
pub(super) fn write_progress(object: &mut Kustomization, run: &Run) {
    if run.progress.attempted {
        status::of(object).last_attempted_revision = Some(run.plan.artifact.revision.clone());
    }
    if let Some(inventory) = &run.progress.inventory {
        status::set_inventory(object, inventory);
    }
}

impl Pass<'_> {
    /// Puts the run aside, or says how it ended.
    pub(super) async fn end(&mut self, run: Box<Run>, ending: Ending) -> Result<Outcome, PatchError> {
        match ending {
            Ending::Waiting(phase, wait) => {
                self.slot.state = State::Running(run, phase);
                Ok(Outcome::After(wait))
            }
            Ending::SourceNotReady(why) => self.source_not_ready(*run, why).await,
            Ending::Succeeded => self.succeeded(*run).await,
            Ending::Failed(failure) => self.failed(*run, failure).await,
        }
    }

    async fn succeeded(&mut self, mut run: Run) -> Result<Outcome, PatchError> {
        let (took, interval) = (run.plan.started.elapsed(), self.subject.interval());
        self.slot.applied.build = run.progress.build.take();
        let (object, artifact) = (&mut self.subject.object, &run.plan.artifact);
        write_progress(object, &run);
        status::succeeded(object, artifact);
        status::record(object, &run.progress.digest, RECONCILIATION_SUCCEEDED, artifact, took);
        status::settle_conditions(object);
        self.subject.save().await?;
        let message = format!(
            "Reconciliation finished in {}, next run in {}",
            go_duration_string(took),
            go_duration_string(interval)
        );
        tracing::info!(revision = artifact.revision, "{message}");
        if !self.context.arguments.feature_gates.is_on(NO_COMMIT_STATUS) {
            self.subject.finished_event(&self.context.events, artifact, &message);
        }
        let mut wait = jitter(interval, self.context.arguments.shared.interval_jitter_percentage);
        self.slot.claims.forget(run.progress.changes.changes.iter().map(|change| &change.id));
        if !self.slot.claims.is_empty() {
            wait = wait.min(handover::CLAIM_RECHECK);
        }
        let due = self.over(run, wait, true);
        // What happened to its objects while it went on woke the run alone.
        let drifted = self.drifted();
        if drifted.is_empty() {
            return Ok(due);
        }
        Ok(Outcome::After(self.slot.repairs.wait(&drifted, Instant::now()).min(wait)))
    }

    async fn failed(&mut self, run: Run, failure: Failure) -> Result<Outcome, PatchError> {
        let (took, retry) = (run.plan.started.elapsed(), self.subject.retry_interval());
        let (object, artifact) = (&mut self.subject.object, &run.plan.artifact);
        write_progress(object, &run);
        // Ready is set below; this names the phase that failed.
        status::progressing(object, &run.progress.message);
        status::failed(object, failure.reason, &failure.message);
        if let Some(inner) = &failure.healthy {
            status::conditions(object).set(HEALTHY, Status::False, failure.reason, inner);
        }
        if failure.recorded {
            status::record(object, &run.progress.digest, failure.reason, artifact, took);
        }
        status::settle_conditions(object);
        self.subject.save().await?;
        tracing::error!(
            revision = artifact.revision,
            error = failure.told(),
            "Reconciliation failed after {}, next try in {}",
            go_duration_string(took),
            go_duration_string(retry)
        );
        let recorder = &self.context.events;
        self.subject.event(
            recorder,
            Severity::Error,
            action::RECONCILE,
            failure.reason,
            Some(artifact),
            &failure.told(),
        );
        Ok(self.over(run, retry, false))
    }

    /// The artifact that the source tells of is not on the server: no failure of ours, looked at again soon.
    async fn source_not_ready(&mut self, run: Run, why: &str) -> Result<Outcome, PatchError> {
        let again = self.context.arguments.shared.requeue_dependency;
        let retrying = go_duration_string(again);
        let message = format!("Source is not ready, {why}, retrying in {retrying}");
        let object = &mut self.subject.object;
        status::progressing(object, &run.progress.message);
        status::failed(object, ARTIFACT_FAILED, &message);
        status::settle_conditions(object);
        self.subject.save().await?;
        tracing::info!(revision = run.plan.artifact.revision, "{message}");
        Ok(self.over(run, again, false))
    }

    fn over(&mut self, run: Run, wait: Duration, succeeded: bool) -> Outcome {
        let (namespace, name) = (self.subject.namespace(), self.subject.name());
        self.context.metrics.ran("Kustomization", namespace, name, run.plan.started.elapsed());
        self.slot.state = State::Done { inputs: run.plan.inputs, due: Instant::now() + wait, succeeded };
        Outcome::After(wait)
    }

    /// A run gives way to another one, which is news if it waited for health.
    pub(super) fn replaced(&self, run: &Run, phase: &Phase, inputs: &Inputs) {
        let plan = &run.plan;
        tracing::info!(revision = plan.artifact.revision, "the run is replaced, its inputs have changed");
        if !matches!(phase, Phase::AwaitHealth { .. }) {
            return;
        }
        let trigger = if plan.inputs.content == inputs.content {
            format!("Kustomization/{}/{}", self.subject.namespace(), self.subject.name())
        } else {
            source_key(&self.subject.object).to_string()
        };
        let message = format!("Health checks canceled due to new reconciliation triggered by {trigger}");
        let recorder = &self.context.events;
        self.subject.event(
            recorder,
            Severity::Info,
            action::HEALTH_CHECK,
            HEALTH_CHECK_CANCELED,
            Some(&plan.artifact),
            &message,
        );
    }
}
