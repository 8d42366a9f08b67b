//! Drift: applied objects that somebody else changed or removed, told from the observed index without a request.

use std::{collections::HashMap, time::Duration};

use api::{
    Kustomization,
    duration::go_duration_string,
    kustomize::{
        DRIFT_ANNOTATION,
        reasons::{DRIFT_DETECTED, DRIFT_REPEATED},
    },
};
use apply::{
    applier::{Applied, Memory},
    change::{Action, ChangeSet},
    drift::{self, Drift, is_older},
    object::ObjectId,
    observe::WatchState,
    ownership::last_foreign_manager,
    prune::Entry,
    read,
};
use kube::{ResourceExt, core::GroupVersionKind};
use runtime::events::Severity;
use tokio::time::Instant;

use crate::{
    flags::DriftMode,
    reconciler::{Reconciler, Slot},
    run::Run,
    status,
    subject::Subject,
};

/// The wait after a repair doubles from the first to the second while repairs of an object follow each other, so that two
/// parties that fight over a field do not spin.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// So many repairs in a row are no accident.
const FIGHT: u32 = 4;
/// Most objects of which it is looked up who fights for them, at once.
const RIVALS: usize = 8;
/// Longest wait for one answer then.
const REQUEST: Duration = Duration::from_secs(10);

/// Repairs of one object that followed each other.
#[derive(Debug)]
struct Repair {
    begun: Instant,
    wait: Duration,
    /// How often it was changed back.
    count: u32,
    /// Who changed it before that, once it is a fight.
    rival: Option<String>,
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
                wait: WAIT.0 / 2,
                count: 0,
                rival: None,
            });
            (repair.begun, repair.wait) = (now, (repair.wait * 2).min(WAIT.1));
        }
    }

    /// Takes in what a run changed. Tells of each object that by now has been fought over, once, and who else changed it.
    fn repaired(&mut self, changes: &ChangeSet) -> Vec<(ObjectId, Option<String>)> {
        let mut fights = Vec::new();
        for change in
            changes.changes.iter().filter(|c| matches!(c.action, Action::Created | Action::Configured))
        {
            let Some(repair) = self.0.get_mut(&change.id) else { continue };
            repair.count += 1;
            if repair.count == FIGHT {
                fights.push((change.id.clone(), repair.rival.take()));
            }
        }
        fights
    }
}

impl Reconciler {
    /// The applied objects that are not as we left them. What cannot be told from the watches is asked for by the next run.
    pub(crate) fn drifted(&self, slot: &mut Slot, object: &Kustomization) -> Vec<ObjectId> {
        if !self.context.arguments.watch_drift {
            return Vec::new();
        }
        let Slot { memory, skipped, vanishing, unseen, .. } = slot;
        let has_drifted = |entry: &Entry| {
            let watched = self.context.index.ensure(&entry.id.gvk(&entry.version)) == WatchState::Synced;
            match (self.context.index.get(&entry.id), memory.get(&entry.id), skipped.get(&entry.id)) {
                _ if !watched => false,
                (None, Some(_), _) => !unseen.contains(&entry.id) && !vanishing.contains(&entry.id),
                (Some(seen), Some(applied), _) => {
                    unseen.remove(&entry.id);
                    drift::of(applied, &seen) == Some(Drift::Changed)
                }
                // What kept it from being touched may be gone.
                (Some(seen), None, Some(owners)) => seen.fingerprint != *owners,
                (_, None, _) => false,
            }
        };
        status::inventory(object).into_iter().filter(has_drifted).map(|entry| entry.id).collect()
    }

