//! What functions need of the world.

use std::time::{SystemTime, UNIX_EPOCH};

use gotemplate::Error;

/// The clock and the randomness that functions see.
pub trait Host: Send + Sync {
    /// The seconds since 1970, and the nanoseconds beyond.
    fn now(&self) -> (i64, u32);

    /// Fills bytes with what nobody can guess: passwords are made of it. Private keys are not: their library has its own source.
    ///
    /// # Errors
    /// There is no randomness.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error>;
}

/// The clock and the random source of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Host for System {
    fn now(&self) -> (i64, u32) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (i64::try_from(since.as_secs()).unwrap_or_default(), since.subsec_nanos())
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        // That of the crypto library is the same source behind a generator that takes 20 ms to begin.
        getrandom::fill(bytes).map_err(|_| "there is no randomness".into())
    }
}

/// A number below a bound that is not 0, each as likely as any other.
pub(crate) fn below(host: &dyn Host, bound: u64) -> Result<u64, Error> {
    // Of what is beyond a multiple of the bound, low numbers would come more often.
    let beyond = u64::MAX - u64::MAX % bound;
    loop {
        let mut bytes = [0; 8];
        host.fill(&mut bytes)?;
        let value = u64::from_le_bytes(bytes);
        if value < beyond {
            return Ok(value % bound);
        }
    }
}
