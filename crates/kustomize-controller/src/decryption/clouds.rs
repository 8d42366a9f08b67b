//! Keys that key services have wrapped: who asks for them, and with what.
//!
//! An entry of the key Secret wins over the service account of `spec.decryption`, and that over the controller's own identity.

use std::{fmt::Display, time::Duration};

use auth::{AccessToken, Owner, TokenCache, aws, azure, cache::Key, gcp};
use k8s_openapi::api::core::v1::ConfigMap;
use kms::{KeyServices, vault};
use kube::{Api, Client, ResourceExt};
use net::Deadline;
use references::{ObjectIdentity, get};
use secret::Secret;
use sops::{KeyBytes, KeyError, MasterKey};
use tokio::runtime::Handle;

/// Tokens that one build may keep.
const TOKENS: usize = 64;
/// Longest time that a build keeps one.
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// Where the ConfigMap of `--sops-vault-configmap` has its content.
const CONFIG_KEY: &str = "config.yaml";

/// What a call gives, or a text for who reads the error of the document.
type Result<T> = std::result::Result<T, KeyError>;

/// The key services as this process reaches them. Shared by all builds.
pub struct Clouds {
    /// The services.
    pub services: KeyServices,
    /// The controller's own identity, which makes tokens of service accounts.
    pub client: Client,
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
    pub identity: Option<&'a ObjectIdentity>,
    pub deadline: &'a Deadline,
    tokens: TokenCache,
}

impl<'a> Caller<'a> {
    pub fn new(
        clouds: &'a Clouds,
        credentials: Credentials,
        identity: Option<&'a ObjectIdentity>,
        deadline: &'a Deadline,
    ) -> Self {
        let tokens = TokenCache::new(TOKENS, TOKEN_LIFETIME);
        Self { clouds, credentials, identity, deadline, tokens }
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
        let KeyServices { clouds: http, environment, .. } = &self.clouds.services;
        let token = match self.identity {
            None => {
                let fetch = aws::controller_token(environment, region, http);
                let fetch = async { fetch.await.map_err(of_controller) };
                self.token(Key::new(["aws", "", "", region]), fetch).await?
            }
            Some(identity) => {
                let role = annotation(identity, aws::ROLE_ANNOTATION);
                if !aws::is_role(role) {
                    let (key, pattern) = (aws::ROLE_ANNOTATION, aws::ROLE_PATTERN);
                    let why = format!("invalid {key} annotation: '{role}'. must match {pattern}");
                    return Err(no_identity(identity, why));
                }
                let account = identity.account();
                let (name, namespace) = (account.name_any(), account.namespace().unwrap_or_default());
                let session = format!("{name}.{namespace}.{region}.fluxcd.io");
                let fetch = async {
                    let assertion = self.assertion(identity, aws::AUDIENCE).await?;
                    let assumed =
                        aws::assume_role(role, &session, assertion.expose(), region, environment, http);
                    assumed.await.map_err(|error| of_account(identity, error))
                };
                self.token(Key::new(["aws", role, &identity.cache_key(), region]), fetch).await?
            }
        };
        match token {
            AccessToken::Aws(credentials) => Ok(credentials),
            AccessToken::Opaque { .. } => Err(KeyError::new("no keys of AWS")),
        }
    }

    async fn gcp(&self) -> Result<Secret> {
        let KeyServices { clouds: http, environment, .. } = &self.clouds.services;
        let fetch = async {
            if let Some(account) = &self.credentials.gcp {
                return self.clouds.services.gcp_token(account).await.map_err(KeyError::new);
            }
            let Some(identity) = self.identity else {
                return gcp::controller_token(environment, http).await.map_err(of_controller);
            };
            let annotations = identity.account().annotations();
            let who = gcp::WorkloadIdentity::of_annotations(|name| annotations.get(name).map(String::as_str));
            let who = who.map_err(|why| no_identity(identity, why))?;
            let cluster = match who.needs_cluster() {
                true => Some(gcp::GkeCluster::of_metadata(environment, http).await.map_err(KeyError::new)?),
                false => None,
            };
            let assertion = self.assertion(identity, &who.token_audience(cluster.as_ref())).await?;
            let token = gcp::workload_token(&who, cluster.as_ref(), assertion.expose(), environment, http);
            token.await.map_err(|error| of_account(identity, error))
        };
        // One build has one source of them.
        opaque(self.token(Key::new(["gcp"]), fetch).await?)
    }