    /// A run begins because of these objects. Looks up who else changes those that are changed again and again.
    pub(crate) async fn begin_repair(&self, slot: &mut Slot, subject: &Subject, drifted: &[ObjectId]) {
        slot.repairs.begin(drifted, Instant::now());
        let Ok(client) = self.identity(subject) else { return };
        let fought = slot.repairs.0.iter_mut().filter(|(_, repair)| repair.count + 1 == FIGHT);
        for (id, repair) in fought.take(RIVALS) {
            let inventory = status::inventory(&subject.object);
            let Some(entry) = inventory.iter().find(|entry| entry.id == *id) else { continue };
            // Who it is is good to know; that it goes on is what matters.
            if let Ok(Some(live)) = read::object(&client, &self.context.mapper, entry, REQUEST).await {
                repair.rival = last_foreign_manager(&live).map(str::to_owned);
            }
        }
    }

    /// Says of objects that were changed back again and again that this goes on, once.
    pub(crate) fn tell_fights(&self, slot: &mut Slot, subject: &Subject, run: &Run) {
        for (id, rival) in slot.repairs.repaired(&run.changes) {
            let rival = rival.map_or(String::new(), |rival| format!(" after changes by \"{rival}\""));
            let longest = go_duration_string(WAIT.1);
            let message = format!(
                "{id} was changed back {FIGHT} times in a row{rival}, repairs now wait for up to {longest}"
            );
            tracing::warn!("{message}");
            subject.event(
                &self.context.events,
                Severity::Error,
                DRIFT_REPEATED,
                Some(&run.artifact),
                &message,
            );
        }
    }

    /// Whether drift is left alone, unless Git or a person asks for something new.
    pub(crate) fn reports(&self, object: &Kustomization, digest: &str) -> bool {
        let mode = match object.annotations().get(DRIFT_ANNOTATION) {
            Some(mode) if mode.eq_ignore_ascii_case("report") => DriftMode::Report,
            Some(mode) if mode.eq_ignore_ascii_case("repair") => DriftMode::Repair,
            _ => self.context.arguments.drift_mode,
        };
        mode == DriftMode::Report && status::is_applied(object, digest)
    }

    /// Says which objects a run would have changed back: condition, event when it is news, metric.
    pub(crate) fn report(&self, subject: &mut Subject, run: &Run) {
        let lines = run.left.lines(|_| true);
        let (namespace, name) = (subject.namespace(), subject.name());
        self.context.metrics.drifted("Kustomization", namespace, name, run.left.changes.len());
        if status::drifted(&mut subject.object, &lines) {
            tracing::warn!(revision = run.artifact.revision, "drift detected: {lines}");
            subject.event(&self.context.events, Severity::Error, DRIFT_DETECTED, Some(&run.artifact), &lines);
        }
    }

    /// Whether a watch that is up to date shows the object as we left it.
    pub(crate) fn untouched(&self, id: &ObjectId, gvk: &GroupVersionKind, applied: &Applied) -> bool {
        let watched = self.context.index.ensure(gvk) == WatchState::Synced;
        let seen = self.context.index.get(id).filter(|_| watched && self.context.arguments.watch_drift);
        seen.is_some_and(|seen| {
            drift::of(applied, &seen).is_none()
                && !is_older(&seen.resource_version, &applied.resource_version)
        })
    }

    /// Starts to compare with what a run left behind. An object that the watch has yet to show is not missing.
    pub(crate) fn remember(&self, slot: &mut Slot, memory: Memory, run: &Run) {
        slot.vanishing.clone_from(&run.vanishing);
        let skipped = run.changes.changes.iter().filter(|c| c.action == Action::Skipped);
        let owners = |id: &ObjectId| self.context.index.get(id).map(|seen| seen.fingerprint);
        slot.skipped = skipped.filter_map(|c| Some((c.id.clone(), owners(&c.id)?))).collect();
        // An object that is missing may come back.
        slot.skipped
            .extend(run.left.changes.iter().map(|c| (c.id.clone(), owners(&c.id).unwrap_or_default())));
        slot.unseen = memory.keys().filter(|id| self.context.index.get(id).is_none()).cloned().collect();
        slot.memory = memory;
    }
}

#[cfg(test)]
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
    fn a_fight_is_told_once_and_only_of_what_was_changed_back() {
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
