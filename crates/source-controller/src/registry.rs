//! What lets an object into the registry that its spec names, for all kinds that ask one.
//!
//! ```text
//! spec ── Wanted ──▶ Registries::open ──▶ Session ──▶ requests, with credentials that are renewed once if they are refused
//!                    │ pull secrets of the spec, then of its service account
//!                    └ without any: what a cloud gives for the identity of the object
//! ```
//!
//! The credentials of a cloud come late: that there are none matters only if the registry asks for some, as with Flux.

mod session;

use std::time::Duration;

use api::LocalObjectReference;
use api::oci_repository::OciProvider;
use identity::{
    Clouds, Identity, IdentityError, Operation, Options, Owner, RegistryLogin, RegistryProvider, Requester,
};
use k8s_openapi::api::core::v1::Secret;
use net::redact;
use oci::{Access, AccessError, Clients, Credentials, Limits, Repository};
use references::{
    GetError, ObjectIdentity, PullCredentials, PullSecretError, PullSecrets, SecretError, Secrets,
};
use runtime::error::chain;

pub use self::session::Session;
use crate::helm_repository::KIND as HELM_REPOSITORY;

/// Pull secrets that one service account may name.
const MAX_ACCOUNT_PULL_SECRETS: usize = 32;

/// Registries, and who lets into them. One for the process.
pub struct Registries {
    clients: Clients,
    clouds: Clouds,
}

/// What a spec says about the way into its registry.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The kind of the object.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The repository.
    pub repository: &'a Repository,
    /// Its URL, for messages.
    pub url: &'a str,
    /// Whether plain http is allowed.
    pub insecure: bool,
    /// Who gives credentials if no pull secret is named.
    pub provider: OciProvider,
    /// The service account whose pull secrets and identity let the object in; without one it has the identity of the controller.
    pub account: Option<&'a str>,
    /// The pull secret.
    pub secret: Option<&'a LocalObjectReference>,
    /// The Secret with certificates.
    pub certificates: Option<&'a LocalObjectReference>,
    /// The Secret with the proxy.
    pub proxy: Option<&'a LocalObjectReference>,
    /// How long a request for credentials may take.
    pub timeout: Duration,
}

/// Why an object is not let in. The texts are Flux's.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such service account, or its annotations do not go together.
    #[error(transparent)]
    Account(#[from] IdentityError),
    /// The annotations of the service account say what goes without pull secrets, and it has some.
    #[error(
        "failed to validate configuration: service account '{0}' has both imagePullSecrets and \
         credential.auth.fluxcd.io annotations"
    )]
    AccountSecrets(String),
    /// The service account has too many pull secrets.
    #[error(
        "failed to get credential: service account '{0}' has more than {MAX_ACCOUNT_PULL_SECRETS} image pull secrets"
    )]
    TooManySecrets(String),
    /// The pull secret of the spec cannot be read.
    #[error("failed to get credential: failed to get secret '{name}': {source}")]
    Secret {
        /// `<namespace>/<name>`
        name: String,
        /// What the API server says.
        source: GetError,
    },
    /// One of the service account cannot be read.
    #[error(
        "failed to get credential: failed to get image pull secret for serviceaccount '{account}': {}",
        told(name, source)
    )]
    AccountSecret {
        /// `<namespace>/<name>` of the service account.
        account: String,
        /// `<namespace>/<name>` of the Secret.
        name: String,
        /// What the API server says.
        source: GetError,
    },
    /// A pull secret is none.
    #[error("failed to get credential: {0}")]
    PullSecret(#[from] PullSecretError),
    /// The proxy cannot be used.
    #[error("failed to get proxy address: {0}")]
    Proxy(#[source] SecretError),
    /// The certificates cannot be read.
    #[error("failed to generate transport for '{url}': {source}")]
    Certificates {
        /// Where to.
        url: String,
        /// What is wrong with them.
        source: SecretError,
    },
    /// There can be no client.
    #[error("failed to generate transport for '{url}': {source}")]
    Transport {
        /// Where to.
        url: String,
        /// Why not.
        source: AccessError,
    },
    /// The API server gives no token of the service account.
    #[error("failed to get credential from generic: {0}")]
    Token(#[source] IdentityError),
    /// What would show credentials of the controller to whoever wrote the spec.
    #[error(
        "failed to get credential from {provider}: those of the controller are not used with {fields}; set {instead}"
    )]
    Exposed {
        /// The provider.
        provider: &'static str,
        /// What stands against it.
        fields: &'static str,
        /// What the spec may have for it.
        instead: &'static str,
    },
    /// A provider that this version does not know.
    #[error("failed to get credential: spec.provider is none that this version knows")]
    Provider,
}

