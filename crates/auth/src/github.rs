//! GitHub Apps: an app proves who it is with a signed JWT and gets a token for one of its installations.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::cache::Key;
use crate::http::segment;
use crate::jwt::{Algorithm, KeyError, SigningKey};
use crate::{AccessToken, Http, HttpError, Secret};

/// The user that goes with an installation token.
pub const USERNAME: &str = "x-access-token";

const APP_ID_KEY: &str = "githubAppID";
const CLIENT_ID_KEY: &str = "githubAppClientID";
const PRIVATE_KEY_KEY: &str = "githubAppPrivateKey";
const OWNER_KEY: &str = "githubAppInstallationOwner";
const INSTALLATION_KEY: &str = "githubAppInstallationID";
const BASE_URL_KEY: &str = "githubAppBaseURL";

/// What a JWT allows for clocks that differ, seconds.
const CLOCK_DRIFT_SECONDS: u64 = 30;
/// How long a JWT is good, seconds.
const JWT_LIFETIME_SECONDS: u64 = 120;

/// An app and the installation that is wanted.
#[derive(Debug)]
pub struct App {
    /// Its ID or its client ID: either is an issuer of JWTs.
    issuer: String,
    installation: Installation,
    key: SigningKey,
    base: Url,
    cache_key: Key,
}

#[derive(Debug)]
enum Installation {
    Id(i64),
    Owner(String),
}

