//! Change of the target, begin of an attempt, requests by annotation.

use artifact::digest::Algorithm;
use helm_release::Status;
use helm_state::{
    Desired, Reset, TargetChange, begin_attempt, clear_target, takes_force_request, takes_reset_request,
    target_change,
};
use serde_json::json;

use crate::common::*;

#[test]
fn a_target_changes_with_namespaces_names_and_the_chart() {
    let spec_rows = [
        (json!({}), "podinfo", None),
        (json!({"storageNamespace": "store"}), "podinfo", Some(TargetChange::StorageNamespace)),
        (json!({"targetNamespace": "other"}), "podinfo", Some(TargetChange::ReleaseNamespace)),
        (json!({"releaseName": "other"}), "podinfo", Some(TargetChange::ReleaseName)),
        (json!({}), "other", Some(TargetChange::ChartName)),
        (json!({"upgrade": {"chartNameChangeStrategy": "InPlaceUpdate"}}), "other", None),
        // The first difference is told.
        (
            json!({"storageNamespace": "store", "releaseName": "other"}),
            "x",
            Some(TargetChange::StorageNamespace),
        ),
    ];
    for (spec, chart_name, expected) in spec_rows {
        let mut object = object(spec.clone());
        know(&mut object, &release(1, Status::Deployed));
        status(&mut object).storage_namespace = Some("apps".into());
        assert_eq!(target_change(&object, chart_name), expected, "{spec}");
        // Nothing is known to be there.
        let mut without_storage = object.clone();
        status(&mut without_storage).storage_namespace = None;
        assert_eq!(target_change(&without_storage, chart_name), None);
        let mut without_history = object.clone();
        status(&mut without_history).history.clear();
        assert_eq!(target_change(&without_history, chart_name), None);
    }
    assert_eq!(TargetChange::ReleaseNamespace.to_string(), "release namespace");
}

#[test]
fn a_long_name_is_compared_as_it_is_stored() {
    let name = "n".repeat(60);
    let mut object = object(json!({}));
    object.metadata.name = Some(name.clone());
    let mut stored = release(1, Status::Deployed);
    stored.name = api::helm_release::shorten_release_name(&name);
    know(&mut object, &stored);
    status(&mut object).storage_namespace = Some("apps".into());
    assert_eq!(target_change(&object, "podinfo"), None);
}

#[test]
fn a_cleared_target_leaves_nothing_behind() {
    let mut object = object(json!({}));
    know(&mut object, &release(1, Status::Deployed));
    status(&mut object).storage_namespace = Some("apps".into());
    status(&mut object).upgrade_failures = 3;
    clear_target(&mut object);
    assert_eq!(counters(&object), (0, 0, 0));
    assert!(history(&object).is_empty() && status(&mut object).storage_namespace.is_none());
}

#[test]
fn an_attempt_is_written_down() {
    let mut object = object(json!({"storageNamespace": "store"}));
    status(&mut object).last_attempted_values_checksum = Some("abc".into());
    status(&mut object).last_release_revision = 4;
    assert_eq!(begin_attempt(&mut object, &desired()), Some(Reset::Generation));
    let status = status(&mut object);
    assert_eq!(status.storage_namespace.as_deref(), Some("store"));
    assert_eq!(status.last_attempted_generation, 1);
    assert_eq!(status.last_attempted_revision.as_deref(), Some("1.0.0"));
    assert_eq!(status.last_attempted_revision_digest.as_deref(), Some("sha256:0c1"));
    assert_eq!(status.last_attempted_config_digest.as_deref(), Some(desired().config_digest().as_str()));
    assert_eq!((status.last_attempted_values_checksum.as_deref(), status.last_release_revision), (None, 0));
}

