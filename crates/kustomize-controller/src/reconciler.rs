//! What a pass does with a Kustomization: begin a run, carry one on, or nothing because nothing is due.

use api::duration::go_duration_string;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    Artifact, Kustomization,
    kustomization::IgnoreRule,
    kustomize::reasons::{ARTIFACT_FAILED, DEPENDENCY_NOT_READY},
    meta::{
        RECONCILE_REQUEST_ANNOTATION,
        reasons::{ACCESS_DENIED, FEATURE_GATE_DISABLED, INVALID_CEL_EXPRESSION},
    },
};
use apply::{
    applier::Memory,
    change::ChangeSet,
    kstatus::custom::{HealthRules, HealthRulesError},
    object::ObjectId,
    prepare::Owner,
};
use kube::{
    ResourceExt,
    runtime::{reflector::ObjectRef, watcher::Event},
};
use runtime::{
    conditions::{READY, find},
    controller::{Outcome, Reconcile},
    events::Severity,
    latest::Latest,
    patch::PatchError,
};
use tokio::time::Instant;

use crate::{
    context::Context,
    dependencies::{self, Blocked, Interest},
    drift::Repairs,
    flags::{ADDITIVE_CEL_CHECK, EXTERNAL_ARTIFACT, OBJECT_IDENTITY},
    run::{Basis, Inputs, Run},
    sources::{self, Content, SourceError, SourceKey},
    status,
    subject::Subject,
    unsupported,
};

type Key = ObjectRef<Kustomization>;

const NO_OBJECT_IDENTITY: &str = "to use spec.decryption.serviceAccountName for decryption authentication please enable \
                                  the ObjectLevelWorkloadIdentity feature gate in the controller";

/// The controller's memory of its objects, and the passes over them.
pub struct Reconciler {
    pub(crate) context: Context,
    slots: Mutex<HashMap<Key, Slot>>,
    latest: Latest<Kustomization>,
}

/// What is kept of one Kustomization between passes. A slot that is lost costs requests, nothing else.
#[derive(Default)]
pub(crate) struct Slot {
    pub memory: Memory,
    /// What these were built from, if the last run succeeded.
    pub basis: Option<Basis>,
    /// The ignore rules that the memory is good for.
    pub ignore: Vec<IgnoreRule>,
    /// Objects that their own annotations keep from being touched, by the owners of their fields at that time.
    pub skipped: HashMap<ObjectId, u64>,
    /// Jobs that remove themselves when they are done.
    pub vanishing: HashSet<ObjectId>,
    /// Remembered objects that no watch has shown yet.
    pub unseen: HashSet<ObjectId>,
    pub state: State,
    pub repairs: Repairs,
}

#[derive(Default)]
pub(crate) enum State {
    /// A run is due.
    #[default]
    Idle,
    /// A source or dependency is missing; any wake is a reason to look again.
    Blocked,
    /// A run waits for something.
    Running(Box<Run>),
    /// Nothing is due before this time unless the inputs change or, after a run that succeeded, the objects drift.
    Done { inputs: Inputs, due: Instant, succeeded: bool },
    /// Its objects are being deleted.
    Terminating { deleted: ChangeSet, deadline: Instant },
}

impl Reconciler {
    /// A reconciler that remembers nothing.
    pub fn new(context: Context) -> Self {
        let latest = Latest::new(context.store.clone());
        Self { context, slots: Mutex::default(), latest }
    }

