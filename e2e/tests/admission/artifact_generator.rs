//! ArtifactGenerator, and the ExternalArtifacts that it is for.

use anyhow::Result;
use serde_json::{Value, json};

use crate::server::{Server, collection, with};

fn generator(spec: Value) -> Value {
    let copy = json!([{"from": "@app/deploy", "to": "@artifact/"}]);
    let base = json!({
        "sources": [{"alias": "app", "kind": "GitRepository", "name": "app"}],
        "artifacts": [{"name": "app", "copy": copy}],
    });
    json!({
        "apiVersion": "source.extensions.fluxcd.io/v1beta1", "kind": "ArtifactGenerator",
        "metadata": {"name": "a", "namespace": "default"}, "spec": with(base, spec),
    })
}

/// A generator whose one source is changed.
fn sourced(changes: Value) -> Value {
    let source = with(json!({"alias": "app", "kind": "GitRepository", "name": "app"}), changes);
    generator(json!({"sources": [source]}))
}

/// A generator whose one artifact is changed.
fn produced(changes: Value) -> Value {
    let base = json!({"name": "app", "copy": [{"from": "@app/deploy", "to": "@artifact/"}]});
    generator(json!({"artifacts": [with(base, changes)]}))
}

/// A generator whose one copy is changed.
fn copied(changes: Value) -> Value {
    let copy = with(json!({"from": "@app/deploy", "to": "@artifact/"}), changes);
    produced(json!({"copy": [copy]}))
}

