//! Drift: how often it is repaired, and what is said of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    Kustomization,
    duration::go_duration_string,
    kustomize::{
        DRIFT_ANNOTATION,
        reasons::{DRIFT_DETECTED, DRIFT_REPEATED},
    },
};
use apply::{
    change::{Action, ChangeSet},
    object::ObjectId,
    ownership::last_foreign_manager,
    read,
};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use net::Backoff;
use runtime::{
    events::{Severity, action},
    metrics::{Metrics, Sample},
};
use tokio::time::Instant;

use crate::{MANAGER, flags::DriftMode, pass::Pass, run::Run, status};

/// The wait after a repair while repairs of an object follow each other, so that two parties that both want a field do not
/// spin.
const REPAIR_BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(600) };
/// So many repairs in a row are no accident.
const REPEATED: u32 = 4;
/// Most objects of which the other field manager is looked up at once.
const MANAGER_LOOKUPS: usize = 8;
/// Longest wait for one answer then.
const MANAGER_TIMEOUT: Duration = Duration::from_secs(10);

/// Repairs of one object that followed each other.
#[derive(Debug)]
struct Repair {
    begun: Instant,
    wait: Duration,
    /// How often it was changed back.
    count: u32,
    /// Who changed it before that, once repairs are repeated.
    other_manager: Option<String>,
}

/// Repairs made so far, of objects that drifted lately.
#[derive(Debug, Default)]
pub(crate) struct Repairs(HashMap<ObjectId, Repair>);

impl Repairs {
    /// How long the next repair of one of these objects has to wait, as of `now`.
    pub fn wait(&self, drifted: &[ObjectId], now: Instant) -> Duration {
        let until = |id: &ObjectId| self.0.get(id).map(|repair| repair.begun + repair.wait);
        let waits =
            drifted.iter().map(|id| until(id).map_or(Duration::ZERO, |at| at.saturating_duration_since(now)));
        waits.min().unwrap_or_default()
    }

    /// A repair of these objects begins. That of an object that was left alone for long starts afresh.
    pub fn begin(&mut self, drifted: &[ObjectId], now: Instant) {
        self.0.retain(|_, repair| now.saturating_duration_since(repair.begun) < repair.wait * 4);
        for id in drifted {
            let repair = self.0.entry(id.clone()).or_insert(Repair {
                begun: now,
                wait: REPAIR_BACKOFF.first / 2,
                count: 0,
                other_manager: None,
            });
            (repair.begun, repair.wait) = (now, (repair.wait * 2).min(REPAIR_BACKOFF.longest));
        }
    }

    /// Takes in what a run changed. Tells of each object of which repairs are repeated by now, once, and who else changed it.
    fn repaired(&mut self, changes: &ChangeSet) -> Vec<(ObjectId, Option<String>)> {
        let mut repeated = Vec::new();
        for change in
            changes.changes.iter().filter(|c| matches!(c.action, Action::Created | Action::Configured))
        {
            let Some(repair) = self.0.get_mut(&change.id) else { continue };
            repair.count += 1;
            if repair.count == REPEATED {
                repeated.push((change.id.clone(), repair.other_manager.take()));
            }
        }
        repeated
    }
}

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
        let repeated = self.slot.repairs.0.iter_mut().filter(|(_, repair)| repair.count + 1 == REPEATED);
        let inventory = status::inventory(&self.subject.object);
        for (id, repair) in repeated.take(MANAGER_LOOKUPS) {
            let Some(entry) = inventory.iter().find(|entry| entry.id == *id) else { continue };
            // Who it is is good to know; that it goes on is what matters.
            if let Ok(Some(live)) = read::object(&client, &self.cluster.mapper, entry, MANAGER_TIMEOUT).await
            {
                repair.other_manager = last_foreign_manager(&live, &MANAGER).map(str::to_owned);
            }
        }
    }

    /// Says of objects that were changed back again and again that this goes on, once.
    pub(crate) fn emit_repeated_drift(&mut self, run: &Run) {
        for (id, manager) in self.slot.repairs.repaired(&run.progress.changes) {
            let manager = manager.map_or(String::new(), |name| format!(" after changes by \"{name}\""));
            let longest = go_duration_string(REPAIR_BACKOFF.longest);
            let message = format!(
                "{id} was changed back {REPEATED} times in a row{manager}, repairs now wait for up to {longest}"
            );
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
    use apply::change::Change;

    fn id(name: &str) -> ObjectId {
        ObjectId { group: String::new(), kind: "A".into(), namespace: "n".into(), name: name.into() }
    }

    fn changed(name: &str, action: Action) -> ChangeSet {
        ChangeSet { changes: vec![Change { id: id(name), version: "v1".into(), action }] }
    }

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

    #[test]
    fn repairs_of_an_object_in_a_row_wait_longer_and_longer() {
        let (mut repairs, mut now, a) = (Repairs::default(), Instant::now(), [id("a")]);
        assert_eq!(repairs.wait(&a, now), Duration::ZERO, "the first one is at once");
        let mut waits = Vec::new();
        for _ in 0..4 {
            repairs.begin(&a, now);
            waits.push(repairs.wait(&a, now).as_secs());
            now += repairs.wait(&a, now);
        }
        assert_eq!(waits, [1, 2, 4, 8]);
        assert_eq!(repairs.wait(&[id("b")], now), Duration::ZERO, "another object does not wait");
        repairs.begin(&a, now);
        assert_eq!(repairs.wait(&[id("a"), id("b")], now), Duration::ZERO);
        now += Duration::from_secs(3600);
        repairs.begin(&a, now);
        assert_eq!(repairs.wait(&a, now), Duration::from_secs(1), "a quiet hour forgives");
        repairs.begin(&[], now + Duration::from_secs(60));
        assert!(repairs.0.is_empty(), "and what is quiet is forgotten");
    }

    #[test]
    fn repeated_drift_is_told_once_and_only_of_what_was_changed_back() {
        let (mut repairs, now) = (Repairs::default(), Instant::now());
        let both = [id("a"), id("b")];
        let mut told = Vec::new();
        for _ in 0..8 {
            repairs.begin(&both, now);
            told.push(repairs.repaired(&changed("a", Action::Configured)).len());
            assert_eq!(repairs.repaired(&changed("b", Action::Unchanged)), []);
        }
        assert_eq!(told, [0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(repairs.repaired(&changed("c", Action::Created)), [], "Git did that");
    }
}
