//! One pass over one HelmRelease.

use std::sync::Arc;

use api::helm::actions::{HEALTH_CHECK, RECONCILE};
use api::helm::reasons::{
    ARTIFACT_FAILED, CHART_MUTATE_ERROR, DEPENDENCY_NOT_READY, HELM_CHART_SYNC_ERROR, REST_CLIENT_ERROR,
    SOURCE_NOT_READY, VALUES_ERROR,
};
use api::meta::reasons::PROGRESSING;
use api::{Artifact, HelmRelease};
use apply::kstatus::custom::HealthRules;
use helm_actions::Kept;
use helm_state::Desired;
use kube::runtime::reflector::ObjectRef;
use net::chain;
use references::sources::{Content, SourceKey};
use runtime::backoff::jitter;
use runtime::conditions::{READY, Status};
use runtime::controller::Outcome;
use runtime::diagnostics::{Pause, Progress};
use runtime::events::Severity;
use runtime::patch::PatchError;
use tokio_util::sync::CancellationToken;

use crate::chart::Chart;
use crate::context::Context;
use crate::obstacle::{Halt, Obstacle, Then};
use crate::prerequisites::source_key;
use crate::reconciler::Slot;
use crate::refusals::refusal;
use crate::source;
use crate::subject::{Subject, at_least_shortest};
use crate::target::Target;

/// The reason of what is asked for and not served.
const NOT_SUPPORTED: &str = "NotSupported";
/// What an object says that is worked on.
const FULFILLING: &str = "Fulfilling prerequisites";

/// One pass.
pub struct Pass<'a> {
    /// What all share.
    pub context: &'a Context,
    /// What is kept of the object between passes.
    pub slot: &'a mut Slot,
    /// The object.
    pub subject: Subject,
    /// The stored revision that this pass has read or written last.
    pub kept: Kept,
    /// The step that it is at.
    pub progress: Progress,
    /// Ends waits for objects of the release, because something else is wanted by now.
    pub interrupt: CancellationToken,
}

/// What a release is made of, and where it goes.
pub struct Prepared {
    /// What is wanted, for decisions.
    pub desired: Desired,
    /// The chart, until an action begins: it is not kept while that waits.
    pub chart: Option<Arc<Chart>>,
    /// Where the chart is.
    pub artifact: Artifact,
    /// The cluster and the identity.
    pub target: Target,
    /// Where the chart is from.
    pub source: SourceKey,
    /// What was there.
    pub content: Content,
}

