//! What `/debug/objects` tells of a Kustomization: which step of its run goes on, and what it waits for.

use api::{Kustomization, kustomize::reasons};
use kube::runtime::reflector::ObjectRef;
use runtime::diagnostics::{Activity, Pause, Ready, Step, missing_dependency, objects};
use tokio::time::Instant;

use crate::{dependencies, reconciler::State, run::Phase, sources::source_key, status};

/// What is told of a state. A copy, so that the state is not locked while the rest is looked up.
pub(crate) struct Seen {
    step: Option<Step>,
    pause: Pause,
}

impl Seen {
    pub fn of(state: &State) -> Self {
        match state {
            State::Running(run, phase) => {
                Self { step: Some(step_of_run(phase, run.plan.started)), pause: Pause::Other }
            }
            State::Terminating { deleted, .. } => {
                let waits_for = format!("{} to be gone", objects(deleted.changes.len()));
                let step = Step { name: "delete", since: None, waits_for: Some(waits_for) };
                Self { step: Some(step), pause: Pause::Other }
            }
            State::Connecting(_) => {
                let waits_for = Some("the API server of its cluster".to_owned());
                Self { step: Some(Step { name: "connect", since: None, waits_for }), pause: Pause::Other }
            }
            State::Blocked => Self { step: None, pause: Pause::Blocked },
            State::Done { succeeded: false, .. } => Self { step: None, pause: Pause::Failed },
            State::Idle | State::Done { .. } => Self { step: None, pause: Pause::Other },
        }
    }
}

/// What is told of an object whose state was seen, which it is not while a pass is under way.
pub(crate) fn of(
    object: &Kustomization,
    seen: Option<Seen>,
    is_ready: impl Fn(&ObjectRef<Kustomization>) -> bool,
) -> Activity {
    let pause = seen.as_ref().and_then(|seen| pause(object, seen.pause, is_ready));
    Activity {
        suspended: object.spec.suspend,
        ready: Ready::of(status::listed(object)),
        step: seen.and_then(|seen| seen.step),
        pause,
    }
}

fn step_of_run(phase: &Phase, started: Instant) -> Step {
    let (name, waits_for) = match phase {
        Phase::Start => ("start", None),
        Phase::Connect(_) => ("connect", Some("the API server of its cluster".to_owned())),
        Phase::Download(_) => ("fetch", Some("its artifact".to_owned())),
        Phase::Build(build) if build.queued.is_set() => {
            ("build", Some("memory for builds (gotk_budget, build_nodes)".to_owned()))
        }
        Phase::Build(_) => ("build", None),
        Phase::Apply(stages) => {
            let plural = if stages.len() == 1 { "" } else { "s" };
            ("apply", Some(format!("its turn to apply {} stage{plural}", stages.len())))
        }
        Phase::Recreate { terminating, .. } => {
            ("apply", Some(format!("{} to be gone before they are made anew", objects(terminating.len()))))
        }
        Phase::AwaitStage { awaited, .. } => {
            ("wait", Some(format!("{} of a stage to be ready", objects(awaited.len()))))
        }
        Phase::Prune { stale, .. } => ("prune", Some(format!("other owners of {}", objects(stale.len())))),
        Phase::AwaitHealth { awaited, .. } => {
            ("wait", Some(format!("the health of {}", objects(awaited.len()))))
        }
    };
    Step { name, since: Some(started.into_std()), waits_for }
}

