//! Requests for tokens, whose answers are small.

use std::sync::Arc;

use net::{AddressPolicy, BodyError, ClientError, Refused};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Body, Request, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// How much of an error page goes into a message, characters.
const ERROR_BODY_CHARS: usize = 512;

/// Headers of requests that hold credentials.
const SECRET_HEADERS: [&str; 3] = ["authorization", "x-amz-security-token", "x-vault-token"];

/// Fields of forms, and of objects in JSON, that hold credentials.
const SECRET_FIELDS: [&str; 6] =
    ["client_secret", "client_assertion", "assertion", "subject_token", "WebIdentityToken", "jwt"];

/// Shorter credentials are no secrets, and would be found in many words.
const MIN_SECRET_CHARS: usize = 4;

/// A client, and how many bytes an answer may have.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    limit: usize,
    /// Where servers may be whose hosts somebody chose who must not reach all that this process can.
    addresses: Option<AddressPolicy>,
}

/// Why there is no answer of use. The request's body and headers are never part of the text, nor is its URL; and where a server quotes
/// the credentials in them, they are left out.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No answer.
    #[error("{0}")]
    Connection(String),
    /// The host may not be connected to.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The server refuses, or it redirects.
    #[error("{status}{}", said(.body))]
    Status {
        /// The status.
        status: StatusCode,
        /// The beginning of what it says.
        body: String,
    },
    /// The answer does not end.
    #[error("answer of more than {0} bytes")]
    TooLarge(usize),
    /// The answer is not what was asked for.
    #[error("answer is not understood: {0}")]
    Malformed(String),
}

fn said(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

impl Http {
    /// Sends requests with `client`, which brings proxies, trust and timeouts, and follows no redirects; answers of more than
    /// `limit` bytes are refused.
    pub fn new(client: reqwest::Client, limit: usize) -> Http {
        Http { client, limit, addresses: None }
    }

    /// The same for hosts that a tenant chose: connections lead to permitted addresses only, and of an error nothing is told but
    /// what APIs say in their own form, so that it does not show what other servers answer.
    ///
    /// # Errors
    /// For certificates that cannot be used.
    pub fn within(
        client: reqwest::ClientBuilder,
        limit: usize,
        addresses: AddressPolicy,
    ) -> Result<Http, ClientError> {
        let client = client.redirect(reqwest::redirect::Policy::none());
        let client = client.dns_resolver(Arc::new(addresses.clone())).build().map_err(ClientError::tls)?;
        Ok(Http { client, limit, addresses: Some(addresses) })
    }

    /// A GET.
    pub fn get(&self, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.client.get(url)
    }

    /// A POST.
    pub fn post(&self, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.client.post(url)
    }

    /// A PUT.
    pub fn put(&self, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.client.put(url)
    }

    /// A request with a form.
    pub(crate) fn submit(&self, url: impl reqwest::IntoUrl, form: String) -> RequestBuilder {
        self.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(form)
    }

    /// The body of a good answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn text(&self, request: RequestBuilder) -> Result<String, HttpError> {
        let request = request.build().map_err(describe)?;
        if let Some(addresses) = &self.addresses {
            addresses.check_host(request.url()).await?;
        }
        let credentials = credentials(&request);
        let mut response = self.client.execute(request).await.map_err(describe)?;
        let body = net::read_body(&mut response, self.limit).await.map_err(|error| match error {
            BodyError::Connection(error) => describe(error),
            BodyError::TooLarge(limit) => HttpError::TooLarge(limit),
        })?;
        let text = String::from_utf8_lossy(&body).into_owned();
        let status = response.status();
        if status.is_success() {
            return Ok(text);
        }
        let told = if self.addresses.is_some() { api_error(&text) } else { text };
        let told = credentials.iter().fold(told, |text, secret| text.replace(secret, "***"));
        let shown = told.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(HttpError::Status { status, body: shown.chars().take(ERROR_BODY_CHARS).collect() })
    }

    /// The same, as JSON.
    ///
    /// # Errors
    /// When there is none that is understood.
    pub async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, HttpError> {
        let text = self.text(request).await?;
        serde_json::from_str(&text).map_err(|error| {
            // Not the error's own text, which may quote the answer.
            HttpError::Malformed(format!("line {}, column {}", error.line(), error.column()))
        })
    }
}

