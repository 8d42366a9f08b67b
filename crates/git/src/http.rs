//! The HTTP side of the Git protocol: authentication, redirects, limits, deadlines.
//!
//! gix brings its own reqwest transport, but it refuses basic auth over plain http, hides response bodies of errors,
//! starts a thread for each connection and has no byte limit; its `Http` trait lets us bring ours.

mod exchange;

use std::collections::HashMap;
use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix::protocol::transport::client::blocking_io::http::{self as gix_http, Transport};
use gix::protocol::transport::{Protocol, client::blocking_io::http::PostBodyDataKind};
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use url::Url;

use self::exchange::{Body, Exchange, Headers, Pending, PostBody, Stage};
use crate::remote::{Remote, TlsConfig, redact};
use crate::{Budget, Limits, Session, TransportError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How many redirects the first request may take.
const REDIRECTS: usize = 5;
/// How much of an answer may be unread when its connection is to be used again.
const ANSWER_TAIL: u64 = 64;
/// How much of an error page goes into a message.
const ERROR_BODY: u64 = 1024;

/// Opens sessions; keeps one HTTP client (and its idle connections) for each set of TLS settings in use.
#[derive(Debug, Default)]
pub struct Connector {
    clients: Mutex<HashMap<TlsConfig, Client>>,
}

impl Connector {
    /// Clients kept before all are dropped and made anew.
    const CLIENTS: usize = 64;

    /// Connects and shakes hands with the server.
    pub fn connect(
        &self,
        remote: &Remote,
        limits: &Limits,
        budget: &Budget,
    ) -> Result<Session, TransportError> {
        let authorization = remote.authorization().map(|text| {
            let mut value = HeaderValue::from_str(text.expose())?;
            value.set_sensitive(true);
            Ok::<_, reqwest::header::InvalidHeaderValue>(value)
        });
        let authorization = authorization.transpose().map_err(|_| TransportError::Credentials)?;
        let caller = Caller {
            client: self.client(&remote.tls)?,
            home: remote.url.clone(),
            authorization,
            meter: Meter::default(),
            failure: Failure::default(),
            budget: budget.clone(),
            last: Arc::default(),
        };
        Session::start(caller, limits.clone())
    }

    fn client(&self, tls: &TlsConfig) -> Result<Client, TransportError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(tls) {
            return Ok(client.clone());
        }
        let client = build_client(tls)?;
        if clients.len() >= Self::CLIENTS {
            clients.clear();
        }
        clients.insert(tls.clone(), client.clone());
        Ok(client)
    }
}

