//! What users see for each setting: passes over a storage in memory, until nothing more is done.

use std::time::Duration;

use api::helm::conditions::{RELEASED, REMEDIATED, TEST_SUCCESS};
use helm_release::Status;
use helm_state::Outcome;
use runtime::conditions::{READY, RECONCILING, STALLED};
use serde_json::json;

use crate::common::*;
use crate::world::Goes::{Nowhere, Well, Wrong};
use crate::world::World;

const MINUTES: Duration = Duration::from_secs(5 * 60);

fn stalled(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Stalled(_))
}

#[test]
fn a_release_is_installed_and_left_alone() {
    let mut world = World::new(json!({}));
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["install"]);
    let installed =
        "True InstallSucceeded: Helm install succeeded for release apps/web.v1 with chart podinfo@1.0.0";
    assert_eq!((world.condition(READY), world.condition(RELEASED)), (installed.into(), installed.into()));
    assert_eq!(history(&world.object), ["1 deployed install"]);
    assert_eq!(world.latest().oci_digest.as_deref(), Some("sha256:0c1"));
    assert_eq!(world.condition(RECONCILING), "");
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["install"]);
    world.wants("2.0.0");
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["install", "upgrade"]);
    assert_eq!(history(&world.object), ["2 deployed upgrade", "1 superseded -"]);
}

#[test]
fn by_default_an_upgrade_that_fails_is_stalled_at_once() {
    let mut world = World::installed(json!({}));
    let outcome = world.pass(&[Wrong]);
    assert_eq!(outcome, Outcome::Stalled("exceeded maximum retries: cannot remediate failed release".into()));
    assert_eq!((world.actions.as_slice(), world.counters()), (["upgrade"].as_slice(), (1, 0, 1)));
    let failed =
        "False UpgradeFailed: Helm upgrade failed for release apps/web with chart podinfo@2.0.0: it broke";
    assert_eq!(world.condition(RELEASED), failed);
    assert_eq!(world.condition(READY), failed);
    assert_eq!(world.condition(STALLED), "True RetriesExceeded: Failed to upgrade after 1 attempt(s)");
    assert_eq!(history(&world.object), ["2 failed upgrade", "1 deployed install"]);
    // Until something changes.
    assert!(stalled(&world.pass(&[])));
    assert_eq!(world.actions, ["upgrade"]);
    annotate(&mut world.object, &[("requestedAt", "t"), ("forceAt", "t")]);
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!((world.condition(STALLED), world.actions.len()), (String::new(), 2));
}

#[test]
fn a_fix_after_a_stall_is_upgraded_to() {
    let mut world = World::installed(json!({}));
    assert!(stalled(&world.pass(&[Wrong])));
    world.wants("2.0.1");
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!((world.actions.as_slice(), world.counters()), (["upgrade", "upgrade"].as_slice(), (0, 0, 0)));
    assert!(world.condition(READY).starts_with("True UpgradeSucceeded: "));
}

#[test]
fn with_retries_each_failed_upgrade_is_rolled_back() {
    let mut world = World::installed(json!({"upgrade": {"remediation": {"retries": 2}}}));
    let rolled_back = "True RollbackSucceeded: Helm rollback to previous release apps/web.v1 with chart podinfo@1.0.0 succeeded";
    assert_eq!(world.pass(&[Wrong]), Outcome::Requeue);
    assert_eq!(world.condition(REMEDIATED), rolled_back);
    assert_eq!(world.condition(READY), rolled_back.replace("True", "False"));
    let retried = world.condition(RECONCILING);
    assert_eq!(retried, rolled_back.replace("RollbackSucceeded", "ProgressingWithRetry"));
    assert_eq!(history(&world.object), ["3 deployed rollback", "2 failed upgrade", "1 superseded rollback"]);
    assert_eq!(world.latest().oci_digest, None);
    assert_eq!(world.pass(&[Wrong]), Outcome::Requeue);
    // The last failure is remediated, too.
    assert_eq!(world.pass(&[Wrong]), Outcome::Stalled("exceeded maximum retries".into()));
    assert_eq!(world.actions, ["upgrade", "rollback"].repeat(3));
    assert_eq!(world.counters(), (3, 0, 3));
    assert_eq!(world.condition(STALLED), "True RetriesExceeded: Failed to upgrade after 3 attempt(s)");
    assert!(world.condition(READY).starts_with("False RollbackSucceeded: "));
    assert!(stalled(&world.pass(&[])));
    assert_eq!(world.actions.len(), 6);
}

