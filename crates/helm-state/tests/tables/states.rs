//! The sixteen rows of the state of a release.

use api::HelmRelease;
use api::helm::conditions::RELEASED;
use api::helm_release::{ReleaseAction, TestHookStatus};
use artifact::digest::Algorithm;
use helm_release::{Release, Status, Time};
use helm_state::StateStatus::{Absent, Drifted, Failed, InSync, Locked, OutOfSync, Unmanaged, Untested};
use helm_state::{Desired, State, StateStatus, VerifyError, state, verify};
use runtime::conditions::Status as ConditionStatus;
use serde_json::json;

use crate::common::*;

struct Row {
    object: HelmRelease,
    newest: Option<Release>,
    desired: Desired,
}

impl Row {
    /// A release that is what is wanted, and known.
    fn in_sync(spec: serde_json::Value) -> Self {
        let newest = release(1, Status::Deployed);
        let mut object = object(spec);
        know(&mut object, &newest);
        status(&mut object).observed_generation = Some(1);
        set(&mut object, RELEASED, ConditionStatus::True, "InstallSucceeded");
        Self { object, newest: Some(newest), desired: desired() }
    }

    fn of(status: Status) -> Self {
        let mut row = Self::in_sync(json!({}));
        super::common::status(&mut row.object).history.clear();
        let newest = release(1, status);
        know(&mut row.object, &newest);
        Self { newest: Some(newest), ..row }
    }

