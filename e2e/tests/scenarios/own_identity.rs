//! The identity of kustomize-controller itself: the service account whose token Pods find in their files.

use anyhow::{Context, Result, ensure};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::config_map;
use serde_json::{Value, json};

use crate::cloud_keys::claims;
use crate::decryption::{in_vault, value};
use crate::remote_clusters::open;

const ACCOUNT: &str = "system:serviceaccount:flux-system:kustomize-controller";

/// A test whose kustomize-controller has a token of its service account for this audience.
async fn with_token(name: &str, audience: &str, flags: &[&str]) -> Result<Scenario> {
    let mut test = Scenario::with_own_controllers(name, &[]).await?;
    let audience = format!("--audience={audience}");
    let token = test.kubectl(&["create", "token", "kustomize-controller", "-n", "flux-system", &audience])?;
    let token = token.trim().to_owned();
    ensure!(claims(&token)?.text("/sub") == ACCOUNT);
    let selector = test.selector();
    let flags = [&[selector.as_str()], flags].concat();
    let user = User::KustomizeController;
    test.own()?.kustomize = Controller::start_with_token(test.cluster, user, &token, &flags).await?;
    Ok(test)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_gets_a_token_of_the_controller_if_its_operator_lists_it() -> Result<()> {
    let (document, vault) = in_vault().await?;
    let config_map = format!("own-vaults-{:05x}", rand::random_range(0..0x10_0000));
    let flag = format!("--sops-vault-configmap={config_map}");
    let test = with_token("own-vault", "https://local.example", &[&flag]).await?;
    let mut config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": config_map}, "data": {
        "config.yaml": "instances:\n- address: https://elsewhere.example\n  loginPath: auth/cluster/login\n"}});
    let commit = test.repo.commit_file("app/secret.yaml", &document)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  decryption: {provider: sops}\n")).await?;
    let failed = async |message: &str| {
        test.condition("Kustomization/app", "Ready", "False", "BuildFailed", message).await.map(drop)
    };
    failed("failed to get Vault ConfigMap").await?;
    let without = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": config_map}, "data": {"other": "1"}});
    test.objects.apply_one(&without, "flux-system").await?;
    failed("'config.yaml'").await?;
    test.objects.apply_one(&config, "flux-system").await?;
    let message = "no Vault login path configured for address";
    failed(message).await?;
    ensure!(vault.take_requests().is_empty(), "a Vault that a tenant names gets no token");

    let list = |address: &str| format!("instances:\n- address: {address}\n  loginPath: auth/cluster/login\n");
    config["data"]["config.yaml"] = list(&vault.url).into();
    test.objects.apply_one(&config, "flux-system").await?;
    test.applied("Kustomization/app", &commit).await?;
    ensure!(value(&test, "secret", "value").await? == "hunter2");
    let asked = vault.take_requests();
    let [(line, login), (_, unwrap)] = &asked[..] else { anyhow::bail!("{asked:?}") };
    ensure!(line == "POST /v1/auth/cluster/login" && unwrap.contains("vault:v1:wrapped"), "{asked:?}");
    let login: Value = serde_json::from_str(login)?;
    let claims = claims(login.text("/jwt"))?;
    ensure!(login.text("/role") == "flux-system_kustomize-controller", "{login}");
    ensure!(claims.text("/sub") == ACCOUNT && claims["aud"] == json!([vault.url]), "{claims}");
    let labels = [
        "event_type=\"cache_miss\"",
        "operation=\"decrypt_with_transit_engine\"",
        &format!("namespace=\"{}\"", test.namespace),
    ];
    let misses = test.pair()?.kustomize.metric("gotk_token_cache_events_total", &labels).await?;
    ensure!(misses == 1.0, "{misses}");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_gets_a_token_of_the_controller_but_never_one_that_is_good_for_its_own() -> Result<()> {
    const LOCAL: &str = "https://local.example";
    let test = with_token("own-cluster", LOCAL, &[]).await?;
    let commit = test.repo.commit_file("app/a.yaml", &config_map("a", "1"))?;
    test.apply_source().await?;
    test.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: tenant}\n").await?;
    let mut access = test.cluster.access("access")?;
    access["metadata"]["labels"] = json!({"reconcile.fluxcd.io/watch": "Enabled"});
    access["data"]["audiences"] = LOCAL.into();
    test.objects.apply_one(&access, &test.namespace).await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  kubeConfig: {configMapRef: {name: access}}\n"))
        .await?;
    let audit = test.cluster.audit().context("no audit log")?;
    let asked = |namespace: &str, name: &str| {
        let requests = audit.all_requests(User::KustomizeController)?;
        anyhow::Ok(requests.iter().any(|request| {
            (&*request.resource, &*request.namespace, &*request.name)
                == ("serviceaccounts/token", namespace, name)
        }))
    };
    let refused = format!(
        "failed to get access credential for cluster: audience '{LOCAL}' is not allowed as it is intended for the local kubernetes \
         cluster"
    );
    let failed = async || {
        test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", &refused).await
    };
    failed().await?;
    // Nor one of a tenant's account, wherever the audience stands.
    access["data"]["serviceAccountName"] = "tenant".into();
    test.objects.apply_one(&access, &test.namespace).await?;
    test.run("Kustomization/app").await?;
    failed().await?;
    access["data"].as_object_mut().context("data")?.remove("audiences");
    test.objects.apply_one(&access, &test.namespace).await?;
    let annotation =
        json!({"metadata": {"annotations": {"credential.auth.fluxcd.io/audiences": format!("a, {LOCAL}")}}});
    test.patch("ServiceAccount/tenant", &annotation).await?;
    test.run("Kustomization/app").await?;
    failed().await?;
    ensure!(!asked("flux-system", "kustomize-controller")? && !asked(&test.namespace, "tenant")?);

    // What this API server takes is what the other cluster takes here: they are one.
    access["data"].as_object_mut().context("data")?.remove("serviceAccountName");
    access["data"]["audiences"] = "https://kubernetes.default.svc".into();
    test.objects.apply_one(&access, &test.namespace).await?;
    test.applied("Kustomization/app", &commit).await?;
    ensure!(test.get("ConfigMap/a").await?.text("/data/value") == "1");
    ensure!(asked("flux-system", "kustomize-controller")? && !asked(&test.namespace, "tenant")?);
    ensure!(open(&test).await? == 1.0);
    test.finish().await
}
