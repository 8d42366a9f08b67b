#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use super::*;

fn release(spec: serde_json::Value) -> HelmRelease {
    let mut object = json!({"metadata": {"name": "app", "namespace": "team"}, "spec": spec});
    object["spec"]["interval"] = "1m".into();
    serde_json::from_value(object).unwrap()
}

#[test]
fn a_release_is_named_by_its_name_or_by_namespace_and_object() {
    for (spec, name, namespace) in [
        (json!({}), "app", "team"),
        (json!({"targetNamespace": "prod"}), "prod-app", "prod"),
        (json!({"targetNamespace": "prod", "releaseName": "x"}), "x", "prod"),
        (json!({"targetNamespace": "", "releaseName": ""}), "app", "team"),
    ] {
        let release = release(spec);
        assert_eq!(
            (release.release_name().as_str(), release.release_namespace().as_str()),
            (name, namespace)
        );
    }
    assert_eq!(release(json!({"storageNamespace": "store"})).storage_namespace(), "store");
    assert_eq!(release(json!({"targetNamespace": "prod"})).storage_namespace(), "team");
}

#[test]
fn long_names_are_cut_and_digested_as_flux_does() {
    assert_eq!(
        shorten_release_name("a-very-lengthy-target-namespace-with-a-nice-object-name"),
        "a-very-lengthy-target-namespace-with-a-n-97af5d7f41f3"
    );
    let longest = "x".repeat(RELEASE_NAME_LENGTH);
    assert_eq!(shorten_release_name(&longest), longest);
    assert_eq!(shorten_release_name(&format!("{longest}x")).len(), RELEASE_NAME_LENGTH);
    assert!(shorten_release_name(&format!("x{}", "é".repeat(40))).contains('\u{fffd}'));
}

#[test]
fn a_template_makes_a_chart_beside_its_source_or_a_repository_beside_the_release() {
    let source = json!({"kind": "HelmRepository", "name": "r", "namespace": "shared"});
    let chart = |spec| release(json!({"chart": spec})).chart_template_reference().unwrap();
    let made = chart(json!({"spec": {"chart": "podinfo", "sourceRef": source}}));
    assert_eq!(
        (made.to_string(), made.to_status()),
        ("HelmChart/shared/team-app".to_owned(), "shared/team-app".to_owned())
    );
    let made = chart(json!({"kind": "OCIRepository", "spec": {"url": "oci://r/c", "sourceRef": source}}));
    assert_eq!(
        (made.to_string(), made.to_status()),
        ("OCIRepository/team/team-app".to_owned(), "OCIRepository/team/team-app".to_owned())
    );
    for text in ["shared/team-app", "OCIRepository/team/team-app"] {
        assert_eq!(ChartReference::from_status(text).unwrap().to_status(), text);
    }
    for text in ["", "a", "a/b/c/d"] {
        assert_eq!(ChartReference::from_status(text), None);
    }
    assert_eq!(release(json!({})).chart_template_reference(), None);
}

#[test]
fn a_chart_ref_is_of_the_own_namespace_if_it_names_none() {
    let referred = |reference| release(json!({"chartRef": reference})).chart_ref().unwrap().to_string();
    assert_eq!(referred(json!({"kind": "OCIRepository", "name": "c"})), "OCIRepository/team/c");
    assert_eq!(referred(json!({"kind": "", "name": "c", "namespace": "x"})), "HelmChart/x/c");
}

#[test]
fn what_the_spec_does_not_say_is_what_flux_does() {
    let plain = release(json!({"chart": {"spec": {"chart": "c"}}, "uninstall": {}}));
    assert_eq!((plain.timeout(), plain.max_history()), (StdDuration::from_secs(300), 5));
    assert!(plain.uses_persistent_client() && plain.drift_detection_mode() == DriftDetectionMode::Disabled);
    assert_eq!(plain.wait_strategy(false), WaitStrategyName::Poller);
    assert_eq!(plain.wait_strategy(true), WaitStrategyName::Legacy);
    assert_eq!(plain.post_render_strategy(false), PostRenderStrategy::Combined);
    assert_eq!(plain.post_render_strategy(true), PostRenderStrategy::NoHooks);
    let spec = &plain.spec;
    assert_eq!(
        (spec.install.crds_policy(), spec.upgrade.crds_policy()),
        (CrdsPolicy::Create, CrdsPolicy::Create)
    );
    assert!(spec.install.uses_server_side_apply(false) && !spec.install.uses_server_side_apply(true));
    assert_eq!(spec.upgrade.server_side_apply_mode(), ServerSideApplyMode::Auto);
    assert_eq!(spec.rollback.server_side_apply_mode(), ServerSideApplyMode::Auto);
    assert_eq!(spec.upgrade.chart_name_change_strategy(), ChartNameChangeStrategy::Reinstall);
    assert_eq!(spec.uninstall.deletion_propagation(), DeletionPropagation::Background);
    assert_eq!(spec.chart.as_ref().unwrap().spec.version(), "*");
    assert_eq!(plain.chart_template_interval().as_str(), "1m");
    assert_eq!(ValuesReference::default().values_key(), "values.yaml");
}

#[test]
fn what_the_spec_says_counts() {
    let release = release(json!({
        "timeout": "0s", "maxHistory": 0, "persistentClient": false, "driftDetection": {"mode": "warn"},
        "waitStrategy": {"name": "legacy"}, "postRenderStrategy": "separate",
        "install": {"timeout": "1m", "crds": "Skip", "serverSideApply": false},
        "chart": {"spec": {"chart": "c", "interval": "7m", "version": "1.x"}},
    }));
    assert_eq!((release.timeout(), release.max_history()), (StdDuration::ZERO, 0));
    assert_eq!(release.action_timeout(release.spec.install.timeout.as_ref()), StdDuration::from_secs(60));
    assert_eq!(release.action_timeout(None), StdDuration::ZERO);
    assert!(!release.uses_persistent_client() && release.drift_detection_mode() == DriftDetectionMode::Warn);
    assert_eq!(release.wait_strategy(false), WaitStrategyName::Legacy);
    assert_eq!(release.post_render_strategy(true), PostRenderStrategy::Separate);
    assert_eq!(release.spec.install.crds_policy(), CrdsPolicy::Skip);
    assert!(!release.spec.install.uses_server_side_apply(false));
    assert_eq!(release.chart_template_interval().as_str(), "7m");
    assert_eq!(release.spec.chart.as_ref().unwrap().spec.version(), "1.x");
}
