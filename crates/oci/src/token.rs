//! Tokens: where they are fetched, and how long they are kept.
//!
//! The rules are those of distribution's token authentication (`docs/content/spec/auth`) as go-containerregistry keeps them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use net::Deadline;
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};
use secret::Secret;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::access::{Credentials, sensitive};
use crate::challenge::{Challenge, ChallengeError};
use crate::http::{Call, Http, RequestError};
use crate::status::{StatusError, printable};
use crate::urls::{Redirects, is_internal};

/// How long a token lives that does not say so.
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(60);
/// How long a token is used at most.
const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// Repositories whose tokens are kept at the same time.
const MAX_TOKEN_REPOSITORIES: usize = 1024;

/// Why there is no token. No text has a token or password in it.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// What the registry asks for is not understood.
    #[error("{request}: {source}")]
    Challenge {
        /// Method and URL of the request that was refused.
        request: String,
        /// Why not.
        source: ChallengeError,
    },
    /// The token server may not be asked.
    #[error("invalid realm in www-authenticate: {0}")]
    Realm(#[from] RealmError),
    /// The token server gives no answer, or refuses.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The token server's answer is not the JSON of a token.
    #[error("{request}: answer is not understood: line {line}, column {column}")]
    Malformed {
        /// Method and URL.
        request: String,
        /// Where reading failed.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// There are no credentials: see [`Credentials::Unavailable`].
    #[error("{0}")]
    Credentials(String),
    /// The answer has no token, or one that fits no header.
    #[error("{request}: no token in bearer response")]
    NoToken {
        /// Method and URL.
        request: String,
    },
}

/// Why a realm is not asked for a token. Otherwise a registry could have us send requests into our own network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    /// Not a URL.
    #[error("{0}")]
    Url(#[from] url::ParseError),
    /// Plain http, where the registry itself is not spoken with that way.
    #[error("realm scheme \"http\" not allowed for a secure registry; use https")]
    PlainHttp,
    /// Not a scheme of the web.
    #[error("realm scheme {0:?} not allowed; must be https (or http for insecure registries)")]
    Scheme(String),
    /// An address within the network that is not the registry's own.
    #[error("realm host {0:?} is a private or link-local address")]
    Internal(String),
}

/// An `Authorization` header, and until when it is used.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) header: HeaderValue,
    pub(crate) until: Option<Instant>,
}

/// The grant for one repository. Whoever fetches a token holds the lock meanwhile, so that each is fetched once.
pub(crate) type Slot = tokio::sync::Mutex<Option<Grant>>;

/// The grants of one client, by origin of the registry and scope.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    slots: Mutex<HashMap<(String, String), Arc<Slot>>>,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    token: Option<Secret>,
    #[serde(default)]
    access_token: Option<Secret>,
    #[serde(default)]
    expires_in: Value,
}

// === impl TokenError ===

impl TokenError {
    /// The token server's refusal, if it gave one.
    pub fn status(&self) -> Option<&StatusError> {
        match self {
            TokenError::Request(error) => error.status(),
            _ => None,
        }
    }
}

// === impl Tokens ===

impl Tokens {
    pub(crate) fn slot(&self, registry: &Url, scope: &str) -> Arc<Slot> {
        let key = (registry.origin().ascii_serialization(), scope.to_owned());
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_TOKEN_REPOSITORIES && !slots.contains_key(&key) {
            slots.clear();
        }
        slots.entry(key).or_default().clone()
    }
}

// === impl Grant ===

