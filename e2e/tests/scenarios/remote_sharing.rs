//! Connections to other clusters: who shares one, how many there may be, and deletion when the way there is lost.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::api_proxy::ApiProxy;
use e2e::cluster::User;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::config_map;
use e2e::wait::Not;
use serde_json::{Value, json};

use crate::remote_clusters::{kubeconfig_secret, open, other, scenario, until};

/// `spec.kubeConfig` by a Secret.
fn there(secret: &str) -> String {
    format!("  kubeConfig: {{secretRef: {{name: {secret}}}}}\n")
}

/// Folders `a`, `b` and so on with a ConfigMap of the same name each.
fn write_folders(test: &Scenario, names: &[&str]) -> Result<String> {
    for name in names {
        test.repo.write(&format!("{name}/map.yaml"), &config_map(name, "1"))?;
    }
    test.repo.commit("folders")
}

#[tokio::test]
async fn equal_kubeconfigs_are_one_connection_and_others_are_not() -> Result<()> {
    let test = Scenario::with_own_controllers("remote-sharing", &[]).await?;
    let (test, far, _) = scenario(test, &[]).await?;
    let proxy = ApiProxy::start(other().await?).await?;
    let kubeconfig = fs::read_to_string(proxy.kubeconfig(User::Admin))?;
    for (secret, kubeconfig) in
        [("a", kubeconfig.clone()), ("b", kubeconfig.clone()), ("c", format!("# another one\n{kubeconfig}"))]
    {
        test.objects.apply_one(&kubeconfig_secret(secret, &kubeconfig), &test.namespace).await?;
    }
    let commit = write_folders(&test, &["a", "b", "c"])?;
    test.request("GitRepository/app").await?;
    for (name, connections, is_new) in [("a", 1.0, true), ("b", 1.0, false), ("c", 2.0, true)] {
        proxy.take_calls();
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), &there(name))).await?;
        test.applied(&format!("Kustomization/{name}"), &commit).await?;
        let id = format!("ConfigMap/{name}");
        until(&test, &far, &id, "applied", |seen| seen["data"]["value"] == "1").await?;
        ensure!(open(&test).await? == connections, "{name}: {} clusters are open", open(&test).await?);
        let asked = proxy.calls(|call| call.path == "/apis").len();
        ensure!((asked > 0) == is_new, "{name}: asked {asked} times for what there is");
    }
    // One who goes leaves the connection to the other.
    test.objects.delete(&test.id("Kustomization/a")?).await?;
    test.gone("Kustomization/a").await?;
    until(&test, &far, "ConfigMap/a", "deleted", Value::is_null).await?;
    far.patch(&test.id("ConfigMap/b")?, &json!({"data": {"value": "drifted"}})).await?;
    until(&test, &far, "ConfigMap/b", "repaired", |seen| seen["data"]["value"] == "1").await?;
    ensure!(open(&test).await? == 2.0);
    test.finish().await
}

