//! A proxy in front of the API server that tells what the controllers ask for, and misbehaves by rules.
//!
//! It speaks what the API server speaks: TLS, HTTP/2 and HTTP/1.1. What it does not spoil goes to the real
//! server and back as it is, byte by byte, credentials included. A request that reached the server is
//! carried out to its end even if whoever sent it is gone by then.

mod fault;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use base64::Engine as _;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::cluster::{Cluster, User};
use crate::objects::Look;
use crate::pki::Ca;
use crate::process::temp_folder;

pub use fault::{Fault, Rule, When};

type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// Pieces of an answer that wait for a client that reads slowly.
const BACKLOG: usize = 16;
/// Bytes that a slow server sends at a time.
const TRICKLE: usize = 256;

/// A running proxy; ends when dropped.
#[derive(Debug)]
pub struct ApiProxy {
    state: Arc<State>,
    accept: JoinHandle<()>,
    kubeconfigs: BTreeMap<User, PathBuf>,
    _temp: TempDir,
}

/// One request, as it was when the proxy was done with it.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came.
    pub at: Instant,
    /// Who asked.
    pub user: Option<User>,
    /// What is to be done.
    pub method: Method,
    /// The path.
    pub path: String,
    /// What is behind the question mark.
    pub query: String,
    /// What the server said; nothing where it was not asked.
    pub status: Option<u16>,
    /// Whether the proxy spoiled it.
    pub spoiled: bool,
}

/// How running watches are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// They end in good order, as after their time.
    End,
    /// They end with the server's word that the version is too old (410 Gone).
    Expire,
    /// Their connection breaks.
    Reset,
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Watches(Break),
    Connections,
}

#[derive(Debug)]
struct State {
    upstream: reqwest::Client,
    server: String,
    tokens: BTreeMap<String, User>,
    /// Beginnings of other credentials, and what the server gets in their place.
    admitted: Mutex<Vec<(&'static str, String)>>,
    rules: Mutex<Vec<Arc<Rule>>>,
    calls: Mutex<Vec<Call>>,
    cuts: broadcast::Sender<Cut>,
}

impl ApiProxy {
    /// Starts a proxy for every user of a cluster whose kubeconfigs have tokens.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        crate::init_tls();
        let temp = temp_folder("api-proxy")?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listen for API requests")?;
        let address = listener.local_addr()?;
        let ca = Ca::new("e2e api proxy")?;
        let (mut tokens, mut kubeconfigs) = (BTreeMap::new(), BTreeMap::new());
        let (mut server, mut trusted) = (String::new(), String::new());
        for user in User::ALL {
            let direct: Value = serde_yaml::from_str(&fs::read_to_string(cluster.kubeconfig(user))?)?;
            let (url, authority, token) = credentials(&direct)
                .with_context(|| format!("the kubeconfig of {} has no token or authority", user.name()))?;
            (server, trusted) = (url, authority);
            let file = temp.path().join(format!("{}.kubeconfig", user.name()));
            fs::write(&file, kubeconfig(address, &ca, &token))?;
            tokens.insert(format!("Bearer {token}"), user);
            kubeconfigs.insert(user, file);
        }
        let trusted = base64::engine::general_purpose::STANDARD.decode(trusted)?;
        let upstream = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&trusted)?])
            .no_proxy()
            .no_gzip()
            .http1_only()
            .build()?;
        let state = State {
            upstream,
            server,
            tokens,
            admitted: Mutex::default(),
            rules: Mutex::default(),
            calls: Mutex::default(),
            cuts: broadcast::channel(16).0,
        };
        let state = Arc::new(state);
        let accept =
            tokio::spawn(accept(listener, ca.acceptor(address.ip(), &["h2", "http/1.1"])?, state.clone()));
        Ok(Self { state, accept, kubeconfigs, _temp: temp })
    }

    /// The kubeconfig file of a user, by way of the proxy.
    pub fn kubeconfig(&self, user: User) -> &Path {
        self.kubeconfigs.get(&user).map_or(Path::new(""), PathBuf::as_path)
    }

    /// From now on credentials that begin like this are those of a user, as a cloud's authenticator tells its API server.
    pub fn admit(&self, beginning: &'static str, user: User) -> Result<()> {
        let known = self.state.tokens.iter().find(|(_, known)| **known == user).context("no such user")?;
        lock(&self.state.admitted).push((beginning, known.0.clone()));
        Ok(())
    }

    /// From now on requests are spoiled by this rule too; the first one that fits counts.
    pub fn add(&self, rule: Rule) -> Arc<Rule> {
        let rule = Arc::new(rule);
        lock(&self.state.rules).push(rule.clone());
        rule
    }

    /// From now on nothing is spoiled. What is held stays held.
    pub fn heal(&self) {
        lock(&self.state.rules).clear();
    }

    /// Breaks the watches that run now.
    pub fn break_watches(&self, how: Break) {
        let _ = self.state.cuts.send(Cut::Watches(how));
    }

    /// Breaks all connections that are open now, with everything on them.
    pub fn disconnect(&self) {
        let _ = self.state.cuts.send(Cut::Connections);
    }

    /// What was asked since the last call.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *lock(&self.state.calls))
    }

    /// What was asked so far and `is`.
    pub fn calls(&self, is: impl Fn(&Call) -> bool) -> Vec<Call> {
        lock(&self.state.calls).iter().filter(|call| is(call)).cloned().collect()
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.accept.abort();
        self.disconnect();
    }
}

