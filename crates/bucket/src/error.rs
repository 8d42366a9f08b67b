//! Why a request got no answer of use. No text has the query of a URL.

use std::time::Duration;

use net::Expired;
use reqwest::StatusCode;

/// The code of S3 for a bucket that is not there.
pub(crate) const NO_BUCKET: &str = "NoSuchBucket";

/// Characters of what a server says that an error repeats.
const SHOWN_CHARACTERS: usize = 1024;

/// See the head of this file. Each text of a failed connection begins with method and URL.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server was not reached, or the connection broke.
    #[error("{request}: {}", net::causes(source))]
    Connection {
        /// Method and URL.
        request: String,
        /// What the HTTP client says, without the URL.
        #[source]
        source: reqwest::Error,
    },
    /// The deadline came first.
    #[error("{request}: context deadline exceeded")]
    Deadline {
        /// Method and URL.
        request: String,
    },
    /// The server sent nothing for too long.
    #[error("{request}: nothing received for {after:?}")]
    Idle {
        /// Method and URL.
        request: String,
        /// The limit.
        after: Duration,
    },
    /// The answer is larger than it may be.
    #[error("{request}: answer of more than {limit} bytes")]
    TooLarge {
        /// Method and URL.
        request: String,
        /// The limit.
        limit: u64,
    },
    /// The answer is not what was asked for.
    #[error("{request}: {what}")]
    Malformed {
        /// Method and URL.
        request: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The server refuses.
    #[error(transparent)]
    Refused(Refusal),
}

/// What a store says instead of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// Its error code, such as `NoSuchKey`.
    pub code: String,
    /// What it says, or what minio-go says for it.
    pub message: String,
    /// The region that it names.
    pub region: Option<String>,
    /// The wait that it asks for before the next request.
    pub retry_after: Option<Duration>,
}

impl RequestError {
    /// The refusal, if the server gave one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            RequestError::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the same request may succeed a moment later, as minio-go sees it.
    pub fn is_temporary(&self) -> bool {
        match self {
            RequestError::Connection { .. } => true,
            RequestError::Refused(refusal) => {
                matches!(refusal.status.as_u16(), 408 | 429 | 499 | 500 | 502 | 503 | 504 | 520)
                    || matches!(
                        refusal.code.as_str(),
                        "RequestError"
                            | "RequestTimeout"
                            | "Throttling"
                            | "ThrottlingException"
                            | "RequestLimitExceeded"
                            | "RequestThrottled"
                            | "InternalError"
                            | "SlowDown"
                    )
            }
            _ => false,
        }
    }

    pub(crate) fn late(request: &str, expired: Expired) -> RequestError {
        let request = request.to_owned();
        match expired {
            Expired::Deadline => RequestError::Deadline { request },
            Expired::Idle(after) => RequestError::Idle { request, after },
        }
    }

    pub(crate) fn broken(request: &str, source: reqwest::Error) -> RequestError {
        RequestError::Connection { request: request.to_owned(), source: source.without_url() }
    }
}

impl Refusal {
    /// Whether it says that there is no such bucket.
    pub fn is_of_missing_bucket(&self) -> bool {
        matches!(self.code.as_str(), NO_BUCKET | "ContainerNotFound")
    }

    /// The refusal of an answer with this status; code, message and region are those of its body, if it has some.
    pub(crate) fn new(status: StatusCode, code: &str, message: &str, region: Option<String>) -> Refusal {
        let (code, message) = (printable(code), printable(message));
        let (code, message) = match (code.is_empty(), message.is_empty(), status.as_u16()) {
            (false, false, _) => (code, message),
            (false, true, _) => {
                let message = format!("Error response code {code}.");
                (code, message)
            }
            (true, _, 404) => (NO_BUCKET.to_owned(), "The specified bucket does not exist.".to_owned()),
            (true, _, 403) => ("AccessDenied".to_owned(), "Access Denied.".to_owned()),
            (true, _, _) => (status.to_string(), status.to_string()),
        };
        Refusal { status, code, message, region, retry_after: None }
    }
}

/// The beginning of a text, without control characters.
fn printable(text: &str) -> String {
    text.trim().chars().take(SHOWN_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_does_not_say_is_told_from_the_status() {
        for (status, code, message, expected_code, expected) in [
            (404, "", "", "NoSuchBucket", "The specified bucket does not exist."),
            (403, "", "", "AccessDenied", "Access Denied."),
            (403, "SignatureDoesNotMatch", "no\u{1b}[31m", "SignatureDoesNotMatch", "no [31m"),
            (400, "Odd", "", "Odd", "Error response code Odd."),
            (502, "", "", "502 Bad Gateway", "502 Bad Gateway"),
        ] {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            let refusal = Refusal::new(status, code, message, None);
            assert_eq!((refusal.code.as_str(), refusal.to_string().as_str()), (expected_code, expected));
        }
    }
}
