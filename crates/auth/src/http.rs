//! Requests for tokens, whose answers are small.

use net::BodyError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

/// How much of an error page goes into a message.
const ERROR_BODY_BYTES: usize = 512;

/// A client, and how many bytes an answer may have.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    limit: usize,
}

/// Why there is no answer of use. The request's body and headers are never part of the text, nor is its URL.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No answer.
    #[error("{0}")]
    Connection(String),
    /// The server refuses.
    #[error("{status}{}", said(.body))]
    Status {
        /// The status.
        status: StatusCode,
        /// The beginning of what it says.
        body: String,
    },
    /// The answer does not end.
    #[error("answer of more than {0} bytes")]
    TooLarge(usize),
    /// The answer is not what was asked for.
    #[error("answer is not understood: {0}")]
    Malformed(String),
}

fn said(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

impl Http {
    /// Sends requests with `client`, which brings proxies, trust and timeouts; answers of more than `limit` bytes are refused.
    pub fn new(client: reqwest::Client, limit: usize) -> Http {
        Http { client, limit }
    }

    pub(crate) fn get(&self, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.client.get(url)
    }

    pub(crate) fn post(&self, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.client.post(url)
    }

    pub(crate) fn put(&self, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.client.put(url)
    }

    /// A request with a form.
    pub(crate) fn submit(&self, url: String, form: String) -> RequestBuilder {
        self.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(form)
    }

    /// The body of a good answer.
    pub(crate) async fn text(&self, request: RequestBuilder) -> Result<String, HttpError> {
        let mut response = request.send().await.map_err(describe)?;
        let body = net::read_body(&mut response, self.limit).await.map_err(|error| match error {
            BodyError::Connection(error) => describe(error),
            BodyError::TooLarge(limit) => HttpError::TooLarge(limit),
        })?;
        let text = String::from_utf8_lossy(&body).into_owned();
        let status = response.status();
        if status.is_success() {
            return Ok(text);
        }
        let shown = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(HttpError::Status { status, body: shown.chars().take(ERROR_BODY_BYTES).collect() })
    }

    /// The same, as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, HttpError> {
        let text = self.text(request).await?;
        serde_json::from_str(&text).map_err(|error| {
            // Not the error's own text, which may quote the answer.
            HttpError::Malformed(format!("line {}, column {}", error.line(), error.column()))
        })
    }
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> impl std::fmt::Display {
    const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, const { &ESCAPED })
}

/// Pairs as a form or a query.
pub(crate) fn form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The causes of a failure; reqwest's own text names the URL, which may hold secrets.
fn describe(error: reqwest::Error) -> HttpError {
    if error.is_timeout() {
        return HttpError::Connection("timed out".to_owned());
    }
    HttpError::Connection(net::causes(&error))
}
