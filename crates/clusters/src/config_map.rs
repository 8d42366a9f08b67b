//! ConfigMaps that tell of a cluster: where it is and which identity is shown there. They hold no secret.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use kube::{Client, Config};
use net::AddressPolicy;
use references::{IdentityError, ObjectIdentity};
use runtime::client::Route;
use tower::BoxError;

use crate::{
    bearer::{Token, TokenSource},
    kubeconfig::{Access, check_server},
};

/// Why a ConfigMap gives no access.
#[derive(Debug, thiserror::Error)]
pub enum ConfigMapError {
    /// Flux's text.
    #[error("provider '{0}' not implemented")]
    Provider(String),
    /// Nothing says where the cluster is.
    #[error("cluster address is required to create a REST config")]
    NoAddress,
    /// The address cannot be used.
    #[error("failed to parse cluster address {0}")]
    Address(String),
    /// The certificate of the cluster cannot be read.
    #[error("failed to parse the CA certificate of the cluster: {0}")]
    Certificate(String),
    /// There are two lists of audiences.
    #[error(
        "failed to validate configuration: the audiences stand in the ConfigMap and in an annotation of the service account '{0}'"
    )]
    Audiences(String),
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// What a ConfigMap says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    provider: String,
    address: Option<String>,
    certificate: Option<String>,
    audiences: Vec<String>,
    account: Option<String>,
}

impl Settings {
    /// Reads the entries. `default_account` is for a ConfigMap that names no service account.
    pub fn new(data: &BTreeMap<String, String>, default_account: &str) -> Self {
        let get = |key: &str| data.get(key).cloned().filter(|text| !text.is_empty());
        let audiences = data.get("audiences").map(String::as_str).unwrap_or_default();
        let audiences = audiences.split([',', ' ', '\t', '\r', '\n']).filter(|name| !name.is_empty());
        let default = Some(default_account.to_owned()).filter(|name| !name.is_empty());
        Self {
            provider: get("provider").unwrap_or_default(),
            address: get("address"),
            certificate: get("ca.crt"),
            audiences: audiences.map(str::to_owned).collect(),
            account: get("serviceAccountName").or(default),
        }
    }

    /// The identity that is shown to the cluster: an account of the namespace, or the controller.
    pub async fn identity(&self, client: &Client, namespace: &str) -> Result<ObjectIdentity, ConfigMapError> {
        let identity = match &self.account {
            Some(name) => ObjectIdentity::get(client, namespace, name).await?,
            None => ObjectIdentity::of_controller(client).await?,
        };
        if !self.audiences.is_empty() && !identity.audiences().is_empty() {
            return Err(ConfigMapError::Audiences(identity.full_name()));
        }
        Ok(identity)
    }

    /// The way to the cluster, without the tokens that it asks for.
    pub fn access(&self, addresses: &AddressPolicy) -> Result<Access, ConfigMapError> {
        if self.provider != "generic" {
            return Err(ConfigMapError::Provider(self.provider.clone()));
        }
        let address = self.address.as_deref().ok_or(ConfigMapError::NoAddress)?;
        let whole =
            if address.starts_with("http") { address.to_owned() } else { format!("https://{address}") };
        let invalid = |why: String| ConfigMapError::Address(format!("{}: {why}", net::redact(address)));
        let url = check_server(&whole, addresses).map_err(invalid)?;
        if url.scheme() != "https" {
            return Err(invalid("it must use https".to_owned()));
        }
        let uri = url.as_str().parse().map_err(|error: http::uri::InvalidUri| invalid(error.to_string()))?;
        let mut config = Config::new(uri);
        if let Some(certificate) = &self.certificate {
            config.root_cert = Some(certificates(certificate)?);
        }
        let proxy = net::Proxy::of_environment(&url, |name| std::env::var(name).ok());
        Ok(Access { config, route: Route { addresses: Some(addresses.clone()), proxy } })
    }

    /// What makes the tokens.
    pub fn tokens(&self, client: &Client, namespace: &str) -> Arc<dyn TokenSource> {
        let audience = self.address.clone().unwrap_or_default();
        let audiences = if self.audiences.is_empty() { vec![audience] } else { self.audiences.clone() };
        let (client, namespace) = (client.clone(), namespace.to_owned());
        Arc::new(AccountTokens { settings: self.clone(), client, namespace, audiences })
    }
}

fn certificates(text: &str) -> Result<Vec<Vec<u8>>, ConfigMapError> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let invalid = |why: String| ConfigMapError::Certificate(why);
    let found = CertificateDer::pem_slice_iter(text.as_bytes()).map(|found| found.map(|der| der.to_vec()));
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| invalid(error.to_string()))?;
    if found.is_empty() { Err(invalid("there is none".to_owned())) } else { Ok(found) }
}

/// Tokens of a service account, as the API server of this cluster makes them.
struct AccountTokens {
    settings: Settings,
    client: Client,
    namespace: String,
    audiences: Vec<String>,
}

impl TokenSource for AccountTokens {
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, BoxError>> + Send + '_>> {
        Box::pin(async {
            // The account may have other annotations by now, or be gone.
            let identity = self.settings.identity(&self.client, &self.namespace).await?;
            let (secret, expires) =
                identity.token_until(&self.client, &self.audiences).await.map_err(ConfigMapError::from)?;
            Ok(Token { secret, expires })
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(entries: &[(&str, &str)]) -> Settings {
        let data = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Settings::new(&data.collect(), "default-account")
    }

    #[test]
    fn entries_have_defaults() {
        let read = settings(&[("provider", "generic"), ("audiences", "a, b\n c\n"), ("address", "")]);
        assert_eq!((read.audiences, read.address), (vec!["a".to_owned(), "b".into(), "c".into()], None));
        assert_eq!(read.account.as_deref(), Some("default-account"));
        assert_eq!(settings(&[("serviceAccountName", "own")]).account.as_deref(), Some("own"));
        assert_eq!(Settings::new(&BTreeMap::new(), "").account, None);
    }

    #[test]
    fn what_gives_no_access_is_named() {
        let access = |entries: &[(&str, &str)]| {
            let access = settings(entries).access(&AddressPolicy::default());
            access.map(|access| access.config.cluster_url.to_string()).map_err(|error| error.to_string())
        };
        let generic = |address: &str| access(&[("provider", "generic"), ("address", address)]);
        assert_eq!(generic("A.example"), Ok("https://a.example/".to_owned()));
        assert_eq!(generic("https://a.example:6443"), Ok("https://a.example:6443/".to_owned()));
        for (address, text) in [
            ("http://a.example", "failed to parse cluster address http://a.example: it must use https"),
            ("169.254.169.254", "connections to 169.254.169.254 are not allowed"),
            ("https://u:secret@a.example", "must not have a user or password"),
            ("a b", "is no URL"),
            ("", "cluster address is required to create a REST config"),
        ] {
            let error = generic(address).unwrap_err();
            assert!(error.contains(text) && !error.contains("secret"), "{error}");
        }
        assert_eq!(access(&[("provider", "x")]), Err("provider 'x' not implemented".to_owned()));
        let error =
            access(&[("provider", "generic"), ("address", "a.example"), ("ca.crt", "none")]).unwrap_err();
        assert_eq!(error, "failed to parse the CA certificate of the cluster: there is none");
    }
}
