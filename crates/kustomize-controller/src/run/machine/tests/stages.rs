//! Applying stage by stage.

use std::time::Duration;

use api::kustomize::reasons::RECONCILIATION_FAILED;
use apply::change::{Action, ChangeSet};

use super::script::{Script, built, change, drive_all, entry, id, manifest, run};
use crate::{
    health::Health,
    run::{
        Failure,
        effects::{ApplyError, Built, StageApplied},
    },
};

fn waiting(status: &str) -> (Health, Option<Duration>) {
    (Health::Waiting(vec![status.to_owned()]), None)
}

fn created(kind: &str, name: &str) -> ChangeSet {
    ChangeSet { changes: vec![change(id(kind, name), Action::Created)] }
}

fn two_stages() -> Script {
    let objects = [("ConfigMap", "a"), ("Namespace", "n")];
    Script { built: Some(Built::Now(Ok(built(&objects)))), ..Script::default() }
}

#[tokio::test(start_paused = true)]
async fn a_stage_of_definitions_is_awaited_before_the_next_one() {
    let (mut run, mut script) = (run(vec![]), two_stages());
    script.health = [waiting("Namespace/n status: 'InProgress'")].into();
    let (waits, end) = drive_all(&mut run, &mut script).await;
    assert_eq!((waits, end.as_str()), (vec![("AwaitStage".to_owned(), 60)], "succeeded"));
    let asked = ["apply Namespace/n", "health", "health", "apply ConfigMap/a", "applied", "health checks"];
    assert_eq!(script.asked[2..], asked);
    let applied = [entry("Namespace", "n"), entry("ConfigMap", "a")];
    assert_eq!(run.progress.inventory.as_deref(), Some(&applied[..]));
}

#[tokio::test(start_paused = true)]
async fn a_stage_of_other_objects_is_not_awaited() {
    let (mut run, mut script) = (run(vec![]), Script::default());
    assert_eq!(drive_all(&mut run, &mut script).await.1, "succeeded");
    assert!(!script.asked.contains(&"health".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_only_reports_drift_is_not_awaited() {
    let (mut run, mut script) = (run(vec![]), two_stages());
    let of = |action| ChangeSet { changes: vec![change(id("Namespace", "n"), action)] };
    let drift = of(Action::Configured);
    let reported = StageApplied {
        changes: of(Action::Unchanged),
        unrepaired: Some(drift.clone()),
        ..StageApplied::default()
    };
    script.stages = [Ok(reported)].into();
    assert_eq!(drive_all(&mut run, &mut script).await, (vec![], "succeeded".into()));
    assert_eq!(run.progress.unrepaired, drift);
}

#[tokio::test(start_paused = true)]
async fn a_stage_is_polled_when_its_health_asks_for_it() {
    let (mut run, mut script) = (run(vec![]), two_stages());
    script.health = [(Health::Waiting(vec![]), Some(Duration::from_secs(5)))].into();
    assert_eq!(drive_all(&mut run, &mut script).await.0, [("AwaitStage".to_owned(), 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_does_not_get_ready_ends_the_run() {
    let line = "Namespace/n status: 'InProgress'";
    let early = format!("failed early due to stalled resources: [{line}]");
    let late = format!("timeout waiting for: [{line}]");
    for (health, end) in
        [(vec![(Health::Failed(vec![line.into()]), None)], early), (vec![waiting(line), waiting(line)], late)]
    {
        let (mut run, mut script) = (run(vec![]), two_stages());
        script.health = health.into();
        assert_eq!(drive_all(&mut run, &mut script).await.1, format!("ReconciliationFailed: {end}"));
        assert_eq!(run.progress.changes, created("Namespace", "n"));
        assert!(run.progress.inventory.is_none(), "what was announced stays");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_fails_ends_the_run_and_names_what_was_done_before() {
    let identity = || Failure::new(RECONCILIATION_FAILED, "no such user");
    let failed = |changes| ApplyError::Objects { message: "ConfigMap/a denied".into(), changes };
    for (error, end) in [
        (ApplyError::NotTried(identity()), "no such user, not recorded"),
        (ApplyError::NotTried(identity().recorded()), "no such user"),
        (failed(ChangeSet::default()), "ConfigMap/a denied\nNamespace/n created"),
        (failed(created("ConfigMap", "b")), "ConfigMap/a denied\nNamespace/n created\nConfigMap/b created"),
    ] {
        let (mut run, mut script) = (run(vec![]), two_stages());
        let first = StageApplied { changes: created("Namespace", "n"), ..StageApplied::default() };
        script.stages = [Ok(first), Err(error)].into();
        assert_eq!(drive_all(&mut run, &mut script).await.1, format!("ReconciliationFailed: {end}"));
        assert!(!script.asked.contains(&"applied".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_is_given_up_when_the_object_cannot_be_written() {
    let (mut run, mut script) = (run(vec![]), Script { unwritable: true, ..Script::default() });
    let ended = drive_all(&mut run, &mut script).await.1;
    assert_eq!(ended, "given up: the object was replaced by another of the same name");
}

/// A stage of which one object was deleted to be made anew and one was applied.
fn recreating() -> Script {
    let first = StageApplied {
        changes: created("ConfigMap", "a"),
        terminating: vec![entry("Pod", "p")],
        unapplied: vec![manifest("Pod", "p")],
        ..StageApplied::default()
    };
    let built = Some(Built::Now(Ok(built(&[("ConfigMap", "a"), ("Pod", "p")]))));
    Script { built, stages: [Ok(first)].into(), ..Script::default() }
}

#[tokio::test(start_paused = true)]
async fn an_object_is_made_anew_once_it_is_gone() {
    let (mut run, mut script) = (run(vec![]), recreating());
    script.terminating = [Ok(vec![entry("Pod", "p")])].into();
    let (waits, end) = drive_all(&mut run, &mut script).await;
    assert_eq!((waits, end.as_str()), (vec![("Recreate".to_owned(), 2)], "succeeded"));
    let asked = ["apply ConfigMap/a Pod/p", "terminating", "terminating", "apply Pod/p", "applied"];
    assert_eq!(script.asked[2..7], asked);
    assert_eq!(run.progress.inventory.unwrap(), [entry("ConfigMap", "a"), entry("Pod", "p")]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_go_ends_the_run() {
    let (mut run, mut script) = (run(vec![]), recreating());
    script.terminating = (0..100).map(|_| Ok(vec![entry("Pod", "p")])).collect();
    let (waits, end) = drive_all(&mut run, &mut script).await;
    assert_eq!(waits.iter().map(|(_, wait)| wait).sum::<u64>(), 120);
    let why = "immutable field detected, failed to wait for object to be deleted: not gone within 2m0s";
    assert_eq!(end, format!("ReconciliationFailed: Pod/p {why}"));
    assert_eq!(run.progress.changes, created("ConfigMap", "a"));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_looked_for_ends_the_run() {
    let (mut run, mut script) = (run(vec![]), recreating());
    script.terminating = [Err(Failure::new(RECONCILIATION_FAILED, "no such user"))].into();
    let ended = drive_all(&mut run, &mut script).await.1;
    assert_eq!(ended, "ReconciliationFailed: no such user, not recorded");
}