fn told(name: &str, source: &GetError) -> String {
    match source.is_not_found() {
        true => format!("secret '{name}' not found"),
        false => format!("failed to get secret '{name}': {source}"),
    }
}

/// How the login of a cloud is had again.
struct CloudLogin {
    identity: Identity,
    provider: RegistryProvider,
    /// The last one, if there was one.
    last: Option<RegistryLogin>,
}

impl Registries {
    /// Registries that may cost so much. Credentials are asked of `clouds`.
    pub fn new(limits: Limits, clouds: Clouds) -> Registries {
        Registries { clients: Clients::new(limits), clouds }
    }

    /// The Secrets that a spec names.
    pub fn secrets(&self, namespace: &str) -> Secrets {
        Secrets::new(self.clouds.client(), namespace)
    }

    /// Reads all that lets the object in.
    ///
    /// # Errors
    /// When a Secret or the service account cannot be read, or holds what cannot be used. That a cloud gives nothing is told by
    /// requests of the session.
    pub async fn open<'a>(&'a self, wanted: Wanted<'a>) -> Result<Session<'a>, OpenError> {
        let account = match wanted.account {
            Some(name) => Some(ObjectIdentity::get(self.clouds.client(), wanted.namespace, name).await?),
            None => None,
        };
        let secrets = self.pull_secrets(&wanted, account.as_ref()).await?;
        let mut access = Access { insecure: wanted.insecure, ..Access::default() };
        let named = self.secrets(wanted.namespace);
        if let Some(reference) = wanted.proxy {
            access.proxy = Some(named.proxy(&reference.name).await.map_err(OpenError::Proxy)?);
        }
        if let Some(reference) = wanted.certificates {
            let failed = |source| OpenError::Certificates { url: redact(wanted.url), source };
            access.tls = named.tls(&reference.name).await.map_err(failed)?;
        }
        let mut cloud = None;
        if secrets.is_empty() {
            cloud = self.without_secrets(&wanted, account, &mut access).await?;
        } else {
            // What no entry matches has no credentials: a tenant does not borrow those of the controller.
            let host = wanted.repository.registry().host();
            let found = PullSecrets::of(&secrets)?.find(host, wanted.repository.name());
            access.credentials = found.map(of_secret).unwrap_or_default();
        }
        Session::new(self, wanted, access, cloud).await
    }

