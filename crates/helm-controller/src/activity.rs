//! What `/debug/objects` tells of a HelmRelease: which step of its pass goes on, and what it waits for.

use api::HelmRelease;
use api::helm::reasons::{ARTIFACT_FAILED, DEPENDENCY_NOT_READY, SOURCE_NOT_READY};
use helm::Event;
use helm_actions::{Step, Steps};
use kube::runtime::reflector::ObjectRef;
use runtime::diagnostics::{self, Activity, Pause, Progress, Ready, missing_dependency, objects};

use crate::dependencies;
use crate::prerequisites::source_keys;
use crate::subject::conditions_of;

/// What is told of an object: the step of the pass that is under way, or else what the last one left it to.
pub fn of(
    object: &HelmRelease,
    step: Option<diagnostics::Step>,
    pause: Pause,
    is_ready: impl Fn(&ObjectRef<HelmRelease>) -> bool,
) -> Activity {
    let conditions = conditions_of(object);
    let pause = pause.told(conditions, |reason| match reason {
        DEPENDENCY_NOT_READY => {
            let keys = object.spec.depends_on.iter().map(|entry| dependencies::reference(object, entry));
            Some(missing_dependency(keys, is_ready))
        }
        SOURCE_NOT_READY | ARTIFACT_FAILED => {
            source_keys(object).first().map(|source| format!("its source {source}"))
        }
        _ => None,
    });
    Activity { suspended: object.spec.suspend, ready: Ready::of(conditions), step, pause }
}

/// Notes the steps of an action.
pub fn steps(progress: &Progress) -> Steps {
    let progress = progress.clone();
    Steps::new(move |step| {
        let (name, waits_for) = told(step);
        progress.at(name, waits_for);
    })
}

fn told(step: Step) -> (&'static str, Option<String>) {
    match step {
        Step::Hook { event, number, count, object } => {
            let name = if event == Event::Test { "test" } else { "hooks" };
            let object = object.map(|object| format!(", {object}")).unwrap_or_default();
            (name, Some(format!("{} hook {number} of {count}{object}", event.name())))
        }
        Step::Apply { count } => ("apply", Some(format!("the API server to take {}", objects(count)))),
        Step::Wait { open: Some(open), count } => {
            ("wait", Some(format!("{open} of {} to be ready", objects(count))))
        }
        Step::Wait { open: None, count } => ("wait", Some(format!("{} to be ready", objects(count)))),
        Step::Delete { count } => ("delete", Some(format!("{} to be gone", objects(count)))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_step_of_an_action_says_what_it_waits_for() {
        let hook = |event, object: Option<&str>| Step::Hook {
            event,
            number: 1,
            count: 2,
            object: object.map(str::to_owned),
        };
        for (step, expected) in [
            (hook(Event::PreInstall, None), "hooks: pre-install hook 1 of 2"),
            (hook(Event::PreInstall, Some("Job/ns/a")), "hooks: pre-install hook 1 of 2, Job/ns/a"),
            (hook(Event::Test, Some("Pod/ns/a")), "test: test hook 1 of 2, Pod/ns/a"),
            (Step::Apply { count: 1 }, "apply: the API server to take 1 object"),
            (Step::Wait { open: Some(3), count: 5 }, "wait: 3 of 5 objects to be ready"),
            (Step::Wait { open: None, count: 5 }, "wait: 5 objects to be ready"),
            (Step::Delete { count: 2 }, "delete: 2 objects to be gone"),
        ] {
            let progress = Progress::default();
            steps(&progress).tell(step);
            let step = progress.step().unwrap();
            assert_eq!(format!("{}: {}", step.name, step.waits_for.unwrap()), expected);
        }
    }

    fn release(reason: &str, is_stalled: bool) -> HelmRelease {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": reason, "message": "canary"});
        let stalled: &[Value] = if is_stalled { &[condition("Stalled", "True")] } else { &[] };
        let conditions = [&[condition("Ready", "False")], stalled].concat();
        serde_json::from_value(json!({
            "metadata": {"name": "app", "namespace": "ns"},
            "spec": {
                "interval": "1h", "dependsOn": [{"name": "first"}, {"name": "second", "namespace": "other"}],
                "chartRef": {"kind": "OCIRepository", "name": "chart"},
            },
            "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    #[test]
    fn a_pause_says_what_ends_it() {
        let rows = [
            (Pause::Blocked, "DependencyNotReady", false, Some("its dependency other/second")),
            (Pause::Blocked, "SourceNotReady", false, Some("its source OCIRepository/ns/chart")),
            (Pause::Blocked, "ArtifactFailed", false, Some("its source OCIRepository/ns/chart")),
            (Pause::Failed, "InstallFailed", false, Some("its retry interval, after InstallFailed")),
            (Pause::Again, "UninstallSucceeded", false, Some("back-off before it goes on")),
            (Pause::Other, "InstallSucceeded", false, None),
            (
                Pause::Other,
                "RetriesExceeded",
                true,
                Some("a change of the object, which is stalled: RetriesExceeded"),
            ),
        ];
        for (pause, reason, is_stalled, expected) in rows {
            let activity = of(&release(reason, is_stalled), None, pause, |key| key.name == "first");
            assert_eq!(activity.pause.as_deref(), expected, "{reason}");
            assert_eq!(activity.ready.unwrap().reason, reason);
        }
    }
}
