//! How a run differs from the one before: whether it is about another release, and whether the failures so far still count (Flux:
//! `action.ReleaseTargetChanged`, `action.MustResetFailures`).

use api::HelmRelease;
use api::helm_release::{ChartNameChangeStrategy, latest, shorten_release_name};

/// Why the release that was made before is uninstalled first: another storage namespace, release namespace, release name or chart name. None
/// before the first release. Another chart name counts only if a new install is the strategy.
pub fn changed_target(release: &HelmRelease, chart_name: &str) -> Option<&'static str> {
    let status = release.status.as_ref()?;
    let storage = status.storage_namespace.as_deref().filter(|namespace| !namespace.is_empty())?;
    let current = latest(&status.history)?;
    if release.storage_namespace() != storage {
        Some("storage namespace")
    } else if release.release_namespace() != current.namespace {
        Some("release namespace")
    } else if shorten_release_name(&release.release_name()) != current.name {
        Some("release name")
    } else {
        let reinstalls =
            release.spec.upgrade.chart_name_change_strategy() == ChartNameChangeStrategy::Reinstall;
        (chart_name != current.chart_name && reinstalls).then_some("chart name")
    }
}

/// What a run is about to release.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Version of the chart, with its digest if that is tracked.
    pub chart_version: &'a str,
    /// Whether the values have the digest that is recorded in the status, by the algorithm of that digest.
    pub has_recorded_values: bool,
    /// Whether a reset was asked for: see [`crate::requests::take_reset`], which is to be called in any case.
    pub reset_requested: bool,
}

/// Why the counters of failures are set to zero, if they are.
pub fn reset_reason(release: &HelmRelease, attempt: Attempt<'_>) -> Option<&'static str> {
    let status = release.status.as_ref();
    let generation = status.map(|status| status.last_attempted_generation).unwrap_or_default();
    let revision = status.and_then(|status| status.last_attempted_revision.as_deref()).unwrap_or_default();
    let recorded = status.is_some_and(|status| {
        [&status.last_attempted_config_digest, &status.last_attempted_values_checksum]
            .into_iter()
            .flatten()
            .any(|digest| !digest.is_empty())
    });
    if generation != release.metadata.generation.unwrap_or_default() {
        Some("generation differs from last attempt")
    } else if revision != attempt.chart_version {
        Some("chart version differs from last attempt")
    } else if recorded && !attempt.has_recorded_values {
        Some("values differ from last attempt")
    } else {
        attempt.reset_requested.then_some("reset requested through annotation")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn release(spec: Value, status: Value) -> HelmRelease {
        let metadata = json!({"name": "app", "namespace": "team", "generation": 2});
        let mut object = json!({"metadata": metadata, "spec": spec, "status": status});
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            spec.insert("interval".to_owned(), "1m".into());
        }
        serde_json::from_value(object).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn another_place_name_or_chart_is_another_release() {
        let status = |storage: &str, namespace: &str, name: &str, chart: &str| {
            json!({"storageNamespace": storage, "history": [
                {"version": 1, "name": "old", "namespace": "old", "chartName": "old"},
                {"version": 2, "name": name, "namespace": namespace, "chartName": chart},
            ]})
        };
        let changed = |spec, status| changed_target(&release(spec, status), "podinfo");
        assert_eq!(changed(json!({}), json!({})), None);
        assert_eq!(changed(json!({}), json!({"storageNamespace": "x"})), None);
        assert_eq!(changed(json!({}), status("team", "team", "app", "podinfo")), None);
        assert_eq!(changed(json!({}), status("", "x", "x", "x")), None);
        assert_eq!(changed(json!({}), status("x", "x", "x", "x")), Some("storage namespace"));
        assert_eq!(changed(json!({}), status("team", "x", "x", "x")), Some("release namespace"));
        assert_eq!(changed(json!({}), status("team", "team", "x", "x")), Some("release name"));
        assert_eq!(changed(json!({}), status("team", "team", "app", "x")), Some("chart name"));
        let in_place = json!({"upgrade": {"chartNameChangeStrategy": "InPlaceUpdate"}});
        assert_eq!(changed(in_place, status("team", "team", "app", "x")), None);
    }

    #[test]
    fn a_long_name_is_compared_as_it_is_released() {
        let name = "x".repeat(60);
        let status = json!({"storageNamespace": "team", "history": [
            {"version": 1, "name": shorten_release_name(&name), "namespace": "team", "chartName": "podinfo"},
        ]});
        assert_eq!(changed_target(&release(json!({"releaseName": name}), status), "podinfo"), None);
    }

    #[test]
    fn failures_count_until_something_differs_or_a_reset_is_asked_for() {
        let last = json!({
            "lastAttemptedGeneration": 2, "lastAttemptedRevision": "1.0.0", "lastAttemptedConfigDigest": "sha256:a",
        });
        let same = Attempt { chart_version: "1.0.0", has_recorded_values: true, reset_requested: false };
        let release = release(json!({}), last.clone());
        assert_eq!(reset_reason(&release, same), None);
        for (attempt, reason) in [
            (Attempt { chart_version: "1.0.1", ..same }, "chart version differs from last attempt"),
            (Attempt { has_recorded_values: false, ..same }, "values differ from last attempt"),
            (Attempt { reset_requested: true, ..same }, "reset requested through annotation"),
        ] {
            assert_eq!(reset_reason(&release, attempt), Some(reason));
        }
        let mut newer = release.clone();
        newer.metadata.generation = Some(3);
        assert_eq!(reset_reason(&newer, same), Some("generation differs from last attempt"));
        // Nothing recorded is nothing that differs.
        let mut unrecorded = release;
        if let Some(status) = &mut unrecorded.status {
            status.last_attempted_config_digest = None;
        }
        assert_eq!(reset_reason(&unrecorded, Attempt { has_recorded_values: false, ..same }), None);
    }
}
