//! The chart in a cluster, from its installation to its end.

use std::process::Command;

use anyhow::Result;
use e2e::cluster::{Cluster, User};

use crate::manifests::{helm, stdout};

/// Kinds of which `flux uninstall` names each object that it finds.
const FOUND_BY_FLUX: &str =
    "deployments,services,serviceaccounts,networkpolicies.networking.k8s.io,clusterroles,clusterrolebindings";

#[tokio::test(flavor = "multi_thread")]
async fn helm_installs_changes_and_removes_the_chart_and_flux_finds_its_objects() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = format!("helm-{:x}", rand::random::<u32>());
    let run = |command: &[&str], values: &[&str]| {
        let release = [command, &["ferroflux"]].concat();
        helm(Some(cluster), &release, &namespace, values).unwrap_or_else(|said| panic!("{command:?}: {said}"))
    };
    let named = |kinds: &str| {
        let mut kubectl = cluster.kubectl();
        kubectl.args(["get", kinds, "-n", &namespace, "-o", "name"]);
        let selector = format!("app.kubernetes.io/instance={namespace}");
        let mut names: Vec<String> =
            stdout(kubectl.args(["-l", &selector])).lines().map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    let deployment = |name: &str| format!("deployment.apps/{name}");

    run(&["install"], &["--create-namespace"]);
    assert_eq!(
        named("deployments"),
        ["helm-controller", "kustomize-controller", "source-controller"].map(deployment)
    );

    run(
        &["upgrade"],
        &["sharding.shards={a}", "tenancy.lockdown=true", "sourceController.persistence.enabled=true"],
    );
    let all = ["helm-controller", "kustomize-controller", "source-controller"]
        .into_iter()
        .flat_map(|name| [deployment(name), deployment(&format!("{name}-a"))]);
    assert_eq!(named("deployments"), all.collect::<Vec<_>>());
    assert_eq!(named("persistentvolumeclaims").len(), 2);

    let mut flux = Command::new(toolchain::flux()?);
    flux.env("KUBECONFIG", cluster.kubeconfig(User::Admin)).args(["uninstall", "--dry-run", "--silent"]);
    let output = flux.args(["--namespace", &namespace]).output()?;
    let found = [output.stdout, output.stderr].concat();
    let found = String::from_utf8(found)?;
    let installed = named(FOUND_BY_FLUX);
    assert!(installed.len() > 15, "{installed:?}");
    for object in installed {
        let name = object.split_once('/').map_or("", |(_, name)| name);
        assert!(found.contains(&format!("/{name} deleted (dry run)")), "{object} is not in\n{found}");
    }

    run(&["uninstall"], &[]);
    let kinds = format!("{FOUND_BY_FLUX},persistentvolumeclaims,resourcequotas,roles,rolebindings");
    assert_eq!(named(&kinds), [""; 0]);
    let crds = stdout(cluster.kubectl().args(["get", "crds", "-o", "name"]));
    for crd in ["kustomizations.kustomize.toolkit.fluxcd.io", "helmreleases.helm.toolkit.fluxcd.io"] {
        assert!(crds.contains(crd), "objects outlive the release: {crds}");
    }
    cluster.kubectl().args(["delete", "namespace", &namespace, "--wait=false"]).output()?;
    Ok(())
}
