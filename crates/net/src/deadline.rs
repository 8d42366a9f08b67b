//! How long an operation may go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A point in time at which an operation has to end, and a flag by which another thread ends it earlier.
///
/// Clones share the flag. Blocking code asks [`Deadline::is_over`] between its steps and gives each wait at most
/// [`Deadline::remaining`].
#[derive(Debug, Clone)]
pub struct Deadline {
    at: Instant,
    cancelled: Arc<AtomicBool>,
}

impl Deadline {
    /// A deadline in `timeout` from now.
    pub fn new(timeout: Duration) -> Self {
        Deadline { at: Instant::now() + timeout, cancelled: Arc::default() }
    }

    /// Ends the operation soon: at its next read or work step.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`Deadline::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancel_flag().load(Ordering::Relaxed)
    }

    /// The time that is left; zero when it has passed.
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether the operation must end, because the time has passed or it was cancelled.
    pub fn is_over(&self) -> bool {
        self.is_cancelled() || self.remaining().is_zero()
    }

    /// The flag that [`Deadline::cancel`] raises, for libraries that look at one.
    pub fn cancel_flag(&self) -> &AtomicBool {
        &self.cancelled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_over_when_it_has_passed_or_was_cancelled() {
        let deadline = Deadline::new(Duration::from_secs(3600));
        let clone = deadline.clone();
        assert!(!deadline.is_over() && deadline.remaining() > Duration::from_secs(3500));
        clone.cancel();
        assert!(deadline.is_over() && deadline.is_cancelled());
        let passed = Deadline::new(Duration::ZERO);
        assert!(passed.is_over() && !passed.is_cancelled());
    }
}
