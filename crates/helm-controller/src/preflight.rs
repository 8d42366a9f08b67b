//! The part of [`runtime::preflight`] that judges HelmReleases, by the functions with which a pass refuses a spec.

use std::collections::BTreeSet;

use api::{HelmRelease, helm, source as sources};
use net::chain;
use runtime::preflight::{Preflight, PreflightError, Right};

use crate::Arguments;
use crate::chart_template;
use crate::drift;
use crate::pass::health_rules;
use crate::refusals::refusal;
use crate::source;

/// What the service account has to be allowed, beside what all controllers are and what releases need.
pub const RIGHTS: [Right; 28] = [
    ("get", helm::GROUP, "helmreleases"),
    ("list", helm::GROUP, "helmreleases"),
    ("watch", helm::GROUP, "helmreleases"),
    ("patch", helm::GROUP, "helmreleases"),
    ("patch", helm::GROUP, "helmreleases/status"),
    ("get", sources::GROUP, "helmcharts"),
    ("list", sources::GROUP, "helmcharts"),
    ("watch", sources::GROUP, "helmcharts"),
    ("create", sources::GROUP, "helmcharts"),
    ("patch", sources::GROUP, "helmcharts"),
    ("delete", sources::GROUP, "helmcharts"),
    ("get", sources::GROUP, "ocirepositories"),
    ("list", sources::GROUP, "ocirepositories"),
    ("watch", sources::GROUP, "ocirepositories"),
    ("create", sources::GROUP, "ocirepositories"),
    ("patch", sources::GROUP, "ocirepositories"),
    ("delete", sources::GROUP, "ocirepositories"),
    ("get", sources::GROUP, "externalartifacts"),
    ("list", sources::GROUP, "externalartifacts"),
    ("watch", sources::GROUP, "externalartifacts"),
    ("get", "", "configmaps"),
    ("list", "", "configmaps"),
    ("watch", "", "configmaps"),
    ("get", "", "secrets"),
    ("list", "", "secrets"),
    ("watch", "", "secrets"),
    ("get", "", "serviceaccounts"),
    ("impersonate", "", "serviceaccounts"),
];

/// What it needs beside that where the ConfigMap of `spec.kubeConfig` of a HelmRelease names a service account.
pub const IDENTITY_RIGHTS: [Right; 1] = [("create", "", "serviceaccounts/token")];

/// Judges the HelmReleases that a process with these arguments would look after.
///
/// # Errors
/// When the API server refuses or does not answer.
pub async fn look(preflight: &mut Preflight, arguments: &Arguments) -> Result<(), PreflightError> {
    let mut needed = BTreeSet::new();
    let refusals = |object: &HelmRelease| {
        let kube_config = object.spec.kube_config.as_ref();
        let has_identity = kube_config.is_some_and(|spec| spec.config_map_ref.is_some());
        needed.extend(IDENTITY_RIGHTS.into_iter().filter(|_| has_identity));
        refusals(object, arguments)
    };
    preflight.look_at(refusals).await?;
    preflight.require(&Vec::from_iter(needed)).await
}

fn refusals(object: &HelmRelease, arguments: &Arguments) -> Vec<String> {
    if !source::is_valid(object) {
        return vec!["invalid Chart reference".to_owned()];
    }
    let reference = object.chart_ref().or_else(|| object.chart_template_reference());
    let denied = reference.and_then(|reference| source::denied(object, &reference, arguments.access()));
    let template = chart_template::build(object).err().map(|error| error.to_string());
    let rules = health_rules(object).err().map(|error| chain(&error));
    let ignore = drift::options(object, &[]).err().map(|error| chain(&error));
    [refusal(object, arguments), denied, template, rules, ignore].into_iter().flatten().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn release(spec: &Value) -> HelmRelease {
        let mut all = json!({"interval": "1h"});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let metadata = json!({"name": "app", "namespace": "own"});
        serde_json::from_value(json!({"metadata": metadata, "spec": all})).unwrap()
    }

    fn refused(spec: &Value, flags: &[&str]) -> Vec<String> {
        let arguments = runtime::flags::try_parse_from([&["helm-controller"], flags].concat()).unwrap();
        refusals(&release(spec), &arguments)
    }

    fn reference(kind: &str, namespace: &str) -> Value {
        json!({"chartRef": {"kind": kind, "name": "c", "namespace": namespace}})
    }

    #[test]
    fn what_a_pass_would_refuse_depends_on_the_flags() {
        let (none, lockdown) = ([""; 0], ["--no-cross-namespace-refs"]);
        let foreign = reference("OCIRepository", "other");
        assert_eq!(refused(&foreign, &[]), none);
        assert_eq!(refused(&reference("OCIRepository", "own"), &lockdown), none);
        let text = "cross-namespace references are not allowed: cannot access OCIRepository other/c";
        assert_eq!(refused(&foreign, &lockdown), [text]);
        let external = reference("ExternalArtifact", "own");
        assert_eq!(refused(&external, &["--feature-gates=ExternalArtifact=true"]), none);
        let text = "can't access 'ExternalArtifact/own/c', ExternalArtifact feature gate is disabled";
        assert_eq!(refused(&external, &["--feature-gates=ExternalArtifact=false"]), [text]);
        // A chart of its own is made where its source is.
        let source = json!({"kind": "HelmRepository", "name": "r", "namespace": "other"});
        let chart = json!({"chart": {"spec": {"chart": "c", "sourceRef": source}}});
        assert_eq!(refused(&chart, &[]), none);
        let text = "cross-namespace references are not allowed: cannot access HelmChart other/own-app";
        assert_eq!(refused(&chart, &lockdown), [text]);
    }

    #[test]
    fn each_refusal_of_a_spec_is_told() {
        assert_eq!(refused(&json!({}), &[]), ["invalid Chart reference"]);
        let nothing = json!({"chart": {"spec": {}}});
        let text =
            "chart.spec.chart and chart.spec.sourceRef must be set when chart.kind is not 'OCIRepository'";
        assert_eq!(refused(&nothing, &[]), [text]);
        let mut bad = reference("HelmChart", "own");
        bad["waitStrategy"] = json!({"name": "watcher"});
        bad["healthCheckExprs"] = json!([{"apiVersion": "v1", "kind": "ConfigMap", "current": "a =="}]);
        bad["driftDetection"] = json!({"ignore": [{"paths": [""], "target": {"labelSelector": "a b"}}]});
        let told = refused(&bad, &[]);
        let [strategy, expression, selector] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(strategy, "the strategy of spec.waitStrategy is not supported");
        assert!(expression.contains("the CEL expression 'a =='"), "{expression}");
        assert!(selector.starts_with("failed to create ignore rule selector: "), "{selector}");
    }
}
