//! Several writes to one object during a pass, each from what the one before left (Flux: `patch.SerialPatcher`).

use std::fmt::Debug;

use api::meta::FINALIZER;
use kube::core::NamespaceResourceScope;
use kube::core::object::HasStatus;
use kube::{Api, Client, Resource, ResourceExt};
use serde::{Serialize, de::DeserializeOwned};

use crate::patch::{self, PatchError};

/// Writes one object.
pub struct SerialPatcher<K> {
    api: Api<K>,
    stored: K,
    has_written: bool,
    owned: &'static [&'static str],
    manager: &'static str,
}

impl<K> SerialPatcher<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + HasStatus<Status: Clone>,
    K: Clone + Debug + Serialize + DeserializeOwned,
{
    /// Starts from the object as it was last read. Conditions of the `owned` types win over what others write there.
    pub fn new(client: Client, object: &K, owned: &'static [&'static str], manager: &'static str) -> Self {
        let api = Api::namespaced(client, &object.namespace().unwrap_or_default());
        Self { api, stored: object.clone(), has_written: false, owned, manager }
    }

    /// Sends what changed in the status, if anything. The answer may show a newer spec or request: they belong to the next pass, this
    /// one goes on with what it began with.
    ///
    /// # Errors
    /// See [`patch::status`].
    pub async fn status(&mut self, object: &mut K) -> Result<(), PatchError> {
        let saved = patch::status(&self.api, &self.stored, object, self.owned, self.manager).await?;
        *object.status_mut() = saved.status().cloned();
        self.adopt(object, saved);
        Ok(())
    }

    /// Adds or removes our finalizer.
    ///
    /// # Errors
    /// See [`patch::finalizer`].
    pub async fn finalizer(&mut self, object: &mut K, present: bool) -> Result<(), PatchError> {
        let saved = patch::finalizer(&self.api, &self.stored, FINALIZER, present, self.manager).await?;
        object.meta_mut().finalizers.clone_from(&saved.meta().finalizers);
        self.adopt(object, saved);
        Ok(())
    }

    fn adopt(&mut self, object: &mut K, saved: K) {
        let version = &saved.meta().resource_version;
        self.has_written |= *version != self.stored.meta().resource_version;
        object.meta_mut().resource_version.clone_from(version);
        self.stored = saved;
    }

    /// The object as our last write left it, if there was one.
    pub fn into_written(self) -> Option<K> {
        self.has_written.then_some(self.stored)
    }
}
