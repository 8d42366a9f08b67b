//! One run of a Kustomization, from its artifact to healthy objects, as a state machine.
//!
//! ```text
//! Fetch → (build) → Apply(stage) → AwaitStage → … → Prune → AwaitHealth → done
//! ```
//!
//! A pass carries a run as far as it can go. Where there is something to wait for, the run is put aside in its
//! phase and the pass ends: no worker and no task is held. A watch event or the phase's deadline brings it back.

mod build;
mod finish;
mod prune;
mod stages;
mod unchanged;
mod wait;

pub(crate) use build::selector;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use api::Artifact;
use apply::{applier::Memory, change::ChangeSet, object::ObjectId, order::Stage, prune::Entry};
use artifact::cache::CacheError;
use kustomize::tree::MemoryTree;
use runtime::queue::InFlightGuard;
use tokio::{task::JoinHandle, time::Instant};

pub(crate) use unchanged::Basis;

use crate::health::Awaited;
use crate::sources::Content;

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

/// A run on its way.
pub struct Run {
    pub inputs: Inputs,
    pub artifact: Artifact,
    pub started: Instant,
    /// For the watchdog, which sees the run until it is dropped.
    #[expect(dead_code, reason = "its end is what counts")]
    pub in_flight: InFlightGuard,
    /// Whether what the watches prove to be unchanged need not be asked for.
    pub trusting: bool,
    /// Where it stands.
    pub phase: Phase,
    /// What Reconciling says of the phase.
    pub message: String,
    /// The inventory before the run.
    pub before: Vec<Entry>,
    /// Every object that the run may create, known once it is built.
    pub desired: Vec<Entry>,
    /// Jobs among them that remove themselves when they are done.
    pub vanishing: HashSet<ObjectId>,
    /// Whether the objects were healthy before the run.
    pub was_healthy: bool,
    /// What is known about the objects of the finished stages.
    pub memory: Memory,
    /// The inventory, once everything is applied.
    pub inventory: Option<Vec<Entry>>,
    /// Whether the artifact was fetched and has the directory.
    pub attempted: bool,
    /// Digest of the built objects.
    pub digest: String,
    /// What the objects are built from, if that can be told; before the build, what those of the last run were.
    pub basis: Option<Basis>,
    /// What the finished stages did.
    pub changes: ChangeSet,
    /// What was done of the present stage before it had to wait.
    pub part: ChangeSet,
    /// What would have been changed back, if drift is only reported.
    pub left: ChangeSet,
}

/// A point at which a run can be put aside.
pub enum Phase {
    /// The artifact is being downloaded by a task of its own.
    Fetch(JoinHandle<Result<Arc<MemoryTree>, CacheError>>),
    /// These stages are left to apply.
    Apply(VecDeque<Stage>),
    /// Deleted objects of the first stage that is left must be gone before they are made anew.
    Recreate { terminating: Vec<Entry>, deadline: Instant, left: VecDeque<Stage> },
    /// The objects of the last stage must be ready before the stages that are left.
    AwaitStage { awaited: Vec<Awaited>, deadline: Instant, left: VecDeque<Stage> },
    /// All is applied; these objects are no longer wanted. Others may have a moment to say that they want them.
    Prune { stale: Vec<Entry>, deadline: Instant },
    /// All is applied and must become healthy.
    AwaitHealth { awaited: Vec<Awaited>, since: Instant, deadline: Instant },
}

/// How a step of a run ended.
pub enum Step {
    /// The next phase can begin.
    Next(Phase),
    /// Nothing to do before this much time has passed, unless the run is woken.
    Wait(Phase, Duration),
    /// The artifact is not on its server.
    Absent(String),
    /// The run is over.
    Done,
    /// The run failed.
    Fail(Failure),
}

/// Why a run failed.
pub struct Failure {
    /// Reason of Ready.
    pub reason: &'static str,
    /// Message of Ready.
    pub message: String,
    /// Message of Healthy, if that is what failed.
    pub healthy: Option<String>,
    /// Whether the result belongs into the history.
    pub recorded: bool,
}

impl Failure {
    /// A failure that is not kept in the history.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), healthy: None, recorded: false }
    }

    /// The same, to be kept in the history.
    #[must_use]
    pub fn recorded(mut self) -> Self {
        self.recorded = true;
        self
    }
}

impl Run {
    /// A run that is about to fetch.
    pub fn new(
        inputs: Inputs,
        artifact: Artifact,
        before: Vec<Entry>,
        timeout: &str,
        in_flight: InFlightGuard,
    ) -> Self {
        let message =
            format!("Fetching manifests for revision {} with a timeout of {timeout}", artifact.revision);
        Self {
            inputs,
            artifact,
            started: Instant::now(),
            in_flight,
            trusting: false,
            phase: Phase::Apply(VecDeque::new()),
            message,
            before,
            desired: Vec::new(),
            vanishing: HashSet::new(),
            was_healthy: false,
            memory: Memory::new(),
            inventory: None,
            attempted: false,
            digest: String::new(),
            basis: None,
            changes: ChangeSet::default(),
            part: ChangeSet::default(),
            left: ChangeSet::default(),
        }
    }

    /// Takes down what the objects are built from.
    pub fn built_from(&mut self, basis: Basis) {
        self.digest.clone_from(&basis.digest);
        self.basis = Some(basis);
    }

    /// Inventory entries of everything that is applied, once all stages are.
    pub fn applied(&self) -> Vec<Entry> {
        let entries = self.changes.changes.iter();
        entries.map(|c| Entry { id: c.id.clone(), version: c.version.clone() }).collect()
    }

    /// Whether the run is for these inputs, whatever the source has.
    pub fn fits(&self, inputs: &Inputs) -> bool {
        Inputs { content: self.inputs.content.clone(), ..inputs.clone() } == self.inputs
    }

    /// Says what the run does now; upstream's sentence.
    pub fn now(&mut self, doing: &str, timeout: &str) {
        self.message = format!("{doing} for revision {} with a timeout of {timeout}", self.artifact.revision);
    }
}
