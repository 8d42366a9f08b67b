//! Other clusters: how far their servers are trusted, and the health of what is there.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::cluster::User;
use e2e::process::temp_folder;
use e2e::scenario::Scenario;
use e2e::testkit::config_map;
use serde_json::{Value, json};

use crate::remote_clusters::{THERE, kubeconfig_secret, other, scenario, until};

const APP: &str = "Kustomization/app";

/// The kubeconfig of the other cluster without its authority, and with the wish not to verify the server.
pub async fn unverified() -> Result<String> {
    let good = fs::read_to_string(other().await?.kubeconfig(User::Admin))?;
    let lines = good.lines().map(|line| match line.split_once("certificate-authority-data:") {
        Some((indent, _)) => format!("{indent}insecure-skip-tls-verify: true"),
        None => line.to_owned(),
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    ensure!(text.contains("insecure-skip-tls-verify"), "no authority in {good}");
    Ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_verified_unless_the_operator_lets_kubeconfigs_say_otherwise() -> Result<()> {
    let kubeconfig = unverified().await?;
    for (name, flags) in [("remote-tls", &[][..]), ("remote-no-tls", &["--insecure-kubeconfig-tls"])] {
        let test = Scenario::with_own_controllers(name, flags).await?;
        let (test, there, commit) = scenario(test, &[("a.yaml", config_map("a", "1"))]).await?;
        test.objects.apply_one(&kubeconfig_secret("other", &kubeconfig), &test.namespace).await?;
        test.apply(&test.kustomization_yaml("app", "./app", THERE)).await?;
        if flags.is_empty() {
            let text = "invalid peer certificate: UnknownIssuer";
            test.condition(APP, "Ready", "False", "ReconciliationFailed", text).await?;
            ensure!(there.get(&test.id("ConfigMap/a")?).await?.is_none());
        } else {
            test.applied(APP, &commit).await?;
            until(&test, &there, "ConfigMap/a", "applied", |seen| seen["data"]["value"] == "1").await?;
        }
        test.finish().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_runs_no_program_whatever_its_user_is_called() -> Result<()> {
    let files = [("a.yaml", config_map("a", "1"))];
    let (test, there, commit) = scenario(Scenario::new("remote-exec").await?, &files).await?;
    let folder = temp_folder("exec")?;
    let ran = folder.path().join("ran");
    let good: Value = serde_yaml::from_str(&fs::read_to_string(other().await?.kubeconfig(User::Admin))?)?;
    let kubeconfig = |token: bool| {
        let mut config = good.clone();
        let user = &mut config["users"][0];
        user["name"] = "".into();
        user["user"]["exec"] = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": "/usr/bin/touch", "args": [ran],
        });
        if !token {
            user["user"].as_object_mut().context("a user")?.remove("token");
        }
        config["contexts"][0]["context"]["user"] = "".into();
        Ok::<_, anyhow::Error>(config.to_string())
    };
    test.objects.apply_one(&kubeconfig_secret("other", &kubeconfig(false)?), &test.namespace).await?;
    test.apply(&test.kustomization_yaml("app", "./app", THERE)).await?;
    let text = "user '' has no credentials but the program of user.exec, which is not supported";
    test.condition(APP, "Ready", "False", "ReconciliationFailed", text).await?;
    test.objects.apply_one(&kubeconfig_secret("other", &kubeconfig(true)?), &test.namespace).await?;
    test.request(APP).await?;
    test.applied(APP, &commit).await?;
    until(&test, &there, "ConfigMap/a", "applied", |seen| seen["data"]["value"] == "1").await?;
    ensure!(!ran.exists(), "the program ran");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_another_cluster_have_a_limit() -> Result<()> {
    let test = Scenario::with_own_controllers("remote-answer", &["--remote-answer-max-size=1000"]).await?;
    let (test, _, _) = scenario(test, &[("a.yaml", config_map("a", "1"))]).await?;
    let kubeconfig = fs::read_to_string(other().await?.kubeconfig(User::Admin))?;
    test.objects.apply_one(&kubeconfig_secret("other", &kubeconfig), &test.namespace).await?;
    test.apply(&test.kustomization_yaml("app", "./app", THERE)).await?;
    let text = "the answer of the API server has more than 1000 bytes";
    test.condition(APP, "Ready", "False", "ReconciliationFailed", text).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn health_in_the_other_cluster_is_seen_when_it_changes() -> Result<()> {
    let files = [("a.yaml", config_map("a", "1"))];
    let (test, there, commit) = scenario(Scenario::new("remote-health").await?, &files).await?;
    // One of the same name in this cluster tells nothing.
    test.apply(&config_map("gate", "open")).await?;
    there.apply(&config_map("gate", "closed"), &test.namespace).await?;
    let gate = test.id("ConfigMap/gate")?;
    let set = async |value: &str| there.patch(&gate, &json!({"data": {"value": value}})).await.map(drop);
    let spec = format!(
        "{THERE}  timeout: 1h\n  healthChecks: [{{apiVersion: v1, kind: ConfigMap, name: gate, namespace: {}}}]\n  \
         healthCheckExprs:\n  - {{apiVersion: v1, kind: ConfigMap, current: \"data.value == 'open' || data.value == '1'\", \
         failed: \"data.value == 'broken'\"}}\n",
        test.namespace
    );
    test.apply(&test.kustomization_yaml("app", "./app", &spec)).await?;
    until(&test, &there, "ConfigMap/a", "applied", |seen| !seen.is_null()).await?;
    test.until(APP, "waits", |app| app.to_string().contains("Running health checks")).await?;
    // Nothing but the watch of the other cluster ends this wait before the hour is over.
    set("open").await?;
    test.applied(APP, &commit).await?;
    set("broken").await?;
    test.request(APP).await?;
    let text = format!("[ConfigMap/{}/gate status: 'Failed']", test.namespace);
    test.condition(APP, "Ready", "False", "HealthCheckFailed", &text).await?;
    set("open").await?;
    test.applied(APP, &commit).await?;
    until(&test, &there, "ConfigMap/gate", "left to its owner", |seen: &Value| {
        seen["metadata"]["labels"].is_null()
    })
    .await?;
    test.finish().await
}
