//! Token buckets: so much at once, and so much in the long run.

use std::time::{Duration, Instant};

/// A bucket that is full at first. Time is an argument, so that tests need none.
#[derive(Debug)]
pub struct TokenBucket {
    /// Tokens that come in a second.
    per_second: f64,
    /// Tokens that the bucket holds.
    burst: f64,
    /// Below zero when tokens are taken that are still to come.
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    /// A bucket of `burst` tokens, of which `per_second` come in a second.
    pub fn new(per_second: f64, burst: f64, now: Instant) -> Self {
        Self { per_second, burst, tokens: burst, filled: now }
    }

    fn fill(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + earned).min(self.burst);
        self.filled = self.filled.max(now);
    }

    /// Takes a token if there is one.
    pub fn try_take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }

    /// Takes a token in any case; how long it takes to come.
    pub fn take(&mut self, now: Instant) -> Duration {
        self.fill(now);
        self.tokens -= 1.0;
        let missing = (-self.tokens).max(0.0);
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
    }

    /// Whether as much as one token is missing since [`TokenBucket::fill`] last looked.
    pub fn is_used(&self) -> bool {
        self.tokens < self.burst - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_tokens_come_at_the_rate() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(10.0, 3.0, now);
        let waits: Vec<_> = (0..5).map(|_| bucket.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        let later = now + Duration::from_secs(60);
        let waits: Vec<_> = (0..4).map(|_| bucket.take(later).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100], "no more than the burst is saved up");
    }

    #[test]
    fn a_token_that_is_not_there_is_not_taken() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(1.0, 2.0, now);
        let taken: Vec<_> = (0..4).map(|_| bucket.try_take(now)).collect();
        assert_eq!(taken, [true, true, false, false]);
        assert!(bucket.try_take(now + Duration::from_secs(1)));
        assert!(!bucket.try_take(now), "time does not go back");
    }
}
