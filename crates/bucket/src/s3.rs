//! Stores that speak S3: AWS, and all that do as it does. Two requests are all that a bucket costs that has not changed: one
//! for its region, which is remembered, and one for each page of its list.

mod list;
mod regions;
mod xml;

use std::sync::Arc;
use std::time::SystemTime;

use auth::aws::{Credentials, Signer};
use net::{ClientError, Deadline, Proxy, TlsConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use url::Url;

pub use self::list::ListError;
pub use self::regions::Regions;
use crate::endpoint::Endpoint;
use crate::error::{Refusal, RequestError};
use crate::http::{Body, Http, headers};
use crate::{Limits, Object, retried};

/// SHA-256 of no bytes, which is what every request here has for a body.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Where what is not said otherwise is.
const DEFAULT_REGION: &str = "us-east-1";
/// What is not escaped in a path: RFC 3986's unreserved characters, and what separates segments.
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Who asks, and by which way.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whose keys sign requests; without any they are anonymous.
    pub credentials: Option<Credentials>,
    /// Whom to trust.
    pub tls: TlsConfig,
    /// What to go through, whatever the environment says.
    pub proxy: Option<Proxy>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Certificates or the proxy cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// One bucket of a store.
#[derive(Debug)]
pub struct Client {
    http: Http,
    endpoint: Endpoint,
    bucket: String,
    /// That of the spec, or of the endpoint's name.
    region: Option<String>,
    regions: Arc<Regions>,
    credentials: Option<Credentials>,
}

impl Client {
    /// The bucket `bucket` at `endpoint`, in `region` or in the one that the endpoint or the store names.
    ///
    /// # Errors
    /// For certificates and proxies that cannot be used.
    pub fn new(
        endpoint: Endpoint,
        bucket: &str,
        region: Option<&str>,
        access: Access,
        regions: Arc<Regions>,
        limits: Limits,
    ) -> Result<Client, AccessError> {
        let Access { credentials, tls, proxy } = access;
        let builder = net::client::builder(&tls, proxy.as_ref())?.referer(false);
        let http = Http::new(builder.build().map_err(ClientError::tls)?, limits);
        let region = region.filter(|region| !region.is_empty()).or_else(|| endpoint.region());
        let region = region.map(str::to_owned);
        Ok(Client { http, endpoint, bucket: bucket.to_owned(), region, regions, credentials })
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        self.http.limits()
    }

    /// Whether there is such a bucket. A list tells that, too; this is for one that failed.
    ///
    /// # Errors
    /// When the store does not say.
    pub async fn find(&self, deadline: &Deadline) -> Result<bool, RequestError> {
        let found = retried(
            deadline,
            |error| Some(error),
            || async {
                self.send(Method::HEAD, self.url(deadline).await?, None, deadline).await?.ok(true).await
            },
        );
        match found.await {
            Ok(_) => Ok(true),
            Err(RequestError::Refused(refusal)) if refusal.code == "NoSuchBucket" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The content of an object, which is still as it was listed, or as it has become since: see [`Body::etag`]. `None` if there is
    /// no such object any more.
    ///
    /// # Errors
    /// When the store does not give it.
    pub async fn get(&self, object: &Object, deadline: &Deadline) -> Result<Option<Body>, RequestError> {
        let listed = format!("\"{}\"", object.etag);
        let mut answer = self.get_if(&object.key, Some(&listed), deadline).await?;
        if answer.status() == StatusCode::PRECONDITION_FAILED {
            answer = self.get_if(&object.key, None, deadline).await?;
        }
        let mut body = match answer.ok(false).await {
            Ok(body) => body,
            Err(RequestError::Refused(refusal)) if refusal.code == "NoSuchKey" => return Ok(None),
            Err(error) => return Err(error),
        };
        let header = |name: &str| body.headers().get(name).and_then(|value| value.to_str().ok());
        let (etag, size) = (header("etag"), header("content-length").and_then(|size| size.parse().ok()));
        let etag = etag.map_or_else(|| object.etag.clone(), |etag| unquoted(etag).to_owned());
        let Some(size) = size else {
            let what = "an object without the header Content-Length";
            return Err(RequestError::Malformed { request: body.request().to_owned(), what });
        };
        let limit = self.limits().object_bytes;
        if size > limit {
            return Err(RequestError::TooLarge { request: body.request().to_owned(), limit });
        }
        (body.etag, body.size) = (etag, size);
        Ok(Some(body))
    }

    async fn get_if(&self, key: &str, etag: Option<&str>, deadline: &Deadline) -> Result<Body, RequestError> {
        let url = self.url(deadline).await?;
        let path = format!("{}{}", url.path(), utf8_percent_encode(key, const { &PATH }));
        let mut object = url.clone();
        object.set_path(&path);
        // `.` and `..` lead elsewhere, in whatever way they are written.
        if object.path() != path {
            let (request, what) =
                (format!("GET \"{url}\""), "a key with a segment '.' or '..' cannot be asked for");
            return Err(RequestError::Malformed { request, what });
        }
        self.send(Method::GET, object, etag, deadline).await
    }

    /// The URL of the bucket.
    async fn url(&self, deadline: &Deadline) -> Result<Url, RequestError> {
        Ok(self.endpoint.bucket(&self.bucket, &self.region(deadline).await?))
    }

    /// The region that requests are signed for; who signs nothing needs none.
    async fn region(&self, deadline: &Deadline) -> Result<String, RequestError> {
        if let Some(region) = &self.region {
            return Ok(region.clone());
        }
        if self.credentials.is_none() {
            return Ok(DEFAULT_REGION.to_owned());
        }
        let bucket = self.endpoint.location(&self.bucket);
        if let Some(region) = self.regions.get(&bucket) {
            return Ok(region);
        }
        let region = self.ask_region(&bucket, deadline).await?;
        self.regions.put(&bucket, &region);
        Ok(region)
    }

    async fn ask_region(&self, bucket: &Url, deadline: &Deadline) -> Result<String, RequestError> {
        let mut url = bucket.clone();
        url.set_query(Some("location="));
        let answer = self.send_in(DEFAULT_REGION, Method::GET, url, None, deadline).await?;
        match answer.ok(false).await {
            Ok(mut body) => {
                let text = body.whole(self.limits().error_bytes).await?;
                let named = xml::text_of(&text, "LocationConstraint").unwrap_or_default();
                Ok(match named.as_str() {
                    "" => DEFAULT_REGION.to_owned(),
                    "EU" => "eu-west-1".to_owned(),
                    region => region.to_owned(),
                })
            }
            Err(RequestError::Refused(Refusal { region: Some(region), .. })) if !region.is_empty() => {
                Ok(region)
            }
            Err(RequestError::Refused(refusal))
                if matches!(
                    refusal.code.as_str(),
                    "AccessDenied" | "NotImplemented" | "MethodNotAllowed"
                ) =>
            {
                Ok(DEFAULT_REGION.to_owned())
            }
            Err(error) => Err(error),
        }
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        if_match: Option<&str>,
        deadline: &Deadline,
    ) -> Result<Body, RequestError> {
        let region = self.region(deadline).await?;
        let answer = self.send_in(&region, method, url, if_match, deadline).await?;
        if matches!(answer.status().as_u16(), 301 | 307 | 400 | 403) && self.region.is_none() {
            // The bucket may be another one now.
            self.regions.forget(&self.endpoint.location(&self.bucket));
        }
        Ok(answer)
    }

    async fn send_in(
        &self,
        region: &str,
        method: Method,
        url: Url,
        if_match: Option<&str>,
        deadline: &Deadline,
    ) -> Result<Body, RequestError> {
        let if_match = if_match.map(|etag| ("if-match", etag));
        let Some(credentials) = &self.credentials else {
            return self.http.send(method, url, headers(if_match), deadline).await;
        };
        let signer = Signer { credentials, region, service: "s3" };
        let content = [("x-amz-content-sha256", EMPTY_SHA256)];
        let signed = signer.headers(method.as_str(), &url, &content, b"", SystemTime::now());
        let signed = signed.iter().map(|(name, value)| (*name, value.as_str()));
        let headers = headers(content.into_iter().chain(signed).chain(if_match));
        self.http.send(method, url, headers, deadline).await
    }
}

impl Body {
    /// Itself if the status is 200, else the error that it is.
    async fn ok(mut self, is_head: bool) -> Result<Body, RequestError> {
        if self.status() == StatusCode::OK {
            return Ok(self);
        }
        let text = if is_head { Vec::new() } else { self.beginning().await };
        let part = |name: &str| xml::text_of(&text, name).unwrap_or_default();
        let region = Some(part("Region")).filter(|region| is_region(region));
        let refusal = Refusal::new(self.status(), &part("Code"), &part("Message"), region);
        let retry_after = net::retry_after(self.headers());
        Err(RequestError::Refused(Refusal { retry_after, ..refusal }))
    }
}

/// Whether a name can stand in the host of a service.
fn is_region(text: &str) -> bool {
    !text.is_empty()
        && text.len() < 64
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn unquoted(etag: &str) -> &str {
    let etag = etag.strip_prefix('"').unwrap_or(etag);
    etag.strip_suffix('"').unwrap_or(etag)
}
