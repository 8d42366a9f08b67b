//! Waiting for health after everything is applied.

use std::time::Duration;

use api::kustomize::reasons::RECONCILIATION_FAILED;

use super::script::{Script, awaited, drive_all, id, run};
use crate::{
    health::Health,
    run::{Ending, Failure, Phase, effects::HealthCheckError, machine::drive},
};

const LINE: &str = "ConfigMap/a status: 'InProgress'";

fn checking(health: Vec<(Health, Option<Duration>)>) -> Script {
    let checks = Some(Ok(Some(vec![awaited(id("ConfigMap", "a"))])));
    Script { checks, health: health.into(), ..Script::default() }
}

fn waiting(again: Option<u64>) -> (Health, Option<Duration>) {
    (Health::Waiting(vec![LINE.into()]), again.map(Duration::from_secs))
}

#[tokio::test(start_paused = true)]
async fn healthy_objects_end_the_run() {
    for (fail_fast, asked) in [(true, "health, fail fast"), (false, "health")] {
        let (mut run, mut script) = (run(vec![]), checking(vec![]));
        run.plan.fail_fast = fail_fast;
        assert_eq!(drive_all(&mut run, &mut script).await, (vec![], "succeeded".into()));
        assert_eq!(script.asked[4..], ["health checks", asked, "healthy"]);
        assert_eq!(run.progress.message, "Running health checks for revision r2 with a timeout of 5m0s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_is_announced_after_a_while() {
    let (mut run, mut script) = (run(vec![]), checking(vec![waiting(None), waiting(None)]));
    let (waits, end) = drive_all(&mut run, &mut script).await;
    let expected = [("AwaitHealth".to_owned(), 10), ("AwaitHealth".to_owned(), 290)];
    assert_eq!((waits.as_slice(), end.as_str()), (&expected[..], "succeeded"));
    let asked = ["health, fail fast", "health, fail fast", "still unhealthy", "health, fail fast", "healthy"];
    assert_eq!(script.asked[5..], asked);
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_cut_short_by_what_has_to_be_polled() {
    let (mut run, mut script) = (run(vec![]), checking(vec![waiting(Some(5)), waiting(Some(600))]));
    let waits = drive_all(&mut run, &mut script).await.0;
    assert_eq!(waits.iter().map(|(_, wait)| *wait).collect::<Vec<_>>(), [5, 5]);
}

#[tokio::test(start_paused = true)]
async fn unhealthy_objects_fail_the_run() {
    let failed = || (Health::Failed(vec![LINE.into()]), None);
    let early = format!("failed early due to stalled resources: [{LINE}]");
    let late = format!("timeout waiting for: [{LINE}]");
    let wait = || waiting(None);
    for (health, took, inner) in [
        (vec![failed()], "0s", &early),
        (vec![wait(), failed()], "10s", &early),
        (vec![wait(), wait(), wait()], "5m0s", &late),
    ] {
        let (mut run, mut script) = (run(vec![]), checking(health));
        let ended = drive_all(&mut run, &mut script).await.1;
        assert_eq!(ended, format!("HealthCheckFailed: health check failed after {took}: {inner}"));
        assert!(run.progress.inventory.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn health_that_can_never_be_told_fails_the_run_and_the_condition() {
    let (mut run, mut script) = (run(vec![]), Script::default());
    script.checks = Some(Err(HealthCheckError::Unknowable("can't determine status for Pod/p".into())));
    let Ok(Ending::Failed(failure)) = drive(&mut run, Phase::Start, &mut script).await else {
        panic!("the run fails");
    };
    let inner = "failed early due to stalled resources: [can't determine status for Pod/p]";
    assert_eq!(failure.message, format!("health check failed after 0s: {inner}"));
    assert_eq!(failure.healthy.as_deref(), Some(inner));
}

#[tokio::test(start_paused = true)]
async fn health_that_may_not_be_asked_for_fails_the_run() {
    let (mut run, mut script) = (run(vec![]), Script::default());
    let failure = Failure::new(RECONCILIATION_FAILED, "no such user");
    script.checks = Some(Err(HealthCheckError::Run(failure)));
    let ended = drive_all(&mut run, &mut script).await.1;
    assert_eq!(ended, "ReconciliationFailed: no such user, not recorded");
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_given_up_when_the_object_cannot_be_written() {
    let (mut run, mut script) = (run(vec![]), checking(vec![waiting(None), waiting(None)]));
    let Ok(Ending::Waiting(phase, wait)) = drive(&mut run, Phase::Start, &mut script).await else {
        panic!("the run waits");
    };
    tokio::time::sleep(wait).await;
    script.unwritable = true;
    assert!(drive(&mut run, phase, &mut script).await.is_err_and(|error| error.is_gone()));
}