fn external(spec: Value) -> Value {
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "ExternalArtifact",
        "metadata": {"name": "admission", "namespace": "default"}, "spec": spec,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_of_an_artifact_generator_are_judged_by_their_schema() -> Result<()> {
    let server = Server::connect().await?;
    let seen = server.accepts(&generator(json!({}))).await;
    assert_eq!(seen.get("status"), None, "no generation is observed");
    for kind in ["Bucket", "GitRepository", "OCIRepository", "HelmChart", "ExternalArtifact"] {
        server.accepts(&sourced(json!({"kind": kind, "namespace": "other"}))).await;
    }
    for (changes, text) in [
        (json!({"kind": "HelmRepository"}), "spec.sources[0].kind: Unsupported value: \"HelmRepository\""),
        (json!({"kind": null}), "spec.sources[0].kind: Required value"),
        (json!({"alias": null}), "spec.sources[0].alias: Required value"),
        (json!({"alias": "-a"}), "spec.sources[0].alias in body should match"),
        (json!({"alias": "A"}), "spec.sources[0].alias in body should match"),
        (json!({"alias": "a".repeat(64)}), "spec.sources[0].alias: Too long"),
        (json!({"name": null}), "spec.sources[0].name: Required value"),
        (json!({"name": "a.b"}), "spec.sources[0].name in body should match"),
        (json!({"name": "a".repeat(254)}), "spec.sources[0].name: Too long"),
        (json!({"namespace": ""}), "spec.sources[0].namespace in body should be at least 1 chars long"),
        (json!({"namespace": "a.b"}), "spec.sources[0].namespace in body should match"),
        (json!({"namespace": "a".repeat(64)}), "spec.sources[0].namespace: Too long"),
    ] {
        server.rejects(&sourced(changes), text).await;
    }
    server.accepts(&sourced(json!({"alias": "a_b-c"}))).await;
    server
        .rejects(&generator(json!({"sources": []})), "spec.sources in body should have at least 1 items")
        .await;
    server.rejects(&generator(json!({"sources": null})), "spec.sources: Required value").await;
    let many = vec![json!({"alias": "app", "kind": "GitRepository", "name": "app"}); 1001];
    server.rejects(&generator(json!({"sources": many})), "spec.sources: Too many: 1001").await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_of_an_artifact_generator_are_judged_by_their_schema() -> Result<()> {
    let server = Server::connect().await?;
    for changes in [
        json!({"revision": "@app", "originRevision": "@app"}),
        json!({"name": "a.b-c"}),
        json!({"name": "a".repeat(253)}),
    ] {
        server.accepts(&produced(changes)).await;
    }
    let name = "artifact names must be valid Kubernetes object names when pathPattern is not set";
    for (changes, text) in [
        (json!({"name": null}), "spec.artifacts[0].name: Required value"),
        (json!({"name": ""}), "spec.artifacts[0].name in body should be at least 1 chars long"),
        (json!({"name": "a".repeat(254)}), "spec.artifacts[0].name: Too long"),
        (json!({"name": "App"}), name),
        (json!({"name": "{app}"}), name),
        (json!({"revision": "app"}), "spec.artifacts[0].revision in body should match"),
        (json!({"originRevision": "@app/"}), "spec.artifacts[0].originRevision in body should match"),
        (json!({"revision": format!("@{}", "a".repeat(64))}), "spec.artifacts[0].revision: Too long"),
        (json!({"copy": null}), "spec.artifacts[0].copy: Required value"),
        (json!({"copy": []}), "spec.artifacts[0].copy in body should have at least 1 items"),
    ] {
        server.rejects(&produced(changes), text).await;
    }
    let expanded = json!({
        "pathPattern": "@app/apps/{app}",
        "artifacts": [{"name": "{app}", "copy": [{"from": "@app/apps/{app}/**", "to": "@artifact/"}]}],
    });
    server.accepts(&generator(expanded)).await;
    for pattern in ["app/x", "@app", "@App/x"] {
        let text = "spec.pathPattern in body should match";
        server.rejects(&generator(json!({"pathPattern": pattern})), text).await;
    }
    let long = format!("@app/{}", "a".repeat(1024));
    server.rejects(&generator(json!({"pathPattern": long})), "spec.pathPattern: Too long").await;
    let seen = server.accepts(&generator(json!({"commonMetadata": {"labels": {"a": "b"}}}))).await;
    assert_eq!(seen["spec"]["commonMetadata"], json!({"labels": {"a": "b"}}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_an_artifact_generator_are_judged_by_their_schema() -> Result<()> {
    let server = Server::connect().await?;
    let seen = server.accepts(&copied(json!({}))).await;
    let copy = &seen["spec"]["artifacts"][0]["copy"][0];
    assert_eq!(copy, &json!({"from": "@app/deploy", "to": "@artifact/"}), "no strategy is filled in");
    for strategy in ["Overwrite", "Merge", "Extract"] {
        server.accepts(&copied(json!({"strategy": strategy, "exclude": ["*.md"]}))).await;
    }
    let at = "spec.artifacts[0].copy[0]";
    for (changes, text) in [
        (json!({"from": null}), ".from: Required value"),
        (json!({"from": "deploy"}), ".from in body should match"),
        (json!({"from": "@app"}), ".from in body should match"),
        (json!({"from": format!("@app/{}", "a".repeat(1024))}), ".from: Too long"),
        (json!({"to": null}), ".to: Required value"),
        (json!({"to": "@app/"}), ".to in body should match"),
        (json!({"to": "@artifact"}), ".to in body should match"),
        (json!({"strategy": "Replace"}), ".strategy: Unsupported value: \"Replace\""),
        (json!({"exclude": vec!["a"; 101]}), ".exclude: Too many: 101"),
    ] {
        server.rejects(&copied(changes), &format!("{at}{text}")).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_artifact_needs_no_source_and_keeps_what_its_producer_exports() -> Result<()> {
    let server = Server::connect().await?;
    for field in ["kind", "name"] {
        let reference = with(json!({"kind": "A", "name": "a"}), json!({field: null}));
        let text = format!("spec.sourceRef.{field}: Required value");
        server.rejects(&external(json!({"sourceRef": reference})), &text).await;
    }
    let mut object = external(json!({}));
    object.as_object_mut().unwrap().remove("spec");
    let created = server.create(&object, "").await.accepted();
    assert_eq!((created.get("spec"), created.get("status")), (None, None));
    let path = format!("{}/admission", collection(&object));
    let exported = json!({"image": {"tag": "v1", "ports": [80, {"deep": true}]}, "replicas": 3, "name": "a"});
    let status = json!({"status": {"exportedInputs": exported}});
    let changed = server.send("PATCH", &format!("{path}/status"), &status).await.accepted();
    assert_eq!(changed["status"]["exportedInputs"], exported);
    let incomplete = json!({"status": {"artifact": {"digest": "sha256:1"}}});
    let refused = server.send("PATCH", &format!("{path}/status"), &incomplete).await;
    refused.refused("status.artifact.revision: Required value");
    server.send("DELETE", &path, &Value::Null).await.accepted();
    Ok(())
}
