//! Whether a Kustomization may run now, and on which artifact; what it says if not.

use std::{sync::Arc, time::Duration};

use api::{
    Artifact, Kustomization,
    duration::go_duration_string,
    kustomize::reasons::{ARTIFACT_FAILED, DEPENDENCY_NOT_READY},
    meta::reasons::{ACCESS_DENIED, INVALID_CEL_EXPRESSION},
};
use expression::Blocked;
use kube::runtime::reflector::ObjectRef;
use references::sources::SourceError;
use runtime::{
    conditions::{READY, find},
    controller::Outcome,
    error::TaskError,
    events::{Severity, action},
    patch::PatchError,
};

use tokio::time::Instant;

use super::Pass;
use crate::{
    dependencies::{self, Check, Interest},
    flags::ADDITIVE_CEL_CHECK,
    health::health_rules,
    limits,
    reconciler::State,
    sources::{self, source_key},
    status,
};

type Key = ObjectRef<Kustomization>;

/// How long a pass may take to check the dependencies of an object.
const EXPRESSIONS_TIMEOUT: Duration = Duration::from_secs(5);

impl Pass<'_> {
    /// Whether the object may run now, and on which artifact.
    pub(super) async fn admit(
        &mut self,
        source: Result<Option<Artifact>, SourceError>,
    ) -> Result<Result<Artifact, Outcome>, PatchError> {
        if let Some(excess) = limits::excess(&self.subject.object.spec) {
            return self.stall(action::RECONCILE, "LimitExceeded", None, &excess).await.map(Err);
        }
        if let Err(error) = health_rules(&self.subject.object, &self.context.arguments) {
            return self
                .misconfigured(action::HEALTH_CHECK, None, &runtime::error::chain(&error))
                .await
                .map(Err);
        }
        if let Some(denied) = sources::denied(&self.subject.object, &self.context.arguments) {
            return self.stall(action::RESOLVE_SOURCE, ACCESS_DENIED, None, &denied).await.map(Err);
        }
        let again = self.context.arguments.shared.requeue_dependency;
        let artifact = match source {
            Ok(Some(artifact)) => artifact,
            Ok(None) => {
                let message = format!("Source artifact not found, retrying in {}", go_duration_string(again));
                return self.block(ARTIFACT_FAILED, &message, again).await.map(Err);
            }
            Err(error @ SourceError::NotFound(_)) => {
                tracing::info!("Source '{}' not found", source_key(&self.subject.object));
                let retry = self.subject.retry_interval();
                return self.block(ARTIFACT_FAILED, &error.to_string(), retry).await.map(Err);
            }
            Err(error) => return Ok(Err(Outcome::Failed(Box::new(error)))),
        };
        match self.dependencies_ready(&artifact.revision).await {
            Ok(()) => Ok(Ok(artifact)),
            Err(Blocked::Invalid(message)) => {
                self.misconfigured(action::CHECK_DEPENDENCIES, Some(&artifact), &message).await.map(Err)
            }
            Err(Blocked::Waiting(message)) => {
                let text = format!(
                    "Dependencies do not meet ready condition, retrying in {}",
                    go_duration_string(again)
                );
                tracing::info!("{text}");
                let outcome = self.block(DEPENDENCY_NOT_READY, &message, again).await?;
                self.subject.event(
                    &self.context.events,
                    Severity::Info,
                    action::CHECK_DEPENDENCIES,
                    DEPENDENCY_NOT_READY,
                    Some(&artifact),
                    &text,
                );
                Ok(Err(outcome))
            }
        }
    }

    async fn dependencies_ready(&self, revision: &str) -> Result<(), Blocked> {
        let object = &self.subject.object;
        if object.spec.depends_on.is_empty() {
            return Ok(());
        }
        let additive = self.context.arguments.feature_gates.is_on(ADDITIVE_CEL_CHECK);
        let dependent = Arc::new(object.clone());
        let began = Instant::now();
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
            let restricted = self.context.arguments.no_cross_namespace_refs
                && object.metadata.namespace != dependency.metadata.namespace;
            let check = Check {
                dependent: dependent.clone(),
                entry: entry.clone(),
                dependency,
                revision: revision.to_owned(),
                additive,
                restricted,
            };
            let checked = if check.has_expression() {
                let checked = tokio::task::spawn_blocking(move || check.run()).await;
                checked.unwrap_or_else(|panic| Err(Blocked::Waiting(TaskError::from(panic).to_string())))
            } else {
                check.run()
            };
            // Expressions are bounded each, but there may be many.
            if began.elapsed() > EXPRESSIONS_TIMEOUT {
                let limit = go_duration_string(EXPRESSIONS_TIMEOUT);
                return Err(Blocked::Waiting(format!("the dependencies took longer than {limit} to check")));
            }
            checked.map_err(|blocked| self.cycle(object, additive).unwrap_or(blocked))?;
        }
        tracing::info!("All dependencies are ready, proceeding with reconciliation");
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
            // Members that were blocked before the cycle was closed must be woken to report it.
            if !told && *key != start {
                self.context.waker.wake(key.clone());
            }
        }
        Some(Blocked::Waiting(message))
    }

    /// The object asks for what cannot be.
    async fn misconfigured(
        &mut self,
        action: &'static str,
        artifact: Option<&Artifact>,
        error: &str,
    ) -> Result<Outcome, PatchError> {
        let message = format!("Reconciliation failed terminally due to configuration error: {error}");
        status::of(&mut self.subject.object).observed_generation = self.subject.object.metadata.generation;
        self.stall(action, INVALID_CEL_EXPRESSION, artifact, &message).await
    }

    /// Something outside is missing: says so and looks again when woken, or after `again`.
    async fn block(&mut self, reason: &str, message: &str, again: Duration) -> Result<Outcome, PatchError> {
        status::failed(&mut self.subject.object, reason, message);
        status::settle_conditions(&mut self.subject.object);
        self.subject.save().await?;
        self.slot.state = State::Blocked;
        Ok(Outcome::After(again))
    }

    /// Only a change of the object can help.
    async fn stall(
        &mut self,
        action: &'static str,
        reason: &str,
        artifact: Option<&Artifact>,
        message: &str,
    ) -> Result<Outcome, PatchError> {
        status::stalled(&mut self.subject.object, reason, message);
        status::settle_conditions(&mut self.subject.object);
        self.subject.save().await?;
        tracing::error!(reason, "{message}");
        self.subject.event(&self.context.events, Severity::Error, action, reason, artifact, message);
        Ok(Outcome::Wait)
    }
}
