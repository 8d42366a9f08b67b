//! The identity of an object: a service account of its namespace, and the tokens by which that proves itself to others.
//!
//! Flux 2.10: annotations `credential.auth.fluxcd.io/*` on the service account say how its tokens are made.

use std::path::Path;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use runtime::error::chain;
use secret::Secret;
use serde::Deserialize;

use crate::{GetError, get};

/// Who makes the token: `kubernetes` is the API server.
const PROVIDER: &str = "credential.auth.fluxcd.io/provider";
/// What kind of token it is: `jwt`.
const TYPE: &str = "credential.auth.fluxcd.io/type";
/// Whom the token is for, in place of the default.
const AUDIENCES: &str = "credential.auth.fluxcd.io/audiences";
/// How long the token is good for, a Go duration.
const EXPIRATION: &str = "credential.auth.fluxcd.io/expiration";
/// The user whose password the token is, where a registry asks for one.
const USERNAME: &str = "credential.auth.fluxcd.io/username";
/// The controller's own token. What it is good for, a token of an object must not be.
const OWN_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Why an object has no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is no such service account, or it cannot be read.
    #[error("failed to get service account '{name}': {source}")]
    Get {
        /// `<namespace>/<name>`
        name: String,
        /// What the API server says.
        source: GetError,
    },
    /// Its annotations do not go together.
    #[error("failed to validate configuration: {0}")]
    Configuration(String),
    /// The controller's own token cannot be read.
    #[error("failed to load controller token: {0}")]
    OwnToken(String),
    /// A token that would let its holder into this cluster.
    #[error("audience '{0}' is not allowed as it is intended for the local kubernetes cluster")]
    LocalAudience(String),
    /// The API server makes none.
    #[error("failed to create kubernetes token for service account '{name}': {}", chain(source))]
    Request {
        /// `<namespace>/<name>`
        name: String,
        /// What the API server says.
        source: kube::Error,
    },
}

impl IdentityError {
    /// Whether the API server says that there is no such service account.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Get { source, .. } => source.is_not_found(),
            Self::Request { source: kube::Error::Api(status), .. } => status.code == 404,
            _ => false,
        }
    }
}

/// A service account that is the identity of an object.
#[derive(Clone, Debug)]
pub struct ObjectIdentity {
    account: ServiceAccount,
    audiences: Vec<String>,
    expiration_seconds: Option<i64>,
}

impl ObjectIdentity {
    /// The service account `name` of `namespace`.
    ///
    /// # Errors
    /// When it cannot be read, and when its annotations say what cannot be.
    pub async fn get(client: &Client, namespace: &str, name: &str) -> Result<ObjectIdentity, IdentityError> {
        let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let account = get(&api, name).await;
        let full_name = || format!("{namespace}/{name}");
        Self::of(account.map_err(|source| IdentityError::Get { name: full_name(), source })?)
    }

    /// The service account that this process runs as.
    ///
    /// # Errors
    /// When the token that says so cannot be read, and as [`Self::get`].
    pub async fn of_controller(client: &Client) -> Result<ObjectIdentity, IdentityError> {
        let subject = match own_claims(Path::new(OWN_TOKEN)).await? {
            Some(claims) => claims.sub,
            None => return Err(IdentityError::OwnToken(format!("there is no {OWN_TOKEN}"))),
        };
        let account = subject.strip_prefix("system:serviceaccount:").and_then(|name| name.split_once(':'));
        let Some((namespace, name)) = account else {
            return Err(IdentityError::OwnToken(format!("'{subject}' is no service account")));
        };
        Self::get(client, namespace, name).await
    }