impl Grant {
    pub(crate) fn is_valid(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    /// What meets this challenge; `None` if nothing can. `registry` is the URL that was refused.
    pub(crate) async fn obtain(
        http: &Http,
        credentials: &Credentials,
        challenge: Challenge,
        registry: &Url,
        scope: &str,
        deadline: &Deadline,
    ) -> Result<Option<Grant>, TokenError> {
        let lasting = |header| Grant { header, until: None };
        // Whether the header is well-formed was checked when the client was made.
        match (challenge, credentials) {
            (_, Credentials::Unavailable(why)) => Err(TokenError::Credentials(why.clone())),
            (Challenge::Basic, _) => Ok(credentials.basic().ok().flatten().map(lasting)),
            (Challenge::Bearer { .. }, Credentials::Bearer(token)) => {
                Ok(sensitive(&format!("Bearer {}", token.expose())).ok().map(lasting))
            }
            (Challenge::Bearer { realm, service, scope: wanted }, _) => {
                let realm = check_realm(&realm, registry)?;
                // Some token servers look at the first scope only, so the one that is missing comes first.
                let mut scopes: Vec<String> = wanted.into_iter().filter(|wanted| wanted != scope).collect();
                scopes.push(scope.to_owned());
                let service = service.as_deref();
                if let Credentials::RefreshToken(token) = credentials {
                    match exchange(http, &realm, service, &scopes, token, deadline).await {
                        // Not every token server knows this way.
                        Err(error) if error.status().is_some_and(|e| e.status == StatusCode::NOT_FOUND) => {}
                        outcome => return outcome.map(Some),
                    }
                }
                fetch(http, &realm, service, &scopes, credentials, deadline).await.map(Some)
            }
        }
    }
}

/// The URL of a token server, if it may be asked on behalf of a registry.
fn check_realm(realm: &str, registry: &Url) -> Result<Url, RealmError> {
    let mut url = Url::parse(realm)?;
    match url.scheme() {
        "https" => {}
        "http" if registry.scheme() == "http" => {}
        "http" => return Err(RealmError::PlainHttp),
        other => return Err(RealmError::Scheme(printable(other))),
    }
    let same =
        url.host() == registry.host() && url.port_or_known_default() == registry.port_or_known_default();
    if !same && is_internal(&url) {
        return Err(RealmError::Internal(url.host_str().unwrap_or_default().to_owned()));
    }
    // Credentials that a server thinks of are not ours.
    net::remove_credentials(&mut url);
    url.set_fragment(None);
    Ok(url)
}

/// `GET <realm>?scope=..&service=..`, with user and password if there are any (`token.md`).
async fn fetch(
    http: &Http,
    realm: &Url,
    service: Option<&str>,
    scopes: &[String],
    credentials: &Credentials,
    deadline: &Deadline,
) -> Result<Grant, TokenError> {
    let mut url = realm.clone();
    url.query_pairs_mut()
        .extend_pairs(scopes.iter().map(|scope| ("scope", scope)))
        .extend_pairs(service.map(|service| ("service", service)));
    let mut call = Call::get(url, deadline);
    call.authorization = credentials.basic().ok().flatten();
    call.redirects = Redirects::Content { plain_http: realm.scheme() == "http" };
    ask(http, &call).await
}

/// `POST <realm>` with a refresh token (`oauth.md`).
async fn exchange(
    http: &Http,
    realm: &Url,
    service: Option<&str>,
    scopes: &[String],
    token: &Secret,
    deadline: &Deadline,
) -> Result<Grant, TokenError> {
    let mut call = Call::get(realm.clone(), deadline);
    call.method = Method::POST;
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", "flux")
        .append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", token.expose())
        .append_pair("scope", &scopes.join(" "))
        .extend_pairs(service.map(|service| ("service", service)))
        .finish();
    call.form = Some(form);
    ask(http, &call).await
}

async fn ask(http: &Http, call: &Call) -> Result<Grant, TokenError> {
    let mut answer = http.send(call).await?.ok().await?;
    let body = answer.body(http.limits().token_bytes).await?;
    let request = answer.request;
    // The error's own text may quote the answer.
    let answered: Answered = serde_json::from_slice(&body).map_err(|error| TokenError::Malformed {
        request: request.clone(),
        line: error.line(),
        column: error.column(),
    })?;
    let token = answered.access_token.filter(|token| !token.is_empty()).or(answered.token);
    let token = token.filter(|token| !token.is_empty());
    let header = token.and_then(|token| sensitive(&format!("Bearer {}", token.expose())).ok());
    let header = header.ok_or(TokenError::NoToken { request })?;
    Ok(Grant { header, until: Instant::now().checked_add(usable_life(&answered.expires_in)) })
}

/// How long a token is used that lives for so many seconds: four fifths of that.
fn usable_life(expires_in: &Value) -> Duration {
    let seconds = match expires_in {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    };
    let life = seconds.filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
    let life = life.map_or(DEFAULT_TOKEN_LIFETIME, |seconds| Duration::from_secs_f64(seconds.min(1e9)));
    life.mul_f64(0.8).min(MAX_TOKEN_LIFETIME)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn realms_are_on_the_web_and_outside_the_network() {
        let check = |realm: &str, registry: &str| {
            check_realm(realm, &Url::parse(registry).unwrap()).map_err(|error| error.to_string())
        };
        let (secure, insecure) = ("https://registry.example/v2/", "http://10.0.0.9:5000/v2/");
        for (realm, registry) in [
            ("https://auth.example/token?x=1", secure),
            ("http://10.0.0.9:5000/token", insecure),
            ("https://10.0.0.9:5000/token", insecure),
            ("http://auth.example/token", insecure),
            ("https://10.0.0.9/token", "https://10.0.0.9:443/v2/"),
        ] {
            assert!(check(realm, registry).is_ok(), "{realm}");
        }
        for (realm, registry, error) in [
            ("/token", secure, "relative URL without a base"),
            (
                "http://auth.example/",
                secure,
                "realm scheme \"http\" not allowed for a secure registry; use https",
            ),
            (
                "file:///etc/passwd",
                insecure,
                "realm scheme \"file\" not allowed; must be https (or http for insecure registries)",
            ),
            (
                "https://169.254.169.254/",
                secure,
                "realm host \"169.254.169.254\" is a private or link-local address",
            ),
            ("http://10.0.0.9:5001/", insecure, "realm host \"10.0.0.9\" is a private or link-local address"),
        ] {
            assert_eq!(check(realm, registry).unwrap_err(), error);
        }
        let stripped = check("https://me:pw@auth.example/t#x", secure).unwrap();
        assert_eq!(stripped.as_str(), "https://auth.example/t");
    }

    #[test]
    fn tokens_are_used_for_four_fifths_of_their_life() {
        for (expires_in, seconds) in [
            (Value::Null, 48),
            (300.into(), 240),
            ("300".into(), 240),
            (1e300.into(), 3600),
            (0.into(), 0),
            ((-1).into(), 48),
            ("soon".into(), 48),
        ] {
            assert_eq!(usable_life(&expires_in), Duration::from_secs(seconds), "{expires_in}");
        }
    }
}
