//! Objects decode whatever an earlier version or a careless writer left in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use api::bucket::{BucketProvider, StsProvider};
use api::git_repository::{GitProvider, VerificationMode};
use api::oci_repository::{LayerOperation, OciProvider, VerificationProvider};
use api::source::Source;
use api::{Bucket, ConditionStatus, GitRepository, Kustomization, OciRepository};
use serde_json::{Value, json};

fn oci(spec: &Value) -> OciRepository {
    serde_json::from_value(json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "metadata": {"name": "a"},
        "spec": spec,
    }))
    .unwrap()
}

#[test]
fn a_minimal_git_repository_gets_the_defaults() {
    let object: GitRepository = serde_json::from_value(json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "a"},
        "spec": {"url": "https://example.org/a.git", "interval": "1m", "verify": {"secretRef": {"name": "keys"}}},
    }))
    .unwrap();
    assert_eq!(object.spec.timeout.as_str(), "60s");
    assert_eq!(object.spec.verification.unwrap().mode, VerificationMode::Head);
    assert!(!object.spec.suspend && object.spec.ignore.is_none() && object.status.is_none());
}

#[test]
fn a_minimal_oci_repository_gets_the_defaults() {
    let object =
        oci(&json!({"url": "oci://example.org/a", "interval": "1m", "layerSelector": {}, "verify": {}}));
    // Which provider and which timeout are the defaults is for whoever uses them.
    assert_eq!((object.spec.provider, &object.spec.timeout), (None, &None));
    assert_eq!(object.spec.layer_selector.unwrap().operation, None);
    assert_eq!(object.spec.verification.unwrap().provider, VerificationProvider::Cosign);
    assert!(!object.spec.suspend && !object.spec.insecure && object.spec.ignore.is_none());
    assert!(object.status.is_none());
}

#[test]
fn a_full_oci_repository_comes_back_as_it_was() {
    let object = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "url": "oci://example.org/a", "interval": "1h30m", "timeout": "1m30s", "provider": "gcp",
            "ref": {"digest": "sha256:ab", "semver": ">=1.0.0", "semverFilter": ".*-rc.*", "tag": "latest"},
            "layerSelector": {"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "operation": "copy"},
            "secretRef": {"name": "a"}, "certSecretRef": {"name": "b"}, "proxySecretRef": {"name": "c"},
            "serviceAccountName": "d", "ignore": "", "insecure": true, "suspend": true,
            "verify": {
                "provider": "notation", "secretRef": {"name": "e"}, "trustedRootSecretRef": {"name": "f"},
                "matchOIDCIdentity": [{"issuer": "^https://a$", "subject": "^b$"}],
            },
        },
        "status": {
            "observedGeneration": 3, "url": "http://a/latest.tar.gz", "observedIgnore": "",
            "observedLayerSelector": {"mediaType": "a", "operation": "copy"},
            "sourceVerificationFingerprint": "sha256:ab", "lastHandledReconcileAt": "now",
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "observedGeneration": 3,
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            }],
            "artifact": {
                "digest": "sha256:ab", "path": "a", "url": "http://a", "revision": "latest@sha256:ab", "size": 1,
                "lastUpdateTime": "2026-01-02T03:04:05Z", "metadata": {"org.opencontainers.image.revision": "b"},
            },
        },
    });
    let decoded: OciRepository = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(serde_json::to_value(&decoded).unwrap(), object);
}

#[test]
fn an_oci_repository_is_a_source() {
    let mut object = oci(&json!({"url": "oci://example.org/a", "interval": "1m", "suspend": true}));
    assert!(object.is_suspended());
    assert_eq!(object.interval().as_str(), "1m");
    assert_eq!(object.status_mut().observed_generation, &None);
    for (timeout, seconds) in
        [(json!(null), None), (json!("0s"), None), (json!("soon"), None), (json!("1m"), Some(60))]
    {
        let object = oci(&json!({"timeout": timeout}));
        assert_eq!(object.timeout(), seconds.map(Duration::from_secs), "{timeout}");
    }
}

#[test]
fn nulls_are_defaults() {
    let object: GitRepository = serde_json::from_value(json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "a"},
        "spec": {
            "url": "https://example.org/a.git", "interval": "1m", "timeout": null, "suspend": null, "include": null,
            "ignore": null, "recurseSubmodules": null, "sparseCheckout": null, "ref": null,
        },
        "status": {"conditions": null, "artifact": null, "observedGeneration": null, "includedArtifacts": null},
    }))
    .unwrap();
    assert_eq!(object.spec.timeout.as_str(), "60s");
    assert_eq!(object.status, Some(Default::default()));

    let object: Kustomization = serde_json::from_value(json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "a"},
        "spec": {
            "interval": "1m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "a"}, "path": null,
            "force": null, "wait": null, "dependsOn": null, "patches": null, "images": null, "timeout": null,
            "postBuild": {"substitute": null, "substituteFrom": null}, "commonMetadata": {"labels": null},
        },
        "status": {"inventory": {"entries": null}, "history": null},
    }))
    .unwrap();
    assert_eq!(object.spec.path, "");
    assert!(!object.spec.force && object.spec.depends_on.is_empty());

    let object: OciRepository = serde_json::from_value(json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "metadata": {"name": "a"},
        "spec": {
            "url": null, "interval": null, "timeout": null, "provider": null, "ref": null, "insecure": null,
            "suspend": null, "ignore": null, "layerSelector": {"mediaType": null, "operation": null},
            "verify": {"provider": null, "secretRef": null, "matchOIDCIdentity": null},
        },
        "status": {"conditions": null, "artifact": null, "observedGeneration": null, "url": null},
    }))
    .unwrap();
    assert_eq!((object.spec.url.as_str(), object.spec.interval.as_str()), ("", ""));
    assert_eq!((object.spec.timeout, object.spec.provider), (None, None));
    assert_eq!(object.spec.layer_selector, Some(Default::default()));
    assert_eq!(object.spec.verification, Some(Default::default()));
    assert_eq!(object.status, Some(Default::default()));
}

