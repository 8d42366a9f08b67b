//! ACR: a token of Microsoft Entra is exchanged for a refresh token of one registry, which that takes for a password.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use url::Url;

use crate::http::form;
use crate::{AccessToken, Environment, FileError, Http, HttpError, Secret};

/// What the host of a registry must look like, as Flux says it.
const PATTERN: &str = r"^.+\.(azurecr\.io|azurecr\.cn|azurecr\.de|azurecr\.us)$";
/// What the hosts of registries end with in Microsoft's clouds.
const SUFFIXES: [&str; 4] = [".azurecr.io", ".azurecr.cn", ".azurecr.de", ".azurecr.us"];
/// What tokens for registries are for, in all of Microsoft's clouds.
const AUDIENCE: &str = "https://containerregistry.azure.net";
/// The variable of a file that tells of another cloud: `containerRegistryDNSSuffix` and `tokenAudience`.
const CLOUD_VARIABLE: &str = "AZURE_ENVIRONMENT_FILEPATH";

/// A registry of ACR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRegistry {
    host: String,
    scope: String,
}

/// Tokens for registries of this host are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The host is none of ACR's.
    #[error("invalid Azure registry: '{0}'. must match {PATTERN}")]
    Host(String),
    /// The host is none of the cloud that the file tells of.
    #[error("invalid Azure registry: '{host}'. must end with {suffix}")]
    Suffix {
        /// The host.
        host: String,
        /// What hosts of that cloud end with.
        suffix: String,
    },
    /// The file that tells of the cloud cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file does not tell of the cloud.
    #[error("containerRegistryDNSSuffix and tokenAudience must be set in the environment file")]
    Cloud,
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum AcrError {
    /// The registry gives none.
    #[error("failed to exchange the token of Microsoft Entra at '{host}': {source}")]
    Exchange {
        /// The registry.
        host: String,
        /// What it says.
        source: HttpError,
    },
    /// The refresh token does not tell when it ends. Nothing of it is told.
    #[error("the refresh token of the registry is no JSON Web Token with an end")]
    Token,
}

impl ContainerRegistry {
    /// The user that passwords are for.
    pub const USERNAME: &'static str = "00000000-0000-0000-0000-000000000000";

    /// The registry at `host`, in one of Microsoft's clouds, or in the one that `AZURE_ENVIRONMENT_FILEPATH` tells of.
    ///
    /// # Errors
    /// For hosts elsewhere, and when the file does not tell.
    pub async fn of_host(host: &str, environment: &Environment) -> Result<ContainerRegistry, RegistryError> {
        let has_more = |suffix: &str| {
            let rest = host.to_ascii_lowercase();
            rest.strip_suffix(&suffix.to_ascii_lowercase()).is_some_and(|rest| !rest.is_empty())
        };
        if let Some(json) = environment.file(CLOUD_VARIABLE).await? {
            let cloud: Cloud = serde_json::from_str(&json).map_err(|_| RegistryError::Cloud)?;
            let Cloud { container_registry_dns_suffix: suffix, token_audience } = cloud;
            if suffix.is_empty() || token_audience.is_empty() {
                return Err(RegistryError::Cloud);
            }
            if !has_more(&format!(".{}", suffix.trim_start_matches('.'))) {
                return Err(RegistryError::Suffix { host: host.to_owned(), suffix });
            }
            return Ok(ContainerRegistry {
                host: host.to_owned(),
                scope: format!("{token_audience}/.default"),
            });
        }
        if !SUFFIXES.into_iter().any(has_more) {
            return Err(RegistryError::Host(host.to_owned()));
        }
        Ok(ContainerRegistry { host: host.to_owned(), scope: format!("{AUDIENCE}/.default") })
    }

    /// What the token of Entra has to be for.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// A password for [`Self::USERNAME`].
    ///
    /// # Errors
    /// When the registry gives none.
    pub async fn password(&self, token: &Secret, http: &Http) -> Result<AccessToken, AcrError> {
        #[derive(Deserialize)]
        struct Answer {
            refresh_token: Secret,
        }
        let failed = |source| AcrError::Exchange { host: self.host.clone(), source };
        let url = Url::parse(&format!("https://{}/oauth2/exchange", self.host));
        let url = url.map_err(|error| failed(HttpError::Malformed(error.to_string())))?;
        let fields =
            [("grant_type", "access_token"), ("service", &self.host), ("access_token", token.expose())];
        let answer = http.json::<Answer>(http.submit(url, form(fields))).await.map_err(failed)?;
        let expires = expiry(answer.refresh_token.expose()).ok_or(AcrError::Token)?;
        Ok(AccessToken::Opaque { token: answer.refresh_token, expires })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Cloud {
    #[serde(rename = "containerRegistryDNSSuffix")]
    container_registry_dns_suffix: String,
    token_audience: String,
}

/// When a JSON Web Token ends. Its signature is for the registry to look at.
fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u32,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(claims.exp.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn of_host(host: &str, environment: &Environment) -> Result<String, String> {
        let registry = ContainerRegistry::of_host(host, environment).await;
        registry.map(|registry| registry.scope).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn tokens_are_exchanged_at_registries_of_the_cloud_alone() {
        let public = Environment::default();
        for host in ["r.azurecr.io", "R.AzureCR.io", "a.b.azurecr.cn", "r.azurecr.us", "r.azurecr.de"] {
            let scope = "https://containerregistry.azure.net/.default".to_owned();
            assert_eq!(of_host(host, &public).await, Ok(scope), "{host}");
        }
        for host in ["ghcr.io", "azurecr.io", ".azurecr.io", "evilazurecr.io", "r.azurecr.io.evil.example"] {
            let error = format!("invalid Azure registry: '{host}'. must match {PATTERN}");
            assert_eq!(of_host(host, &public).await, Err(error));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let other: Environment = [(CLOUD_VARIABLE, path)].into_iter().collect();
        let unset = "containerRegistryDNSSuffix and tokenAudience must be set in the environment file";
        assert_eq!(of_host("r.azurecr.io", &other).await, Err(unset.to_owned()));
        let cloud =
            r#"{"containerRegistryDNSSuffix": "azurecr.corp.example", "tokenAudience": "https://corp"}"#;
        std::fs::write(path, cloud).unwrap();
        assert_eq!(of_host("r.azurecr.corp.example", &other).await, Ok("https://corp/.default".to_owned()));
        for host in ["r.azurecr.io", "evilazurecr.corp.example", "azurecr.corp.example"] {
            let error = format!("invalid Azure registry: '{host}'. must end with azurecr.corp.example");
            assert_eq!(of_host(host, &other).await, Err(error));
        }
    }
}