    /// An object of this owner changed its health, its owner marks or is gone: wakes the owner if that matters to it.
    pub fn noticed(&self, owner: &Owner) {
        let key = Key::new(&owner.name).within(&owner.namespace);
        let Some(object) = self.context.store.get(&key) else { return };
        let matters = match self.slots().get_mut(&key) {
            // A pass is under way; the next one will see.
            None => true,
            Some(Slot { state: State::Running(_), .. }) => true,
            Some(slot @ Slot { state: State::Done { succeeded: true, .. }, .. }) => {
                !self.drifted(slot, &object).is_empty()
            }
            Some(_) => false,
        };
        if matters {
            self.context.waker.wake(key);
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rules of `spec.healthCheckExprs`. As upstream's readers are ordered, those of an impersonated service account for
    /// Jobs count and the controller's own do not.
    pub(crate) fn health_rules(&self, object: &Kustomization) -> Result<HealthRules, HealthRulesError> {
        let default = &self.context.arguments.default_service_account;
        let named = object.spec.service_account_name.as_ref().is_some_and(|name| !name.is_empty());
        HealthRules::new(&object.spec.health_check_exprs, named || !default.is_empty())
    }

    async fn pass(&self, slot: &mut Slot, subject: &mut Subject) -> Result<Outcome, PatchError> {
        if subject.object.metadata.deletion_timestamp.is_some() {
            return self.finalise(slot, subject).await;
        }
        subject.set_finalizer(true).await?;
        if subject.object.spec.suspend {
            tracing::info!("Reconciliation is suspended for this object");
            slot.state = State::Idle;
            status::finalise(&mut subject.object);
            subject.save().await?;
            return Ok(Outcome::Wait);
        }
        // What may not be referred to is not read either.
        let source = match self.denied(&subject.object) {
            Some(_) => Ok(None),
            None => self.context.sources.get(&SourceKey::of(&subject.object)).await,
        };
        let artifact = source.as_ref().ok().and_then(Option::as_ref);
        let inputs = inputs(&subject.object, artifact, self.context.configs.state(&subject.object));
        let mut trusting = false;
        match std::mem::take(&mut slot.state) {
            // A source that cannot be read for the moment is no reason to give up what was fetched from it.
            State::Running(run) if run.inputs == inputs || source.is_err() && run.fits(&inputs) => {
                return self.carry_on(slot, subject, *run).await;
            }
            State::Running(run) => self.replaced(subject, &run, &inputs),
            State::Done { inputs: before, due, succeeded } if before == inputs => {
                trusting = true;
                let now = Instant::now();
                let left = due.saturating_duration_since(now);
                let drifted = if succeeded { self.drifted(slot, &subject.object) } else { Vec::new() };
                let wait = if drifted.is_empty() { left } else { slot.repairs.wait(&drifted, now).min(left) };
                if !wait.is_zero() {
                    slot.state = State::Done { inputs, due, succeeded };
                    return Ok(Outcome::After(wait));
                }
                if !left.is_zero() {
                    self.begin_repair(slot, subject, &drifted).await;
                }
            }
            // New content or variables alone. Who changes the spec or asks for a run wants to see everything looked at.
            State::Done { inputs: before, .. } => {
                let Inputs { content, configs, .. } = inputs.clone();
                trusting = Inputs { content, configs, ..before } == inputs;
            }
            _ => {}
        }
        match self.admit(slot, subject, source).await? {
            Ok(artifact) => {
                let before = status::inventory(&subject.object);
                let in_flight = self.context.runs.begin();
                let timeout = go_duration_string(subject.timeout());
                let mut run = Run::new(inputs, artifact, before, &timeout, in_flight);
                run.trusting = trusting;
                self.begin(slot, subject, run).await
            }
            Err(outcome) => Ok(outcome),
        }
    }

    /// Whether the object may run now, and on which artifact.
    async fn admit(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        source: Result<Option<Artifact>, SourceError>,
    ) -> Result<Result<Artifact, Outcome>, PatchError> {
        if let Err(error) = self.health_rules(&subject.object) {
            return self.misconfigured(subject, &runtime::error::chain(&error)).await.map(Err);
        }
        let decryption = subject.object.spec.decryption.as_ref();
        if decryption.is_some_and(|d| d.service_account_name.is_some())
            && !self.context.arguments.feature_gates.is_on(OBJECT_IDENTITY)
        {
            return self.stall(subject, FEATURE_GATE_DISABLED, NO_OBJECT_IDENTITY).await.map(Err);
        }
        if let Some(field) = unsupported::field(&subject.object.spec) {
            let message = format!("{field} is not supported yet");
            return self.stall(subject, "UnsupportedField", &message).await.map(Err);
        }
        if let Some(denied) = self.denied(&subject.object) {
            return self.stall(subject, ACCESS_DENIED, &denied).await.map(Err);
        }
        let again = self.context.arguments.shared.requeue_dependency;
        let artifact = match source {
            Ok(Some(artifact)) => artifact,
            Ok(None) => {
                let message = format!("Source artifact not found, retrying in {}", go_duration_string(again));
                return self.block(slot, subject, ARTIFACT_FAILED, &message, again).await.map(Err);
            }
            Err(error @ SourceError::NotFound(_)) => {
                tracing::info!("Source '{}' not found", SourceKey::of(&subject.object));
                let retry = subject.retry_interval();
                return self.block(slot, subject, ARTIFACT_FAILED, &error.to_string(), retry).await.map(Err);
            }
            Err(error) => return Ok(Err(Outcome::Failed(Box::new(error)))),
        };
        match self.dependencies_ready(&subject.object, &artifact.revision).await {
            Ok(()) => Ok(Ok(artifact)),
            Err(Blocked::Invalid(message)) => self.misconfigured(subject, &message).await.map(Err),
            Err(Blocked::Waiting(message)) => {
                let text = format!(
                    "Dependencies do not meet ready condition, retrying in {}",
                    go_duration_string(again)
                );
                tracing::info!("{text}");
                let outcome = self.block(slot, subject, DEPENDENCY_NOT_READY, &message, again).await?;
                subject.event(
                    &self.context.events,
                    Severity::Info,
                    DEPENDENCY_NOT_READY,
                    Some(&artifact),
                    &text,
                );
                Ok(Err(outcome))
            }
        }
    }

    fn denied(&self, object: &Kustomization) -> Option<String> {
        let source = SourceKey::of(object);
        if source.kind == sources::EXTERNAL_ARTIFACT
            && !self.context.arguments.feature_gates.is_on(EXTERNAL_ARTIFACT)
        {
            return Some(format!("can't access '{source}', ExternalArtifact feature gate is disabled"));
        }
        let foreign = object.metadata.namespace.as_deref() != Some(source.namespace.as_str());
        (self.context.arguments.no_cross_namespace_refs && foreign)
            .then(|| format!("can't access '{source}', cross-namespace references have been blocked"))
    }

    async fn dependencies_ready(&self, object: &Kustomization, revision: &str) -> Result<(), Blocked> {
        let additive = self.context.arguments.feature_gates.is_on(ADDITIVE_CEL_CHECK);
        for entry in &object.spec.depends_on {
            let key = dependencies::key(object, entry);
            let interest =
                if entry.ready_expr.is_some() { Interest::Everything } else { Interest::Readiness };
            self.context.dependencies.wait(ObjectRef::from_obj(object), key.clone(), interest);
            let dependency = self.context.kustomization(&key).await.map_err(|error| {
                let namespace = key.namespace.as_deref().unwrap_or_default();
                let reason = runtime::error::chain(&error);
                Blocked::Waiting(format!("dependency '{namespace}/{}' not found: {reason}", key.name))
            })?;
            let checked = dependencies::check(object, entry, &dependency, revision, additive);
            checked.map_err(|blocked| self.cycle(object, additive).unwrap_or(blocked))?;
        }
        if !object.spec.depends_on.is_empty() {
            tracing::info!("All dependencies are ready, proceeding with reconciliation");
        }
        Ok(())
    }

    /// The cycle of dependencies that an object is in. Any change of one in it may end it.
    fn cycle(&self, object: &Kustomization, additive: bool) -> Option<Blocked> {
        let next = |key: &Key| {
            let Some(object) = self.context.store.get(key) else { return Vec::new() };
            let entries = object.spec.depends_on.iter();
            let entries = entries.filter(|entry| dependencies::waits_for_readiness(entry, additive));
            entries.map(|entry| dependencies::key(&object, entry)).collect()
        };
        let start = ObjectRef::from_obj(object);
        let cycle = dependencies::cycle(&start, next)?;
        let name = |key: &Key| format!("{}/{}", key.namespace.as_deref().unwrap_or_default(), key.name);
        let names: Vec<_> = cycle.iter().map(name).collect();
        let message = format!("dependency cycle: {}", names.join(" -> "));
        let told = find(status::listed(object), READY).is_some_and(|ready| ready.message == message);
        for key in &cycle {
            self.context.dependencies.wait(start.clone(), key.clone(), Interest::Everything);
            // Who was there before the cycle was closed does not know of it.
            if !told && *key != start {
                self.context.waker.wake(key.clone());
            }
        }
        Some(Blocked::Waiting(message))
    }

    /// The object asks for what cannot be.
    async fn misconfigured(&self, subject: &mut Subject, error: &str) -> Result<Outcome, PatchError> {
        let message = format!("Reconciliation failed terminally due to configuration error: {error}");
        status::of(&mut subject.object).observed_generation = subject.object.metadata.generation;
        self.stall(subject, INVALID_CEL_EXPRESSION, &message).await
    }

    /// Something outside is missing: says so and looks again when woken, or after `again`.
    async fn block(
        &self,
        slot: &mut Slot,
        subject: &mut Subject,
        reason: &str,
        message: &str,
        again: Duration,
    ) -> Result<Outcome, PatchError> {
        status::failed(&mut subject.object, reason, message);
        status::finalise(&mut subject.object);
        subject.save().await?;
        slot.state = State::Blocked;
        Ok(Outcome::After(again))
    }

    /// Only a change of the object can help.
    async fn stall(&self, subject: &mut Subject, reason: &str, message: &str) -> Result<Outcome, PatchError> {
        status::stalled(&mut subject.object, reason, message);
        status::finalise(&mut subject.object);
        subject.save().await?;
        tracing::error!(reason, "{message}");
        subject.event(&self.context.events, Severity::Error, reason, None, message);
        Ok(Outcome::Wait)
    }
}

impl Reconcile<Kustomization> for Reconciler {
    async fn reconcile(&self, object: Arc<Kustomization>) -> Outcome {
        let key = ObjectRef::from_obj(object.as_ref());
        let mut slot = self.slots().remove(&key).unwrap_or_default();
        let mut subject =
            Subject::new(self.context.client.clone(), Kustomization::clone(&self.latest.newest(object)));
        let outcome = match self.pass(&mut slot, &mut subject).await {
            Ok(outcome) => outcome,
            Err(error) if error.is_gone() => Outcome::Wait,
            Err(error) => Outcome::Failed(Box::new(error)),
        };
        let mut slots = self.slots();
        if self.context.store.get(&key).is_some() {
            slots.insert(key, slot);
            if let Some(written) = subject.into_written() {
                self.latest.wrote(written);
            }
        }
        outcome
    }

    /// Takes in what the watch shows of any Kustomization: those that depend on it may go on.
    fn observe(&self, event: &Event<Kustomization>) {
        if let Event::Apply(object) | Event::InitApply(object) = event {
            // What is invalid stalls the object; until it is mended the built-in rules are good enough.
            self.context.index.judge_by(&owner(object), self.health_rules(object).ok());
        }
        self.context.dependencies.observe(event, &self.context.waker);
    }

    fn gone(&self, object: &Key) {
        self.slots().remove(object);
        self.latest.forget(object);
        self.context.dependencies.forget(object);
        let namespace = object.namespace.clone().unwrap_or_default();
        self.context.index.judge_by(&Owner { namespace, name: object.name.clone() }, None);
    }
}

fn owner(object: &Kustomization) -> Owner {
    Owner { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
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
    fn a_run_is_for_a_generation_a_request_and_the_content_of_its_source() {
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
