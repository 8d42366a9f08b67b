//! One request: redirects, deadlines, bounded bodies, texts without secrets.

use std::time::Duration;

use bytes::Bytes;
use net::{Deadline, Expired};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::limits::Limits;
use crate::status::StatusError;
use crate::token::TokenError;
use crate::urls::{Redirects, place, redact, refusal};

/// How long a body that nobody needs is waited for.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a request got no answer of use. Each text begins with method and URL; values of query parameters that are not the
/// protocol's are replaced by `REDACTED`, and of redirects nothing but scheme and host is told.
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
    /// The server sent nothing for too long: [`Limits::idle_timeout`].
    #[error("{request}: nothing received for {after:?}")]
    Idle {
        /// Method and URL.
        request: String,
        /// The limit.
        after: Duration,
    },
    /// A redirect that must not be followed.
    #[error("{request}: redirect to '{target}' refused: {reason}")]
    Redirect {
        /// Method and URL.
        request: String,
        /// Scheme and host of where it leads.
        target: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// The answer is larger than one of [`Limits`].
    #[error("{request}: answer of more than {limit} bytes")]
    TooLarge {
        /// Method and URL.
        request: String,
        /// The limit.
        limit: u64,
    },
    /// The server refuses.
    #[error(transparent)]
    Status(Box<StatusError>),
    /// The registry asks for a token, and there is none to be had.
    #[error(transparent)]
    Token(Box<TokenError>),
    /// The registry was reached neither by https nor by http.
    #[error("{https}; {http}")]
    Unreachable {
        /// What happened first.
        #[source]
        https: Box<RequestError>,
        /// What happened then.
        http: Box<RequestError>,
    },
}

impl RequestError {
    /// The refusal, if the server gave one, in whatever step.
    pub fn status(&self) -> Option<&StatusError> {
        match self {
            RequestError::Status(error) => Some(error),
            RequestError::Token(error) => error.status(),
            RequestError::Unreachable { https, http } => https.status().or_else(|| http.status()),
            _ => None,
        }
    }

    /// Whether the same request may succeed a moment later: a connection that was there broke, or the status is one of those
    /// that go-containerregistry tries again. Its pauses are 1 s and 3 s, and [`RequestError::retry_after`] is not looked at.
    pub fn is_temporary(&self) -> bool {
        match self {
            RequestError::Connection { source, .. } => !source.is_connect(),
            RequestError::Unreachable { https, http } => https.is_temporary() || http.is_temporary(),
            _ => self.status().is_some_and(|error| {
                matches!(error.status.as_u16(), 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
            }),
        }
    }

    /// Whether the credentials may be the cause: registries of clouds answer 400 or 403, too, to those that have ended.
    pub fn is_refusal(&self) -> bool {
        self.status().is_some_and(|error| matches!(error.status.as_u16(), 400 | 401 | 403))
    }

    /// The wait that the server asks for before the next request.
    pub fn retry_after(&self) -> Option<Duration> {
        self.status()?.retry_after
    }
}

/// A request to be sent.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) accept: Option<HeaderValue>,
    /// Sent to the origin of `url`, and nowhere else.
    pub(crate) authorization: Option<HeaderValue>,
    /// A body of type `application/x-www-form-urlencoded`.
    pub(crate) form: Option<String>,
    pub(crate) redirects: Redirects,
    pub(crate) deadline: Deadline,
}

/// Sends requests within limits.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    limits: Limits,
}

/// The head of an answer, and its body as far as it has come.
#[derive(Debug)]
pub(crate) struct Answer {
    response: reqwest::Response,
    /// Method and URL of the request, for errors.
    pub(crate) request: String,
    /// The URL of the request, or of the last redirect.
    pub(crate) url: Url,
    is_head: bool,
    error_bytes: u64,
    idle: Duration,
    deadline: Deadline,
}

// === impl Call ===

impl Call {
    pub(crate) fn get(url: Url, deadline: &Deadline) -> Call {
        Call {
            method: Method::GET,
            url,
            accept: None,
            authorization: None,
            form: None,
            redirects: Redirects::Never,
            deadline: deadline.clone(),
        }
    }
}

// === impl Http ===

