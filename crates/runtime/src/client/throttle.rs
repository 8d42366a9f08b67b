//! `--kube-api-qps` and `--kube-api-burst`, for API servers that do not share their capacity out fairly by themselves.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::HeaderMap;

use crate::token_bucket::TokenBucket;

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

/// A request takes a token, and waits for one that is still to come.
#[derive(Debug)]
pub(super) struct Throttle(Mutex<TokenBucket>);

impl Throttle {
    /// None for a rate without a limit.
    pub fn new(rate: Rate, now: Instant) -> Option<Self> {
        let bucket = TokenBucket::new(rate.qps.into(), rate.burst.max(1).into(), now);
        (rate.qps > 0.0).then(|| Self(Mutex::new(bucket)))
    }

    /// Takes a token; how long it takes to come.
    pub fn take(&self, now: Instant) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