    async fn azure(&self, key: &kms::azure::Key) -> Result<kms::DataKey> {
        let services = &self.clouds.services;
        let KeyServices { clouds: http, environment, .. } = services;
        let given = self.credentials.azure.as_ref();
        let owner = match (given, self.identity) {
            (Some(credentials), _) => credentials.owner(),
            (None, Some(_)) => Owner::Tenant,
            (None, None) => Owner::Controller,
        };
        let target = key.target(owner).map_err(KeyError::new)?;
        let fetch = async {
            if let Some(credentials) = given {
                return credentials.token(target.scope(), services).await.map_err(KeyError::new);
            }
            let Some(identity) = self.identity else {
                let token = azure::controller_token(target.scope(), environment, http);
                return token.await.map_err(of_controller);
            };
            let id = |key: &str, what: &str| {
                let id = Some(annotation(identity, key).to_owned()).filter(|id| !id.is_empty());
                let why = || format!("azure {what} ID is not set in the service account annotation {key}");
                id.ok_or_else(|| no_identity(identity, why()))
            };
            let application = azure::Application {
                tenant: id(azure::TENANT_ANNOTATION, "tenant")?,
                client: id(azure::CLIENT_ANNOTATION, "client")?,
            };
            let assertion = self.assertion(identity, azure::AUDIENCE).await?;
            let token =
                azure::workload_token(&application, assertion.expose(), target.scope(), environment, http);
            token.await.map_err(|error| of_account(identity, error))
        };
        let token = opaque(self.token(Key::new(["azure", target.scope()]), fetch).await?)?;
        services.azure_key_vault(&target, &token).await.map_err(KeyError::new)
    }

    /// A token of the server at `address`.
    async fn vault(&self, address: &str) -> Result<Secret> {
        if let Some(token) = &self.credentials.vault {
            return Ok(token.clone());
        }
        let services = &self.clouds.services;
        let annotated = self.identity.map(|identity| {
            (annotation(identity, vault::LOGIN_PATH_ANNOTATION), annotation(identity, vault::ROLE_ANNOTATION))
        });
        let annotated = annotated.filter(|(path, role)| !path.is_empty() || !role.is_empty());
        let has_config = !self.clouds.vaults.1.is_empty();
        if annotated.is_none() && !has_config {
            return services.vault_token(address).map_err(KeyError::new);
        }
        let fetch = async {
            let own;
            let identity = match self.identity {
                Some(identity) => identity,
                None => {
                    own = ObjectIdentity::of_controller(&self.clouds.client).await.map_err(no_vault_token)?;
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
            let jwt = identity.token(&self.clouds.client, address).await.map_err(no_vault_token)?;
            let role = match role {
                Some(role) => role,
                None => vault::role_of_token(&jwt).map_err(KeyError::new)?,
            };
            let token = services.vault_login(address, path, &role, &jwt).await.map_err(KeyError::new)?;
            Ok(AccessToken::Opaque { token, expires: std::time::SystemTime::now() + TOKEN_LIFETIME * 2 })
        };
        opaque(self.token(Key::new(["vault", address]), fetch).await?)
    }

    /// The ConfigMap of `--sops-vault-configmap`.
    async fn login_paths(&self) -> Result<vault::LoginPaths> {
        let (namespace, name) = &self.clouds.vaults;
        let full_name = format!("{namespace}/{name}");
        let api: Api<ConfigMap> = Api::namespaced(self.clouds.client.clone(), namespace);
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

    /// A token of the service account by which it proves itself to `audience`.
    async fn assertion(&self, identity: &ObjectIdentity, audience: &str) -> Result<Secret> {
        identity.token(&self.clouds.client, audience).await.map_err(KeyError::new)
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

fn of_controller(error: impl Display) -> KeyError {
    KeyError::new(format!("failed to create provider access credential for the controller: {error}"))
}

fn of_account(identity: &ObjectIdentity, error: impl Display) -> KeyError {
    let name = identity.full_name();
    KeyError::new(format!(
        "failed to create provider access credential for service account '{name}': {error}"
    ))
}

fn no_vault_token(error: impl Display) -> KeyError {
    KeyError::new(format!("failed to issue Kubernetes credential for Vault authentication: {error}"))
}
