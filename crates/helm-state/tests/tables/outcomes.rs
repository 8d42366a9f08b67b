//! How a pass ends, for each outcome of the loop.

use std::time::Duration;

use api::HelmRelease;
use api::helm_release::ReleaseAction;
use helm_state::{Action, Kind, Next, NextError, Outcome, Pass, Settings, Step, health_check_canceled};
use runtime::conditions::{READY, RECONCILING, STALLED, Status};
use serde_json::{Value, json};

use crate::common::*;

const MINUTES: Duration = Duration::from_secs(5 * 60);

/// A HelmRelease whose upgrade failed so often.
fn upgraded(spec: Value, failures: i64) -> HelmRelease {
    let mut object = object(spec);
    status(&mut object).last_attempted_release_action = Some(ReleaseAction::Upgrade);
    status(&mut object).upgrade_failures = failures;
    set(&mut object, READY, Status::False, "UpgradeFailed");
    set(&mut object, RECONCILING, Status::True, "Progressing");
    object
}

fn retrying() -> Value {
    json!({"upgrade": {"strategy": {"name": "RetryOnFailure"}}})
}

fn retries(retries: i64) -> Value {
    json!({"upgrade": {"remediation": {"retries": retries}}})
}

fn before(pass: &Pass, object: &mut HelmRelease, next: Result<Next, NextError>) -> Step {
    pass.before(object, next, &settings(), now())
}

fn after(object: &mut HelmRelease, kind: Kind, error: Option<&str>) -> Option<Outcome> {
    Pass::default().after(object, kind, error, &settings(), now())
}

/// A pass in which an upgrade was run.
fn after_upgrade(object: &mut HelmRelease) -> Pass {
    let mut pass = Pass::default();
    assert_eq!(pass.after(object, Kind::Release, None, &settings(), now()), None);
    pass
}

const RETRYING: &str = "True ProgressingWithRetry: retrying after 5m0s";
const AGAIN: &str = "True ProgressingWithRetry: before";

#[test]
fn without_a_next_action_it_is_done() {
    for spec in [json!({}), retrying()] {
        let mut object = upgraded(spec, 1);
        set(&mut object, "Released", Status::True, "UpgradeSucceeded");
        let step = before(&Pass::default(), &mut object, Ok(Next::Nothing));
        assert_eq!(step, Step::End(Outcome::Done));
        assert_eq!(condition(&object, RECONCILING), "");
        assert_eq!(condition(&object, READY), "True UpgradeSucceeded: before");
    }
}

#[test]
fn an_action_is_announced_and_a_release_is_not_ready_meanwhile() {
    let spec = json!({"timeout": "1m", "upgrade": {"timeout": "90s"}, "uninstall": {"timeout": "1h"}});
    let rows = [
        (Action::Install, "Running 'install' action with timeout of 1m0s", true),
        (Action::Upgrade, "Running 'upgrade' action with timeout of 1m30s", true),
        (Action::Test, "Running 'test' action with timeout of 1m0s", false),
        (Action::Rollback(Box::default()), "Running 'rollback' action with timeout of 1m0s", false),
        (Action::UninstallRemediation, "Running 'uninstall' action with timeout of 1h0m0s", false),
        (Action::Unlock, "Running 'unlock' action with timeout of 1m0s", false),
        (Action::CorrectDrift, "Running 'correct cluster drift' action with timeout of 1m0s", false),
    ];
    for (action, message, is_release) in rows {
        let mut object = upgraded(spec.clone(), 0);
        let step = before(&Pass::default(), &mut object, Ok(Next::Run(action.clone())));
        assert!(matches!(step, Step::Run { action: run, .. } if run == action));
        assert_eq!(condition(&object, RECONCILING), format!("True Progressing: {message}"));
        let ready = if is_release {
            format!("Unknown Progressing: {message}")
        } else {
            "False UpgradeFailed: before".into()
        };
        assert_eq!(condition(&object, READY), ready);
    }
    let mut object = upgraded(json!({}), 0);
    let step = before(&Pass::default(), &mut object, Ok(Next::Run(Action::Upgrade)));
    assert!(matches!(step, Step::Run { timeout: MINUTES, .. }), "{step:?}");
}

#[test]
fn a_kind_of_action_that_was_run_is_not_run_again() {
    let rows = [
        (retrying(), 5, Outcome::RetryAfter(MINUTES), RETRYING),
        (retries(2), 2, Outcome::Requeue, AGAIN),
        (retries(2), 3, Outcome::Done, ""),
        (retries(-1), 9, Outcome::Requeue, AGAIN),
    ];
    for (spec, failures, expected, reconciling) in rows {
        let mut object = upgraded(spec, failures);
        let pass = after_upgrade(&mut object);
        let step = before(&pass, &mut object, Ok(Next::Run(Action::Install)));
        assert_eq!(step, Step::End(expected));
        assert_eq!(condition(&object, RECONCILING), reconciling);
        // Another one is.
        assert!(matches!(before(&pass, &mut object, Ok(Next::Run(Action::Test))), Step::Run { .. }));
    }
    let mut never_tried = object(json!({}));
    let pass = after_upgrade(&mut never_tried);
    assert_eq!(before(&pass, &mut never_tried, Ok(Next::Run(Action::Upgrade))), Step::End(Outcome::Requeue));
}

