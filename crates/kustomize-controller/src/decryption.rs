//! Decryption of what SOPS encrypted: files before the build, built objects, and the data of built Secrets.
//!
//! ```text
//! spec.decryption ── Decryption::keys (async) ──▶ Keys ── Sops::new (thread of the build) ──▶ files ▸ build ▸ objects
//! ```
//!
//! Keys are read with the controller's own identity from the Kustomization's own namespace, for one run. Nothing decrypted
//! outlives the run, and no message shows any of it.

mod clouds;
mod keys;
mod service;
mod sops;

pub use clouds::Clouds;
pub use keys::{Keys, KeysError};
pub use service::{ImportError, KeyRing};
pub use sops::{DecryptError, Sops};

use std::{collections::BTreeMap, sync::Arc};

use api::{Kustomization, kustomization};
use kube::{Client, ResourceExt};
use references::{GetError, IdentityError, Kind, ObjectIdentity, SecretData, SharedReads, account_of};
use runtime::controller::due_since;

/// The only provider; with another one nothing is decrypted.
const PROVIDER: &str = "sops";

/// What decryption is done with where a Kustomization does not say, and in whose name.
#[derive(Clone)]
pub struct Decryption {
    /// The controller's own identity.
    pub client: Client,
    /// Secrets as they are read for all.
    pub reads: SharedReads,
    /// Namespace of the controller.
    pub namespace: String,
    /// Secret of that namespace with age identities for Kustomizations without a Secret of their own; empty means none.
    pub age_secret: String,
    /// Service account, in the Kustomization's namespace, where that names none.
    pub default_account: Option<String>,
    /// Key services; `None` reaches none.
    pub clouds: Option<Arc<Clouds>>,
}

impl Decryption {
    /// The keys that a Kustomization may use; nothing if it decrypts nothing.
    ///
    /// # Errors
    /// When something that it names cannot be read. What is in it is looked at when it is used.
    pub async fn keys(&self, object: &Kustomization) -> Result<Option<Keys>, KeysError> {
        let Some(spec) = object.spec.decryption.as_ref().filter(|spec| spec.provider == PROVIDER) else {
            return Ok(None);
        };
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let (secret, identity) = tokio::join!(self.secret(spec, namespace), self.identity(spec, namespace));
        Ok(Some(Keys {
            object: (namespace.to_owned(), object.name_any()),
            source: secret?,
            identity: identity?.into(),
            clouds: self.clouds.clone(),
        }))
    }

    async fn secret(
        &self,
        spec: &kustomization::Decryption,
        namespace: &str,
    ) -> Result<keys::Source, KeysError> {
        let unreadable = |name: String, source| KeysError::Secret { name, source };
        if let Some(reference) = &spec.secret_ref {
            let full_name = format!("{namespace}/{}", reference.name);
            return match self.read(namespace, &reference.name).await {
                Ok(data) => Ok(keys::Source::Own(data)),
                Err(error) if error.is_not_found() => Err(KeysError::NotFound(error)),
                Err(error) => Err(unreadable(full_name, error)),
            };
        }
        if self.age_secret.is_empty() || self.namespace.is_empty() {
            return Ok(keys::Source::None);
        }
        let shared = self.read(&self.namespace, &self.age_secret).await;
        shared.map(keys::Source::Shared).map_err(KeysError::Shared)
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<SecretData, GetError> {
        let entries = self.reads.entries(Kind::Secret, namespace, name, due_since()).await?;
        Ok(SecretData::new(&format!("{namespace}/{name}"), BTreeMap::clone(&entries)))
    }

    async fn identity(
        &self,
        spec: &kustomization::Decryption,
        namespace: &str,
    ) -> Result<Option<ObjectIdentity>, KeysError> {
        let name = account_of(spec.service_account_name.as_deref(), self.default_account.as_deref());
        let Some(name) = name else { return Ok(None) };
        match ObjectIdentity::get(&self.client, namespace, name).await {
            Ok(identity) => Ok(Some(identity)),
            Err(IdentityError::Get { name, source }) => Err(KeysError::Account { name, source }),
            Err(IdentityError::Configuration(why)) => Err(KeysError::Identity(why)),
            Err(error) => Err(KeysError::Identity(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
