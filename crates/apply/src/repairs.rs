//! Repairs of drift in a row: two parties that both want a field must not spin, and it is told that they fight.

use std::collections::HashMap;
use std::time::Duration;

use api::duration::go_duration_string;
use net::Backoff;
use tokio::time::Instant;

use crate::object::ObjectId;

/// The wait after a repair while repairs of an object follow each other.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(600) };
/// So many repairs in a row are no accident.
const REPEATED: u32 = 4;

/// Repairs of one object that followed each other.
#[derive(Debug)]
struct Repair {
    /// When the last one ended, or began as long as it has not.
    last: Instant,
    wait: Duration,
    /// How often it was changed back.
    count: u32,
    /// Who changed it before that, once repairs are repeated.
    other_manager: Option<String>,
}

/// Repairs made so far, of objects that drifted lately.
#[derive(Debug, Default)]
pub struct Repairs(HashMap<ObjectId, Repair>);

impl Repairs {
    /// How long the next repair of one of these objects has to wait, as of `now`.
    pub fn wait(&self, drifted: &[ObjectId], now: Instant) -> Duration {
        let until = |id: &ObjectId| self.0.get(id).map(|repair| repair.last + repair.wait);
        let waits =
            drifted.iter().map(|id| until(id).map_or(Duration::ZERO, |at| at.saturating_duration_since(now)));
        waits.min().unwrap_or_default()
    }

    /// A repair of these objects begins. That of an object that was left alone for long starts afresh.
    pub fn begin(&mut self, drifted: &[ObjectId], now: Instant) {
        self.0.retain(|_, repair| now.saturating_duration_since(repair.last) < repair.wait * 4);
        for id in drifted {
            let repair = self.0.entry(id.clone()).or_insert(Repair {
                last: now,
                wait: BACKOFF.first / 2,
                count: 0,
                other_manager: None,
            });
            (repair.last, repair.wait) = (now, (repair.wait * 2).min(BACKOFF.longest));
        }
    }

    /// The objects of which it will be told that repairs are repeated if they are repaired once more.
    pub fn about_to_be_repeated(&self) -> Vec<ObjectId> {
        let about_to = self.0.iter().filter(|(_, repair)| repair.count + 1 == REPEATED);
        about_to.map(|(id, _)| id.clone()).collect()
    }

    /// This field manager changed an object before its next repair.
    pub fn changed_by(&mut self, id: &ObjectId, manager: &str) {
        if let Some(repair) = self.0.get_mut(id) {
            repair.other_manager = Some(manager.to_owned());
        }
    }

    /// Takes in which objects have been changed back. Gives what is to be told of each whose repairs are repeated by now, once.
    pub fn repaired<'a>(&mut self, objects: impl Iterator<Item = &'a ObjectId>, now: Instant) -> Vec<String> {
        let mut told = Vec::new();
        for id in objects {
            let Some(repair) = self.0.get_mut(id) else { continue };
            // What a repair takes itself is no quiet time: on a busy server that is seconds.
            repair.last = now;
            repair.count += 1;
            if repair.count != REPEATED {
                continue;
            }
            let manager = repair.other_manager.take();
            let manager = manager.map_or(String::new(), |name| format!(" after changes by \"{name}\""));
            let longest = go_duration_string(BACKOFF.longest);
            told.push(format!(
                "{id} was changed back {REPEATED} times in a row{manager}, repairs now wait for up to {longest}"
            ));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ObjectId {
        ObjectId { group: String::new(), kind: "A".into(), namespace: "n".into(), name: name.into() }
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
    fn a_repair_that_takes_long_is_no_quiet_time() {
        let (mut repairs, mut now, a) = (Repairs::default(), Instant::now(), [id("a")]);
        for _ in 0..3 {
            repairs.begin(&a, now);
            now += Duration::from_secs(60);
            repairs.repaired(a.iter(), now);
        }
        assert_eq!(repairs.wait(&a, now), Duration::from_secs(4));
    }

    #[test]
    fn repeated_drift_is_told_once_and_only_of_what_was_changed_back() {
        let (mut repairs, now) = (Repairs::default(), Instant::now());
        let both = [id("a"), id("b")];
        let mut told = Vec::new();
        for _ in 0..8 {
            repairs.begin(&both, now);
            for id in repairs.about_to_be_repeated() {
                repairs.changed_by(&id, "kubectl");
            }
            told.extend(repairs.repaired([id("a")].iter(), now));
        }
        let text = "A/n/a was changed back 4 times in a row after changes by \"kubectl\", repairs now wait for up to 10m0s";
        assert_eq!(told, [text]);
        assert!(repairs.repaired([id("c")].iter(), now).is_empty(), "it was wanted so");
    }
}
