//! Keys that key services have wrapped: who asks for them, and with what.
//!
//! An entry of the key Secret wins over the service account of `spec.decryption`, and that over the controller's own identity.

use std::{fmt::Display, time::Duration};

use auth::{AccessToken, TokenCache, aws, cache::Key, gcp};
use identity::{Identity, Operation, Options, Requester, Target};
use k8s_openapi::api::core::v1::ConfigMap;
use kms::{KeyServices, vault};
use kube::{Api, ResourceExt};
use net::Deadline;
use references::{ObjectIdentity, get};
use secret::Secret;
use sops::{KeyBytes, KeyError, MasterKey};
use tokio::runtime::Handle;

use super::keys::Keys;

/// Tokens that one build may keep.
const TOKENS: usize = 64;
/// Longest time that a build keeps one.
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// Longest time that a server of tokens is waited for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Where the ConfigMap of `--sops-vault-configmap` has its content.
const CONFIG_KEY: &str = "config.yaml";

/// What a call gives, or a text for who reads the error of the document.
type Result<T> = std::result::Result<T, KeyError>;

/// The key services as this process reaches them. Shared by all builds.
pub struct Clouds {
    /// The services.
    pub services: KeyServices,
    /// What clouds give to service accounts and to the controller.
    pub identities: identity::Clouds,
    /// Namespace of the controller, and the ConfigMap of Vaults in it; empty means none.
    pub vaults: (String, String),
    /// Where requests are driven.
    pub runtime: Handle,
}

/// Credentials of the key Secret.
#[derive(Default)]
pub(super) struct Credentials {
    pub aws: Option<aws::Credentials>,
    pub azure: Option<kms::azure::Credentials>,
    pub gcp: Option<gcp::ServiceAccountKey>,
    pub vault: Option<Secret>,
}

/// Key services for one build.
pub(super) struct Caller<'a> {
    pub clouds: &'a Clouds,
    pub credentials: Credentials,
    /// For which Kustomization, in whose name.
    pub keys: &'a Keys,
    pub deadline: &'a Deadline,
    /// What credentials of the key Secret and logins give.
    tokens: TokenCache,
}

impl<'a> Caller<'a> {
    pub fn new(clouds: &'a Clouds, credentials: Credentials, keys: &'a Keys, deadline: &'a Deadline) -> Self {
        let tokens = TokenCache::new(TOKENS, TOKEN_LIFETIME);
        Self { clouds, credentials, keys, deadline, tokens }
    }

    /// Unwraps a key of a key service. Called on a thread that may block.
    pub fn unwrap(&self, key: &MasterKey) -> Result<KeyBytes> {
        let asked = self.deadline.bound(Duration::MAX, self.ask(key));
        let answer = self.clouds.runtime.block_on(asked);
        let key = answer.map_err(|_| KeyError::new("the time of the build is over"))??;
        Ok(KeyBytes::new(key.expose().to_vec()))
    }

    async fn ask(&self, key: &MasterKey) -> Result<kms::DataKey> {
        let services = &self.clouds.services;
        match key {
            MasterKey::AwsKms { arn, role, context, wrapped, .. } => {
                let role = Some(role.clone()).filter(|role| !role.is_empty());
                let (arn, encrypted) = (arn.clone(), wrapped.clone());
                let key = kms::aws::Key { arn, role, context: context.clone(), encrypted };
                let credentials = self.aws(key.region().map_err(KeyError::new)?).await?;
                services.aws_kms(&key, &credentials).await.map_err(KeyError::new)
            }
            MasterKey::GcpKms { resource_id, wrapped } => {
                let key = kms::gcp::Key { resource_id: resource_id.clone(), encrypted: wrapped.clone() };
                let token = self.gcp().await?;
                services.gcp_kms(&key, &token).await.map_err(KeyError::new)
            }
            MasterKey::AzureKeyVault { vault_url, name, version, wrapped } => {
                let (vault_url, name) = (vault_url.clone(), name.clone());
                let (version, encrypted) = (version.clone(), wrapped.clone());
                self.azure(&kms::azure::Key { vault_url, name, version, encrypted }).await
            }
            MasterKey::Vault { address, engine_path, key_name, wrapped } => {
                let (address, engine_path) = (address.clone(), engine_path.clone());
                let (key_name, encrypted) = (key_name.clone(), wrapped.clone());
                let key = vault::Key { address, engine_path, key_name, encrypted };
                let token = self.vault(&key.address).await?;
                services.vault(&key, &token).await.map_err(KeyError::new)
            }
            MasterKey::Age { .. } | MasterKey::Pgp { .. } | MasterKey::HuaweiKms { .. } => {
                Err(KeyError::new(format!("keys of {} are not supported", key.key_type())))
            }
        }
    }