#[test]
fn a_retry_that_succeeds_ends_it() {
    let mut world = World::installed(json!({"upgrade": {"remediation": {"retries": 2}}}));
    assert_eq!(world.pass(&[Wrong, Well]), Outcome::Requeue);
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["upgrade", "rollback", "upgrade"]);
    assert!(world.condition(READY).starts_with("True UpgradeSucceeded: "));
    assert_eq!(world.condition(REMEDIATED), "");
}

#[test]
fn what_was_rolled_back_to_can_become_what_is_wanted() {
    let mut world = World::installed(json!({"upgrade": {"remediation": {"retries": 1}}}));
    assert_eq!(world.pass(&[Wrong]), Outcome::Requeue);
    world.wants("1.0.0");
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["upgrade", "rollback"], "nothing is done");
    let upgraded =
        "True UpgradeSucceeded: Helm upgrade succeeded for release apps/web.v3 with chart podinfo@1.0.0";
    assert_eq!(world.condition(READY), upgraded);
}

#[test]
fn the_last_failure_can_be_left_in_place() {
    let remediation = json!({"retries": 1, "remediateLastFailure": false});
    let mut world = World::installed(json!({"upgrade": {"remediation": remediation}}));
    assert_eq!(world.pass(&[Wrong]), Outcome::Requeue);
    assert!(stalled(&world.pass(&[Wrong])));
    assert_eq!(world.actions, ["upgrade", "rollback", "upgrade"]);
    assert!(world.condition(READY).starts_with("False UpgradeFailed: "));
}

#[test]
fn an_upgrade_can_be_remediated_by_a_new_install() {
    let remediation = json!({"retries": 0, "remediateLastFailure": true, "strategy": "uninstall"});
    let mut world = World::installed(json!({"upgrade": {"remediation": remediation}}));
    // Even though no retry is left.
    assert_eq!(world.pass(&[Wrong]), Outcome::Requeue);
    assert_eq!(
        world.condition(REMEDIATED),
        "True UninstallSucceeded: Helm uninstall remediation for release apps/web.v2 with chart podinfo@2.0.0 succeeded"
    );
    // The uninstall is not summarized.
    assert!(world.condition(READY).starts_with("False UpgradeFailed: "), "{}", world.condition(READY));
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["upgrade", "uninstall", "install"]);
    assert_eq!(history(&world.object), ["1 deployed install"]);
    assert!(world.condition(READY).starts_with("True InstallSucceeded: "));
}

#[test]
fn failures_can_be_tried_again_for_ever() {
    let mut world = World::installed(json!({"upgrade": {"strategy": {"name": "RetryOnFailure"}}}));
    for attempt in 1..=7 {
        assert_eq!(world.pass(&[Wrong]), Outcome::RetryAfter(MINUTES));
        assert_eq!(world.condition(RECONCILING), "True ProgressingWithRetry: retrying after 5m0s");
        assert_eq!(world.counters(), (attempt, 0, attempt));
        assert!(world.condition(READY).starts_with("False UpgradeFailed: "));
    }
    assert_eq!(world.actions, ["upgrade"].repeat(7));
    assert!(world.object.status.as_ref().unwrap().history.len() <= 6);
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.counters(), (0, 0, 0), "a success forgets");
    assert!(world.condition(READY).starts_with("True UpgradeSucceeded: "));
}

#[test]
fn an_interval_of_retries_can_be_given_and_the_strategy_be_the_default() {
    let strategy = json!({"name": "RetryOnFailure", "retryInterval": "90s"});
    let mut world = World::new(json!({"install": {"strategy": strategy}}));
    assert_eq!(world.pass(&[Wrong]), Outcome::RetryAfter(Duration::from_secs(90)));
    assert_eq!(world.condition(RECONCILING), "True ProgressingWithRetry: retrying after 1m30s");
    let mut world = World::new(json!({}));
    world.settings.retry_on_failure = true;
    assert_eq!(world.pass(&[Wrong]), Outcome::RetryAfter(MINUTES));
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["install", "upgrade"]);
}

