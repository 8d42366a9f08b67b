//! The same work for every controller: an object of each, which one commit moves.

use anyhow::{Result, ensure};
use e2e::artifact::artifact_file;
use e2e::cluster::User::{self, HelmController, KustomizeController, SourceController, SourceWatcher};
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::{SHARD, Scenario};
use e2e::testkit::config_map;
use e2e::wait::{Not, not_yet};
use futures::future::try_join_all;
use serde_json::{Value, json};

/// The object that the controller of a user works on.
pub fn object(user: User) -> &'static str {
    match user {
        KustomizeController => "Kustomization/app",
        HelmController => "HelmRelease/app",
        SourceWatcher => "ArtifactGenerator/app",
        SourceController | User::Admin => "GitRepository/app",
    }
}

/// What the controller of a user writes when it has followed a commit, as part of the path of the request.
pub fn written(user: User) -> &'static str {
    match user {
        KustomizeController | HelmController => "configmaps",
        SourceWatcher => "externalartifacts",
        SourceController | User::Admin => "gitrepositories",
    }
}

/// The controller of a user for the objects of one test alone.
pub async fn start(test: &Scenario, user: User, options: &[&str]) -> Result<Controller> {
    Controller::start(test.cluster, user, &[&[&*test.selector()], options].concat()).await
}

/// Commits a value that each of the objects brings on.
pub fn write(test: &Scenario, value: &str) -> Result<String> {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: released}\ndata: {value: ";
    test.repo.write("chart/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\n")?;
    test.repo.write("chart/templates/map.yaml", &format!("{map}\"{value}\"}}\n"))?;
    test.repo.commit_file("app/map.yaml", &config_map("map", value))
}

/// Applies the source, and the object of a user with further fields of spec.
pub async fn apply(test: &Scenario, user: User, more: &Value) -> Result<()> {
    test.apply_source().await?;
    let (version, spec) = match user {
        KustomizeController => {
            let source = json!({"kind": "GitRepository", "name": "app"});
            let spec = json!({
                "interval": "1h", "retryInterval": "2s", "prune": true, "path": "./app", "sourceRef": source,
                "targetNamespace": test.namespace,
            });
            ("kustomize.toolkit.fluxcd.io/v1", spec)
        }
        HelmController => {
            let chart = json!({
                "chart": "./chart", "sourceRef": {"kind": "GitRepository", "name": "app"}, "reconcileStrategy": "Revision",
            });
            // As with Flux, the shard of the chart is its author's business.
            let chart = json!({"metadata": {"labels": {SHARD: test.namespace}}, "spec": chart});
            ("helm.toolkit.fluxcd.io/v2", json!({"interval": "1h", "chart": chart}))
        }
        SourceWatcher => {
            let source = json!({"alias": "app", "kind": "GitRepository", "name": "app"});
            let artifact = json!({"name": "out", "copy": [{"from": "@app/app/**", "to": "@artifact/"}]});
            ("source.extensions.fluxcd.io/v1beta1", json!({"sources": [source], "artifacts": [artifact]}))
        }
        SourceController | User::Admin => {
            return test.patch(object(user), &json!({ "spec": more })).await.map(drop);
        }
    };
    let kind = object(user).trim_end_matches("/app");
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "app"}, "spec": spec});
    for (key, value) in more.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    test.apply(&object.to_string()).await
}

/// Waits until the controller of a user has brought on a value that was committed.
pub async fn has_followed(test: &Scenario, user: User, commit: &str, value: &str) -> Result<()> {
    match user {
        KustomizeController => {
            test.applied(object(user), commit).await?;
            ensure!(test.get("ConfigMap/map").await?.text("/data/value") == value, "{commit} is not {value}");
        }
        HelmController => {
            test.until("ConfigMap/released", value, |map| map.text("/data/value") == value).await?;
            test.ready(object(user)).await?;
        }
        SourceWatcher => {
            let wanted = config_map("map", value);
            test.wait(&format!("an artifact with {value}"), async || {
                let artifact = test.get("ExternalArtifact/out").await.map_err(not_yet)?;
                // Between two artifacts, and while another process serves them, there is no file to read.
                match artifact_file(&artifact, "map.yaml").await {
                    Ok(text) if text == wanted => Ok(()),
                    other => Err(Not::Yet(format!("{other:?}"))),
                }
            })
            .await?;
            let is_ready = |generator: &Value| {
                generator.condition("Ready").is_some_and(|ready| ready.status == "True")
                    && generator.condition("Reconciling").is_none()
            };
            test.until(object(user), "is ready", is_ready).await?;
        }
        SourceController | User::Admin => {
            let is = |source: &Value| {
                source.is_ready() && source.text("/status/artifact/revision").ends_with(commit)
            };
            let source = test.until(object(user), &format!("has {commit}"), is).await?;
            ensure!(artifact_file(&source, "app/map.yaml").await? == config_map("map", value), "{commit}");
        }
    }
    Ok(())
}

/// Waits until every controller has brought on a value that was committed.
pub async fn have_followed(test: &Scenario, commit: &str, value: &str) -> Result<()> {
    try_join_all(User::CONTROLLERS.map(|user| has_followed(test, user, commit, value))).await.map(drop)
}

/// Commits a value, asks the source to look, and waits until the controller of a user has brought it on.
pub async fn follows(test: &Scenario, user: User, value: &str) -> Result<()> {
    let commit = write(test, value)?;
    test.request("GitRepository/app").await?;
    has_followed(test, user, &commit, value).await
}
