//! The example that users start from.

use std::fs;

use anyhow::Result;
use e2e::example::{nginx, toolkit_objects};
use e2e::objects::Look;
use e2e::process::temp_folder;
use e2e::scenario::Scenario;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_users_example_works_in_both_versions() -> Result<()> {
    let mut test = Scenario::new("example").await?;
    let commit = test.repo.commit_file("nginx/deployment.yaml", &nginx(2, "nginx:latest"))?;
    let revision = format!("main@sha1:{commit}");
    let files = temp_folder("example")?;
    // The example names its namespaces itself.
    let own = std::mem::replace(&mut test.namespace, "flux-system".into());
    for version in ["v1beta2", "v1"] {
        let file = files.path().join(format!("{version}.yaml"));
        fs::write(&file, toolkit_objects(version, &test.git.url("app"), ["1m", "5m"]))?;
        let said = test.kubectl(&["apply", "-f", file.to_str().unwrap()])?;
        for kind in ["GitRepository", "Kustomization"] {
            let warned = said.contains(&format!("v1beta2 {kind} is deprecated, upgrade to v1"));
            assert_eq!(warned, version == "v1beta2", "{version} {kind}: {said}");
        }

        let source = test.ready("GitRepository/my-app-repo").await?;
        let stored = format!("stored artifact for revision '{revision}'");
        assert_eq!(source.text("/status/artifact/revision"), revision);
        assert_eq!(source.condition("Ready").unwrap().message, stored);
        assert_eq!(source.condition("ArtifactInStorage").unwrap().message, stored);

        let app = test.applied("Kustomization/nginx-app", &commit).await?;
        assert_eq!(app.condition("Ready").unwrap().reason, "ReconciliationSucceeded");
        assert_eq!(app.condition("Ready").unwrap().message, format!("Applied revision: {revision}"));
        assert_eq!(app.text("/status/lastAttemptedRevision"), revision);
        let inventory = json!([{"id": "default_nginx-deployment_apps_Deployment", "v": "v1"}]);
        assert_eq!(app["status"]["inventory"]["entries"], inventory);
        test.event(
            "Kustomization/nginx-app",
            "Normal",
            "Progressing",
            "Deployment/default/nginx-deployment created",
        )
        .await?;

        test.namespace = "default".into();
        let live = test.get("Deployment/nginx-deployment").await?;
        assert_eq!(live["spec"]["replicas"], 2);
        assert_eq!(live.text("/spec/template/spec/containers/0/image"), "nginx:latest");
        assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"], 80);
        let labels = json!({
            "app": "nginx",
            "kustomize.toolkit.fluxcd.io/name": "nginx-app",
            "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
        });
        assert_eq!(live["metadata"]["labels"], labels);
        let managers = live["metadata"]["managedFields"].as_array().unwrap();
        let applied = managers
            .iter()
            .any(|m| m.text("/manager") == "kustomize-controller" && m.text("/operation") == "Apply");
        assert!(applied, "{managers:?}");

        test.namespace = "flux-system".into();
        test.kubectl(&["delete", "--wait=false", "-f", file.to_str().unwrap()])?;
        test.gone("Kustomization/nginx-app").await?;
        test.gone("GitRepository/my-app-repo").await?;
        test.namespace = "default".into();
        test.gone("Deployment/nginx-deployment").await?;
        test.namespace = "flux-system".into();
    }
    test.namespace = own;
    test.finish().await
}
