//! Google Cloud Storage, by its JSON API. A page of a list is one request, and an object is one, too: the generation that was
//! listed names its content.

mod json;

use net::{ClientError, Deadline, Proxy, TlsConfig};
use reqwest::{Method, StatusCode};
use secret::Secret;
use url::Url;

use crate::error::{NO_BUCKET, Refusal, RequestError};
use crate::escape::{self, segment};
use crate::http::{Body, Http, headers};
use crate::list::{ListError, Page};
use crate::{Limits, Object};

/// What tokens for a service account's key have to be for.
pub const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_only";

const GOOGLE: &str = "storage.googleapis.com";
/// Objects that are asked for in one page; the service gives no more.
const PAGE_OBJECTS: &str = "1000";
/// What is asked of an object.
const FIELDS: &str = "name,etag,generation,size";

/// Where the service is. The default is Google's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint(Option<Url>);

/// What does not name an emulator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' does not name an emulator of Google Cloud Storage")]
pub struct EndpointError(String);

/// Who asks, and by which way.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Without a token requests are anonymous.
    pub token: Option<Secret>,
    /// Whom to trust.
    pub tls: TlsConfig,
    /// What to go through, whatever the environment says.
    pub proxy: Option<Proxy>,
}

impl Endpoint {
    /// The emulator that Google's variable `STORAGE_EMULATOR_HOST` names: a URL, or a host with or without a port.
    ///
    /// # Errors
    /// For anything else.
    pub fn emulator(text: &str) -> Result<Endpoint, EndpointError> {
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let mut url = url.ok_or_else(|| EndpointError(net::redact(text)))?;
        url.set_path("/");
        url.set_query(None);
        url.set_fragment(None);
        Ok(Endpoint(Some(url)))
    }

    /// Its host, without a port.
    pub fn host(&self) -> &str {
        self.0.as_ref().map_or(GOOGLE, |url| url.host_str().unwrap_or_default())
    }

    fn url(&self) -> Result<Url, url::ParseError> {
        self.0.clone().map_or_else(|| Url::parse(&format!("https://{GOOGLE}/")), Ok)
    }
}

/// One bucket.
#[derive(Debug)]
pub(crate) struct Store {
    http: Http,
    endpoint: Url,
    bucket: String,
    token: Option<Secret>,
}

impl Store {
    pub(crate) fn new(
        endpoint: Endpoint,
        bucket: &str,
        access: Access,
        limits: Limits,
    ) -> Result<Store, ClientError> {
        let Access { token, tls, proxy } = access;
        let endpoint = endpoint.url().map_err(|error| ClientError::Tls(error.to_string()))?;
        let http = Http::new(&tls, proxy.as_ref(), limits)?;
        Ok(Store { http, endpoint, bucket: bucket.to_owned(), token })
    }

    /// Asks for the bucket itself.
    pub(crate) async fn find(&self, deadline: &Deadline) -> Result<(), RequestError> {
        let answer = self.send("", &[("fields", "name")], None, deadline).await?;
        answer.of_gcs().await.map(drop).map_err(of_bucket)
    }

