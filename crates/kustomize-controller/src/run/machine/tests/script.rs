//! Effects that answer as a case says and take down what they were asked for.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use api::Artifact;
use apply::{
    change::{Action, Change, ChangeSet},
    object::{Manifest, ObjectId},
    order::{Stage, stages},
    prepare::Owner,
    prune::{Entry, Pruned},
};
use budget::{Budget, Grant, Limits, Request};
use clusters::RemoteCluster;
use futures::FutureExt as _;
use kustomize::tree::{MemoryTree, Traced};
use runtime::{patch::PatchError, queue::InFlight};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    builds::Queued,
    health::{Awaited, Health, Observation, Polled},
    render::Rendered,
    run::{
        BuildInputs, Effects, Ending, Failure, Inputs, Phase, Plan, Run,
        effects::{
            ApplyError, Background, Build, Built, Connected, Downloaded, HealthCheckError, StageApplied,
        },
        machine::drive,
    },
};

/// What the effects answer, and what they were asked.
pub struct Script {
    pub asked: Vec<String>,
    pub connected: Option<Background<Connected>>,
    pub unchanged: Option<BuildInputs>,
    pub download: Option<Downloaded>,
    pub built: Option<Built>,
    /// Answers for one stage after the other; those that are missing create every object of the stage.
    pub stages: VecDeque<Result<StageApplied, ApplyError>>,
    /// Answers for one look after the other; those that are missing find nothing.
    pub terminating: VecDeque<Result<Vec<Entry>, Failure>>,
    pub checks: Option<Result<Option<Vec<Awaited>>, HealthCheckError>>,
    /// Answers for one look after the other; those that are missing find all current.
    pub health: VecDeque<(Health, Option<Duration>)>,
    pub handover_pending: bool,
    pub pruned: Option<Result<Pruned, Failure>>,
    /// Whether the Kustomization cannot be written.
    pub unwritable: bool,
}

impl Default for Script {
    /// Builds a ConfigMap `a`, and asks for no health.
    fn default() -> Self {
        Self {
            asked: Vec::new(),
            connected: Some(Background::Now(Ok(None))),
            unchanged: None,
            download: Some(Downloaded::Now(Ok(tree()))),
            built: Some(Built::Now(Ok(built(&[("ConfigMap", "a")])))),
            stages: VecDeque::new(),
            terminating: VecDeque::new(),
            checks: Some(Ok(None)),
            health: VecDeque::new(),
            handover_pending: false,
            pruned: None,
            unwritable: false,
        }
    }
}

impl Script {
    fn write(&mut self, what: &str) -> Result<(), PatchError> {
        self.asked.push(what.into());
        if self.unwritable { Err(PatchError::Replaced) } else { Ok(()) }
    }
}

impl Effects for Script {
    async fn connect(&mut self) -> Background<Connected> {
        self.connected.take().unwrap()
    }

    fn use_cluster(&mut self, _run: &Run, _cluster: Option<Arc<RemoteCluster>>) {}

    async fn unchanged(&mut self, _run: &Run) -> Option<BuildInputs> {
        self.unchanged.take()
    }

    async fn download(&mut self, _run: &Run) -> Downloaded {
        self.asked.push("download".into());
        self.download.take().unwrap()
    }

    async fn build(&mut self, _run: &Run, _tree: Arc<MemoryTree>, _queued: &Queued) -> Built {
        self.asked.push("build".into());
        self.built.take().unwrap()
    }

    fn stages(&mut self, manifests: Vec<Manifest>) -> Vec<Stage> {
        stages(manifests, &Default::default())
    }

    async fn announce(&mut self, _run: &Run) -> Result<(), PatchError> {
        self.write("announce")
    }

    async fn apply(&mut self, _run: &Run, stage: Stage) -> Result<StageApplied, ApplyError> {
        let names: Vec<_> = stage.manifests.iter().map(|m| m.id().subject()).collect();
        self.write(&format!("apply {}", names.join(" "))).map_err(ApplyError::Patch)?;
        self.stages.pop_front().unwrap_or_else(|| {
            let changes = stage.manifests.iter().map(|m| change(m.id(), Action::Created)).collect();
            Ok(StageApplied { changes: ChangeSet { changes }, ..StageApplied::default() })
        })
    }

    async fn terminating(&mut self, _entries: Vec<Entry>) -> Result<Vec<Entry>, Failure> {
        self.asked.push("terminating".into());
        self.terminating.pop_front().unwrap_or(Ok(Vec::new()))
    }

    fn applied(&mut self, _run: &Run) {
        self.asked.push("applied".into());
    }

    fn awaited(&self, _run: &Run, changes: &ChangeSet) -> Vec<Awaited> {
        changes.applied().map(|change| awaited(change.id.clone())).collect()
    }

    async fn health_checks(&mut self, _run: &Run) -> Result<Option<Vec<Awaited>>, HealthCheckError> {
        self.asked.push("health checks".into());
        self.checks.take().unwrap()
    }

    async fn health(&mut self, _awaited: &mut [Awaited], fail_fast: bool) -> (Health, Option<Duration>) {
        self.asked.push(if fail_fast { "health, fail fast" } else { "health" }.into());
        self.health.pop_front().unwrap_or((Health::Current, None))
    }

    fn healthy(&mut self, _run: &Run, _took: Duration) {
        self.asked.push("healthy".into());
    }

