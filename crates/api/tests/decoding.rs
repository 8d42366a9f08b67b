//! Objects decode whatever an earlier version or a careless writer left in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use api::git_repository::{GitProvider, VerificationMode};
use api::{ConditionStatus, GitRepository, Kustomization};
use serde_json::json;

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
}

#[test]
fn what_is_not_set_is_not_sent() {
    let spec = json!({"interval": "1m", "prune": false, "force": false, "sourceRef": {"kind": "Bucket", "name": "a"}});
    let decoded: api::KustomizationSpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(serde_json::to_value(&decoded).unwrap(), spec);

    assert_eq!(serde_json::to_value(api::GitRepositoryStatus::default()).unwrap(), json!({}));
    assert_eq!(serde_json::to_value(api::KustomizationStatus::default()).unwrap(), json!({}));
}

#[test]
fn an_empty_ignore_is_not_an_absent_one() {
    let spec = json!({"url": "https://a", "interval": "1m", "timeout": "60s", "ignore": ""});
    let decoded: api::GitRepositorySpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(decoded.ignore.as_deref(), Some(""));
    assert_eq!(serde_json::to_value(&decoded).unwrap(), spec);
}
