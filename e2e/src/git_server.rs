//! A Git smart-HTTP server: `git http-backend`, the CGI program of git itself, behind a small bridge.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::http_server::{Answer, HttpServer};
use crate::pki::Ca;
use crate::process::temp_folder;
use crate::repository::{self, Repository};
use crate::wait::LIMIT;

/// A running server; ends when dropped.
#[derive(Debug)]
pub struct GitServer {
    server: HttpServer,
    state: Arc<State>,
    folder: PathBuf,
    temp: Option<TempDir>,
}

/// How the server misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// It does not.
    #[default]
    None,
    /// Connections are closed at once, those that are open at their next request.
    Down,
    /// Every request gets this status.
    Status(u16),
    /// Every answer takes so long.
    Slow(Duration),
    /// Requests are read and never answered.
    Silent,
}

/// What a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The greeting: `GET …/info/refs`.
    Greeting,
    /// `ls-refs` of protocol version 2.
    Refs,
    /// Objects.
    Objects,
    /// Something else, or refused before it was looked at.
    Other,
}

#[derive(Debug, Default)]
struct State {
    root: PathBuf,
    authorization: Mutex<Option<String>>,
    fault: Mutex<Fault>,
    requests: Mutex<Vec<Asked>>,
    load: Mutex<Load>,
}

/// What clients put on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// New connections, those included that were closed at once.
    pub connections: usize,
    /// The most requests that waited for their answers at one time.
    pub at_once: usize,
    now: usize,
}

/// A request that waits for its answer.
struct Waiting<'a>(&'a Mutex<Load>);

impl<'a> Waiting<'a> {
    fn new(load: &'a Mutex<Load>) -> Self {
        let mut counted = lock(load);
        counted.now += 1;
        counted.at_once = counted.at_once.max(counted.now);
        Self(load)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(self.0).now -= 1;
    }
}

impl GitServer {
    /// Starts a server on a free port, without encryption.
    pub async fn start() -> Result<Self> {
        Self::start_temporary(Ipv4Addr::LOCALHOST, None).await
    }

    /// Starts a server on a free port of another address than the loopback one.
    pub async fn start_at(address: Ipv4Addr) -> Result<Self> {
        Self::start_temporary(address, None).await
    }

    /// Starts a server that speaks TLS with a certificate of its own authority.
    pub async fn start_tls() -> Result<Self> {
        Self::start_tls_by(Ca::new("e2e git")?).await
    }

    /// The same with a certificate by this authority.
    pub async fn start_tls_by(ca: Ca) -> Result<Self> {
        Self::start_temporary(Ipv4Addr::LOCALHOST, Some(ca)).await
    }

    /// The same on a free port of another address than the loopback one.
    pub async fn start_tls_at(address: Ipv4Addr) -> Result<Self> {
        Self::start_temporary(address, Some(Ca::new("e2e git")?)).await
    }

    /// Serves the repositories in `folder` on `port`.
    pub async fn serve(folder: &Path, port: u16) -> Result<Self> {
        Self::start_in(folder, (Ipv4Addr::LOCALHOST, port).into(), None).await
    }

    async fn start_temporary(address: Ipv4Addr, ca: Option<Ca>) -> Result<Self> {
        let temp = temp_folder("git")?;
        let mut server = Self::start_in(temp.path(), (address, 0).into(), ca).await?;
        server.temp = Some(temp);
        Ok(server)
    }

    async fn start_in(folder: &Path, address: SocketAddr, ca: Option<Ca>) -> Result<Self> {
        let root = folder.join("repositories");
        fs::create_dir_all(&root)?;
        fs::create_dir_all(folder.join("work"))?;
        let state = Arc::new(State { root, ..State::default() });
        let server = HttpServer::start_at(address, ca, state.clone()).await?;
        Ok(Self { server, state, folder: folder.to_owned(), temp: None })
    }

    /// Creates an empty repository.
    pub fn create(&self, name: &str) -> Result<Repository> {
        Repository::create(&self.state.root, &self.folder.join("work"), name)
    }

