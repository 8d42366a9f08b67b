//! The connection to an API server: one small HTTP/2 pool shared by every identity.
//!
//! kube-apiserver allows 100 streams on a connection and further requests wait without an error, so the pool
//! has lanes: lane 0 carries requests, watches go to the first other lane that has room. A lane's
//! connection is opened when it is first used.

mod route;
mod throttle;
mod watch_body;

pub use route::{Route, RouteError};
pub use throttle::Rate;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::Client as HyperClient,
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt},
};
use net::Backoff;
use tower::{BoxError, ServiceBuilder};

use self::throttle::Throttle;
use crate::{error::chain, metrics::Metrics};

/// Watches that share one connection; the rest of the 100 streams is room for their reconnects.
const WATCHES_PER_LANE: usize = 80;

/// Until when a process may write. The holder of a lease moves it on with each renewal; without one it is open.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<Mutex<Option<Instant>>>);

impl Fence {
    /// Closes the fence at `end` unless it is moved again before.
    pub fn open_until(&self, end: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// Closes the fence now.
    pub fn close(&self) {
        self.open_until(Instant::now());
    }

    fn is_open(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|end| Instant::now() < end)
    }
}

/// How the pool treats requests.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Longest wait for the head of a response, and again for the body of one that is not a watch.
    pub request_timeout: Duration,
    /// Longest wait for a TCP connection.
    pub connect_timeout: Duration,
    /// Interval of HTTP/2 pings that find a dead server, and how long their answer may take.
    pub ping: (Duration, Duration),
    /// Attempts after the first for requests that may be repeated (429, 503, 504, lost connection).
    pub retries: u32,
    /// Longest single wait between attempts, `Retry-After` included.
    pub max_retry_wait: Duration,
    /// Largest answer, and largest event of a watch, in bytes.
    pub max_answer: usize,
    /// Beyond it only reads are sent.
    pub fence: Fence,
    /// What the server may be asked for, unless it has priority and fairness.
    pub rate: Option<Rate>,
    /// How the server is reached.
    pub route: Route,
    /// The host in metrics; that of the URL if there is none. Names that tenants choose are no label: there is no end to them.
    pub host_label: Option<&'static str>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            ping: (Duration::from_secs(30), Duration::from_secs(15)),
            retries: 5,
            max_retry_wait: Duration::from_secs(30),
            max_answer: 1 << 30,
            fence: Fence::default(),
            rate: None,
            route: Route::default(),
            host_label: None,
        }
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig or the in-cluster environment is unusable.
    #[error("failed to read the client configuration")]
    Config(#[source] Box<kube::Error>),
    /// There is no such way to the server.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// No kubeconfig and no in-cluster environment.
    #[error("failed to find a kubeconfig or an in-cluster configuration")]
    Infer(#[source] Box<kube::config::InferConfigError>),
    /// The API server cannot be reached.
    #[error("the API server {server} does not answer")]
    NoAnswer {
        /// Its URL.
        server: String,
        /// What happened instead.
        #[source]
        source: BoxError,
    },
}

/// Reads `KUBECONFIG`, the default kubeconfig or the in-cluster environment, in kubectl's order.
///
/// # Errors
/// When none of them is usable.
pub async fn infer_config() -> Result<Config, ConnectError> {
    Config::infer().await.map_err(|e| ConnectError::Infer(Box::new(e)))
}

type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;
type Connector = hyper_rustls::HttpsConnector<route::Tcp>;

struct Lane {
    client: HyperClient<Connector, Body>,
    watches: Arc<AtomicUsize>,
}

struct Pool {
    config: Config,
    options: ClientOptions,
    metrics: Metrics,
    http2_only: bool,
    throttle: Option<Throttle>,
    requests: HyperClient<Connector, Body>,
    watches: Mutex<Vec<Lane>>,
}

/// Opens a client on its own pool, whether the API server answers or not: it may still be starting. Impersonated clients come
/// from [`impersonate`] and share the pool.
///
/// # Errors
/// When the configuration has unusable certificates or credentials.
pub async fn connect(
    config: Config,
    options: ClientOptions,
    metrics: Metrics,
) -> Result<Client, ConnectError> {
    let head = match probe(&config, &options, &metrics).await {
        Err(error @ ConnectError::NoAnswer { .. }) => {
            tracing::error!(logger = "setup", error = chain(&error), "waiting for the API server");
            None
        }
        head => Some(head?),
    };
    after_probe(config, options, metrics, head)
}

/// The same for those who do not wait for the API server.
///
/// # Errors
/// As [`connect`], and when the API server does not answer within `request_timeout`.
pub async fn connect_now(
    config: Config,
    options: ClientOptions,
    metrics: Metrics,
) -> Result<Client, ConnectError> {
    let head = probe(&config, &options, &metrics).await?;
    after_probe(config, options, metrics, Some(head))
}

/// The same without a look at the server: it need not be there, and both versions of HTTP will do.
///
/// # Errors
/// When the configuration has unusable certificates or credentials, and when there is no such route.
pub fn open(config: Config, options: ClientOptions, metrics: Metrics) -> Result<Client, ConnectError> {
    pooled(config, options, metrics, false, None)
}

fn after_probe(
    config: Config,
    options: ClientOptions,
    metrics: Metrics,
    head: Option<http::response::Parts>,
) -> Result<Client, ConnectError> {
    let plain = config.cluster_url.scheme_str() == Some("http");
    let http2_only = !plain && head.as_ref().is_none_or(|head| head.version >= Version::HTTP_2);
    let fair = head.is_some_and(|head| Rate::is_needless(&head.headers));
    let throttle = options.rate.filter(|_| !fair).and_then(|rate| Throttle::new(rate, Instant::now()));
    pooled(config, options, metrics, http2_only, throttle)
}

/// How the server (or a proxy before it) answers: whether it agrees on HTTP/2, and its headers.
async fn probe(
    config: &Config,
    options: &ClientOptions,
    metrics: &Metrics,
) -> Result<http::response::Parts, ConnectError> {
    let probe = pooled(config.clone(), options.clone(), metrics.clone(), false, None)?;
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::HEAD;
    *request.uri_mut() = http::Uri::from_static("/livez/ping");
    let no_answer = |source| {
        let server = net::redact(&config.cluster_url.to_string());
        ConnectError::NoAnswer { server, source }
    };
    match tokio::time::timeout(options.request_timeout, probe.send(request)).await {
        Ok(Ok(response)) => Ok(response.into_parts().0),
        Ok(Err(error)) => Err(no_answer(error.into())),
        Err(_) => Err(no_answer(RequestTimedOut(options.request_timeout).into())),
    }
}

fn pooled(
    config: Config,
    options: ClientOptions,
    metrics: Metrics,
    http2_only: bool,
    throttle: Option<Throttle>,
) -> Result<Client, ConnectError> {
    let wrap = |e| ConnectError::Config(Box::new(e));
    let pool = Arc::new(Pool {
        requests: lane(&config, &options, http2_only)?,
        watches: Mutex::new(Vec::new()),
        config: config.clone(),
        options,
        metrics,
        http2_only,
        throttle,
    });
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(wrap)?)
        .layer(config.extra_headers_layer().map_err(wrap)?)
        .map_err(BoxError::from)
        .service(tower::service_fn(move |request| {
            let pool = pool.clone();
            async move { pool.send(request).await }
        }));
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

fn lane(
    config: &Config,
    options: &ClientOptions,
    http2_only: bool,
) -> Result<HyperClient<Connector, Body>, ConnectError> {
    let tcp = options.route.connector(options.connect_timeout)?;
    let tls = config.rustls_client_config().map_err(|e| ConnectError::Config(Box::new(e)))?;
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let connector = if http2_only {
        builder.enable_http2().wrap_connector(tcp)
    } else {
        builder.enable_all_versions().wrap_connector(tcp)
    };
    let (interval, timeout) = options.ping;
    Ok(HyperClient::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_only(http2_only)
        .http2_keep_alive_interval(interval)
        .http2_keep_alive_timeout(timeout)
        .http2_keep_alive_while_idle(true)
        .build(connector))
}

impl Pool {
    async fn send(&self, request: Request<Body>) -> Result<Response<ResponseBody>, BoxError> {
        let host = self.options.host_label.or(request.uri().host()).unwrap_or_default().to_owned();
        let method = request.method().clone();
        let wait = self.throttle.as_ref().map(|throttle| throttle.take(Instant::now()));
        tokio::time::sleep(wait.unwrap_or_default()).await;
        let query = request.uri().query().unwrap_or_default();
        let answer = match watch_body::longest(query) {
            Some(longest) => self.watch(request, longest).await,
            None => self.request(request).await,
        };
        let code = answer.as_ref().map_or("<error>".into(), |r| r.status().as_u16().to_string());
        self.metrics.api_request(&code, &host, method.as_str());
        answer
    }

    /// A request and its whole answer, each with a deadline.
    async fn request(&self, request: Request<Body>) -> Result<Response<ResponseBody>, BoxError> {
        let (head, body) = self.attempts(&self.requests, request).await?.into_parts();
        let max = self.options.max_answer;
        let body = Limited::new(body, max).collect();
        let body = tokio::time::timeout(self.options.request_timeout, body).await;
        let body = body.map_err(|_| RequestTimedOut(self.options.request_timeout))?;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => TooLarge("the answer of the API server", max).into(),
            false => error,
        })?;
        let body = Full::new(body.to_bytes()).map_err(|never| match never {}).boxed_unsync();
        Ok(Response::from_parts(head, body))
    }

    /// A watch holds its lane's stream until its body is dropped.
    async fn watch(
        &self,
        request: Request<Body>,
        longest: Duration,
    ) -> Result<Response<ResponseBody>, BoxError> {
        let (client, guard) = self.watch_lane()?;
        let response = self.attempts(&client, request).await?;
        Ok(response.map(|body| watch_body::bounded(body, longest, self.options.max_answer, guard)))
    }

    /// Sends a request, and again while that is safe: a throttled request was not carried out, and reads and forced
    /// server-side applies have the same effect twice.
    async fn attempts(
        &self,
        client: &HyperClient<Connector, Body>,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, BoxError> {
        let repeatable = is_repeatable(&request);
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
        let (parts, mut body) = request.into_parts();
        let mut attempt = 0;
        loop {
            // The lease may have been lost while this request waited.
            if writes && !self.options.fence.is_open() {
                return Err(LeaseNotHeld.into());
            }
            let spare = body.try_clone();
            let sent = client.request(Request::from_parts(parts.clone(), body));
            let answer = tokio::time::timeout(self.options.request_timeout, sent).await;
            let wait = match &answer {
                _ if attempt == self.options.retries => None,
                Ok(Ok(response)) => retry_after(response, attempt, repeatable),
                Ok(Err(_)) if repeatable => Some(BACKOFF.after(attempt.saturating_add(1))),
                _ => None,
            };
            let (Some(wait), Some(spare)) = (wait, spare) else {
                return Ok(answer.map_err(|_| RequestTimedOut(self.options.request_timeout))??);
            };
            tokio::time::sleep(wait.min(self.options.max_retry_wait)).await;
            body = spare;
            attempt += 1;
        }
    }

    fn watch_lane(&self) -> Result<(HyperClient<Connector, Body>, LaneGuard), BoxError> {
        let mut lanes = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(free) = lanes.iter().find(|l| l.watches.load(Ordering::Relaxed) < WATCHES_PER_LANE) {
            return Ok((free.client.clone(), LaneGuard::take(&free.watches)));
        }
        let client = lane(&self.config, &self.options, self.http2_only)?;
        let watches = Arc::new(AtomicUsize::new(0));
        let guard = LaneGuard::take(&watches);
        lanes.push(Lane { client: client.clone(), watches });
        Ok((client, guard))
    }
}

