//! Credentials at clouds: from the cache, or from the cloud.

use std::sync::Arc;
use std::time::Duration;

use auth::azure::Application;
use auth::cache::{Key, Lookup};
use auth::gcp::{GkeCluster, WorkloadIdentity};
use auth::{AccessToken, Environment, Http, aws, azure, gcp};
use kube::{Client, ResourceExt};
use net::{ClientError, Proxy, TlsConfig};
use references::{IdentityError, ObjectIdentity};
use url::Url;

use crate::{CredentialError, Identity, ProviderError, Requester, Tokens};

/// Bytes that the answer to a request for a token may have.
const ANSWER_BYTES: usize = 1 << 20;

/// What credentials are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// AWS: keys, asked for in a region.
    Aws {
        /// The region.
        region: &'a str,
        /// Where STS is, if not where it is in the region.
        sts: Option<&'a Url>,
    },
    /// Azure: an access token.
    Azure {
        /// What the token is for, such as `https://vault.azure.net/.default`.
        scope: &'a str,
    },
    /// Google Cloud: an access token for [`gcp::SCOPES`].
    Gcp,
}

/// How credentials are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// For which object, in the series of the cache; those of nobody are not told of there.
    pub requester: Option<Requester<'a>>,
    /// The proxy of the object. The identity of the controller is not asked for by way of it.
    pub proxy: Option<&'a Proxy>,
    /// How long a request may take.
    pub timeout: Duration,
}

/// Credentials at clouds. Clones share the cache.
#[derive(Clone)]
pub struct Clouds {
    client: Client,
    environment: Arc<Environment>,
    tokens: Tokens,
}

/// A client for servers of tokens, with limits in bytes and time.
///
/// # Errors
/// For certificates and addresses of proxies that cannot be used.
pub fn http(tls: &TlsConfig, proxy: Option<&Proxy>, timeout: Duration) -> Result<Http, ClientError> {
    let client = net::client::builder(tls, proxy)?.timeout(timeout);
    Ok(Http::new(client.build().map_err(ClientError::tls)?, ANSWER_BYTES))
}

impl Clouds {
    /// Asks the API server of `client` for tokens of service accounts, and clouds as `environment` says, and keeps what they give in
    /// `tokens`.
    pub fn new(client: Client, environment: Environment, tokens: Tokens) -> Clouds {
        Clouds { client, environment: Arc::new(environment), tokens }
    }

    /// What the platform says.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The cache, for tokens that no cloud gives.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The API server that makes tokens of service accounts.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Credentials of `identity` at `target`. For [`Target::Aws`] they are [`AccessToken::Aws`], else [`AccessToken::Opaque`].
    ///
    /// # Errors
    /// When the annotations name nobody, and when the API server or the cloud gives nothing.
    pub async fn token(
        &self,
        identity: &Identity,
        target: Target<'_>,
        options: &Options<'_>,
    ) -> Result<Lookup, CredentialError> {
        let account = identity.cache_key();
        let region_and_sts = match target {
            Target::Aws { region, sts } => format!("{region} {}", sts.map_or("", Url::as_str)),
            Target::Azure { .. } | Target::Gcp => String::new(),
        };
        let key = Key::new(match target {
            Target::Aws { .. } => ["aws", &account, &region_and_sts],
            Target::Azure { scope } => ["azure", &account, scope],
            Target::Gcp => ["gcp", &account, ""],
        });
        match identity {
            Identity::Controller => {
                self.tokens.get(options.requester, key, self.of_controller(target, options)).await
            }
            Identity::ServiceAccount(identity) => {
                let principal = Principal::of(identity, target)?;
                let key = key.by_way_of(&options.proxy);
                self.tokens.get(options.requester, key, self.of_account(identity, principal, options)).await
            }
        }
    }

    /// A token of a service account itself: for its audiences, else for `audience`.
    ///
    /// # Errors
    /// When the API server makes none.
    pub async fn account_token(
        &self,
        account: &ObjectIdentity,
        audience: &str,
        requester: Option<Requester<'_>>,
    ) -> Result<Lookup, IdentityError> {
        let key = Key::new(["kubernetes", &account.cache_key(), audience]);
        let fetch = async {
            let (token, expires) = account.token_until(&self.client, audience).await?;
            Ok(AccessToken::Opaque { token, expires })
        };
        self.tokens.get(requester, key, fetch).await
    }

