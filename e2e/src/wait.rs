//! Waiting until something is seen, with a deadline for what hangs.

use std::fs;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, bail};

/// Least and most time between two looks: each costs the machine something that the tests share.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(200));
/// What part of the time that it has taken so far the next look may come late.
const LATE: u32 = 8;

/// How long a test waits for what should happen at once. It only ends a test that hangs: machines are shared.
pub const LIMIT: Duration = Duration::from_secs(300);

/// Why a look was in vain.
#[derive(Debug)]
pub enum Not {
    /// What was seen instead; it may still change.
    Yet(String),
    /// There is no use in waiting.
    Ever(Error),
}

/// For errors that may pass: [`Not::Yet`] with the error's text.
pub fn not_yet(error: Error) -> Not {
    Not::Yet(format!("{error:#}"))
}

/// Calls `look` until it answers `Ok`, and answers that value. After `limit` the last [`Not::Yet`] becomes
/// the error. How often there was a look, and the load of the machine, tell a machine that was too slow from a state that
/// never came.
pub async fn until<T>(limit: Duration, mut look: impl AsyncFnMut() -> Result<T, Not>) -> Result<T> {
    let (begin, mut looks) = (Instant::now(), 0_u32);
    loop {
        let last = match look().await {
            Ok(value) => return Ok(value),
            Err(Not::Ever(error)) => return Err(error),
            Err(Not::Yet(seen)) => seen,
        };
        looks += 1;
        if begin.elapsed() > limit {
            bail!("not so within {limit:?}, {looks} looks, {}: {last}", load());
        }
        tokio::time::sleep((begin.elapsed() / LATE).clamp(PAUSES.0, PAUSES.1)).await;
    }
}

/// How busy the machine is, in words.
pub fn load() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = averages.split(' ').next().unwrap_or("unknown");
    let processors = available_parallelism().map_or(0, usize::from);
    format!("load average {minute} on {processors} processors")
}
