//! Drift: applied objects that somebody else changed or removed, told from the observed index without a request.

use std::time::Duration;

use api::Kustomization;
use apply::{
    applier::{Applied, Memory},
    change::Action,
    drift::{self, Drift, is_older},
    object::ObjectId,
    observe::WatchState,
};
use kube::core::GroupVersionKind;
use tokio::time::Instant;

use crate::{
    reconciler::{Reconciler, Slot},
    run::Run,
    status,
};

/// The wait after a repair doubles from the first to the second while repairs follow each other, so that two parties
/// that fight over a field do not spin.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// Repairs made so far.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    last: Option<(Instant, Duration)>,
}

impl Repairs {
    /// How long the next repair has to wait, as of `now`.
    pub fn wait(&self, now: Instant) -> Duration {
        let until = self.last.map(|(at, wait)| at + wait);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// A repair begins. One that comes long after the last starts afresh.
    pub fn begin(&mut self, now: Instant) {
        let next = match self.last {
            Some((at, wait)) if now.saturating_duration_since(at) < wait * 4 => (wait * 2).min(WAIT.1),
            _ => WAIT.0,
        };
        self.last = Some((now, next));
    }
}

impl Reconciler {
    /// Whether an applied object is not as we left it. Unknown counts as no: what cannot be told from the watches is asked
    /// for by the next run.
    pub(crate) fn drifted(&self, slot: &mut Slot, object: &Kustomization) -> bool {
        if !self.context.arguments.watch_drift {
            return false;
        }
        let Slot { memory, skipped, vanishing, unseen, .. } = slot;
        status::inventory(object).iter().any(|entry| {
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
        })
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
        slot.unseen = memory.keys().filter(|id| self.context.index.get(id).is_none()).cloned().collect();
        slot.memory = memory;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_in_a_row_wait_longer_and_longer() {
        let (mut repairs, mut now) = (Repairs::default(), Instant::now());
        assert_eq!(repairs.wait(now), Duration::ZERO, "the first one is at once");
        let mut waits = Vec::new();
        for _ in 0..4 {
            repairs.begin(now);
            waits.push(repairs.wait(now).as_secs());
            now += repairs.wait(now);
        }
        assert_eq!(waits, [1, 2, 4, 8]);
        now += Duration::from_secs(3600);
        repairs.begin(now);
        assert_eq!(repairs.wait(now), Duration::from_secs(1), "a quiet hour forgives");
    }
}