struct LaneGuard(Arc<AtomicUsize>);

impl LaneGuard {
    fn take(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for LaneGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("not sent: the lease is not held")]
struct LeaseNotHeld;

#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer within {}s", .0.as_secs())]
struct RequestTimedOut(Duration);

#[derive(Debug, thiserror::Error)]
#[error("{0} has more than {1} bytes")]
struct TooLarge(&'static str, usize);

fn is_repeatable(request: &Request<Body>) -> bool {
    let apply = || {
        let kind = request.headers().get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        kind.is_some_and(|k| k.starts_with(b"application/apply-patch"))
    };
    matches!(*request.method(), Method::GET | Method::HEAD) || (*request.method() == Method::PATCH && apply())
}

/// The wait before the next attempt, or `None` when the answer is final. 429 is always safe to repeat: the
/// server refused before doing anything.
fn retry_after<B>(response: &Response<B>, attempt: u32, repeatable: bool) -> Option<Duration> {
    let again = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => repeatable,
        _ => false,
    };
    again.then(|| {
        net::retry_after(response.headers()).unwrap_or_else(|| BACKOFF.after(attempt.saturating_add(1)))
    })
}

/// Waits before the next attempt, unless the server asks for one.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_millis(102_400) };

/// A client that acts as `user` over the same connections. RBAC groups are added by the server.
///
/// # Errors
/// When `user` cannot be an HTTP header value; an empty name is refused, it would mean no impersonation.
pub fn impersonate(base: &Client, user: &str) -> Result<Client, InvalidUser> {
    let value = HeaderValue::from_str(user).ok().filter(|_| !user.is_empty());
    let value = value.ok_or_else(|| InvalidUser(user.to_owned()))?;
    let inner = base.clone();
    let service = tower::service_fn(move |mut request: Request<Body>| {
        request.headers_mut().insert(HeaderName::from_static("impersonate-user"), value.clone());
        let inner = inner.clone();
        async move { inner.send(request).await }
    });
    Ok(Client::new(service, base.default_namespace().to_owned()))
}

/// The name cannot be impersonated.
#[derive(Debug, thiserror::Error)]
#[error("cannot impersonate user {0:?}")]
pub struct InvalidUser(String);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(status: u16, retry: Option<&str>) -> Response<()> {
        let mut response = Response::builder().status(status);
        if let Some(value) = retry {
            response = response.header("retry-after", value);
        }
        response.body(()).unwrap()
    }

