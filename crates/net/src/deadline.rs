//! How long an operation may go on.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

/// How often a wait looks whether its deadline was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(100);
/// The longest time that an operation can be given. It keeps times within what a clock can count.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// The deadline, which was reached or cancelled.
    Deadline,
    /// The time for this wait alone.
    Idle(Duration),
}

/// A point in time at which an operation has to end, and a flag by which another thread ends it earlier.
///
/// Clones share the flag. Blocking code asks [`Deadline::is_over`] between its steps and gives each wait at most
/// [`Deadline::remaining`]. Asynchronous code waits by [`Deadline::bound`].
#[derive(Debug, Clone)]
pub struct Deadline {
    at: Instant,
    cancelled: Arc<AtomicBool>,
}

impl Deadline {
    /// A deadline in `timeout` from now, but not in more than a year.
    pub fn new(timeout: Duration) -> Self {
        Deadline { at: Instant::now() + timeout.min(MAX_TIMEOUT), cancelled: Arc::default() }
    }

    /// The deadline of a part of the operation that may take `timeout` from now: not later than this one, and cancelled with it.
    pub fn within(&self, timeout: Duration) -> Self {
        Deadline { at: self.at.min(Deadline::new(timeout).at), cancelled: self.cancelled.clone() }
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

    /// Waits for `future` until the deadline, and no longer than `idle`.
    ///
    /// # Errors
    /// When the time has passed, or the deadline is cancelled.
    pub async fn bound<F: Future>(&self, idle: Duration, future: F) -> Result<F::Output, Expired> {
        let remaining = self.remaining();
        let expired = if idle < remaining { Expired::Idle(idle) } else { Expired::Deadline };
        let (end, mut future) = (tokio::time::Instant::now() + idle.min(remaining), pin!(future));
        while !self.is_over() {
            let look = end.min(tokio::time::Instant::now() + CANCEL_POLL);
            match timeout_at(look, &mut future).await {
                Ok(done) => return Ok(done),
                Err(_) if look == end => return Err(expired),
                Err(_) => {}
            }
        }
        Err(Expired::Deadline)
    }

    /// The flag that [`Deadline::cancel`] raises, for libraries that look at one.
    pub fn cancel_flag(&self) -> &Arc<AtomicBool> {
        &self.cancelled
    }

    /// What cancels the deadline when it is dropped: work ends that nobody waits for any more.
    pub fn cancel_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }
}

/// See [`Deadline::cancel_on_drop`].
#[derive(Debug)]
#[must_use = "dropped at once, it cancels at once"]
pub struct CancelOnDrop(Deadline);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
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
        let guarded = Deadline::new(Duration::from_secs(3600));
        let guard = guarded.cancel_on_drop();
        assert!(!guarded.is_over());
        drop(guard);
        assert!(guarded.is_cancelled());
        assert!(!Deadline::new(Duration::MAX).is_over());
    }

    #[test]
    fn the_deadline_of_a_part_is_no_later_and_cancelled_with_the_whole() {
        let [second, minute, hour] = [1, 60, 3600].map(Duration::from_secs);
        let whole = Deadline::new(minute);
        let (longer, shorter) = (whole.within(hour), whole.within(second));
        assert!(longer.remaining() <= minute && shorter.remaining() <= second);
        assert!(!longer.is_over() && !whole.is_over());
        whole.cancel();
        assert!(longer.is_cancelled() && shorter.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn waits_end_at_the_deadline_or_when_nothing_comes() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let never = || std::future::pending::<()>();
        assert_eq!(Deadline::new(second).bound(minute, never()).await, Err(Expired::Deadline));
        assert_eq!(Deadline::new(minute).bound(second, never()).await, Err(Expired::Idle(second)));
        assert_eq!(Deadline::new(Duration::MAX).bound(Duration::MAX, async { 1 }).await, Ok(1));
        let passed = Deadline::new(Duration::ZERO);
        assert_eq!(passed.bound(second, never()).await, Err(Expired::Deadline));
        let cancelled = Deadline::new(minute);
        cancelled.cancel();
        assert_eq!(cancelled.bound(second, async { 1 }).await, Err(Expired::Deadline));
        let later = Deadline::new(minute);
        let cancel = async {
            tokio::time::sleep(second).await;
            later.cancel();
        };
        let (waited, ()) = tokio::join!(later.bound(Duration::MAX, never()), cancel);
        assert_eq!(waited, Err(Expired::Deadline));
    }
}