    /// One page, from where the one before it ended.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        from: Option<&str>,
        deadline: &Deadline,
    ) -> Result<Page, ListError> {
        let fields = format!("kind,nextPageToken,items({FIELDS})");
        let mut pairs = vec![("fields", fields.as_str()), ("maxResults", PAGE_OBJECTS), ("prefix", prefix)];
        pairs.extend(from.map(|from| ("pageToken", from)));
        let answer = self.send("/o", &pairs, None, deadline).await?;
        let mut body = answer.of_gcs().await.map_err(of_bucket)?;
        let text = body.whole(self.http.limits().page_bytes).await?;
        json::page(&text).map_err(ListError::Page)
    }

    /// The content of an object, as it was listed or as it is now.
    pub(crate) async fn get(
        &self,
        object: &Object,
        deadline: &Deadline,
    ) -> Result<Option<Body>, RequestError> {
        match self.content(object, deadline).await {
            Err(error) if is_other(&error) => {}
            content => return content.map(Some),
        }
        let path = format!("/o/{}", segment(&object.key));
        let answer = self.send(&path, &[("fields", FIELDS)], None, deadline).await?;
        let mut body = match answer.of_gcs().await {
            Ok(body) => body,
            Err(error) if has_status(&error, StatusCode::NOT_FOUND) => {
                // Without a bucket there is no object, too, but that is no reason to forget them all.
                return match self.find(deadline).await {
                    Err(RequestError::Refused(refusal)) if refusal.is_of_missing_bucket() => {
                        Err(RequestError::Refused(refusal))
                    }
                    _ => Ok(None),
                };
            }
            Err(error) => return Err(error),
        };
        let text = body.whole(self.http.limits().page_bytes).await?;
        let now = json::object(&text).map_err(|what| body.malformed(what))?;
        match self.content(&now, deadline).await {
            Err(error) if has_status(&error, StatusCode::NOT_FOUND) => Ok(None),
            content => content.map(Some),
        }
    }

    /// The content of just this generation.
    async fn content(&self, object: &Object, deadline: &Deadline) -> Result<Body, RequestError> {
        let generation = object.generation.unwrap_or_default().to_string();
        let pairs = [("alt", "media"), ("ifGenerationMatch", generation.as_str())];
        // By this the service sends objects as they are stored, and tells their size.
        let stored = Some(("accept-encoding", "gzip"));
        let answer = self.send(&format!("/o/{}", segment(&object.key)), &pairs, stored, deadline).await?;
        Ok(answer.of_gcs().await?.of_object(object.etag.clone())?.of_unpacking_client())
    }

    async fn send(
        &self,
        path: &str,
        pairs: &[(&str, &str)],
        header: Option<(&'static str, &str)>,
        deadline: &Deadline,
    ) -> Result<Body, RequestError> {
        let mut url =
            escape::below(&self.endpoint, &format!("storage/v1/b/{}{path}", segment(&self.bucket)))?;
        url.set_query(Some(&escape::query(pairs.iter().copied().chain([("prettyPrint", "false")]))));
        let bearer = self.token.as_ref().map(|token| format!("Bearer {}", token.expose()));
        let authorization = bearer.iter().map(|bearer| ("authorization", bearer.as_str()));
        self.http.send(Method::GET, url, headers(header.into_iter().chain(authorization)), deadline).await
    }
}

impl Body {
    /// Itself if the status is 200, else the error that it is, in the words of Google's client.
    async fn of_gcs(mut self) -> Result<Body, RequestError> {
        if self.status() == StatusCode::OK {
            return Ok(self);
        }
        let (status, body) = (self.status(), self.beginning().await);
        let (message, reason) = json::error(&body);
        let number = status.as_u16();
        let message = match reason.as_str() {
            "" => format!("googleapi: Error {number}: {message}"),
            reason => format!("googleapi: Error {number}: {message}, {reason}"),
        };
        let code = if reason.is_empty() { number.to_string() } else { reason };
        let refusal = Refusal::new(status, &code, &message, None);
        let retry_after = net::retry_after(self.headers());
        Err(RequestError::Refused(Refusal { retry_after, ..refusal }))
    }
}

/// What is not found where a bucket was asked for is the bucket.
fn of_bucket(error: RequestError) -> RequestError {
    match error {
        RequestError::Refused(refusal) if refusal.status == StatusCode::NOT_FOUND => {
            RequestError::Refused(Refusal { code: NO_BUCKET.to_owned(), ..refusal })
        }
        error => error,
    }
}

fn has_status(error: &RequestError, status: StatusCode) -> bool {
    error.refusal().is_some_and(|refusal| refusal.status == status)
}

/// Whether there is another generation, or none.
fn is_other(error: &RequestError) -> bool {
    has_status(error, StatusCode::NOT_FOUND) || has_status(error, StatusCode::PRECONDITION_FAILED)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_is_a_url_or_a_host() {
        for (text, url) in [
            ("localhost:9000", "http://localhost:9000/"),
            ("gcs", "http://gcs/"),
            ("https://gcs:1/storage/v1?x=y", "https://gcs:1/"),
        ] {
            assert_eq!(Endpoint::emulator(text).unwrap().url().unwrap().as_str(), url);
        }
        for text in ["", "ftp://h", "a b", "http://me:s3cret@h:port"] {
            let error = Endpoint::emulator(text).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert_eq!(Endpoint::default().url().unwrap().as_str(), "https://storage.googleapis.com/");
    }
}
