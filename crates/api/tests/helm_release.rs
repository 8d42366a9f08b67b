//! HelmReleases decode whatever an earlier version or a careless writer left in them, and come back as they were.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use api::HelmRelease;
use api::helm_release::{
    ActionStrategy, CrdsPolicy, DriftDetectionMode, PostRenderStrategy, ReleaseAction, WaitStrategyName,
};
use serde_json::{Value, json};

fn decode(spec: &Value, status: &Value) -> HelmRelease {
    let metadata = json!({"name": "a", "namespace": "b"});
    let version = "helm.toolkit.fluxcd.io/v2";
    serde_json::from_value(
        json!({"apiVersion": version, "kind": "HelmRelease", "metadata": metadata, "spec": spec, "status": status}),
    )
    .unwrap()
}

fn action(further: &Value) -> Value {
    let mut action = json!({
        "timeout": "1m", "disableTakeOwnership": true, "disableWait": true, "disableWaitForJobs": true,
        "disableHooks": true, "disableOpenAPIValidation": true, "disableSchemaValidation": true, "crds": "CreateReplace",
        "strategy": {"name": "RetryOnFailure", "retryInterval": "30s"},
    });
    action.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    action
}

#[test]
fn a_full_helm_release_comes_back_as_it_was() {
    let spec = json!({
        "chart": {
            "kind": "HelmChart", "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
            "spec": {
                "chart": "podinfo", "version": "6.x", "interval": "10m", "reconcileStrategy": "Revision",
                "sourceRef": {"apiVersion": "v1", "kind": "HelmRepository", "name": "r", "namespace": "n"},
                "valuesFiles": ["values.yaml"], "ignoreMissingValuesFiles": true,
                "verify": {"provider": "cosign", "secretRef": {"name": "s"}, "matchOIDCIdentity": [{"issuer": "i", "subject": "s"}]},
            },
        },
        "interval": "1h", "kubeConfig": {"secretRef": {"name": "k", "key": "v"}}, "suspend": true, "releaseName": "x",
        "targetNamespace": "t", "storageNamespace": "s", "timeout": "5m", "maxHistory": 0, "serviceAccountName": "sa",
        "dependsOn": [{"name": "db", "namespace": "n", "readyExpr": "true"}], "persistentClient": false,
        "driftDetection": {"mode": "enabled", "ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]},
        "install": action(&json!({
            "replace": true, "skipCRDs": true, "createNamespace": true, "serverSideApply": false,
            "remediation": {"retries": -1, "ignoreTestFailures": false, "remediateLastFailure": true},
        })),
        "upgrade": action(&json!({
            "force": true, "preserveValues": true, "cleanupOnFail": true, "serverSideApply": "auto",
            "chartNameChangeStrategy": "InPlaceUpdate",
            "remediation": {"retries": 2, "strategy": "uninstall"},
        })),
        "test": {"enable": true, "timeout": "1m", "ignoreFailures": true, "filters": [{"name": "t", "exclude": true}]},
        "rollback": {
            "timeout": "1m", "disableWait": true, "disableWaitForJobs": true, "disableHooks": true, "recreate": true,
            "force": true, "cleanupOnFail": true, "serverSideApply": "enabled",
        },
        "uninstall": {
            "timeout": "1m", "disableHooks": true, "keepHistory": true, "disableWait": true, "deletionPropagation": "orphan",
        },
        "valuesFrom": [{
            "kind": "Secret", "name": "v", "valuesKey": "k.yaml", "targetPath": "a.b[0]", "optional": true, "literal": true,
        }],
        "values": {"replicas": 2, "nested": {"list": [1, null, "x"]}, "empty": null},
        "commonMetadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
        "postRenderers": [{"kustomize": {
            "patches": [{"patch": "p", "target": {"kind": "Service"}}],
            "images": [{"name": "n", "newName": "m", "newTag": "t", "digest": "d"}],
        }}],
        "postRenderStrategy": "nohooks", "waitStrategy": {"name": "poller"},
        "healthCheckExprs": [{"apiVersion": "v1", "kind": "A", "current": "c", "inProgress": "i", "failed": "f"}],
    });
    let condition = json!({
        "type": "Ready", "status": "True", "observedGeneration": 3, "lastTransitionTime": "2024-01-01T00:00:00Z",
        "reason": "InstallSucceeded", "message": "m",
    });
    let snapshot = json!({
        "apiVersion": "v2", "digest": "sha256:c", "name": "x", "namespace": "t", "version": 1, "status": "deployed",
        "action": "uninstall-remediation", "chartName": "podinfo", "chartVersion": "6.0.0", "appVersion": "6",
        "configDigest": "sha256:b", "firstDeployed": "2024-01-01T00:00:00Z", "lastDeployed": "2024-01-01T00:00:00Z",
        "deleted": "2024-01-02T00:00:00Z", "ociDigest": "sha256:a",
        "testHooks": {"t": {"lastStarted": "2024-01-01T00:00:00Z", "lastCompleted": "2024-01-01T00:00:01Z", "phase": "Succeeded"}},
    });
    let status = json!({
        "observedGeneration": 3, "observedPostRenderersDigest": "d", "observedCommonMetadataDigest": "e",
        "lastAttemptedGeneration": 3, "helmChart": "n/b-a", "storageNamespace": "s", "failures": 1, "installFailures": 2,
        "upgradeFailures": 3, "lastAttemptedRevision": "1.0.0", "lastAttemptedRevisionDigest": "sha256:a",
        "lastAttemptedReleaseAction": "upgrade", "lastAttemptedReleaseActionDuration": "1.5s",
        "lastAttemptedConfigDigest": "sha256:b", "lastHandledResetAt": "1", "lastHandledReconcileAt": "2",
        "lastHandledForceAt": "3", "inventory": {"entries": [{"id": "b_a__Service", "v": "v1"}]},
        "conditions": [condition], "history": [snapshot],
    });
    let object = decode(&spec, &status);
    assert_eq!(serde_json::to_value(&object.spec).unwrap(), spec);
    assert_eq!(serde_json::to_value(&object.status).unwrap(), status);
}

#[test]
fn a_template_of_an_oci_repository_has_its_fields() {
    let spec = json!({
        "chart": {"kind": "OCIRepository", "spec": {
            "url": "oci://r/c", "ref": {"semver": "1.x"}, "provider": "aws", "interval": "5m", "timeout": "30s", "insecure": true,
            "layerSelector": {"mediaType": "m", "operation": "copy"}, "secretRef": {"name": "s"}, "suspend": true,
            "verify": {"provider": "notation", "trustedRootSecretRef": {"name": "t"}},
        }},
        "interval": "1h",
    });
    let object = decode(&spec, &json!({}));
    assert_eq!(object.spec.chart.as_ref().unwrap().spec.repository.url, "oci://r/c");
    assert_eq!(serde_json::to_value(&object.spec).unwrap(), spec);
}

#[test]
fn a_helm_release_with_nulls_and_strange_values_decodes() {
    let object = decode(
        &json!({
            "interval": "often", "chartRef": {"kind": "Attic", "name": "c", "namespace": null}, "timeout": 5, "maxHistory": null,
            "install": null, "test": {"enable": null, "filters": null}, "dependsOn": null, "valuesFrom": null, "values": null,
            "upgrade": {"crds": "Sometimes", "remediation": {"retries": null, "strategy": "hope"}, "strategy": {"name": "x"}},
            "driftDetection": {"mode": "loud", "ignore": [{"paths": null}]}, "postRenderStrategy": "y", "what": 1,
            "waitStrategy": {"name": "z"},
        }),
        &json!({
            "failures": null, "history": [{"name": "x", "testHooks": {}, "action": "new"}], "lastAttemptedReleaseAction": "w",
            "lastAppliedRevision": "of v2beta2",
        }),
    );
    let spec = &object.spec;
    assert_eq!(spec.upgrade.crds, Some(CrdsPolicy::Unknown));
    assert_eq!(spec.upgrade.strategy.as_ref().unwrap().name, ActionStrategy::Unknown);
    assert_eq!(object.drift_detection_mode(), DriftDetectionMode::Unknown);
    assert_eq!(object.post_render_strategy(false), PostRenderStrategy::Unknown);
    assert_eq!(object.wait_strategy(false), WaitStrategyName::Unknown);
    assert_eq!((object.timeout(), object.max_history()), (std::time::Duration::from_secs(300), 5));
    let status = object.status.as_ref().unwrap();
    assert_eq!(status.history[0].action, Some(ReleaseAction::Unknown));
    assert!(status.history[0].is_tested());
    assert_eq!((object.active_remediation(), object.active_retry(true)), (None, None));
}
