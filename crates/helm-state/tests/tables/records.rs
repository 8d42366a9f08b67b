//! What each action records.

use std::time::Duration;

use api::HelmRelease;
use api::helm::conditions::{RELEASED, REMEDIATED, TEST_SUCCESS};
use api::helm_release::ReleaseAction;
use api::kustomization::ResourceInventory;
use helm_release::{Phase, Release, Status};
use helm_state::{About, Action, Ended, Notice, Ran, Run, drift_corrected};
use runtime::conditions::{READY, Status as ConditionStatus};
use serde_json::{Value, json};

use crate::common::*;

type Writes<'a> = &'a dyn Fn(&mut Run);

fn run(object: &mut HelmRelease, action: Action, ran: &Ran<'_>, writes: Writes<'_>) -> Ended {
    let mut run = Run::begin(object, action, &settings(), now());
    writes(&mut run);
    run.end(object, &desired(), ran, now())
}

fn ran(error: Option<&'static str>) -> Ran<'static> {
    Ran { error, took: Duration::from_millis(1500), ..Ran::default() }
}

fn known(spec: Value, releases: &[&Release]) -> HelmRelease {
    let mut object = object(spec);
    for release in releases {
        know(&mut object, release);
    }
    status(&mut object).last_attempted_revision_digest = Some("sha256:0c1".into());
    object
}

fn told(ended: &Ended) -> (bool, bool, &'static str, &str) {
    let Notice { is_warning, has_log, reason, message, .. } = ended.notice.as_ref().unwrap();
    (*is_warning, *has_log, reason, message)
}

fn about(ended: &Ended) -> About {
    ended.notice.clone().unwrap().about.unwrap()
}

const CHART: &str = "with chart podinfo@1.0.0";

#[test]
fn an_install_that_succeeds() {
    let mut object = known(json!({"test": {"enable": true}}), &[&release(1, Status::Uninstalled)]);
    status(&mut object).install_failures = 2;
    set(&mut object, REMEDIATED, ConditionStatus::True, "UninstallSucceeded");
    let ended = run(&mut object, Action::Install, &ran(None), &|run| {
        run.created(&release(2, Status::PendingInstall)).unwrap();
        run.updated(&release(2, Status::Deployed)).unwrap();
    });
    let message = format!("Helm install succeeded for release apps/web.v2 {CHART}");
    assert_eq!(told(&ended), (false, false, "InstallSucceeded", message.as_str()));
    let snapshot = object.status.as_ref().unwrap().history[0].clone();
    let expected = About {
        revision: "1.0.0".into(),
        token: snapshot.config_digest.clone(),
        app_version: "6".into(),
        oci_digest: "sha256:0c1".into(),
    };
    assert_eq!((about(&ended), ended.error), (expected, None));
    assert_eq!(history(&object), ["2 deployed install"]);
    assert_eq!(condition(&object, RELEASED), format!("True InstallSucceeded: {message}"));
    assert_eq!(condition(&object, REMEDIATED), "");
    let awaiting = format!("Unknown AwaitingTests: Helm release apps/web.v2 {CHART} is awaiting tests");
    assert_eq!((condition(&object, TEST_SUCCESS), condition(&object, READY)), (awaiting.clone(), awaiting));
    assert_eq!(counters(&object), (0, 2, 0), "counters stay until something else is attempted");
    let status = status(&mut object);
    assert_eq!(status.last_attempted_release_action, Some(ReleaseAction::Install));
    assert_eq!(status.last_attempted_release_action_duration.as_ref().unwrap().as_str(), "1.5s");
}

#[test]
fn an_install_or_upgrade_that_fails() {
    for (action, name, reason, counted) in [
        (Action::Install, "install", "InstallFailed", (1, 1, 0)),
        (Action::Upgrade, "upgrade", "UpgradeFailed", (1, 0, 1)),
    ] {
        let message = format!("Helm {name} failed for release apps/web {CHART}: it broke");
        let mut object = known(json!({}), &[]);
        let ended = run(&mut object, action.clone(), &ran(Some(" it broke\n")), &|run| {
            run.created(&release(1, Status::Failed)).unwrap();
        });
        assert_eq!(told(&ended), (true, true, reason, message.as_str()));
        assert_eq!(about(&ended).token, desired().config_digest());
        assert_eq!((ended.error, counters(&object)), (None, counted));
        assert_eq!(condition(&object, RELEASED), format!("False {reason}: {message}"));
        assert_eq!(condition(&object, READY), format!("False {reason}: {message}"));
        // Nothing was stored: it counts for nobody's retries.
        let mut object = known(json!({}), &[]);
        let ended = run(&mut object, action, &ran(Some("it broke")), &|_| {});
        assert_eq!((ended.error.as_deref(), counters(&object)), (Some("it broke"), (1, 0, 0)));
        assert!(history(&object).is_empty());
    }
}

#[test]
fn a_failure_names_the_release_in_full() {
    let mut object = known(json!({}), &[]);
    let name = "n".repeat(60);
    object.metadata.name = Some(name.clone());
    let ended = run(&mut object, Action::Install, &ran(Some("no")), &|_| {});
    assert_eq!(told(&ended).3, format!("Helm install failed for release apps/{name} {CHART}: no"));
}

#[test]
fn an_upgrade_that_succeeds() {
    let mut object = known(json!({}), &[&release(1, Status::Deployed)]);
    status(&mut object).history[0].test_hooks = Some(Default::default());
    set(&mut object, REMEDIATED, ConditionStatus::True, "RollbackSucceeded");
    set(&mut object, TEST_SUCCESS, ConditionStatus::True, "TestSucceeded");
    let ended = run(&mut object, Action::Upgrade, &ran(None), &|run| {
        run.created(&release(2, Status::PendingUpgrade)).unwrap();
        run.updated(&release(1, Status::Superseded)).unwrap();
        run.updated(&release(2, Status::Deployed)).unwrap();
    });
    let message = format!("Helm upgrade succeeded for release apps/web.v2 {CHART}");
    assert_eq!(told(&ended), (false, false, "UpgradeSucceeded", message.as_str()));
    assert_eq!(history(&object), ["2 deployed upgrade", "1 superseded -"]);
    let before = &object.status.as_ref().unwrap().history[1];
    assert_eq!(before.test_hooks, Some(Default::default()), "what was tested stays tested");
    assert_eq!(before.oci_digest.as_deref(), Some("sha256:0c1"));
    assert_eq!((condition(&object, REMEDIATED), condition(&object, TEST_SUCCESS)), Default::default());
    assert_eq!(condition(&object, READY), format!("True UpgradeSucceeded: {message}"));
}

#[test]
fn a_success_forgets_failures_where_they_are_tried_again() {
    let retry = json!({"strategy": {"name": "RetryOnFailure"}});
    let mut object = known(json!({"upgrade": retry}), &[]);
    status(&mut object).failures = 3;
    status(&mut object).upgrade_failures = 3;
    run(&mut object, Action::Upgrade, &ran(None), &|run| {
        run.created(&release(2, Status::Deployed)).unwrap();
    });
    assert_eq!(counters(&object), (0, 0, 0));
}

fn tested(phases: &[(&str, Phase)]) -> Release {
    let mut release = release(1, Status::Deployed);
    release.hooks = Some(phases.iter().map(|(name, phase)| test_hook(name, *phase)).collect());
    release
}

#[test]
fn tests_that_succeed() {
    let two = [("a", Phase::Succeeded), ("b", Phase::Succeeded)];
    let only_b = json!([{"name": "b"}]);
    let not_b = json!([{"name": "b", "exclude": true}]);
    let none: &[(&str, Phase)] = &[];
    let rows = [
        (none, json!([]), "no test hooks"),
        (&two[..1], json!([]), "1 test hook completed successfully"),
        (&two[..], json!([]), "2 test hooks completed successfully"),
        (&two[..], only_b, "1 test hook completed successfully"),
        (&two[1..], not_b, "no test hooks"),
    ];
    for (hooks, filters, text) in rows {
        let spec = json!({"test": {"enable": true, "filters": filters}});
        let mut object = known(spec, &[&release(1, Status::Deployed)]);
        let result = tested(hooks);
        let ran = Ran { release: Some(&result), ..ran(None) };
        let ended = run(&mut object, Action::Test, &ran, &|run| run.updated(&result).unwrap());
        let message = format!("Helm test succeeded for release apps/web.v1 {CHART}: {text}");
        assert_eq!(told(&ended), (false, false, "TestSucceeded", message.as_str()));
        assert_eq!(condition(&object, TEST_SUCCESS), format!("True TestSucceeded: {message}"));
        let snapshot = &object.status.as_ref().unwrap().history[0];
        assert!(snapshot.is_tested() && snapshot.action == Some(ReleaseAction::Install));
    }
}

#[test]
fn tests_that_fail() {
    let ignored = json!({"test": {"enable": true}, "upgrade": {"remediation": {"ignoreTestFailures": true}}});
    let rows = [(json!({"test": {"enable": true}}), (1, 0, 1)), (ignored, (1, 0, 0))];
    for (spec, counted) in rows {
        let mut object = known(spec, &[&release(1, Status::Deployed)]);
        status(&mut object).last_attempted_release_action = Some(ReleaseAction::Upgrade);
        let result = tested(&[("a", Phase::Succeeded), ("b", Phase::Failed)]);
        let ran_so = Ran { release: Some(&result), ..ran(Some("pod b failed\n")) };
        let ended = run(&mut object, Action::Test, &ran_so, &|run| run.updated(&result).unwrap());
        let message = format!("Helm test failed for release apps/web.v1 {CHART}: pod b failed");
        assert_eq!(told(&ended), (true, false, "TestFailed", message.as_str()));
        assert_eq!((ended.error, counters(&object)), (None, counted));
        assert_eq!(condition(&object, READY), format!("False TestFailed: {message}"));
        // It did not even begin.
        status(&mut object).history[0].test_hooks = None;
        let ended = run(&mut object, Action::Test, &ran(Some("forbidden")), &|_| {});
        assert_eq!(ended.error.as_deref(), Some("forbidden"));
        assert_eq!(counters(&object).2, counted.2);
    }
}

#[test]
fn tests_of_another_revision_do_not_count() {
    let mut object = known(json!({"test": {"enable": true}}), &[&release(1, Status::Deployed)]);
    let other = release(2, Status::Deployed);
    let ran = Ran { release: Some(&other), ..ran(None) };
    let ended = run(&mut object, Action::Test, &ran, &|run| run.updated(&other).unwrap());
    let error = "release mismatch: tested release apps/web.v2 != current release apps/web.v1";
    assert_eq!(ended.error.as_deref(), Some(error));
    assert_eq!(history(&object), ["1 deployed install"]);
}

fn rolled_back(object: &mut HelmRelease, error: Option<&'static str>, writes: bool) -> Ended {
    let target = Box::new(snapshot(&release(1, Status::Superseded)));
    run(object, Action::Rollback(target), &ran(error), &|run| {
        if writes {
            run.created(&release(3, Status::PendingRollback)).unwrap();
            run.updated(&release(2, Status::Superseded)).unwrap();
            run.updated(&release(3, Status::Deployed)).unwrap();
        }
    })
}

#[test]
fn a_rollback() {
    let releases = [&release(1, Status::Superseded), &release(2, Status::Failed)];
    let mut object = known(json!({}), &releases);
    let ended = rolled_back(&mut object, None, true);
    let rollback = format!("Helm rollback to previous release apps/web.v1 {CHART}");
    let message = format!("{rollback} succeeded");
    assert_eq!(told(&ended), (false, false, "RollbackSucceeded", message.as_str()));
    assert_eq!(about(&ended).token, desired().config_digest());
    assert_eq!(condition(&object, REMEDIATED), format!("True RollbackSucceeded: {message}"));
    assert_eq!(condition(&object, READY), format!("False RollbackSucceeded: {message}"));
    let expected = ["3 deployed rollback", "2 superseded rollback", "1 superseded install"];
    assert_eq!(history(&object), expected);
    assert_eq!(object.status.as_ref().unwrap().history[0].oci_digest, None);

    for (writes, error) in [(true, None), (false, Some("no"))] {
        let mut object = known(json!({}), &releases);
        let ended = rolled_back(&mut object, Some("no"), writes);
        let message = format!("{rollback} failed: no");
        assert_eq!(told(&ended), (true, true, "RollbackFailed", message.as_str()));
        assert_eq!((ended.error.as_deref(), counters(&object)), (error, (1, 0, 0)));
        assert_eq!(condition(&object, REMEDIATED), format!("False RollbackFailed: {message}"));
    }
}

#[test]
fn an_uninstall_that_remediates() {
    let uninstall = format!("Helm uninstall remediation for release apps/web.v1 {CHART}");
    let rows = [
        (None, true, "UninstallSucceeded", format!("{uninstall} succeeded"), None),
        (Some("no"), true, "UninstallFailed", format!("{uninstall} failed: no"), None),
        (Some("no"), false, "UninstallFailed", format!("{uninstall} failed: no"), Some("no")),
        (
            None,
            false,
            "UninstallFailed",
            format!(
                "{uninstall} failed: uninstall completed with error: release not updated in Helm storage"
            ),
            Some("uninstall completed with error: release not updated in Helm storage"),
        ),
    ];
    for (failed, writes, reason, message, error) in rows {
        let mut object = known(json!({}), &[&release(1, Status::Failed)]);
        set(&mut object, READY, ConditionStatus::False, "UpgradeFailed");
        let ended = run(&mut object, Action::UninstallRemediation, &ran(failed), &|run| {
            if writes {
                run.updated(&release(1, Status::Uninstalled)).unwrap();
            }
        });
        let succeeds = reason == "UninstallSucceeded";
        assert_eq!(told(&ended), (!succeeds, !succeeds, reason, message.as_str()));
        assert_eq!(ended.error.as_deref(), error);
        let status = if succeeds { "True" } else { "False" };
        assert_eq!(condition(&object, REMEDIATED), format!("{status} {reason}: {message}"));
        assert_eq!(condition(&object, READY), "False UpgradeFailed: before", "it is not summarized");
        if writes {
            assert_eq!(history(&object), ["1 uninstalled uninstall-remediation"]);
        }
    }
}

#[test]
fn an_uninstall() {
    let uninstalled = |object: &mut HelmRelease, ran: &Ran<'_>, writes: bool| {
        status(object).inventory = Some(ResourceInventory::default());
        run(object, Action::Uninstall, ran, &|run| {
            if writes {
                run.updated(&release(1, Status::Uninstalled)).unwrap();
            }
        })
    };
    let deployed = || known(json!({}), &[&release(1, Status::Deployed)]);
    let mut object = deployed();
    let ended = uninstalled(&mut object, &ran(None), true);
    let message = format!("Helm uninstall succeeded for release apps/web.v1 {CHART}");
    assert_eq!(told(&ended), (false, false, "UninstallSucceeded", message.as_str()));
    assert_eq!(condition(&object, READY), format!("False UninstallSucceeded: {message}"));
    assert_eq!(
        (history(&object), status(&mut object).inventory.is_none()),
        (vec!["1 uninstalled uninstall".into()], true)
    );

    let mut object = deployed();
    let ended = uninstalled(&mut object, &ran(Some("no")), true);
    let message = format!("Helm uninstall failed for release apps/web.v1 {CHART}: no");
    assert_eq!(told(&ended), (true, true, "UninstallFailed", message.as_str()));
    assert_eq!((ended.error.as_deref(), counters(&object)), (Some("no"), (1, 0, 0)));
    assert!(status(&mut object).inventory.is_some());

    let ended = uninstalled(&mut deployed(), &ran(None), false);
    let not_updated = "uninstall completed with error: release not updated in Helm storage";
    assert_eq!(ended.error.as_deref(), Some(not_updated));
    let mut removed = known(json!({}), &[&release(1, Status::Uninstalled)]);
    assert_eq!(uninstalled(&mut removed, &ran(None), false).error, None, "it was uninstalled before");

    let mut gone = deployed();
    let not_found = Ran { is_not_found: true, ..ran(Some("release: not found")) };
    assert_eq!(uninstalled(&mut gone, &not_found, false), Ended::default());
    let expected = "False UninstallSucceeded: Release apps/web.v1 was not found, assuming it is uninstalled";
    assert_eq!(condition(&gone, RELEASED), expected);

    let mut kept = known(json!({"uninstall": {"keepHistory": true}}), &[&release(1, Status::Uninstalled)]);
    let deleted = ran(Some("the release named \"web\" is already deleted"));
    assert_eq!(uninstalled(&mut kept, &deleted, false), Ended::default());
    let expected = "False UninstallSucceeded: Release apps/web.v1 was already uninstalled";
    assert_eq!(condition(&kept, RELEASED), expected);

    let nothing = uninstalled(&mut known(json!({}), &[]), &ran(None), false);
    assert_eq!(nothing.error.as_deref(), Some("no latest release: required to uninstall"));
}

