//! Kustomization.

use anyhow::Result;
use serde_json::json;

use crate::server::{Server, kustomization};

#[tokio::test(flavor = "multi_thread")]
async fn kustomizations_are_judged_by_their_schema() -> Result<()> {
    let server = Server::connect().await?;
    for version in ["v1", "v1beta2"] {
        let kustomization = |spec| kustomization(version, spec);
        for field in ["interval", "prune", "sourceRef"] {
            let text = format!("spec.{field}: Required value");
            server.rejects(&kustomization(json!({field: null})), &text).await;
        }
        for field in ["interval", "retryInterval", "timeout"] {
            for value in ["1h", "1h30m", "1.5h", "10ms"] {
                server.accepts(&kustomization(json!({field: value}))).await;
            }
            for value in ["", "1", "1d", "-1m"] {
                let text = format!("spec.{field} in body should match");
                server.rejects(&kustomization(json!({field: value})), &text).await;
            }
        }
        server
            .rejects(&kustomization(json!({"prune": "yes"})), "spec.prune in body must be of type boolean")
            .await;
        for kind in ["OCIRepository", "GitRepository", "Bucket"] {
            server
                .accepts(&kustomization(json!({"sourceRef": {"kind": kind, "name": "a", "namespace": "b"}})))
                .await;
        }
        for (source, text) in [
            (json!({"kind": "HelmRepository", "name": "a"}), "spec.sourceRef.kind: Unsupported value"),
            (json!({"kind": "GitRepository"}), "spec.sourceRef.name: Required value"),
            (json!({"name": "a"}), "spec.sourceRef.kind: Required value"),
        ] {
            server.rejects(&kustomization(json!({"sourceRef": source})), text).await;
        }
        server.accepts(&kustomization(json!({"targetNamespace": "a".repeat(63)}))).await;
        server
            .rejects(&kustomization(json!({"targetNamespace": "a".repeat(64)})), "may not be more than 63")
            .await;
        server
            .rejects(&kustomization(json!({"targetNamespace": ""})), "should be at least 1 chars long")
            .await;

        let decryption = json!({"provider": "sops", "secretRef": {"name": "keys"}});
        server.accepts(&kustomization(json!({"decryption": decryption}))).await;
        server
            .rejects(
                &kustomization(json!({"decryption": {"provider": "age"}})),
                "spec.decryption.provider: Unsupported value",
            )
            .await;
        server
            .rejects(&kustomization(json!({"decryption": {}})), "spec.decryption.provider: Required value")
            .await;
        server
            .rejects(
                &kustomization(json!({"decryption": {"provider": "sops", "secretRef": {}}})),
                "secretRef.name: Required value",
            )
            .await;

        let exactly_one =
            "exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef must be specified";
        for reference in
            [json!({"secretRef": {"name": "a", "key": "b"}}), json!({"configMapRef": {"name": "a"}})]
        {
            server.accepts(&kustomization(json!({"kubeConfig": reference}))).await;
        }
        for reference in [json!({}), json!({"secretRef": {"name": "a"}, "configMapRef": {"name": "a"}})] {
            server.rejects(&kustomization(json!({"kubeConfig": reference})), exactly_one).await;
        }

        let from = |reference| {
            kustomization(json!({"postBuild": {"substitute": {"a": "b"}, "substituteFrom": [reference]}}))
        };
        for kind in ["Secret", "ConfigMap"] {
            server.accepts(&from(json!({"kind": kind, "name": "a".repeat(253), "optional": true}))).await;
        }
        for (reference, text) in [
            (json!({"kind": "Deployment", "name": "a"}), "kind: Unsupported value"),
            (json!({"kind": "Secret", "name": ""}), "should be at least 1 chars long"),
            (json!({"kind": "Secret", "name": "a".repeat(254)}), "may not be more than 253"),
            (json!({"kind": "Secret"}), "name: Required value"),
        ] {
            server.rejects(&from(reference), text).await;
        }
        server
            .rejects(&kustomization(json!({"postBuild": {"substitute": {"a": 1}}})), "must be of type string")
            .await;

        server
            .accepts(&kustomization(
                json!({"healthChecks": [{"kind": "Deployment", "name": "a"}], "wait": true}),
            ))
            .await;
        server
            .rejects(
                &kustomization(json!({"healthChecks": [{"kind": "Deployment"}]})),
                "spec.healthChecks[0].name: Required value",
            )
            .await;
        server
            .rejects(
                &kustomization(json!({"dependsOn": [{"namespace": "a"}]})),
                "spec.dependsOn[0].name: Required value",
            )
            .await;
        server
            .accepts(&kustomization(
                json!({"patches": [{"patch": "a", "target": {"kind": "b", "labelSelector": "c=d"}}]}),
            ))
            .await;
        server
            .rejects(
                &kustomization(json!({"patches": [{"target": {}}]})),
                "spec.patches[0].patch: Required value",
            )
            .await;
        server
            .accepts(&kustomization(
                json!({"images": [{"name": "a", "newName": "b", "newTag": "c", "digest": "d"}]}),
            ))
            .await;
        server
            .rejects(
                &kustomization(json!({"images": [{"newTag": "c"}]})),
                "spec.images[0].name: Required value",
            )
            .await;
        server
            .accepts(&kustomization(
                json!({"commonMetadata": {"labels": {"a": "b"}}, "components": ["../c"]}),
            ))
            .await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kustomization_versions_differ_where_upstreams_did() -> Result<()> {
    let server = Server::connect().await?;
    let artifact = json!({"sourceRef": {"kind": "ExternalArtifact", "name": "a"}});
    server.accepts(&kustomization("v1", artifact.clone())).await;
    server.rejects(&kustomization("v1beta2", artifact), "Unsupported value: \"ExternalArtifact\"").await;
    for policy in ["MirrorPrune", "Delete", "WaitForTermination", "Orphan"] {
        server.accepts(&kustomization("v1", json!({"deletionPolicy": policy}))).await;
    }
    for field in ["namePrefix", "nameSuffix"] {
        server.accepts(&kustomization("v1", json!({field: "a".repeat(200)}))).await;
        server
            .rejects(&kustomization("v1", json!({field: "a".repeat(201)})), "may not be more than 200")
            .await;
        server.rejects(&kustomization("v1", json!({field: ""})), "should be at least 1 chars long").await;
    }
    for spec in [
        json!({"buildMetadata": ["originAnnotations", "transformerAnnotations"], "ignoreMissingComponents": true}),
        json!({"healthCheckExprs": [{"apiVersion": "a/v1", "current": "true", "failed": "false", "inProgress": "false"}]}),
        json!({"dependsOn": [{"name": "a", "readyExpr": "true"}]}),
        json!({"decryption": {"provider": "sops", "serviceAccountName": "a"}}),
        json!({"postBuild": {"substituteStrategy": "Always"}}),
        json!({"ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]}),
    ] {
        server.accepts(&kustomization("v1", spec)).await;
    }
    for (spec, text) in [
        (json!({"deletionPolicy": "Keep"}), "spec.deletionPolicy: Unsupported value"),
        (json!({"buildMetadata": ["managedByLabel"]}), "spec.buildMetadata[0]: Unsupported value"),
        (
            json!({"healthCheckExprs": [{"apiVersion": "a/v1"}]}),
            "spec.healthCheckExprs[0].current: Required value",
        ),
        (
            json!({"healthCheckExprs": [{"current": "true"}]}),
            "spec.healthCheckExprs[0].apiVersion: Required value",
        ),
        (
            json!({"postBuild": {"substituteStrategy": "Never"}}),
            "spec.postBuild.substituteStrategy: Unsupported value",
        ),
        (json!({"ignore": [{"target": {}}]}), "spec.ignore[0].paths: Required value"),
    ] {
        server.rejects(&kustomization("v1", spec), text).await;
    }

    for op in ["test", "remove", "add", "replace", "move", "copy"] {
        let patch = json!([{"op": op, "path": "/a", "from": "/b", "value": {"c": [1]}}]);
        server
            .accepts(&kustomization("v1beta2", json!({"patchesJson6902": [{"patch": patch, "target": {}}]})))
            .await;
    }
    let strategic = json!([{"kind": "Deployment", "spec": {"replicas": 2}}]);
    let stored = server
        .accepts(&kustomization("v1beta2", json!({"patchesStrategicMerge": strategic, "validation": "none"})))
        .await;
    assert_eq!(
        stored["spec"].get("patchesStrategicMerge"),
        None,
        "v1 is what is stored, and does not have it"
    );
    for (spec, text) in [
        (
            json!({"patchesJson6902": [{"patch": [{"op": "set", "path": "/a"}], "target": {}}]}),
            "op: Unsupported value",
        ),
        (json!({"patchesJson6902": [{"patch": [{"op": "remove"}], "target": {}}]}), "path: Required value"),
        (json!({"patchesJson6902": [{"patch": []}]}), "spec.patchesJson6902[0].target: Required value"),
        (json!({"validation": "strict"}), "spec.validation: Unsupported value"),
    ] {
        server.rejects(&kustomization("v1beta2", spec), text).await;
    }

    for (version, spec, field) in [
        ("v1beta2", json!({"deletionPolicy": "Delete"}), "spec.deletionPolicy"),
        ("v1beta2", json!({"namePrefix": "a"}), "spec.namePrefix"),
        ("v1beta2", json!({"nameSuffix": "a"}), "spec.nameSuffix"),
        ("v1beta2", json!({"buildMetadata": []}), "spec.buildMetadata"),
        ("v1beta2", json!({"ignoreMissingComponents": true}), "spec.ignoreMissingComponents"),
        ("v1beta2", json!({"healthCheckExprs": []}), "spec.healthCheckExprs"),
        ("v1beta2", json!({"ignore": []}), "spec.ignore"),
        (
            "v1beta2",
            json!({"dependsOn": [{"name": "a", "readyExpr": "true"}]}),
            "spec.dependsOn[0].readyExpr",
        ),
        (
            "v1beta2",
            json!({"postBuild": {"substituteStrategy": "Always"}}),
            "spec.postBuild.substituteStrategy",
        ),
        ("v1", json!({"patchesStrategicMerge": []}), "spec.patchesStrategicMerge"),
        ("v1", json!({"patchesJson6902": []}), "spec.patchesJson6902"),
        ("v1", json!({"validation": "none"}), "spec.validation"),
    ] {
        server.rejects_strictly(&kustomization(version, spec), &format!("unknown field \"{field}\"")).await;
    }
    Ok(())
}
