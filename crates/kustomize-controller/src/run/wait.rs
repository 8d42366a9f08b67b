//! Waiting for objects to become healthy, from what the watches show.

use api::duration::go_duration_string;
use std::time::Duration;

use api::kustomize::{
    conditions::HEALTHY,
    reasons::{HEALTH_CHECK_CANCELED, HEALTH_CHECK_FAILED},
};
use api::meta::reasons::PROGRESSING;
use apply::{
    applier::Memory,
    change::{Change, ChangeSet},
    object::{ObjectId, split_api_version},
};
use kube::{Api, api::DynamicObject, core::GroupVersionKind};
use references::check_name;
use runtime::{
    conditions::{Status, is_true},
    events::Severity,
    patch::PatchError,
};
use tokio::time::Instant;

use super::{Failure, Inputs, Phase, Run, Step};
use crate::{
    flags::NO_FAIL_FAST,
    health::{self, Awaited, Health, Polled},
    reconciler::{Reconciler, Slot},
    sources::SourceKey,
    status,
    subject::Subject,
};

/// A wait that is over sooner is not worth a write: most runs write when they begin and when they end, and no more.
const WORTH_TELLING: Duration = Duration::from_secs(10);

impl Reconciler {
    /// The applied objects of `changes`, to be awaited in the state they were applied in, or a later one.
    pub(super) fn awaited(&self, run: &Run, changes: &ChangeSet, memory: &Memory) -> Vec<Awaited> {
        let await_change = |change: &Change| Awaited {
            id: change.id.clone(),
            gvk: change.id.gvk(&change.version),
            not_before: memory.get(&change.id).map(|a| a.resource_version.clone()).unwrap_or_default(),
            may_vanish: run.vanishing.contains(&change.id),
            watch: None,
            polled: Polled::default(),
        };
        changes.applied().map(await_change).collect()
    }

    /// The next phase after everything is applied.
    pub(super) async fn begin_health(
        &self,
        slot: &Slot,
        subject: &mut Subject,
        run: &mut Run,
    ) -> Result<Step, PatchError> {
        let spec = &subject.object.spec;
        let awaited = if spec.wait {
            self.awaited(run, &run.changes, &slot.memory)
        } else {
            match self.listed(subject).await {
                Ok(awaited) => awaited,
                Err(failure) => return Ok(Step::Fail(failure)),
            }
        };
        if !spec.wait && spec.health_checks.is_empty() {
            status::conditions(&mut subject.object).remove(HEALTHY);
            return Ok(Step::Done);
        }
        run.now("Running health checks", &go_duration_string(subject.timeout()));
        let since = Instant::now();
        Ok(Step::Next(Phase::AwaitHealth { awaited, since, deadline: since + subject.timeout() }))
    }

    /// The objects that `spec.healthChecks` names, in the version that the cluster prefers.
    async fn listed(&self, subject: &Subject) -> Result<Vec<Awaited>, Failure> {
        let owner = subject.owner();
        let mut awaited = Vec::new();
        for check in &subject.object.spec.health_checks {
            let api_version = check.api_version.as_deref().filter(|v| !v.is_empty()).unwrap_or("apps/v1");
            let (group, version) = split_api_version(api_version);
            let id = ObjectId {
                group: group.to_owned(),
                kind: check.kind.clone(),
                namespace: check.namespace.clone().unwrap_or_default(),
                name: check.name.clone(),
            };
            if id.kind == "Kustomization"
                && (id.namespace.as_str(), id.name.as_str()) == (&owner.namespace, &owner.name)
            {
                continue;
            }
            let mapped = self.context.mapper.resolve_preferred(group, &check.kind).await;
            let gvk = id.gvk(mapped.as_ref().map_or(version, |m| &m.resource.version));
            if mapped.is_ok_and(|m| m.namespaced) && id.namespace.is_empty() {
                let missing = format!("can't determine status for {}", id.subject());
                return Err(self.unhealthy(Duration::ZERO, &health::failed_message(&[missing])));
            }
            if let Err(denied) = self.may_see(subject, &id, &gvk).await? {
                let line = format!("{} status: 'Unknown': {denied}", id.subject());
                return Err(self.unhealthy(Duration::ZERO, &health::failed_message(&[line])));
            }
            let watch = self.context.index.watch_object(&gvk, &id.namespace, &id.name, &owner);
            awaited.push(Awaited {
                id,
                gvk,
                not_before: "".into(),
                may_vanish: false,
                watch: Some(watch),
                polled: Polled::default(),
            });
        }
        Ok(awaited)
    }

