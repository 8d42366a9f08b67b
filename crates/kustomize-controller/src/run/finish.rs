//! Between the steps of a run: what is written and said as it goes on, fails or ends.

use api::duration::go_duration_string;
use std::{collections::HashSet, time::Duration};

use api::{
    Kustomization,
    kustomize::{
        conditions::HEALTHY,
        reasons::{ARTIFACT_FAILED, RECONCILIATION_SUCCEEDED},
    },
    meta::reasons::PROGRESSING,
};
use runtime::{
    backoff::jitter, conditions::Status, controller::Outcome, events::Severity, patch::PatchError,
};
use tokio::time::Instant;

use super::{Failure, Phase, Run, Step};
use crate::{
    reconciler::{Reconciler, Slot, State},
    status,
    subject::Subject,
};

impl Reconciler {
    /// Carries a run on from the phase it was put aside in.
    pub(crate) async fn carry_on(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        mut run: Run,
    ) -> Result<Outcome, PatchError> {
        let phase = std::mem::replace(&mut run.phase, Phase::Apply(Default::default()));
        self.proceed(slot, subject, run, Step::Next(phase)).await
    }

    /// Takes step after step until there is something to wait for or the run is over.
    pub(super) async fn proceed(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        mut run: Run,
        mut step: Step,
    ) -> Result<Outcome, PatchError> {
        loop {
            step = match step {
                Step::Next(Phase::Fetch(download)) => self.fetch(slot, subject, &mut run, download).await?,
                Step::Next(Phase::Apply(left)) => self.apply_next(slot, subject, &mut run, left).await?,
                Step::Next(Phase::Recreate { terminating, deadline, left }) => {
                    self.recreate(subject, &mut run, terminating, deadline, left).await
                }
                Step::Next(Phase::AwaitStage { awaited, deadline, left }) => {
                    self.stage_ready(subject, awaited, deadline, left).await
                }
                Step::Next(Phase::Prune { stale, deadline }) => {
                    self.prune(slot, subject, &mut run, stale, deadline).await?
                }
                Step::Next(Phase::AwaitHealth { awaited, since, deadline }) => {
                    self.healthy(subject, &mut run, awaited, (since, deadline)).await?
                }
                Step::Wait(phase, wait) => {
                    run.phase = phase;
                    slot.state = State::Running(Box::new(run));
                    return Ok(Outcome::After(wait));
                }
                Step::Absent(message) => return self.absent(slot, subject, run, &message).await,
                Step::Done => return self.succeed(slot, subject, run).await,
                Step::Fail(failure) => return self.fail(slot, subject, run, failure).await,
            };
        }
    }

    /// Tells the cluster that a run goes on and, before anything else is written there, what it may create: a kill
    /// between here and the end leaves no object that no inventory names.
    pub(super) async fn announce(&self, subject: &mut Subject, run: &Run) -> Result<(), PatchError> {
        let known: HashSet<_> = run.desired.iter().map(|e| &e.id).collect();
        let union = run.desired.iter().chain(run.before.iter().filter(|e| !known.contains(&e.id)));
        status::set_inventory(&mut subject.object, union);
        status::progressing(&mut subject.object, &run.message);
        self.write_down(&mut subject.object, run);
        subject.save().await
    }

    /// Puts into the status what the run has come to. Between passes only the run remembers it.
    fn write_down(&self, object: &mut Kustomization, run: &Run) {
        if run.attempted {
            status::of(object).last_attempted_revision = Some(run.artifact.revision.clone());
        }
        if let Some(inventory) = &run.inventory {
            status::set_inventory(object, inventory);
        }
    }

    /// An event of the run while it goes on.
    pub(super) fn say(&self, subject: &Subject, run: &Run, message: &str) {
        subject.event(&self.context.events, Severity::Info, PROGRESSING, Some(&run.artifact), message);
    }

    async fn succeed(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        mut run: Run,
    ) -> Result<Outcome, PatchError> {
        let (took, interval) = (run.started.elapsed(), subject.interval());
        slot.basis = run.basis.take();
        self.write_down(&mut subject.object, &run);
        status::succeeded(&mut subject.object, &run.artifact);
        status::record(&mut subject.object, &run.digest, RECONCILIATION_SUCCEEDED, &run.artifact, took);
        status::finalise(&mut subject.object);
        subject.save().await?;
        let message = format!(
            "Reconciliation finished in {}, next run in {}",
            go_duration_string(took),
            go_duration_string(interval)
        );
        tracing::info!(revision = run.artifact.revision, "{message}");
        subject.finished_event(&self.context.events, &run.artifact, &message);
        let wait = jitter(interval, self.context.arguments.shared.interval_jitter_percentage);
        Ok(self.over(slot, subject, run, wait, true))
    }

    async fn fail(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        mut run: Run,
        failure: Failure,
    ) -> Result<Outcome, PatchError> {
        let (took, retry) = (run.started.elapsed(), subject.retry_interval());
        self.write_down(&mut subject.object, &run);
        status::progressing(&mut subject.object, &run.message);
        status::failed(&mut subject.object, failure.reason, &failure.message);
        if let Some(inner) = &failure.healthy {
            status::conditions(&mut subject.object).set(HEALTHY, Status::False, failure.reason, inner);
        }
        if failure.recorded {
            status::record(&mut subject.object, &run.digest, failure.reason, &run.artifact, took);
        }
        status::finalise(&mut subject.object);
        subject.save().await?;
        tracing::error!(
            revision = run.artifact.revision,
            error = failure.message,
            "Reconciliation failed after {}, next try in {}",
            go_duration_string(took),
            go_duration_string(retry)
        );
        let artifact = Some(&run.artifact);
        subject.event(&self.context.events, Severity::Error, failure.reason, artifact, &failure.message);
        slot.memory.extend(std::mem::take(&mut run.memory));
        Ok(self.over(slot, subject, run, retry, false))
    }

    /// The artifact is not on the server: no failure of ours, looked at again soon.
    async fn absent(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        run: Run,
        message: &str,
    ) -> Result<Outcome, PatchError> {
        status::progressing(&mut subject.object, &run.message);
        status::failed(&mut subject.object, ARTIFACT_FAILED, message);
        status::finalise(&mut subject.object);
        subject.save().await?;
        tracing::info!(revision = run.artifact.revision, "{message}");
        let again = self.context.arguments.shared.requeue_dependency;
        Ok(self.over(slot, subject, run, again, false))
    }

    fn over(&self, slot: &mut Slot, subject: &Subject, run: Run, wait: Duration, succeeded: bool) -> Outcome {
        self.context.metrics.ran("Kustomization", subject.namespace(), subject.name(), run.started.elapsed());
        slot.state = State::Done { inputs: run.inputs, due: Instant::now() + wait, succeeded };
        Outcome::After(wait)
    }
}