    async fn of_controller(
        &self,
        target: Target<'_>,
        options: &Options<'_>,
    ) -> Result<AccessToken, CredentialError> {
        let (environment, http) = (&self.environment, http(&TlsConfig::default(), None, options.timeout)?);
        let token = match target {
            Target::Aws { region, sts } => {
                aws::controller_token(environment, region, sts, &http).await.map_err(ProviderError::from)
            }
            Target::Azure { scope } => {
                azure::controller_token(scope, environment, &http).await.map_err(ProviderError::from)
            }
            Target::Gcp => gcp::controller_token(environment, &http).await.map_err(ProviderError::from),
        };
        token.map_err(CredentialError::Controller)
    }

    async fn of_account(
        &self,
        identity: &ObjectIdentity,
        principal: Principal<'_>,
        options: &Options<'_>,
    ) -> Result<AccessToken, CredentialError> {
        let environment = &self.environment;
        let cluster = match &principal {
            Principal::Gcp(workload) if workload.needs_cluster() => {
                // The metadata service is the controller's.
                let http = http(&TlsConfig::default(), None, options.timeout)?;
                let cluster = GkeCluster::of_metadata(environment, &http).await;
                Some(cluster.map_err(CredentialError::Audience)?)
            }
            _ => None,
        };
        let audience = match &principal {
            Principal::Aws { .. } => aws::AUDIENCE.to_owned(),
            Principal::Azure { .. } => azure::AUDIENCE.to_owned(),
            Principal::Gcp(workload) => workload.token_audience(cluster.as_ref()),
        };
        let assertion = identity.token(&self.client, &audience).await?;
        let (assertion, http) =
            (assertion.expose(), http(&TlsConfig::default(), options.proxy, options.timeout)?);
        let token = match principal {
            Principal::Aws { role, region, sts } => {
                let url = aws::sts_url(sts, region, environment).map_err(aws::AwsError::from);
                let url = url.map_err(|error| CredentialError::ServiceAccount {
                    account: identity.full_name(),
                    source: error.into(),
                })?;
                let account = identity.account();
                let (name, namespace) = (account.name_any(), account.namespace().unwrap_or_default());
                let session = format!("{name}.{namespace}.{region}.fluxcd.io");
                aws::assume_role(role, &session, assertion, &url, &http).await.map_err(ProviderError::from)
            }
            Principal::Azure { application, scope } => {
                azure::workload_token(&application, assertion, scope, environment, &http)
                    .await
                    .map_err(ProviderError::from)
            }
            Principal::Gcp(workload) => {
                gcp::workload_token(&workload, cluster.as_ref(), assertion, environment, &http)
                    .await
                    .map_err(ProviderError::from)
            }
        };
        token.map_err(|source| CredentialError::ServiceAccount { account: identity.full_name(), source })
    }
}

/// Who a service account is at a cloud.
enum Principal<'a> {
    Aws { role: &'a str, region: &'a str, sts: Option<&'a Url> },
    Azure { application: Application, scope: &'a str },
    Gcp(WorkloadIdentity),
}

impl<'a> Principal<'a> {
    fn of(identity: &'a ObjectIdentity, target: Target<'a>) -> Result<Self, CredentialError> {
        let annotation = |key: &str| identity.account().annotations().get(key).map(String::as_str);
        let invalid = |cause: String| CredentialError::Annotations { account: identity.full_name(), cause };
        match target {
            Target::Aws { region, sts } => {
                let (key, pattern) = (aws::ROLE_ANNOTATION, aws::ROLE_PATTERN);
                let role = annotation(key).unwrap_or_default();
                if aws::is_role(role) {
                    return Ok(Principal::Aws { role, region, sts });
                }
                Err(invalid(format!("invalid {key} annotation: '{role}'. must match {pattern}")))
            }
            Target::Azure { scope } => {
                let get = |key: &'static str, what: &str| {
                    let missing = || {
                        invalid(format!("azure {what} ID is not set in the service account annotation {key}"))
                    };
                    annotation(key).filter(|id| !id.is_empty()).map(str::to_owned).ok_or_else(missing)
                };
                let application = Application {
                    tenant: get(azure::TENANT_ANNOTATION, "tenant")?,
                    client: get(azure::CLIENT_ANNOTATION, "client")?,
                };
                Ok(Principal::Azure { application, scope })
            }
            Target::Gcp => {
                let workload = WorkloadIdentity::of_annotations(annotation);
                let workload = workload.map_err(|error| invalid(error.to_string()))?;
                if workload.needs_cluster() && !identity.audiences().is_empty() {
                    return Err(CredentialError::CustomAudience);
                }
                Ok(Principal::Gcp(workload))
            }
        }
    }
}

#[cfg(test)]
mod tests;
