//! The next action for each state.

use api::HelmRelease;
use api::helm::conditions::{DRIFTED, RELEASED, REMEDIATED};
use api::helm_release::{ReleaseAction, TestHookStatus};
use helm_release::Status;
use helm_state::{
    Action, Decision, Next, NextError, Settings, State, StateStatus, VerifyError, next, verify,
};
use runtime::conditions::{READY, Status as ConditionStatus, find};
use serde_json::json;
use serde_json::value::RawValue;

use crate::common::*;

fn state(status: StateStatus) -> State {
    State { status, reason: String::new(), drift: String::new() }
}

fn decide(object: &mut HelmRelease, status: StateStatus) -> Result<Decision, NextError> {
    next::decide(object, &state(status), &settings(), now())
}

fn next_of(object: &mut HelmRelease, status: StateStatus) -> Result<Next, NextError> {
    decide(object, status).map(|decision| decision.next)
}

fn force(object: &mut HelmRelease) {
    annotate(object, &[("requestedAt", "t"), ("forceAt", "t")]);
}

/// A release whose upgrade failed so often.
fn failing(spec: serde_json::Value, failures: i64) -> HelmRelease {
    let mut object = object(spec);
    know(&mut object, &release(1, Status::Superseded));
    know(&mut object, &release(2, Status::Deployed));
    know(&mut object, &release(3, Status::Failed));
    status(&mut object).last_attempted_release_action = Some(ReleaseAction::Upgrade);
    status(&mut object).upgrade_failures = failures;
    object
}

#[test]
fn in_sync_is_nothing_to_do() {
    let mut object = object(json!({}));
    for version in 1..=4 {
        know(&mut object, &release(version, Status::Superseded));
    }
    know(&mut object, &release(5, Status::Deployed));
    set(&mut object, RELEASED, ConditionStatus::True, "UpgradeSucceeded");
    set(&mut object, READY, ConditionStatus::True, "UpgradeSucceeded");
    assert_eq!(next_of(&mut object, StateStatus::InSync), Ok(Next::Nothing));
    assert_eq!(history(&object), ["5 deployed install", "4 superseded install"], "the one before is kept");
    assert_eq!(condition(&object, RELEASED), "True UpgradeSucceeded: before");
    assert_eq!(condition(&object, DRIFTED), "");
}

#[test]
fn in_sync_keeps_five_snapshots_where_failures_are_tried_again() {
    let mut object = object(json!({"upgrade": {"strategy": {"name": "RetryOnFailure"}}}));
    status(&mut object).last_attempted_release_action = Some(ReleaseAction::Upgrade);
    for version in 1..=7 {
        know(&mut object, &release(version, Status::Superseded));
    }
    assert_eq!(next_of(&mut object, StateStatus::InSync), Ok(Next::Nothing));
    assert_eq!(history(&object).len(), 5);
}

#[test]
fn in_sync_is_upgraded_by_force_once() {
    let mut object = object(json!({}));
    know(&mut object, &release(1, Status::Deployed));
    force(&mut object);
    assert_eq!(next_of(&mut object, StateStatus::InSync), Ok(Next::Run(Action::Upgrade)));
    assert_eq!(next_of(&mut object, StateStatus::InSync), Ok(Next::Nothing));
}

#[test]
fn in_sync_after_a_rollback_is_a_success_since_the_rollback() {
    let mut object = object(json!({}));
    know(&mut object, &release(4, Status::Deployed));
    set(&mut object, REMEDIATED, ConditionStatus::True, "RollbackSucceeded");
    set(&mut object, RELEASED, ConditionStatus::False, "UpgradeFailed");
    assert_eq!(next_of(&mut object, StateStatus::InSync), Ok(Next::Nothing));
    assert_eq!(condition(&object, REMEDIATED), "");
    let expected =
        "True UpgradeSucceeded: Helm upgrade succeeded for release apps/web.v4 with chart podinfo@1.0.0";
    assert_eq!(condition(&object, RELEASED), expected);
    let conditions = &object.status.as_ref().unwrap().conditions;
    assert_eq!(find(conditions, RELEASED).unwrap().last_transition_time, "2026-11-30T09:00:00Z");
}

#[test]
fn in_sync_after_a_failure_is_a_success() {
    for (failed, succeeded, action) in
        [("InstallFailed", "InstallSucceeded", "install"), ("UpgradeFailed", "UpgradeSucceeded", "upgrade")]
    {
        let mut object = object(json!({}));
        know(&mut object, &release(2, Status::Deployed));
        set(&mut object, RELEASED, ConditionStatus::False, failed);
        set(&mut object, READY, ConditionStatus::False, failed);
        assert_eq!(next_of(&mut object, StateStatus::InSync), Ok(Next::Nothing));
        let expected = format!(
            "True {succeeded}: Helm {action} succeeded for release apps/web.v2 with chart podinfo@1.0.0"
        );
        assert_eq!(condition(&object, RELEASED), expected);
        assert_eq!(condition(&object, READY), expected);
    }
}

