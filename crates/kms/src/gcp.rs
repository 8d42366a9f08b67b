//! Google Cloud KMS, over its REST API.

use auth::gcp::{GcpError, ServiceAccountKey};
use auth::{AccessToken, HttpError, segment};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secret::Secret;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::{DataKey, KeyServices};

/// What tokens for a service account of a Secret are for.
const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/cloudkms"];
const PUBLIC_URL: &str = "https://cloudkms.googleapis.com";
/// SOPS' variable for clouds with another host: a URL, or a host with or without a port.
const ENDPOINT_VARIABLE: &str = "SOPS_GCP_KMS_ENDPOINT";

/// A wrapped key, as a document has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `projects/…/locations/…/keyRings/…/cryptoKeys/…`
    pub resource_id: String,
    /// The wrapped key, in base64.
    pub encrypted: String,
}

/// Why a key is not unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum GcpKmsError {
    /// Not the name of a key.
    #[error("cannot create GCP KMS service: no valid resource ID found in {0:?}")]
    ResourceId(String),
    /// The wrapped key is none.
    #[error("error base64-decoding encrypted data key")]
    Encoding,
    /// The variable of the process is no host.
    #[error("cannot create GCP KMS service: {ENDPOINT_VARIABLE} is not a URL of http(s)")]
    Endpoint,
    /// The service refuses.
    #[error("failed to decrypt sops data key with GCP KMS key: {0}")]
    Decrypt(#[source] HttpError),
}

impl Key {
    /// The name as a path: each of its parts stays one.
    fn path(&self) -> Result<String, GcpKmsError> {
        let parts: Vec<&str> = self.resource_id.split('/').collect();
        let named = |part: &&str| !matches!(*part, "" | "." | "..");
        match parts[..] {
            ["projects", _, "locations", _, "keyRings", _, "cryptoKeys", _] if parts.iter().all(named) => {}
            _ => return Err(GcpKmsError::ResourceId(self.resource_id.clone())),
        }
        Ok(parts.iter().map(|part| segment(part).to_string()).collect::<Vec<_>>().join("/"))
    }
}

impl KeyServices {
    /// A token for a service account whose key a Secret holds. The Secret names the server that gives it, too.
    ///
    /// # Errors
    /// When the server gives none.
    pub async fn gcp_token(&self, account: &ServiceAccountKey) -> Result<AccessToken, GcpError> {
        account.token(&SCOPES, &self.tenants).await
    }

    /// Unwraps a key with an access token.
    ///
    /// # Errors
    /// When the key or the service does not allow it.
    pub async fn gcp_kms(&self, key: &Key, token: &Secret) -> Result<DataKey, GcpKmsError> {
        #[derive(Deserialize)]
        struct Answer {
            plaintext: Secret,
        }
        let path = key.path()?;
        let ciphertext = STANDARD.decode(&key.encrypted).map_err(|_| GcpKmsError::Encoding)?;
        let body = json!({"ciphertext": STANDARD.encode(ciphertext)});
        let url = format!("{}/v1/{path}:decrypt", self.gcp_endpoint()?);
        let request = self.clouds.post(url).bearer_auth(token.expose()).json(&body);
        let answer = self.clouds.json::<Answer>(request).await.map_err(GcpKmsError::Decrypt)?;
        let malformed = || GcpKmsError::Decrypt(HttpError::Malformed("plaintext".to_owned()));
        DataKey::decode(&STANDARD, answer.plaintext.expose()).ok_or_else(malformed)
    }

    fn gcp_endpoint(&self) -> Result<String, GcpKmsError> {
        let named = self.environment.get(ENDPOINT_VARIABLE).unwrap_or(PUBLIC_URL);
        let url = if named.contains("://") { named.to_owned() } else { format!("https://{named}") };
        let valid = Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if valid { Ok(url.trim_end_matches('/').to_owned()) } else { Err(GcpKmsError::Endpoint) }
    }
}
