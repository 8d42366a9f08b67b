//! The files of a folder over HTTP, such as a repository of Helm charts.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::http_server::{Answer, HttpServer};
use crate::pki::Ca;

/// A running server; ends when dropped.
#[derive(Debug)]
pub struct FileServer {
    server: HttpServer,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    root: PathBuf,
    /// What `Authorization` has to be.
    authorization: Option<String>,
    asked: Mutex<Vec<String>>,
    not_modified: AtomicUsize,
}

impl FileServer {
    /// Serves a folder to everybody, or to one user.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(root: &Path, user: Option<(&str, &str)>) -> Result<FileServer> {
        Self::start_with(root, user, None).await
    }

    /// The same over TLS, with a certificate of this authority.
    ///
    /// # Errors
    /// As above.
    pub async fn start_tls(root: &Path, ca: Ca) -> Result<FileServer> {
        Self::start_with(root, None, Some(ca)).await
    }

    async fn start_with(root: &Path, user: Option<(&str, &str)>, ca: Option<Ca>) -> Result<FileServer> {
        let basic = |(name, password)| format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
        let (root, authorization) = (root.to_owned(), user.map(basic));
        let state = Arc::new(State {
            root,
            authorization,
            asked: Mutex::default(),
            not_modified: AtomicUsize::new(0),
        });
        Ok(FileServer { server: HttpServer::start(0, ca, state.clone()).await?, state })
    }

    /// Its URL, without a slash at its end.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// How often it was enough to say that a file has not changed.
    pub fn not_modified(&self) -> usize {
        self.state.not_modified.load(Ordering::Relaxed)
    }

    /// How often a path was asked for, whatever the answer.
    pub fn count(&self, path: &str) -> usize {
        self.state.asked().iter().filter(|asked| *asked == path).count()
    }
}

impl State {
    fn asked(&self) -> MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer for Arc<State> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let path = request.uri().path().to_owned();
        self.asked().push(path.clone());
        let shown = request.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let is_let_in = self.authorization.as_deref().is_none_or(|needed| shown == Some(needed));
        let file = self.root.join(path.trim_start_matches('/'));
        let known = request.headers().get(http::header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let (status, body) = match tokio::fs::read(&file).await {
            _ if !is_let_in => (401, Vec::new()),
            Ok(body) if known == Some(&etag(&body)) => {
                self.not_modified.fetch_add(1, Ordering::Relaxed);
                (304, Vec::new())
            }
            Ok(body) => (200, body),
            Err(_) => (404, Vec::new()),
        };
        let answer = Response::builder().status(status).header(http::header::ETAG, etag(&body));
        Ok(answer.body(Full::new(Bytes::from(body)))?)
    }
}

/// What stands for a content.
fn etag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("\"{:x}\"", hasher.finish())
}