#[test]
fn by_default_an_install_that_fails_is_stalled_and_left_in_place() {
    let mut world = World::new(json!({}));
    assert!(stalled(&world.pass(&[Wrong])));
    assert_eq!((world.actions.as_slice(), world.counters()), (["install"].as_slice(), (1, 1, 0)));
    assert_eq!(world.condition(STALLED), "True RetriesExceeded: Failed to install after 1 attempt(s)");
    assert_eq!(world.stored[0].info.status, Status::Failed);
}

#[test]
fn an_install_with_retries_is_removed_and_installed_again() {
    let mut world = World::new(json!({"install": {"remediation": {"retries": 2}}}));
    assert_eq!(world.pass(&[Wrong]), Outcome::Requeue);
    assert_eq!(world.pass(&[Wrong]), Outcome::Requeue);
    assert!(stalled(&world.pass(&[Wrong])));
    assert_eq!(world.actions, ["install", "uninstall", "install", "uninstall", "install"]);
    assert_eq!(world.counters(), (3, 3, 0));
    assert_eq!(world.condition(STALLED), "True RetriesExceeded: Failed to install after 3 attempt(s)");
}

#[test]
fn the_last_failed_install_can_be_removed() {
    let remediation = json!({"retries": 1, "remediateLastFailure": true});
    let mut world = World::new(json!({"install": {"remediation": remediation}}));
    assert_eq!(world.pass(&[Wrong]), Outcome::Requeue);
    assert!(stalled(&world.pass(&[Wrong])));
    assert_eq!(world.actions, ["install", "uninstall"].repeat(2));
    assert!(world.stored.is_empty());
    // It is not installed a third time.
    assert!(stalled(&world.pass(&[])));
    assert_eq!(world.actions.len(), 4);
}

#[test]
fn what_cannot_be_rendered_is_tried_again_and_does_not_count() {
    let mut world = World::new(json!({}));
    for attempt in 1..=3 {
        assert_eq!(world.pass(&[Nowhere]), Outcome::Failed("it broke\n".into()));
        assert_eq!(world.counters(), (attempt, 0, 0));
    }
    assert!(world.condition(READY).starts_with("False InstallFailed: "));
    assert_eq!(world.condition(STALLED), "");
    assert_eq!(world.object.status.as_ref().unwrap().observed_generation, None);
    assert_eq!(world.pass(&[]), Outcome::Done);
}

#[test]
fn a_test_that_fails_counts_for_what_was_tested() {
    let spec = json!({"test": {"enable": true}, "upgrade": {"remediation": {"retries": 1}}});
    let mut world = World::installed(spec);
    assert_eq!(world.pass(&[Well, Wrong]), Outcome::Requeue);
    assert_eq!(world.actions, ["upgrade", "test", "rollback"]);
    assert_eq!(world.counters(), (1, 0, 1));
    assert!(world.condition(READY).starts_with("False RollbackSucceeded: "));
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions[3..], ["upgrade", "test"]);
    let tested = "True TestSucceeded: Helm test succeeded for release apps/web.v4 with chart podinfo@2.0.0: 1 test hook completed successfully";
    assert_eq!(world.condition(TEST_SUCCESS), tested);
    assert_eq!(world.condition(READY), tested);
}

#[test]
fn a_test_that_fails_without_retries_is_stalled() {
    let mut world = World::new(json!({"test": {"enable": true}}));
    assert!(stalled(&world.pass(&[Well, Wrong])));
    assert_eq!((world.actions.as_slice(), world.counters()), (["install", "test"].as_slice(), (1, 1, 0)));
    assert_eq!(
        world.condition(READY),
        "False TestFailed: Helm test failed for release apps/web.v1 with chart podinfo@1.0.0: it broke"
    );
}

