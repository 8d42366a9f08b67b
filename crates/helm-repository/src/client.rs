//! Downloads from repositories.

use std::fmt;
use std::io;
use std::time::Duration;

use net::{ClientError, Deadline, Expired, TlsConfig, redact};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, LOCATION,
};
use reqwest::{Response, StatusCode};
use secret::Secret;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use url::Url;

use crate::body::{Body, Encoding};
use crate::limits::Limits;

/// What Helm calls itself; some hosts of charts let nobody else in.
const USER_AGENT: &str = "Helm/4.3.1";

/// A user and its password.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

/// What tells a server which content somebody has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`
    pub etag: Option<String>,
    /// `Last-Modified`
    pub last_modified: Option<String>,
}

/// What is asked for.
#[derive(Debug)]
pub struct Request<'a> {
    /// Where it is.
    pub url: &'a Url,
    /// Sent to the origin of `url`, and nowhere else.
    pub credentials: Option<&'a Credentials>,
    /// What is had already.
    pub validators: Option<&'a Validators>,
    /// How many bytes it may have, as they are sent.
    pub limit: u64,
}

/// What came.
#[derive(Debug)]
pub enum Answer {
    /// The content is the one that the validators stand for.
    NotModified,
    /// A content.
    Content(Download),
}

/// A content that was downloaded.
#[derive(Debug)]
pub struct Download {
    /// Its bytes.
    pub body: Body,
    /// What stands for it.
    pub validators: Validators,
}

/// Why something could not be downloaded. URLs are shown without query and credentials.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server refuses. The text is Helm's.
    #[error("failed to fetch {url} : {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// Its number and reason.
        status: StatusCode,
    },
    /// The server was not reached, or the connection broke.
    #[error("failed to fetch {url} : {}", net::causes(source))]
    Connection {
        /// What was asked for.
        url: String,
        /// What the HTTP client says, without the URL.
        #[source]
        source: reqwest::Error,
    },
    /// It took too long.
    #[error("failed to fetch {url} : {why}")]
    Late {
        /// What was asked for.
        url: String,
        /// Whether all time is over, or nothing came for too long.
        why: Late,
    },
    /// A redirect that must not be followed.
    #[error("failed to fetch {url} : redirect to '{target}' refused: {reason}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Scheme and host of where it leads.
        target: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// There is too much of it.
    #[error("failed to fetch {url} : more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// It is compressed in a way that nobody asked for.
    #[error("failed to fetch {url} : unsupported content encoding {encoding:?}")]
    Encoding {
        /// What was asked for.
        url: String,
        /// What the server says.
        encoding: String,
    },
    /// The temporary file cannot be written.
    #[error("failed to write a temporary file")]
    File(#[from] io::Error),
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// Everything.
    Deadline,
    /// The next bytes.
    Idle(Duration),
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline => f.write_str("context deadline exceeded"),
            Self::Idle(after) => write!(f, "nothing received for {after:?}"),
        }
    }
}

/// Downloads within limits, with one trust.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    limits: Limits,
}

