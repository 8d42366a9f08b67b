//! What clients read of answers.

use std::time::{Duration, SystemTime};

use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::causes;

/// The longest wait that a server is understood to ask for. It keeps times within what a clock can count.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why there is no whole body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke, or nothing came for too long.
    #[error("{}", causes(.0))]
    Connection(#[source] reqwest::Error),
    /// The body does not end within the limit.
    #[error("answer of more than {0} bytes")]
    TooLarge(usize),
}

/// The whole body of an answer, of no more than `limit` bytes. What is longer is not read to its end.
///
/// # Errors
/// For a broken connection and a body that is too long.
pub async fn read_body(response: &mut Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Connection)? {
        if chunk.len() > limit - body.len() {
            return Err(BodyError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The wait that a server asks for before the next request (RFC 9110, section 10.2.3): a number of seconds or a date.
///
/// A date that has passed asks for no wait. What asks for more than a year asks for a year; callers wait less. `None` if there is
/// no such header, or it is neither.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that are no number are too many.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(SystemTime::now()).unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_by_date() {
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked(" 0 "), Some(Duration::ZERO));
        // One date in the three formats of RFC 9110, section 5.6.7.
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(asked(date), Some(Duration::ZERO), "{date}");
        }
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(asked(&soon).is_some_and(|wait| (98..=100).contains(&wait.as_secs())), "{soon}");
        for far in ["18446744073709551615", "99999999999999999999999", "Wed, 21 Oct 2099 07:28:00 GMT"] {
            assert_eq!(asked(far), Some(MAX_RETRY_AFTER), "{far}");
        }
        for nonsense in ["", "soon", "-1", "+1", "1.5", "Wed, 21 Oct 2099"] {
            assert_eq!(asked(nonsense), None, "{nonsense:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let response = || Response::from(http::Response::new("12345"));
        assert_eq!(read_body(&mut response(), 5).await.unwrap(), b"12345");
        let error = read_body(&mut response(), 4).await.unwrap_err();
        assert_eq!(error.to_string(), "answer of more than 4 bytes");
    }
}
