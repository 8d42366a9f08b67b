//! Removing what is no longer wanted.

use std::collections::HashSet;

use api::kustomize::reasons::PRUNE_FAILED;
use apply::{
    object::ObjectId,
    prune::{self, Entry, PruneOptions},
};
use runtime::patch::PatchError;
use tokio::time::Instant;

use super::{Failure, Phase, Run, Step, stages::REQUEST};
use crate::{
    handover,
    reconciler::{Reconciler, Slot},
    subject::Subject,
};

impl Reconciler {
    /// Prunes what is stale, and goes on to health.
    pub(super) async fn prune(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        run: &mut Run,
        stale: Vec<Entry>,
        deadline: Instant,
    ) -> Result<Step, PatchError> {
        let inventory = run.applied();
        if !subject.object.spec.prune || stale.is_empty() {
            run.inventory = Some(inventory);
            return self.begin_health(slot, subject, run).await;
        }
        let others = self.context.store.state();
        if Instant::now() < deadline && handover::is_pending(&subject.object, &others, &run.artifact.revision)
        {
            return Ok(Step::Wait(Phase::Prune { stale, deadline }, handover::LOOK));
        }
        let keep = inventory.iter().map(|e| e.id.clone()).collect();
        let pruned = match self.delete(subject, stale, keep).await {
            Ok(pruned) => pruned,
            Err(failure) => return Ok(Step::Fail(failure)),
        };
        let failed = pruned.failed.iter().map(|(entry, _)| entry.clone());
        let left = failed.chain(pruned.claimed.iter().cloned());
        run.inventory = Some(inventory.into_iter().chain(left).collect());
        let lines = pruned.changes.lines(|_| true);
        if !lines.is_empty() {
            tracing::info!(revision = run.artifact.revision, "garbage collection completed: {lines}");
            self.say(subject, run, &lines);
        }
        if let Some(message) = pruned.error() {
            return Ok(Step::Fail(Failure::new(PRUNE_FAILED, message).recorded()));
        }
        self.begin_health(slot, subject, run).await
    }

    /// Deletes entries of the inventory in the Kustomization's identity, but for those that another one names.
    pub(crate) async fn delete(
        &self,
        subject: &Subject,
        entries: Vec<Entry>,
        keep: HashSet<ObjectId>,
    ) -> Result<prune::Pruned, Failure> {
        let claimed = handover::claimed(&subject.object, &self.context.store.state(), &entries);
        let options = PruneOptions { keep, claimed, ..self.prune_options(subject) };
        Ok(prune::delete(&self.identity(subject)?, &self.context.mapper, entries, &options).await)
    }

    /// What deletions respect.
    pub(crate) fn prune_options(&self, subject: &Subject) -> PruneOptions {
        PruneOptions {
            owner: subject.owner(),
            keep: HashSet::new(),
            claimed: HashSet::new(),
            protected_namespaces: vec![self.context.arguments.shared.runtime_namespace.clone()],
            concurrency: self.context.arguments.concurrent_ssa.into(),
            request_timeout: REQUEST,
        }
    }
}
