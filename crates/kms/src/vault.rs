//! The transit engine of Vault and OpenBao.

mod login;

use auth::{Environment, FileError, HttpError};
use base64::engine::general_purpose::STANDARD;
use net::{TlsConfig, redact};
use reqwest::RequestBuilder;
use secret::Secret;
use serde::Deserialize;
use serde_json::json;
use url::Url;

pub use login::{LoginPaths, LoginPathsError, RoleError, role_of_token};

use crate::{DataKey, KeyServices};

/// The annotation of a service account with the path at which it logs in, in place of [`LoginPaths`].
pub const LOGIN_PATH_ANNOTATION: &str = "transit-engine.auth.fluxcd.io/login-path";
/// The annotation of a service account with the role as which it logs in, in place of [`role_of_token`].
pub const ROLE_ANNOTATION: &str = "transit-engine.auth.fluxcd.io/role";
/// SOPS' variable for the servers that may be asked: `all`, `none`, or beginnings of addresses with commas between.
const ALLOWLIST_VARIABLE: &str = "SOPS_HC_VAULT_ALLOWLIST";

/// A wrapped key, as a document has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where the server is.
    pub address: String,
    /// Where the transit engine is mounted.
    pub engine_path: String,
    /// The name of the key that wrapped it.
    pub key_name: String,
    /// The wrapped key, as the server wrote it.
    pub encrypted: String,
}

/// Why a key is not unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Not the address of a server. User, password and query of it are not shown.
    #[error("invalid Vault address '{0}': it must be a URL of http(s) without user, password and query")]
    Address(String),
    /// The operator does not allow the server.
    #[error("{ALLOWLIST_VARIABLE} does not allow Vault '{0}'")]
    NotAllowed(String),
    /// What would be another request.
    #[error("invalid Vault path '{0}'")]
    Path(String),
    /// The server gives no token.
    #[error(
        "failed to authenticate with Vault '{address}' at login path '{path}' as role '{role}': {source}"
    )]
    Login {
        /// Address of the server.
        address: String,
        /// Where it was asked.
        path: String,
        /// As whom.
        role: String,
        /// What it says.
        source: HttpError,
    },
    /// The server says yes, and gives no token.
    #[error("Vault '{address}' returned no token for login at '{path}' as role '{role}'")]
    NoToken {
        /// Address of the server.
        address: String,
        /// Where it was asked.
        path: String,
        /// As whom.
        role: String,
    },
    /// The process has no token for this server.
    #[error("no Vault token for '{0}': VAULT_TOKEN is used for the server of VAULT_ADDR alone")]
    NoTokenFor(String),
    /// The server refuses.
    #[error("failed to decrypt sops data key from Vault transit backend '{path}': {source}")]
    Decrypt {
        /// The path of the request.
        path: String,
        /// What the server says.
        source: HttpError,
    },
}

/// Whom connections to Vaults trust beside the system's authorities: who signed what `VAULT_CACERT_BYTES` holds, or the file that
/// `VAULT_CACERT` names.
///
/// # Errors
/// When the file cannot be read.
pub async fn tls(environment: &Environment) -> Result<TlsConfig, FileError> {
    let given = environment.get("VAULT_CACERT_BYTES").map(str::to_owned);
    let pem = match given {
        Some(pem) => Some(pem),
        None => environment.file("VAULT_CACERT").await?,
    };
    Ok(TlsConfig { ca_bundle: pem.map(String::into_bytes), client: None })
}

impl KeyServices {
    /// Unwraps a key with a token.
    ///
    /// # Errors
    /// When the key or the server does not allow it.
    pub async fn vault(&self, key: &Key, token: &Secret) -> Result<DataKey, VaultError> {
        #[derive(Deserialize)]
        struct Answer {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            plaintext: Secret,
        }
        let engine = key.engine_path.trim_matches('/');
        let path = format!("{engine}/decrypt/{}", key.key_name);
        let request = self.vault_request(&key.address, engine, &["decrypt", &key.key_name])?;
        let request = request.header("X-Vault-Token", token.expose());
        let answer = self.tenants.json::<Answer>(request.json(&json!({"ciphertext": key.encrypted}))).await;
        let refused = |source| VaultError::Decrypt { path: path.clone(), source };
        let plaintext = answer.map_err(refused)?.data.plaintext;
        let malformed = || refused(HttpError::Malformed("plaintext".to_owned()));
        DataKey::decode(&STANDARD, plaintext.expose()).ok_or_else(malformed)
    }

