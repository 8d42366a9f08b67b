//! Answers that are refusals: the error codes of a registry (OCI distribution specification, "Error Codes").

use std::fmt;
use std::time::Duration;

use net::GoValue;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

/// Characters of what a server says that an error repeats.
const SHOWN_CHARACTERS: usize = 1024;

/// A status that is not the one that was wanted. The text is that of go-containerregistry, shortened and without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusError {
    /// Method and URL, the latter redacted.
    pub request: String,
    /// The status.
    pub status: StatusCode,
    /// The registry's error codes, such as `MANIFEST_UNKNOWN`; none if the body is not a registry's.
    pub codes: Vec<String>,
    /// The wait that the server asks for before the next request (RFC 9110, section 10.2.3).
    pub retry_after: Option<Duration>,
    text: String,
}

#[derive(Deserialize)]
struct Body {
    errors: Vec<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    detail: Value,
}

impl StatusError {
    /// What an answer with this status, these headers and the beginning of this body means.
    pub(crate) fn new(
        request: String,
        is_head: bool,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> StatusError {
        let diagnostics = serde_json::from_slice::<Body>(body).map(|body| body.errors).unwrap_or_default();
        let number = status.as_u16();
        let reason = status.canonical_reason().unwrap_or_default();
        let text = match diagnostics.as_slice() {
            [] if body.is_empty() && is_head => format!(
                "unexpected status code {number} {reason} (HEAD responses have no body, use GET for details)"
            ),
            [] if body.is_empty() => format!("unexpected status code {number} {reason}"),
            [] => format!("unexpected status code {number} {reason}: {}", String::from_utf8_lossy(body)),
            [only] => only.to_string(),
            several => {
                let texts: Vec<String> = several.iter().map(Diagnostic::to_string).collect();
                format!("multiple errors returned: {}", texts.join("; "))
            }
        };
        let codes = diagnostics.into_iter().map(|diagnostic| printable(&diagnostic.code)).collect();
        StatusError { request, status, codes, retry_after: net::retry_after(headers), text: printable(&text) }
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.request, self.text)
    }
}

impl std::error::Error for StatusError {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        match &self.detail {
            Value::Null => Ok(()),
            detail => write!(f, "; {}", GoValue(detail)),
        }
    }
}

/// The beginning of a text, without control characters.
pub(crate) fn printable(text: &str) -> String {
    let text = text.trim();
    let mut shown: String =
        text.chars().take(SHOWN_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn error(is_head: bool, status: u16, body: &str) -> StatusError {
        let status = StatusCode::from_u16(status).unwrap();
        StatusError::new("GET https://h/v2/".into(), is_head, status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn texts_are_those_of_go_containerregistry() {
        for (is_head, status, body, text) in [
            (
                false,
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"v1","Name":"a"}}]}"#,
                "MANIFEST_UNKNOWN: manifest unknown; map[Name:a Tag:v1]",
            ),
            (
                false,
                401,
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"no","detail":[{"Type":"repository","n":1}]},{"code":"DENIED"}]}"#,
                "multiple errors returned: UNAUTHORIZED: no; [map[Type:repository n:1]]; DENIED:",
            ),
            (false, 404, "", "unexpected status code 404 Not Found"),
            (false, 502, "<html>\r\n\u{1b}[31mno", "unexpected status code 502 Bad Gateway: <html>   [31mno"),
            (
                false,
                500,
                r#"{"errors":[]}"#,
                r#"unexpected status code 500 Internal Server Error: {"errors":[]}"#,
            ),
            (
                true,
                404,
                "",
                "unexpected status code 404 Not Found (HEAD responses have no body, use GET for details)",
            ),
        ] {
            assert_eq!(error(is_head, status, body).to_string(), format!("GET https://h/v2/: {text}"));
        }
        let codes = error(false, 429, r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow"}]}"#).codes;
        assert_eq!(codes, ["TOOMANYREQUESTS"]);
        assert!(error(false, 500, &"é".repeat(60_000)).to_string().chars().count() < 1200);
    }
}
