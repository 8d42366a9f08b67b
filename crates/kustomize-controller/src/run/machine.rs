//! What a run does next. Decides only: whatever reaches the cluster goes through [`Effects`].

use std::{collections::VecDeque, sync::Arc, time::Duration};

use api::{
    duration::go_duration_string,
    kustomize::reasons::{
        ARTIFACT_FAILED, BUILD_FAILED, HEALTH_CHECK_FAILED, PRUNE_FAILED, RECONCILIATION_FAILED,
    },
};
use apply::{
    applier::NOT_DELETED,
    change::{Action, Change, ChangeSet},
    order::{Stage, compare},
    prune::{self, Entry},
};
use artifact::cache::CacheError;
use kustomize::tree::{FileTree, Kind, MemoryTree};
use runtime::{error::TaskError, events::action, patch::PatchError};
use tokio::time::{Instant, timeout};

use super::{
    BuildInputs, BuildTask, Connect, Download, Effects, Ending, Failure, Phase, Run,
    build::BuildError,
    effects::{ApplyError, Background, Build, Built, Connected, Downloaded, HealthCheckError},
};
use crate::{
    builds::Queued,
    handover,
    health::{self, Awaited, Health},
    render::Rendered,
};

/// A connection, download or build that takes longer than this is waited for without a worker.
pub(crate) const QUICK: Duration = Duration::from_millis(250);
/// How often a run looks after one of these if nothing wakes it.
pub(crate) const TASK_POLL: Duration = Duration::from_secs(5);
/// How long the objects of a stage may take to get ready; upstream's, whatever `spec.timeout` says.
const STAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an object that is recreated may take to go away.
const RECREATE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often such an object is looked for.
const RECREATE_POLL: Duration = Duration::from_secs(2);
/// A health check that is over sooner is not worth a write: most runs write when they begin and when they end, and no more.
const ANNOUNCED_WAIT: Duration = Duration::from_secs(10);

enum Step {
    Next(Phase),
    End(Ending),
}

impl From<Failure> for Step {
    fn from(failure: Failure) -> Self {
        Self::End(Ending::Failed(failure))
    }
}

/// Carries a run on from a phase, step after step, until there is something to wait for or the run is over.
///
/// # Errors
/// If the Kustomization cannot be written. The run is to be given up then.
pub(crate) async fn drive(
    run: &mut Run,
    mut phase: Phase,
    effects: &mut impl Effects,
) -> Result<Ending, PatchError> {
    loop {
        let step = match phase {
            Phase::Start => start(run, effects).await,
            Phase::Connect(connect) => resume_connect(run, effects, connect).await?,
            Phase::Download(download) => resume_download(run, effects, download).await?,
            Phase::Build(build) => resume_build(run, effects, build).await?,
            Phase::Apply(stages) => apply_next(run, effects, stages).await?,
            Phase::Recreate { terminating, deadline, remaining } => {
                recreate(run, effects, terminating, deadline, remaining).await
            }
            Phase::AwaitStage { awaited, deadline, remaining } => {
                await_stage(effects, awaited, deadline, remaining).await
            }
            Phase::Prune { stale, deadline } => prune(run, effects, stale, deadline).await,
            Phase::AwaitHealth { awaited, since, deadline } => {
                await_health(run, effects, awaited, since, deadline).await?
            }
        };
        phase = match step {
            Step::Next(phase) => phase,
            Step::End(ending) => return Ok(ending),
        };
    }
}

async fn start(run: &mut Run, effects: &mut impl Effects) -> Step {
    match effects.connect().await {
        Background::Now(result) => connected(run, effects, result).await,
        Background::Later(connect) => Step::Next(Phase::Connect(connect)),
    }
}

async fn resume_connect(
    run: &mut Run,
    effects: &mut impl Effects,
    mut connect: Connect,
) -> Result<Step, PatchError> {
    // It has had its moment.
    match timeout(Duration::ZERO, &mut connect).await {
        Ok(Ok(result)) => {
            run.now("Fetching manifests");
            Ok(connected(run, effects, result).await)
        }
        Ok(Err(panicked)) => {
            Ok(Failure::new(RECONCILIATION_FAILED, TaskError::from(panicked).to_string()).into())
        }
        Err(_) => {
            run.now("Connecting to the cluster");
            effects.announce(run).await?;
            Ok(Step::End(Ending::Waiting(Phase::Connect(connect), TASK_POLL)))
        }
    }
}

