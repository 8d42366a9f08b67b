//! Leader election over a `coordination.k8s.io/v1` Lease, with client-go's rules, so that a Flux replica and
//! ours exclude each other.
//!
//! A Lease that somebody else holds is taken over when it has not changed for its duration, measured on our own
//! clock since we saw it change: clocks of two machines are never compared.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::Instant;

use crate::client::Fence;

/// When a Lease is renewed, lost and taken over.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long others respect the Lease without a renewal.
    pub lease: Duration,
    /// How long a leader that cannot renew goes on; shorter than `lease`, or two could act at once.
    pub renew_deadline: Duration,
    /// Time between attempts.
    pub retry: Duration,
}

impl Timing {
    /// client-go's rules: a leader has to know that it lost the Lease before anybody else may take it.
    ///
    /// # Errors
    /// The rule that is broken, in client-go's words.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.lease < Duration::from_secs(1) {
            return Err("leaseDuration must be greater than zero");
        }
        if self.lease <= self.renew_deadline {
            return Err("leaseDuration must be greater than renewDeadline");
        }
        // 1.2 is what client-go varies the period by.
        if self.renew_deadline <= self.retry.saturating_mul(6) / 5 {
            return Err("renewDeadline must be greater than retryPeriod*JitterFactor");
        }
        if self.retry.is_zero() {
            return Err("retryPeriod must be greater than zero");
        }
        Ok(())
    }
}

/// `<controller>-leader-election`, and for a shard the first eight hexadecimal digits of its selector's SHA-256.
pub fn lease_name(controller: &str, selector: &str) -> String {
    if selector.is_empty() {
        return format!("{controller}-leader-election");
    }
    let digest = digest(&SHA256, selector.as_bytes());
    let shard: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{controller}-leader-election-{shard}")
}

/// What an attempt to take or renew the Lease came to.
enum Attempt {
    Ours,
    /// Somebody else holds it.
    Theirs,
    /// It was written by somebody else meanwhile.
    Conflict,
}

/// One candidate for one Lease.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    observed: Option<(Option<String>, Instant)>,
}

