//! The verbs of Flux's client for HelmReleases.

use std::fs;

use anyhow::Result;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::process::temp_folder;
use serde_json::json;

use crate::flux_cli::Flux;
use crate::helm_release::MAP;
use crate::helm_scenario::shared_controller;

/// A user with the client, and the controller for HelmReleases.
async fn flux_with_helm(name: &str) -> Result<(Flux, &'static Controller)> {
    Ok((Flux::new(name).await?, shared_controller().await?))
}

/// Commits chart `app` with ConfigMap `app-map`.
fn commit_chart(flux: &Flux, version: &str) -> Result<String> {
    let repo = &flux.test.repo;
    repo.write("chart/Chart.yaml", &format!("apiVersion: v2\nname: app\nversion: {version}\n"))?;
    repo.write("chart/values.yaml", "text: default\n")?;
    repo.write("chart/templates/map.yaml", MAP)?;
    repo.commit(version)
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_makes_shows_and_reconciles_helm_releases() -> Result<()> {
    let (flux, controller) = flux_with_helm("flux-helm").await?;
    let (test, namespace) = (&flux.test, &flux.test.namespace);
    commit_chart(&flux, "1.0.0")?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "values"},
        "stringData": {"values.yaml": "password: hidden\n"},
    });
    test.apply(&secret.to_string()).await?;
    let folder = temp_folder("values")?;
    let values = folder.path().join("values.yaml");
    fs::write(&values, "text: one\n")?;
    let values = format!("--values={}", values.display());
    let create = ["create", "helmrelease", "app", "--source=GitRepository/app", "--chart=./chart"];
    let more = ["--interval=1h", "--values-from=Secret/values", &values];
    let exported = flux.run(&[&create[..], &more, &["--export"]].concat())?;

    // What is exported goes to Git.
    test.apply_source().await?;
    let commit = test.repo.commit_file("app/release.yaml", &exported)?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    flux.run(&["reconcile", "source", "git", "app"])?;
    test.applied("Kustomization/app", &commit).await?;
    test.ready("HelmRelease/app")
        .await
        .map_err(|error| error.context(controller.log_about(namespace, 40)))?;
    let installed = format!("Helm install succeeded for release {namespace}/app.v1 with chart app@1.0.0");
    let rows = flux.table(&["get", "helmreleases"])?;
    assert_eq!(rows[1], ["app", "1.0.0", "False", "True", &installed]);
    let rows = flux.table(&["get", "sources", "chart"])?;
    assert_eq!(rows[1][..4], [&format!("{namespace}-app"), "1.0.0", "False", "True"]);

    let tree = flux.run(&["tree", "kustomization", "app"])?;
    for object in ["HelmRelease", "ConfigMap"] {
        let name = if object == "ConfigMap" { "app-map" } else { "app" };
        assert!(tree.contains(&format!("── {object}/{namespace}/{name}\n")), "{tree}");
    }
    let trace = flux.run(&["trace", "configmap", "app-map"])?;
    for line in ["HelmRelease:    app\n", "GitRepository: app\n", "Status:         Managed by Flux\n"] {
        assert!(trace.contains(line), "{line} in\n{trace}");
    }
    let debug = |show: &str| flux.run(&["debug", "helmrelease", "app", show]);
    assert_eq!(debug("--show-values")?, "password: hidden\ntext: one\n");
    assert!(debug("--show-status")?.contains(&format!("storageNamespace: {namespace}\n")));
    assert!(debug("--show-history")?.contains("chartVersion: 1.0.0\n"));
    let said = flux.run(&["export", "helmrelease", "app"])?;
    assert!(said.contains("chart: ./chart\n") && !said.contains("status"), "{said}");

    commit_chart(&flux, "2.0.0")?;
    let said = flux.run(&["reconcile", "helmrelease", "app", "--with-source"])?;
    assert!(
        said.contains(&format!("► annotating HelmChart {namespace}-app in {namespace} namespace\n")),
        "{said}"
    );
    assert!(said.ends_with("✔ applied revision 2.0.0\n"), "{said}");
    let version = async || -> Result<i64> {
        Ok(test.get("HelmRelease/app").await?.number("/status/history/0/version"))
    };
    assert_eq!(version().await?, 2);
    flux.run(&["reconcile", "helmrelease", "app"])?;
    assert_eq!(version().await?, 2, "nothing has changed");
    flux.run(&["reconcile", "helmrelease", "app", "--force"])?;
    assert_eq!(version().await?, 3, "an upgrade that was asked for");
    flux.run(&["reconcile", "helmrelease", "app", "--reset"])?;
    let release = test.get("HelmRelease/app").await?;
    let status = |field: &str| release.text(&format!("/status/{field}")).to_owned();
    assert_eq!(status("lastHandledResetAt"), status("lastHandledReconcileAt"));
    let events = flux.run(&["events", "--for=HelmRelease/app"])?;
    assert!(events.contains(&installed), "{events}");

    let said = flux.run(&["suspend", "helmrelease", "app"])?;
    assert!(said.ends_with("✔ helmrelease suspended\n"), "{said}");
    assert_eq!(flux.table(&["get", "helmreleases", "app"])?[1][1..4], ["2.0.0", "True", "True"]);
    let said = flux.fails(&["reconcile", "helmrelease", "app"])?;
    assert!(said.contains("resource is suspended"), "{said}");
    let said = flux.run(&["resume", "helmrelease", "app"])?;
    assert!(said.ends_with("✔ applied revision 2.0.0\n"), "{said}");

    flux.run(&["delete", "kustomization", "app", "--silent"])?;
    test.gone("HelmRelease/app").await?;
    assert!(!test.exists("ConfigMap/app-map").await?);
    let said = flux.run(&[&create[..], &more].concat())?;
    assert!(said.ends_with("✔ applied revision 2.0.0\n"), "{said}");
    assert_eq!(test.get("ConfigMap/app-map").await?.text("/data/text"), "one");
    flux.run(&["delete", "helmrelease", "app", "--silent"])?;
    test.gone("HelmRelease/app").await?;
    assert!(!test.exists("ConfigMap/app-map").await?);
    flux.test.finish().await
}
