//! From a request to a file, a listing, or a refusal.

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tower_http::services::{ServeFile, fs::ServeFileSystemResponseBody};

use crate::store::is_bookkeeping;

type Body = Either<ServeFileSystemResponseBody, Full<Bytes>>;

/// What stays as it is in a link.
const LINK: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(super) struct Files {
    /// Canonical.
    root: PathBuf,
    listing: bool,
}

/// What a path leads to.
enum Target {
    File(PathBuf),
    /// The root, or another directory if those are listed, with the names to show.
    Directory(Vec<String>),
    Nothing,
}

impl Files {
    pub(super) fn new(root: PathBuf, listing: bool) -> Self {
        Self { root, listing }
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
        let Some(components) = components(request.uri().path()) else {
            return Ok(not_found());
        };
        let (root, listing) = (self.root.clone(), self.listing);
        let resolving = tokio::task::spawn_blocking(move || resolve(&root, &components, listing));
        match resolving.await?? {
            Target::File(path) => Ok(ServeFile::new(path).try_call(request).await?.map(Either::Left)),
            Target::Directory(names) => Ok(page(&names)),
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
    let plain = |name: &str| !name.is_empty() && !name.contains(['\\', '\0']) && !is_private(name);
    decoded.split('/').map(|name| plain(name).then(|| name.to_owned())).collect()
}

/// What no client may see: bookkeeping, and names with a dot in front, under which the owner of the store keeps what
/// is not an artifact (and `.` and `..`).
fn is_private(name: &str) -> bool {
    name.starts_with('.') || is_bookkeeping(name)
}

fn resolve(root: &Path, components: &[String], listing: bool) -> io::Result<Target> {
    let path = components.iter().fold(root.to_owned(), |path, name| path.join(name));
    let (path, metadata) = match path.canonicalize().and_then(|path| Ok((path.metadata()?, path))) {
        Ok((metadata, path)) => (path, metadata),
        Err(error) if is_absence(&error) => return Ok(Target::Nothing),
        Err(error) => return Err(error),
    };
    if !path.starts_with(root) {
        return Ok(Target::Nothing);
    }
    if metadata.is_file() {
        return Ok(Target::File(path));
    }
    match (metadata.is_dir(), listing) {
        (true, true) => names(&path).map(Target::Directory),
        (true, false) if components.is_empty() => Ok(Target::Directory(Vec::new())),
        _ => Ok(Target::Nothing),
    }
}

/// Whether the error says that the path leads to nothing, rather than that the disk failed.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename)
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in dir.read_dir()? {
        let entry = entry?;
        let Ok(mut name) = entry.file_name().into_string() else { continue };
        if is_private(&name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            name.push('/');
        }
        names.push(name);
    }
    names.sort();
    Ok(names)
}

fn page(names: &[String]) -> Response<Body> {
    let mut html = String::from("<!doctype html>\n<pre>\n");
    for name in names {
        let (base, slash) = name.strip_suffix('/').map_or((name.as_str(), ""), |base| (base, "/"));
        let text = base.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let link = utf8_percent_encode(base, LINK);
        // Writing to a string cannot fail.
        let _ = writeln!(html, "<a href=\"./{link}{slash}\">{text}{slash}</a>");
    }
    html.push_str("</pre>\n");
    respond(StatusCode::OK, "text/html; charset=utf-8", html)
}

fn not_found() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", text.to_owned())
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
