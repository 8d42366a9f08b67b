//! Drift: how often it is repaired, and what is said of it.

use std::time::Duration;

use api::kustomize::{
    DRIFT_ANNOTATION,
    reasons::{DRIFT_DETECTED, DRIFT_REPEATED},
};
use apply::{
    change::{Action, Change},
    object::ObjectId,
    ownership::last_foreign_manager,
    read,
};
use kube::ResourceExt;
use runtime::events::{Severity, action};
use tokio::time::Instant;

use crate::{MANAGER, flags::DriftMode, pass::Pass, run::Run, status};

/// Most objects of which the other field manager is looked up at once.
const MANAGER_LOOKUPS: usize = 8;
/// Longest wait for one answer then.
const MANAGER_TIMEOUT: Duration = Duration::from_secs(10);

impl Pass<'_> {
    /// The applied objects that are not as we left them.
    pub(crate) fn drifted(&self) -> Vec<ObjectId> {
        if !self.context.arguments.watch_drift {
            return Vec::new();
        }
        let inventory = status::inventory(&self.subject.object);
        self.slot.applied.drifted(&self.cluster.index, &self.subject.owner(), inventory)
    }

    /// A run begins because of these objects. Looks up who else changes those that are changed again and again.
    pub(crate) async fn begin_repair(&mut self, drifted: &[ObjectId]) {
        self.slot.repairs.begin(drifted, Instant::now());
        let Ok(client) = self.identity() else { return };
        let inventory = status::inventory(&self.subject.object);
        for id in self.slot.repairs.about_to_be_repeated().into_iter().take(MANAGER_LOOKUPS) {
            let Some(entry) = inventory.iter().find(|entry| entry.id == id) else { continue };
            // Who it is is good to know; that it goes on is what matters.
            if let Ok(Some(live)) = read::object(&client, &self.cluster.mapper, entry, MANAGER_TIMEOUT).await
                && let Some(manager) = last_foreign_manager(&live, &MANAGER)
            {
                self.slot.repairs.changed_by(&id, manager);
            }
        }
    }

    /// Says of objects that were changed back again and again that this goes on, once.
    pub(crate) fn emit_repeated_drift(&mut self, run: &Run) {
        let is_repair = |change: &&Change| matches!(change.action, Action::Created | Action::Configured);
        let repaired = run.progress.changes.changes.iter().filter(is_repair);
        for message in self.slot.repairs.repaired(repaired.map(|change| &change.id), Instant::now()) {
            tracing::warn!("{message}");
            let (recorder, artifact) = (&self.context.events, Some(&run.plan.artifact));
            self.subject.event(recorder, Severity::Error, action::APPLY, DRIFT_REPEATED, artifact, &message);
        }
    }

    /// Whether drift is left alone, unless Git or a person asks for something new.
    pub(crate) fn is_report_only(&self, digest: &str) -> bool {
        let object = &self.subject.object;
        let mode = match object.annotations().get(DRIFT_ANNOTATION) {
            Some(mode) if mode.eq_ignore_ascii_case("report") => DriftMode::Report,
            Some(mode) if mode.eq_ignore_ascii_case("repair") => DriftMode::Repair,
            _ => self.context.arguments.drift_mode,
        };
        mode == DriftMode::Report && status::is_applied(object, digest)
    }

    /// Says which objects a run would have changed back: condition, event when it is news, metric.
    pub(crate) fn publish_drift(&mut self, run: &Run) {
        let unrepaired = &run.progress.unrepaired;
        let lines = unrepaired.lines(|_| true);
        let owner = self.subject.owner();
        self.context.drifted.set(&owner.namespace, &owner.name, unrepaired.changes.len());
        if status::drifted(&mut self.subject.object, &lines) {
            tracing::warn!(revision = run.plan.artifact.revision, "drift detected: {lines}");
            let (recorder, artifact) = (&self.context.events, Some(&run.plan.artifact));
            self.subject.event(recorder, Severity::Error, action::APPLY, DRIFT_DETECTED, artifact, &lines);
        }
    }
}
