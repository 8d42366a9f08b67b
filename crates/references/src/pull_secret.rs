//! Pull secrets: credentials of registries, as Docker and Kubernetes write them.
//!
//! The rules are those of the kubelet's keyring, which Flux copied. What no entry matches has no credentials: Flux would go on
//! with an identity of the controller itself, which a tenant must not borrow.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use glob::Glob;
use k8s_openapi::api::core::v1;
use kube::ResourceExt;
use secret::Secret;
use serde::Deserialize;

/// Entries of all Secrets of one object.
const MAX_PULL_ENTRIES: usize = 10_000;

/// Base64 with its padding, or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Type and key of the Secrets that `kubectl create secret docker-registry` writes.
const DOCKER_CONFIG_JSON: (&str, &str) = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson");
/// The same of Docker's older format.
const DOCKER_CFG: (&str, &str) = ("kubernetes.io/dockercfg", ".dockercfg");

/// What lets a pull in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullCredentials {
    /// A user and a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that is exchanged for others.
    IdentityToken(Secret),
    /// A token that is sent as it is.
    RegistryToken(Secret),
}

/// What is wrong with a pull secret. Values are never shown.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PullSecretError {
    /// The value is not JSON, or of another shape.
    #[error("secret '{secret}': key '{key}' is no Docker configuration: line {line}, column {column}")]
    Config {
        /// `<namespace>/<name>`.
        secret: String,
        /// The key.
        key: &'static str,
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// `auth` is not `<user>:<password>` in Base64.
    #[error("secret '{secret}': 'auth' of registry '{registry}' is not a user and a password in Base64")]
    Auth {
        /// `<namespace>/<name>`.
        secret: String,
        /// The key of the entry.
        registry: String,
    },
    /// More than anybody needs.
    #[error("pull secrets have more than the limit of {MAX_PULL_ENTRIES} entries")]
    Entries,
}

/// The entries of pull secrets.
#[derive(Debug, Default)]
pub struct PullSecrets {
    /// Those with the longest path first.
    entries: BTreeMap<Reverse<String>, PullCredentials>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: Secret,
    #[serde(default)]
    auth: Secret,
    #[serde(default, rename = "identitytoken")]
    identity_token: Secret,
    #[serde(default, rename = "registrytoken")]
    registry_token: Secret,
}

impl PullSecrets {
    /// The entries of Secrets, of which the first wins where several have one key. Secrets of other types count as empty.
    ///
    /// # Errors
    /// For what is no Docker configuration.
    pub fn of(secrets: &[v1::Secret]) -> Result<PullSecrets, PullSecretError> {
        let mut pulls = PullSecrets::default();
        for secret in secrets {
            let name = format!("{}/{}", secret.namespace().unwrap_or_default(), secret.name_any());
            for (registry, auth) in auths(secret, &name)? {
                let credentials = auth.credentials(&name, &registry)?;
                pulls.entries.entry(Reverse(normalised(&registry))).or_insert(credentials);
                if pulls.entries.len() > MAX_PULL_ENTRIES {
                    return Err(PullSecretError::Entries);
                }
            }
        }
        Ok(pulls)
    }

    /// What lets into the repository of a registry, such as `library/alpine` of `index.docker.io`. Only the first entry that
    /// matches counts.
    pub fn find(&self, host: &str, repository: &str) -> Option<PullCredentials> {
        let matching = self.entries.iter().find(|(Reverse(key), _)| matches(key, host, repository));
        matching.map(|(_, credentials)| credentials.clone())
    }
}

fn auths(secret: &v1::Secret, name: &str) -> Result<BTreeMap<String, Auth>, PullSecretError> {
    let (key, is_old) = match secret.type_.as_deref() {
        Some(kind) if kind == DOCKER_CONFIG_JSON.0 => (DOCKER_CONFIG_JSON.1, false),
        Some(kind) if kind == DOCKER_CFG.0 => (DOCKER_CFG.1, true),
        _ => return Ok(BTreeMap::new()),
    };
    let Some(value) = secret.data.as_ref().and_then(|data| data.get(key)) else { return Ok(BTreeMap::new()) };
    let read = if is_old {
        serde_json::from_slice(&value.0)
    } else {
        serde_json::from_slice(&value.0).map(|config: Config| config.auths)
    };
    // Not the error's own text, which may quote the value.
    read.map_err(|error| PullSecretError::Config {
        secret: name.to_owned(),
        key,
        line: error.line(),
        column: error.column(),
    })
}