impl Client {
    /// A client with this trust. It obeys the proxies of the environment.
    ///
    /// # Errors
    /// For certificates and keys that cannot be used.
    pub fn new(tls: &TlsConfig, limits: Limits) -> Result<Self, ClientError> {
        let builder = net::client::builder(tls, None)?
            .user_agent(USER_AGENT)
            .connect_timeout(limits.connect_timeout)
            .referer(false);
        Ok(Self { http: builder.build().map_err(ClientError::tls)?, limits })
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Downloads into a file without a name.
    ///
    /// # Errors
    /// When it is not had, not within the limits, or not before the deadline.
    pub async fn get(&self, request: &Request<'_>, deadline: &Deadline) -> Result<Answer, FetchError> {
        let shown = redact(request.url.as_str());
        let response = self.send(request, &shown, deadline).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if request.validators.is_some() => return Ok(Answer::NotModified),
            status => return Err(FetchError::Status { url: shown, status }),
        }
        let text =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let validators = Validators { etag: text(ETAG), last_modified: text(LAST_MODIFIED) };
        let encoding = match text(CONTENT_ENCODING).as_deref() {
            None | Some("" | "identity") => Encoding::Identity,
            Some("gzip" | "x-gzip") => Encoding::Gzip,
            Some(other) => return Err(FetchError::Encoding { url: shown, encoding: other.to_owned() }),
        };
        let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > request.limit) {
            return Err(FetchError::TooLarge { url: shown, limit: request.limit });
        }
        let file = self.save(response, request.limit, &shown, deadline).await?;
        Ok(Answer::Content(Download { body: Body { file, encoding }, validators }))
    }

    async fn save(
        &self,
        mut response: Response,
        limit: u64,
        shown: &str,
        deadline: &Deadline,
    ) -> Result<std::fs::File, FetchError> {
        let mut file = tokio::fs::File::from_std(tempfile::tempfile()?);
        let mut bytes = 0_u64;
        loop {
            let chunk = deadline.bound(self.limits.idle_timeout, response.chunk()).await;
            let Some(chunk) = received(shown, chunk)? else { break };
            bytes += chunk.len() as u64;
            if bytes > limit {
                return Err(FetchError::TooLarge { url: shown.to_owned(), limit });
            }
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        file.rewind().await?;
        Ok(file.into_std().await)
    }

    async fn send(
        &self,
        request: &Request<'_>,
        shown: &str,
        deadline: &Deadline,
    ) -> Result<Response, FetchError> {
        let mut url = request.url.clone();
        for _ in 0..=self.limits.redirects {
            let mut builder = self.http.get(url.clone()).header(ACCEPT_ENCODING, "gzip");
            if let Some(credentials) = request.credentials.filter(|_| url.origin() == request.url.origin()) {
                builder = builder.basic_auth(&credentials.username, Some(credentials.password.expose()));
            }
            for (name, value) in request.validators.into_iter().flat_map(|validators| {
                [(IF_NONE_MATCH, &validators.etag), (IF_MODIFIED_SINCE, &validators.last_modified)]
            }) {
                if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
                    builder = builder.header(name, value);
                }
            }
            let response = deadline.bound(self.limits.idle_timeout, builder.send()).await;
            let response = received(shown, response)?;
            let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = response.headers().get(LOCATION).filter(|_| is_redirect) else {
                return Ok(response);
            };
            let refused = |target: &str, reason| FetchError::Redirect {
                url: shown.to_owned(),
                target: target.to_owned(),
                reason,
            };
            let next = location.to_str().ok().and_then(|location| url.join(location).ok());
            let mut next = next.ok_or_else(|| refused("", "malformed location"))?;
            let place = next.origin().ascii_serialization();
            match (url.scheme(), next.scheme()) {
                (_, "https") | ("http", "http") => {}
                (_, "http") => return Err(refused(&place, "not https")),
                _ => return Err(refused(&place, "neither http nor https")),
            }
            // Credentials that a server thinks of are not ours.
            net::remove_credentials(&mut next);
            url = next;
        }
        let target = url.origin().ascii_serialization();
        Err(FetchError::Redirect { url: shown.to_owned(), target, reason: "too many redirects" })
    }
}

fn received<T>(shown: &str, answer: Result<reqwest::Result<T>, Expired>) -> Result<T, FetchError> {
    let url = || shown.to_owned();
    match answer {
        Ok(Ok(received)) => Ok(received),
        Ok(Err(source)) => Err(FetchError::Connection { url: url(), source: source.without_url() }),
        Err(Expired::Deadline) => Err(FetchError::Late { url: url(), why: Late::Deadline }),
        Err(Expired::Idle(after)) => Err(FetchError::Late { url: url(), why: Late::Idle(after) }),
    }
}