#[test]
fn in_sync_says_that_nothing_drifted_where_it_is_looked_for() {
    let mut object = object(json!({"driftDetection": {"mode": "warn"}}));
    know(&mut object, &release(1, Status::Deployed));
    assert_eq!(next_of(&mut object, StateStatus::InSync), Ok(Next::Nothing));
    let expected = "False NoDriftDetected: No drift detected against the cluster state";
    assert_eq!(condition(&object, DRIFTED), expected);
}

#[test]
fn locked_is_unlocked() {
    assert_eq!(next_of(&mut object(json!({})), StateStatus::Locked), Ok(Next::Run(Action::Unlock)));
}

#[test]
fn absent_is_installed_while_retries_are_left() {
    let rows = [(0, 0, true), (0, 1, false), (2, 2, true), (2, 3, false), (-1, 99, true)];
    for (retries, failures, installs) in rows {
        let mut object = object(json!({"install": {"remediation": {"retries": retries}}}));
        status(&mut object).install_failures = failures;
        let next = next_of(&mut object, StateStatus::Absent);
        if installs {
            assert_eq!(next, Ok(Next::Run(Action::Install)), "{retries} {failures}");
            continue;
        }
        let error = next.unwrap_err();
        assert_eq!(error.to_string(), "exceeded maximum retries: cannot install release");
        force(&mut object);
        assert_eq!(next_of(&mut object, StateStatus::Absent), Ok(Next::Run(Action::Install)));
    }
}

#[test]
fn unmanaged_is_upgraded_without_history() {
    let mut object = failing(json!({}), 9);
    assert_eq!(next_of(&mut object, StateStatus::Unmanaged), Ok(Next::Run(Action::Upgrade)));
    assert!(history(&object).is_empty());
}

#[test]
fn out_of_sync_is_upgraded_while_retries_are_left() {
    let mut object = failing(json!({"upgrade": {"remediation": {"retries": 1}}}), 1);
    assert_eq!(next_of(&mut object, StateStatus::OutOfSync), Ok(Next::Run(Action::Upgrade)));
    status(&mut object).upgrade_failures = 2;
    let error = next_of(&mut object, StateStatus::OutOfSync).unwrap_err();
    assert_eq!(error.to_string(), "exceeded maximum retries: cannot upgrade release");
    force(&mut object);
    assert_eq!(next_of(&mut object, StateStatus::OutOfSync), Ok(Next::Run(Action::Upgrade)));
}

#[test]
fn drifted_is_told_and_corrected_if_that_is_wanted() {
    let rows = [("enabled", Next::Run(Action::CorrectDrift)), ("warn", Next::Nothing)];
    for (mode, expected) in rows {
        let mut object = object(json!({"driftDetection": {"mode": mode}}));
        know(&mut object, &release(1, Status::Deployed));
        let drift = State::drifted("removed: 1", "Deployment/apps/web removed");
        let decision = next::decide(&mut object, &drift, &settings(), now()).unwrap();
        assert_eq!(decision.next, expected);
        let message = "Cluster state of release apps/web.v1 has drifted from the desired state:\nDeployment/apps/web removed";
        let notice = decision.notice.unwrap();
        assert!(notice.is_warning && notice.about.is_none());
        assert_eq!((notice.reason, notice.message.as_str()), ("DriftDetected", message));
        assert_eq!(condition(&object, DRIFTED), format!("True DriftDetected: {message}"));
    }
}

#[test]
fn untested_is_tested_and_no_failure_any_more() {
    let mut object = object(json!({"test": {"enable": true}}));
    know(&mut object, &release(1, Status::Deployed));
    set(&mut object, REMEDIATED, ConditionStatus::True, "RollbackSucceeded");
    assert_eq!(next_of(&mut object, StateStatus::Untested), Ok(Next::Run(Action::Test)));
    assert_eq!(condition(&object, REMEDIATED), "");
    assert!(condition(&object, RELEASED).starts_with("True UpgradeSucceeded: "));
}

