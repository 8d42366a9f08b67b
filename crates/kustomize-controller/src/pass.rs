//! One pass over one Kustomization: begins a run, carries one on, or does nothing because nothing is due.

mod admission;
mod decision;
mod effects;
mod end;
mod health_checks;

pub(crate) use effects::OBJECT_TIMEOUT;

use api::{
    Artifact, Kustomization,
    kustomize::{PRUNE_GUARD_ANNOTATION, conditions::HEALTHY, reasons::RECONCILIATION_FAILED},
    meta::RECONCILE_REQUEST_ANNOTATION,
};
use apply::cluster::Cluster;
use kube::{Client, ResourceExt};
use references::{check_account_name, sources::Content};
use runtime::{conditions::is_true, controller::Outcome, patch::PatchError};
use tokio::time::Instant;

use crate::{
    configs::config_keys,
    context::Context,
    flags::NO_FAIL_FAST,
    pass::decision::{Decision, Situation, decide},
    reconciler::{Slot, State},
    run::{Failure, Inputs, Phase, Plan, PruneGuard, Run, machine},
    sources::{self, source_key},
    status,
    subject::Subject,
};

/// A Kustomization being worked on, with what is remembered of it and the cluster that its objects are in.
pub(crate) struct Pass<'a> {
    pub context: &'a Context,
    /// Where the objects are, as far as is known.
    pub cluster: Cluster,
    pub slot: &'a mut Slot,
    pub subject: &'a mut Subject,
}

impl Pass<'_> {
    /// Brings the Kustomization a step closer to what it asks for.
    pub async fn run(&mut self) -> Result<Outcome, PatchError> {
        if self.subject.object.metadata.deletion_timestamp.is_some() {
            return self.run_finalizer().await;
        }
        self.subject.set_finalizer(true).await?;
        if self.subject.object.spec.suspend {
            tracing::info!("Reconciliation is suspended for this object");
            self.slot.state = State::Idle;
            self.slot.remote = None;
            status::settle_conditions(&mut self.subject.object);
            self.subject.save().await?;
            return Ok(Outcome::Wait);
        }
        // What may not be referred to is not read either.
        let source = match sources::denied(&self.subject.object, &self.context.arguments) {
            Some(_) => Ok(None),
            None => self.context.sources.get(&source_key(&self.subject.object)).await.map(Some),
        };
        let source = source.map(|known| {
            let known = known?;
            self.subject.source = Some(known.source);
            known.artifact
        });
        let artifact = source.as_ref().ok().and_then(Option::as_ref);
        let inputs = inputs(
            &self.subject.object,
            artifact,
            self.context.configs.state(config_keys(&self.subject.object)),
        );
        let drifted = match &self.slot.state {
            State::Done { inputs: before, succeeded: true, .. } if *before == inputs => self.drifted(),
            _ => Vec::new(),
        };
        let state = std::mem::take(&mut self.slot.state);
        let situation = Situation {
            inputs: &inputs,
            source_known: source.is_ok(),
            drifted,
            repairs: &self.slot.repairs,
            now: Instant::now(),
        };
        let skip_unchanged = match decide(state, situation) {
            Decision::CarryOn(run, phase) => return self.carry_on(run, phase).await,
            Decision::Rest(state, wait) => {
                self.slot.state = state;
                return Ok(Outcome::After(wait));
            }
            Decision::Begin { replaced, skip_unchanged, drifted } => {
                if let Some((run, phase)) = replaced {
                    self.replaced(&run, &phase, &inputs);
                }
                self.slot.applied.run_begins(&self.cluster.index, &drifted);
                if !drifted.is_empty() {
                    self.begin_repair(&drifted).await;
                }
                skip_unchanged
            }
        };
        match self.admit(source).await? {
            Ok(artifact) => self.begin(inputs, artifact, skip_unchanged).await,
            Err(outcome) => Ok(outcome),
        }
    }

    /// Begins a run and carries it as far as it goes.
    async fn begin(
        &mut self,
        inputs: Inputs,
        artifact: Artifact,
        skip_unchanged: bool,
    ) -> Result<Outcome, PatchError> {
        let (object, arguments) = (&self.subject.object, &self.context.arguments);
        let before = status::inventory(object);
        let guard = object.annotations().get(PRUNE_GUARD_ANNOTATION);
        let plan = Plan {
            inputs,
            artifact,
            path: artifact::path::confine(&object.spec.path),
            started: Instant::now(),
            timeout: self.subject.timeout(),
            prune: object.spec.prune,
            prune_guard: PruneGuard::new(arguments.prune_guard_percent, guard.map(String::as_str)),
            fail_fast: !arguments.feature_gates.is_on(NO_FAIL_FAST),
            skip_unchanged: skip_unchanged && arguments.watch_drift,
            before,
            last_build: self.slot.applied.build.take(),
            was_healthy: is_true(status::listed(object), HEALTHY),
        };
        let run = Run::new(plan, self.context.runs.begin());
        self.carry_on(Box::new(run), Phase::Start).await
    }

    /// Carries a run on from the phase it was put aside in.
    async fn carry_on(&mut self, mut run: Box<Run>, phase: Phase) -> Result<Outcome, PatchError> {
        let ending = machine::drive(&mut run, phase, self).await?;
        self.end(run, ending).await
    }

    /// The client that objects are applied and deleted with.
    pub(crate) fn identity(&self) -> Result<Client, Failure> {
        let account = self.subject.service_account(self.context.arguments.default_service_account.as_deref());
        let Some(account) = account else { return Ok(self.cluster.client.clone()) };
        check_account_name(&account)
            .map_err(|error| Failure::new(RECONCILIATION_FAILED, format!("service account: {error}")))?;
        let user = format!("system:serviceaccount:{}:{account}", self.subject.namespace());
        runtime::client::impersonate(&self.cluster.client, &user)
            .map_err(|error| Failure::new(RECONCILIATION_FAILED, error.to_string()))
    }
}

fn inputs(object: &Kustomization, artifact: Option<&Artifact>, configs: u64) -> Inputs {
    Inputs {
        generation: object.metadata.generation.unwrap_or_default(),
        requested: object.annotations().get(RECONCILE_REQUEST_ANNOTATION).cloned(),
        content: artifact.map(Content::of),
        uid: object.uid(),
        configs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_generation_request_and_content_of_the_source() {
        let mut app = Kustomization::new("app", Default::default());
        let artifact = |revision: &str, digest: &str| Artifact {
            revision: revision.into(),
            digest: digest.into(),
            ..Artifact::default()
        };
        let first = inputs(&app, Some(&artifact("r1", "d1")), 0);
        assert_eq!(first, inputs(&app, Some(&artifact("r1", "d1")), 0));
        assert_ne!(first, inputs(&app, Some(&artifact("r2", "d1")), 0));
        assert_ne!(first, inputs(&app, Some(&artifact("r1", "d2")), 0));
        assert_ne!(first, inputs(&app, None, 0));
        app.annotations_mut().insert(RECONCILE_REQUEST_ANNOTATION.into(), "now".into());
        assert_ne!(first, inputs(&app, Some(&artifact("r1", "d1")), 0));
    }
}
