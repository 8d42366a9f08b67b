//! A wall clock that processes see and a test moves.

use anyhow::Result;

use crate::preload::Preload;

/// Moves the wall clock of processes, and of nobody else.
#[derive(Debug)]
pub struct MovedClock(Preload);

impl MovedClock {
    /// A clock that is right until it is [set](Self::set).
    pub fn new() -> Result<Self> {
        Preload::new(include_str!("moved_clock.c")).map(Self)
    }

    /// What a process needs in its environment to have this clock.
    pub fn environment(&self) -> [(&str, &str); 2] {
        self.0.environment()
    }

    /// From now on the clock is off by so many seconds.
    pub fn set(&self, seconds: i64) -> Result<()> {
        self.0.set(seconds)
    }
}