#[test]
fn a_test_that_fails_can_be_ignored() {
    let mut world = World::new(json!({"test": {"enable": true, "ignoreFailures": true}}));
    assert_eq!(world.pass(&[Well, Wrong]), Outcome::Done);
    assert_eq!((world.actions.as_slice(), world.counters()), (["install", "test"].as_slice(), (1, 0, 0)));
    assert!(world.condition(READY).starts_with("True InstallSucceeded: "));
    assert!(world.condition(TEST_SUCCESS).starts_with("False TestFailed: "));
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions.len(), 2);
}

#[test]
fn a_test_that_fails_leads_to_an_upgrade_where_failures_are_tried_again() {
    let spec = json!({"test": {"enable": true}, "upgrade": {"strategy": {"name": "RetryOnFailure"}}});
    let mut world = World::installed(spec);
    assert_eq!(world.pass(&[Well, Wrong]), Outcome::RetryAfter(MINUTES));
    assert_eq!(world.counters(), (1, 0, 1));
    assert!(world.condition(READY).starts_with("False TestFailed: "));
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["upgrade", "test"].repeat(2));
}

#[test]
fn a_rollback_to_what_somebody_changed_is_an_upgrade() {
    let mut world = World::installed(json!({"upgrade": {"remediation": {"retries": 2}}}));
    assert_eq!(world.pass(&[Wrong, Nowhere]), Outcome::Failed("it broke\n".into()));
    world.stored[0].manifest = "kind: Other\n".into();
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["upgrade", "rollback", "upgrade"]);
}

#[test]
fn a_release_of_somebody_else_has_nothing_to_be_rolled_back_to() {
    let mut world = World::new(json!({"upgrade": {"remediation": {"retries": 2}}}));
    world.stored.push(release_of(&chart("0.9.0"), 1, Status::Deployed));
    let error = "missing target release for rollback: cannot remediate failed release";
    assert_eq!(world.pass(&[Wrong]), Outcome::Stalled(error.into()));
    let stalled = format!("True MissingRollbackTarget: Failed to perform remediation: {error}");
    assert_eq!(world.condition(STALLED), stalled);
}

#[test]
fn a_test_that_did_not_begin_is_tried_again() {
    let mut world = World::new(json!({"test": {"enable": true}}));
    assert_eq!(world.pass(&[Well, Nowhere]), Outcome::Failed("it broke\n".into()));
    assert_eq!(world.counters(), (1, 0, 0));
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["install", "test", "test"]);
}

#[test]
fn a_release_that_is_stuck_is_unlocked_and_upgraded() {
    let mut world = World::installed(json!({"upgrade": {"remediation": {"retries": 1}}}));
    world.stored.push(release_of(&chart("2.0.0"), 2, Status::PendingUpgrade));
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["unlock", "upgrade"]);
    assert_eq!(world.stored[1].info.description, "Release unlocked from stale 'pending-upgrade' state");
    let reasons: Vec<_> = world.notices.iter().map(|notice| notice.reason).collect();
    assert_eq!(reasons, ["PendingRelease", "UpgradeSucceeded"]);
}

#[test]
fn a_release_that_somebody_upgraded_is_taken_back() {
    let mut world = World::new(json!({}));
    world.pass(&[]);
    world.stored.push(release_of(&chart("9.9.9"), 2, Status::Deployed));
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["install", "upgrade"]);
    assert_eq!(history(&world.object), ["3 deployed upgrade"]);
}

#[test]
fn a_release_that_somebody_removed_is_installed_again() {
    let mut world = World::new(json!({}));
    world.pass(&[]);
    world.stored.clear();
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["install", "install"]);
}

#[test]
fn a_rollback_that_fails_is_tried_again_until_no_retry_is_left() {
    let mut world = World::installed(json!({"upgrade": {"remediation": {"retries": 1}}}));
    assert_eq!(world.pass(&[Wrong, Wrong]), Outcome::Requeue);
    assert_eq!(world.counters(), (2, 0, 1));
    assert!(world.condition(READY).starts_with("False RollbackFailed: "));
    // What failed now is the rollback, which is remediated again.
    assert_eq!(world.pass(&[]), Outcome::Requeue);
    assert_eq!(world.actions, ["upgrade", "rollback", "rollback"]);
    assert_eq!(world.pass(&[Nowhere]), Outcome::Failed("it broke\n".into()));
}