async fn connected(run: &mut Run, effects: &mut impl Effects, result: Connected) -> Step {
    match result {
        Ok(cluster) => effects.use_cluster(run, cluster),
        Err(error) => {
            let failure = Failure::new(RECONCILIATION_FAILED, error.to_string());
            return Failure { step: Some("failed to build kube client"), ..failure }.into();
        }
    }
    if let Some(build) = effects.unchanged(run).await {
        return skip_build(run, build);
    }
    match effects.download(run).await {
        Downloaded::Now(result) => build(run, effects, result).await,
        Downloaded::Later(download) => Step::Next(Phase::Download(download)),
    }
}

async fn resume_download(
    run: &mut Run,
    effects: &mut impl Effects,
    mut download: Download,
) -> Result<Step, PatchError> {
    match timeout(QUICK, &mut download).await {
        Ok(Ok(result)) => Ok(build(run, effects, result).await),
        Ok(Err(panicked)) => Ok(Failure::new(ARTIFACT_FAILED, TaskError::from(panicked).to_string()).into()),
        Err(_) => {
            effects.announce(run).await?;
            Ok(Step::End(Ending::Waiting(Phase::Download(download), TASK_POLL)))
        }
    }
}

async fn build(
    run: &mut Run,
    effects: &mut impl Effects,
    result: Result<Arc<MemoryTree>, CacheError>,
) -> Step {
    let tree = match result {
        Ok(tree) => tree,
        Err(error) if error.is_not_found() => return Step::End(Ending::SourceNotReady("artifact not found")),
        Err(error) if error.is_mismatch() => {
            return Step::End(Ending::SourceNotReady("artifact digest changed"));
        }
        Err(error) => return Failure::new(ARTIFACT_FAILED, runtime::error::chain(&error)).into(),
    };
    let path = &run.plan.path;
    if tree.kind(path) == Kind::Absent {
        let message = format!("kustomization path not found: stat /{path}: no such file or directory");
        return Failure::new(ARTIFACT_FAILED, message).into();
    }
    run.progress.attempted = true;
    run.now("Building manifests");
    let queued = Queued::default();
    match effects.build(run, tree, &queued).await {
        Built::Now(result) => built(run, effects, result),
        Built::Later(task) => Step::End(Ending::Waiting(Phase::Build(BuildTask { task, queued }), TASK_POLL)),
    }
}

/// How long a worker waits for work: what has to wait for its turn gets no time.
pub(crate) fn moment(queued: &Queued) -> Duration {
    if queued.is_set() { Duration::ZERO } else { QUICK }
}

/// Looks after a build that goes on. Only one that is still there is worth a write.
async fn resume_build(
    run: &mut Run,
    effects: &mut impl Effects,
    mut build: BuildTask,
) -> Result<Step, PatchError> {
    match timeout(moment(&build.queued), &mut build.task).await {
        Ok(Ok(result)) => {
            run.now("Building manifests");
            Ok(built(run, effects, result))
        }
        Ok(Err(panicked)) => Ok(Failure::new(BUILD_FAILED, TaskError::from(panicked).to_string()).into()),
        Err(_) => {
            let doing =
                if build.queued.is_set() { "Waiting to build manifests" } else { "Building manifests" };
            run.now(doing);
            effects.announce(run).await?;
            Ok(Step::End(Ending::Waiting(Phase::Build(build), TASK_POLL)))
        }
    }
}

fn built(run: &mut Run, effects: &mut impl Effects, result: Result<Build, BuildError>) -> Step {
    match result {
        Ok(Build::Unchanged(build)) => skip_build(run, build),
        Ok(Build::Done(rendered, inputs, memory)) => {
            let Rendered { manifests, digest, vanishing, secrets, .. } = *rendered;
            run.progress.digest = digest;
            run.progress.vanishing = vanishing;
            run.progress.secrets = secrets;
            run.progress.build = inputs;
            run.progress.memory = Some(memory);
            run.now("Detecting drift");
            let stages = effects.stages(manifests);
            let manifests = stages.iter().flat_map(|stage| &stage.manifests);
            run.progress.desired =
                manifests.map(|m| Entry { id: m.id(), version: m.gvk().version }).collect();
            match too_much_to_prune(run) {
                Some(message) => Failure::new(PRUNE_FAILED, message).recorded().into(),
                None => Step::Next(Phase::Apply(stages.into())),
            }
        }
        Err(error) => Failure::new(BUILD_FAILED, error.to_string()).into(),
    }
}

fn too_much_to_prune(run: &Run) -> Option<String> {
    let (plan, desired) = (&run.plan, &run.progress.desired);
    let guard = plan.prune_guard.filter(|_| plan.prune)?;
    guard.refuse(&prune::stale(&plan.before, desired), &plan.before)
}

