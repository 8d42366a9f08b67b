//! ConfigMaps that tell of a cluster: where it is and which identity is shown there. They hold no secret.

use std::{collections::BTreeMap, time::Duration};

use auth::AccessToken;
use identity::{Clouds, IdentityError, Requester, Target};
use kube::Config;
use managed_clusters::{aks, eks, gke};
use net::{AddressPolicy, ClientError, TlsConfig};
use references::{ObjectIdentity, account_of, audiences};
use runtime::client::Route;

use crate::{
    kubeconfig::{Access, check_server},
    tokens::{ClusterTokens, Kind, TokenError},
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
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There are two lists of audiences.
    #[error(
        "failed to validate configuration: the audiences stand in the ConfigMap and in an annotation of the service account '{0}'"
    )]
    Audiences(String),
    /// Google Cloud says for whom its tokens are.
    #[error(
        "failed to validate configuration: the provider 'gcp' takes no audiences with a service account: remove the key 'audiences' of the ConfigMap"
    )]
    GcpAudiences,
    /// There is no token to ask for the cluster.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The cloud cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is no way into a cluster of EKS.
    #[error(transparent)]
    Eks(#[from] eks::EksError),
    /// There is no way into a cluster of AKS.
    #[error(transparent)]
    Aks(#[from] aks::AksError),
    /// There is no way into a cluster of GKE.
    #[error(transparent)]
    Gke(#[from] gke::GkeError),
}

/// Who knows the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provider {
    Generic,
    Aws,
    Azure,
    Gcp,
}

/// What a ConfigMap says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    provider: String,
    /// Its name, address and certificates.
    cluster: managed_clusters::Settings,
    audiences: Vec<String>,
    account: Option<String>,
}

impl Settings {
    /// Reads the entries. `default_account` is for a ConfigMap that names no service account.
    pub fn new(data: &BTreeMap<String, String>, default_account: Option<&str>) -> Self {
        let get = |key: &str| data.get(key).cloned().filter(|text| !text.is_empty());
        Self {
            provider: get("provider").unwrap_or_default(),
            cluster: managed_clusters::Settings {
                cluster: get("cluster").unwrap_or_default(),
                address: get("address"),
                ca: get("ca.crt"),
            },
            audiences: audiences(data.get("audiences").map(String::as_str).unwrap_or_default()),
            account: account_of(data.get("serviceAccountName").map(String::as_str), default_account)
                .map(str::to_owned),
        }
    }

    fn provider(&self) -> Result<Provider, ConfigMapError> {
        Ok(match self.provider.as_str() {
            "generic" => Provider::Generic,
            "aws" => Provider::Aws,
            "azure" => Provider::Azure,
            "gcp" => Provider::Gcp,
            other => return Err(ConfigMapError::Provider(other.to_owned())),
        })
    }

    /// What makes the tokens: for an account of the namespace, which has to exist, or for the controller.
    pub(crate) async fn tokens(
        &self,
        clouds: &Clouds,
        namespace: &str,
        timeout: Duration,
    ) -> Result<ClusterTokens, ConfigMapError> {
        let client = clouds.client();
        let named = match &self.account {
            Some(name) => Some(self.with_audiences(ObjectIdentity::get(client, namespace, name).await?)?),
            None => None,
        };
        let kind = match self.provider()? {
            Provider::Gcp if named.is_some() && !self.audiences.is_empty() => {
                return Err(ConfigMapError::GcpAudiences);
            }
            Provider::Generic => {
                let identity = match named {
                    Some(identity) => identity,
                    None => self.with_audiences(ObjectIdentity::of_controller(client).await?)?,
                };
                let address = self.cluster.address.clone().unwrap_or_default();
                Kind::Account(Box::new(identity), address)
            }
            Provider::Aws => Kind::Eks(eks::Cluster::parse(&self.cluster.cluster)?, named.into()),
            Provider::Azure => Kind::Aks(named.into()),
            Provider::Gcp => Kind::Gke(named.into()),
        };
        Ok(ClusterTokens { clouds: clouds.clone(), kind, timeout })
    }

