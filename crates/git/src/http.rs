//! The HTTP side of the Git protocol: authentication, redirects, limits, deadlines.
//!
//! gix brings its own reqwest transport, but it refuses basic auth over plain http, hides response bodies of errors,
//! starts a thread for each connection and has no byte limit; its `Http` trait lets us bring ours.

mod advertisement;
mod client;
mod exchange;
mod redirect;

use std::io::{BufReader, Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use gix::protocol::transport::client::blocking_io::http as gix_http;
use gix::protocol::transport::{Protocol, client::blocking_io::http::PostBodyDataKind};
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

pub(crate) use self::advertisement::AdvertisementCache;
use self::client::Response;
pub(crate) use self::client::{Client, Driver};
use self::exchange::{Body, Exchange, Headers, Pending, PostBody, Stage};
pub use self::redirect::RedirectError;
use crate::TransportError;
use crate::connection::{Connection, EXCERPT_BYTES, printable};
use crate::remote::Remote;
use crate::session::{Connect, Transport};
use net::{AddressPolicy, Refused, redact};

/// How much of an answer may be unread when its connection is to be used again.
const ANSWER_TAIL_BYTES: u64 = 64;
/// The type of an advertisement's content.
const ADVERTISEMENT_TYPE: &str = "application/x-git-upload-pack-advertisement";

/// What every request of a session shares.
#[derive(Clone)]
pub(crate) struct HttpTransport {
    client: Client,
    /// Judges hosts that are written as addresses; the client judges names.
    addresses: Option<AddressPolicy>,
    /// The URL credentials belong to.
    home: Url,
    authorization: Option<HeaderValue>,
    connection: Connection,
    advertisements: AdvertisementCache,
    /// The answer that was read last.
    last: Arc<Mutex<Option<Arc<Mutex<Stage>>>>>,
}

impl HttpTransport {
    pub(crate) fn new(
        remote: &Remote,
        client: Client,
        addresses: Option<AddressPolicy>,
        advertisements: AdvertisementCache,
        connection: Connection,
    ) -> Result<HttpTransport, TransportError> {
        let authorization = remote.authorization().map(|text| {
            let mut value = HeaderValue::from_str(text.expose())?;
            value.set_sensitive(true);
            Ok::<_, reqwest::header::InvalidHeaderValue>(value)
        });
        let authorization = authorization.transpose().map_err(|_| TransportError::Credentials)?;
        Ok(HttpTransport {
            client,
            addresses,
            home: remote.url.clone(),
            authorization,
            connection,
            advertisements,
            last: Arc::default(),
        })
    }

    /// Reads the end of the last answer, if only that is left of it: then its connection can be used again.
    fn release(&self) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(stage) = last else { return };
        // Only the connection depends on it.
        let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = (&mut *stage).take(ANSWER_TAIL_BYTES).read_to_end(&mut Vec::new());
    }

    /// Adds the credentials if they may be sent to `url`.
    fn authorize(&self, request: RequestBuilder, url: &Url) -> RequestBuilder {
        match &self.authorization {
            Some(value) if redirect::is_home(&self.home, url) => request.header(AUTHORIZATION, value.clone()),
            _ => request,
        }
    }

    fn send(&self, request: RequestBuilder, url: &Url) -> Result<Response, TransportError> {
        if self.connection.deadline.is_over() {
            return Err(TransportError::Deadline);
        }
        if let Some(addresses) = &self.addresses {
            addresses.check_url(url)?;
        }
        self.client.send(request, &self.connection.deadline).map_err(|e| self.explain(&e))
    }

    fn explain(&self, error: &(dyn std::error::Error + 'static)) -> TransportError {
        if self.connection.deadline.is_over() {
            return TransportError::Deadline;
        }
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        match causes.find_map(|cause| cause.downcast_ref::<Refused>()) {
            Some(refused) => refused.clone().into(),
            None => TransportError::Connection(net::causes(error)),
        }
    }

    fn check(&self, response: Response, url: &Url) -> Result<Response, TransportError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if let Some(location) = redirect::location(&response) {
            return Err(redirect::not_initial(url, location).into());
        }
        let mut body = Vec::new();
        // A body that cannot be read only makes the message shorter.
        let _ = response.take(EXCERPT_BYTES as u64).read_to_end(&mut body);
        let body = printable(&body, EXCERPT_BYTES);
        Err(match status.as_u16() {
            401 => TransportError::AuthenticationRequired(body),
            403 => TransportError::AuthorizationFailed(body),
            404 => TransportError::RepositoryNotFound(body),
            status => TransportError::Status { url: redact(url.as_str()), status },
        })
    }

    /// Gets `url`, following redirects; also returns where the answer came from. Once a chain has left the origin of `url`, the
    /// rest of it gets no credentials, wherever it leads: the path was chosen by somebody else.
    fn get(&self, url: &str, headers: &HeaderMap) -> Result<(Response, Url), TransportError> {
        let (mut target, mut is_home) = (parse(url)?, true);
        for _ in 0..redirect::CHAIN_REQUESTS {
            is_home &= redirect::is_home(&self.home, &target);
            let request = self.client.get(target.clone()).headers(headers.clone());
            let request = if is_home { self.authorize(request, &target) } else { request };
            let response = self.send(request, &target)?;
            match redirect::location(&response) {
                Some(location) => target = redirect::next(&target, location)?,
                None => return Ok((response, target)),
            }
        }
        Err(RedirectError::TooMany.into())
    }

    fn fail(&self, error: TransportError) -> gix::Error {
        gix::Error::from_error(self.connection.failure.set(error))
    }
}

