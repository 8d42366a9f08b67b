//! What one object may cost.

use std::time::Duration;

use artifact::{ignore, unpack};

/// What one object may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// What its server may send, and what its tree may hold.
    pub git: git::Limits,
    /// Its ignore rules.
    pub ignore: ignore::Limits,
    /// The archives that it includes: each of them, and their bytes together.
    pub include: unpack::Limits,
    /// Its signatures.
    pub verification: verification::Limits,
    /// How long an artifact may be in the making.
    pub build_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            git: git::Limits::default(),
            ignore: ignore::Limits::default(),
            include: unpack::Limits::default(),
            verification: verification::Limits::default(),
            build_time: Duration::from_secs(600),
        }
    }
}
