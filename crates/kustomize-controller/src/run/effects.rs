//! What a run asks of the cluster and says to it.

use std::{future::Future, sync::Arc, time::Duration};

use apply::{change::ChangeSet, object::Manifest, order::Stage, prune::Entry, prune::Pruned};
use artifact::cache::CacheError;
use budget::Grant;
use clusters::{ConnectError, RemoteCluster};
use kustomize::tree::MemoryTree;
use runtime::patch::PatchError;
use tokio_util::task::AbortOnDropHandle;

use super::{BuildInputs, Failure, Run, build::BuildError};
use crate::{
    builds::Queued,
    health::{Awaited, Health},
    render::Rendered,
};

/// What takes long or not: its result, or the task that is to bring it. Who drops the task no longer waits for it.
pub(crate) enum Background<T> {
    Now(T),
    Later(AbortOnDropHandle<T>),
}

/// The other cluster that the spec names, if it names one.
pub(crate) type Connected = Result<Option<Arc<RemoteCluster>>, ConnectError>;

/// An artifact, or the download that is to bring it.
pub(crate) type Downloaded = Background<Result<Arc<MemoryTree>, CacheError>>;

/// What was built, or the build that is to bring it.
pub(crate) type Built = Background<Result<Build, BuildError>>;

/// What a build came to.
pub(crate) enum Build {
    /// It would give the objects that are in the cluster.
    Unchanged(BuildInputs),
    /// Its objects. What they are built from, if that can be told. Their memory.
    Done(Box<Rendered>, Option<BuildInputs>, Grant),
}

/// What became of a stage that did not fail.
#[derive(Default)]
pub(crate) struct StageApplied {
    pub changes: ChangeSet,
    /// What would have been changed, if drift is only reported; nothing is waited for then.
    pub unrepaired: Option<ChangeSet>,
    /// Deleted objects that are to be made anew and are not gone yet.
    pub terminating: Vec<Entry>,
    /// What was therefore not applied, those objects included.
    pub unapplied: Vec<Manifest>,
}

/// The outside of a run. [`super::machine`] decides, this acts and looks.
///
/// What it remembers of applied objects it keeps to itself. An error of a patch means that the object cannot be written: the
/// pass ends and the run with it.
///
/// # Guarantees that an implementation gives
/// - `apply` announces the run before it writes anything, if it writes anything.
/// - Nothing waits for more than single answers: what may take long is looked at again in another pass.
///
/// # Caveats
/// - Any call may be the last one: a run is dropped between two passes when its inputs change.
pub(crate) trait Effects: Send {
    /// Finds the cluster that the spec names. One that takes long to answer is waited for elsewhere, and that it has or has not wakes
    /// the object.
    fn connect(&mut self) -> impl Future<Output = Background<Connected>> + Send;

    /// Acts in this cluster from now on, or in that of the controller, and watches there what was applied before.
    fn use_cluster(&mut self, run: &Run, cluster: Option<Arc<RemoteCluster>>);

    /// What the objects in the cluster were built from, if a build would give them again and that can be told without the
    /// artifact.
    fn unchanged(&mut self, run: &Run) -> impl Future<Output = Option<BuildInputs>> + Send;

    /// Gets the artifact. A download that takes long goes on, and its end wakes the object.
    fn download(&mut self, run: &Run) -> impl Future<Output = Downloaded> + Send;

    /// Builds the objects; `queued` tells while that waits for its turn. A build that takes long or has to wait goes on, and its end
    /// wakes the object.
    fn build(
        &mut self,
        run: &Run,
        tree: Arc<MemoryTree>,
        queued: &Queued,
    ) -> impl Future<Output = Built> + Send;

    /// Splits built objects into stages, and begins to watch their kinds.
    fn stages(&mut self, manifests: Vec<Manifest>) -> Vec<Stage>;

    /// Tells the cluster that a run goes on and, before anything else is written there, what it may create: a kill
    /// between here and the end leaves no object that no inventory names.
    fn announce(&mut self, run: &Run) -> impl Future<Output = Result<(), PatchError>> + Send;

    /// Applies a stage; announces the run first if there is something to write.
    fn apply(
        &mut self,
        run: &Run,
        stage: Stage,
    ) -> impl Future<Output = Result<StageApplied, ApplyError>> + Send;

    /// Which of these objects still terminate.
    fn terminating(
        &mut self,
        entries: Vec<Entry>,
    ) -> impl Future<Output = Result<Vec<Entry>, Failure>> + Send;

    /// All stages are applied: remembers the objects and says what was done.
    fn applied(&mut self, run: &Run);

    /// The objects of `changes`, to be awaited in the state they were applied in, or a later one.
    fn awaited(&self, run: &Run, changes: &ChangeSet) -> Vec<Awaited>;

    /// The objects whose health the spec asks for; `None` if it asks for none.
    fn health_checks(
        &mut self,
        run: &Run,
    ) -> impl Future<Output = Result<Option<Vec<Awaited>>, HealthCheckError>> + Send;

    /// The health of these objects, and when it has to be looked for again.
    fn health(
        &mut self,
        awaited: &mut [Awaited],
        fail_fast: bool,
    ) -> impl Future<Output = (Health, Option<Duration>)> + Send;

    /// The health check passed after this time.
    fn healthy(&mut self, run: &Run, took: Duration);

    /// The health check takes long: says so.
    fn still_unhealthy(&mut self, run: &Run) -> impl Future<Output = Result<(), PatchError>> + Send;

    /// Whether another Kustomization of the same source has yet to say what it will apply.
    /// A change of it wakes this one.
    fn is_handover_pending(&mut self, run: &Run) -> bool;

    /// Deletes what is no longer wanted, but for what others name.
    fn prune(&mut self, run: &Run, stale: Vec<Entry>)
    -> impl Future<Output = Result<Pruned, Failure>> + Send;

    /// An event of the run while it goes on, with what it was doing.
    fn event(&self, run: &Run, action: &'static str, message: &str);
}

/// Why a stage was not applied, or not all of it.
pub(crate) enum ApplyError {
    /// The Kustomization cannot be written.
    Patch(PatchError),
    /// The stage could not be tried.
    NotTried(Failure),
    /// Objects failed.
    Objects {
        /// What failed, one object a line.
        message: String,
        /// What was applied nevertheless.
        changes: ChangeSet,
    },
}

/// Why the objects of a health check cannot be told.
#[derive(Debug)]
pub(crate) enum HealthCheckError {
    /// The health of an object can never be told, with upstream's line about it.
    Unknowable(String),
    /// The run fails.
    Run(Failure),
}