/// What a request shows of who sends it. Servers may quote it when they refuse it, as AWS does with all that a signature is about.
fn credentials(request: &Request) -> Vec<String> {
    let headers = SECRET_HEADERS.iter().filter_map(|name| request.headers().get(*name)?.to_str().ok());
    // Behind the scheme, if there is one.
    let headers = headers.flat_map(|value| [Some(value), value.split_whitespace().last()]).flatten();
    let body = request.body().and_then(Body::as_bytes).unwrap_or_default();
    let form = url::form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), value.into_owned()));
    let object: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let object = object.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
    let fields = form.chain(object).filter(|(name, _)| SECRET_FIELDS.contains(&&**name));
    let all = headers.map(str::to_owned).chain(fields.map(|(_, value)| value));
    all.filter(|secret| secret.chars().count() >= MIN_SECRET_CHARS).collect()
}

/// What an API says in an error: Vault's list of texts, OAuth's description, or a message as Azure and Google have it.
fn api_error(body: &str) -> String {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        errors: Option<Vec<String>>,
        error_description: Option<String>,
        error: Option<Described>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Described {
        Code(String),
        Message { message: String },
    }
    let Ok(answer) = serde_json::from_str::<Answer>(body) else { return String::new() };
    match answer {
        Answer { errors: Some(errors), .. } => errors.join("; "),
        Answer { error_description: Some(text), .. } => text,
        Answer { error: Some(Described::Code(text) | Described::Message { message: text }), .. } => text,
        _ => String::new(),
    }
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> impl std::fmt::Display {
    const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, const { &ESCAPED })
}

/// Pairs as a form or a query.
pub(crate) fn form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The causes of a failure; reqwest's own text names the URL, which may hold secrets.
fn describe(error: reqwest::Error) -> HttpError {
    if error.is_timeout() {
        return HttpError::Connection("timed out".to_owned());
    }
    HttpError::Connection(net::causes(&error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_request_are_those_of_its_headers_and_forms() {
        let http = Http::new(reqwest::Client::new(), 1);
        let of = |request: RequestBuilder| credentials(&request.build().unwrap());
        let url = "http://a.example/";
        assert_eq!(of(http.get(url).bearer_auth("jwt1")), ["Bearer jwt1", "jwt1"]);
        assert_eq!(of(http.get(url).header("X-Vault-Token", "hvs.1")), ["hvs.1", "hvs.1"]);
        let signed = http.post(url).header("x-amz-security-token", "session").body("{}");
        assert_eq!(of(signed), ["session", "session"]);
        let login = http.post(url).json(&serde_json::json!({"jwt": "jwt3", "role": "team"}));
        assert_eq!(of(login), ["jwt3"], "as Vault takes it");
        let form = form([
            ("client_id", "app1"),
            ("client_secret", "a/b c+"),
            ("assertion", "jwt2"),
            ("grant_type", "g"),
        ]);
        assert_eq!(of(http.submit(url, form)), ["a/b c+", "jwt2"]);
        assert_eq!(of(http.submit(url, "client_secret=abc".to_owned())), [""; 0], "too short to be one");
    }

    #[test]
    fn of_errors_of_hosts_that_tenants_chose_only_the_apis_own_texts_are_told() {
        for (body, told) in [
            (r#"{"errors": ["permission denied", "try later"]}"#, "permission denied; try later"),
            (r#"{"error": "invalid_client", "error_description": "bad secret"}"#, "bad secret"),
            (r#"{"error": {"code": "Forbidden", "message": "no rights"}}"#, "no rights"),
            (r#"{"error": "invalid_grant"}"#, "invalid_grant"),
            (r#"{"kind": "Status", "message": "inside"}"#, ""),
            (r#"{"errors": [{"code": "DENIED"}]}"#, ""),
            ("<html>inside</html>", ""),
            ("AKIA secret", ""),
            ("", ""),
        ] {
            assert_eq!(api_error(body), told, "{body}");
        }
    }
}
