//! Azure Blob Storage. A page of a list is one request, and an object is one, too.

mod credentials;
mod endpoint;
mod xml;

use net::{ClientError, Deadline, Proxy, TlsConfig};
use reqwest::{Method, StatusCode};
use url::Url;

pub use self::credentials::{AccountKey, Credentials, KeyError, Sas, SasError};
pub use self::endpoint::{AccountError, Endpoint, EndpointError};
use crate::error::{Refusal, RequestError};
use crate::escape::{self, segment, unquoted};
use crate::http::{Body, Http, headers};
use crate::list::{ListError, Page};
use crate::xml::text_of;
use crate::{Limits, Object};

/// What tokens have to be for, in all of Microsoft's clouds.
pub const SCOPE: &str = "https://storage.azure.com/.default";

/// The version of the protocol: the first one that escapes names that XML cannot hold is older.
const VERSION: &str = "2021-12-02";
/// Objects that are asked for in one page. The service gives up to 5000, which would be larger than a page may be.
const PAGE_OBJECTS: &str = "2000";

/// Who asks, and by which way.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// With what requests are let in.
    pub credentials: Credentials,
    /// Whom to trust.
    pub tls: TlsConfig,
    /// What to go through, whatever the environment says.
    pub proxy: Option<Proxy>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The proxy cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A token would be sent in the clear.
    #[error("authenticated requests are not permitted for non TLS protected (https) endpoints")]
    PlainHttp,
}

/// One container.
#[derive(Debug)]
pub(crate) struct Store {
    http: Http,
    endpoint: Endpoint,
    container: String,
    credentials: Credentials,
}

impl Store {
    pub(crate) fn new(
        endpoint: Endpoint,
        container: &str,
        access: Access,
        limits: Limits,
    ) -> Result<Store, AccessError> {
        let Access { credentials, tls, proxy } = access;
        if matches!(credentials, Credentials::Token(_)) && !endpoint.is_https() {
            return Err(AccessError::PlainHttp);
        }
        let http = Http::new(&tls, proxy.as_ref(), limits)?;
        Ok(Store { http, endpoint, container: container.to_owned(), credentials })
    }

    /// Asks for the shortest list, as Flux does. Who lacks rights to a container is not told whether there is one.
    pub(crate) async fn find(&self, deadline: &Deadline) -> Result<(), RequestError> {
        let found = self.list(&[("maxresults", "1")], deadline).await;
        found.map(drop).map_err(|error| match error {
            RequestError::Refused(refusal) if refusal.code == "AuthenticationFailed" => {
                let text = "the specified bucket name may be incorrect, nonexistent, or the caller might lack \
                            sufficient permissions to access it";
                let message = format!("{text}: {}", refusal.message);
                RequestError::Refused(Refusal { message, ..refusal })
            }
            error => error,
        })
    }

    /// One page, from where the one before it ended.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        from: Option<&str>,
        deadline: &Deadline,
    ) -> Result<Page, ListError> {
        let mut pairs = vec![("maxresults", PAGE_OBJECTS)];
        pairs.extend(Some(("prefix", prefix)).filter(|_| !prefix.is_empty()));
        pairs.extend(from.map(|from| ("marker", from)));
        let mut body = self.list(&pairs, deadline).await?;
        let text = body.whole(self.http.limits().page_bytes).await?;
        xml::page(&text).map_err(ListError::Page)
    }

    async fn list(&self, pairs: &[(&str, &str)], deadline: &Deadline) -> Result<Body, RequestError> {
        let pairs = [("restype", "container"), ("comp", "list")].into_iter().chain(pairs.iter().copied());
        self.send("", &escape::query(pairs), None, deadline).await?.of_azure().await
    }

    /// The content of an object, as it was listed or as it is now.
    pub(crate) async fn get(
        &self,
        object: &Object,
        deadline: &Deadline,
    ) -> Result<Option<Body>, RequestError> {
        let (path, listed) = (format!("/{}", escape::path(&object.key)), format!("\"{}\"", object.etag));
        let mut answer = self.send(&path, "", Some(&listed), deadline).await?;
        if answer.status() == StatusCode::PRECONDITION_FAILED {
            answer = self.send(&path, "", None, deadline).await?;
        }
        let body = match answer.of_azure().await {
            Ok(body) => body,
            Err(RequestError::Refused(refusal)) if refusal.code == "BlobNotFound" => return Ok(None),
            Err(error) => return Err(error),
        };
        let etag = body.header("etag").map_or_else(|| object.etag.clone(), |etag| unquoted(etag).to_owned());
        Ok(Some(body.of_object(etag)?.of_unpacking_client()))
    }

    /// Sends a request for what is at `path` in the container.
    async fn send(
        &self,
        path: &str,
        query: &str,
        if_match: Option<&str>,
        deadline: &Deadline,
    ) -> Result<Body, RequestError> {
        let mut url: Url =
            escape::below(self.endpoint.base(), &format!("{}{path}", segment(&self.container)))?;
        let queries = [self.endpoint.query(), self.credentials.query(), query];
        let queries: Vec<&str> = queries.into_iter().filter(|query| !query.is_empty()).collect();
        url.set_query(Some(queries.join("&").as_str()).filter(|query| !query.is_empty()));
        let date = httpdate::fmt_http_date(std::time::SystemTime::now());
        let named = [("x-ms-date", date.as_str()), ("x-ms-version", VERSION)];
        let authorization = self.credentials.authorization(&url, if_match, &named);
        let authorization = authorization.as_ref().map(|value| ("authorization", value.expose()));
        let if_match = if_match.map(|etag| ("if-match", etag));
        let headers = headers(named.into_iter().chain(if_match).chain(authorization));
        self.http.send(Method::GET, url, headers, deadline).await
    }
}

impl Body {
    /// Itself if the status is 200, else the error that it is.
    async fn of_azure(mut self) -> Result<Body, RequestError> {
        if self.status() == StatusCode::OK {
            return Ok(self);
        }
        let code = self.header("x-ms-error-code").unwrap_or_default().to_owned();
        let text = self.beginning().await;
        let code = text_of(&text, "Code").unwrap_or(code);
        // After the first line there are time and number of the request, which are others each time.
        let message = text_of(&text, "Message").unwrap_or_default();
        let message = message.lines().next().unwrap_or_default();
        let number = self.status().as_u16();
        let text = match (code.as_str(), message) {
            ("", "") => String::new(),
            ("", message) => format!("RESPONSE {number}: {message}"),
            (code, "") => format!("RESPONSE {number}: {code}"),
            (code, message) => format!("RESPONSE {number}: {code}: {message}"),
        };
        let code = if code.is_empty() { number.to_string() } else { code };
        let refusal = Refusal::new(self.status(), &code, &text, None);
        let retry_after = net::retry_after(self.headers());
        Err(RequestError::Refused(Refusal { retry_after, ..refusal }))
    }
}
