//! Service accounts of Google that prove themselves with a key.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{Answer, GcpError, kind, read};
use crate::http::form;
use crate::jwt::{Algorithm, SigningKey};
use crate::{AccessToken, Http, Secret};

const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion is good, seconds.
const ASSERTION_LIFETIME_SECONDS: u64 = 3600;

/// A service account and its key.
#[derive(Debug)]
pub struct ServiceAccountKey {
    email: String,
    key_id: Option<String>,
    key: SigningKey,
    token_url: Url,
}

#[derive(Deserialize)]
struct File {
    client_email: String,
    private_key: Secret,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

impl ServiceAccountKey {
    /// Reads the JSON file of a key.
    ///
    /// # Errors
    /// For other kinds of credentials, which could make this process read files and ask hosts of its own.
    pub fn parse(json: &str) -> Result<ServiceAccountKey, GcpError> {
        match kind(json)?.as_str() {
            "service_account" => {}
            other => return Err(GcpError::Kind(other.to_owned())),
        }
        let file: File = read(json)?;
        let url = file.token_uri.as_deref().filter(|url| !url.is_empty()).unwrap_or(TOKEN_URL);
        let token_url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        Ok(ServiceAccountKey {
            email: file.client_email,
            key_id: file.private_key_id,
            key: SigningKey::from_pem(file.private_key.expose())?,
            token_url: token_url.ok_or_else(|| GcpError::Credentials("token_uri".to_owned()))?,
        })
    }

    /// A token for `scopes`.
    ///
    /// # Errors
    /// When the server gives none.
    pub async fn token(&self, scopes: &[&str], http: &Http) -> Result<AccessToken, GcpError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = json!({
            "iss": self.email,
            "scope": scopes.join(" "),
            "aud": self.token_url.as_str(),
            "iat": now,
            "exp": now + ASSERTION_LIFETIME_SECONDS,
        });
        let header = self.key_id.as_ref().map_or_else(|| json!({}), |id| json!({"kid": id}));
        let assertion = self.key.sign(Algorithm::Rs256, header, &claims)?;
        let fields = [("grant_type", GRANT_TYPE), ("assertion", assertion.expose())];
        let request = http.submit(self.token_url.clone(), form(fields));
        http.json::<Answer>(request).await.map(Answer::token).map_err(GcpError::Token)
    }
}