    /// The same for an object without a service account whose Secrets were read already: they gave `access`.
    ///
    /// # Errors
    /// When the access cannot be used.
    pub async fn open_with<'a>(
        &'a self,
        wanted: Wanted<'a>,
        mut access: Access,
    ) -> Result<Session<'a>, OpenError> {
        let cloud = match wanted.secret {
            Some(_) => None,
            None => self.without_secrets(&wanted, None, &mut access).await?,
        };
        Session::new(self, wanted, access, cloud).await
    }

    /// The pull secret of the spec, then those of the service account.
    async fn pull_secrets(
        &self,
        wanted: &Wanted<'_>,
        account: Option<&ObjectIdentity>,
    ) -> Result<Vec<Secret>, OpenError> {
        let (named, mut found) = (self.secrets(wanted.namespace), Vec::new());
        if let Some(reference) = wanted.secret {
            let name = named.full_name(&reference.name);
            let secret = named.get(&reference.name).await;
            found.push(secret.map_err(|source| OpenError::Secret { name, source })?);
        }
        let Some(account) = account else { return Ok(found) };
        let references = account.account().image_pull_secrets.as_deref().unwrap_or_default();
        if references.len() > MAX_ACCOUNT_PULL_SECRETS {
            return Err(OpenError::TooManySecrets(account.full_name()));
        }
        if !references.is_empty() && account.is_opted_in() {
            return Err(OpenError::AccountSecrets(account.full_name()));
        }
        for reference in references {
            let failed = |source| OpenError::AccountSecret {
                account: account.full_name(),
                name: named.full_name(&reference.name),
                source,
            };
            found.push(named.get(&reference.name).await.map_err(failed)?);
        }
        Ok(found)
    }

    /// What the identity of the object gets without a pull secret.
    async fn without_secrets(
        &self,
        wanted: &Wanted<'_>,
        account: Option<ObjectIdentity>,
        access: &mut Access,
    ) -> Result<Option<CloudLogin>, OpenError> {
        let (provider, name) = match wanted.provider {
            OciProvider::Aws => (RegistryProvider::Aws, "aws"),
            OciProvider::Azure => (RegistryProvider::Azure, "azure"),
            OciProvider::Gcp => (RegistryProvider::Gcp, "gcp"),
            OciProvider::Unknown => return Err(OpenError::Provider),
            OciProvider::Generic => {
                if let Some(account) = account.filter(ObjectIdentity::is_opted_in) {
                    access.credentials = self.own_token(wanted, &account).await?;
                }
                return Ok(None);
            }
        };
        let identity = Identity::from(account);
        // Whoever can put a server in between must not get what is not theirs.
        let is_between = access.tls.ca_bundle.is_some() && access.proxy.is_some();
        let fields = match (identity.owner(), access.insecure, is_between) {
            (Owner::Controller, true, _) => Some("spec.insecure"),
            (Owner::Controller, _, true) => Some("both spec.certSecretRef and spec.proxySecretRef"),
            _ => None,
        };
        match fields {
            Some(fields) => {
                let instead = match wanted.kind {
                    HELM_REPOSITORY => "spec.secretRef",
                    _ => "spec.serviceAccountName",
                };
                Err(OpenError::Exposed { provider: name, fields, instead })
            }
            None => Ok(Some(CloudLogin { identity, provider, last: None })),
        }
    }

    /// A token of the service account itself, for the registry.
    async fn own_token(
        &self,
        wanted: &Wanted<'_>,
        account: &ObjectIdentity,
    ) -> Result<Credentials, OpenError> {
        let audience = wanted.repository.registry().host();
        let lookup = self.clouds.account_token(account, audience, Some(requester(wanted))).await;
        let auth::AccessToken::Opaque { token, .. } = lookup.map_err(OpenError::Token)?.token else {
            return Ok(Credentials::Anonymous);
        };
        Ok(match account.username() {
            Some(username) => Credentials::Basic { username: username.to_owned(), password: token },
            None => Credentials::Bearer(token),
        })
    }

    /// What the cloud gives; if it gives nothing, why that is so.
    async fn log_in(&self, wanted: &Wanted<'_>, access: &Access, cloud: &mut CloudLogin) -> Credentials {
        let options = Options {
            requester: Some(requester(wanted)),
            proxy: access.proxy.as_ref(),
            timeout: wanted.timeout,
        };
        let host = wanted.repository.registry().host();
        // Rare and large: what asks a registry need not have room for it.
        let login = Box::pin(self.clouds.registry_login(&cloud.identity, cloud.provider, host, &options));
        match login.await {
            Ok(login) => {
                let (username, password) = (login.username.to_owned(), login.password.clone());
                cloud.last = Some(login);
                Credentials::Basic { username, password }
            }
            Err(error) => Credentials::Unavailable(chain(&error)),
        }
    }
}

fn requester<'a>(wanted: &Wanted<'a>) -> Requester<'a> {
    let Wanted { kind, namespace, name, .. } = *wanted;
    Requester { kind, namespace, name, operation: Operation::Reconcile }
}

fn of_secret(found: PullCredentials) -> Credentials {
    match found {
        PullCredentials::Basic { username, password } => Credentials::Basic { username, password },
        PullCredentials::IdentityToken(token) => Credentials::RefreshToken(token),
        PullCredentials::RegistryToken(token) => Credentials::Bearer(token),
    }
}

#[cfg(test)]
mod tests;