    /// A token of the server at `address` for who has `jwt`, a token of a service account. The caller knows that the token is
    /// for this server: it is made for its address.
    ///
    /// # Errors
    /// When the server gives none.
    pub async fn vault_login(
        &self,
        address: &str,
        path: &str,
        role: &str,
        jwt: &Secret,
    ) -> Result<Secret, VaultError> {
        #[derive(Deserialize)]
        struct Answer {
            auth: Option<Auth>,
        }
        #[derive(Deserialize)]
        struct Auth {
            client_token: Secret,
        }
        let body = json!({"role": role, "jwt": jwt.expose()});
        let request = self.vault_request(address, path.trim_matches('/'), &[])?.json(&body);
        let [address, path, role] = [address, path, role].map(str::to_owned);
        match self.tenants.json::<Answer>(request).await {
            Ok(Answer { auth: Some(Auth { client_token }) }) if !client_token.is_empty() => Ok(client_token),
            Ok(_) => Err(VaultError::NoToken { address, path, role }),
            Err(source) => Err(VaultError::Login { address, path, role, source }),
        }
    }

    /// The token of this process, `VAULT_TOKEN`, which goes to no other server than that of `VAULT_ADDR`.
    ///
    /// # Errors
    /// For other servers.
    pub fn vault_token(&self, address: &str) -> Result<Secret, VaultError> {
        let origin = server(address)?.origin();
        let own = self.environment.get("VAULT_ADDR").and_then(|own| server(own).ok());
        let token = self.environment.get("VAULT_TOKEN").map(Secret::new);
        let token = token.filter(|_| own.is_some_and(|own| own.origin() == origin));
        token.ok_or_else(|| VaultError::NoTokenFor(redact(address)))
    }

    /// The server at `address`, if the operator allows it.
    fn allowed(&self, address: &str) -> Result<Url, VaultError> {
        let url = server(address)?;
        let slash = |text: &str| format!("{}/", text.trim_end_matches('/'));
        let allowed = match self.environment.get(ALLOWLIST_VARIABLE) {
            None | Some("all") => true,
            Some("none") => false,
            Some(list) => {
                let mut listed = list.split(',').map(str::trim).filter(|listed| !listed.is_empty());
                listed.any(|listed| slash(address).starts_with(&slash(listed)))
            }
        };
        if allowed { Ok(url) } else { Err(VaultError::NotAllowed(redact(address))) }
    }

    /// A request to a path and what is below it: none of its parts becomes another request.
    fn vault_request(&self, address: &str, path: &str, below: &[&str]) -> Result<RequestBuilder, VaultError> {
        let parts: Vec<&str> = path.split('/').chain(below.iter().copied()).collect();
        let invalid = || VaultError::Path(parts.join("/"));
        if parts.iter().any(|part| matches!(*part, "" | "." | "..") || part.contains('/')) {
            return Err(invalid());
        }
        let mut url = self.allowed(address)?;
        url.path_segments_mut().map_err(|()| invalid())?.pop_if_empty().push("v1").extend(&parts);
        let request = self.tenants.post(url).header("X-Vault-Request", "true");
        let namespace = self.environment.get("VAULT_NAMESPACE");
        Ok(namespace.into_iter().fold(request, |request, name| request.header("X-Vault-Namespace", name)))
    }
}

fn server(address: &str) -> Result<Url, VaultError> {
    let url = Url::parse(address).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    url.ok_or_else(|| VaultError::Address(redact(address)))
}
