//! One run of a Kustomization, from its artifact to healthy objects.
//!
//! ```text
//! Start → Connect → Download → Build → Apply(stage) → AwaitStage → … → Prune → AwaitHealth → Ending
//!                                   └→ Recreate ┘
//! ```
//!
//! [`machine`] decides what comes next and knows no cluster; what it asks for goes through [`Effects`], which a pass implements.
//! A pass carries a run as far as it can go. Where there is something to wait for, the run is put aside in its
//! phase and the pass ends: no worker and no task is held. A watch event or the phase's deadline brings it back.

pub(crate) mod build;
pub(crate) mod effects;
pub(crate) mod machine;
mod prune_guard;

use build::BuildError;
pub(crate) use build::BuildInputs;
pub(crate) use effects::Effects;
use effects::{Build, Connected};
pub use prune_guard::PruneGuard;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use api::{Artifact, duration::go_duration_string};
use apply::{change::ChangeSet, mask::Mask, object::ObjectId, order::Stage, prune::Entry};
use artifact::cache::CacheError;
use budget::Grant;
use kustomize::tree::MemoryTree;
use references::sources::Content;
use runtime::queue::InFlightGuard;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::{builds::Queued, health::Awaited};

/// What a run is for. A run whose inputs are no longer the object's is replaced at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    pub generation: i64,
    pub requested: Option<String>,
    /// Of the source; `None` if it has no artifact.
    pub content: Option<Content>,
    /// An object made anew under its name starts afresh.
    pub uid: Option<String>,
    /// State of the watched ConfigMaps and Secrets that it refers to.
    pub configs: u64,
}

impl Inputs {
    /// Whether these are the other ones, whatever the source has.
    pub fn match_but_for_content(&self, other: &Self) -> bool {
        Self { content: self.content.clone(), ..other.clone() } == *self
    }
}

/// What a run sets out to do. Nothing of it changes while the run goes on.
pub struct Plan {
    pub inputs: Inputs,
    pub artifact: Artifact,
    /// Directory in the artifact.
    pub path: String,
    pub started: Instant,
    /// How long health checks may take.
    pub timeout: Duration,
    /// Whether objects that are no longer wanted are deleted.
    pub prune: bool,
    /// How much of the inventory may be deleted, if that is limited.
    pub prune_guard: Option<PruneGuard>,
    /// Whether one failed object ends the wait for health.
    pub fail_fast: bool,
    /// Whether what the watches prove to be unchanged need not be asked for.
    pub skip_unchanged: bool,
    /// The inventory before the run.
    pub before: Vec<Entry>,
    /// What the objects of the last run were built from, if it succeeded.
    pub last_build: Option<BuildInputs>,
    /// Whether the objects were healthy before the run.
    pub was_healthy: bool,
}

/// What a run has come to.
#[derive(Default)]
pub struct Progress {
    /// What Reconciling says of the phase.
    pub message: String,
    /// Whether the artifact was fetched and has the directory.
    pub attempted: bool,
    /// Every object that the run may create, known once it is built.
    pub desired: Vec<Entry>,
    /// Jobs among them that remove themselves when they are done.
    pub vanishing: HashSet<ObjectId>,
    /// Values in them that no message may show.
    pub secrets: Mask,
    /// Digest of the built objects.
    pub digest: String,
    /// What the objects are built from, if that can be told.
    pub build: Option<BuildInputs>,
    /// For the objects that are left to apply.
    pub memory: Option<Grant>,
    /// What the finished stages did.
    pub changes: ChangeSet,
    /// What was done of the present stage before it had to wait.
    pub stage_changes: ChangeSet,
    /// Drift that is reported and not repaired.
    pub unrepaired: ChangeSet,
    /// The inventory, once everything is applied.
    pub inventory: Option<Vec<Entry>>,
}

/// A run on its way.
pub struct Run {
    pub plan: Plan,
    pub progress: Progress,
    /// For the watchdog, which sees the run until it is dropped.
    _in_flight: InFlightGuard,
}

/// The search for another cluster in a task of its own. Who drops it no longer waits for it.
pub(crate) type Connect = AbortOnDropHandle<Connected>;

/// A download in a task of its own. Who drops it no longer waits for it.
pub type Download = AbortOnDropHandle<Result<Arc<MemoryTree>, CacheError>>;

/// A build in a task of its own. Who drops it no longer waits for it.
pub struct BuildTask {
    /// Its end.
    pub(crate) task: AbortOnDropHandle<Result<Build, BuildError>>,
    /// Whether it waits for its turn.
    pub queued: Queued,
}

/// A point at which a run can be put aside.
pub(crate) enum Phase {
    /// Nothing is done yet.
    Start,
    /// The other cluster has yet to answer.
    Connect(Connect),
    /// The artifact is being downloaded.
    Download(Download),
    /// The objects are being built, or wait for that.
    Build(BuildTask),
    /// These stages are left to apply.
    Apply(VecDeque<Stage>),
    /// Deleted objects of the first stage that is left must be gone before they are made anew.
    Recreate { terminating: Vec<Entry>, deadline: Instant, remaining: VecDeque<Stage> },
    /// The objects of the last stage must be ready before the stages that are left.
    AwaitStage { awaited: Vec<Awaited>, deadline: Instant, remaining: VecDeque<Stage> },
    /// All is applied; these objects are no longer wanted. Others may have a moment to say that they want them.
    Prune { stale: Vec<Entry>, deadline: Instant },
    /// All is applied and must become healthy.
    AwaitHealth { awaited: Vec<Awaited>, since: Instant, deadline: Instant },
}

/// How far a pass carried a run.
pub(crate) enum Ending {
    /// Nothing to do before this much time has passed, unless the run is woken.
    Waiting(Phase, Duration),
    /// The server does not have the artifact that the source tells of: the source is about to say more.
    SourceNotReady(&'static str),
    /// All is applied and, if that is asked for, healthy.
    Succeeded,
    /// The run failed.
    Failed(Failure),
}

/// Why a run failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Reason of Ready.
    pub reason: &'static str,
    /// Message of Ready.
    pub message: String,
    /// What the event and the log put before the message: the step that failed.
    pub step: Option<&'static str>,
    /// Message of Healthy, if that is what failed.
    pub healthy: Option<String>,
    /// Whether the result belongs into the history.
    pub recorded: bool,
}

impl Failure {
    /// A failure that is not kept in the history.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), step: None, healthy: None, recorded: false }
    }

    /// What the event and the log say.
    pub fn told(&self) -> String {
        match self.step {
            Some(step) => format!("{step}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// The same, to be kept in the history.
    #[must_use]
    pub fn recorded(mut self) -> Self {
        self.recorded = true;
        self
    }
}

impl Run {
    /// A run that has yet to start.
    pub fn new(plan: Plan, in_flight: InFlightGuard) -> Self {
        let mut run = Self { plan, progress: Progress::default(), _in_flight: in_flight };
        run.now("Fetching manifests");
        run
    }

    /// Says what the run does now; upstream's sentence.
    pub fn now(&mut self, doing: &str) {
        let (revision, timeout) = (&self.plan.artifact.revision, go_duration_string(self.plan.timeout));
        self.progress.message = format!("{doing} for revision {revision} with a timeout of {timeout}");
    }
}

impl Progress {
    /// Inventory entries of everything that is applied, once all stages are.
    pub fn applied(&self) -> Vec<Entry> {
        let entries = self.changes.changes.iter();
        entries.map(|c| Entry { id: c.id.clone(), version: c.version.clone() }).collect()
    }
}