    /// The URL of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}.git", self.server.url())
    }

    /// The certificate authority that clients have to trust.
    pub fn ca_pem(&self) -> Option<&str> {
        self.server.ca_pem()
    }

    /// From now on only this user may read, and may push; nothing lets everybody read.
    pub fn set_account(&self, account: Option<(&str, &str)>) {
        let basic = account.map(|(user, password)| {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            format!("Basic {pair}")
        });
        self.set_authorization(basic.as_deref());
    }

    /// The same by the whole header `Authorization`.
    pub fn set_authorization(&self, header: Option<&str>) {
        *lock(&self.state.authorization) = header.map(str::to_owned);
    }

    /// From now on the server misbehaves.
    pub fn set_fault(&self, fault: Fault) {
        *lock(&self.state.fault) = fault;
    }

    /// What was asked since the last call.
    pub fn take_requests(&self) -> Vec<Asked> {
        std::mem::take(&mut *lock(&self.state.requests))
    }

    /// What was put on the server since the last call.
    pub fn take_load(&self) -> Load {
        let mut load = lock(&self.state.load);
        let now = load.now;
        std::mem::replace(&mut *load, Load { connections: 0, at_once: now, now })
    }

    /// Serves until the program ends.
    pub async fn forever(self) {
        self.server.forever().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answer for Arc<State> {
    fn admits(&self) -> bool {
        lock(&self.load).connections += 1;
        *lock(&self.fault) != Fault::Down
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let _waiting = Waiting::new(&self.load);
        let fault = *lock(&self.fault);
        if let Fault::Slow(time) = fault {
            tokio::time::sleep(time).await;
        }
        if fault == Fault::Down {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
        }
        if fault == Fault::Silent {
            lock(&self.requests).push(Asked::Other);
            std::future::pending::<()>().await;
        }
        let failed = |error: anyhow::Error| plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"));
        Ok(answer(request, self).await.unwrap_or_else(failed))
    }
}

async fn answer(request: Request<Incoming>, state: &State) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let refused = refusal(&head.headers, state);
    lock(&state.requests).push(if refused.is_some() { Asked::Other } else { asked(head.uri.path(), &body) });
    match refused {
        Some(response) => Ok(response),
        None => {
            // Without a user git lets nobody push.
            let user = lock(&state.authorization).is_some().then_some("user");
            backend(&head, &body, &state.root, user).await
        }
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// The answer to a request that does not reach git.
fn refusal(headers: &HeaderMap, state: &State) -> Option<Response<Full<Bytes>>> {
    let refuse = |status: StatusCode| plain(status, status.to_string());
    if let Fault::Status(code) = *lock(&state.fault) {
        return Some(refuse(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)));
    }
    let expected = lock(&state.authorization).clone();
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    if expected.is_some() && expected.as_deref() != given {
        let mut response = refuse(StatusCode::UNAUTHORIZED);
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic realm=\"git\""));
        return Some(response);
    }
    None
}

fn asked(path: &str, body: &[u8]) -> Asked {
    let says = |text: &[u8]| body.windows(text.len()).any(|window| window == text);
    match path {
        path if path.ends_with("/info/refs") => Asked::Greeting,
        path if !path.ends_with("/git-upload-pack") => Asked::Other,
        _ if says(b"command=ls-refs") => Asked::Refs,
        _ => Asked::Objects,
    }
}

/// Runs `git http-backend` for one request, by the rules of CGI.
async fn backend(
    head: &http::request::Parts,
    body: &Bytes,
    root: &Path,
    user: Option<&str>,
) -> Result<Response<Full<Bytes>>> {
    let value = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut child = Command::from(repository::command())
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        // The tests of one user may run as another one than the files' owner.
        .envs([
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "safe.directory"),
            ("GIT_CONFIG_VALUE_0", "*"),
        ])
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", value("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", value("content-encoding"))
        .env("GIT_PROTOCOL", value("git-protocol"))
        .envs(user.map(|user| ("REMOTE_USER", user)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("start git http-backend")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let body = body.clone();
    let feed = tokio::spawn(async move { stdin.write_all(&body).await });
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await??;
    // git may stop reading early, when it refuses the request.
    let _ = feed.await;
    cgi_response(&output.stdout)
}

fn cgi_response(output: &[u8]) -> Result<Response<Full<Bytes>>> {
    let end = output
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .context("git http-backend answered without a header")?;
    let (head, body) = output.split_at(end);
    let mut response = Response::builder();
    for line in std::str::from_utf8(head)?.lines() {
        let (name, value) = line.split_once(':').context("malformed header line")?;
        let value = value.trim();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap_or(value)),
            _ => response.header(name, value),
        };
    }
    Ok(response.body(Full::new(Bytes::copy_from_slice(body.get(4..).unwrap_or_default())))?)
}