    #[test]
    fn a_fence_is_open_until_its_time_and_without_one() {
        let fence = Fence::default();
        assert!(fence.is_open());
        fence.open_until(Instant::now() + Duration::from_secs(60));
        assert!(fence.clone().is_open());
        fence.close();
        assert!(!fence.is_open());
    }

    #[test]
    fn throttled_requests_wait_as_long_as_the_server_asks() {
        assert_eq!(retry_after(&answer(429, Some("7")), 0, false), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&answer(429, Some("soon")), 0, false), Some(Duration::from_millis(100)));
    }

    #[test]
    fn only_repeatable_requests_are_sent_again_after_a_server_fault() {
        assert_eq!(retry_after(&answer(503, None), 2, true), Some(Duration::from_millis(400)));
        assert_eq!(retry_after(&answer(503, None), 2, false), None);
        assert_eq!(retry_after(&answer(500, None), 0, true), None);
    }

    #[test]
    fn reads_and_applies_are_repeatable_and_other_writes_are_not() {
        let request = |method: Method, kind: &str| {
            Request::builder().method(method).header("content-type", kind).body(Body::empty()).unwrap()
        };
        assert!(is_repeatable(&request(Method::GET, "application/json")));
        assert!(is_repeatable(&request(Method::PATCH, "application/apply-patch+yaml")));
        assert!(!is_repeatable(&request(Method::PATCH, "application/merge-patch+json")));
        assert!(!is_repeatable(&request(Method::POST, "application/json")));
    }

    /// A client of a server that asks each request to come again, and while it does so the lease is lost; gives how
    /// many came.
    async fn throttled() -> (Client, Arc<AtomicUsize>) {
        let (asked, fence) = (Arc::new(AtomicUsize::new(0)), Fence::default());
        let (count, lost) = (asked.clone(), fence.clone());
        let app = axum::Router::new().fallback(move || async move {
            count.fetch_add(1, Ordering::Relaxed);
            lost.open_until(Instant::now());
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")])
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let options = ClientOptions {
            fence,
            max_retry_wait: Duration::from_millis(200),
            retries: 2,
            ..Default::default()
        };
        let config = Config::new(url.parse().unwrap());
        (pooled(config, options, Metrics::new().unwrap(), false, None).unwrap(), asked)
    }

    #[tokio::test]
    async fn a_write_that_waits_to_be_sent_again_is_not_when_the_lease_is_lost_meanwhile() {
        let (client, asked) = throttled().await;
        let request = Request::patch("/x").body(Body::empty()).unwrap();
        let error = client.send(request).await.unwrap_err();
        assert!(crate::error::chain(&error).contains("the lease is not held"), "{error}");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_read_is_tried_again_without_a_lease_and_the_last_answer_counts() {
        let (client, asked) = throttled().await;
        let answer = client.send(Request::get("/x").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 429);
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_named_with_the_cause() {
        // Nobody listens where somebody did.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let connect_to = |url: String, options: ClientOptions| {
            connect_now(Config::new(url.parse().unwrap()), options, Metrics::new().unwrap())
        };
        let options = ClientOptions { retries: 0, ..ClientOptions::default() };
        let error = connect_to(format!("http://{address}"), options.clone()).await.err().unwrap();
        let text = chain(&error);
        assert!(text.starts_with(&format!("the API server http://{address}/ does not answer: ")), "{text}");
        assert!(text.contains("Connection refused"), "{text}");
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let options = ClientOptions { request_timeout: Duration::from_millis(50), ..options };
        let error =
            connect_to(format!("http://{}", silent.local_addr().unwrap()), options).await.err().unwrap();
        let text = chain(&error);
        assert!(text.contains("did not answer within 0s"), "{text}");
    }

    #[tokio::test]
    async fn an_answer_has_a_limit_of_its_own() {
        let app = axum::Router::new().fallback(async |uri: http::Uri| "x".repeat(uri.path().len()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let options = ClientOptions { max_answer: 5, ..Default::default() };
        let client = pooled(config, options, Metrics::new().unwrap(), false, None).unwrap();
        let send = |path: &'static str| client.send(Request::get(path).body(Body::empty()).unwrap());
        assert_eq!(send("/2345").await.unwrap().into_body().collect().await.unwrap().to_bytes(), "xxxxx");
        let error = send("/23456").await.unwrap_err();
        assert!(chain(&error).contains("the answer of the API server has more than 5 bytes"), "{error:?}");
    }

    /// How long three requests take at two a second, with a server that has priority and fairness or has not.
    async fn three_requests(fair: bool) -> Duration {
        let app = axum::Router::new().fallback(move || async move {
            let mut headers = http::HeaderMap::new();
            if fair {
                headers.insert("x-kubernetes-pf-flowschema-uid", HeaderValue::from_static("uid"));
            }
            headers
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let options = ClientOptions { rate: Some(Rate { qps: 2.0, burst: 1 }), ..ClientOptions::default() };
        let client = connect(config, options, Metrics::new().unwrap()).await.unwrap();
        let begin = Instant::now();
        for _ in 0..3 {
            client.send(Request::get("/x").body(Body::empty()).unwrap()).await.unwrap();
        }
        begin.elapsed()
    }

    #[tokio::test]
    async fn the_flags_limit_requests_unless_the_server_shares_out_fairly() {
        let limited = three_requests(false).await;
        assert!(limited >= Duration::from_secs(1), "{limited:?}");
        assert!(three_requests(true).await < limited);
    }
}