impl Http {
    pub(crate) fn new(client: reqwest::Client, limits: Limits) -> Http {
        Http { client, limits }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sends a request, follows redirects, and gives the answer whatever its status.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, RequestError> {
        let request = format!("{} {}", call.method, redact(&call.url));
        let mut url = call.url.clone();
        for _ in 0..=self.limits.redirects {
            let response = self.send_once(call, &url, &request).await?;
            let location = response.headers().get(LOCATION).filter(|_| is_redirect(response.status()));
            let (Some(location), false) = (location, call.redirects == Redirects::Never) else {
                return Ok(Answer {
                    response,
                    request,
                    url,
                    is_head: call.method == Method::HEAD,
                    error_bytes: self.limits.error_bytes,
                    idle: self.limits.idle_timeout,
                    deadline: call.deadline.clone(),
                });
            };
            let next = location.to_str().ok().and_then(|location| url.join(location).ok());
            let refused = |target: Option<&Url>, reason| RequestError::Redirect {
                request: request.clone(),
                target: target.map(place).unwrap_or_default(),
                reason,
            };
            let mut next = next.ok_or_else(|| refused(None, "malformed location"))?;
            if let Some(reason) = refusal(&call.url, &url, &next, call.redirects) {
                return Err(refused(Some(&next), reason));
            }
            // Credentials that a server thinks of are not ours.
            net::remove_credentials(&mut next);
            url = next;
        }
        Err(RequestError::Redirect { request, target: place(&url), reason: "too many redirects" })
    }

    async fn send_once(
        &self,
        call: &Call,
        url: &Url,
        request: &str,
    ) -> Result<reqwest::Response, RequestError> {
        let mut builder = self.client.request(call.method.clone(), url.clone());
        if let Some(accept) = &call.accept {
            builder = builder.header(ACCEPT, accept.clone());
        }
        if let Some(authorization) = call.authorization.as_ref().filter(|_| url.origin() == call.url.origin())
        {
            builder = builder.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(form) = &call.form {
            builder = builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.clone());
        }
        let answer = call.deadline.bound(self.limits.idle_timeout, builder.send()).await;
        answer.map_err(|expired| late(request, expired))?.map_err(|source| broken(request, source))
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The header of that name; what is said of a body, not what is known of one.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The media type, without parameters.
    pub(crate) fn media_type(&self) -> Option<String> {
        let value = self.headers().get(CONTENT_TYPE)?.to_str().ok()?;
        let kind = value.split(';').next().unwrap_or_default().trim();
        (!kind.is_empty()).then(|| kind.to_ascii_lowercase())
    }

    /// Itself if the status is 200.
    pub(crate) async fn ok(self) -> Result<Answer, RequestError> {
        if self.status() == StatusCode::OK { Ok(self) } else { Err(self.refuse().await) }
    }

    /// The error that this answer is.
    pub(crate) async fn refuse(mut self) -> RequestError {
        let mut body = Vec::new();
        // A body that cannot be read only makes the message shorter.
        while let Ok(Some(chunk)) = self.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() as u64 >= self.error_bytes {
                body.truncate(usize::try_from(self.error_bytes).unwrap_or(usize::MAX));
                break;
            }
        }
        let (status, headers) = (self.response.status(), self.response.headers());
        let error = StatusError::new(self.request.clone(), self.is_head, status, headers, &body);
        RequestError::Status(Box::new(error))
    }

    /// The next bytes of the body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, RequestError> {
        let chunk = self.deadline.bound(self.idle, self.response.chunk()).await;
        chunk.map_err(|expired| late(&self.request, expired))?.map_err(|source| broken(&self.request, source))
    }

    /// The whole body, of no more than `limit` bytes.
    pub(crate) async fn body(&mut self, limit: u64) -> Result<Vec<u8>, RequestError> {
        let too_large = |request: &str| RequestError::TooLarge { request: request.to_owned(), limit };
        if !self.is_head && self.content_length().is_some_and(|length| length > limit) {
            return Err(too_large(&self.request));
        }
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_large(&self.request));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Reads a short body that nobody needs, so that the connection can be used again. Waits for no more than a second.
    pub(crate) async fn discard(mut self) {
        let (limit, deadline) = (self.error_bytes, self.deadline.clone());
        // Only the connection depends on it.
        let _ = deadline.bound(DISCARD_TIMEOUT, self.body(limit)).await;
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

pub(crate) fn late(request: &str, expired: Expired) -> RequestError {
    let request = request.to_owned();
    match expired {
        Expired::Deadline => RequestError::Deadline { request },
        Expired::Idle(after) => RequestError::Idle { request, after },
    }
}

fn broken(request: &str, source: reqwest::Error) -> RequestError {
    RequestError::Connection { request: request.to_owned(), source: source.without_url() }
}