/// Goes on as if every object of the inventory had been built, checked and found unchanged.
fn skip_build(run: &mut Run, build: BuildInputs) -> Step {
    tracing::debug!(
        revision = run.plan.artifact.revision,
        "the artifact is as before in all that the build reads, and so are the objects"
    );
    let (plan, progress) = (&run.plan, &mut run.progress);
    progress.attempted = true;
    progress.desired.clone_from(&plan.before);
    progress.vanishing.clone_from(&build.vanishing);
    progress.digest.clone_from(&build.digest);
    progress.build = Some(build);
    let unchanged = |entry: &Entry| Change {
        id: entry.id.clone(),
        version: entry.version.clone(),
        action: Action::Unchanged,
    };
    progress.changes = ChangeSet { changes: plan.before.iter().map(unchanged).collect() };
    Step::Next(Phase::Apply(VecDeque::new()))
}

/// Applies the next stage, or ends the apply when none is left.
async fn apply_next(
    run: &mut Run,
    effects: &mut impl Effects,
    mut stages: VecDeque<Stage>,
) -> Result<Step, PatchError> {
    let Some(stage) = stages.pop_front() else {
        run.progress.memory = None;
        effects.applied(run);
        let stale = prune::stale(&run.plan.before, &run.progress.applied());
        return Ok(Step::Next(Phase::Prune { stale, deadline: Instant::now() + handover::HANDOVER_TIMEOUT }));
    };
    let kind = stage.kind;
    let done = match effects.apply(run, stage).await {
        Ok(done) => done,
        Err(ApplyError::Patch(error)) => return Err(error),
        Err(ApplyError::NotTried(failure)) => return Ok(failure.into()),
        Err(ApplyError::Objects { message, changes }) => return Ok(stage_failed(run, message, changes)),
    };
    let progress = &mut run.progress;
    let report_only = done.unrepaired.is_some();
    progress.unrepaired.append(done.unrepaired.unwrap_or_default());
    progress.stage_changes.append(done.changes);
    if !done.terminating.is_empty() {
        stages.push_front(Stage { kind, manifests: done.unapplied });
        let deadline = Instant::now() + RECREATE_TIMEOUT;
        let terminating = done.terminating;
        return Ok(Step::Next(Phase::Recreate { terminating, deadline, remaining: stages }));
    }
    let mut changes = std::mem::take(&mut progress.stage_changes);
    changes.changes.sort_by(|a, b| compare(&a.id, &b.id));
    let awaits = kind.waits() && !report_only;
    let awaited = if awaits { effects.awaited(run, &changes) } else { Vec::new() };
    run.progress.changes.append(changes);
    Ok(Step::Next(if awaited.is_empty() {
        Phase::Apply(stages)
    } else {
        Phase::AwaitStage { awaited, deadline: Instant::now() + STAGE_TIMEOUT, remaining: stages }
    }))
}

/// Names what failed, and what was done before it.
fn stage_failed(run: &mut Run, mut message: String, changes: ChangeSet) -> Step {
    let progress = &mut run.progress;
    progress.changes.append(std::mem::take(&mut progress.stage_changes));
    progress.changes.append(changes);
    let done = progress.changes.lines(|action| matches!(action, Action::Created | Action::Configured));
    if !done.is_empty() {
        message = format!("{message}\n{done}");
    }
    Failure::new(RECONCILIATION_FAILED, message).recorded().into()
}

/// Looks whether objects that are to be made anew are gone.
async fn recreate(
    run: &mut Run,
    effects: &mut impl Effects,
    terminating: Vec<Entry>,
    deadline: Instant,
    remaining: VecDeque<Stage>,
) -> Step {
    let terminating = match effects.terminating(terminating).await {
        Ok(terminating) => terminating,
        Err(failure) => return failure.into(),
    };
    if terminating.is_empty() {
        return Step::Next(Phase::Apply(remaining));
    }
    if Instant::now() < deadline {
        let phase = Phase::Recreate { terminating, deadline, remaining };
        return Step::End(Ending::Waiting(phase, RECREATE_POLL));
    }
    let limit = go_duration_string(RECREATE_TIMEOUT);
    let lines =
        terminating.iter().map(|entry| format!("{} {NOT_DELETED}: not gone within {limit}", entry.id));
    let message = lines.collect::<Vec<_>>().join("\n");
    let progress = &mut run.progress;
    progress.changes.append(std::mem::take(&mut progress.stage_changes));
    Failure::new(RECONCILIATION_FAILED, message).recorded().into()
}

