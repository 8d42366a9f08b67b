//! From a request to a file or a refusal.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use tower_http::services::{ServeFile, fs::ServeFileSystemResponseBody};

use crate::{store::is_bookkeeping, token::TokenFile};

type Body = Either<ServeFileSystemResponseBody, Full<Bytes>>;

pub(super) struct Files {
    /// Canonical.
    root: PathBuf,
    token: Option<TokenFile>,
}

/// What a path leads to.
enum Target {
    File(PathBuf),
    Root,
    Nothing,
}

impl Files {
    pub(super) fn new(root: PathBuf, token: Option<TokenFile>) -> Self {
        Self { root, token }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        self.find(request).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to serve a file");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "500 internal server error\n")
        })
    }

    async fn find(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Ok(response);
        }
        let components = components(request.uri().path());
        // The root says nothing but that the server is there. Of anything else not even its absence is told.
        let is_root = components.as_ref().is_some_and(Vec::is_empty);
        if let (Some(token), false) = (&self.token, is_root)
            && !token.admits(request.headers().get(header::AUTHORIZATION)).await
        {
            let mut response = plain(StatusCode::UNAUTHORIZED, "401 unauthorized\n");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Ok(response);
        }
        let Some(components) = components else { return Ok(not_found()) };
        let root = self.root.clone();
        let resolving = tokio::task::spawn_blocking(move || resolve(&root, &components));
        match resolving.await?? {
            Target::File(path) => Ok(ServeFile::new(path).try_call(request).await?.map(Either::Left)),
            Target::Root => Ok(plain(StatusCode::OK, "")),
            Target::Nothing => Ok(not_found()),
        }
    }
}

/// The decoded components of a path; none for the root. `None` when one of them is not a plain name.
fn components(path: &str) -> Option<Vec<String>> {
    let decoded = percent_decode_str(path.strip_prefix('/')?).decode_utf8().ok()?;
    let decoded = decoded.strip_suffix('/').unwrap_or(&decoded);
    if decoded.is_empty() {
        return Some(Vec::new());
    }
    // Under names with a dot in front the owner of the store keeps what is not an artifact; and `.` and `..`. An object
    // may be called like a lock, a file may not.
    let plain = |name: &str| !name.is_empty() && !name.contains(['\\', '\0']) && !name.starts_with('.');
    if is_bookkeeping(decoded) {
        return None;
    }
    decoded.split('/').map(|name| plain(name).then(|| name.to_owned())).collect()
}

fn resolve(root: &Path, components: &[String]) -> io::Result<Target> {
    let path = components.iter().fold(root.to_owned(), |path, name| path.join(name));
    let (path, metadata) = match path.canonicalize().and_then(|path| Ok((path.metadata()?, path))) {
        Ok((metadata, path)) => (path, metadata),
        Err(error) if is_absence(&error) => return Ok(Target::Nothing),
        Err(error) => return Err(error),
    };
    if !path.starts_with(root) {
        return Ok(Target::Nothing);
    }
    Ok(if metadata.is_file() {
        Target::File(path)
    } else if components.is_empty() {
        Target::Root
    } else {
        Target::Nothing
    })
}

/// Whether the error says that the path leads to nothing, rather than that the disk failed.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename)
}

fn not_found() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
