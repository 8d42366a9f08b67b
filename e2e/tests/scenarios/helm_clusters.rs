//! `spec.kubeConfig` of HelmReleases: a release in another cluster, with all that is stored of it, and its end.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::cluster::User;
use e2e::objects::{Look, Objects};
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};
use crate::remote_access::unverified;
use crate::remote_clusters::{kubeconfig_secret, other, until};

const STORED: &str = "Secret/sh.helm.release.v1.app.v1";

/// A test with a namespace of the same name in the other cluster, whose kubeconfig is Secret `other`, and a chart.
async fn beside(name: &str, templates: &[(&str, &str)]) -> Result<(Helm, Objects, String)> {
    prepare(Helm::shared(name).await?, templates).await
}

async fn prepare(helm: Helm, templates: &[(&str, &str)]) -> Result<(Helm, Objects, String)> {
    let there = other().await?.objects().await?;
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": helm.test.namespace}});
    there.apply_one(&namespace, "").await?;
    let kubeconfig = fs::read_to_string(other().await?.kubeconfig(User::Admin))?;
    helm.test.objects.apply_one(&kubeconfig_secret("other", &kubeconfig), &helm.test.namespace).await?;
    helm.commit_chart("1.0.0", templates)?;
    helm.test.apply_source().await?;
    Ok((helm, there, kubeconfig))
}

