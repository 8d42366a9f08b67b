//! Artifacts that only those may read who show a token.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use e2e::artifact::download;
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::process::temp_folder;
use e2e::scenario::{Scenario, Settings};
use e2e::testkit::config_map;
use reqwest::StatusCode;
use serde_json::json;

use crate::helm_release::{Helm, MAP, RELEASE};
use crate::helm_scenario::Running;

fn flag(token: &Path) -> String {
    format!("--artifact-token-file={}", token.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_artifacts_to_kustomize_controller_alone_and_can_be_replaced() -> Result<()> {
    let folder = temp_folder("artifact-token")?;
    let [server, client] = ["server", "client"].map(|name| folder.path().join(name));
    let write = |path, token: &str| fs::write(path, format!("{token}\n"));
    write(&server, "canary-1")?;
    write(&client, "canary-1")?;
    let settings = Settings {
        source: &[&flag(&server)],
        kustomize: &[&flag(&client), "--artifact-hosts=127.0.0.1", "--http-retry=100"],
        ..Settings::default()
    };
    let test = Scenario::with_settings("artifact-token", settings).await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;

    // The neighbour that guesses the path.
    let source = test.ready("GitRepository/app").await?;
    let url = source.text("/status/artifact/url");
    assert!(download(&source).await.is_err());
    let ask = async |url: &str, token: &str| {
        let request = reqwest::Client::new().get(url).bearer_auth(token);
        request.send().await.map(|answer| answer.status())
    };
    assert_eq!(ask(url, "canary").await?, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(url, "canary-1").await?, StatusCode::OK);
    let path = source.text("/status/artifact/path");
    let probe = reqwest::get(url.trim_end_matches(path)).await?.status();
    assert_eq!(probe, StatusCode::OK);

    // The file of one Pod is replaced before that of the other.
    write(&server, "canary-2")?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "2"))?;
    test.request("GitRepository/app").await?;
    let fetching = "Fetching manifests for revision";
    test.condition("Kustomization/app", "Reconciling", "True", "Progressing", fetching).await?;
    assert_eq!(ask(url, "canary-1").await?, StatusCode::UNAUTHORIZED);
    write(&client, "canary-2")?;
    test.applied("Kustomization/app", &commit).await?;

    for text in [test.pair()?.source.log_text(), test.pair()?.kustomize.log_text()] {
        assert!(!text.contains("canary-"), "a token is in a log");
    }
    for object in ["GitRepository/app", "Kustomization/app"] {
        assert!(!test.get(object).await?.to_string().contains("canary-"), "a token is in {object}");
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn source_watcher_shows_the_token_and_asks_for_it() -> Result<()> {
    let folder = temp_folder("watcher-token")?;
    let token = folder.path().join("token");
    fs::write(&token, "canary-1")?;
    let token = flag(&token);
    let options = [&*token, "--artifact-hosts=127.0.0.1"];
    let settings = Settings { source: &[&token], kustomize: &options, ..Settings::default() };
    let test = Scenario::with_settings("watcher-token", settings).await?;
    let selector = test.selector();
    let options = [&[&*selector], &options[..]].concat();
    let watcher = Controller::start(test.cluster, User::SourceWatcher, &options).await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let generator = json!({
        "apiVersion": "source.extensions.fluxcd.io/v1beta1", "kind": "ArtifactGenerator", "metadata": {"name": "gen"},
        "spec": {
            "sources": [{"alias": "app", "kind": "GitRepository", "name": "app"}],
            "artifacts": [{"name": "composed", "copy": [{"from": "@app/app/**", "to": "@artifact/app/"}]}],
        },
    });
    test.apply(&generator.to_string()).await?;
    let applied = test.kustomization_yaml("app", "./app", "");
    let composed =
        applied.replace("{kind: GitRepository, name: app}", "{kind: ExternalArtifact, name: composed}");
    test.apply(&composed).await?;
    test.ready("Kustomization/app").await.with_context(|| watcher.log_about(&test.namespace, 30))?;
    let artifact = test.get("ExternalArtifact/composed").await?;
    assert!(download(&artifact).await.is_err(), "it is served without the token");
    assert!(!watcher.log_text().contains("canary-"), "the token is in the log");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_controller_shows_the_token_for_charts() -> Result<()> {
    let folder = temp_folder("chart-token")?;
    let [server, client] = ["server", "client"].map(|name| folder.path().join(name));
    fs::write(&server, "canary-1")?;
    fs::write(&client, "canary-of-another")?;
    let settings = Settings { source: &[&flag(&server)], ..Settings::default() };
    let test = Scenario::with_settings("chart-token", settings).await?;
    let options = [&*test.selector(), &*flag(&client), "--artifact-hosts=127.0.0.1", "--http-retry=0"];
    let controller = Controller::start(test.cluster, User::HelmController, &options).await?;
    let helm = Helm { test, controller: Running::Own(Box::new(controller)) };
    helm.begin(&[("map.yaml", MAP)], &json!({})).await?;
    helm.says("Ready", "False", "ArtifactFailed", "Could not load chart: ").await?;
    fs::write(&client, "canary-1")?;
    helm.test.request(RELEASE).await?;
    helm.ready("Helm install succeeded").await?;
    assert!(!helm.controller.log_text().contains("canary-"), "a token is in the log");
    assert!(!helm.test.get(RELEASE).await?.to_string().contains("canary-"));
    helm.test.finish().await
}
