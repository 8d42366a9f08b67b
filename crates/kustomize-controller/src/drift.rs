//! Drift: how often it is repaired, and what is said of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    Kustomization,
    kustomize::{
        DRIFT_ANNOTATION,
        reasons::{DRIFT_DETECTED, DRIFT_REPEATED},
    },
};
use apply::{
    change::{Action, Change},
    object::ObjectId,
    ownership::last_foreign_manager,
    read,
};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use runtime::{
    events::{Severity, action},
    metrics::{Metrics, Sample},
};
use tokio::time::Instant;

use crate::{MANAGER, flags::DriftMode, pass::Pass, run::Run, status};

/// Most objects of which the other field manager is looked up at once.
const MANAGER_LOOKUPS: usize = 8;
/// Longest wait for one answer then.
const MANAGER_TIMEOUT: Duration = Duration::from_secs(10);

/// How many objects of each Kustomization have drifted and stay so, as a metric. Clones share it.
#[derive(Clone, Default)]
pub struct DriftedObjects(Arc<Mutex<HashMap<ObjectRef<Kustomization>, usize>>>);

impl DriftedObjects {
    /// Shows the counts in the controller's metrics, as long as there is the object.
    pub fn register(&self, metrics: &Metrics) {
        let (counts, known) = (self.clone(), self.clone());
        metrics.live(move || counts.samples());
        metrics.on_forget(move |kind, namespace, name| {
            if kind == "Kustomization" {
                known.set(ObjectRef::new(name).within(namespace), 0);
            }
        });
    }

    /// A run found so many. Without any there is no series.
    pub fn set(&self, object: ObjectRef<Kustomization>, count: usize) {
        let mut counts = self.lock();
        match count {
            0 => drop(counts.remove(&object)),
            count => drop(counts.insert(object, count)),
        }
    }

    fn samples(&self) -> Vec<Sample> {
        let sample = |(object, count): (&ObjectRef<Kustomization>, &usize)| Sample {
            name: "gotk_drifted_objects",
            help: "Applied objects that are not as Git says and are only reported, per Kustomization.",
            labels: vec![
                ("kind", "Kustomization".to_owned()),
                ("name", object.name.clone()),
                ("namespace", object.namespace.clone().unwrap_or_default()),
            ],
            value: *count as f64,
        };
        self.lock().iter().map(sample).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef<Kustomization>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        self.context.drifted.set(self.subject.reference(), unrepaired.changes.len());
        if status::drifted(&mut self.subject.object, &lines) {
            tracing::warn!(revision = run.plan.artifact.revision, "drift detected: {lines}");
            let (recorder, artifact) = (&self.context.events, Some(&run.plan.artifact));
            self.subject.event(recorder, Severity::Error, action::APPLY, DRIFT_DETECTED, artifact, &lines);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn drifted_objects_are_a_series_as_long_as_there_are_some() {
        let (metrics, drifted) = (Metrics::new().unwrap(), DriftedObjects::default());
        drifted.register(&metrics);
        drifted.set(ObjectRef::new("app").within("flux-system"), 3);
        drifted.set(ObjectRef::new("whole").within("flux-system"), 0);
        let line = r#"gotk_drifted_objects{kind="Kustomization",name="app",namespace="flux-system"} 3"#;
        assert!(metrics.render().contains(line), "{}", metrics.render());
        assert!(!metrics.render().contains("whole"));
        drifted.set(ObjectRef::new("app").within("flux-system"), 0);
        assert!(!metrics.render().contains("gotk_drifted_objects"));
        drifted.set(ObjectRef::new("app").within("flux-system"), 1);
        metrics.forget("GitRepository", "flux-system", "app");
        assert!(metrics.render().contains("gotk_drifted_objects"), "another kind");
        metrics.forget("Kustomization", "flux-system", "app");
        assert!(!metrics.render().contains("gotk_drifted_objects"));
    }
}
