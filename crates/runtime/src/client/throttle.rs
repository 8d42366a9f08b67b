//! `--kube-api-qps` and `--kube-api-burst`, for API servers that do not share their capacity out fairly by themselves.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::HeaderMap;

/// A header of servers with priority and fairness.
const FLOW_SCHEMA_HEADER: &str = "x-kubernetes-pf-flowschema-uid";

/// How many requests may be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests per second in the long run.
    pub qps: f32,
    /// Requests at once.
    pub burst: u32,
}

impl Rate {
    /// Whether a server that answers with these headers needs no help of ours.
    pub(super) fn is_needless(headers: &HeaderMap) -> bool {
        headers.contains_key(FLOW_SCHEMA_HEADER)
    }
}

/// A token bucket: a request takes a token, and waits for one that is still to come.
#[derive(Debug)]
pub(super) struct Throttle {
    rate: Rate,
    state: Mutex<(f64, Instant)>,
}

impl Throttle {
    /// A full bucket, or none for a rate without a limit.
    pub fn new(rate: Rate, now: Instant) -> Option<Self> {
        let state = Mutex::new((f64::from(rate.burst.max(1)), now));
        (rate.qps > 0.0).then_some(Self { rate, state })
    }

    /// Takes a token; how long it takes to come.
    pub fn take(&self, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, at) = *state;
        let (qps, burst) = (f64::from(self.rate.qps), f64::from(self.rate.burst.max(1)));
        let filled = (tokens + now.saturating_duration_since(at).as_secs_f64() * qps).min(burst);
        let left = filled - 1.0;
        *state = (left, now.max(at));
        if left >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-left / qps) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_requests_come_at_the_rate() {
        let now = Instant::now();
        let throttle = Throttle::new(Rate { qps: 10.0, burst: 3 }, now).unwrap();
        let waits: Vec<_> = (0..5).map(|_| throttle.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        let later = now + Duration::from_secs(60);
        let waits: Vec<_> = (0..4).map(|_| throttle.take(later).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100], "no more than the burst is saved up");
    }

    #[test]
    fn without_a_rate_there_is_no_bucket() {
        assert!(Throttle::new(Rate { qps: -1.0, burst: 3 }, Instant::now()).is_none());
    }

    #[test]
    fn a_server_with_priority_and_fairness_is_told_by_its_header() {
        let mut headers = HeaderMap::new();
        assert!(!Rate::is_needless(&headers));
        headers.insert(FLOW_SCHEMA_HEADER, "uid".parse().unwrap());
        assert!(Rate::is_needless(&headers));
    }
}