#[test]
fn counting_begins_anew_when_something_else_is_attempted() {
    type Change = fn(&mut api::HelmRelease) -> Desired;
    let rows: [(&str, Change, Option<Reset>); 7] = [
        ("same", |_| desired(), None),
        (
            "generation",
            |object| {
                object.metadata.generation = Some(2);
                desired()
            },
            Some(Reset::Generation),
        ),
        (
            "revision",
            |_| Desired::new(&chart("1.0.1"), "", values(), Algorithm::Sha256),
            Some(Reset::Revision),
        ),
        (
            "values",
            |_| {
                let others = json!({"replicas": 9}).as_object().unwrap().clone();
                Desired::new(&chart("1.0.0"), "", others, Algorithm::Sha256)
            },
            Some(Reset::Values),
        ),
        ("algorithm", |_| Desired::new(&chart("1.0.0"), "", values(), Algorithm::Sha512), None),
        (
            "reset",
            |object| {
                annotate(object, &[("requestedAt", "t"), ("resetAt", "t")]);
                desired()
            },
            Some(Reset::Requested),
        ),
        (
            "checksum of old",
            |object| {
                status(object).last_attempted_config_digest = None;
                status(object).last_attempted_values_checksum = Some("0".repeat(40));
                desired()
            },
            Some(Reset::Values),
        ),
    ];
    for (name, change, expected) in rows {
        let mut object = object(json!({}));
        begin_attempt(&mut object, &desired());
        status(&mut object).failures = 1;
        status(&mut object).upgrade_failures = 2;
        let desired = change(&mut object);
        assert_eq!(begin_attempt(&mut object, &desired), expected, "{name}");
        let counted = if expected.is_some() { (0, 0, 0) } else { (1, 0, 2) };
        assert_eq!(counters(&object), counted, "{name}");
    }
    assert_eq!(Reset::Values.to_string(), "values differ from last attempt");
}

#[test]
fn a_reset_is_handled_even_if_counting_begins_anew_anyway() {
    let mut object = object(json!({}));
    annotate(&mut object, &[("requestedAt", "t"), ("resetAt", "t")]);
    assert_eq!(begin_attempt(&mut object, &desired()), Some(Reset::Generation));
    assert_eq!(status(&mut object).last_handled_reset_at.as_deref(), Some("t"));
    assert_eq!(begin_attempt(&mut object, &desired()), None);
}

#[test]
fn a_request_is_granted_once_and_only_with_a_new_request_to_reconcile() {
    // requestedAt, forceAt, lastHandledReconcileAt, lastHandledForceAt
    let rows = [
        (Some("t2"), Some("t2"), Some("t1"), Some("t1"), true),
        (Some("t2"), Some("t2"), None, None, true),
        (Some("t2"), Some("t2"), Some("t2"), Some("t1"), false),
        (Some("t2"), Some("t2"), Some("t1"), Some("t2"), false),
        (Some("t2"), Some("t1"), Some("t1"), Some("t0"), false),
        (None, Some("t2"), None, None, false),
        (Some("t2"), None, None, None, false),
    ];
    for row in rows {
        let (requested, forced, handled, handled_force, expected) = row;
        let mut object = object(json!({}));
        let pairs = [("requestedAt", requested), ("forceAt", forced), ("resetAt", forced)];
        for (name, value) in pairs {
            if let Some(value) = value {
                annotate(&mut object, &[(name, value)]);
            }
        }
        let status = status(&mut object);
        status.last_handled_reconcile_at = handled.map(str::to_owned);
        status.last_handled_force_at = handled_force.map(str::to_owned);
        status.last_handled_reset_at = handled_force.map(str::to_owned);
        assert_eq!(takes_force_request(&mut object), expected, "{row:?}");
        assert_eq!(takes_reset_request(&mut object), expected, "{row:?}");
        // Handled, granted or not.
        let handled = object.status.as_ref().unwrap().last_handled_force_at.as_deref();
        assert_eq!(handled, forced.or(handled_force), "{row:?}");
        assert!(!takes_force_request(&mut object) && !takes_reset_request(&mut object), "{row:?}");
    }
}