/// Looks whether the objects of the last stage are ready.
async fn await_stage(
    effects: &mut impl Effects,
    mut awaited: Vec<Awaited>,
    deadline: Instant,
    remaining: VecDeque<Stage>,
) -> Step {
    let (health, again) = effects.health(&mut awaited, false).await;
    let now = Instant::now();
    let failed = |message| Failure::new(RECONCILIATION_FAILED, message).recorded().into();
    match health {
        Health::Current => Step::Next(Phase::Apply(remaining)),
        Health::Failed(objects) => failed(health::failed_message(&objects)),
        Health::Waiting(objects) if now >= deadline => failed(health::timeout_message(&objects)),
        Health::Waiting(_) => {
            let wait = again.map_or(deadline - now, |again| again.min(deadline - now));
            Step::End(Ending::Waiting(Phase::AwaitStage { awaited, deadline, remaining }, wait))
        }
    }
}

/// Deletes what is stale, and goes on to health.
async fn prune(run: &mut Run, effects: &mut impl Effects, stale: Vec<Entry>, deadline: Instant) -> Step {
    let inventory = run.progress.applied();
    if !run.plan.prune || stale.is_empty() {
        run.progress.inventory = Some(inventory);
        return begin_health(run, effects).await;
    }
    let now = Instant::now();
    if now < deadline && effects.is_handover_pending(run) {
        return Step::End(Ending::Waiting(Phase::Prune { stale, deadline }, deadline - now));
    }
    let pruned = match effects.prune(run, stale).await {
        Ok(pruned) => pruned,
        Err(failure) => return failure.into(),
    };
    let failed = pruned.failed.iter().map(|(entry, _)| entry.clone());
    let left = failed.chain(pruned.claimed.iter().cloned());
    run.progress.inventory = Some(inventory.into_iter().chain(left).collect());
    let lines = pruned.changes.lines(|_| true);
    if !lines.is_empty() {
        tracing::info!(revision = run.plan.artifact.revision, "garbage collection completed: {lines}");
        effects.event(run, action::PRUNE, &lines);
    }
    match pruned.error() {
        Some(message) => Failure::new(PRUNE_FAILED, message).recorded().into(),
        None => begin_health(run, effects).await,
    }
}

/// The next phase after everything is applied.
async fn begin_health(run: &mut Run, effects: &mut impl Effects) -> Step {
    let awaited = match effects.health_checks(run).await {
        Ok(Some(awaited)) => awaited,
        Ok(None) => return Step::End(Ending::Succeeded),
        Err(HealthCheckError::Unknowable(line)) => {
            return unhealthy(Duration::ZERO, &health::failed_message(&[line]));
        }
        Err(HealthCheckError::Run(failure)) => return failure.into(),
    };
    run.now("Running health checks");
    let since = Instant::now();
    Step::Next(Phase::AwaitHealth { awaited, since, deadline: since + run.plan.timeout })
}

/// Looks whether everything is healthy.
async fn await_health(
    run: &mut Run,
    effects: &mut impl Effects,
    mut awaited: Vec<Awaited>,
    since: Instant,
    deadline: Instant,
) -> Result<Step, PatchError> {
    let (health, again) = effects.health(&mut awaited, run.plan.fail_fast).await;
    let (now, took) = (Instant::now(), since.elapsed());
    match health {
        Health::Current => {
            effects.healthy(run, took);
            Ok(Step::End(Ending::Succeeded))
        }
        Health::Failed(objects) => Ok(unhealthy(took, &health::failed_message(&objects))),
        Health::Waiting(objects) if now >= deadline => {
            Ok(unhealthy(took, &health::timeout_message(&objects)))
        }
        Health::Waiting(_) => {
            let mut wait = again.map_or(deadline - now, |again| again.min(deadline - now));
            if took < ANNOUNCED_WAIT {
                wait = wait.min(ANNOUNCED_WAIT - took);
            } else {
                effects.still_unhealthy(run).await?;
            }
            Ok(Step::End(Ending::Waiting(Phase::AwaitHealth { awaited, since, deadline }, wait)))
        }
    }
}

fn unhealthy(took: Duration, inner: &str) -> Step {
    let message = health::ready_message(took, inner);
    let failure = Failure::new(HEALTH_CHECK_FAILED, message).recorded();
    Failure { healthy: Some(inner.to_owned()), ..failure }.into()
}

#[cfg(test)]
pub(crate) mod tests;
