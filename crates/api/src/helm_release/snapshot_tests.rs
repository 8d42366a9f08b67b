#![allow(clippy::unwrap_used)]

use super::*;

fn snapshot(version: i64, status: &str, phases: &[&str]) -> Snapshot {
    let hooks = phases.iter().enumerate().map(|(at, phase)| {
        (format!("hook-{at}"), TestHookStatus { phase: (*phase).to_owned(), ..TestHookStatus::default() })
    });
    Snapshot {
        version,
        status: status.to_owned(),
        test_hooks: (!phases.is_empty()).then(|| hooks.collect()),
        ..Snapshot::default()
    }
}

fn versions(history: &[Snapshot]) -> Vec<i64> {
    history.iter().map(|snapshot| snapshot.version).collect()
}

#[test]
fn the_previous_snapshot_is_an_older_one_that_was_deployed_and_whose_tests_did_not_fail() {
    let history = [
        snapshot(1, "superseded", &[]),
        snapshot(4, "failed", &[]),
        snapshot(3, "failed", &[]),
        snapshot(2, "superseded", &["Succeeded", "Failed"]),
    ];
    assert_eq!(latest(&history).unwrap().version, 4);
    assert_eq!(previous(&history, false).unwrap().version, 1);
    assert_eq!(previous(&history, true).unwrap().version, 2);
    assert!(previous(&history[1..3], true).is_none());
    assert!(previous(&[snapshot(1, "deployed", &[])], true).is_none(), "the latest is not the previous one");
}

#[test]
fn truncation_keeps_all_down_to_the_previous_snapshot_or_the_newest_five() {
    let mut history: Vec<_> = [3, 1, 4, 2].map(|version| snapshot(version, "superseded", &[])).into();
    history.push(snapshot(5, "failed", &[]));
    history.push(snapshot(6, "failed", &[]));
    let mut kept = history.clone();
    truncate(&mut kept, false);
    assert_eq!(versions(&kept), [6, 5, 4]);
    keep_newest(&mut history);
    assert_eq!(versions(&history), [6, 5, 4, 3, 2]);

    let mut failed: Vec<_> = (1..=7).map(|version| snapshot(version, "failed", &[])).collect();
    truncate(&mut failed, true);
    assert_eq!(versions(&failed), [7, 6, 5, 4, 3]);
}

#[test]
fn a_release_is_tested_if_nothing_was_to_test_or_one_failed_or_all_succeeded() {
    assert!(!snapshot(1, "deployed", &[]).is_tested());
    let nothing = Snapshot { test_hooks: Some(BTreeMap::new()), ..Snapshot::default() };
    assert!(nothing.is_tested());
    for (phases, tested) in [
        (&["Succeeded", "Succeeded"][..], true),
        (&["Succeeded", "Running"], false),
        (&["", "Failed"], true),
        (&[""], false),
    ] {
        assert_eq!(snapshot(1, "deployed", phases).is_tested(), tested, "{phases:?}");
    }
}

#[test]
fn names_have_the_forms_of_flux() {
    let snapshot = Snapshot {
        name: "app".to_owned(),
        namespace: "default".to_owned(),
        version: 3,
        chart_name: "podinfo".to_owned(),
        chart_version: "6.0.0".to_owned(),
        ..Snapshot::default()
    };
    assert_eq!(snapshot.full_release_name(), "default/app.v3");
    assert_eq!(snapshot.versioned_chart_name(), "podinfo@6.0.0");
    assert!(snapshot.targets("app", "default", 3) && !snapshot.targets("app", "default", 2));
}
