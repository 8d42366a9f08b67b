//! What functions need of the world.

/// The clock and the randomness that functions see.
pub trait Host: Send + Sync {
    /// The seconds since 1970, and the nanoseconds beyond.
    fn now(&self) -> (i64, u32);

    /// Fills bytes with what nobody can guess: passwords and keys are made of it.
    fn fill(&self, bytes: &mut [u8]);
}