fn pause(
    object: &Kustomization,
    pause: Pause,
    is_ready: impl Fn(&ObjectRef<Kustomization>) -> bool,
) -> Option<String> {
    pause.told(status::listed(object), |reason| match reason {
        reasons::DEPENDENCY_NOT_READY => {
            let keys = object.spec.depends_on.iter().map(|entry| dependencies::key(object, entry));
            Some(missing_dependency(keys, is_ready))
        }
        reasons::ARTIFACT_FAILED => Some(format!("its source {}", source_key(object))),
        _ => None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::VecDeque, future::pending};

    use api::kustomization::DependencyReference;
    use apply::change::{Action, ChangeSet};
    use jiff::Timestamp;
    use runtime::conditions::{Conditions, READY, STALLED, Status};
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::{
        builds::Queued,
        run::{
            BuildTask, Inputs,
            machine::tests::script::{awaited, change, entry, id, run},
        },
    };

    fn told(state: &State) -> Option<String> {
        let Step { name, waits_for, .. } = Seen::of(state).step?;
        Some(waits_for.map_or(name.to_owned(), |waits_for| format!("{name}, waits for {waits_for}")))
    }

    fn build(is_queued: bool) -> Phase {
        let queued = Queued::default();
        queued.set(is_queued);
        Phase::Build(BuildTask { task: AbortOnDropHandle::new(tokio::spawn(pending())), queued })
    }

    #[tokio::test]
    async fn each_phase_of_a_run_tells_its_step_and_what_it_waits_for() {
        let deadline = Instant::now();
        let entries = || vec![entry("ConfigMap", "a"), entry("ConfigMap", "b")];
        let ids = || vec![awaited(id("ConfigMap", "a"))];
        let rows: [(Phase, &str); 10] = [
            (Phase::Start, "start"),
            (
                Phase::Download(AbortOnDropHandle::new(tokio::spawn(pending()))),
                "fetch, waits for its artifact",
            ),
            (build(true), "build, waits for memory for builds (gotk_budget, build_nodes)"),
            (build(false), "build"),
            (Phase::Apply(VecDeque::new()), "apply, waits for its turn to apply 0 stages"),
            (
                Phase::Recreate { terminating: entries(), deadline, remaining: VecDeque::new() },
                "apply, waits for 2 objects to be gone before they are made anew",
            ),
            (
                Phase::AwaitStage { awaited: ids(), deadline, remaining: VecDeque::new() },
                "wait, waits for 1 object of a stage to be ready",
            ),
            (Phase::Prune { stale: entries(), deadline }, "prune, waits for other owners of 2 objects"),
            (
                Phase::AwaitHealth { awaited: ids(), since: deadline, deadline },
                "wait, waits for the health of 1 object",
            ),
            (
                Phase::AwaitHealth { awaited: Vec::new(), since: deadline, deadline },
                "wait, waits for the health of 0 objects",
            ),
        ];
        for (phase, expected) in rows {
            let state = State::Running(Box::new(run(Vec::new())), phase);
            assert_eq!(told(&state).as_deref(), Some(expected));
            assert!(Seen::of(&state).step.unwrap().since.is_some(), "{expected}");
        }
        let changes = vec![change(id("ConfigMap", "a"), Action::Deleted)];
        let deleted = State::Terminating { deleted: ChangeSet { changes }, deadline };
        assert_eq!(told(&deleted).as_deref(), Some("delete, waits for 1 object to be gone"));
        assert_eq!((told(&State::Idle), told(&State::Blocked)), (None, None));
    }

    fn app(reason: &str, is_stalled: bool) -> Kustomization {
        let mut app = Kustomization::new("app", Default::default());
        app.metadata.namespace = Some("ns".into());
        app.spec.source_ref.kind = "GitRepository".into();
        app.spec.source_ref.name = "source".into();
        app.spec.depends_on = ["first", "second"]
            .map(|name| DependencyReference { name: name.into(), ..DependencyReference::default() })
            .into();
        let mut list = Vec::new();
        let mut conditions = Conditions::new(&mut list, 1, Timestamp::UNIX_EPOCH);
        conditions.set(READY, Status::False, reason, "canary");
        if is_stalled {
            conditions.set(STALLED, Status::True, reason, "canary");
        }
        app.status.get_or_insert_default().conditions = list;
        app
    }

    #[test]
    fn a_pause_says_what_ends_it() {
        let done = |succeeded| {
            let inputs = Inputs { generation: 1, requested: None, content: None, uid: None, configs: 0 };
            State::Done { inputs, due: Instant::now(), succeeded }
        };
        let rows: [(State, &str, bool, Option<&str>); 8] = [
            (State::Blocked, "DependencyNotReady", false, Some("its dependency ns/second")),
            (State::Blocked, "ArtifactFailed", false, Some("its source GitRepository/ns/source")),
            (State::Blocked, "Progressing", false, None),
            (
                State::Blocked,
                "AccessDenied",
                true,
                Some("a change of the object, which is stalled: AccessDenied"),
            ),
            (done(false), "BuildFailed", false, Some("its retry interval, after BuildFailed")),
            (done(true), "ReconciliationSucceeded", false, None),
            (State::Idle, "Progressing", false, None),
            (
                State::Idle,
                "InvalidCELExpression",
                true,
                Some("a change of the object, which is stalled: InvalidCELExpression"),
            ),
        ];
        for (row, (state, reason, is_stalled, expected)) in rows.into_iter().enumerate() {
            let activity = of(&app(reason, is_stalled), Some(Seen::of(&state)), |key| key.name == "first");
            assert_eq!(activity.pause.as_deref(), expected, "row {row}");
            assert_eq!(activity.ready.map(|ready| ready.reason).as_deref(), Some(reason), "row {row}");
        }
        let ready = of(&app("DependencyNotReady", false), Some(Seen::of(&State::Blocked)), |_| true);
        assert_eq!(ready.pause.as_deref(), Some("its dependencies"), "an expression says no");
        assert_eq!(of(&app("x", true), None, |_| true).pause, None, "a pass is under way");
    }
}
