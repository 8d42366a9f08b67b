//! How service accounts log in: where each server wants them to, and as whom.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secret::Secret;
use serde::Deserialize;

use crate::FieldsError;
use crate::fields::Fields;

/// Where to log in at which server: what the operator's ConfigMap says, which names all servers that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPaths {
    config_map: String,
    by_address: BTreeMap<String, String>,
}

/// A server has no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginPathsError {
    /// The ConfigMap is not understood.
    #[error("failed to parse 'config.yaml' in Vault ConfigMap '{config_map}': {source}")]
    Parse {
        /// `<namespace>/<name>`
        config_map: String,
        /// Why not.
        source: FieldsError,
    },
    /// It does not name the server.
    #[error("no Vault login path configured for address '{address}' in ConfigMap '{config_map}'")]
    Unlisted {
        /// Address of the server.
        address: String,
        /// `<namespace>/<name>`
        config_map: String,
    },
}

/// A token does not say whose it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// Not a JSON Web Token.
    #[error("failed to derive Vault role for authentication: not a JWT")]
    NotJwt,
    /// Not of a service account.
    #[error("failed to derive Vault role for authentication: unexpected token subject '{0}'")]
    Subject(String),
}

impl LoginPaths {
    /// Reads `config.yaml` of the ConfigMap with that name: `instances: [{address, loginPath}]`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(config_map: &str, config: &str) -> Result<LoginPaths, LoginPathsError> {
        let read = || -> Result<BTreeMap<String, String>, FieldsError> {
            let mut by_address = BTreeMap::new();
            for instance in Fields::parse(config)?.list("instances")? {
                let address = instance.text("address")?.unwrap_or_default();
                by_address.insert(address, instance.text("loginPath")?.unwrap_or_default());
            }
            Ok(by_address)
        };
        let config_map = config_map.to_owned();
        match read() {
            Ok(by_address) => Ok(LoginPaths { config_map, by_address }),
            Err(source) => Err(LoginPathsError::Parse { config_map, source }),
        }
    }

    /// The path for a server, whose address has to be written as in the ConfigMap.
    ///
    /// # Errors
    /// When the server is not listed.
    pub fn path(&self, address: &str) -> Result<&str, LoginPathsError> {
        let path = self.by_address.get(address).map(String::as_str).filter(|path| !path.is_empty());
        path.ok_or_else(|| LoginPathsError::Unlisted {
            address: address.to_owned(),
            config_map: self.config_map.clone(),
        })
    }
}

/// The role of whose token this is: `<namespace>_<name>` of the service account.
///
/// # Errors
/// When it is no token of a service account.
pub fn role_of_token(token: &Secret) -> Result<String, RoleError> {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }
    let read = || {
        let [_, payload, _] = token.expose().split('.').collect::<Vec<_>>()[..] else { return None };
        serde_json::from_slice::<Claims>(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    };
    let subject = read().ok_or(RoleError::NotJwt)?.sub;
    let account = subject.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(format!("{namespace}_{name}"))
        }
        _ => Err(RoleError::Subject(subject)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_not_listed_are_refused_by_name() {
        let config = "instances:\n- address: https://vault:8200\n  loginPath: auth/kubernetes/login\n- address: https://empty\n";
        let paths = LoginPaths::parse("flux-system/vaults", config).unwrap();
        assert_eq!(paths.path("https://vault:8200").unwrap(), "auth/kubernetes/login");
        for address in ["https://vault:8200/", "https://evil", "https://empty", ""] {
            assert_eq!(
                paths.path(address).unwrap_err().to_string(),
                format!(
                    "no Vault login path configured for address '{address}' in ConfigMap 'flux-system/vaults'"
                )
            );
        }
        for config in ["- a", "instances: a", "instances: [a]", "instances: [{address: [1]}]", "a: ["] {
            let error = LoginPaths::parse("a/b", config).unwrap_err().to_string();
            assert!(error.starts_with("failed to parse 'config.yaml' in Vault ConfigMap 'a/b': "), "{error}");
        }
        assert!(LoginPaths::parse("a/b", "").unwrap().path("x").is_err());
    }

    #[test]
    fn the_role_is_that_of_the_service_account() {
        let role = |payload: &str| {
            let token = Secret::new(format!("e30.{}.s", URL_SAFE_NO_PAD.encode(payload)));
            role_of_token(&token).map_err(|error| error.to_string())
        };
        assert_eq!(role(r#"{"sub": "system:serviceaccount:apps:me"}"#).unwrap(), "apps_me");
        let prefix = "failed to derive Vault role for authentication: ";
        for (payload, text) in [
            ("no JSON", "not a JWT"),
            (r#"{"sub": "admin"}"#, "unexpected token subject 'admin'"),
            (r#"{"sub": "system:serviceaccount:a"}"#, "unexpected token subject 'system:serviceaccount:a'"),
        ] {
            assert_eq!(role(payload).unwrap_err(), format!("{prefix}{text}"));
        }
        assert_eq!(role_of_token(&Secret::new("a.b")), Err(RoleError::NotJwt));
    }
}
