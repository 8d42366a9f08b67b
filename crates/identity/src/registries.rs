//! What lets an identity into the registries of a cloud: a password, which the cloud or the registry gives for its credentials.

use auth::cache::{Key, Lookup};
use auth::{AccessToken, Secret, aws, azure, gcp};
use net::{ClientError, TlsConfig};

use crate::clouds::http;
use crate::{Clouds, CredentialError, Identity, Options, Target};

/// Whose registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryProvider {
    /// ECR.
    Aws,
    /// ACR.
    Azure,
    /// Artifact Registry and Container Registry.
    Gcp,
}

/// A user of a registry.
#[derive(Clone, Debug)]
pub struct RegistryLogin {
    /// The user.
    pub username: &'static str,
    /// The password.
    pub password: Secret,
    lookup: Lookup,
}

/// Why there is no login. The texts are Flux's.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The host is none of AWS.
    #[error(transparent)]
    AwsHost(#[from] aws::RegistryError),
    /// The host is none of Azure.
    #[error(transparent)]
    AzureHost(#[from] azure::RegistryError),
    /// The host is none of Google.
    #[error(transparent)]
    GcpHost(#[from] gcp::RegistryError),
    /// There are no credentials at the cloud.
    #[error("failed to get access credential for artifact registry: {0}")]
    Credential(#[from] CredentialError),
    /// ECR gives no password for them.
    #[error("failed to create artifact registry credentials: {0}")]
    Ecr(#[from] aws::EcrError),
    /// ACR gives no password for them.
    #[error("failed to create artifact registry credentials: {0}")]
    Acr(#[from] azure::AcrError),
    /// The cloud gave credentials of another kind.
    #[error("failed to create artifact registry credentials: they are of another kind than asked for")]
    Kind,
}

impl From<ClientError> for LoginError {
    fn from(error: ClientError) -> Self {
        LoginError::Credential(error.into())
    }
}

impl RegistryLogin {
    fn new(username: &'static str, lookup: Lookup) -> Result<RegistryLogin, LoginError> {
        match &lookup.token {
            AccessToken::Opaque { token, .. } => {
                let password = token.clone();
                Ok(RegistryLogin { username, password, lookup })
            }
            AccessToken::Aws(_) => Err(LoginError::Kind),
        }
    }

    /// Whether it was given to somebody before, so that it may have ended early.
    pub fn is_kept(&self) -> bool {
        self.lookup.hit
    }
}

impl Clouds {
    /// What lets `identity` into the registry at `host`. It is kept, as credentials at clouds are.
    ///
    /// # Errors
    /// When the host is none of the provider, so that nothing of the identity goes elsewhere, and when nothing is given.
    pub async fn registry_login(
        &self,
        identity: &Identity,
        provider: RegistryProvider,
        host: &str,
        options: &Options<'_>,
    ) -> Result<RegistryLogin, LoginError> {
        match provider {
            RegistryProvider::Aws => self.ecr_login(identity, host, options).await,
            RegistryProvider::Azure => self.acr_login(identity, host, options).await,
            RegistryProvider::Gcp => {
                gcp::check_registry(host)?;
                let lookup = self.token(identity, Target::Gcp, options).await?;
                RegistryLogin::new(gcp::REGISTRY_USERNAME, lookup)
            }
        }
    }

    /// A registry does not take a login: who asks next gets another one.
    pub async fn forget_login(&self, login: &RegistryLogin) {
        self.tokens().forget(&login.lookup).await;
    }

    async fn ecr_login(
        &self,
        identity: &Identity,
        host: &str,
        options: &Options<'_>,
    ) -> Result<RegistryLogin, LoginError> {
        let registry = aws::ContainerRegistry::of_host(host)?;
        let options = own_way(identity, options);
        let fetch = async {
            let target = Target::Aws { region: registry.region(), sts: None };
            let AccessToken::Aws(credentials) = self.token(identity, target, &options).await?.token else {
                return Err(LoginError::Kind);
            };
            let http = http(&TlsConfig::default(), options.proxy, options.timeout)?;
            Ok(registry.password(&credentials, self.environment(), &http).await?)
        };
        let service = if registry.is_public() { "ecr-public" } else { "ecr" };
        let key = Key::new([service, &identity.cache_key(), registry.region()]).by_way_of(&options.proxy);
        let lookup = self.tokens().get(options.requester, key, fetch).await?;
        RegistryLogin::new(aws::ContainerRegistry::USERNAME, lookup)
    }

    async fn acr_login(
        &self,
        identity: &Identity,
        host: &str,
        options: &Options<'_>,
    ) -> Result<RegistryLogin, LoginError> {
        let registry = azure::ContainerRegistry::of_host(host, self.environment()).await?;
        let options = own_way(identity, options);
        let fetch = async {
            let target = Target::Azure { scope: registry.scope() };
            let AccessToken::Opaque { token, .. } = self.token(identity, target, &options).await?.token
            else {
                return Err(LoginError::Kind);
            };
            let http = http(&TlsConfig::default(), options.proxy, options.timeout)?;
            Ok(registry.password(&token, &http).await?)
        };
        let key = Key::new(["acr", &identity.cache_key(), host]).by_way_of(&options.proxy);
        let lookup = self.tokens().get(options.requester, key, fetch).await?;
        RegistryLogin::new(azure::ContainerRegistry::USERNAME, lookup)
    }
}

/// The identity of the controller does not go by way of the proxy of an object.
fn own_way<'a>(identity: &Identity, options: &Options<'a>) -> Options<'a> {
    match identity {
        Identity::Controller => Options { proxy: None, ..*options },
        Identity::ServiceAccount(_) => *options,
    }
}

#[cfg(test)]
mod tests;