impl Call {
    fn of(head: &http::request::Parts, state: &State) -> Self {
        let given = head.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        Self {
            at: Instant::now(),
            user: given.and_then(|given| state.tokens.get(given)).copied(),
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            status: None,
            spoiled: false,
        }
    }

    /// Whether it follows a collection.
    pub fn is_watch(&self) -> bool {
        self.says("watch=true")
    }

    /// Whether nothing is to be stored.
    pub fn is_dry_run(&self) -> bool {
        self.says("dryRun=All")
    }

    /// Whether something is to be stored. Events are not counted: they tell, and change nothing.
    pub fn is_write(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD) && !self.is_dry_run() && !self.is_about("events")
    }

    /// Whether it asks for a whole collection, once.
    pub fn is_list(&self) -> bool {
        // Watches and lists of our controllers say how long, or how many.
        self.method == Method::GET && !self.is_watch() && !self.query.is_empty()
    }

    /// Whether its path has this part: a resource, a namespace, a name, a subresource.
    pub fn is_about(&self, part: &str) -> bool {
        self.path.split('/').any(|p| p == part)
    }

    fn says(&self, parameter: &str) -> bool {
        self.query.split('&').any(|p| p == parameter)
    }
}

impl State {
    /// Sends the request on, whoever may still wait for the answer.
    async fn forward(
        &self,
        head: &http::request::Parts,
        body: Bytes,
    ) -> Result<(http::response::Parts, reqwest::Response)> {
        let target = head.uri.path_and_query().map_or("/", |p| p.as_str());
        let mut headers = head.headers.clone();
        drop_hop_headers(&mut headers);
        headers.remove(header::HOST);
        headers.remove(header::CONTENT_LENGTH);
        let request = self
            .upstream
            .request(head.method.clone(), format!("{}{target}", self.server))
            .headers(headers)
            .body(body);
        let answer = tokio::spawn(request.send()).await??;
        let mut response = Response::new(());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        drop_hop_headers(response.headers_mut());
        Ok((response.into_parts().0, answer))
    }

    fn note(&self, call: &Call, status: Option<StatusCode>, spoiled: bool) {
        let status = status.map(|s| s.as_u16());
        lock(&self.calls).push(Call { status, spoiled, ..call.clone() });
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        if let Some(given) = head.headers.get_mut(header::AUTHORIZATION) {
            let admitted = lock(&self.admitted);
            let begins =
                |(beginning, _): &&(&str, String)| given.as_bytes().starts_with(beginning.as_bytes());
            if let Some((_, known)) = admitted.iter().find(begins) {
                *given = known.parse()?;
            }
        }
        let call = Call::of(&head, self);
        let rule = lock(&self.rules).iter().find(|rule| rule.takes(&call)).cloned();
        let fault = rule.as_ref().map_or(Fault::None, |rule| rule.fault);
        let hit = || rule.iter().for_each(|rule| rule.hit());
        let instead = match fault {
            Fault::Status(code) => Some(status(code, None)),
            Fault::Throttle(seconds) => Some(status(429, Some(seconds))),
            Fault::Refuse | Fault::Hold(When::Before) => {
                self.note(&call, None, true);
                hit();
                if fault == Fault::Refuse {
                    anyhow::bail!("refused");
                }
                return std::future::pending().await;
            }
            _ => None,
        };
        if let Some(response) = instead {
            self.note(&call, Some(response.status()), true);
            hit();
            return Ok(response);
        }
        let (parts, answer) = self.forward(&head, body).await?;
        self.note(&call, Some(parts.status), fault != Fault::None);
        hit();
        match fault {
            Fault::LoseAnswer => anyhow::bail!("the answer is lost"),
            Fault::Hold(When::After) => std::future::pending().await,
            Fault::CutBody | Fault::Truncate => {
                let whole = answer.bytes().await?;
                let half = whole.slice(..whole.len() / 2);
                Ok(match fault {
                    Fault::Truncate => {
                        let mut response = Response::from_parts(parts, full(half));
                        response.headers_mut().remove(header::CONTENT_LENGTH);
                        response
                    }
                    _ => {
                        let broken = [Ok(Frame::data(half)), Err(anyhow::anyhow!("the body is cut"))];
                        Response::from_parts(
                            parts,
                            BodyExt::boxed_unsync(StreamBody::new(stream::iter(broken))),
                        )
                    }
                })
            }
            Fault::EndWatch | Fault::ExpireWatch => {
                let text = if fault == Fault::EndWatch { Bytes::new() } else { expired() };
                Ok(Response::from_parts(parts, full(text)))
            }
            Fault::Delay(time) => {
                sleep(time).await;
                Ok(Response::from_parts(parts, self.relay(&call, answer, fault)))
            }
            _ => Ok(Response::from_parts(parts, self.relay(&call, answer, fault))),
        }
    }

