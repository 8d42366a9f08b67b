//! Azure Key Vault, and managed HSMs, which speak alike.

mod credentials;

use auth::azure::AzureError;
use auth::{HttpError, segment};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use net::redact;
use secret::Secret;
use serde::Deserialize;
use serde_json::json;
use url::{Host, Url};

pub use credentials::{Credentials, CredentialsError};

use crate::{DataKey, KeyServices, Owner};

/// The domains of vaults in Microsoft's clouds. A token is for the domain of a vault.
const VAULT_DOMAINS: [&str; 7] = [
    "vault.azure.net",
    "vault.azure.cn",
    "vault.usgovcloudapi.net",
    "vault.microsoftazure.de",
    "managedhsm.azure.net",
    "managedhsm.azure.cn",
    "managedhsm.usgovcloudapi.net",
];
/// The only algorithm that SOPS wraps with.
const ALGORITHM: &str = "RSA-OAEP-256";
const API_VERSION: &str = "7.4";

/// A wrapped key, as a document has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where the vault is.
    pub vault_url: String,
    /// The name of the key that wrapped it.
    pub name: String,
    /// And its version; the newest one if it is empty.
    pub version: String,
    /// The wrapped key, in base64 for URLs.
    pub encrypted: String,
}

/// A key whose vault may get a token.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    key: &'a Key,
    url: Url,
    scope: String,
}

/// Why a key is not unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum KeyVaultError {
    /// Not the URL of a vault. User, password and query of it are not shown.
    #[error("invalid Azure Key Vault URL '{0}': it must be https://<host>/")]
    Url(String),
    /// The name of the key would be another request.
    #[error("invalid name or version of an Azure Key Vault key: '{0}'")]
    Name(String),
    /// The host is not one of Azure.
    #[error(
        "'{0}' is not a host of Azure Key Vault: the identity of the controller is not used for it (use credentials in the Secret of spec.decryption.secretRef, or spec.decryption.serviceAccountName)"
    )]
    Host(String),
    /// The wrapped key is none.
    #[error("failed to base64 decode Azure Key Vault encrypted key")]
    Encoding,
    /// There is no token.
    #[error("failed to get Azure token credential to decrypt: {0}")]
    Token(#[source] AzureError),
    /// The vault refuses.
    #[error("failed to decrypt sops data key with Azure Key Vault key '{key}': {source}")]
    Decrypt {
        /// URL of the key.
        key: String,
        /// What the vault says.
        source: HttpError,
    },
}

impl Key {
    /// Checks where a token would go. Credentials of the controller are for vaults of Microsoft's clouds alone; with those of
    /// a tenant a vault may be anywhere, and gets a token for the domain that it is in, as Azure's own clients demand.
    ///
    /// # Errors
    /// For URLs and names that are none, and hosts that may not get a token.
    pub fn target(&self, owner: Owner) -> Result<Target<'_>, KeyVaultError> {
        let invalid = || KeyVaultError::Url(redact(&self.vault_url));
        let url = Url::parse(&self.vault_url).map_err(|_| invalid())?;
        let Some(Host::Domain(host)) = url.host() else { return Err(invalid()) };
        let plain = url.username().is_empty() && url.password().is_none();
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !plain || !bare || url.scheme() != "https" {
            return Err(invalid());
        }
        let (label, domain) = host.split_once('.').ok_or_else(invalid)?;
        let of_azure = !label.is_empty() && VAULT_DOMAINS.contains(&domain);
        if owner == Owner::Controller && !of_azure {
            return Err(KeyVaultError::Host(host.to_owned()));
        }
        let scope = format!("https://{domain}/.default");
        for name in [&self.name, &self.version] {
            if matches!(name.as_str(), "." | "..") || name.contains('/') {
                return Err(KeyVaultError::Name(name.clone()));
            }
        }
        if self.name.is_empty() {
            return Err(KeyVaultError::Name(String::new()));
        }
        Ok(Target { key: self, url, scope })
    }
}

impl Target<'_> {
    /// What the token has to be for.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    fn key_url(&self) -> String {
        let (name, version) = (segment(&self.key.name), segment(&self.key.version));
        // Without a version it is the newest one; the path ends with a slash then, as Azure's own clients send it.
        format!("{}keys/{name}/{version}", self.url)
    }
}

