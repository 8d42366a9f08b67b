//! Requests that are tried again, as go-containerregistry does it.

use std::time::Duration;

use net::Deadline;

use crate::http::RequestError;

/// Pauses before a request is tried again that failed for a reason that may pass, as go-containerregistry has them.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

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
    for pause in RETRY_PAUSES {
        match attempt().await {
            Err(error) if request(&error).is_some_and(RequestError::is_temporary) => {
                let asked = request(&error).and_then(RequestError::retry_after);
                let pause = asked.map_or(pause, |asked| asked.max(pause));
                if pause >= deadline.remaining() {
                    return Err(error);
                }
                tokio::time::sleep(pause).await;
            }
            other => return other,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::StatusError;
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
    use std::cell::Cell;

    fn refused(status: StatusCode, retry_after: Option<&'static str>) -> RequestError {
        let values = retry_after.map(|text| (RETRY_AFTER, HeaderValue::from_static(text)));
        let headers: HeaderMap = values.into_iter().collect();
        RequestError::Status(Box::new(StatusError::new("GET x".to_owned(), false, status, &headers, b"")))
    }

    /// How often a request is made that fails so, and the seconds between the first and the last attempt.
    async fn attempts(status: StatusCode, retry_after: Option<&'static str>, seconds: u64) -> (u32, u64) {
        let (attempts, begun) = (Cell::new(0), tokio::time::Instant::now());
        let deadline = Deadline::new(Duration::from_secs(seconds));
        let done: Result<(), RequestError> = retried(
            &deadline,
            |error| Some(error),
            || {
                attempts.set(attempts.get() + 1);
                async { Err(refused(status, retry_after)) }
            },
        )
        .await;
        assert!(done.is_err());
        (attempts.get(), begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_tried_again_if_that_may_help_and_there_is_time() {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(attempts(unavailable, None, 60).await, (3, 4));
        assert_eq!(attempts(unavailable, Some("2"), 60).await, (3, 5), "the longer pause counts");
        assert_eq!(attempts(unavailable, Some("3600"), 60).await, (1, 0));
        assert_eq!(attempts(unavailable, None, 2).await, (2, 1));
        assert_eq!(attempts(StatusCode::NOT_FOUND, None, 60).await, (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_at_the_third_try_has_answered() {
        let (attempts, deadline) = (Cell::new(0), Deadline::new(Duration::from_secs(60)));
        let answer = retried(
            &deadline,
            |error| Some(error),
            || {
                attempts.set(attempts.get() + 1);
                let answer = match attempts.get() {
                    1 => Err(refused(StatusCode::TOO_MANY_REQUESTS, None)),
                    2 => Err(refused(StatusCode::BAD_GATEWAY, None)),
                    tries => Ok(tries),
                };
                async move { answer }
            },
        );
        assert_eq!(answer.await.ok(), Some(3));
    }
}
