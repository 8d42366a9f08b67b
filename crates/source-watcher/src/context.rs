//! What all passes share.

use std::sync::Arc;
use std::time::Duration;

use ::artifact_generator::Tree;
use api::ArtifactGenerator;
use artifact::cache::Cache;
use artifact::store::Store;
use budget::Budget;
use kube::Client;
use kube::runtime::reflector;
use references::sources::Sources;
use runtime::controller::Waker;
use runtime::events::Recorder;
use runtime::latest::Latest;
use runtime::metrics::Metrics;
use tokio_util::sync::CancellationToken;

use crate::flags::Arguments;
use crate::generated::Generated;

/// Shared by all passes; nothing in it belongs to one generator.
pub struct Context {
    /// The controller's own identity.
    pub client: Client,
    /// Where events go.
    pub events: Recorder,
    /// Everything that is counted.
    pub metrics: Metrics,
    /// Where artifacts are stored.
    pub storage: Arc<Store>,
    /// The artifacts of sources.
    pub sources: Sources<ArtifactGenerator>,
    /// The contents of sources, one for each digest.
    pub trees: Cache<Tree>,
    /// The objects that are generated.
    pub generated: Generated,
    /// Generators whose artifacts are in the making.
    pub builds: Budget,
    /// One generator at a time holds several sources.
    pub several: Budget,
    /// The generators as the watch knows them.
    pub store: reflector::Store<ArtifactGenerator>,
    /// The generators as they were last written.
    pub latest: Latest<ArtifactGenerator>,
    /// Brings a generator a pass.
    pub waker: Waker<ArtifactGenerator>,
    /// The arguments of the process.
    pub arguments: Arguments,
    /// Percentage by which the interval is varied at random.
    pub jitter: u8,
    /// When a source that is missing is looked for again.
    pub requeue_dependency: Duration,
    /// Cancelled when the process should end.
    pub stop: CancellationToken,
}
