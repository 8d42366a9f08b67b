#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use super::*;

fn release(spec: serde_json::Value, action: Option<&str>) -> HelmRelease {
    let mut object = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": spec, "status": {}});
    object["spec"]["interval"] = "1m".into();
    if let Some(action) = action {
        object["status"]["lastAttemptedReleaseAction"] = action.into();
    }
    serde_json::from_value(object).unwrap()
}

#[test]
fn the_last_attempted_action_says_which_remediation_is_active() {
    let spec = json!({
        "test": {"ignoreFailures": true},
        "install": {"remediation": {"retries": 3}},
        "upgrade": {"remediation": {"retries": 2, "ignoreTestFailures": false, "strategy": "uninstall"}},
    });
    assert_eq!(release(spec.clone(), None).active_remediation(), None);
    let install = release(spec.clone(), Some("install")).active_remediation().unwrap();
    assert_eq!(
        install,
        Remediation {
            action: ReleaseAction::Install,
            retries: 3,
            ignore_test_failures: true,
            remediate_last_failure: false,
            strategy: RemediationStrategy::Uninstall,
        }
    );
    assert!(!install.is_uninstall_after_upgrade());
    let upgrade = release(spec, Some("upgrade")).active_remediation().unwrap();
    assert!(!upgrade.ignore_test_failures && upgrade.remediate_last_failure);
    assert!(upgrade.is_uninstall_after_upgrade());
    let defaults = release(json!({}), Some("upgrade")).active_remediation().unwrap();
    assert_eq!(defaults.strategy, RemediationStrategy::Rollback);
    assert!(!defaults.remediate_last_failure && !defaults.ignore_test_failures);
}

#[test]
fn retries_are_exhausted_by_more_failures_than_retries_and_never_if_negative() {
    let mut status = HelmReleaseStatus::default();
    let mut remediation = release(json!({}), None).upgrade_remediation();
    assert!(!remediation.is_exhausted(&status));
    remediation.count_failure(&mut status);
    assert_eq!((status.upgrade_failures, status.install_failures), (1, 0));
    assert!(remediation.is_exhausted(&status));
    remediation.retries = 1;
    assert!(!remediation.is_exhausted(&status));
    remediation.retries = -1;
    status.upgrade_failures = i64::MAX;
    remediation.count_failure(&mut status);
    assert!(!remediation.is_exhausted(&status));
}

#[test]
fn a_retry_needs_its_strategy_or_the_gate() {
    let minutes = |minutes: u64| Some(StdDuration::from_secs(minutes * 60));
    for (strategy, gate, interval) in [
        (json!({}), false, None),
        (json!({}), true, minutes(5)),
        (json!({"strategy": {"name": "RemediateOnFailure"}}), true, None),
        (json!({"strategy": {"name": "RetryOnFailure"}}), false, minutes(5)),
        (json!({"strategy": {"name": "RetryOnFailure", "retryInterval": "2m"}}), false, minutes(2)),
    ] {
        for action in ["install", "upgrade"] {
            let release = release(json!({action: strategy}), Some(action));
            assert_eq!(release.active_retry(gate), interval, "{action} {strategy} {gate}");
        }
    }
    assert_eq!(release(json!({}), None).active_retry(true), None);
}
