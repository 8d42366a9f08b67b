//! The source that has the chart: which one, whether it may be used, and whether it is ready (Flux: `getSource`, `isSourceReady`).

use api::helm_release::{ChartReference, HelmRelease};
use api::meta::conditions::{READY, STALLED};
use api::{Artifact, Condition, ConditionStatus};
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::Deserialize;

/// The kind that others than source-controller publish.
const EXTERNAL_ARTIFACT: &str = "ExternalArtifact";

/// What may be referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Objects of other namespaces: the opposite of `--no-cross-namespace-refs`.
    pub cross_namespace: bool,
    /// ExternalArtifacts: the feature gate of that name.
    pub external_artifacts: bool,
}

/// The source of a release: what `chartRef` names, or what was made from `chart`. None if that is not made yet.
pub fn reference(release: &HelmRelease) -> Option<ChartReference> {
    match &release.spec.chart_ref {
        Some(_) => release.chart_ref(),
        None => release.status.as_ref()?.chart_reference(),
    }
}

/// Whether a release has either a chart or a reference to one, as the API server wants it (Flux: `isValidChartRef`).
pub fn is_valid(release: &HelmRelease) -> bool {
    release.spec.chart.is_some() != release.spec.chart_ref.is_some()
}

/// Why a release may not refer to a source.
pub fn denied(release: &HelmRelease, source: &ChartReference, access: Access) -> Option<String> {
    let own = release.namespace().unwrap_or_default();
    let ChartReference { kind, namespace, name } = source;
    if !access.cross_namespace && own != *namespace {
        let text = "cross-namespace references are not allowed: cannot access";
        return Some(format!("{text} {kind} {namespace}/{name}"));
    }
    (kind == EXTERNAL_ARTIFACT && !access.external_artifacts)
        .then(|| format!("can't access '{source}', ExternalArtifact feature gate is disabled"))
}

/// What of the status of a source tells whether it is ready.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: Option<i64>,
    conditions: Vec<Condition>,
    artifact: Option<Artifact>,
}

/// The artifact of a source that is ready. A status that cannot be read is none.
///
/// # Errors
/// The source is not ready: why.
pub fn artifact(source: &DynamicObject) -> Result<Artifact, String> {
    let kind = source.types.as_ref().map(|types| types.kind.as_str()).unwrap_or_default();
    let status = source.data.get("status").and_then(|status| Status::deserialize(status).ok());
    let status = status.unwrap_or_default();
    let not_ready = |why: &str| {
        let namespace = source.namespace().unwrap_or_default();
        format!("{kind} '{namespace}/{}' is not ready: {why}", source.name_any())
    };
    if kind != EXTERNAL_ARTIFACT {
        let condition = |type_: &str| status.conditions.iter().find(|condition| condition.type_ == type_);
        if status.observed_generation.unwrap_or_default() != source.metadata.generation.unwrap_or_default() {
            let failed = condition(READY).filter(|ready| ready.status == ConditionStatus::False);
            let why =
                failed.map_or("latest generation of object has not been reconciled", |ready| &ready.message);
            return Err(not_ready(why));
        }
        if let Some(stalled) = condition(STALLED).filter(|stalled| stalled.status == ConditionStatus::True) {
            return Err(not_ready(&stalled.message));
        }
    }
    status.artifact.ok_or_else(|| not_ready("does not have an artifact"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn release(spec: Value, status: Value) -> HelmRelease {
        let mut object = json!({"metadata": {"name": "app", "namespace": "team"}, "spec": {"interval": "1m"}, "status": status});
        if let (Some(into), Value::Object(spec)) =
            (object.get_mut("spec").and_then(Value::as_object_mut), spec)
        {
            into.extend(spec);
        }
        serde_json::from_value(object).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_source_is_what_is_named_or_what_was_made() {
        let named = release(
            json!({"chartRef": {"kind": "OCIRepository", "name": "c"}}),
            json!({"helmChart": "team/team-app"}),
        );
        assert_eq!(
            reference(&named).map(|source| source.to_string()).as_deref(),
            Some("OCIRepository/team/c")
        );
        let made = release(json!({"chart": {"spec": {}}}), json!({"helmChart": "shared/team-app"}));
        assert_eq!(
            reference(&made).map(|source| source.to_string()).as_deref(),
            Some("HelmChart/shared/team-app")
        );
        assert_eq!(reference(&release(json!({"chart": {"spec": {}}}), json!({}))), None);
        assert!(is_valid(&named) && is_valid(&made) && !is_valid(&release(json!({}), json!({}))));
    }

    #[test]
    fn other_namespaces_and_external_artifacts_have_to_be_allowed() {
        let release = release(json!({}), json!({}));
        let source = |kind: &str, namespace: &str| ChartReference {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: "c".to_owned(),
        };
        let none = Access { cross_namespace: false, external_artifacts: false };
        let all = Access { cross_namespace: true, external_artifacts: true };
        assert_eq!(denied(&release, &source("HelmChart", "team"), none), None);
        assert_eq!(
            denied(&release, &source("HelmChart", "x"), none).as_deref(),
            Some("cross-namespace references are not allowed: cannot access HelmChart x/c")
        );
        let external = source("ExternalArtifact", "team");
        assert_eq!(
            denied(&release, &external, none).as_deref(),
            Some("can't access 'ExternalArtifact/team/c', ExternalArtifact feature gate is disabled")
        );
        assert_eq!(denied(&release, &external, all), None);
        assert_eq!(denied(&release, &source("OCIRepository", "x"), all), None);
    }

    fn source(kind: &str, status: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": kind,
            "metadata": {"name": "c", "namespace": "ns", "generation": 2}, "status": status,
        }))
        .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_source_is_ready_with_an_artifact_of_its_present_generation() {
        let artifact_json =
            json!({"revision": "1.0.0", "url": "u", "digest": "d", "path": "p", "lastUpdateTime": ""});
        let condition =
            |type_: &str, status: &str| json!([{"type": type_, "status": status, "message": "why"}]);
        let text = |status| artifact(&source("HelmChart", status)).err();
        assert_eq!(text(json!({"observedGeneration": 2, "artifact": artifact_json})), None);
        for (status, why) in [
            (json!(null), "latest generation of object has not been reconciled"),
            (json!({"observedGeneration": "odd"}), "latest generation of object has not been reconciled"),
            (
                json!({"observedGeneration": 1, "conditions": condition("Ready", "True"), "artifact": artifact_json}),
                "latest generation of object has not been reconciled",
            ),
            (json!({"observedGeneration": 1, "conditions": condition("Ready", "False")}), "why"),
            (
                json!({"observedGeneration": 2, "conditions": condition("Stalled", "True"), "artifact": artifact_json}),
                "why",
            ),
            (json!({"observedGeneration": 2}), "does not have an artifact"),
        ] {
            assert_eq!(text(status), Some(format!("HelmChart 'ns/c' is not ready: {why}")));
        }
    }

    #[test]
    fn of_an_external_artifact_only_the_artifact_counts() {
        let revision =
            json!({"artifact": {"revision": "1.0.0"}, "conditions": [{"type": "Stalled", "status": "True"}]});
        assert_eq!(
            artifact(&source("ExternalArtifact", revision)).map(|artifact| artifact.revision),
            Ok("1.0.0".to_owned())
        );
        assert_eq!(
            artifact(&source("ExternalArtifact", json!({}))),
            Err("ExternalArtifact 'ns/c' is not ready: does not have an artifact".to_owned())
        );
    }
}
