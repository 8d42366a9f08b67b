//! What every pass has at hand.

use std::sync::Arc;

use api::Kustomization;
use apply::cluster::Cluster;
use artifact::cache::Cache;
use clusters::Clusters;
use kube::{
    Client,
    core::Status,
    runtime::reflector::{ObjectRef, Store},
};
use kustomize::tree::MemoryTree;
use references::configs::Configs;
use references::sources::Sources;
use references::{SharedReads, check_name};
use runtime::{
    controller::Waker,
    events::Recorder,
    metrics::{DriftedObjects, Metrics},
    queue::InFlight,
};

use crate::{
    builds::Builds, decryption::Decryption, dependencies::Dependencies, flags::Arguments, handover::Skipped,
    remote::RemoteBases,
};

/// Shared by all passes; nothing in it belongs to one Kustomization.
pub struct Context {
    pub arguments: Arguments,
    /// The controller's own identity.
    pub client: Client,
    pub metrics: Metrics,
    pub drifted: DriftedObjects,
    /// What claims of others do not count for.
    pub skipped: Skipped,
    pub events: Recorder,
    /// ConfigMaps and Secrets that specs name.
    pub reads: SharedReads,
    /// The cluster that the controller runs in.
    pub cluster: Cluster,
    /// Those that specs name.
    pub clusters: Clusters,
    /// Unpacked artifacts by digest.
    pub artifacts: Cache<MemoryTree>,
    /// How builds are done; holds what they share.
    pub build: kustomize::Options,
    /// What builds draw on.
    pub builds: Arc<Builds>,
    /// Bases from elsewhere, if they are allowed.
    pub bases: Option<Arc<RemoteBases>>,
    /// Where the keys of what is encrypted are from.
    pub decryption: Decryption,
    pub sources: Sources<Kustomization>,
    pub configs: Configs<Kustomization>,
    /// Runs that are not over.
    pub runs: InFlight,
    pub dependencies: Dependencies,
    pub waker: Waker<Kustomization>,
    pub store: Store<Kustomization>,
}

impl Context {
    /// A Kustomization as the watch has it, or as the server has it if the watch does not cover it.
    pub async fn kustomization(
        &self,
        key: &ObjectRef<Kustomization>,
    ) -> Result<Arc<Kustomization>, kube::Error> {
        if let Some(object) = self.store.get(key) {
            return Ok(object);
        }
        let namespace = key.namespace.as_deref().unwrap_or_default();
        if let Err(error) = check_name(&key.name).and(check_name(namespace)) {
            let status = Status::failure(&error.to_string(), "NotFound").with_code(404);
            return Err(kube::Error::Api(Box::new(status)));
        }
        let api: kube::Api<Kustomization> = kube::Api::namespaced(self.client.clone(), namespace);
        api.get(&key.name).await.map(Arc::new)
    }
}
