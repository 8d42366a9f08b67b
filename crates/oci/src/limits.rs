//! What a registry may cost: bytes, entries, time.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// Upper bounds for the answers of one registry. Exceeding one fails the operation.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time for reaching a server, or the proxy before it, TLS included.
    pub connect_timeout: Duration,
    /// Time without a byte, both before an answer and within it.
    pub idle_timeout: Duration,
    /// Bytes of one manifest or index. Registries accept 4 MiB (OCI distribution specification, "Pushing Manifests");
    /// go-containerregistry reads 100 MiB.
    pub manifest_bytes: u64,
    /// Bytes of one layer or other blob.
    pub blob_bytes: u64,
    /// Bytes of all pages of one list of tags.
    pub tag_bytes: u64,
    /// Tags of one list.
    pub tags: usize,
    /// Pages of one list of tags.
    pub tag_pages: usize,
    /// Tags that are asked for in one page; a registry may send fewer or more.
    pub tags_per_page: usize,
    /// Bytes of a token server's answer.
    pub token_bytes: u64,
    /// Bytes of all `WWW-Authenticate` headers of one answer.
    pub challenge_bytes: usize,
    /// Bytes that are read of an error's body; no more than its first 1024 characters are repeated.
    pub error_bytes: u64,
    /// Redirects of one request.
    pub redirects: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(30),
            manifest_bytes: 4 << 20,
            blob_bytes: 1 << 30,
            tag_bytes: 32 << 20,
            tags: 200_000,
            tag_pages: 1000,
            tags_per_page: 1000,
            token_bytes: 64 << 10,
            challenge_bytes: 8 << 10,
            error_bytes: 64 << 10,
            redirects: 10,
        }
    }
}

/// When an operation must have ended, whatever it waits for. An operation that is no longer wanted is ended by dropping its
/// future.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// The deadline.
    Deadline,
    /// The time for this wait alone.
    Idle(Duration),
}

impl Deadline {
    /// The deadline that is `timeout` from now.
    pub fn after(timeout: Duration) -> Deadline {
        let now = Instant::now();
        // What does not fit into the clock is far enough away.
        let far = || now + Duration::from_secs(365 * 24 * 3600);
        Deadline(now.checked_add(timeout).unwrap_or_else(far))
    }

    /// Whether it has come.
    pub fn has_passed(&self) -> bool {
        Instant::now() >= self.0
    }

    /// Waits for `future` until the deadline, and no longer than `idle`.
    pub(crate) async fn bound<F: Future>(self, idle: Duration, future: F) -> Result<F::Output, Expired> {
        let idle_end = Instant::now().checked_add(idle).filter(|end| *end < self.0);
        match timeout_at(idle_end.unwrap_or(self.0), future).await {
            Ok(output) => Ok(output),
            Err(_) if idle_end.is_none() => Err(Expired::Deadline),
            Err(_) => Err(Expired::Idle(idle)),
        }
    }

    /// Waits for `future` until the deadline.
    pub(crate) async fn wait<F: Future>(self, future: F) -> Result<F::Output, Expired> {
        self.bound(Duration::MAX, future).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_end_at_the_deadline_or_when_nothing_comes() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let never = || std::future::pending::<()>();
        assert_eq!(Deadline::after(second).bound(minute, never()).await, Err(Expired::Deadline));
        assert_eq!(Deadline::after(minute).bound(second, never()).await, Err(Expired::Idle(second)));
        assert_eq!(Deadline::after(Duration::MAX).bound(second, async { 1 }).await, Ok(1));
        let passed = Deadline::after(Duration::ZERO);
        assert!(passed.has_passed());
        assert_eq!(passed.bound(second, never()).await, Err(Expired::Deadline));
    }
}
