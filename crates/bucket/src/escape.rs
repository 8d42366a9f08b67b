//! Names as parts of URLs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::RequestError;

/// All but RFC 3986's unreserved characters.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same, but for what separates segments.
const PATH: AsciiSet = SEGMENT.remove(b'/');

/// A text as one segment of a path, or as a value in a query.
pub(crate) fn segment(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, const { &SEGMENT })
}

/// A text as segments of a path.
pub(crate) fn path(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, const { &PATH })
}

/// Pairs as a query, in their order.
pub(crate) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = pairs.into_iter().map(|(name, value)| format!("{}={}", segment(name), segment(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// `base` with the escaped path `path` after its own.
///
/// # Errors
/// For segments `.` and `..`, which lead elsewhere in whatever way they are written.
pub(crate) fn below(base: &Url, path: &str) -> Result<Url, RequestError> {
    let path = format!("{}{path}", base.path());
    let mut url = base.clone();
    url.set_path(&path);
    if url.path() == path {
        return Ok(url);
    }
    let (request, what) = (
        format!("GET \"{}\"", net::redact(base.as_str())),
        "a key with a segment '.' or '..' cannot be asked for",
    );
    Err(RequestError::Malformed { request, what })
}

/// An etag without the quotes that headers have.
pub(crate) fn unquoted(etag: &str) -> &str {
    let etag = etag.strip_prefix('"').unwrap_or(etag);
    etag.strip_suffix('"').unwrap_or(etag)
}
