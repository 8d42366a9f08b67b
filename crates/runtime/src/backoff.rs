//! When an object is looked at again: exponential back-off after failures, jitter on intervals.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use net::Backoff;
use rand::RngExt;

use crate::metrics::{Metrics, Sample};

/// Consecutive failures of each object.
#[derive(Debug)]
pub struct Failures<K> {
    backoff: Backoff,
    count: Mutex<HashMap<K, u32>>,
}

impl<K: Eq + Hash + Send + Sync + 'static> Failures<K> {
    /// Delays from `--min-retry-delay`, after the first failure, to `--max-retry-delay`.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, count: Mutex::default() }
    }

    /// Tells how many objects of a controller fail, from now on.
    pub fn watch(self: &Arc<Self>, controller: &str, metrics: &Metrics) {
        let (controller, told) = (controller.to_owned(), Arc::downgrade(self));
        metrics.live(move || {
            let failing = told.upgrade().map(|failures| failures.objects());
            let sample = |value| Sample {
                name: "gotk_failing_objects",
                help: "How many objects have failed and not succeeded since, per controller.",
                labels: vec![("controller", controller.clone())],
                value,
            };
            failing.into_iter().map(sample).collect()
        });
    }

    #[allow(clippy::cast_precision_loss, reason = "a number of objects")]
    fn objects(&self) -> f64 {
        self.count.lock().unwrap_or_else(PoisonError::into_inner).len() as f64
    }

    /// Counts one more failure and returns the delay before the next attempt.
    pub fn failed(&self, key: K) -> Duration {
        let mut counts = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        *count = count.saturating_add(1);
        self.backoff.after(*count)
    }

    /// How often an object has failed in a row.
    pub fn count(&self, key: &K) -> u32 {
        self.count.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied().unwrap_or_default()
    }

    /// Forgets the failures of an object that succeeded or is gone.
    pub fn reset(&self, key: &K) {
        self.count.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// `interval` × (1 ± up to `percent` %), uniform, so that objects with one interval spread out.
pub fn jitter(interval: Duration, percent: u8) -> Duration {
    let spread = f64::from(percent.min(99)) / 100.0;
    interval.mul_f64(1.0 + rand::rng().random_range(-spread..=spread))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_to_the_cap_and_starts_over_after_success() {
        let delays = Backoff { first: Duration::from_millis(750), longest: Duration::from_secs(900) };
        let backoff = Failures::new(delays);
        let delays: Vec<_> = (0..3).map(|_| backoff.failed("a").as_millis()).collect();
        assert_eq!(delays, [750, 1500, 3000]);
        for _ in 0..100 {
            backoff.failed("a");
        }
        assert_eq!(backoff.failed("a"), Duration::from_secs(900));
        assert_eq!((backoff.count(&"a"), backoff.count(&"b")), (104, 0));
        assert_eq!(backoff.failed("b"), Duration::from_millis(750), "objects do not share failures");
        backoff.reset(&"a");
        assert_eq!(backoff.failed("a"), Duration::from_millis(750));
    }

    #[test]
    fn objects_that_fail_are_told_until_they_succeed() {
        let metrics = Metrics::new().unwrap();
        let delays = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(1) };
        let failures = Arc::new(Failures::new(delays));
        failures.watch("bucket", &metrics);
        let told = |number: u8| {
            metrics.render().contains(&format!("gotk_failing_objects{{controller=\"bucket\"}} {number}\n"))
        };
        assert!(told(0));
        for object in ["a", "b", "a"] {
            failures.failed(object);
        }
        assert!(told(2));
        failures.reset(&"a");
        assert!(told(1));
        drop(failures);
        assert!(!metrics.render().contains("gotk_failing_objects"), "a controller that ended");
    }

    #[test]
    fn jitter_stays_within_its_share_and_is_off_at_zero() {
        let interval = Duration::from_secs(100);
        assert_eq!(jitter(interval, 0), interval);
        for _ in 0..1000 {
            let got = jitter(interval, 5).as_secs_f64();
            assert!((95.0..=105.0).contains(&got), "{got}");
        }
    }
}