    fn with_audiences(&self, identity: ObjectIdentity) -> Result<ObjectIdentity, ConfigMapError> {
        match (&self.audiences[..], identity.audiences()) {
            ([], _) => Ok(identity),
            (audiences, []) => Ok(identity.for_audiences(audiences.to_vec())),
            _ => Err(ConfigMapError::Audiences(identity.full_name())),
        }
    }

    /// The way to the cluster, as the ConfigMap says or else its cloud, which is asked in the same identity, on behalf of an object.
    pub(crate) async fn access(
        &self,
        tokens: &ClusterTokens,
        object: Option<Requester<'_>>,
        addresses: &AddressPolicy,
    ) -> Result<Access, ConfigMapError> {
        let (clouds, settings) = (&tokens.clouds, &self.cluster);
        let (environment, http) =
            (clouds.environment(), || identity::http(&TlsConfig::default(), None, tokens.timeout));
        let credentials = async || tokens.credentials(object).await.map_err(TokenError::from);
        let access = match &tokens.kind {
            Kind::Account(..) => {
                let address = settings.address.as_deref().ok_or(ConfigMapError::NoAddress)?;
                return reach(address, settings.ca.as_deref().unwrap_or_default().as_bytes(), addresses);
            }
            Kind::Eks(_, identity) => {
                let AccessToken::Aws(keys) = credentials().await?.token else {
                    return Err(TokenError::Kind.into());
                };
                eks::access(settings, &keys, identity.owner(), environment, &http()?).await?
            }
            Kind::Aks(identity) => {
                let (cluster, owner) = (credentials().await?.token, identity.owner());
                let manager = aks::ResourceManager::of(environment).await?;
                let of_manager = match aks::needs_manager(settings, owner) {
                    true => {
                        let target = Target::Azure { scope: &manager.scope() };
                        Some(tokens.of_cloud(identity, target, object).await.map_err(TokenError::from)?.token)
                    }
                    false => None,
                };
                let both = aks::Tokens { cluster: &cluster, manager: of_manager.as_ref() };
                aks::access(settings, both, owner, &manager, &http()?).await?
            }
            Kind::Gke(identity) => {
                let token = credentials().await?.token;
                gke::access(settings, &token, identity.owner(), environment, &http()?).await?
            }
        };
        reach(&access.address, &access.ca, addresses)
    }
}

/// The way to an API server that is trusted by `ca`, or by the authorities of the system.
fn reach(address: &str, ca: &[u8], addresses: &AddressPolicy) -> Result<Access, ConfigMapError> {
    let whole = if address.starts_with("http") { address.to_owned() } else { format!("https://{address}") };
    let invalid = |why: String| ConfigMapError::Address(format!("{}: {why}", net::redact(address)));
    let url = check_server(&whole, addresses).map_err(|error| invalid(error.to_string()))?;
    if url.scheme() != "https" {
        return Err(invalid("it must use https".to_owned()));
    }
    let uri = url.as_str().parse().map_err(|error: http::uri::InvalidUri| invalid(error.to_string()))?;
    let mut config = Config::new(uri);
    if !ca.is_empty() {
        config.root_cert = Some(certificates(ca)?);
    }
    let proxy = net::Proxy::of_environment(&url, |name| std::env::var(name).ok());
    Ok(Access { config, route: Route { addresses: Some(addresses.clone()), proxy } })
}

fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, ConfigMapError> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let invalid = |why: String| ConfigMapError::Certificate(why);
    let found = CertificateDer::pem_slice_iter(pem).map(|found| found.map(|der| der.to_vec()));
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| invalid(error.to_string()))?;
    if found.is_empty() { Err(invalid("there is none".to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests;
