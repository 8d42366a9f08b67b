//! What all passes share.

use api::HelmRelease;
use apply::cluster::Cluster;
use artifact::cache::Cache;
use budget::Budget;
use clusters::Clusters;
use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};
use references::SharedReads;
use references::configs::Configs;
use references::sources::Sources;
use runtime::backoff::Failures;
use runtime::controller::Waker;
use runtime::events::Recorder;
use runtime::latest::Latest;
use runtime::metrics::{DriftedObjects, Metrics};
use tokio_util::sync::CancellationToken;

use crate::chart::CachedChart;
use crate::dependents::Dependents;
use crate::flags::Arguments;

/// Shared by all passes; nothing in it belongs to one HelmRelease.
pub struct Context {
    /// The arguments of the process.
    pub arguments: Arguments,
    /// The controller's own identity.
    pub client: Client,
    /// Everything that is counted.
    pub metrics: Metrics,
    /// Drift that is only told of.
    pub drifted: DriftedObjects,
    /// Where events go.
    pub events: Recorder,
    /// The cluster that the controller runs in.
    pub cluster: Cluster,
    /// Other clusters.
    pub clusters: Clusters,
    /// The artifacts of sources.
    pub sources: Sources<HelmRelease>,
    /// The ConfigMaps and Secrets that wake HelmReleases.
    pub configs: Configs<HelmRelease>,
    /// The ConfigMaps and Secrets of values.
    pub reads: SharedReads,
    /// Who waits for whom.
    pub dependents: Dependents,
    /// The charts, one for each digest.
    pub charts: Cache<CachedChart>,
    /// Renderings under way.
    pub renderings: Budget,
    /// Bytes that actions keep which wait without a turn.
    pub waiting: Budget,
    /// How often in a row HelmReleases went on at once.
    pub requeues: Failures<ObjectRef<HelmRelease>>,
    /// The HelmReleases as the watch knows them.
    pub store: Store<HelmRelease>,
    /// The HelmReleases as they were last written.
    pub latest: Latest<HelmRelease>,
    /// Brings a HelmRelease a pass.
    pub waker: Waker<HelmRelease>,
    /// Cancelled when the process should end: nothing new is begun.
    pub ending: CancellationToken,
    /// Cancelled when actions must end that are under way then.
    pub stop: CancellationToken,
}