    /// The body of an answer as it comes.
    fn relay(&self, call: &Call, mut answer: reqwest::Response, fault: Fault) -> Body {
        let (send, mut receive) = mpsc::channel::<Result<Frame<Bytes>>>(BACKLOG);
        let (watch, mut cuts) = (call.is_watch(), self.cuts.subscribe());
        tokio::spawn(async move {
            loop {
                let piece = tokio::select! {
                    piece = answer.chunk() => piece.map_err(anyhow::Error::from),
                    cut = cuts.recv(), if watch => match cut {
                        Ok(Cut::Watches(how)) => {
                            let last = match how {
                                Break::End => return,
                                Break::Expire => Ok(Frame::data(expired())),
                                Break::Reset => Err(anyhow::anyhow!("the watch is broken")),
                            };
                            let _ = send.send(last).await;
                            return;
                        }
                        _ => continue,
                    },
                    () = send.closed() => return,
                };
                match piece {
                    Ok(None) => return,
                    Ok(Some(mut bytes)) => {
                        let most = if let Fault::Trickle(_) = fault { TRICKLE } else { bytes.len() };
                        while !bytes.is_empty() {
                            let some = bytes.split_to(most.min(bytes.len()));
                            if send.send(Ok(Frame::data(some))).await.is_err() {
                                return;
                            }
                            if let Fault::Trickle(pause) = fault {
                                sleep(pause).await;
                            }
                        }
                    }
                    Err(error) => {
                        let _ = send.send(Err(error)).await;
                        return;
                    }
                }
            }
        });
        BodyExt::boxed_unsync(StreamBody::new(stream::poll_fn(move |cx| receive.poll_recv(cx)).fuse()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, state) = (tls.clone(), state.clone());
        tokio::spawn(async move {
            let mut cuts = state.cuts.subscribe();
            let cut = async {
                while !matches!(
                    cuts.recv().await,
                    Ok(Cut::Connections) | Err(broadcast::error::RecvError::Closed)
                ) {}
            };
            tokio::select! {
                () = connection(stream, tls, state.clone()) => {}
                () = cut => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    // Who does not trust us, or breaks the connection, knows.
    let Ok(stream) = tls.accept(stream).await else { return };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { state.answer(request).await }
    });
    let io = TokioIo::new(stream);
    let _ = if http2 {
        // As many as kube-apiserver allows.
        let mut server = http2::Builder::new(TokioExecutor::new());
        server.max_concurrent_streams(100).serve_connection(io, service).await
    } else {
        http1::Builder::new().serve_connection(io, service).await
    };
}

/// Headers that speak of one connection only.
fn drop_hop_headers(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TE] {
        headers.remove(name);
    }
}

fn full(text: Bytes) -> Body {
    BodyExt::boxed_unsync(Full::new(text).map_err(|never| match never {}))
}

/// The API server's words for a status.
fn status(code: u16, retry_after: Option<u64>) -> Response<Body> {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let text = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the proxy says {code}"), "reason": reason, "code": code,
    });
    let mut response = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    response.body(full(Bytes::from(text.to_string()))).unwrap_or_default()
}

/// The last word of a watch whose version is too old.
fn expired() -> Bytes {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410,
    });
    Bytes::from(json!({"type": "ERROR", "object": status}).to_string() + "\n")
}

/// Server, authority and token of a kubeconfig with one cluster and one user.
fn credentials(kubeconfig: &Value) -> Option<(String, String, String)> {
    let field = |pointer| Some(kubeconfig.text(pointer).to_owned()).filter(|text| !text.is_empty());
    Some((
        field("/clusters/0/cluster/server")?,
        field("/clusters/0/cluster/certificate-authority-data")?,
        field("/users/0/user/token")?,
    ))
}

fn kubeconfig(address: SocketAddr, ca: &Ca, token: &str) -> String {
    let authority = base64::engine::general_purpose::STANDARD.encode(ca.pem());
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {
            "server": format!("https://{address}"), "certificate-authority-data": authority,
        }}],
        "users": [{"name": "proxy", "user": {"token": token}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
    })
    .to_string()
}