impl Pass<'_> {
    /// Brings the release a step closer to what the object asks for.
    ///
    /// # Errors
    /// When its status cannot be written.
    pub async fn run(&mut self) -> Result<Outcome, PatchError> {
        self.slot.pause = Pause::Other;
        if self.subject.object.metadata.deletion_timestamp.is_some() {
            self.slot.memory.forget();
            return self.finalize().await;
        }
        if !source::is_valid(&self.subject.object) {
            tracing::error!("invalid Chart reference");
            return Ok(Outcome::Wait);
        }
        self.subject.set_finalizer(true).await?;
        if self.subject.object.spec.suspend {
            tracing::info!("reconciliation is suspended for this object");
            self.slot.memory.forget();
            self.subject.observed();
            return self.finish(Outcome::Wait).await;
        }
        self.look_at_drift();
        match self.work().await {
            Ok(outcome) => self.end(outcome).await,
            Err(Halt::Obstacle(obstacle)) => self.stop_at(*obstacle).await,
            Err(Halt::Patch(error)) => Err(error),
        }
    }

    async fn work(&mut self) -> Result<helm_state::Outcome, Halt> {
        let mut prepared = self.prepare().await?;
        if let Some(change) = helm_state::target_change(&self.subject.object, &prepared.desired.chart_name) {
            tracing::info!(
                "release target configuration changed ({change}): running uninstall for current release"
            );
            self.uninstall_former(&prepared).await?;
            return Ok(helm_state::Outcome::Requeue);
        }
        if let Some(reset) = helm_state::begin_attempt(&mut self.subject.object, &prepared.desired) {
            tracing::debug!("resetting failure count ({reset})");
        }
        self.keep_released(&mut prepared).await
    }

    /// All that has to be there before the release is looked at.
    async fn prepare(&mut self) -> Result<Prepared, Halt> {
        if let Some(refused) = refusal(&self.subject.object, &self.context.arguments) {
            return Err(Obstacle::stalling(RECONCILE, NOT_SUPPORTED, refused).into());
        }
        let rules = health_rules(&self.subject.object)
            .map_err(|error| self.misconfigured(HEALTH_CHECK, &chain(&error)))?;
        let chart_object = self.keep_chart_object().await?;
        self.passed(HELM_CHART_SYNC_ERROR);
        if self.subject.object.spec.rollback.recreate {
            tracing::info!("spec.rollback.recreate is deprecated, and does nothing");
        }
        self.subject.conditions().reconciling(PROGRESSING, FULFILLING);
        self.check_dependencies().await?;
        self.passed(DEPENDENCY_NOT_READY);
        let (reference, artifact) = self.source(chart_object).await?;
        self.passed(SOURCE_NOT_READY);
        let composed = self.values().await?;
        self.passed(VALUES_ERROR);
        let chart = self.chart(&reference.kind, &artifact, &composed.values).await?;
        self.passed(ARTIFACT_FAILED);
        self.passed(CHART_MUTATE_ERROR);
        let algorithm = self.context.arguments.snapshot_digest_algo;
        let desired = Desired::new(&chart.metadata, &chart.oci_digest, composed.values, algorithm);
        let target = self.target(composed.secrets, rules).await?;
        self.passed(REST_CLIENT_ERROR);
        let (source, content) = (source_key(&reference), Content::of(&artifact));
        Ok(Prepared { desired, chart: Some(Arc::new(chart)), artifact, target, source, content })
    }

    /// A gate was passed: what it said before is not true any more.
    fn passed(&mut self, reason: &str) {
        let mut conditions = self.subject.conditions();
        let is_stale = |ready: &api::Condition| ready.status == Status::False && ready.reason == reason;
        if conditions.get(READY).is_some_and(is_stale) {
            conditions.set(READY, Status::Unknown, PROGRESSING, "reconciliation in progress");
        }
    }

    /// Says what keeps the object from going on.
    pub(crate) async fn stop_at(&mut self, obstacle: Obstacle) -> Result<Outcome, PatchError> {
        let mut conditions = self.subject.conditions();
        if !obstacle.reason.is_empty() {
            conditions.set(READY, Status::False, obstacle.reason, &obstacle.message);
        }
        if obstacle.then == Then::Stall {
            conditions.stalled(obstacle.reason, &obstacle.message);
            tracing::error!(reason = obstacle.reason, "{obstacle}");
            self.subject.observed();
        }
        if let Some(told) = &obstacle.event {
            let severity = if told.is_warning { Severity::Error } else { Severity::Info };
            let (events, reason) = (&self.context.events, obstacle.reason);
            self.subject.event(events, severity, told.action, reason, &told.message);
        }
        let outcome = match obstacle.then {
            Then::Stall => Outcome::Wait,
            Then::After(time) => {
                self.slot.pause = Pause::Blocked;
                Outcome::After(time)
            }
            Then::Retry => Outcome::Failed(Box::new(obstacle)),
        };
        self.finish(outcome).await
    }

    /// Ends a pass that looked at the release.
    async fn end(&mut self, outcome: helm_state::Outcome) -> Result<Outcome, PatchError> {
        if outcome.observes_generation() {
            self.subject.observed();
        }
        let key = ObjectRef::from_obj(&self.subject.object);
        let percent = self.context.arguments.shared.interval_jitter_percentage;
        if outcome != helm_state::Outcome::Requeue {
            self.context.requeues.reset(&key);
        }
        let outcome = match outcome {
            helm_state::Outcome::Done => {
                self.slot.memory.is_done = true;
                Outcome::After(jitter(self.subject.interval(), percent))
            }
            helm_state::Outcome::RetryAfter(time) => {
                self.slot.pause = Pause::Failed;
                Outcome::After(jitter(at_least_shortest(time), percent))
            }
            helm_state::Outcome::Requeue => {
                self.slot.pause = Pause::Again;
                Outcome::After(self.context.requeues.failed(key))
            }
            helm_state::Outcome::Stalled(why) => {
                tracing::error!("{why}");
                Outcome::Wait
            }
            helm_state::Outcome::Failed(why) => Outcome::Failed(why.into()),
        };
        self.finish(outcome).await
    }

    /// Writes what this pass has to say.
    pub(crate) async fn finish(&mut self, outcome: Outcome) -> Result<Outcome, PatchError> {
        self.subject.handled();
        self.subject.save().await?;
        Ok(outcome)
    }
}

/// The rules of `spec.healthCheckExprs`.
///
/// # Errors
/// An expression is invalid.
pub fn health_rules(object: &HelmRelease) -> Result<HealthRules, apply::kstatus::custom::HealthRulesError> {
    HealthRules::new(&object.spec.health_check_exprs, true)
}