#[test]
fn failed_is_upgraded_where_failures_are_tried_again() {
    let mut object = failing(json!({"upgrade": {"strategy": {"name": "RetryOnFailure"}}}), 9);
    assert_eq!(next_of(&mut object, StateStatus::Failed), Ok(Next::Run(Action::Upgrade)));
    assert_eq!(history(&object).len(), 3, "nothing but the oldest beyond five goes");
    let mut object = failing(json!({}), 9);
    let by_default = Settings { retry_on_failure: true, ..settings() };
    let decision = next::decide(&mut object, &state(StateStatus::Failed), &by_default, now()).unwrap();
    assert_eq!(decision.next, Next::Run(Action::Upgrade));
}

#[test]
fn failed_is_upgraded_if_no_failure_counts() {
    let mut object = failing(json!({}), 0);
    assert_eq!(next_of(&mut object, StateStatus::Failed), Ok(Next::Run(Action::Upgrade)));
    status(&mut object).upgrade_failures = 1;
    status(&mut object).last_attempted_release_action = None;
    assert_eq!(next_of(&mut object, StateStatus::Failed), Ok(Next::Run(Action::Upgrade)));
}

#[test]
fn failed_is_upgraded_by_force() {
    let mut object = failing(json!({}), 1);
    force(&mut object);
    assert_eq!(next_of(&mut object, StateStatus::Failed), Ok(Next::Run(Action::Upgrade)));
    let error = next_of(&mut object, StateStatus::Failed).unwrap_err();
    assert_eq!(error.to_string(), "exceeded maximum retries: cannot remediate failed release");
}

#[test]
fn failed_is_rolled_back_to_what_is_still_as_it_was() {
    let mut object = failing(json!({"upgrade": {"remediation": {"retries": 2}}}), 1);
    let Ok(Next::VerifyTarget(target)) = next_of(&mut object, StateStatus::Failed) else { panic!() };
    assert_eq!(target.version, 2);
    assert_eq!(history(&object), ["3 failed install", "2 deployed install"]);
    let after = |verified| Next::after_verification(target.clone(), verified);
    assert_eq!(after(Ok(())), Next::Run(Action::Rollback(target.clone())));
    let mut stored = release(2, Status::Deployed);
    stored.chart = Some(RawValue::from_string(r#"{"metadata":{"name":["a"]}}"#.to_owned()).unwrap());
    let damaged = verify(&target, Some(&stored)).unwrap_err();
    assert!(matches!(damaged, VerifyError::Metadata(_)), "{damaged:?}");
    for changed in [VerifyError::Disappeared, VerifyError::NotObserved, VerifyError::Digest, damaged] {
        assert_eq!(after(Err(changed)), Next::Run(Action::Upgrade));
    }
}

#[test]
fn failed_is_remediated_after_the_last_retry_if_that_is_wanted() {
    let rows = [
        (json!({"retries": 1}), 2, true),
        (json!({"retries": 1, "remediateLastFailure": false}), 2, false),
        (json!({"retries": 0}), 1, false),
        (json!({"retries": 0, "remediateLastFailure": true}), 1, true),
        (json!({"retries": -1}), 50, true),
    ];
    for (remediation, failures, remediates) in rows {
        let mut object = failing(json!({"upgrade": {"remediation": remediation}}), failures);
        let next = next_of(&mut object, StateStatus::Failed);
        assert_eq!(matches!(next, Ok(Next::VerifyTarget(_))), remediates, "{remediation} {next:?}");
    }
}

#[test]
fn failed_cannot_be_rolled_back_to_nothing() {
    let mut object = failing(json!({"upgrade": {"remediation": {"retries": 2}}}), 1);
    let hooks = [("t".to_owned(), TestHookStatus { phase: "Failed".into(), ..Default::default() })];
    status(&mut object).history.truncate(2);
    status(&mut object).history[1].test_hooks = Some(hooks.into_iter().collect());
    let error = next_of(&mut object, StateStatus::Failed).unwrap_err();
    assert_eq!(error.to_string(), "missing target release for rollback: cannot remediate failed release");
    // Its tests may not matter.
    object.spec.test.ignore_failures = true;
    assert!(matches!(next_of(&mut object, StateStatus::Failed), Ok(Next::VerifyTarget(_))));
}

#[test]
fn failed_is_uninstalled_if_that_is_the_strategy_or_an_install_failed() {
    let mut object = failing(json!({"upgrade": {"remediation": {"retries": 2, "strategy": "uninstall"}}}), 1);
    assert_eq!(next_of(&mut object, StateStatus::Failed), Ok(Next::Run(Action::UninstallRemediation)));
    let mut object = failing(json!({"install": {"remediation": {"retries": 2}}}), 0);
    status(&mut object).last_attempted_release_action = Some(ReleaseAction::Install);
    status(&mut object).install_failures = 1;
    assert_eq!(next_of(&mut object, StateStatus::Failed), Ok(Next::Run(Action::UninstallRemediation)));
}
