//! Microsoft Entra: tokens for applications and managed identities.

mod acr;
mod principal;

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

pub use acr::{AcrError, ContainerRegistry, RegistryError};
pub use principal::{AuthorityError, Certificate, CertificateError, Principal, Proof, authority_url};

use crate::http::{form, segment};
use crate::{AccessToken, Environment, FileError, Http, HttpError, KeyError, Secret};

/// What a token for Azure DevOps is for.
pub const DEVOPS_SCOPE: &str = "499b84ac-1321-427f-aa17-267ca6975798/.default";
/// The audience of service account tokens that are exchanged.
pub const AUDIENCE: &str = "api://AzureADTokenExchange";
/// Annotations of a service account that say who it is.
pub const TENANT_ANNOTATION: &str = "azure.workload.identity/tenant-id";
/// See [`TENANT_ANNOTATION`].
pub const CLIENT_ANNOTATION: &str = "azure.workload.identity/client-id";

/// Where repositories of Azure DevOps are.
const DEVOPS_HOST: &str = "dev.azure.com";
/// See [`DEVOPS_HOST`]; before it stands the name of an organisation.
const DEVOPS_SUFFIX: &str = ".visualstudio.com";
/// Where the tokens of the public cloud are given.
pub const PUBLIC_AUTHORITY: &str = "https://login.microsoftonline.com/";
const METADATA_URL: &str = "http://169.254.169.254";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum AzureError {
    /// The token of the pod cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key of a certificate does not sign.
    #[error("failed to sign with the client certificate: {0}")]
    Key(#[from] KeyError),
    /// Entra gives none.
    #[error("failed to get a token from Microsoft Entra: {0}")]
    Exchange(#[source] HttpError),
    /// The metadata service gives none.
    #[error("failed to get a token of the managed identity: {0}")]
    Metadata(#[source] HttpError),
}

/// A repository that must not get a token for Azure DevOps.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    /// Plain http.
    #[error("Azure DevOps authentication requires an HTTPS Git URL")]
    Scheme,
    /// Another host.
    #[error("invalid Azure DevOps Git URL: {0}")]
    Host(String),
}

/// Whether a repository may get a token: it is behind https on a host of Azure DevOps, or on one of `more_hosts`.
///
/// # Errors
/// When it may not.
pub fn check_url(url: &Url, more_hosts: &[String]) -> Result<(), UrlError> {
    if url.scheme() != "https" {
        return Err(UrlError::Scheme);
    }
    let host = url.host_str().unwrap_or_default();
    let is_devops = host == DEVOPS_HOST || host.ends_with(DEVOPS_SUFFIX);
    if is_devops || more_hosts.iter().any(|other| other.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    Err(UrlError::Host(host.to_owned()))
}

/// An application in a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The tenant.
    pub tenant: String,
    /// The application's client id.
    pub client: String,
}

impl Application {
    fn token_url(&self, authority: &str) -> String {
        format!("{}/{}/oauth2/v2.0/token", authority.trim_end_matches('/'), segment(&self.tenant))
    }
}

/// A token for the controller itself, as the platform says: by a secret, by workload identity, or by the managed identity.
///
/// # Errors
/// When there is none.
pub async fn controller_token(
    scope: &str,
    environment: &Environment,
    http: &Http,
) -> Result<AccessToken, AzureError> {
    let (tenant, client) = (environment.get("AZURE_TENANT_ID"), environment.get("AZURE_CLIENT_ID"));
    if let (Some(tenant), Some(client)) = (tenant, client) {
        let application = Application { tenant: tenant.to_owned(), client: client.to_owned() };
        if let Some(secret) = environment.get("AZURE_CLIENT_SECRET") {
            let url = application.token_url(authority(environment));
            return exchange(&application, url, &[("client_secret", secret)], scope, http).await;
        }
        if let Some(token) = environment.file("AZURE_FEDERATED_TOKEN_FILE").await? {
            return workload_token(&application, &token, scope, environment, http).await;
        }
    }
    managed_identity(client, scope, environment, http).await
}

/// A token for `application`, which trusts the service account that `assertion` is a token of.
///
/// # Errors
/// When Entra gives none.
pub async fn workload_token(
    application: &Application,
    assertion: &str,
    scope: &str,
    environment: &Environment,
    http: &Http,
) -> Result<AccessToken, AzureError> {
    let url = application.token_url(authority(environment));
    exchange(application, url, &proof_by(assertion), scope, http).await
}

/// Where tokens are given unless somebody says otherwise.
pub fn authority(environment: &Environment) -> &str {
    environment.get("AZURE_AUTHORITY_HOST").unwrap_or(PUBLIC_AUTHORITY)
}

/// An assertion, as a form has it.
fn proof_by(assertion: &str) -> [(&'static str, &str); 2] {
    [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)]
}

async fn exchange(
    application: &Application,
    url: String,
    proof: &[(&str, &str)],
    scope: &str,
    http: &Http,
) -> Result<AccessToken, AzureError> {
    let fields =
        [("grant_type", "client_credentials"), ("client_id", application.client.as_str()), ("scope", scope)];
    let request = http.submit(url, form(fields.into_iter().chain(proof.iter().copied())));
    http.json::<Answer>(request).await.and_then(Answer::token).map_err(AzureError::Exchange)
}

/// A token of a managed identity of the machine: of the one that `client` names, else of the only one.
///
/// # Errors
/// When the metadata service gives none.
pub async fn managed_identity(
    client: Option<&str>,
    scope: &str,
    environment: &Environment,
    http: &Http,
) -> Result<AccessToken, AzureError> {
    let host = environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or(METADATA_URL);
    let resource = scope.trim_end_matches("/.default");
    let query = [("api-version", "2018-02-01"), ("resource", resource)];
    let query = form(query.into_iter().chain(client.map(|client| ("client_id", client))));
    let url = format!("{}/metadata/identity/oauth2/token?{query}", host.trim_end_matches('/'));
    let request = http.get(url).header("Metadata", "true");
    http.json::<Answer>(request).await.and_then(Answer::token).map_err(AzureError::Metadata)
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    expires_in: Seconds,
}

/// Entra writes a number, the metadata service a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u32),
    Text(String),
    Other(IgnoredAny),
}

impl Answer {
    fn token(self) -> Result<AccessToken, HttpError> {
        let seconds = match self.expires_in {
            Seconds::Number(seconds) => Some(seconds),
            Seconds::Text(text) => text.parse().ok(),
            Seconds::Other(_) => None,
        };
        let seconds = seconds.ok_or_else(|| HttpError::Malformed("expires_in".to_owned()))?;
        let expires = SystemTime::now() + Duration::from_secs(seconds.into());
        Ok(AccessToken::Opaque { token: self.access_token, expires })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_for_azure_devops_alone() {
        let more = ["git.example.com".to_owned()];
        let check = |url: &str| check_url(&Url::parse(url).unwrap(), &more);
        for url in [
            "https://dev.azure.com/org/project/_git/repo",
            "https://me@DEV.azure.com:443/org",
            "https://org.visualstudio.com/project/_git/repo",
            "https://git.example.com/r",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        for host in ["dev.azure.com.evil.org", "evilvisualstudio.com", "example.com", "evil.org"] {
            assert_eq!(check(&format!("https://{host}/dev.azure.com")), Err(UrlError::Host(host.to_owned())));
        }
        assert_eq!(check("http://dev.azure.com/org"), Err(UrlError::Scheme));
    }
}