/// What is wrong with the data of an app.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DataError {
    /// A field is missing.
    #[error("key '{0}' not found")]
    Missing(&'static str),
    /// Both ways to name an app.
    #[error("must contain exactly one of '{APP_ID_KEY}' or '{CLIENT_ID_KEY}'")]
    App,
    /// None or both of the ways to name an installation.
    #[error("must contain exactly one of '{OWNER_KEY}' or '{INSTALLATION_KEY}'")]
    Installation,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum GitHubError {
    /// No ID, or one that is no number.
    #[error("app ID or client ID must be provided to use github app authentication")]
    AppId,
    /// Neither an owner nor a number.
    #[error("app installation owner or ID must be provided to use github app authentication")]
    Installation,
    /// Not an RSA key in PEM, PKCS#1 or PKCS#8.
    #[error("could not parse private key: {0}")]
    Key(#[from] KeyError),
    /// Not a URL of http(s).
    #[error("invalid API URL: {0}")]
    Url(String),
    /// The owner has no installation of the app, as an organization or as a user.
    #[error(
        "failed to find organization installation: {organization}\nfailed to find user installation: {user}"
    )]
    Find {
        /// Asked for an organization.
        organization: HttpError,
        /// Asked for a user.
        user: HttpError,
    },
    /// No token for the installation.
    #[error("failed to create installation token: {0}")]
    Token(#[source] HttpError),
    /// The token ends at no time that is understood.
    #[error("installation token with an expiry that is not understood")]
    Expiry,
}

/// Whether the data of a Secret is that of an app; it is an error if only a part of it is. The values are looked at by
/// [`App::new`].
pub fn check(data: &BTreeMap<String, String>) -> Result<bool, DataError> {
    let keys = [APP_ID_KEY, CLIENT_ID_KEY, PRIVATE_KEY_KEY, OWNER_KEY, INSTALLATION_KEY];
    if !keys.iter().any(|key| data.contains_key(*key)) {
        return Ok(false);
    }
    let id = if data.contains_key(CLIENT_ID_KEY) { CLIENT_ID_KEY } else { APP_ID_KEY };
    match [id, PRIVATE_KEY_KEY].into_iter().find(|key| !data.contains_key(*key)) {
        Some(missing) => Err(DataError::Missing(missing)),
        None if data.contains_key(APP_ID_KEY) && id == CLIENT_ID_KEY => Err(DataError::App),
        None if data.contains_key(OWNER_KEY) == data.contains_key(INSTALLATION_KEY) => {
            Err(DataError::Installation)
        }
        None => Ok(true),
    }
}

/// Whether the data names an app.
pub fn is_given(data: &BTreeMap<String, String>) -> bool {
    [APP_ID_KEY, CLIENT_ID_KEY].iter().any(|key| data.get(*key).is_some_and(|id: &String| !id.is_empty()))
}

impl App {
    /// The app whose data a Secret holds.
    pub fn new(data: &BTreeMap<String, String>) -> Result<App, GitHubError> {
        let get = |key: &str| data.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let number =
            |key: &str| get(key).and_then(|text| text.parse::<i64>().ok()).filter(|number| *number != 0);
        let issuer = get(CLIENT_ID_KEY).map(str::to_owned);
        let issuer =
            issuer.or_else(|| number(APP_ID_KEY).map(|id| id.to_string())).ok_or(GitHubError::AppId)?;
        let installation = match (get(OWNER_KEY), number(INSTALLATION_KEY)) {
            (Some(owner), _) => Installation::Owner(owner.to_owned()),
            (None, Some(id)) => Installation::Id(id),
            (None, None) => return Err(GitHubError::Installation),
        };
        let key = SigningKey::from_pem(get(PRIVATE_KEY_KEY).unwrap_or_default())?;
        let base = base_url(get(BASE_URL_KEY).unwrap_or("https://api.github.com/"))?;
        let parts = [APP_ID_KEY, CLIENT_ID_KEY, PRIVATE_KEY_KEY, OWNER_KEY, INSTALLATION_KEY, BASE_URL_KEY]
            .map(|key| get(key).unwrap_or_default());
        Ok(App { issuer, installation, key, base, cache_key: Key::new(["github"].into_iter().chain(parts)) })
    }

    /// What its token depends on.
    pub fn cache_key(&self) -> Key {
        self.cache_key
    }

    /// A new token for the installation.
    pub async fn token(&self, http: &Http) -> Result<AccessToken, GitHubError> {
        let jwt = self.jwt(SystemTime::now())?;
        let headers = |request: reqwest::RequestBuilder| {
            request
                .bearer_auth(jwt.expose())
                .header("Accept", "application/vnd.github+json")
                .header("X-GitHub-Api-Version", "2022-11-28")
                .header("User-Agent", concat!("ferroflux/", env!("CARGO_PKG_VERSION")))
        };
        let id = match &self.installation {
            Installation::Id(id) => *id,
            Installation::Owner(owner) => {
                let owner = segment(owner);
                let find = async |kind: &str| -> Result<i64, HttpError> {
                    let url = self.url(&format!("{kind}/{owner}/installation"));
                    Ok(http.json::<Found>(headers(http.get(url))).await?.id)
                };
                match find("orgs").await {
                    Ok(id) => id,
                    Err(organization) => {
                        find("users").await.map_err(|user| GitHubError::Find { organization, user })?
                    }
                }
            }
        };
        let url = self.url(&format!("app/installations/{id}/access_tokens"));
        let answer: Answer = http.json(headers(http.post(url))).await.map_err(GitHubError::Token)?;
        let expires: jiff::Timestamp = answer.expires_at.parse().map_err(|_| GitHubError::Expiry)?;
        Ok(AccessToken::Opaque { token: answer.token, expires: expires.into() })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn jwt(&self, now: SystemTime) -> Result<Secret, GitHubError> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let issued = now.saturating_sub(CLOCK_DRIFT_SECONDS);
        let claims = json!({"iss": self.issuer, "exp": issued + JWT_LIFETIME_SECONDS, "iat": issued});
        Ok(self.key.sign(Algorithm::Rs256, json!({}), &claims)?)
    }
}

#[derive(Deserialize)]
struct Found {
    id: i64,
}

#[derive(Deserialize)]
struct Answer {
    token: Secret,
    expires_at: String,
}

/// The base of API URLs, exactly as it was given; GitHub Enterprise has its own under `/api/v3`.
fn base_url(text: &str) -> Result<Url, GitHubError> {
    let slash = if text.ends_with('/') { "" } else { "/" };
    let url = Url::parse(&format!("{text}{slash}")).map_err(|error| GitHubError::Url(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(GitHubError::Url("only http and https, without a query".to_owned()));
    }
    Ok(url)
}