impl Candidate {
    /// A candidate with a unique identity of its own.
    pub fn new(client: Client, namespace: &str, name: &str, host: &str, timing: Timing) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: format!("{host}_{}", uuid::Uuid::new_v4()),
            timing,
            observed: None,
        }
    }

    /// Waits until the Lease is ours, and opens the fence.
    pub async fn acquire(&mut self, fence: &Fence) {
        loop {
            let started = Instant::now();
            match tokio::time::timeout(self.timing.renew_deadline, self.attempt()).await {
                Ok(Ok(Attempt::Ours)) => {
                    return fence.open_until((started + self.timing.renew_deadline).into());
                }
                Ok(Ok(Attempt::Theirs | Attempt::Conflict)) => {}
                Ok(Err(error)) => {
                    tracing::error!(error = %crate::error::chain(&error), lease = self.name, "failed to take the lease");
                }
                Err(_) => tracing::error!(lease = self.name, "failed to take the lease in time"),
            }
            tokio::time::sleep(self.timing.retry).await;
        }
    }

    /// Renews the Lease and moves the fence with it; returns when it is no longer provably ours.
    pub async fn hold(&mut self, fence: &Fence) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.timing.retry).await;
            let deadline = renewed + self.timing.renew_deadline;
            let started = Instant::now();
            match tokio::time::timeout_at(deadline, self.attempt()).await {
                // The time before the request counts: the server may have written it at any point since.
                Ok(Ok(Attempt::Ours)) => {
                    renewed = started;
                    fence.open_until((renewed + self.timing.renew_deadline).into());
                }
                Ok(Ok(Attempt::Theirs)) => return,
                // Somebody wrote the object in between, which says nothing about who holds it.
                Ok(Ok(Attempt::Conflict)) => {}
                Ok(Err(error)) => {
                    tracing::error!(error = %crate::error::chain(&error), lease = self.name, "failed to renew the lease");
                }
                Err(_) => return,
            }
            if Instant::now() >= deadline {
                return;
            }
        }
    }

    /// Gives the Lease up, so that a successor need not wait.
    pub async fn release(&self) {
        let release = async {
            let mut lease = self.api.get(&self.name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(self.timing.retry, release).await {
            tracing::error!(error = %crate::error::chain(&error), lease = self.name, "failed to release the lease");
        }
    }

    /// Takes or renews the Lease.
    async fn attempt(&mut self) -> Result<Attempt, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.spec(&now, &now, 0)) };
            return self.won(self.api.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone();
        if self.observed.as_ref().is_none_or(|(seen, _)| *seen != version) {
            self.observed = Some((version, Instant::now()));
        }
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let transitions = spec.lease_transitions.unwrap_or_default();
        lease.spec = Some(if holder == self.identity {
            self.spec(spec.acquire_time.as_ref().unwrap_or(&now), &now, transitions)
        } else if holder.is_empty() || self.expired(&spec) {
            self.spec(&now, &now, transitions.saturating_add(1))
        } else {
            return Ok(Attempt::Theirs);
        });
        // Carries the resource version: only one of several candidates succeeds.
        self.won(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    fn won(&mut self, written: Result<Lease, kube::Error>) -> Result<Attempt, kube::Error> {
        match written {
            Ok(lease) => {
                self.observed = Some((lease.metadata.resource_version, Instant::now()));
                Ok(Attempt::Ours)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Attempt::Conflict),
            Err(error) => Err(error),
        }
    }

    fn expired(&self, spec: &LeaseSpec) -> bool {
        let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        let since = self.observed.as_ref().map(|(_, at)| at.elapsed()).unwrap_or_default();
        since >= Duration::from_secs(seconds)
    }

    fn spec(&self, acquired: &MicroTime, renewed: &MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.timing.lease.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: Some(acquired.clone()),
            renew_time: Some(renewed.clone()),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn timings_that_would_let_two_lead_are_refused() {
        let checked = |lease: u64, renew_deadline: u64, retry: u64| {
            let [lease, renew_deadline, retry] = [lease, renew_deadline, retry].map(Duration::from_millis);
            Timing { lease, renew_deadline, retry }.check()
        };
        assert_eq!(checked(35_000, 30_000, 5_000), Ok(()), "the defaults");
        for (lease, renew_deadline, retry) in [
            (999, 500, 100),
            (30_000, 30_000, 5_000),
            (10_000, 30_000, 5_000),
            (35_000, 6_000, 5_000),
            (35_000, 30_000, 0),
        ] {
            assert!(checked(lease, renew_deadline, retry).is_err(), "{lease} {renew_deadline} {retry}");
        }
    }

    #[test]
    fn shards_have_leases_of_their_own() {
        assert_eq!(lease_name("source-controller", ""), "source-controller-leader-election");
        // printf 'sharding.fluxcd.io/key=shard1' | sha256sum
        assert_eq!(
            lease_name("source-controller", "sharding.fluxcd.io/key=shard1"),
            "source-controller-leader-election-73fdc1be"
        );
    }

    /// Clocks of machines jump, and differ: what counts is how long we saw the Lease unchanged.
    #[tokio::test(start_paused = true)]
    async fn a_lease_is_taken_over_by_its_age_on_our_clock_alone() {
        let second = Duration::from_secs(1);
        let timing = Timing { lease: 10 * second, renew_deadline: 8 * second, retry: second };
        let client = Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let year = jiff::Span::new().hours(365 * 24);
        let now = Timestamp::now();
        for renewed in [now, now.checked_add(year).unwrap(), now.checked_sub(year).unwrap()] {
            let mut candidate = Candidate::new(client.clone(), "n", "lease", "host", timing);
            let spec = candidate.spec(&MicroTime(renewed), &MicroTime(renewed), 0);
            candidate.observed = Some((Some("1".into()), Instant::now()));
            tokio::time::advance(9 * second).await;
            assert!(!candidate.expired(&spec), "renewed at {renewed}");
            tokio::time::advance(second).await;
            assert!(candidate.expired(&spec), "renewed at {renewed}");
        }
    }
}