#[tokio::test]
async fn a_cluster_beyond_the_limit_is_refused_until_another_one_is_closed() -> Result<()> {
    let test = Scenario::with_own_controllers("remote-limit", &["--remote-clusters-max=2"]).await?;
    let (test, far, _) = scenario(test, &[]).await?;
    let kubeconfig = fs::read_to_string(other().await?.kubeconfig(User::Admin))?;
    let names = ["a", "b", "c"];
    for name in names {
        let own = format!("# {name}\n{kubeconfig}");
        test.objects.apply_one(&kubeconfig_secret(name, &own), &test.namespace).await?;
    }
    let commit = write_folders(&test, &names)?;
    test.request("GitRepository/app").await?;
    for name in ["a", "b"] {
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), &there(name))).await?;
        test.applied(&format!("Kustomization/{name}"), &commit).await?;
    }
    test.apply(&test.kustomization_yaml("c", "./c", &there("c"))).await?;
    let message = "too many remote clusters are in use: 2 of 2 (--remote-clusters-max), and a namespace has a share of them";
    let failed = test.condition("Kustomization/c", "Ready", "False", "ReconciliationFailed", message).await?;
    ensure!(failed.message == message, "{}", failed.message);
    let told = format!("failed to build kube client: {message}");
    test.event("Kustomization/c", "Warning", "ReconciliationFailed", &told).await?;
    ensure!(open(&test).await? == 2.0 && far.get(&test.id("ConfigMap/c")?).await?.is_none());
    // Those that are connected go on.
    let commit = {
        test.repo.write("b/map.yaml", &config_map("b", "2"))?;
        test.repo.commit("another value")?
    };
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/b", &commit).await?;
    until(&test, &far, "ConfigMap/b", "applied", |seen| seen["data"]["value"] == "2").await?;

    // Nobody asks for the run that finds a place.
    test.objects.delete(&test.id("Kustomization/a")?).await?;
    test.gone("Kustomization/a").await?;
    test.applied("Kustomization/c", &commit).await?;
    until(&test, &far, "ConfigMap/c", "applied", |seen| seen["data"]["value"] == "1").await?;
    ensure!(open(&test).await? == 2.0);
    test.finish().await
}

#[tokio::test]
async fn without_its_kubeconfig_a_kustomization_stays_until_it_is_back_or_nothing_is_to_be_deleted()
-> Result<()> {
    let (test, far, _) = scenario(Scenario::new("remote-secret-gone").await?, &[]).await?;
    let names = ["back", "orphan"];
    for name in names {
        test.apply(&config_map(name, "local")).await?;
    }
    let kubeconfig = fs::read_to_string(other().await?.kubeconfig(User::Admin))?;
    let mut secret = kubeconfig_secret("unwatched", &kubeconfig);
    secret["metadata"]["labels"] = json!({});
    test.objects.apply_one(&secret, &test.namespace).await?;
    let commit = write_folders(&test, &names)?;
    test.request("GitRepository/app").await?;
    for name in names {
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), &there("unwatched"))).await?;
        test.applied(&format!("Kustomization/{name}"), &commit).await?;
    }
    // Nothing starts a run when it goes, so it is the deletion that tells.
    test.objects.delete(&test.id("Secret/unwatched")?).await?;
    let message = format!(
        "failed to build kube client: unable to read KubeConfig secret '{}/unwatched' error: secrets \"unwatched\" not found",
        test.namespace
    );
    for name in names {
        let id = format!("Kustomization/{name}");
        test.objects.delete(&test.id(&id)?).await?;
        test.event(&id, "Warning", "ReconciliationSucceeded", &message).await?;
    }
    let pair = test.pair()?;
    test.wait("the log tells why", async || {
        let log = pair.kustomize.log_text();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        match lines.filter(|line| line.text("/level") == "error" && line.text("/error") == message).count() {
            0 | 1 => Err(Not::Yet("not of both".into())),
            _ => Ok(()),
        }
    })
    .await?;
    let far_is_there =
        async |name: &str| anyhow::Ok(far.get(&test.id(&format!("ConfigMap/{name}"))?).await?.is_some());
    for name in names {
        ensure!(test.exists(&format!("Kustomization/{name}")).await? && far_is_there(name).await?);
    }

    test.patch("Kustomization/orphan", &json!({"spec": {"deletionPolicy": "Orphan"}})).await?;
    test.gone("Kustomization/orphan").await?;
    ensure!(far_is_there("orphan").await?);
    test.objects.apply_one(&secret, &test.namespace).await?;
    test.gone("Kustomization/back").await?;
    until(&test, &far, "ConfigMap/back", "deleted", Value::is_null).await?;
    for name in names {
        let local =
            test.get(&format!("ConfigMap/{name}")).await.context("those of this cluster are others")?;
        ensure!(local["data"]["value"] == "local", "{local}");
    }
    test.finish().await
}
