//! Waiting for something to become true, with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Error, Result, bail};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

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
/// the error.
pub async fn until<T>(limit: Duration, mut look: impl AsyncFnMut() -> Result<T, Not>) -> Result<T> {
    let begin = Instant::now();
    loop {
        let last = match look().await {
            Ok(value) => return Ok(value),
            Err(Not::Ever(error)) => return Err(error),
            Err(Not::Yet(seen)) => seen,
        };
        if begin.elapsed() > limit {
            bail!("not so within {limit:?}: {last}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