    async fn aws(&self, region: &str) -> Result<aws::Credentials> {
        if let Some(credentials) = &self.credentials.aws {
            return Ok(credentials.clone());
        }
        match self.of_identity(Target::Aws { region, sts: None }, Operation::DecryptWithAws).await? {
            AccessToken::Aws(credentials) => Ok(credentials),
            AccessToken::Opaque { .. } => Err(KeyError::new("no keys of AWS")),
        }
    }

    async fn gcp(&self) -> Result<Secret> {
        opaque(match &self.credentials.gcp {
            Some(account) => {
                let fetch = self.clouds.services.gcp_token(account);
                // One build has one source of them.
                self.token(Key::new(["gcp"]), async { fetch.await.map_err(KeyError::new) }).await?
            }
            None => self.of_identity(Target::Gcp, Operation::DecryptWithGcp).await?,
        })
    }

    async fn azure(&self, key: &kms::azure::Key) -> Result<kms::DataKey> {
        let services = &self.clouds.services;
        let given = self.credentials.azure.as_ref();
        let owner = given.map_or_else(|| self.keys.identity.owner(), |credentials| credentials.owner());
        let target = key.target(owner).map_err(KeyError::new)?;
        let token = match given {
            Some(credentials) => {
                let fetch = credentials.token(target.scope(), services);
                let fetch = async { fetch.await.map_err(KeyError::new) };
                self.token(Key::new(["azure", target.scope()]), fetch).await?
            }
            None => {
                let scope = Target::Azure { scope: target.scope() };
                self.of_identity(scope, Operation::DecryptWithAzure).await?
            }
        };
        services.azure_key_vault(&target, &opaque(token)?).await.map_err(KeyError::new)
    }

    /// What a cloud gives to the service account or to the controller, from the cache of the process.
    async fn of_identity(&self, target: Target<'_>, operation: Operation) -> Result<AccessToken> {
        let options =
            Options { requester: Some(self.requester(operation)), proxy: None, timeout: REQUEST_TIMEOUT };
        let lookup = self.clouds.identities.token(&self.keys.identity, target, &options).await;
        Ok(lookup.map_err(KeyError::new)?.token)
    }

