//! Stores that speak S3: AWS, and all that do as it does. Two requests are all that a bucket costs that has not changed: one
//! for its region, which is remembered, and one for each page of its list.

mod endpoint;
mod list;
mod regions;
mod xml;

use std::sync::Arc;
use std::time::SystemTime;

use auth::aws::{Credentials, Signer};
use net::{ClientError, Deadline, Proxy, TlsConfig};
use reqwest::{Method, StatusCode};
use url::Url;

pub use self::endpoint::{Endpoint, EndpointError};
pub use self::regions::Regions;
use crate::error::{Refusal, RequestError};
use crate::escape::{self, unquoted};
use crate::http::{Body, Http, headers};
use crate::xml::text_of;
use crate::{Limits, Object};

/// SHA-256 of no bytes, which is what every request here has for a body.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Where what is not said otherwise is.
const DEFAULT_REGION: &str = "us-east-1";

/// Who asks, and by which way.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whose keys sign requests; without any they are anonymous.
    pub credentials: Option<Credentials>,
    /// Whom to trust.
    pub tls: TlsConfig,
    /// What to go through, whatever the environment says.
    pub proxy: Option<Proxy>,
    /// What stores have told of regions.
    pub regions: Arc<Regions>,
}

/// One bucket.
#[derive(Debug)]
pub(crate) struct Store {
    http: Http,
    endpoint: Endpoint,
    bucket: String,
    /// That of the spec, or of the endpoint's name.
    region: Option<String>,
    regions: Arc<Regions>,
    credentials: Option<Credentials>,
}

impl Store {
    pub(crate) fn new(
        endpoint: Endpoint,
        bucket: &str,
        region: Option<&str>,
        access: Access,
        limits: Limits,
    ) -> Result<Store, ClientError> {
        let Access { credentials, tls, proxy, regions } = access;
        let http = Http::new(&tls, proxy.as_ref(), limits)?;
        let region = region.filter(|region| !region.is_empty()).or_else(|| endpoint.region());
        let region = region.map(str::to_owned);
        Ok(Store { http, endpoint, bucket: bucket.to_owned(), region, regions, credentials })
    }

    /// Asks for the bucket itself.
    pub(crate) async fn find(&self, deadline: &Deadline) -> Result<(), RequestError> {
        self.send(Method::HEAD, self.url(deadline).await?, None, deadline).await?.ok(true).await.map(drop)
    }

    /// The content of an object, as it was listed or as it is now.
    pub(crate) async fn get(
        &self,
        object: &Object,
        deadline: &Deadline,
    ) -> Result<Option<Body>, RequestError> {
        let listed = format!("\"{}\"", object.etag);
        let mut answer = self.get_if(&object.key, Some(&listed), deadline).await?;
        if answer.status() == StatusCode::PRECONDITION_FAILED {
            answer = self.get_if(&object.key, None, deadline).await?;
        }
        let body = match answer.ok(false).await {
            Ok(body) => body,
            Err(RequestError::Refused(refusal)) if refusal.code == "NoSuchKey" => return Ok(None),
            Err(error) => return Err(error),
        };
        let etag = body.header("etag").map_or_else(|| object.etag.clone(), |etag| unquoted(etag).to_owned());
        body.of_object(etag).map(Some)
    }

    async fn get_if(&self, key: &str, etag: Option<&str>, deadline: &Deadline) -> Result<Body, RequestError> {
        let object = escape::below(&self.url(deadline).await?, &escape::path(key).to_string())?;
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
                let text = body.whole(self.http.limits().error_bytes).await?;
                let named = text_of(&text, "LocationConstraint").unwrap_or_default();
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
        let part = |name: &str| text_of(&text, name).unwrap_or_default();
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
