//! What lets a HelmRepository's charts be downloaded.

use std::sync::{Mutex, PoisonError};

use api::HelmRepository;
use helm_repository::{Client, Credentials, Limits};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use net::{ClientError, TlsConfig};
use references::{GetError, SecretData, SecretDataError, Secrets};

/// How many clients are kept.
const CLIENTS: usize = 64;

/// Whom to trust, and who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Whom to trust, and the certificate of who asks.
    pub tls: TlsConfig,
    /// Who asks.
    pub credentials: Option<Credentials>,
}

/// Why the Secrets of a HelmRepository are of no use. The texts are Flux's.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// That of certificates cannot be read.
    #[error("failed to get TLS authentication secret '{0}': {1}")]
    TlsSecret(String, GetError),
    /// It lacks something.
    #[error("failed to construct Helm client's TLS config: {0}")]
    Tls(SecretDataError),
    /// That of credentials cannot be read.
    #[error("failed to get authentication secret '{0}': {1}")]
    Secret(String, GetError),
    /// It has half of what is needed.
    #[error(
        "failed to detect authentication methods: secret '{secret}': malformed basic auth - has '{has}' but missing '{lacks}'"
    )]
    HalfOfPair {
        /// The Secret.
        secret: String,
        /// The key that is there.
        has: &'static str,
        /// The key that is not.
        lacks: &'static str,
    },
}

impl Access {
    /// What the Secrets of a spec say.
    ///
    /// # Errors
    /// When one cannot be read, or lacks something.
    pub async fn of(client: &kube::Client, object: &HelmRepository) -> Result<Self, AccessError> {
        Self::with_secret(client, object).await.map(|(access, _)| access)
    }

    /// The same, and the Secret of who asks as it is: that for a registry has more forms. Each Secret is read once.
    ///
    /// # Errors
    /// As above.
    pub async fn with_secret(
        client: &kube::Client,
        object: &HelmRepository,
    ) -> Result<(Self, Option<Secret>), AccessError> {
        let (spec, namespace) = (&object.spec, object.namespace().unwrap_or_default());
        let secrets = Secrets::new(client, &namespace);
        let (mut access, mut of_who_asks) = (Access::default(), None);
        if let Some(reference) = &spec.cert_secret_ref {
            let full = secrets.full_name(&reference.name);
            let data = secrets.data(&reference.name).await;
            let data = data.map_err(|error| AccessError::TlsSecret(full, error))?;
            access.tls = data.certificates().map_err(AccessError::Tls)?;
        }
        if let Some(reference) = &spec.secret_ref {
            let full = secrets.full_name(&reference.name);
            let secret = secrets.get(&reference.name).await;
            let secret = secret.map_err(|error| AccessError::Secret(full.clone(), error))?;
            let data = SecretData::of(&namespace, &reference.name, secret.clone());
            access.credentials = credentials(&full, &data)?;
            // Deprecated, and not looked at where it is of no use.
            if let (None, Ok(tls)) = (&spec.cert_secret_ref, data.certificates()) {
                tracing::warn!("certificates in secretRef '{full}' are deprecated, use certSecretRef");
                access.tls = tls;
            }
            of_who_asks = Some(secret);
        }
        Ok((access, of_who_asks))
    }
}

fn credentials(secret: &str, data: &SecretData) -> Result<Option<Credentials>, AccessError> {
    let half = |has, lacks| AccessError::HalfOfPair { secret: secret.to_owned(), has, lacks };
    let given = (data.text("username"), data.secret("password"));
    match given {
        (Some(username), Some(password)) => {
            let is_given = !username.is_empty() && !password.is_empty();
            Ok(is_given.then_some(Credentials { username, password }))
        }
        (Some(_), None) => Err(half("username", "password")),
        (None, Some(_)) => Err(half("password", "username")),
        (None, None) => Ok(None),
    }
}

/// The clients that were used last, one for each trust: they keep connections open.
pub struct Clients {
    limits: Limits,
    /// The one that was used last comes last.
    kept: Mutex<Vec<(TlsConfig, Client)>>,
}

impl Clients {
    /// None, with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, kept: Mutex::default() }
    }

    /// The client with the trust of an access.
    ///
    /// # Errors
    /// For certificates and keys that cannot be used.
    pub fn get(&self, access: &Access) -> Result<Client, ClientError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = kept.iter().position(|(tls, _)| *tls == access.tls) {
            let found = kept.remove(place);
            let client = found.1.clone();
            kept.push(found);
            return Ok(client);
        }
        let client = Client::new(&access.tls, self.limits.clone())?;
        if kept.len() >= CLIENTS {
            kept.remove(0);
        }
        kept.push((access.tls.clone(), client.clone()));
        Ok(client)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn half_of_a_pair_is_named_and_an_empty_one_is_none() {
        let of = |values: &[(&str, &str)]| {
            let values =
                values.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
            credentials("ns/s", &SecretData::new("s", BTreeMap::from_iter(values)))
        };
        let found = of(&[("username", "me"), ("password", "hunter2")]).unwrap().unwrap();
        assert_eq!((found.username.as_str(), found.password.expose()), ("me", "hunter2"));
        assert_eq!(of(&[("username", ""), ("password", "")]).unwrap(), None);
        assert_eq!(of(&[("other", "x")]).unwrap(), None);
        let text = "failed to detect authentication methods: secret 'ns/s': malformed basic auth - has";
        for (has, lacks) in [("username", "password"), ("password", "username")] {
            let error = of(&[(has, "x")]).unwrap_err().to_string();
            assert_eq!(error, format!("{text} '{has}' but missing '{lacks}'"));
        }
    }

    #[test]
    fn clients_are_kept_for_each_trust_and_not_without_end() {
        let clients = Clients::new(Limits::default());
        for _ in 0..3 {
            clients.get(&Access::default()).unwrap();
        }
        assert_eq!(clients.kept.lock().unwrap().len(), 1);
        let bad = TlsConfig { ca_bundle: Some(b"garbage".to_vec()), client: None };
        assert!(clients.get(&Access { tls: bad, credentials: None }).is_err());
    }
}