/// One session's way of sending requests.
struct Http {
    transport: HttpTransport,
    /// The advertisement, if it need not be asked for.
    cached: Option<Arc<[u8]>>,
    redirected: Option<String>,
}

impl Connect for HttpTransport {
    /// Protocol 2 is asked for, older answers are understood.
    fn connect(&self, use_cached: bool) -> Result<(Box<dyn Transport>, bool), TransportError> {
        // Not the error's own text, which repeats the URL.
        let unusable =
            |_| TransportError::Protocol(format!("{}: not a URL of Git", redact(self.home.as_str())));
        let url = gix::url::parse(self.home.as_str()).map_err(unusable)?;
        if !use_cached {
            self.advertisements.forget(&self.home);
        }
        let cached = self.advertisements.cached(&self.home);
        let is_cached = cached.is_some();
        let http = Http { transport: self.clone(), cached, redirected: None };
        Ok((Box::new(gix_http::Transport::new_http(http, url, Protocol::V2, false)), is_cached))
    }

    fn url(&self) -> &str {
        self.home.as_str()
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.transport.release();
    }
}

impl Http {
    /// Asks for the advertisement.
    fn advertise(&mut self, url: &str, headers: &HeaderMap) -> Result<Stage, TransportError> {
        let (response, target) = self.transport.get(url, headers)?;
        let is_redirected = target.as_str() != url;
        if is_redirected {
            self.redirected = Some(redirect::repository(&target)?);
        }
        let mut response = self.transport.check(response, &target)?;
        check_content_type(&response)?;
        if is_redirected {
            return Ok(Stage::Answered(response));
        }
        let text = self.transport.advertisements.read(&self.transport.home, &mut response);
        let text = text.map_err(|e| self.transport.explain(&e))?;
        Ok(Stage::Advertised(Cursor::new(text.into()), Some(response)))
    }

    fn exchange(&self, stage: Stage) -> Exchange {
        let stage = Arc::new(Mutex::new(stage));
        *self.transport.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(stage.clone());
        Exchange { stage, transport: self.transport.clone() }
    }
}

/// Web pages, and servers that know nothing of Git and only hand out its files, answer with something else.
fn check_content_type(response: &Response) -> Result<(), TransportError> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("none");
    if kind.to_ascii_lowercase().starts_with(ADVERTISEMENT_TYPE) {
        return Ok(());
    }
    Err(TransportError::Protocol(format!(
        "the server's answer is not one of Git's smart HTTP protocol: content type {}",
        printable(kind.as_bytes(), EXCERPT_BYTES)
    )))
}

fn parse(url: &str) -> Result<Url, TransportError> {
    Url::parse(url).map_err(|e| TransportError::Protocol(format!("{}: {e}", redact(url))))
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
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<gix_http::GetResponse<Headers, BufReader<Body>>> {
        let stage = match self.cached.clone() {
            Some(advertisement) => Stage::Advertised(Cursor::new(advertisement), None),
            None => self.advertise(url, &header_map(headers)).map_err(|e| self.transport.fail(e))?,
        };
        let exchange = self.exchange(stage);
        Ok(gix_http::GetResponse { headers: Headers::new(&exchange), body: Body::reader(exchange) })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _kind: PostBodyDataKind,
    ) -> gix::Result<gix_http::PostResponse<Headers, BufReader<Body>, PostBody>> {
        let target = parse(url).map_err(|e| self.transport.fail(e))?;
        let request = self.transport.client.post(target.clone()).headers(header_map(headers));
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