#[test]
fn odd_values_decode_and_are_judged_later() {
    let object: GitRepository = serde_json::from_value(json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "a"},
        "spec": {"url": "", "interval": "soon", "timeout": 5, "provider": "sourcehut", "surprise": [1]},
        "status": {
            // As written by a release of the time when revisions had no digest and artifacts a checksum.
            "artifact": {"checksum": "abc", "revision": "main/abc", "lastUpdateTime": "yesterday"},
            "conditions": [{"type": "Ready", "status": "Perhaps"}],
        },
    }))
    .unwrap();
    assert!(object.spec.interval.parse().is_err());
    assert!(object.spec.timeout.parse().is_err());
    assert_eq!(object.spec.provider, Some(GitProvider::Unknown));
    let status = object.status.unwrap();
    assert_eq!(status.artifact.unwrap().digest, "");
    assert_eq!(status.conditions[0].status, ConditionStatus::Unknown);

    let object = oci(&json!({
        "interval": 5, "timeout": {}, "provider": "quay", "surprise": [1], "layerSelector": {"operation": "move"},
        "verify": {"provider": "gpg"},
    }));
    assert!(object.spec.interval.parse().is_err());
    assert_eq!(object.timeout(), None);
    assert_eq!(object.spec.provider, Some(OciProvider::Unknown));
    assert_eq!(object.spec.layer_selector.unwrap().operation, Some(LayerOperation::Unknown));
    assert_eq!(object.spec.verification.unwrap().provider, VerificationProvider::Unknown);
}

#[test]
fn fields_that_are_not_set_are_not_sent() {
    let spec = json!({"interval": "1m", "prune": false, "force": false, "sourceRef": {"kind": "Bucket", "name": "a"}});
    let decoded: api::KustomizationSpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(serde_json::to_value(&decoded).unwrap(), spec);

    assert_eq!(serde_json::to_value(api::BucketStatus::default()).unwrap(), json!({}));
    assert_eq!(serde_json::to_value(api::GitRepositoryStatus::default()).unwrap(), json!({}));
    assert_eq!(serde_json::to_value(api::KustomizationStatus::default()).unwrap(), json!({}));
    assert_eq!(serde_json::to_value(api::OciRepositoryStatus::default()).unwrap(), json!({}));
    assert_eq!(serde_json::to_value(api::OciRepositorySpec::default()).unwrap(), json!({}));
}

#[test]
fn an_empty_ignore_is_not_an_absent_one() {
    let spec = json!({"url": "https://a", "interval": "1m", "timeout": "60s", "ignore": ""});
    let decoded: api::GitRepositorySpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(decoded.ignore.as_deref(), Some(""));
    assert_eq!(serde_json::to_value(&decoded).unwrap(), spec);
}

#[test]
fn a_full_bucket_comes_back_as_it_was() {
    let object = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "Bucket",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "provider": "generic", "bucketName": "a", "endpoint": "h:9000",
            "sts": {
                "provider": "ldap", "endpoint": "https://sts", "secretRef": {"name": "a"},
                "certSecretRef": {"name": "b"},
            },
            "insecure": true, "region": "r", "prefix": "p/", "secretRef": {"name": "c"},
            "serviceAccountName": "d", "certSecretRef": {"name": "e"}, "proxySecretRef": {"name": "f"},
            "interval": "1h30m", "timeout": "1m30s", "ignore": "", "suspend": true,
        },
        "status": {
            "observedGeneration": 3, "url": "http://a/latest.tar.gz", "observedIgnore": "",
            "lastHandledReconcileAt": "now",
        },
    });
    let decoded: Bucket = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(serde_json::to_value(&decoded).unwrap(), object);
    assert!(decoded.is_suspended() && decoded.timeout() == Some(std::time::Duration::from_secs(90)));
}

#[test]
fn a_bucket_with_nulls_and_strange_values_decodes() {
    let object: Bucket = serde_json::from_value(json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "Bucket", "metadata": {"name": "a"},
        "spec": {
            "provider": "swift", "bucketName": "a", "endpoint": "h", "interval": "often", "timeout": null,
            "insecure": null, "region": null, "prefix": null, "suspend": null, "ignore": null, "what": 1,
            "sts": {"provider": "mine", "endpoint": "x", "secretRef": null},
        },
    }))
    .unwrap();
    assert_eq!(object.spec.provider, BucketProvider::Unknown);
    assert_eq!(object.spec.sts.as_ref().unwrap().provider, StsProvider::Unknown);
    assert_eq!(object.timeout(), Some(std::time::Duration::from_secs(60)));
    let spec = json!({"provider": null, "bucketName": "a", "endpoint": "h", "interval": "1m"});
    let object: Bucket = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap();
    assert_eq!(object.spec.provider, BucketProvider::Generic);
}