#[test]
fn an_unlock() {
    let locked = release(1, Status::PendingUpgrade);
    let ran = |error| Ran { release: Some(&locked), error, ..Ran::default() };
    let mut object = known(json!({}), &[&locked]);
    let ended = run(&mut object, Action::Unlock, &ran(None), &|run| {
        run.updated(&release(1, Status::Failed)).unwrap();
    });
    let release_text = format!("release apps/web.v1 {CHART} in pending-upgrade state");
    let message = format!("Unlocked Helm {release_text}");
    assert_eq!(told(&ended), (false, false, "PendingRelease", message.as_str()));
    assert_eq!(about(&ended).oci_digest, "sha256:0c1");
    assert_eq!(condition(&object, READY), format!("False PendingRelease: {message}"));
    assert_eq!(history(&object), ["1 failed install"]);

    let mut object = known(json!({}), &[]);
    let ended = run(&mut object, Action::Unlock, &ran(Some("no")), &|_| {});
    let message = format!("Unlock of Helm {release_text} failed: no");
    assert_eq!(told(&ended), (true, false, "PendingRelease", message.as_str()));
    assert_eq!((ended.error.as_deref(), counters(&object)), (Some("no"), (1, 0, 0)));

    // Somebody else has done it, before it was looked at or since.
    let mut object = known(json!({}), &[&locked]);
    let lost = Ran { is_not_found: true, ..ran(Some("it is not locked any more")) };
    assert_eq!(run(&mut object, Action::Unlock, &lost, &|_| {}), Ended::default());
    assert_eq!((condition(&object, RELEASED), counters(&object)), (String::new(), (0, 0, 0)));
    let mut object = known(json!({}), &[]);
    assert_eq!(run(&mut object, Action::Unlock, &Ran::default(), &|_| {}), Ended::default());
}

