//! The process's own HTTP endpoints: `/metrics` and `/debug/objects` on one address, `/healthz` and `/readyz` on another, each with a thread of its
//! own.

use std::{
    future::{Ready, ready},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use net::ServerOptions;
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    diagnostics::Diagnostics,
    metrics::Metrics,
    readiness::{PING, Readiness},
};

/// An address that could not be listened on or stopped serving.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The host has no address.
    #[error("failed to resolve the host of {address}, which {flag} names")]
    Resolve {
        /// The flag that says where to listen.
        flag: &'static str,
        /// What it says.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The socket could not be opened.
    #[error("failed to listen on {address}, which {flag} names")]
    Listen {
        /// The flag that says where to listen.
        flag: &'static str,
        /// What it says.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Serving failed.
    #[error("failed to serve")]
    Serve(#[source] std::io::Error),
    /// The thread that serves panicked.
    #[error("the thread that serves panicked")]
    Panicked,
}

/// Opens a listener on a Go-style address, which a flag names: `:8080` means every interface. See [`crate::flags::address`].
///
/// # Errors
/// When the address has no such host, or is taken.
pub async fn listen(flag: &'static str, address: &str) -> Result<TcpListener, ServeError> {
    let any = address.starts_with(':');
    let full = if any { format!("[::]{address}") } else { address.to_owned() };
    let address = address.to_owned();
    let resolved: Vec<SocketAddr> = match tokio::net::lookup_host(&full).await {
        Ok(resolved) => resolved.collect(),
        Err(source) => return Err(ServeError::Resolve { flag, address, source }),
    };
    match TcpListener::bind(&resolved[..]).await {
        // Hosts without IPv6 have no `[::]`.
        Err(_) if any => TcpListener::bind(format!("0.0.0.0{address}")).await,
        result => result,
    }
    .map_err(|source| ServeError::Listen { flag, address, source })
}

/// Serves `/metrics`, and `/debug/objects` if there are `diagnostics`, until `stop`, from a thread of its own: rendering thousands of
/// series holds up nothing but the next one.
///
/// # Errors
/// When no thread can be started, or when it panics.
pub async fn metrics(
    listener: TcpListener,
    metrics: Metrics,
    diagnostics: Option<Diagnostics>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    // Each connection may hold a whole rendering.
    let options = ServerOptions { max_connections: 32, max_peer_connections: 8, ..ServerOptions::default() };
    let answer = move |request: Request<Incoming>| {
        ready(match request.uri().path() {
            "/metrics" => text(StatusCode::OK, prometheus::TEXT_FORMAT, metrics.render()),
            "/debug/objects" => debug(&request, diagnostics.as_ref(), &metrics),
            _ => not_found(),
        })
    };
    on_own_thread("metrics", listener, options, answer, stop).await
}

/// Serves `/healthz` (alive) and `/readyz` until `stop`, from a thread of its own: the process is alive whatever its other
/// threads work on.
///
/// # Errors
/// When no thread can be started, or when it panics.
pub async fn health(
    listener: TcpListener,
    readiness: Readiness,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let options = ServerOptions {
        max_connections: 256,
        max_peer_connections: 16,
        header_timeout: Duration::from_secs(5),
        ..ServerOptions::default()
    };
    let alive = Readiness::new(&[]);
    alive.pass(PING);
    let answer = move |request: Request<Incoming>| {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let verbose = query.split('&').any(|option| option.split('=').next() == Some("verbose"));
        let checks = [("/healthz", &alive), ("/readyz", &readiness)];
        let mut below = checks.iter().filter_map(|(root, checks)| Some((path.strip_prefix(root)?, checks)));
        let answer = below.next().and_then(|(path, checks)| checks.answer(path, verbose));
        ready(answer.map_or_else(not_found, |(status, body)| text(status, PLAIN_TEXT, body)))
    };
    on_own_thread("health", listener, options, answer, stop).await
}

/// What the process does with its objects. Nothing can be changed there.
fn debug(
    request: &Request<Incoming>,
    diagnostics: Option<&Diagnostics>,
    metrics: &Metrics,
) -> Response<Full<Bytes>> {
    let Some(diagnostics) = diagnostics else {
        return text(StatusCode::NOT_FOUND, PLAIN_TEXT, "switched off by --debug-objects=false\n".to_owned());
    };
    if request.method() != Method::GET {
        let mut refused =
            text(StatusCode::METHOD_NOT_ALLOWED, PLAIN_TEXT, "only GET is allowed\n".to_owned());
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }
    match diagnostics.answer(request.uri().query().unwrap_or_default(), metrics) {
        Ok(body) => text(StatusCode::OK, "application/json", body),
        Err(error) => text(StatusCode::BAD_REQUEST, PLAIN_TEXT, format!("{error}\n")),
    }
}

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn not_found() -> Response<Full<Bytes>> {
    text(StatusCode::NOT_FOUND, PLAIN_TEXT, "404 page not found\n".to_owned())
}

/// Serves until `stop`, or until this future is dropped, by a runtime that has a thread and nothing else to do.
async fn on_own_thread<A>(
    name: &str,
    listener: TcpListener,
    options: ServerOptions,
    answer: A,
    stop: CancellationToken,
) -> Result<(), ServeError>
where
    A: Fn(Request<Incoming>) -> Ready<Response<Full<Bytes>>> + Clone + Send + 'static,
{
    // Sockets belong to the runtime that waits for them.
    let listener = listener.into_std().map_err(ServeError::Serve)?;
    let stop = stop.child_token();
    let _end = stop.clone().drop_guard();
    let (ended, end) = oneshot::channel();
    let work = move || {
        let served = (|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                net::serve(listener, options, answer, stop.cancelled()).await;
                Ok(())
            })
        })();
        // Nobody waits if the process has ended.
        let _unheard = ended.send(served);
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(ServeError::Serve)?;
    end.await.map_err(|_| ServeError::Panicked)?.map_err(ServeError::Serve)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        io::{Read, Write},
        sync::mpsc,
    };

    use futures::future::BoxFuture;

    use super::*;
    use crate::readiness::LEADER_ELECTION;

    /// Asks from outside of any runtime.
    fn get(address: SocketAddr, path: &str) -> (u16, String) {
        send(address, "GET", path)
    }

    fn send(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn ask(address: SocketAddr, path: &'static str) -> (u16, String) {
        tokio::task::spawn_blocking(move || get(address, path)).await.unwrap()
    }

    #[tokio::test]
    async fn readiness_follows_the_process_and_liveness_does_not() {
        let listener = listen("--test", "127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ready, stop) = (Readiness::new(&[LEADER_ELECTION]), CancellationToken::new());
        let server = tokio::spawn(health(listener, ready.clone(), stop.clone()));
        ready.pass(PING);
        let ok = || (200, "ok".to_owned());
        assert_eq!(ask(address, "/healthz").await, ok());
        let failing = "[-]leader-election failed: reason withheld\n[+]ping ok\nhealthz check failed\n";
        assert_eq!(ask(address, "/readyz").await, (500, failing.to_owned()));
        let reason = "internal server error: manager is not the leader\n";
        assert_eq!(ask(address, "/readyz/leader-election").await, (500, reason.to_owned()));
        ready.pass(LEADER_ELECTION);
        assert_eq!(ask(address, "/readyz").await, ok());
        let passing = "[+]leader-election ok\n[+]ping ok\nhealthz check passed\n";
        assert_eq!(ask(address, "/readyz?verbose").await, (200, passing.to_owned()));
        assert_eq!(ask(address, "/healthz/ping").await, ok());
        for path in ["/other", "/", "/healthz/leader-election", "/readyzz"] {
            assert_eq!(ask(address, path).await, (404, "404 page not found\n".to_owned()), "{path}");
        }
        stop.cancel();
        server.await.unwrap().unwrap();
    }

    /// A runtime with one worker that holds a server and then nothing but work that never yields, until the sender goes.
    fn held_runtime(
        serve: impl FnOnce(TcpListener) -> BoxFuture<'static, Result<(), ServeError>>,
    ) -> (tokio::runtime::Runtime, SocketAddr, mpsc::Sender<()>) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(listen("--test", "127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener));
        let (release, held) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        runtime.spawn(async move {
            begin.send(()).unwrap();
            let _released = held.recv();
        });
        begun.recv().unwrap();
        (runtime, address, release)
    }

    #[test]
    fn liveness_answers_while_all_threads_of_the_runtime_are_held() {
        let (ready, stop) = (Readiness::new(&[]), CancellationToken::new());
        ready.pass(PING);
        let (runtime, address, release) =
            held_runtime(|listener| Box::pin(health(listener, ready, stop.clone())));
        assert_eq!(get(address, "/healthz"), (200, "ok".to_owned()));
        assert_eq!(get(address, "/readyz"), (200, "ok".to_owned()));
        drop(release);
        stop.cancel();
        drop(runtime);
    }

    #[test]
    fn metrics_are_rendered_while_all_threads_of_the_runtime_are_held() {
        let (metrics, stop) = (Metrics::new().unwrap(), CancellationToken::new());
        metrics.leading("lease", true);
        let (runtime, address, release) =
            held_runtime(|listener| Box::pin(super::metrics(listener, metrics, None, stop.clone())));
        let (status, text) = get(address, "/metrics");
        assert!(status == 200 && text.contains("leader_election_master_status{name=\"lease\"} 1"), "{text}");
        assert_eq!(get(address, "/").0, 404);
        drop(release);
        stop.cancel();
        drop(runtime);
    }

    #[tokio::test]
    async fn objects_are_told_to_get_alone_and_only_where_that_is_switched_on() {
        for (diagnostics, request, status, says) in [
            (None, "GET /debug/objects", 404, "switched off by --debug-objects=false\n"),
            (Some(Diagnostics::default()), "GET /debug/objects?kind=x", 200, "\"objects\": []"),
            (
                Some(Diagnostics::default()),
                "GET /debug/objects?limit=0",
                400,
                "limit has to be a number from 1 to 500\n",
            ),
            (Some(Diagnostics::default()), "POST /debug/objects", 405, "only GET is allowed\n"),
            (Some(Diagnostics::default()), "DELETE /debug/objects", 405, "only GET is allowed\n"),
            (Some(Diagnostics::default()), "GET /debug/objects/", 404, "404 page not found\n"),
        ] {
            let (listener, stop) = (listen("--test", "127.0.0.1:0").await.unwrap(), CancellationToken::new());
            let address = listener.local_addr().unwrap();
            let server =
                tokio::spawn(super::metrics(listener, Metrics::new().unwrap(), diagnostics, stop.clone()));
            let (method, path) = request.split_once(' ').unwrap();
            let answer = tokio::task::spawn_blocking(move || send(address, method, path)).await.unwrap();
            assert!(answer.0 == status && answer.1.contains(says), "{request}: {answer:?}");
            stop.cancel();
            server.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_server_ends_with_the_future_that_it_belongs_to() {
        let listener = listen("--test", "127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(health(listener, Readiness::new(&[]), CancellationToken::new()));
        assert_eq!(ask(address, "/healthz").await.0, 200);
        server.abort();
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_taken_address_is_named() {
        let first = listen("--test", "127.0.0.1:0").await.unwrap();
        let taken = first.local_addr().unwrap().to_string();
        let error =
            |address: String| async move { listen("--addr", &address).await.unwrap_err().to_string() };
        assert_eq!(error(taken.clone()).await, format!("failed to listen on {taken}, which --addr names"));
    }

    #[tokio::test]
    async fn a_host_that_has_no_address_is_no_mistake_of_syntax() {
        // Longer than the labels of DNS, so nobody is asked.
        let address = format!("{}:80", "x".repeat(64));
        let error = listen("--addr", &address).await.unwrap_err();
        let expected = format!("failed to resolve the host of {address}, which --addr names: ");
        assert!(crate::error::chain(&error).starts_with(&expected), "{error:?}");
    }
}