    fn unknown(mut self) -> Self {
        status(&mut self.object).history.clear();
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn state(&self) -> State {
        state::determine(&self.object, self.newest.as_ref(), &self.desired, now()).unwrap()
    }

    fn is(&self, status: StateStatus, reason: &str) {
        let state = self.state();
        assert_eq!((state.status, state.reason.as_str()), (status, reason));
    }
}

fn tested(row: &mut Row, phases: &[(&str, &str)]) {
    let hooks = phases.iter().map(|(name, phase)| {
        ((*name).to_owned(), TestHookStatus { phase: (*phase).to_owned(), ..Default::default() })
    });
    status(&mut row.object).history[0].test_hooks = Some(hooks.collect());
    status(&mut row.object).last_attempted_release_action = Some(ReleaseAction::Install);
}

#[test]
fn row_1_nothing_stored_is_absent() {
    Row::in_sync(json!({})).with(|row| row.newest = None).is(Absent, "no release in storage for object");
}

#[test]
fn row_2_pending_is_locked_whatever_we_know() {
    for (status, name) in [
        (Status::PendingInstall, "pending-install"),
        (Status::PendingUpgrade, "pending-upgrade"),
        (Status::PendingRollback, "pending-rollback"),
    ] {
        let reason = format!("release with status '{name}'");
        Row::of(status).is(Locked, &reason);
        Row::of(status).unknown().is(Locked, &reason);
    }
}

#[test]
fn row_3_uninstalled_and_unknown_is_absent() {
    Row::of(Status::Uninstalled).unknown().is(Absent, "found uninstalled release in storage");
}

#[test]
fn row_4_unknown_is_unmanaged() {
    for status in [Status::Deployed, Status::Failed, Status::Superseded] {
        Row::of(status).unknown().is(Unmanaged, "found existing release in storage");
    }
}

#[test]
fn row_5_another_release_than_we_know_is_unmanaged() {
    let reason = "release not observed to be made for object";
    // Somebody upgraded by hand, or edited the Secret.
    Row::in_sync(json!({})).with(|row| row.newest = Some(release(2, Status::Deployed))).is(Unmanaged, reason);
    let edited = |row: &mut Row| row.newest.as_mut().unwrap().manifest = "kind: Other\n".into();
    Row::in_sync(json!({})).with(edited).is(Unmanaged, reason);
    Row::of(Status::Failed).with(edited).is(Unmanaged, reason);
    let no_digest = |row: &mut Row| status(&mut row.object).history[0].digest = "nonsense".into();
    Row::in_sync(json!({})).with(no_digest).is(Unmanaged, "release digest verification error");
}

#[test]
fn row_5_a_digest_that_was_made_in_another_way_is_trusted() {
    let row = Row::in_sync(json!({})).with(|row| {
        row.newest.as_mut().unwrap().manifest = "kind: Other\n".into();
        status(&mut row.object).history[0].api_version = None;
    });
    row.is(InSync, "");
    // But not that there is anything.
    let snapshot = &row.object.status.as_ref().unwrap().history[0];
    assert!(matches!(verify(snapshot, None), Err(VerifyError::Disappeared)));
}

#[test]
fn row_5_the_digest_of_the_artifact_counts() {
    let row = Row::in_sync(json!({})).with(|row| status(&mut row.object).history[0].oci_digest = None);
    row.is(Unmanaged, "release not observed to be made for object");
}

#[test]
fn row_6_failed_is_failed() {
    Row::of(Status::Failed).is(Failed, "");
    // Even if something else is wanted now.
    Row::of(Status::Failed)
        .with(|row| row.desired = Desired::new(&chart("2.0.0"), "", values(), Algorithm::Sha256))
        .is(Failed, "");
}

#[test]
fn row_7_uninstalled_is_absent() {
    Row::of(Status::Uninstalled).is(Absent, "found uninstalled release in storage");
}

#[test]
fn row_8_another_chart_is_out_of_sync() {
    let mut other = chart("1.0.0");
    other.name = "other".into();
    for chart in [chart("1.0.1"), other] {
        let desired = Desired::new(&chart, "", values(), Algorithm::Sha256);
        Row::in_sync(json!({})).with(|row| row.desired = desired).is(OutOfSync, "release chart changed");
    }
}

#[test]
fn row_9_other_values_are_out_of_sync() {
    let other = json!({"replicas": 3}).as_object().unwrap().clone();
    let desired = Desired::new(&chart("1.0.0"), "", other, Algorithm::Sha256);
    Row::in_sync(json!({})).with(|row| row.desired = desired).is(OutOfSync, "release config values changed");
    // The algorithm of the digests may change.
    let desired = Desired::new(&chart("1.0.0"), "", values(), Algorithm::Blake3);
    Row::in_sync(json!({})).with(|row| row.desired = desired).is(InSync, "");
}

#[test]
fn row_9_values_that_are_preserved_are_in_sync() {
    let row = |values: serde_json::Value| {
        let desired =
            Desired::new(&chart("1.0.0"), "", values.as_object().unwrap().clone(), Algorithm::Sha256);
        Row::in_sync(json!({"upgrade": {"preserveValues": true}})).with(|row| row.desired = desired)
    };
    row(json!({})).is(InSync, "");
    row(json!({"more": 1})).is(OutOfSync, "release config values changed");
    let name = values().keys().next().unwrap().clone();
    row(json!({name: null})).is(OutOfSync, "release config values changed");
}

#[test]
fn row_10_other_post_renderers_of_a_new_generation_are_out_of_sync() {
    let spec = json!({"postRenderers": [{"kustomize": {"images": [{"name": "a", "newTag": "1"}]}}]});
    Row::in_sync(spec.clone()).is(InSync, "");
    Row::in_sync(spec)
        .with(|row| row.object.metadata.generation = Some(2))
        .is(OutOfSync, "postrenderers digest has changed");
}

#[test]
fn row_11_other_common_metadata_of_a_new_generation_are_out_of_sync() {
    let spec = json!({"commonMetadata": {"labels": {"a": "b"}}});
    Row::in_sync(spec.clone()).is(InSync, "");
    Row::in_sync(spec)
        .with(|row| row.object.metadata.generation = Some(2))
        .is(OutOfSync, "common metadata digest has changed");
}

#[test]
fn a_new_generation_with_the_same_rendering_is_in_sync() {
    Row::in_sync(json!({"upgrade": {"force": true}}))
        .with(|row| row.object.metadata.generation = Some(2))
        .is(InSync, "");
}

#[test]
fn row_12_tests_that_were_not_run_are_untested() {
    let spec = json!({"test": {"enable": true}});
    Row::in_sync(spec.clone()).is(Untested, "");
    Row::in_sync(spec.clone())
        .with(|row| tested(row, &[("a", "Succeeded"), ("b", "Running")]))
        .is(Untested, "");
    Row::in_sync(spec.clone()).with(|row| tested(row, &[])).is(InSync, "");
    Row::in_sync(spec).with(|row| tested(row, &[("a", "Succeeded")])).is(InSync, "");
}

#[test]
fn row_13_failed_tests_that_count_are_a_failure() {
    let failed = |row: &mut Row| tested(row, &[("a", "Succeeded"), ("b", "Failed")]);
    let state = Row::in_sync(json!({"test": {"enable": true}})).with(failed);
    state.is(Failed, "release has test in failed phase");
    Row::in_sync(json!({"test": {"enable": true, "ignoreFailures": true}})).with(failed).is(InSync, "");
    let ignored = json!({"test": {"enable": true}, "install": {"remediation": {"ignoreTestFailures": true}}});
    Row::in_sync(ignored).with(failed).is(InSync, "");
    Row::in_sync(json!({})).with(failed).is(InSync, "");
    // Without an action of ours, nothing is remediated.
    state.with(|row| status(&mut row.object).last_attempted_release_action = None).is(InSync, "");
}

#[test]
fn row_14_drift_is_looked_for_in_what_is_in_sync() {
    for (mode, asks) in [("enabled", true), ("warn", true), ("disabled", false)] {
        let row = Row::in_sync(json!({"driftDetection": {"mode": mode}}));
        row.is(InSync, "");
        assert_eq!(row.state().asks_for_drift(&row.object), asks, "{mode}");
    }
    let row = Row::of(Status::Failed).with(|row| {
        row.object.spec.drift_detection = serde_json::from_value(json!({"mode": "enabled"})).unwrap();
    });
    assert!(!row.state().asks_for_drift(&row.object));
    let drifted = State::drifted("changed: 1", "Deployment/apps/web changed");
    assert_eq!((drifted.status, drifted.drift.as_str()), (Drifted, "Deployment/apps/web changed"));
    assert_eq!(drifted.to_string(), "detected changes in cluster state: changed: 1");
}

#[test]
fn row_15_the_rest_is_in_sync() {
    let row = Row::in_sync(json!({}));
    row.is(InSync, "");
    assert!(!row.state().asks_for_drift(&row.object));
}

#[test]
fn row_16_other_statuses_are_an_error() {
    for (status, name) in [(Status::Superseded, "superseded"), (Status::Unknown, "unknown")] {
        let row = Row::of(status);
        let error = state::determine(&row.object, row.newest.as_ref(), &row.desired, now()).unwrap_err();
        let expected = format!("unable to determine state for release with status '{name}'");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn an_uninstallation_that_nobody_goes_on_with_is_locked() {
    let locked = "release with status 'uninstalling'";
    // It was ours, and failed.
    Row::of(Status::Uninstalling).is(Locked, locked);
    // It is not known to have ended, and may take 5 minutes.
    let begun = |text: &str| {
        let mut row = Row::of(Status::Failed);
        let newest = row.newest.as_mut().unwrap();
        newest.info.status = Status::Uninstalling;
        newest.info.deleted = Some(Time::new(text.parse().unwrap()));
        row
    };
    begun("2026-11-30T09:54:59Z").is(Locked, locked);
    begun("2026-11-30T09:54:59Z").unknown().is(Locked, locked);
    let row = begun("2026-11-30T09:55:01Z");
    let state = state::determine(&row.object, row.newest.as_ref(), &row.desired, now());
    let expected = "unable to determine state for release with status 'uninstalling'";
    assert_eq!(state.unwrap_err().to_string(), expected);
    begun("2026-11-30T09:55:01Z")
        .with(|row| row.object.spec.uninstall.timeout = serde_json::from_value(json!("1m")).unwrap())
        .is(Locked, locked);
}