impl KeyServices {
    /// Unwraps a key with an access token for [`Target::scope`].
    ///
    /// # Errors
    /// When the vault does not allow it.
    pub async fn azure_key_vault(
        &self,
        target: &Target<'_>,
        token: &Secret,
    ) -> Result<DataKey, KeyVaultError> {
        #[derive(Deserialize)]
        struct Answer {
            value: Secret,
        }
        let wrapped = target.key.encrypted.trim_end_matches('=');
        let wrapped = URL_SAFE_NO_PAD.decode(wrapped).or_else(|_| STANDARD_NO_PAD.decode(wrapped));
        let wrapped = wrapped.map_err(|_| KeyVaultError::Encoding)?;
        let body = json!({"alg": ALGORITHM, "value": URL_SAFE_NO_PAD.encode(wrapped)});
        let key = target.key_url();
        let url = format!("{key}/decrypt?api-version={API_VERSION}");
        let request = self.tenants.post(url).bearer_auth(token.expose()).json(&body);
        let refused = |source| KeyVaultError::Decrypt { key: key.clone(), source };
        let answer = self.tenants.json::<Answer>(request).await.map_err(refused)?;
        let value = answer.value.expose().trim_end_matches('=');
        let malformed = || refused(HttpError::Malformed("value".to_owned()));
        DataKey::decode(&URL_SAFE_NO_PAD, value).ok_or_else(malformed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(url: &str) -> Key {
        Key { vault_url: url.into(), name: "k".into(), version: "1".into(), encrypted: String::new() }
    }

    #[test]
    fn the_controllers_identity_is_for_vaults_of_azure_alone() {
        for (url, scope) in [
            ("https://my.vault.azure.net/", "https://vault.azure.net/.default"),
            ("https://MY.vault.azure.net", "https://vault.azure.net/.default"),
            ("https://my.vault.azure.cn", "https://vault.azure.cn/.default"),
            ("https://my.vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net/.default"),
            ("https://my.managedhsm.azure.net", "https://managedhsm.azure.net/.default"),
        ] {
            for owner in [Owner::Controller, Owner::Tenant] {
                assert_eq!(key(url).target(owner).unwrap().scope(), scope, "{url}");
            }
        }
        for (url, scope) in [
            ("https://my.vault.azure.net.evil.example", "https://vault.azure.net.evil.example/.default"),
            ("https://vault.azure.net", "https://azure.net/.default"),
            ("https://my.evilvault.azure.net", "https://evilvault.azure.net/.default"),
            ("https://a.b.vault.azure.net", "https://b.vault.azure.net/.default"),
            (
                "https://my.vault.local.azurestack.external",
                "https://vault.local.azurestack.external/.default",
            ),
        ] {
            let key = key(url);
            assert!(matches!(key.target(Owner::Controller), Err(KeyVaultError::Host(_))), "{url}");
            assert_eq!(key.target(Owner::Tenant).unwrap().scope(), scope, "{url}");
        }
    }

    #[test]
    fn what_would_be_another_request_is_refused() {
        for url in [
            "",
            "http://my.vault.azure.net",
            "ftp://my.vault.azure.net",
            "https://u:p@my.vault.azure.net",
            "https://my.vault.azure.net/secrets/x",
            "https://my.vault.azure.net/?a=b",
            "https://evil.example/#.vault.azure.net",
            "https://169.254.169.254/",
            "https://[::1]/",
            "https://localhost",
        ] {
            for owner in [Owner::Controller, Owner::Tenant] {
                assert!(matches!(key(url).target(owner), Err(KeyVaultError::Url(_))), "{url}");
            }
        }
        for name in ["", "..", "a/b"] {
            let key = Key { name: name.into(), ..key("https://my.vault.azure.net") };
            assert!(matches!(key.target(Owner::Tenant), Err(KeyVaultError::Name(_))), "{name}");
        }
        let key = Key { name: "a?b#c".into(), version: "%2e".into(), ..key("https://my.vault.azure.net") };
        let url = key.target(Owner::Tenant).unwrap().key_url();
        assert_eq!(url, "https://my.vault.azure.net/keys/a%3Fb%23c/%252e");
    }
}