impl Auth {
    fn credentials(self, secret: &str, registry: &str) -> Result<PullCredentials, PullSecretError> {
        if !self.registry_token.is_empty() {
            return Ok(PullCredentials::RegistryToken(self.registry_token));
        }
        if !self.identity_token.is_empty() {
            return Ok(PullCredentials::IdentityToken(self.identity_token));
        }
        if self.auth.is_empty() {
            return Ok(PullCredentials::Basic { username: self.username, password: self.password });
        }
        let pair = BASE64.decode(self.auth.expose()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        // Some tools end the text with NULs.
        let pair = pair.as_deref().map(|pair| pair.trim_end_matches('\0'));
        let (username, password) = pair.and_then(|pair| pair.split_once(':')).ok_or_else(|| {
            PullSecretError::Auth { secret: secret.to_owned(), registry: registry.to_owned() }
        })?;
        Ok(PullCredentials::Basic { username: username.to_owned(), password: Secret::new(password) })
    }
}

/// Host, port and path of a key, without its scheme and the version of Docker's API.
fn normalised(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let slash = key.find('/').unwrap_or(key.len());
    let (host, path) = key.split_at_checked(slash).unwrap_or((key, ""));
    let path = match path.strip_prefix("/v1").or_else(|| path.strip_prefix("/v2")) {
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    };
    format!("{host}{}", if path == "/" { "" } else { path })
}

/// Whether the key of an entry is that of a repository: hosts label by label with globs, ports as they are, and the path as the
/// beginning of the repository's name.
fn matches(key: &str, host: &str, repository: &str) -> bool {
    let (key_host, key_path) = key.split_once('/').unwrap_or((key, ""));
    let (key_host, key_port) = key_host.split_once(':').unwrap_or((key_host, ""));
    let (host, port) = host.split_once(':').unwrap_or((host, ""));
    let (patterns, labels): (Vec<_>, Vec<_>) = (key_host.split('.').collect(), host.split('.').collect());
    key_port == port
        && patterns.len() == labels.len()
        && patterns.iter().zip(&labels).all(|(pattern, label)| {
            Glob::parse(pattern.as_bytes()).is_some_and(|pattern| pattern.matches(label.as_bytes()))
        })
        && repository.starts_with(key_path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::ByteString;
    use serde_json::{Value, json};

    use super::*;

    fn secret(kind: &str, key: &str, config: &Value) -> v1::Secret {
        let value = ByteString(config.to_string().into_bytes());
        let mut secret = v1::Secret {
            type_: Some(kind.to_owned()),
            data: Some([(key.to_owned(), value)].into()),
            ..v1::Secret::default()
        };
        (secret.metadata.namespace, secret.metadata.name) = (Some("ns".into()), Some("pull".into()));
        secret
    }

    fn config(auths: Value) -> v1::Secret {
        secret(DOCKER_CONFIG_JSON.0, DOCKER_CONFIG_JSON.1, &json!({ "auths": auths }))
    }

    fn basic(username: &str) -> Option<PullCredentials> {
        Some(PullCredentials::Basic { username: username.to_owned(), password: Secret::new("p") })
    }

    /// The user that is found for a repository; each entry has its key as user.
    fn found(keys: &[&str], host: &str, repository: &str) -> Option<String> {
        let auths: serde_json::Map<_, _> =
            keys.iter().map(|key| ((*key).to_owned(), json!({"username": key, "password": "p"}))).collect();
        match PullSecrets::of(&[config(auths.into())]).unwrap().find(host, repository)? {
            PullCredentials::Basic { username, .. } => Some(username),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_entry_matches_by_host_port_and_the_beginning_of_the_path() {
        for (keys, host, repository, expected) in [
            (&["r.example.com"][..], "r.example.com", "team/app", Some("r.example.com")),
            (&["https://r.example.com"], "r.example.com", "team/app", Some("https://r.example.com")),
            (&["http://r.example.com/v1/"], "r.example.com", "team/app", Some("http://r.example.com/v1/")),
            (&["https://r.example.com/v2"], "r.example.com", "team/app", None),
            (
                &["https://r.example.com/v2/team"],
                "r.example.com",
                "team/app",
                Some("https://r.example.com/v2/team"),
            ),
            (&["*.example.com"], "r.example.com", "team/app", Some("*.example.com")),
            (&["*.example.com"], "a.b.example.com", "team/app", None),
            (&["*.example.com"], "example.com", "team/app", None),
            (&["r?.example.com"], "r1.example.com", "team/app", Some("r?.example.com")),
            (&["[.example.com"], "r.example.com", "team/app", None),
            (&["r.example.com:5000"], "r.example.com:5000", "team/app", Some("r.example.com:5000")),
            (&["r.example.com:5000"], "r.example.com", "team/app", None),
            (&["r.example.com"], "r.example.com:5000", "team/app", None),
            (&["r.example.com/team"], "r.example.com", "team/app", Some("r.example.com/team")),
            (&["r.example.com/team"], "r.example.com", "teams/app", Some("r.example.com/team")),
            (&["r.example.com/team"], "r.example.com", "other/app", None),
            (
                &["r.example.com", "r.example.com/team"],
                "r.example.com",
                "team/app",
                Some("r.example.com/team"),
            ),
            (
                &["https://index.docker.io/v1/"],
                "index.docker.io",
                "library/alpine",
                Some("https://index.docker.io/v1/"),
            ),
            (&["docker.io"], "index.docker.io", "library/alpine", None),
            (&[], "r.example.com", "team/app", None),
        ] {
            assert_eq!(found(keys, host, repository).as_deref(), expected, "{keys:?} {host}/{repository}");
        }
    }

    #[test]
    fn an_entry_has_a_user_or_a_token() {
        let entry =
            |auth: Value| PullSecrets::of(&[config(json!({ "h": auth }))]).map(|pulls| pulls.find("h", "r"));
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let padded = encode("u:p");
        assert!(!padded.ends_with('=') && encode("us:p").contains('='));
        assert_eq!(entry(json!({"username": "u", "password": "p"})), Ok(basic("u")));
        assert_eq!(entry(json!({"username": "x", "password": "x", "auth": padded})), Ok(basic("u")));
        assert_eq!(entry(json!({"auth": encode("us:p")})), Ok(basic("us")));
        assert_eq!(entry(json!({"auth": encode("us:p").trim_end_matches('=')})), Ok(basic("us")));
        let token = || Secret::new("t");
        let identity = json!({"auth": padded, "identitytoken": "t"});
        assert_eq!(entry(identity), Ok(Some(PullCredentials::IdentityToken(token()))));
        assert_eq!(entry(json!({"registrytoken": "t"})), Ok(Some(PullCredentials::RegistryToken(token()))));
        for auth in [encode("no colon"), "*".to_owned()] {
            let error = entry(json!({ "auth": auth })).unwrap_err().to_string();
            let text = "secret 'ns/pull': 'auth' of registry 'h' is not a user and a password in Base64";
            assert_eq!(error, text);
        }
    }

    #[test]
    fn the_type_of_a_secret_says_how_it_is_read() {
        let old = secret(DOCKER_CFG.0, DOCKER_CFG.1, &json!({"h": {"username": "old", "password": "p"}}));
        assert_eq!(PullSecrets::of(&[old]).unwrap().find("h", "r"), basic("old"));
        let opaque = secret("Opaque", DOCKER_CONFIG_JSON.1, &json!({"auths": {"h": {"username": "u"}}}));
        assert_eq!(PullSecrets::of(&[opaque]).unwrap().find("h", "r"), None);
        let broken = secret(DOCKER_CONFIG_JSON.0, DOCKER_CONFIG_JSON.1, &json!("s3cret"));
        let error = PullSecrets::of(&[broken]).unwrap_err().to_string();
        assert!(
            error.starts_with("secret 'ns/pull': key '.dockerconfigjson' is no Docker configuration: line 1")
        );
        assert!(!error.contains("s3cret"), "{error}");
        let first = config(json!({"https://h": {"username": "first", "password": "p"}}));
        let second = config(json!({"h": {"username": "second", "password": "p"}}));
        assert_eq!(PullSecrets::of(&[first, second]).unwrap().find("h", "r"), basic("first"));
        let many: serde_json::Map<_, _> =
            (0..=MAX_PULL_ENTRIES).map(|n| (format!("h{n}"), json!({}))).collect();
        assert_eq!(PullSecrets::of(&[config(many.into())]).unwrap_err(), PullSecretError::Entries);
    }
}
