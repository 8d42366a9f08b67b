//! Requests that are tried again, as minio-go does it.

use std::time::Duration;

use net::{Backoff, Deadline};

use crate::RequestError;

/// How often a request is made.
const ATTEMPTS: u32 = 10;
/// Waits between attempts, before chance shortens them.
const PAUSES: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(1) };

/// Tries again what failed for a reason that may pass, as long as there is time. A server that asks for a longer pause gets it.
/// `request` gives the request that an error is of.
///
/// # Errors
/// What the last attempt failed with.
pub async fn retried<T, E, F: Future<Output = Result<T, E>>>(
    deadline: &Deadline,
    request: fn(&E) -> Option<&RequestError>,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E> {
    for attempts in 1..ATTEMPTS {
        match attempt().await {
            Err(error) if request(&error).is_some_and(RequestError::is_temporary) => {
                let asked = request(&error).and_then(RequestError::refusal);
                let pause = PAUSES.after(attempts).mul_f64(rand::random_range(0.5..1.0));
                let pause =
                    asked.and_then(|refusal| refusal.retry_after).map_or(pause, |asked| asked.max(pause));
                if pause >= deadline.remaining() || deadline.is_cancelled() {
                    return Err(error);
                }
                tokio::time::sleep(pause).await;
            }
            other => return other,
        }
    }
    attempt().await
}
