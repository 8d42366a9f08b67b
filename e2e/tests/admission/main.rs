//! What the API server makes of sources, ArtifactGenerators, Kustomizations and HelmReleases: which objects it takes, which it
//! refuses and with what text, what it fills in and what it drops, in every version.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod artifact_generator;
mod bucket;
mod git_repository;
mod helm_chart;
mod helm_release;
mod helm_repository;
mod kustomization;
mod oci_repository;
mod server;

use anyhow::Result;
use serde_json::json;

use server::{Server, git, kustomization, oci};

#[tokio::test(flavor = "multi_thread")]
async fn defaults_are_filled_in() -> Result<()> {
    let server = Server::connect().await?;
    let unreconciled = json!({"observedGeneration": -1});

    let seen = server.accepts(&git("v1", json!({"verify": {"secretRef": {"name": "keys"}}}))).await;
    assert_eq!(seen["spec"]["timeout"], "60s");
    assert_eq!(seen["spec"]["verify"]["mode"], "HEAD");
    assert_eq!(seen["spec"].as_object().unwrap().len(), 4, "no other defaults: {}", seen["spec"]);
    assert_eq!(seen["status"], unreconciled);

    let seen = server.accepts(&git("v1beta2", json!({}))).await;
    assert_eq!(seen["spec"]["timeout"], "60s");
    assert_eq!(seen["status"], unreconciled);

    for version in ["v1", "v1beta2"] {
        let from = json!({"postBuild": {"substituteFrom": [{"kind": "Secret", "name": "a"}]}});
        let seen = server.accepts(&kustomization(version, from)).await;
        assert_eq!(seen["spec"]["force"], false);
        assert_eq!(seen["spec"]["postBuild"]["substituteFrom"][0]["optional"], false);
        assert_eq!(seen["spec"].as_object().unwrap().len(), 5, "no other defaults: {}", seen["spec"]);
        assert_eq!(seen["status"], unreconciled);
    }

    // A null is an absent value.
    let mut object = git("v1", json!({}));
    object["spec"]["timeout"] = json!(null);
    let seen = server.accepts(&object).await;
    assert_eq!(seen["spec"]["timeout"], "60s");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_spec_is_refused() -> Result<()> {
    let server = Server::connect().await?;
    for mut object in [git("v1", json!({})), kustomization("v1", json!({}))] {
        object.as_object_mut().unwrap().remove("spec");
        server.rejects(&object, "spec: Required value").await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_version_alone_warns() -> Result<()> {
    let server = Server::connect().await?;
    for (object, kind) in
        [(git("v1beta2", json!({})), "GitRepository"), (kustomization("v1beta2", json!({})), "Kustomization")]
    {
        let answer = server.create(&object, "dryRun=All").await;
        assert_eq!(answer.warnings, [format!("v1beta2 {kind} is deprecated, upgrade to v1")]);
    }
    for object in [git("v1", json!({})), kustomization("v1", json!({})), oci(json!({}))] {
        assert_eq!(server.create(&object, "dryRun=All").await.warnings, [""; 0]);
    }
    Ok(())
}