    async fn still_unhealthy(&mut self, _run: &Run) -> Result<(), PatchError> {
        self.write("still unhealthy")
    }

    fn is_handover_pending(&mut self, _run: &Run) -> bool {
        self.handover_pending
    }

    async fn prune(&mut self, _run: &Run, stale: Vec<Entry>) -> Result<Pruned, Failure> {
        let names: Vec<_> = stale.iter().map(|entry| entry.id.subject()).collect();
        self.asked.push(format!("prune {}", names.join(" ")));
        self.pruned.take().unwrap_or_else(|| {
            let changes = stale.into_iter().map(|entry| change(entry.id, Action::Deleted)).collect();
            Ok(Pruned { changes: ChangeSet { changes }, ..Pruned::default() })
        })
    }

    fn event(&self, _run: &Run, _action: &'static str, _message: &str) {}
}

/// An artifact with the directory that runs build.
pub fn tree() -> Arc<MemoryTree> {
    let mut tree = MemoryTree::default();
    tree.insert("app/a.yaml", Vec::new());
    Arc::new(tree)
}

pub fn id(kind: &str, name: &str) -> ObjectId {
    ObjectId { group: String::new(), kind: kind.into(), namespace: String::new(), name: name.into() }
}

pub fn entry(kind: &str, name: &str) -> Entry {
    Entry { id: id(kind, name), version: "v1".into() }
}

pub fn change(id: ObjectId, action: Action) -> Change {
    Change { id, version: "v1".into(), action }
}

pub fn awaited(id: ObjectId) -> Awaited {
    let gvk = id.gvk("v1");
    Awaited {
        id,
        gvk,
        not_before: None,
        may_vanish: false,
        observed: Observation::Owned(Owner { namespace: String::new(), name: "app".into() }),
        polled: Polled::default(),
    }
}

pub fn manifest(kind: &str, name: &str) -> Manifest {
    let value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    Manifest::new(value, None).unwrap()
}

/// Memory of a build.
fn memory() -> Grant {
    let budget = Budget::new(Limits { process: 1, tenant: 1 });
    budget.acquire(Request::new("ns", 1)).now_or_never().unwrap()
}

/// A build of these objects, by kind and name.
pub fn built(objects: &[(&str, &str)]) -> Build {
    let manifests = objects.iter().map(|(kind, name)| manifest(kind, name)).collect();
    Build::Done(
        Box::new(Rendered {
            manifests,
            digest: "sha256:new".into(),
            vanishing: Default::default(),
            secrets: Default::default(),
            trace: None,
            nodes: 1,
        }),
        Some(inputs("d2")),
        memory(),
    )
}

pub fn inputs(artifact: &str) -> BuildInputs {
    BuildInputs {
        artifact: artifact.into(),
        trace: Arc::new(Traced::new(&MemoryTree::default(), 1).finish().unwrap()),
        values: 0,
        digest: "sha256:old".into(),
        vanishing: Default::default(),
        is_large: false,
    }
}

/// A run of `app` at revision `r2` that prunes, with this inventory before it.
pub fn run(before: Vec<Entry>) -> Run {
    let inputs = Inputs { generation: 1, requested: None, content: None, uid: None, configs: 0 };
    let plan = Plan {
        inputs,
        artifact: Artifact { revision: "r2".into(), digest: "d2".into(), ..Artifact::default() },
        path: "app".into(),
        started: Instant::now(),
        timeout: Duration::from_secs(300),
        prune: true,
        prune_guard: None,
        fail_fast: true,
        skip_unchanged: false,
        before,
        last_build: None,
        was_healthy: false,
    };
    Run::new(plan, InFlight::default().begin())
}

/// Drives a run from its start, over every wait, to its end. Gives the phases that it waited in and how long, and the end:
/// `succeeded`, or reason and message of the failure.
pub async fn drive_all(run: &mut Run, script: &mut Script) -> (Vec<(String, u64)>, String) {
    let (mut phase, mut waits) = (Phase::Start, Vec::new());
    loop {
        let ending = match drive(run, phase, script).await {
            Ok(ending) => ending,
            Err(error) => return (waits, format!("given up: {error}")),
        };
        phase = match ending {
            Ending::Waiting(phase, wait) => {
                waits.push((name(&phase).to_owned(), wait.as_secs()));
                tokio::time::sleep(wait).await;
                phase
            }
            Ending::SourceNotReady(why) => return (waits, why.to_owned()),
            Ending::Succeeded => return (waits, "succeeded".to_owned()),
            Ending::Failed(failure) => {
                let recorded = if failure.recorded { "" } else { ", not recorded" };
                return (waits, format!("{}: {}{recorded}", failure.reason, failure.message));
            }
        };
    }
}

pub fn name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Start => "Start",
        Phase::Connect(_) => "Connect",
        Phase::Download(_) => "Download",
        Phase::Build(_) => "Build",
        Phase::Apply(_) => "Apply",
        Phase::Recreate { .. } => "Recreate",
        Phase::AwaitStage { .. } => "AwaitStage",
        Phase::Prune { .. } => "Prune",
        Phase::AwaitHealth { .. } => "AwaitHealth",
    }
}

/// A download or build that ends after this time.
pub fn slow<T: Send + 'static>(time: Duration, result: T) -> Background<T> {
    Background::Later(AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::time::sleep(time).await;
        result
    })))
}