#[test]
fn a_correction_of_drift() {
    let mut object = known(json!({}), &[&release(1, Status::Deployed)]);
    let ended = run(&mut object, Action::CorrectDrift, &Ran::default(), &|_| {});
    assert_eq!(ended, Ended::default());
    assert_eq!(condition(&object, READY), "Unknown Progressing: correcting cluster drift");

    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let (errors, changes) =
        (lines(&["a: no", "b: no"]), lines(&["Pod/apps/c configured", "Pod/apps/d created"]));
    let told = |errors: &[String], changes: &[String]| {
        drift_corrected(&object, errors, changes)
            .map(|notice| (notice.is_warning, notice.reason, notice.message))
    };
    assert_eq!(told(&[], &[]), None);
    let corrected =
        "Cluster state of release apps/web.v1 has been corrected:\nPod/apps/c configured\nPod/apps/d created";
    assert_eq!(told(&[], &changes), Some((false, "DriftCorrected", corrected.into())));
    let failed = "Failed to correct cluster state of release apps/web.v1:\na: no\nb: no";
    assert_eq!(told(&errors, &[]), Some((true, "DriftCorrectionFailed", failed.into())));
    let partially = "Failed to partially correct cluster state of release apps/web.v1:\na: no\nb: no\n\nSuccessful corrections:\nPod/apps/c configured\nPod/apps/d created";
    assert_eq!(told(&errors, &changes), Some((true, "DriftCorrectionFailed", partially.into())));
}