    /// Whether the identity that applies may read the object: the watch is the controller's own, and what it shows of
    /// another tenant's object must not reach a status that its author can read.
    async fn may_see(
        &self,
        subject: &Subject,
        id: &ObjectId,
        gvk: &GroupVersionKind,
    ) -> Result<Result<(), String>, Failure> {
        let namespace = if id.namespace.is_empty() { Ok(()) } else { check_name(&id.namespace) };
        if let Err(error) = check_name(&id.name).and(namespace) {
            return Ok(Err(error.to_string()));
        }
        let Ok(mapped) = self.context.mapper.resolve(gvk).await else { return Ok(Ok(())) };
        let client = self.identity(subject)?;
        let api: Api<DynamicObject> = if mapped.namespaced {
            Api::namespaced_with(client, &id.namespace, &mapped.resource)
        } else {
            Api::all_with(client, &mapped.resource)
        };
        Ok(match api.get_metadata(&id.name).await {
            Err(kube::Error::Api(status)) if status.code == 403 => Err(status.message.clone()),
            // Whatever else is wrong, the watch meets it too.
            _ => Ok(()),
        })
    }

    /// Looks whether everything is healthy.
    pub(super) async fn healthy(
        &self,
        subject: &mut Subject,
        run: &mut Run,
        mut awaited: Vec<Awaited>,
        (since, deadline): (Instant, Instant),
    ) -> Result<Step, PatchError> {
        let again = self.poll_health(subject, &mut awaited).await;
        let (now, took) = (Instant::now(), since.elapsed());
        let fail_fast = !self.context.arguments.feature_gates.is_on(NO_FAIL_FAST);
        match health::judge(&awaited, &self.context.index, fail_fast) {
            Health::Current => {
                let message = format!("Health check passed in {}", go_duration_string(took));
                let applied = subject.object.status.as_ref().and_then(|s| s.last_applied_revision.as_ref());
                let news = applied != Some(&run.artifact.revision) && run.changes.wrote();
                // A quiet run leaves the message of the last check that meant something.
                let told = is_true(status::listed(&subject.object), HEALTHY);
                if !told || news {
                    status::healthy(&mut subject.object, &message);
                }
                if !run.was_healthy || news {
                    self.say(subject, run, &message);
                }
                Ok(Step::Done)
            }
            Health::Failed(failed) => Ok(Step::Fail(self.unhealthy(took, &health::failed_message(&failed)))),
            Health::Waiting(open) if now >= deadline => {
                Ok(Step::Fail(self.unhealthy(took, &health::timeout_message(&open))))
            }
            Health::Waiting(_) => {
                let left = again.map_or(deadline - now, |again| again.min(deadline - now));
                if took < WORTH_TELLING {
                    let phase = Phase::AwaitHealth { awaited, since, deadline };
                    return Ok(Step::Wait(phase, left.min(WORTH_TELLING - took)));
                }
                let message = run.message.clone();
                status::conditions(&mut subject.object).set(HEALTHY, Status::Unknown, PROGRESSING, message);
                self.announce(subject, run).await?;
                Ok(Step::Wait(Phase::AwaitHealth { awaited, since, deadline }, left))
            }
        }
    }

    /// A run gives way to another one, which is news if it waited for health.
    pub(crate) fn replaced(&self, subject: &Subject, run: &Run, inputs: &Inputs) {
        tracing::info!(revision = run.artifact.revision, "the run is replaced, its inputs have changed");
        if !matches!(run.phase, Phase::AwaitHealth { .. }) {
            return;
        }
        let trigger = if run.inputs.content == inputs.content {
            format!("Kustomization/{}/{}", subject.namespace(), subject.name())
        } else {
            SourceKey::of(&subject.object).to_string()
        };
        let message = format!("Health checks canceled due to new reconciliation triggered by {trigger}");
        let artifact = Some(&run.artifact);
        subject.event(&self.context.events, Severity::Info, HEALTH_CHECK_CANCELED, artifact, &message);
    }

    fn unhealthy(&self, took: Duration, inner: &str) -> Failure {
        let message = health::ready_message(took, inner);
        Failure { healthy: Some(inner.to_owned()), ..Failure::new(HEALTH_CHECK_FAILED, message).recorded() }
    }
}
