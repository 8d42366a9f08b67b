//! Whose credentials are used at a cloud for a Flux object: those of the controller, or of a service account of its namespace.
//!
//! ```text
//! service account ── Identity ─┐
//! region, scope ───── Target ──┼─▶ Clouds::token ──▶ Tokens (cache, series) ──▶ AccessToken
//! proxy, timeout ── Options ───┘        └─ TokenRequest, then the cloud: crates `references`, `auth`
//! ```
//!
//! # Guarantees
//! - A token is kept by all that it depends on: account, annotations, audiences, region or scope, and the proxy that it came through.
//! - The identity of the controller never comes through the proxy of an object, which could read or forge it.
//!
//! # Caveats
//! - Where credentials of the controller may go is for the caller to judge: see [`Identity::owner`].

mod clouds;
mod error;
mod registries;
mod tokens;

pub use auth::Owner;
pub use auth::cache::Lookup;
pub use clouds::{Clouds, Options, Target, http};
pub use error::{CredentialError, ProviderError};
pub use references::IdentityError;
pub use registries::{LoginError, RegistryLogin, RegistryProvider};
pub use tokens::{Operation, Requester, Tokens};

use auth::{aws, azure, gcp};
use kube::{Client, ResourceExt};
use references::ObjectIdentity;

/// What of a service account decides who it is at a cloud.
const ANNOTATIONS: [&str; 5] = [
    aws::ROLE_ANNOTATION,
    azure::TENANT_ANNOTATION,
    azure::CLIENT_ANNOTATION,
    gcp::SERVICE_ACCOUNT_ANNOTATION,
    gcp::PROVIDER_ANNOTATION,
];

/// Whose credentials are used.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The controller's, as the platform gives them to its Pod.
    Controller,
    /// Those of a service account, which its annotations name.
    ServiceAccount(Box<ObjectIdentity>),
}

impl From<Option<ObjectIdentity>> for Identity {
    /// The service account; without one the controller.
    fn from(identity: Option<ObjectIdentity>) -> Self {
        identity.map_or(Identity::Controller, |identity| Identity::ServiceAccount(Box::new(identity)))
    }
}

impl Identity {
    /// The service account `account` of `namespace`; without one the controller.
    ///
    /// # Errors
    /// When the account cannot be read, and when its annotations say what cannot be.
    pub async fn get(
        client: &Client,
        namespace: &str,
        account: Option<&str>,
    ) -> Result<Identity, IdentityError> {
        Ok(match account {
            Some(name) => Some(ObjectIdentity::get(client, namespace, name).await?).into(),
            None => Identity::Controller,
        })
    }

    /// Whether it is the controller's or a tenant's. Credentials of the controller may go to hosts of the cloud and of the operator alone.
    pub fn owner(&self) -> Owner {
        match self {
            Identity::Controller => Owner::Controller,
            Identity::ServiceAccount(_) => Owner::Tenant,
        }
    }

    /// What its credentials depend on: equal keys are one identity at every cloud.
    pub fn cache_key(&self) -> String {
        let Identity::ServiceAccount(identity) = self else { return String::new() };
        let annotations = identity.account().annotations();
        let annotations = ANNOTATIONS.map(|name| annotations.get(name));
        format!("{} {annotations:?}", identity.cache_key())
    }
}