fn there_by_secret(more: Value) -> Value {
    let mut spec = more;
    spec["kubeConfig"] = json!({"secretRef": {"name": "other"}});
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_lives_in_the_other_cluster_and_outlasts_a_time_without_it() -> Result<()> {
    // What the chart looks up is looked up there.
    let looking = "{{ $found := lookup \"v1\" \"ConfigMap\" .Release.Namespace \"found\" }}\napiVersion: v1\nkind: ConfigMap\n\
                   metadata: {name: looked}\ndata: {text: \"{{ dig \"data\" \"text\" \"nothing\" $found }}\"}\n";
    let (helm, there, kubeconfig) =
        beside("helm-remote", &[("map.yaml", MAP), ("looked.yaml", looking)]).await?;
    let test = &helm.test;
    let found = |text: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "found"}, "data": {"text": text}});
    test.objects.apply_one(&found("here"), &test.namespace).await?;
    there.apply_one(&found("there"), &test.namespace).await?;
    helm.release(&there_by_secret(json!({"driftDetection": {"mode": "enabled"}}))).await?;
    helm.ready("Helm install succeeded").await?;
    let seen = async |name: &str| there.get(&test.id(name)?).await;
    ensure!(seen("ConfigMap/looked").await?.context("applied")?.text("/data/text") == "there");
    ensure!(seen(STORED).await?.is_some(), "revisions are stored where the release is");
    ensure!(!test.exists("ConfigMap/app-map").await? && !test.exists(STORED).await?);
    there.patch(&test.id("ConfigMap/app-map")?, &json!({"data": {"text": "drifted"}})).await?;
    test.run(RELEASE).await?;
    until(test, &there, "ConfigMap/app-map", "set back", |map| map.text("/data/text") == "default").await?;

    // Nobody listens there for a while.
    let server = kubeconfig.lines().find_map(|line| line.split_once("server: ")).context("no server")?.1;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let dead = kubeconfig.replace(server, &format!("https://127.0.0.1:{port}"));
    test.objects.apply_one(&kubeconfig_secret("other", &dead), &test.namespace).await?;
    let text =
        format!("Failed to build REST client: the API server https://127.0.0.1:{port}/ does not answer");
    let release = helm.says("Ready", "False", "RESTClientError", &text).await?;
    ensure!(release.number("/status/history/0/version") == 1, "{release}");
    // Its end waits until it can be uninstalled.
    test.objects.delete(&test.id(RELEASE)?).await?;
    let text = format!(
        "failed to build REST client getter to uninstall release: the API server https://127.0.0.1:{port}/ does not answer"
    );
    helm.says("Ready", "False", "UninstallFailed", &text).await?;
    test.event(RELEASE, "Warning", "UninstallFailed", &text).await?;
    ensure!(test.exists(RELEASE).await? && seen("ConfigMap/app-map").await?.is_some());
    test.objects.apply_one(&kubeconfig_secret("other", &kubeconfig), &test.namespace).await?;
    test.gone(RELEASE).await?;
    until(test, &there, "ConfigMap/app-map", "deleted", Value::is_null).await?;
    until(test, &there, STORED, "deleted", Value::is_null).await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_kubeconfig_a_release_is_left_behind() -> Result<()> {
    let (helm, there, kubeconfig) = beside("helm-left", &[("map.yaml", MAP)]).await?;
    let test = &helm.test;
    helm.release(&json!({"kubeConfig": {"secretRef": {"name": "later"}}})).await?;
    let text = format!(
        "unable to read KubeConfig secret '{}/later' error: secrets \"later\" not found",
        test.namespace
    );
    helm.says("Ready", "False", "RESTClientError", &text).await?;
    test.objects.apply_one(&kubeconfig_secret("later", &kubeconfig), &test.namespace).await?;
    helm.ready("Helm install succeeded").await?;
    test.objects.delete(&test.id("Secret/later")?).await?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(
        there.get(&test.id("ConfigMap/app-map")?).await?.is_some()
            && there.get(&test.id(STORED)?).await?.is_some()
    );
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_another_cluster_a_release_acts_as_the_account_that_it_names() -> Result<()> {
    let (helm, there, _) = beside("helm-remote-as", &[("map.yaml", MAP)]).await?;
    let test = &helm.test;
    helm.release(&there_by_secret(json!({"serviceAccountName": "tenant"}))).await?;
    let user = format!("system:serviceaccount:{}:tenant", test.namespace);
    let text = format!("User \"{user}\" cannot list resource \"secrets\"");
    helm.says("Ready", "False", "StateError", &text).await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    there.apply_one(&binding, &test.namespace).await?;
    test.request(RELEASE).await?;
    helm.ready("Helm install succeeded").await?;
    ensure!(there.get(&test.id("ConfigMap/app-map")?).await?.is_some());
    // That there is no such account here is no reason to leave the release behind.
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    until(test, &there, "ConfigMap/app-map", "deleted", Value::is_null).await?;
    until(test, &there, STORED, "deleted", Value::is_null).await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_made_with_the_tokens_of_a_service_account() -> Result<()> {
    let helm = Helm::shared("helm-token").await?;
    let test = &helm.test;
    // The cluster that knows these accounts is this one.
    let mut access = test.cluster.access("access")?;
    access["data"]["serviceAccountName"] = "deployer".into();
    test.apply(&access.to_string()).await?;
    helm.begin(&[("map.yaml", MAP)], &json!({"kubeConfig": {"configMapRef": {"name": "access"}}})).await?;
    let text = format!(
        "failed to get service account '{}/deployer': serviceaccounts \"deployer\" not found",
        test.namespace
    );
    helm.says("Ready", "False", "RESTClientError", &text).await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "deployer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": test.namespace}],
    });
    test.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: deployer}\n").await?;
    test.request(RELEASE).await?;
    helm.says("Ready", "False", "StateError", "is forbidden: User \"system:serviceaccount:").await?;
    test.apply(&binding.to_string()).await?;
    test.request(RELEASE).await?;
    helm.ready("Helm install succeeded").await?;
    ensure!(helm.text().await? == "default" && helm.statuses("app")? == ["deployed"]);
    // Without the ConfigMap or the account nobody can uninstall it.
    test.objects.delete(&test.id("ServiceAccount/deployer")?).await?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(helm.text().await? == "default" && helm.statuses("app")? == ["deployed"]);
    test.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: deployer}\n").await?;
    helm.release(&json!({"kubeConfig": {"configMapRef": {"name": "access"}}})).await?;
    helm.ready("Helm upgrade succeeded").await?;
    test.objects.delete(&test.id("ConfigMap/access")?).await?;
    test.objects.delete(&test.id(RELEASE)?).await?;
    test.gone(RELEASE).await?;
    ensure!(helm.statuses("app")? == ["superseded", "deployed"]);
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_verified_unless_the_operator_lets_kubeconfigs_say_otherwise() -> Result<()> {
    let kubeconfig = unverified().await?;
    for (name, flags) in [("helm-tls", &[][..]), ("helm-no-tls", &["--insecure-kubeconfig-tls"])] {
        let helm = Helm::new(name, flags).await?;
        let (helm, there, _) = prepare(helm, &[("map.yaml", MAP)]).await?;
        let test = &helm.test;
        test.objects.apply_one(&kubeconfig_secret("other", &kubeconfig), &test.namespace).await?;
        helm.release(&there_by_secret(json!({}))).await?;
        if flags.is_empty() {
            let text = "invalid peer certificate: UnknownIssuer";
            test.until(RELEASE, "is refused", |release| {
                release
                    .condition("Ready")
                    .is_some_and(|ready| ready.status == "False" && ready.message.contains(text))
            })
            .await?;
            ensure!(there.get(&test.id("ConfigMap/app-map")?).await?.is_none());
        } else {
            helm.ready("Helm install succeeded").await?;
            ensure!(there.get(&test.id("ConfigMap/app-map")?).await?.is_some());
        }
        helm.test.finish().await?;
    }
    Ok(())
}
