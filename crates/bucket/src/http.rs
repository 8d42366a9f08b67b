//! One request: deadlines, bounded bodies, texts without secrets.

use bytes::Bytes;
use net::{ClientError, Deadline, Proxy, TlsConfig};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::Limits;
use crate::error::RequestError;

/// Sends requests within limits.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    limits: Limits,
}

/// The head of an answer, and its body as far as it has come.
#[derive(Debug)]
pub struct Body {
    response: reqwest::Response,
    /// Method and URL of the request, for errors.
    request: String,
    limits: Limits,
    deadline: Deadline,
    /// What the answer says of the object.
    etag: String,
    size: u64,
    is_packed: bool,
    /// Bytes that have come.
    read: u64,
}

impl Http {
    pub(crate) fn new(tls: &TlsConfig, proxy: Option<&Proxy>, limits: Limits) -> Result<Http, ClientError> {
        let builder = net::client::builder(tls, proxy)?.referer(false);
        Ok(Http { client: builder.build().map_err(ClientError::tls)?, limits })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sends a request without a body, and gives the answer whatever its status.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        deadline: &Deadline,
    ) -> Result<Body, RequestError> {
        let request = format!("{method} \"{}\"", net::redact(url.as_str()));
        let sent = self.client.request(method, url).headers(headers).send();
        let answer = deadline.bound(self.limits.idle_timeout, sent).await;
        let response = answer
            .map_err(|expired| RequestError::late(&request, expired))?
            .map_err(|source| RequestError::broken(&request, source))?;
        let (limits, deadline) = (self.limits.clone(), deadline.clone());
        Ok(Body {
            response,
            request,
            limits,
            deadline,
            etag: String::new(),
            size: 0,
            is_packed: false,
            read: 0,
        })
    }
}

impl Body {
    /// The etag of the object that this is the content of, without quotes.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Bytes of the object, as they come.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether these bytes are to be unpacked by [`crate::unpacked`].
    pub fn is_packed(&self) -> bool {
        self.is_packed
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(crate) fn request(&self) -> &str {
        &self.request
    }

    /// Itself as the content of an object with this etag, if it tells how long that is.
    pub(crate) fn of_object(mut self, etag: String) -> Result<Body, RequestError> {
        let size = self.header("content-length").and_then(|size| size.parse().ok());
        let Some(size) = size else {
            return Err(self.malformed("an object without the header Content-Length"));
        };
        (self.etag, self.size) = (etag, size);
        Ok(self)
    }

    /// The content of an object, packed if its header says so and there is any. This is for stores whose clients unpack such
    /// ones in Flux: they use Go's HTTP client as it is.
    pub(crate) fn of_unpacking_client(mut self) -> Body {
        let encoding = self.header("content-encoding");
        self.is_packed = self.size > 0 && encoding.is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        self
    }

    /// A header that is a text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn malformed(&self, what: &'static str) -> RequestError {
        RequestError::Malformed { request: self.request.clone(), what }
    }

    /// The next bytes of the object; `None` after exactly [`Self::size`] bytes.
    ///
    /// # Errors
    /// When the connection breaks, nothing comes for too long, or the object is not as long as it was said to be.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, RequestError> {
        let chunk = self.next().await?;
        self.read = self.read.saturating_add(chunk.as_ref().map_or(0, |bytes| bytes.len() as u64));
        if self.read > self.size || (chunk.is_none() && self.read < self.size) {
            return Err(self.malformed("the object is not as long as its header says"));
        }
        Ok(chunk)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, RequestError> {
        let chunk = self.deadline.bound(self.limits.idle_timeout, self.response.chunk()).await;
        chunk
            .map_err(|expired| RequestError::late(&self.request, expired))?
            .map_err(|source| RequestError::broken(&self.request, source))
    }

    /// The whole body, of no more than `limit` bytes.
    pub(crate) async fn whole(&mut self, limit: usize) -> Result<Vec<u8>, RequestError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.next().await? {
            if chunk.len() > limit.saturating_sub(body.len()) {
                let request = self.request.clone();
                return Err(RequestError::TooLarge { request, limit: limit as u64 });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The beginning of the body of an error. What cannot be read only makes the message shorter.
    pub(crate) async fn beginning(&mut self) -> Vec<u8> {
        let (mut body, limit) = (Vec::new(), self.limits.error_bytes);
        while let Ok(Some(chunk)) = self.next().await {
            body.extend_from_slice(&chunk);
            if body.len() >= limit {
                body.truncate(limit);
                break;
            }
        }
        body
    }
}

/// Headers from texts. One that no header may have is none: the server then says that it is missing.
pub(crate) fn headers<'a>(pairs: impl IntoIterator<Item = (&'static str, &'a str)>) -> HeaderMap {
    let header = |(name, value): (&'static str, &str)| {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(matches!(name, "authorization" | "x-amz-security-token"));
        Some((HeaderName::from_static(name), value))
    };
    pairs.into_iter().filter_map(header).collect()
}