    fn of(account: ServiceAccount) -> Result<ObjectIdentity, IdentityError> {
        let invalid = |why: String| Err(IdentityError::Configuration(why));
        let annotation = |key: &str| account.annotations().get(key).map(String::as_str);
        match (annotation(PROVIDER), annotation(TYPE)) {
            (None, None) | (Some("kubernetes"), Some("jwt")) => {}
            (Some("spiffe"), Some("jwt")) => {
                return invalid("SPIFFE Broker client is required for the SPIFFE credential provider".into());
            }
            (Some("spiffe"), Some("x509")) => {
                return invalid(
                    "credential type 'x509' for the spiffe credential provider is not implemented yet".into(),
                );
            }
            (Some("kubernetes" | "spiffe"), Some(kind)) => {
                return invalid(format!("credential type '{kind}' is not supported"));
            }
            (Some(provider), Some(_)) => {
                return invalid(format!("credential provider '{provider}' is not supported"));
            }
            (Some(_), None) | (None, Some(_)) => {
                return invalid(format!("the annotations {PROVIDER} and {TYPE} must be set together"));
            }
        }
        let audiences = audiences(annotation(AUDIENCES).unwrap_or_default());
        let expiration_seconds = match annotation(EXPIRATION) {
            None => None,
            Some(text) => match runtime::flags::duration(text) {
                Ok(duration) => Some(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)),
                Err(error) => return invalid(format!("invalid {EXPIRATION} annotation: '{text}': {error}")),
            },
        };
        Ok(ObjectIdentity { account, audiences, expiration_seconds })
    }

    /// The service account.
    pub fn account(&self) -> &ServiceAccount {
        &self.account
    }

    /// `<namespace>/<name>`, for messages.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.account.namespace().unwrap_or_default(), self.account.name_any())
    }

    /// What tokens of this identity depend on, beside the account itself: for keys of caches.
    pub fn cache_key(&self) -> String {
        format!("{} {:?} {:?}", self.full_name(), self.audiences, self.expiration_seconds)
    }

    /// Whether its own tokens are credentials, with servers that no cloud gives any for.
    pub fn is_opted_in(&self) -> bool {
        self.account.annotations().contains_key(PROVIDER)
    }

    /// The user whose password its tokens are for a registry; without one they are sent as they are.
    pub fn username(&self) -> Option<&str> {
        self.account.annotations().get(USERNAME).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Whom its tokens are for, if its annotations or a caller say so.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The same identity with tokens for `audiences`.
    pub fn for_audiences(self, audiences: Vec<String>) -> ObjectIdentity {
        ObjectIdentity { audiences, ..self }
    }

    /// A token for the audiences of the identity, else for `audience`.
    ///
    /// # Errors
    /// When an audience is one of this cluster's own, and when the API server makes no token.
    pub async fn token(&self, client: &Client, audience: &str) -> Result<Secret, IdentityError> {
        Ok(self.token_until(client, audience).await?.0)
    }

    /// The same, and the time at which it ends.
    ///
    /// # Errors
    /// As [`Self::token`].
    pub async fn token_until(
        &self,
        client: &Client,
        audience: &str,
    ) -> Result<(Secret, SystemTime), IdentityError> {
        let audiences = match &self.audiences[..] {
            [] => vec![audience.to_owned()],
            audiences => audiences.to_vec(),
        };
        let local = local_audiences(Path::new(OWN_TOKEN)).await?;
        if let Some(audience) = audiences.iter().find(|audience| local.contains(audience)) {
            return Err(IdentityError::LocalAudience(audience.clone()));
        }
        let spec =
            TokenRequestSpec { audiences, expiration_seconds: self.expiration_seconds, ..<_>::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let namespace = self.account.namespace().unwrap_or_default();
        let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
        let answer =
            api.create_token_request(&self.account.name_any(), &PostParams::default(), &request).await;
        let answer = answer.map_err(|source| IdentityError::Request { name: self.full_name(), source })?;
        let status = answer.status;
        let expires = status.as_ref().map_or(SystemTime::UNIX_EPOCH, |s| s.expiration_timestamp.0.into());
        Ok((Secret::new(status.map(|status| status.token).unwrap_or_default()), expires))
    }
}

/// The audiences of a text: names with commas, blanks or line breaks between them.
pub fn audiences(text: &str) -> Vec<String> {
    let names = text.split([',', ' ', '\t', '\r', '\n']).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// What a JSON Web Token says of itself.
#[derive(Deserialize)]
struct Claims {
    aud: Audience,
    #[serde(default)]
    sub: String,
}

/// Whom a JSON Web Token is for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The audiences of the controller's own token at `path`; none outside of a cluster, where there is no such file.
async fn local_audiences(path: &Path) -> Result<Vec<String>, IdentityError> {
    Ok(match own_claims(path).await?.map(|claims| claims.aud) {
        None => Vec::new(),
        Some(Audience::One(audience)) => vec![audience],
        Some(Audience::Several(audiences)) => audiences,
    })
}

/// What the controller's own token at `path` says; `None` if there is no such file.
async fn own_claims(path: &Path) -> Result<Option<Claims>, IdentityError> {
    let token = match tokio::fs::read_to_string(path).await {
        Ok(token) => token,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(IdentityError::OwnToken(error.to_string())),
    };
    let payload = token.trim().split('.').nth(1).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let claims = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    claims.map(Some).ok_or_else(|| IdentityError::OwnToken("it is no JSON Web Token".into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn account(annotations: &[(&str, &str)]) -> ServiceAccount {
        let mut account = ServiceAccount::default();
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        account.metadata.annotations = Some(annotations.collect());
        account
    }

    #[test]
    fn annotations_say_how_tokens_are_made() {
        let identity = ObjectIdentity::of(account(&[
            (PROVIDER, "kubernetes"),
            (TYPE, "jwt"),
            (AUDIENCES, "a, b\nc"),
            (EXPIRATION, "1h"),
        ]))
        .unwrap();
        assert_eq!(identity.audiences, ["a", "b", "c"]);
        assert!(identity.is_opted_in() && identity.username().is_none());
        let other = ObjectIdentity::of(account(&[(USERNAME, "me")])).unwrap();
        assert_eq!((other.is_opted_in(), other.username()), (false, Some("me")));
        assert_eq!(identity.expiration_seconds, Some(3600));
    }

    #[test]
    fn annotations_that_do_not_go_together_are_refused() {
        for (annotations, text) in [
            (&[(PROVIDER, "kubernetes")][..], "must be set together"),
            (&[(TYPE, "jwt")], "must be set together"),
            (&[(PROVIDER, "vault"), (TYPE, "jwt")], "credential provider 'vault' is not supported"),
            (&[(PROVIDER, "kubernetes"), (TYPE, "x509")], "credential type 'x509' is not supported"),
            (
                &[(PROVIDER, "spiffe"), (TYPE, "x509")],
                "credential type 'x509' for the spiffe credential provider is not implemented yet",
            ),
            (&[(PROVIDER, "spiffe"), (TYPE, "jwt")], "SPIFFE Broker client is required"),
            (&[(EXPIRATION, "soon")], "invalid credential.auth.fluxcd.io/expiration annotation: 'soon'"),
        ] {
            let error = ObjectIdentity::of(account(annotations)).unwrap_err().to_string();
            assert!(error.starts_with("failed to validate configuration: "), "{error}");
            assert!(error.contains(text), "{error}");
        }
    }

    #[tokio::test]
    async fn a_token_is_asked_for_as_the_annotations_say() {
        for (annotations, audiences, seconds) in [
            (&[][..], json!(["default"]), Value::Null),
            (&[(AUDIENCES, " ,\n")], json!(["default"]), Value::Null),
            (&[(AUDIENCES, "a,b c\nd, ,\te")], json!(["a", "b", "c", "d", "e"]), Value::Null),
            (&[(EXPIRATION, "1h30m0.5s")], json!(["default"]), json!(5400)),
        ] {
            let (sender, receiver) = std::sync::mpsc::channel();
            let server = tower::service_fn(move |request: http::Request<kube::client::Body>| {
                let sender = sender.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect_bytes().await.unwrap();
                    sender.send((path, serde_json::from_slice::<Value>(&body).unwrap())).unwrap();
                    let answer = r#"{"spec": {"audiences": []}, "status": {"token": "secret", "expirationTimestamp": "2026-01-01T00:00:00Z"}}"#;
                    Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::from(
                        answer.as_bytes().to_vec(),
                    )))
                }
            });
            let client = Client::new(server, "default");
            let mut account = account(annotations);
            account.metadata.name = Some("me".to_owned());
            account.metadata.namespace = Some("ns".to_owned());
            let identity = ObjectIdentity::of(account).unwrap();
            assert_eq!(identity.token(&client, "default").await.unwrap().expose(), "secret");
            let (path, body) = receiver.recv().unwrap();
            assert_eq!(path, "/api/v1/namespaces/ns/serviceaccounts/me/token");
            assert_eq!(body["spec"]["audiences"], audiences, "{annotations:?}");
            assert_eq!(body["spec"].get("expirationSeconds").cloned().unwrap_or_default(), seconds);
        }
    }

    #[tokio::test]
    async fn audiences_of_the_controllers_own_token_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert_eq!(local_audiences(&path).await.unwrap(), [""; 0]);
        for (claims, expected) in [
            (r#"{"aud": "https://kubernetes.default.svc"}"#, vec!["https://kubernetes.default.svc"]),
            (r#"{"aud": ["a", "b"], "exp": 1}"#, vec!["a", "b"]),
        ] {
            std::fs::write(&path, format!("e30.{}.sig\n", URL_SAFE_NO_PAD.encode(claims))).unwrap();
            assert_eq!(local_audiences(&path).await.unwrap(), expected);
        }
        std::fs::write(&path, "no token").unwrap();
        let error = local_audiences(&path).await.unwrap_err().to_string();
        assert!(error.starts_with("failed to load controller token: "), "{error}");
    }
}
