//! Waits between attempts.

use std::time::Duration;

/// Waits that double from the first to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after one failure.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after so many failures in a row; there is none after no failure.
    pub fn after(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        self.first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_however_many_failures_there_are() {
        let backoff = Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(30) };
        let waits = [0, 1, 2, 3, 4, 32, 33, u32::MAX].map(|failures| backoff.after(failures).as_secs());
        assert_eq!(waits, [0, 5, 10, 20, 30, 30, 30, 30]);
    }
}
