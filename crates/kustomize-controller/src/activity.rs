//! What `/debug/objects` tells of a Kustomization: which step of its run goes on, and what it waits for.

use api::{Kustomization, kustomize::reasons};
use runtime::{
    conditions::{READY, STALLED, find, is_true},
    diagnostics::{Activity, Ready, Step},
};

use crate::{
    context::Context,
    dependencies,
    reconciler::State,
    run::{Phase, Run},
    sources::SourceKey,
    status,
};

/// What is told of an object whose state is known, which it is not while a pass is under way.
pub(crate) fn of(object: &Kustomization, state: Option<&State>, context: &Context) -> Activity {
    let ready = find(status::listed(object), READY);
    Activity {
        suspended: object.spec.suspend,
        ready: ready.map(|ready| Ready { status: ready.status.as_str(), reason: ready.reason.clone() }),
        step: state.and_then(step),
        pause: state.and_then(|state| pause(object, state, context)),
    }
}

fn step(state: &State) -> Option<Step> {
    match state {
        State::Running(run, phase) => Some(step_of_run(run, phase)),
        State::Terminating { deleted, .. } => {
            let waits_for = format!("{} objects to be gone", deleted.changes.len());
            Some(Step { name: "delete", since: None, waits_for: Some(waits_for) })
        }
        State::Idle | State::Blocked | State::Done { .. } => None,
    }
}

fn step_of_run(run: &Run, phase: &Phase) -> Step {
    let since = Some(run.plan.started.into_std());
    let (name, waits_for) = match phase {
        Phase::Start => ("start", None),
        Phase::Download(_) => ("fetch", Some("its artifact".to_owned())),
        Phase::Build(build) if build.queued.is_set() => {
            ("build", Some("memory for builds (gotk_budget, build_nodes)".to_owned()))
        }
        Phase::Build(_) => ("build", None),
        Phase::Apply(stages) => ("apply", Some(format!("its turn to apply {} stages", stages.len()))),
        Phase::Recreate { terminating, .. } => {
            ("apply", Some(format!("{} objects to be gone that are recreated", terminating.len())))
        }
        Phase::AwaitStage { awaited, .. } => {
            ("wait", Some(format!("{} objects of a stage to be ready", awaited.len())))
        }
        Phase::Prune { stale, .. } => ("prune", Some(format!("other owners of {} objects", stale.len()))),
        Phase::AwaitHealth { awaited, .. } => {
            ("wait", Some(format!("the health of {} objects", awaited.len())))
        }
    };
    Step { name, since, waits_for }
}

fn pause(object: &Kustomization, state: &State, context: &Context) -> Option<String> {
    let conditions = status::listed(object);
    let reason = find(conditions, READY).map(|ready| ready.reason.as_str()).unwrap_or_default();
    match state {
        State::Blocked if reason == reasons::DEPENDENCY_NOT_READY => {
            Some(missing_dependency(object, context))
        }
        State::Blocked if reason == reasons::ARTIFACT_FAILED => {
            Some(format!("its source {}", SourceKey::of(object)))
        }
        State::Done { succeeded: false, .. } => Some(format!("its retry interval, after {reason}")),
        _ if is_true(conditions, STALLED) => {
            Some(format!("a change of the object, which is stalled: {reason}"))
        }
        _ => None,
    }
}

/// The first dependency that is not ready, as the watch has it.
fn missing_dependency(object: &Kustomization, context: &Context) -> String {
    let keys = object.spec.depends_on.iter().map(|entry| dependencies::key(object, entry));
    let mut missing =
        keys.filter(|key| context.store.get(key).is_none_or(|found| !is_true(status::listed(&found), READY)));
    match missing.next() {
        Some(key) => {
            format!("its dependency {}/{}", key.namespace.as_deref().unwrap_or_default(), key.name)
        }
        None => "its dependencies".to_owned(),
    }
}
