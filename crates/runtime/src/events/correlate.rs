//! Repeats become a count and floods are cut, as client-go's event correlator does it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use super::Event;
use crate::token_bucket::TokenBucket;

/// How many events an object may have at once, and how often one more is allowed after that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub burst: f64,
    pub refill: Duration,
    /// Objects and messages remembered.
    pub entries: usize,
}

impl Default for Limits {
    /// client-go's: a burst of 25 an object, then one every five minutes.
    fn default() -> Self {
        Self { burst: 25.0, refill: Duration::from_secs(300), entries: 4096 }
    }
}

/// What to do with an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Store a new object.
    Create,
    /// Raise the count of the stored object of this name.
    Repeat { name: String, count: i32 },
    /// Too many from this object.
    Drop,
}

struct Stored {
    name: String,
    count: i32,
    used: Instant,
}

pub(super) struct Correlator {
    limits: Limits,
    /// By a hash of what tells events apart: texts are long and many.
    seen: HashMap<u64, Stored>,
    hasher: RandomState,
    buckets: HashMap<String, TokenBucket>,
}

impl Correlator {
    pub fn new(limits: Limits) -> Self {
        Self { limits, seen: HashMap::new(), hasher: RandomState::new(), buckets: HashMap::new() }
    }

    /// Decides about `event` at `now`.
    pub fn judge(&mut self, event: &Event, now: Instant) -> Verdict {
        if !self.allow(event, now) {
            return Verdict::Drop;
        }
        match self.seen.get_mut(&self.key(event)) {
            None => Verdict::Create,
            Some(stored) => {
                stored.count = stored.count.saturating_add(1);
                stored.used = now;
                Verdict::Repeat { name: stored.name.clone(), count: stored.count }
            }
        }
    }

    /// Remembers that `event` is stored under `name`.
    pub fn stored(&mut self, event: &Event, name: String, now: Instant) {
        self.shrink();
        self.seen.insert(self.key(event), Stored { name, count: 1, used: now });
    }

    /// Forgets a stored event that the server no longer has.
    pub fn forget(&mut self, event: &Event) {
        self.seen.remove(&self.key(event));
    }

    fn key(&self, event: &Event) -> u64 {
        let kind = event.severity.kubernetes_type();
        self.hasher.hash_one((&event.object.uid, kind, &event.reason, &event.message))
    }

    fn allow(&mut self, event: &Event, now: Instant) -> bool {
        let Limits { burst, refill, .. } = self.limits;
        let owner = event.object.uid.clone().unwrap_or_default();
        let new = || TokenBucket::new(refill.as_secs_f64().recip(), burst, now);
        self.buckets.entry(owner).or_insert_with(new).try_take(now)
    }

    /// Halves what is remembered when it grows over the limit, oldest first.
    fn shrink(&mut self) {
        if self.seen.len() >= self.limits.entries {
            let mut ages: Vec<Instant> = self.seen.values().map(|s| s.used).collect();
            let middle = ages.len() / 2;
            let (_, median, _) = ages.select_nth_unstable(middle);
            let median = *median;
            self.seen.retain(|_, s| s.used > median);
        }
        if self.buckets.len() >= self.limits.entries {
            self.buckets.retain(|_, bucket| bucket.is_used());
            if self.buckets.len() >= self.limits.entries {
                self.buckets.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Severity, action};
    use k8s_openapi::api::core::v1::ConfigMap;

    fn event(uid: &str, message: &str) -> Event {
        let mut object = ConfigMap::default();
        object.metadata.uid = Some(uid.into());
        Event::new(&object, Severity::Info, action::RECONCILE, "Succeeded", message)
    }

    #[test]
    fn the_same_event_again_raises_its_count() {
        let (mut correlator, now) = (Correlator::new(Limits::default()), Instant::now());
        assert_eq!(correlator.judge(&event("a", "x"), now), Verdict::Create);
        correlator.stored(&event("a", "x"), "e1".into(), now);
        assert_eq!(correlator.judge(&event("a", "x"), now), Verdict::Repeat { name: "e1".into(), count: 2 });
        assert_eq!(correlator.judge(&event("a", "y"), now), Verdict::Create);
        correlator.forget(&event("a", "x"));
        assert_eq!(correlator.judge(&event("a", "x"), now), Verdict::Create);
    }

    #[test]
    fn a_flood_from_one_object_is_cut_and_others_are_heard() {
        let (mut correlator, now) = (Correlator::new(Limits::default()), Instant::now());
        let created =
            (0..40).filter(|i| correlator.judge(&event("a", &i.to_string()), now) == Verdict::Create).count();
        assert_eq!(created, 25);
        assert_eq!(correlator.judge(&event("b", "x"), now), Verdict::Create);
        let later = now + Duration::from_secs(301);
        assert_eq!(correlator.judge(&event("a", "z"), later), Verdict::Create);
        assert_eq!(correlator.judge(&event("a", "z2"), later), Verdict::Drop);
    }

    #[test]
    fn memory_is_bounded() {
        let limits = Limits { entries: 100, ..Limits::default() };
        let mut correlator = Correlator::new(limits);
        for i in 0..10_000_u64 {
            let (event, now) = (event(&i.to_string(), "x"), Instant::now() + Duration::from_millis(i));
            correlator.judge(&event, now);
            correlator.stored(&event, "e".into(), now);
        }
        assert!(correlator.seen.len() <= 100 && correlator.buckets.len() <= 101);
    }
}