fn build_client(tls: &TlsConfig) -> Result<Client, TransportError> {
    let invalid = |error: reqwest::Error| TransportError::Tls(describe(&error));
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(4)
        .http1_only()
        .no_gzip()
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = &tls.ca_bundle {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(invalid)?;
        if certificates.is_empty() {
            return Err(TransportError::Tls("no certificates in the CA bundle".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if let Some((certificate, key)) = &tls.client {
        let mut pem = certificate.clone();
        pem.push(b'\n');
        pem.extend_from_slice(key.expose().as_bytes());
        builder = builder.identity(reqwest::Identity::from_pem(&pem).map_err(invalid)?);
    }
    builder.build().map_err(invalid)
}

/// The first failure of a session; gix only carries opaque errors through its layers.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<TransportError>>>);

impl Failure {
    fn set(&self, error: TransportError) -> io::Error {
        let text = error.to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        io::Error::other(text)
    }

    pub(crate) fn take(&self) -> Option<TransportError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Bytes that may still be received and their limit, shared by all responses of a session.
#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<(u64, u64)>>);

impl Meter {
    /// From now on, `limit` more bytes may come.
    pub(crate) fn allow(&self, limit: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (limit, limit);
    }

    fn count(&self, bytes: usize) -> Result<(), TransportError> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, limit) = *guard;
        match left.checked_sub(bytes as u64) {
            Some(left) => guard.0 = left,
            None => return Err(TransportError::Limit { limit, what: "bytes" }),
        }
        Ok(())
    }
}

/// What every request of a session shares.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    /// The URL credentials belong to.
    pub(crate) home: Url,
    authorization: Option<HeaderValue>,
    pub(crate) meter: Meter,
    pub(crate) failure: Failure,
    pub(crate) budget: Budget,
    /// The answer that was read last.
    last: Arc<Mutex<Option<Arc<Mutex<Stage>>>>>,
}

impl Caller {
    /// Reads the end of the last answer, if only that is left of it: then its connection can be used again.
    pub(crate) fn release(&self) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(stage) = last else { return };
        if let Stage::Answered(response) = &mut *stage.lock().unwrap_or_else(PoisonError::into_inner) {
            // Only the connection depends on it.
            let _ = response.take(ANSWER_TAIL).read_to_end(&mut Vec::new());
        }
    }

    /// Credentials go to the host they were given for, and never from https back to http.
    fn authorize(&self, request: RequestBuilder, url: &Url) -> RequestBuilder {
        let default_ports = self.home.port().is_none() && url.port().is_none();
        let upgraded = url.host_str() == self.home.host_str() && default_ports && url.scheme() == "https";
        match &self.authorization {
            Some(value) if upgraded || url.origin() == self.home.origin() => {
                request.header(AUTHORIZATION, value.clone())
            }
            _ => request,
        }
    }

    fn send(&self, request: RequestBuilder, url: &Url) -> Result<Response, TransportError> {
        if self.budget.is_spent() {
            return Err(TransportError::Deadline);
        }
        self.authorize(request.timeout(self.budget.remaining()), url).send().map_err(|e| self.explain(&e))
    }

    fn explain(&self, error: &(dyn std::error::Error + 'static)) -> TransportError {
        if self.budget.is_spent() {
            TransportError::Deadline
        } else {
            TransportError::Connection(describe(error))
        }
    }

    fn check(&self, response: Response, url: &Url) -> Result<Response, TransportError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let mut body = Vec::new();
        // A body that cannot be read only makes the message shorter.
        let _ = response.take(ERROR_BODY).read_to_end(&mut body);
        let body: String =
            String::from_utf8_lossy(&body).trim().chars().filter(|c| !c.is_control() || *c == '\n').collect();
        Err(match status.as_u16() {
            401 => TransportError::AuthenticationRequired(body),
            403 => TransportError::AuthorizationFailed(body),
            404 => TransportError::RepositoryNotFound(body),
            _ if status.is_redirection() => TransportError::Redirect(redact(url.as_str())),
            status => TransportError::Status { url: redact(url.as_str()), status },
        })
    }

    /// Gets `url`, following redirects that keep its tail (what follows `base`); also returns where it ended up.
    fn get(&self, url: &str, base: &str, headers: &HeaderMap) -> Result<(Response, Url), TransportError> {
        let tail = url.strip_prefix(base).unwrap_or_default();
        let mut target = parse(url)?;
        for _ in 0..=REDIRECTS {
            let response = self.send(self.client.get(target.clone()).headers(headers.clone()), &target)?;
            if !response.status().is_redirection() {
                return Ok((self.check(response, &target)?, target));
            }
            let location = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
            let next = target.join(location).map_err(|_| TransportError::Redirect(redact(location)))?;
            let downgrade = target.scheme() == "https" && next.scheme() != "https";
            if downgrade || !matches!(next.scheme(), "http" | "https") || !next.as_str().ends_with(tail) {
                return Err(TransportError::Redirect(redact(next.as_str())));
            }
            target = next;
        }
        Err(TransportError::Redirect(redact(target.as_str())))
    }

    fn fail(&self, error: TransportError) -> gix::Error {
        gix::Error::from_error(self.failure.set(error))
    }
}

/// One session's way of sending requests.
pub(crate) struct Http {
    caller: Caller,
    redirected: Option<String>,
}

impl Http {
    pub(crate) fn new(caller: Caller) -> Self {
        Http { caller, redirected: None }
    }

    /// The transport that gix drives; protocol 2 is asked for, older answers are understood.
    pub(crate) fn into_transport(self) -> Result<Transport<Http>, TransportError> {
        let url = gix::url::parse(self.caller.home.as_str())
            .map_err(|e| TransportError::Protocol(e.to_string()))?;
        Ok(Transport::new_http(self, url, Protocol::V2, false))
    }

    fn exchange(&self, stage: Stage) -> Exchange {
        let stage = Arc::new(Mutex::new(stage));
        *self.caller.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(stage.clone());
        Exchange { stage, caller: self.caller.clone() }
    }
}

fn parse(url: &str) -> Result<Url, TransportError> {
    Url::parse(url).map_err(|e| TransportError::Protocol(format!("{}: {e}", redact(url))))
}

/// The causes of a reqwest error; its own text would repeat the URL.
fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { "request failed".to_owned() } else { text }
}

fn header_map(lines: impl IntoIterator<Item = impl AsRef<str>>) -> HeaderMap {
    lines
        .into_iter()
        .filter_map(|line| {
            let (name, value) = line.as_ref().split_once(':')?;
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value.trim()).ok()?))
        })
        .collect()
}

impl gix_http::Http for Http {
    type Headers = Headers;
    type ResponseBody = BufReader<Body>;
    type PostBody = PostBody;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<gix_http::GetResponse<Headers, BufReader<Body>>> {
        let headers = header_map(headers);
        let (response, target) = self.caller.get(url, base_url, &headers).map_err(|e| self.caller.fail(e))?;
        if target.as_str() != url {
            let tail = url.strip_prefix(base_url).unwrap_or_default();
            self.redirected = target.as_str().strip_suffix(tail).map(str::to_owned);
        }
        let exchange = self.exchange(Stage::Answered(response));
        Ok(gix_http::GetResponse { headers: Headers::new(&exchange), body: Body::reader(exchange) })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _kind: PostBodyDataKind,
    ) -> gix::Result<gix_http::PostResponse<Headers, BufReader<Body>, PostBody>> {
        let target = parse(url).map_err(|e| self.caller.fail(e))?;
        let request = self.caller.client.post(target.clone()).headers(header_map(headers));
        let exchange =
            self.exchange(Stage::Collecting(Box::new(Pending { request, target, body: Vec::new() })));
        Ok(gix_http::PostResponse {
            post_body: PostBody(exchange.clone()),
            headers: Headers::new(&exchange),
            body: Body::reader(exchange),
        })
    }

    fn configure(&mut self, _config: &dyn std::any::Any) -> gix::Result {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.redirected.clone()
    }
}
