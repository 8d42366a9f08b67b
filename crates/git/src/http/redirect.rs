//! Redirects, by the rules and in the words of go-git 5.19.3.

use reqwest::StatusCode;
use reqwest::header::LOCATION;
use url::Url;

use super::client::Response;
use crate::connection::{EXCERPT_BYTES, printable};
use net::redact;

/// How many requests one chain of redirects may have.
pub(super) const CHAIN_REQUESTS: usize = 10;
/// Where a repository advertises its refs.
const INFO_REFS: &str = "/info/refs";

/// Why a redirect is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// Its target is no URL.
    #[error("failed to parse Location header \"{0}\"")]
    Location(String),
    /// It leads from https to http.
    #[error("changes scheme from \"https\" to \"http\": {0}")]
    Downgrade(String),
    /// It leads to another protocol.
    #[error("unsupported scheme \"{0}\"")]
    Scheme(String),
    /// The answer behind it is not that of a repository.
    #[error("target \"{0}\" does not end with /info/refs")]
    Target(String),
    /// The chain does not end.
    #[error("too many redirects")]
    TooMany,
    /// Only the first request of a session may be sent elsewhere.
    #[error("redirect on non-initial request to {0}")]
    NotInitial(String),
}

/// The target of an answer that redirects.
pub(super) fn location(response: &Response) -> Option<&str> {
    let redirects = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let target = response.headers().get(LOCATION).filter(|_| redirects)?;
    Some(target.to_str().unwrap_or_default()).filter(|target| !target.is_empty())
}

/// What is sent after the redirect of `from` to `location`.
pub(super) fn next(from: &Url, location: &str) -> Result<Url, RedirectError> {
    let mut next = from.join(location).map_err(|_| RedirectError::Location(shown(location)))?;
    // Credentials that a server thinks of are not ours.
    net::remove_credentials(&mut next);
    match (from.scheme(), next.scheme()) {
        ("https", "http") => Err(RedirectError::Downgrade(shown(next.as_str()))),
        (_, "http" | "https") => Ok(next),
        (_, other) => Err(RedirectError::Scheme(printable(other.as_bytes(), EXCERPT_BYTES))),
    }
}

/// The redirect of a request that must not be redirected.
pub(super) fn not_initial(from: &Url, location: &str) -> RedirectError {
    match next(from, location) {
        Ok(next) => RedirectError::NotInitial(shown(next.as_str())),
        Err(error) => error,
    }
}

/// The URL of the repository whose advertisement came from `target`.
pub(super) fn repository(target: &Url) -> Result<String, RedirectError> {
    let mut plain = target.clone();
    plain.set_query(None);
    plain.set_fragment(None);
    let repository = plain.as_str().strip_suffix(INFO_REFS).map(str::to_owned);
    repository.ok_or_else(|| RedirectError::Target(printable(target.path().as_bytes(), EXCERPT_BYTES)))
}

/// Whether credentials that were given for `home` may be sent to `url`: to the same scheme, host and port, or from http to https
/// of the same host on the default ports. A subdomain is another host.
pub(super) fn is_home(home: &Url, url: &Url) -> bool {
    let default_ports = home.port().is_none() && url.port().is_none();
    let is_upgrade = (home.scheme(), url.scheme()) == ("http", "https");
    home.origin() == url.origin() || (is_upgrade && default_ports && home.host() == url.host())
}

fn shown(url: &str) -> String {
    printable(redact(url).as_bytes(), EXCERPT_BYTES)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn credentials_go_to_their_origin_alone() {
        for (home, to, expected) in [
            ("https://a.b/r", "https://a.b/other", true),
            ("https://a.b/r", "https://a.b:443/r", true),
            ("https://A.b/r", "https://a.B/r", true),
            ("https://a.b/r", "https://a.b:8443/r", false),
            ("https://a.b/r", "https://x.a.b/r", false),
            ("https://a.b/r", "https://b/r", false),
            ("https://a.b/r", "https://a.b./r", false),
            ("https://a.b/r", "http://a.b/r", false),
            ("http://a.b/r", "https://a.b/r", true),
            ("http://a.b:80/r", "https://a.b:443/r", true),
            ("http://a.b/r", "https://x.a.b/r", false),
            ("http://a.b:8080/r", "https://a.b/r", false),
            ("http://a.b/r", "https://a.b:8443/r", false),
            ("http://a.b:8080/r", "https://a.b:8080/r", false),
            ("http://[::1]/r", "http://[0:0::1]/r", true),
            ("http://[::ffff:127.0.0.1]/r", "http://127.0.0.1/r", false),
        ] {
            assert_eq!(is_home(&url(home), &url(to)), expected, "{home} {to}");
        }
    }

    #[test]
    fn redirects_are_refused_in_the_words_of_go_git() {
        let result = |from: &str, location: &str| match next(&url(from), location) {
            Ok(next) => next.to_string(),
            Err(error) => format!("refused: {error}"),
        };
        for (from, location, expected) in [
            ("https://a/r/info/refs", "/x/info/refs", "https://a/x/info/refs"),
            ("http://a/r/info/refs", "HTTPS://me:secret@b/x", "https://b/x"),
            (
                "https://a/r",
                "http://me:secret@b/x?token=secret",
                "refused: changes scheme from \"https\" to \"http\": http://b/x",
            ),
            ("https://a/r", "file:///etc/passwd", "refused: unsupported scheme \"file\""),
            ("http://a/r", "javascript:alert(1)", "refused: unsupported scheme \"javascript\""),
            ("http://a/r", "http://[::1", "refused: failed to parse Location header \"http://[::1\""),
        ] {
            assert_eq!(result(from, location), expected, "{from} {location}");
        }
    }

    #[test]
    fn the_repository_is_where_its_advertisement_is() {
        let result = |target: &str| repository(&url(target)).map_err(|error| error.to_string());
        let query = "?service=git-upload-pack";
        assert_eq!(result(&format!("https://a/g/r.git/info/refs{query}")), Ok("https://a/g/r.git".into()));
        assert_eq!(result("https://a/info/refs?other#x"), Ok("https://a".into()));
        let refused = "target \"/login\" does not end with /info/refs";
        assert_eq!(result(&format!("https://a/login?next=/info/refs{query}")), Err(refused.into()));
    }
}
