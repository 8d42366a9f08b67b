//! Which kinds a cluster serves, and where.

use std::time::Duration;

use kube::Client;
use kube::core::{ApiResource, GroupVersionKind};

/// A served kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Where it is served.
    pub resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// Why a kind could not be found.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MapError {
    /// The cluster does not serve it.
    #[error("no matches for kind \"{kind}\" in version \"{api_version}\"")]
    NoMatch {
        /// Kind asked for.
        kind: String,
        /// `apiVersion` asked for.
        api_version: String,
    },
    /// The cluster could not say.
    #[error("failed to get API group resources: unable to retrieve the complete list of server APIs: {0}")]
    Discovery(String),
}

/// Discovery of one cluster, shared by all its users; refreshed when a kind is missing.
pub struct Mapper {}

impl Mapper {
    /// `floor` is the shortest time between two discoveries caused by missing kinds.
    pub fn new(_client: Client, _floor: Duration) -> Self {
        todo!()
    }

    /// The kind at exactly this version.
    ///
    /// # Errors
    /// If the cluster does not serve it, or could not be asked.
    pub async fn resolve(&self, _gvk: &GroupVersionKind) -> Result<Mapped, MapError> {
        todo!()
    }

    /// The kind at the version the cluster prefers.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub async fn resolve_preferred(&self, _group: &str, _kind: &str) -> Result<Mapped, MapError> {
        todo!()
    }

    /// Makes the next question be answered by a fresh discovery, floor or not: call it when definitions were applied.
    pub fn invalidate(&self) {
        todo!()
    }
}