    fn requester(&self, operation: Operation) -> Requester<'_> {
        let (namespace, name) = &self.keys.object;
        Requester { kind: "Kustomization", namespace, name, operation }
    }

    /// A token of the server at `address`.
    async fn vault(&self, address: &str) -> Result<Secret> {
        if let Some(token) = &self.credentials.vault {
            return Ok(token.clone());
        }
        let services = &self.clouds.services;
        let account = match &self.keys.identity {
            Identity::ServiceAccount(account) => Some(account.as_ref()),
            Identity::Controller => None,
        };
        let annotated = account.map(|identity| {
            (annotation(identity, vault::LOGIN_PATH_ANNOTATION), annotation(identity, vault::ROLE_ANNOTATION))
        });
        let annotated = annotated.filter(|(path, role)| !path.is_empty() || !role.is_empty());
        let has_config = !self.clouds.vaults.1.is_empty();
        if annotated.is_none() && !has_config {
            return services.vault_token(address).map_err(KeyError::new);
        }
        let fetch = async {
            let own;
            let identity = match account {
                Some(identity) => identity,
                None => {
                    own = ObjectIdentity::of_controller(self.clouds.identities.client())
                        .await
                        .map_err(no_vault_token)?;
                    &own
                }
            };
            let paths;
            let (path, role) = match annotated {
                Some(("", _)) | Some((_, "")) => {
                    let [path, role] = [vault::LOGIN_PATH_ANNOTATION, vault::ROLE_ANNOTATION];
                    return Err(no_identity(
                        identity,
                        format!("the annotations {path} and {role} must be set together"),
                    ));
                }
                Some(_) if has_config => {
                    let path = vault::LOGIN_PATH_ANNOTATION;
                    return Err(no_identity(
                        identity,
                        format!("the annotation {path} cannot be used with --sops-vault-configmap"),
                    ));
                }
                Some((path, role)) => (path, Some(role.to_owned())),
                None => {
                    paths = self.login_paths().await?;
                    (paths.path(address).map_err(KeyError::new)?, None)
                }
            };
            let requester = Some(self.requester(Operation::DecryptWithTransitEngine));
            let given = self.clouds.identities.account_token(identity, address, requester).await;
            let given = given.map_err(no_vault_token)?;
            let jwt = opaque(given.token.clone())?;
            let role = match role {
                Some(role) => role,
                None => vault::role_of_token(&jwt).map_err(KeyError::new)?,
            };
            let login = services.vault_login(address, path, &role, &jwt).await;
            if login.is_err() {
                // The account may be another one by now.
                self.clouds.identities.tokens().forget(&given).await;
            }
            let token = login.map_err(KeyError::new)?;
            Ok(AccessToken::Opaque { token, expires: std::time::SystemTime::now() + TOKEN_LIFETIME * 2 })
        };
        opaque(self.token(Key::new(["vault", address]), fetch).await?)
    }

    /// The ConfigMap of `--sops-vault-configmap`.
    async fn login_paths(&self) -> Result<vault::LoginPaths> {
        let (namespace, name) = &self.clouds.vaults;
        let full_name = format!("{namespace}/{name}");
        let api: Api<ConfigMap> = Api::namespaced(self.clouds.identities.client().clone(), namespace);
        let found = get(&api, name).await;
        let found =
            found.map_err(|e| KeyError::new(format!("failed to get Vault ConfigMap '{full_name}': {e}")))?;
        let data = found.data.unwrap_or_default();
        let config = data.get(CONFIG_KEY).ok_or_else(|| {
            KeyError::new(format!("Vault ConfigMap '{full_name}' is missing the '{CONFIG_KEY}' key"))
        })?;
        vault::LoginPaths::parse(&full_name, config).map_err(KeyError::new)
    }

    async fn token(&self, key: Key, fetch: impl Future<Output = Result<AccessToken>>) -> Result<AccessToken> {
        Ok(self.tokens.get(key, fetch).await?.token)
    }
}

fn annotation<'a>(identity: &'a ObjectIdentity, key: &str) -> &'a str {
    identity.account().annotations().get(key).map(String::as_str).unwrap_or_default()
}

fn opaque(token: AccessToken) -> Result<Secret> {
    match token {
        AccessToken::Opaque { token, .. } => Ok(token),
        AccessToken::Aws(_) => Err(KeyError::new("keys of AWS")),
    }
}

fn no_identity(identity: &ObjectIdentity, why: impl Display) -> KeyError {
    let name = identity.full_name();
    KeyError::new(format!("failed to get provider identity from service account '{name}' annotations: {why}"))
}

fn no_vault_token(error: impl Display) -> KeyError {
    KeyError::new(format!("failed to issue Kubernetes credential for Vault authentication: {error}"))
}

#[cfg(test)]
mod tests;
