//! The right to make tokens of service accounts, which no controller has unless `config/rbac/workload-identity` gives it.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::cluster::User;
use e2e::git_server::GitServer;
use e2e::objects::Look;
use e2e::scenario::{Scenario, Settings};
use e2e::testkit::config_map;
use e2e::token_server::TokenServer;
use serde_json::{Value, json};

use crate::decryption::{in_vault, value};

const SOURCE: &str = "GitRepository/app";

/// The API server's words for a right that a controller lacks.
fn forbidden(test: &Scenario, account: &str, user: User, verb: &str, resource: &str) -> String {
    format!(
        "serviceaccounts \"{account}\" is forbidden: User \"{}\" cannot {verb} resource \"{resource}\" in API group \"\" in the \
         namespace \"{}\"",
        user.identity(),
        test.namespace
    )
}

/// Gives a ClusterRole to source-controller in the namespace of the test.
pub async fn bind(test: &Scenario, role: &str) -> Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "source-controller", "namespace": "flux-system"}],
    });
    test.apply(&binding.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_says_which_right_is_missing_and_is_fetched_once_it_is_given() -> Result<()> {
    let answer = r#"{"access_token": "entra", "expires_in": 3600, "token_type": "Bearer"}"#;
    let entra = TokenServer::start(false, &[("POST /tenant/oauth2/v2.0/token", 200, answer)]).await?;
    let settings = Settings {
        source: &["--azure-devops-hosts=127.0.0.1"],
        environment: &[("AZURE_AUTHORITY_HOST", &entra.url)],
        ..Settings::default()
    };
    let test = Scenario::with_settings("source-tokens", settings).await?;
    let git = GitServer::start_tls().await?;
    let commit = git.create("app")?.commit_file("a.txt", "one")?;
    git.set_authorization(Some("Bearer entra"));
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"}, "stringData": {"ca.crt": git.ca_pem()}});
    test.apply(&secret.to_string()).await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "me", "annotations": {
        "azure.workload.identity/tenant-id": "tenant", "azure.workload.identity/client-id": "client"}}});
    test.apply(&account.to_string()).await?;
    let more = "  provider: azure\n  serviceAccountName: me\n  secretRef: {name: git}";
    test.apply(&test.source_yaml("1h", more).replace(&test.git.url("app"), &git.url("app"))).await?;
    let failed = async |what: &str, verb: &str, resource: &str| {
        let text = forbidden(&test, "me", User::SourceController, verb, resource);
        let text = format!("failed to {what} service account '{}/me': {text}", test.namespace);
        test.condition(SOURCE, "FetchFailed", "True", "AuthenticationFailed", &text).await
    };
    failed("get", "get", "serviceaccounts").await?;

    // Who may read the account may not act as it.
    let role = "source-tokens-reader";
    let reader = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": role},
        "rules": [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]}]});
    test.apply(&reader.to_string()).await?;
    bind(&test, role).await?;
    failed("create kubernetes token for", "create", "serviceaccounts/token").await?;
    ensure!(entra.take_requests().is_empty(), "without a token there is nothing to ask for");

    let role = fs::read_to_string(e2e::workspace().join("config/rbac/workload-identity/role.yaml"))?;
    test.apply(&role).await?;
    bind(&test, "flux-object-identity-flux-system").await?;
    let object = test.ready(SOURCE).await?;
    assert_eq!(object.text("/status/artifact/revision"), format!("main@sha1:{commit}"));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_says_that_the_right_is_missing_and_is_applied_once_it_is_given() -> Result<()> {
    let test = Scenario::with_own_cluster("kustomization-tokens").await?;
    // With it the controller may do all.
    test.kubectl(&["delete", "clusterrolebinding", "cluster-reconciler-flux-system"])?;
    let (document, vault) = in_vault().await?;
    test.repo.write("decrypted/secret.yaml", &document)?;
    test.repo.write("remote/a.yaml", &config_map("a", "1"))?;
    let commit = test.repo.commit("start")?;
    let account = |name: &str, annotations: Value| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "annotations": annotations}});
    let login = json!({"transit-engine.auth.fluxcd.io/login-path": "auth/cluster/login", "transit-engine.auth.fluxcd.io/role": "team"});
    for (name, annotations) in [("tenant", json!({})), ("decryptor", login)] {
        test.apply(&account(name, annotations).to_string()).await?;
    }
    let account = format!("--serviceaccount={}:tenant", test.namespace);
    test.kubectl(&["create", "rolebinding", "tenant", "--clusterrole=admin", &account])?;
    // The other cluster is this one.
    let mut access = test.cluster.access("access")?;
    access["data"]["serviceAccountName"] = "tenant".into();
    test.apply(&access.to_string()).await?;
    test.apply_source().await?;
    let decryption =
        "  serviceAccountName: tenant\n  decryption: {provider: sops, serviceAccountName: decryptor}\n";
    test.apply(&test.kustomization_yaml("decrypted", "./decrypted", decryption)).await?;
    let remote = "  kubeConfig: {configMapRef: {name: access}}\n";
    test.apply(&test.kustomization_yaml("remote", "./remote", remote)).await?;
    for (name, account, reason, what) in [
        (
            "decrypted",
            "decryptor",
            "BuildFailed",
            "failed to issue Kubernetes credential for Vault authentication",
        ),
        ("remote", "tenant", "ReconciliationFailed", "failed to get access credential for cluster"),
    ] {
        let text = forbidden(&test, account, User::KustomizeController, "create", "serviceaccounts/token");
        let text = format!(
            "{what}: failed to create kubernetes token for service account '{}/{account}': {text}",
            test.namespace
        );
        // A report on keys folds long lines.
        let id = format!("Kustomization/{name}");
        let failed = test.until(&id, "has failed", |object| {
            object.condition("Ready").is_some_and(|ready| ready.status == "False" && ready.reason == reason)
        });
        let message = failed.await?.condition("Ready").unwrap_or_default().message;
        let unfolded = message.replace("\n", " ").replace("|", " ");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(words(&unfolded).contains(&words(&text)), "{message}");
    }
    ensure!(vault.take_requests().is_empty(), "without a token there is no login");

    let optional = e2e::workspace().join("config/rbac/workload-identity");
    test.kubectl(&["apply", "--server-side", "-k", optional.to_str().context("no path")?])?;
    for name in ["decrypted", "remote"] {
        test.applied(&format!("Kustomization/{name}"), &commit).await?;
    }
    assert_eq!(value(&test, "secret", "value").await?, "hunter2");
    assert_eq!(test.get("ConfigMap/a").await?.text("/data/value"), "1");
    Ok(())
}