#[test]
fn an_action_that_stored_nothing_is_tried_again() {
    let mut object = upgraded(retrying(), 1);
    assert_eq!(after(&mut object, Kind::Release, Some("no")), Some(Outcome::RetryAfter(MINUTES)));
    assert_eq!(condition(&object, RECONCILING), RETRYING);
    let mut object = upgraded(retries(0), 1);
    assert_eq!(after(&mut object, Kind::Test, Some("no")), Some(Outcome::Failed("no".into())));
    assert_eq!(condition(&object, READY), "False UpgradeFailed: before", "it tells more");
    set(&mut object, READY, Status::True, "UpgradeSucceeded");
    assert_eq!(after(&mut object, Kind::Test, Some("no")), Some(Outcome::Failed("no".into())));
    assert_eq!(condition(&object, READY), "False ReconcileError: no");
}

#[test]
fn a_remediation_ends_the_pass() {
    let uninstalling = json!({"upgrade": {"remediation": {"strategy": "uninstall"}}});
    let stalled = || Outcome::Stalled("exceeded maximum retries".into());
    let rows = [
        (retrying(), 9, Outcome::RetryAfter(MINUTES), RETRYING, ""),
        (retries(1), 1, Outcome::Requeue, AGAIN, ""),
        (uninstalling, 1, Outcome::Requeue, AGAIN, ""),
        (retries(1), 2, stalled(), "", "True RetriesExceeded: Failed to upgrade after 2 attempt(s)"),
    ];
    for (spec, failures, expected, reconciling, stalled) in rows {
        let mut object = upgraded(spec, failures);
        assert_eq!(after(&mut object, Kind::Remediate, None), Some(expected));
        assert_eq!(condition(&object, RECONCILING), reconciling);
        assert_eq!(condition(&object, STALLED), stalled);
    }
}

#[test]
fn retries_that_are_exhausted_before_an_action_are_stalled() {
    for refused in ["cannot install release", "cannot upgrade release", "cannot remediate failed release"] {
        let mut object = upgraded(retries(0), 1);
        let step = before(&Pass::default(), &mut object, Err(NextError::ExceededRetries(refused)));
        let error = format!("exceeded maximum retries: {refused}");
        assert_eq!(step, Step::End(Outcome::Stalled(error)));
        assert_eq!(condition(&object, STALLED), "True RetriesExceeded: Failed to upgrade after 1 attempt(s)");
        assert_eq!(condition(&object, RECONCILING), "");
    }
}

#[test]
fn a_rollback_without_target_is_stalled() {
    let mut object = upgraded(retries(1), 1);
    let step = before(&Pass::default(), &mut object, Err(NextError::MissingRollbackTarget));
    let error = "missing target release for rollback: cannot remediate failed release";
    assert_eq!(step, Step::End(Outcome::Stalled(error.into())));
    let expected = format!("True MissingRollbackTarget: Failed to perform remediation: {error}");
    assert_eq!(condition(&object, STALLED), expected);
}

#[test]
fn a_state_that_cannot_be_told_is_tried_again() {
    let mut object = upgraded(retries(1), 1);
    let outcome = Pass::without_state(&mut object, "no answer", now());
    assert_eq!(outcome, Outcome::Failed("cannot determine release state: no answer".into()));
    assert_eq!(condition(&object, READY), "False StateError: Could not determine release state: no answer");
}

#[test]
fn a_wait_that_was_ended_by_something_newer_says_so() {
    let mut object = upgraded(retries(1), 1);
    let notice = health_check_canceled(&mut object, "HelmChart/apps/web", now());
    let expected = "False HealthCheckCanceled: New reconciliation triggered by HelmChart/apps/web";
    assert_eq!(condition(&object, READY), expected);
    assert!(!notice.is_warning);
    let message = "Health checks canceled due to new reconciliation triggered by HelmChart/apps/web";
    assert_eq!(notice.message, message);
}

#[test]
fn the_generation_is_observed_unless_there_is_more_to_do() {
    let rows = [
        (Outcome::Done, true),
        (Outcome::RetryAfter(MINUTES), true),
        (Outcome::Stalled(String::new()), true),
        (Outcome::Requeue, false),
        (Outcome::Failed(String::new()), false),
    ];
    for (outcome, observes) in rows {
        assert_eq!(outcome.observes_generation(), observes, "{outcome:?}");
    }
}

#[test]
fn by_the_feature_gate_failures_are_tried_again() {
    let mut object = upgraded(json!({}), 9);
    let by_default = Settings { retry_on_failure: true, ..settings() };
    let outcome = Pass::default().after(&mut object, Kind::Remediate, None, &by_default, now());
    assert_eq!(outcome, Some(Outcome::RetryAfter(MINUTES)));
}
