//! `spec.kubeConfig`: objects in another cluster, by the rights of its kubeconfig or of an identity at a cloud.

use std::fs;

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use e2e::api_proxy::ApiProxy;
use e2e::cluster::{Cluster, User};
use e2e::document;
use e2e::objects::Objects;
use e2e::scenario::{LIMIT, Scenario, Settings};
use e2e::testkit::{config_map, deployment};
use e2e::token_server::TokenServer;
use e2e::wait::{self, Not, not_yet};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// The other cluster of these tests, without anything of ours in it.
pub async fn other() -> Result<&'static Cluster> {
    static OTHER: OnceCell<Cluster> = OnceCell::const_new();
    OTHER.get_or_try_init(Cluster::start).await
}

/// Its kubeconfig in a Secret, with the label by which changes are noticed.
pub fn kubeconfig_secret(name: &str, kubeconfig: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "labels": {"reconcile.fluxcd.io/watch": "Enabled"}},
        "stringData": {"value": kubeconfig},
    })
}

/// A scenario with a namespace of the same name in the other cluster, whose kubeconfig is the Secret `other`, and the files of `app`
/// committed.
pub async fn scenario(test: Scenario, files: &[(&str, String)]) -> Result<(Scenario, Objects, String)> {
    let other = other().await?;
    let objects = other.objects().await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": test.namespace}});
    objects.apply_one(&namespace, "").await?;
    let kubeconfig = fs::read_to_string(other.kubeconfig(User::Admin))?;
    test.objects.apply_one(&kubeconfig_secret("other", &kubeconfig), &test.namespace).await?;
    for (file, text) in files {
        test.repo.write(&format!("app/{file}"), text)?;
    }
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    Ok((test, objects, commit))
}

/// A Kustomization for the other cluster, as lines of its spec.
pub const THERE: &str = "  kubeConfig: {secretRef: {name: other}}\n";

/// Waits until an object of the other cluster is as wanted, `null` if it is not there.
pub async fn until(
    test: &Scenario,
    there: &Objects,
    text: &str,
    what: &str,
    is: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let id = test.id(text)?;
    wait::until(LIMIT, async || {
        let seen = there.get(&id).await.map_err(not_yet)?.unwrap_or_default();
        if is(&seen) { Ok(seen) } else { Err(Not::Yet(format!("{text} {what}: {seen}"))) }
    })
    .await
}

/// How many other clusters the controller is connected to.
pub async fn open(test: &Scenario) -> Result<f64> {
    test.pair()?.kustomize.metric("gotk_budget", &["state=\"used\"", "work=\"remote_clusters\""]).await
}

#[tokio::test]
async fn objects_live_in_the_cluster_of_the_kubeconfig() -> Result<()> {
    let test = Scenario::with_own_controllers("remote-live", &[]).await?;
    let files = [("a.yaml", config_map("a", "1")), ("d.yaml", deployment("web", 0))];
    let (test, there, commit) = scenario(test, &files).await?;
    // One of the same name that is none of the Kustomization's business.
    test.apply(&config_map("a", "local")).await?;
    test.apply(&test.kustomization_yaml("app", "./app", &format!("{THERE}  wait: true\n"))).await?;
    test.applied("Kustomization/app", &commit).await?;
    let here = async || anyhow::Ok(test.get("ConfigMap/a").await?["data"]["value"].clone());
    ensure!(here().await? == "local" && !test.exists("Deployment/web").await?);

    // Drift is repaired because the other API server tells of it: the interval is an hour.
    let a = test.id("ConfigMap/a")?;
    there.patch(&a, &json!({"data": {"value": "drifted"}})).await?;
    until(&test, &there, "ConfigMap/a", "repaired", |seen| seen["data"]["value"] == "1").await?;
    // One that goes while a run waits for it is waited for.
    test.ready("Kustomization/app").await?;
    test.idle().await?;
    there.delete(&a).await?;
    until(&test, &there, "ConfigMap/a", "made anew", |seen| seen["data"]["value"] == "1").await?;

    test.repo.write("app/d.yaml", "")?;
    test.repo.write("app/a.yaml", &config_map("a", "2"))?;
    let commit = test.repo.commit("one object less")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    until(&test, &there, "Deployment/web", "pruned", Value::is_null).await?;
    ensure!(open(&test).await? == 1.0, "one cluster is open");

    test.objects.delete(&test.id("Kustomization/app")?).await?;
    test.gone("Kustomization/app").await?;
    until(&test, &there, "ConfigMap/a", "deleted", Value::is_null).await?;
    ensure!(here().await? == "local");
    test.wait("the connection closed", async || match open(&test).await.map_err(not_yet)? {
        0.0 => Ok(()),
        left => Err(Not::Yet(format!("{left} clusters are open"))),
    })
    .await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_works_as_it_is_written() -> Result<()> {
    const GUIDE: &str = "docs/clusters.md";
    const HEADING: &str = "A kubeconfig in a Secret";
    let test = Scenario::new("remote-guide").await?;
    let (test, there, _) = scenario(test, &[("a.yaml", config_map("a", "1"))]).await?;
    let folder = tempfile::tempdir()?;
    fs::copy(other().await?.kubeconfig(User::Admin), folder.path().join("staging.kubeconfig"))?;
    let kubectl = test.cluster.kubectl();
    let path = document::search_path(&[kubectl.get_program().as_ref()])?;
    let environment =
        [("PATH", path.as_os_str()), ("KUBECONFIG", test.cluster.kubeconfig(User::Admin).as_os_str())];
    let mut said = String::new();
    for (number, commands) in document::commands(GUIDE, HEADING)?.iter().enumerate() {
        if number == 1 {
            test.apply(&document::file(GUIDE, HEADING)?.replace("fleet", &test.namespace)).await?;
        }
        let commands = commands.replace("-n fleet", &format!("-n {}", test.namespace));
        let environment = environment.map(|(name, value)| (name, value.to_owned()));
        let folder = folder.path().to_owned();
        let run = move || {
            let environment: Vec<_> =
                environment.iter().map(|(name, value)| (*name, value.as_os_str())).collect();
            document::run(&commands, &folder, &environment)
        };
        said = tokio::task::spawn_blocking(run).await??;
    }
    ensure!(said.contains("Applied revision"), "{said}");
    until(&test, &there, "ConfigMap/a", "applied", |seen| seen["data"]["value"] == "1").await?;
    ensure!(document::headings_with_commands(GUIDE)? == [HEADING]);
    test.finish().await
}

#[tokio::test]
async fn a_kubeconfig_that_is_missing_or_of_no_use_is_named() -> Result<()> {
    let (test, there, commit) =
        scenario(Scenario::new("remote-kubeconfig").await?, &[("a.yaml", config_map("a", "1"))]).await?;
    let namespace = test.namespace.clone();
    let kube_config = |secret: &str| format!("  kubeConfig: {{secretRef: {secret}}}\n");
    test.apply(&test.kustomization_yaml("app", "./app", &kube_config("{name: later}"))).await?;
    let failed = async |message: &str| {
        test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", message).await
    };
    let missing =
        format!("unable to read KubeConfig secret '{namespace}/later' error: secrets \"later\" not found");
    failed(&missing).await?;
    test.event(
        "Kustomization/app",
        "Warning",
        "ReconciliationFailed",
        &format!("failed to build kube client: {missing}"),
    )
    .await?;

    let good = fs::read_to_string(other().await?.kubeconfig(User::Admin))?;
    let replace = async |kubeconfig: &str| {
        test.objects.apply_one(&kubeconfig_secret("later", kubeconfig), &namespace).await.map(drop)
    };
    // The Secret has the label: nobody waits for the retry interval.
    for (kubeconfig, message) in [
        ("a: [", "it cannot be parsed"),
        (
            "users: [{name: u, user: {tokenFile: /etc/token}}]",
            "user 'u' references a tokenFile, only an inline token is supported",
        ),
        ("kind: Config", "current-context is not set"),
    ] {
        replace(kubeconfig).await?;
        failed(&format!("invalid KubeConfig in secret '{namespace}/later': {message}")).await?;
    }
    replace(&good.replace("token: ", "token: not-")).await?;
    failed("does not accept the credentials: Unauthorized").await?;
    replace(&good).await?;
    test.applied("Kustomization/app", &commit).await?;
    until(&test, &there, "ConfigMap/a", "applied", |seen| seen["data"]["value"] == "1").await?;

    test.apply(&test.kustomization_yaml("app", "./app", &kube_config("{name: other, key: nope}"))).await?;
    failed(&format!("KubeConfig secret '{namespace}/other' does not contain a 'nope' key with a kubeconfig"))
        .await?;
    let elsewhere = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "elsewhere"}, "stringData": {"config": good}});
    test.objects.apply_one(&elsewhere, &namespace).await?;
    test.apply(&test.kustomization_yaml("app", "./app", &kube_config("{name: elsewhere}"))).await?;
    failed(&format!(
        "KubeConfig secret '{namespace}/elsewhere' does not contain a 'value' key with a kubeconfig"
    ))
    .await?;
    // Without `key` it may stand in `value.yaml`, with it anywhere.
    for (secret, entry, reference) in [
        ("yaml", "value.yaml", "{name: yaml}"),
        ("named", "staging.kubeconfig", "{name: named, key: staging.kubeconfig}"),
    ] {
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "stringData": {entry: good}});
        test.objects.apply_one(&kubeconfig, &namespace).await?;
        there.delete(&test.id("ConfigMap/a")?).await?;
        test.apply(&test.kustomization_yaml("app", "./app", &kube_config(reference))).await?;
        test.ready("Kustomization/app").await?;
        until(&test, &there, "ConfigMap/a", "made anew", |seen| seen["data"]["value"] == "1").await?;
    }
    test.finish().await
}

#[tokio::test]
async fn an_account_is_impersonated_in_the_other_cluster() -> Result<()> {
    let test =
        Scenario::with_own_controllers("remote-account", &["--default-service-account=tenant"]).await?;
    let (test, there, commit) = scenario(test, &[("a.yaml", config_map("a", "1"))]).await?;
    test.apply(&test.kustomization_yaml("app", "./app", THERE)).await?;
    let user = format!("system:serviceaccount:{}:tenant", test.namespace);
    test.condition(
        "Kustomization/app",
        "Ready",
        "False",
        "ReconciliationFailed",
        &format!("User \"{user}\" cannot patch"),
    )
    .await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": test.namespace}],
    });
    there.apply_one(&binding, &test.namespace).await?;
    test.request("Kustomization/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    // One that the spec names counts before the default.
    test.apply(&test.kustomization_yaml("named", "./app", &format!("{THERE}  serviceAccountName: named\n")))
        .await?;
    let text = format!("User \"system:serviceaccount:{}:named\" cannot patch", test.namespace);
    test.condition("Kustomization/named", "Ready", "False", "ReconciliationFailed", &text).await?;
    // Flux looks for the account here, wherever the objects are. Without it they stay.
    test.objects.delete(&test.id("Kustomization/app")?).await?;
    test.gone("Kustomization/app").await?;
    ensure!(there.get(&test.id("ConfigMap/a")?).await?.is_some());
    test.finish().await
}

#[tokio::test]
async fn a_kustomization_whose_cluster_is_gone_waits_to_be_deleted() -> Result<()> {
    let (test, there, commit) =
        scenario(Scenario::new("remote-deletion").await?, &[("a.yaml", config_map("a", "1"))]).await?;
    test.apply(&config_map("a", "local")).await?;
    test.apply(&test.kustomization_yaml("app", "./app", THERE)).await?;
    test.applied("Kustomization/app", &commit).await?;
    // Nobody listens there.
    let good = fs::read_to_string(other().await?.kubeconfig(User::Admin))?;
    let server = good.lines().find_map(|line| line.split_once("server: ")).context("no server")?.1;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let gone = good.replace(server, &format!("https://127.0.0.1:{port}"));
    test.objects.apply_one(&kubeconfig_secret("other", &gone), &test.namespace).await?;
    let message = format!("the API server https://127.0.0.1:{port}/ does not answer");
    test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", &message).await?;
    test.objects.delete(&test.id("Kustomization/app")?).await?;
    test.event(
        "Kustomization/app",
        "Warning",
        "ReconciliationFailed",
        &format!("failed to build kube client: {message}"),
    )
    .await?;
    ensure!(test.exists("Kustomization/app").await? && test.exists("ConfigMap/a").await?);
    test.objects.apply_one(&kubeconfig_secret("other", &good), &test.namespace).await?;
    test.gone("Kustomization/app").await?;
    until(&test, &there, "ConfigMap/a", "deleted", Value::is_null).await?;
    ensure!(test.get("ConfigMap/a").await?["data"]["value"] == "local");
    test.finish().await
}

#[tokio::test]
async fn tokens_of_a_service_account_open_the_cluster_of_a_config_map() -> Result<()> {
    let test = Scenario::with_settings(
        "remote-config-map",
        Settings { kustomize: &["--default-kubeconfig-service-account=deployer"], ..Settings::default() },
    )
    .await?;
    test.repo.write("app/a.yaml", &config_map("a", "1"))?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  kubeConfig: {configMapRef: {name: access}}\n"))
        .await?;
    let failed = async |message: &str| {
        test.condition("Kustomization/app", "Ready", "False", "ReconciliationFailed", message).await
    };
    failed(&format!("failed to get configmap {}/access: configmaps \"access\" not found", test.namespace))
        .await?;
    // The cluster that knows these accounts is this one.
    test.objects.apply_one(&test.cluster.access("access")?, &test.namespace).await?;
    failed(&format!(
        "failed to get service account '{}/deployer': serviceaccounts \"deployer\" not found",
        test.namespace
    ))
    .await?;
    test.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: deployer}\n").await?;
    test.request("Kustomization/app").await?;
    let user = format!("system:serviceaccount:{}:deployer", test.namespace);
    failed(&format!("User \"{user}\" cannot patch")).await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "deployer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": test.namespace}],
    });
    test.objects.apply_one(&binding, &test.namespace).await?;
    test.request("Kustomization/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    ensure!(test.get("ConfigMap/a").await?["data"]["value"] == "1");
    test.finish().await
}

const AKS: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/main";
const GKE: &str = "projects/p/locations/l/clusters/main";
const EKS: &str = "arn:aws:eks:eu-west-1:1:cluster/main";
const KEYS: &str = "<R><Credentials><AccessKeyId>ASIAE2E</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
    <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>";

/// A server for the APIs of all clouds, and a scenario whose controllers ask it, with a service account that all clouds know.
async fn clouds(name: &str) -> Result<(Scenario, TokenServer, TempDir)> {
    let clouds = TokenServer::start(false, &[("POST /sts/", 200, KEYS)]).await?;
    let (folder, url) = (tempfile::tempdir()?, &clouds.url);
    let azure = folder.path().join("azure.json");
    fs::write(
        &azure,
        json!({"resourceManagerEndpoint": format!("{url}/arm"), "tokenAudience": "arm"}).to_string(),
    )?;
    let sts = format!("{url}/sts/");
    let environment = [
        ("AWS_ENDPOINT_URL_STS", sts.as_str()),
        ("AWS_ENDPOINT_URL_EKS", url),
        ("AZURE_AUTHORITY_HOST", url),
        ("AZURE_ENVIRONMENT_FILEPATH", azure.to_str().context("no path")?),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", url),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER", url),
    ];
    let settings = Settings { environment: &environment, ..Settings::default() };
    let test = Scenario::with_settings(name, settings).await?;
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "deployer", "annotations": {
            "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/deployer",
            "azure.workload.identity/tenant-id": "tenant",
            "azure.workload.identity/client-id": "client",
            "gcp.auth.fluxcd.io/workload-identity-provider": "projects/1/locations/global/workloadIdentityPools/p/providers/q",
        }},
    });
    test.objects.apply_one(&account, &test.namespace).await?;
    test.repo.write("app/a.yaml", &config_map("a", "1"))?;
    Ok((test, clouds, folder))
}

/// A Kustomization for a cluster of a cloud, by the service account `deployer`.
async fn in_cloud(test: &Scenario, provider: &str, cluster: &str) -> Result<()> {
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": provider},
        "data": {"provider": provider, "cluster": cluster, "serviceAccountName": "deployer"},
    });
    test.objects.apply_one(&settings, &test.namespace).await?;
    let reference = format!("  kubeConfig: {{configMapRef: {{name: {provider}}}}}\n");
    test.apply(&test.kustomization_yaml(provider, "./app", &reference)).await
}

#[tokio::test]
async fn clusters_of_azure_and_google_are_opened_by_what_they_are_called() -> Result<()> {
    let (test, clouds, _azure) = clouds("remote-clouds").await?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    // The cluster that the clouds tell of is this one, and so is who the tokens are of.
    let own: Value = serde_yaml::from_str(&fs::read_to_string(test.cluster.kubeconfig(User::Admin))?)?;
    let cluster = &own["clusters"][0]["cluster"];
    let (server, ca) = (&cluster["server"], &cluster["certificate-authority-data"]);
    let kubeconfig = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": ca}}],
    });
    let kubeconfig = BASE64_STANDARD.encode(kubeconfig.to_string());
    let gke = json!({"endpoint": server, "masterAuth": {"clusterCaCertificate": ca}});
    for (line, answer) in [
        (format!("GET /arm{AKS}"), json!({"properties": {"aadProfile": {}}})),
        (
            format!("POST /arm{AKS}/listClusterUserCredential"),
            json!({"kubeconfigs": [{"value": kubeconfig}]}),
        ),
        (format!("GET /v1/{GKE}"), gke),
    ] {
        clouds.set_answer(&line, 200, &answer.to_string());
    }
    let good = own["users"][0]["user"]["token"].as_str().context("no token")?;
    for (provider, cluster, line) in
        [("azure", AKS, "POST /tenant/oauth2/v2.0/token"), ("gcp", GKE, "POST /v1/token")]
    {
        let give = |token: &str| {
            clouds.set_answer(line, 200, &json!({"access_token": token, "expires_in": 3600}).to_string());
        };
        give("stale");
        in_cloud(&test, provider, cluster).await?;
        let app = format!("Kustomization/{provider}");
        let message = "does not accept the credentials: Unauthorized";
        test.condition(&app, "Ready", "False", "ReconciliationFailed", message).await?;
        // The refused token is not kept, although it is good for an hour.
        give(good);
        test.request(&app).await?;
        test.applied(&app, &commit).await?;
        clouds.take_requests();
        test.run(&app).await?;
        test.applied(&app, &commit).await?;
        ensure!(clouds.take_requests().is_empty(), "the token and the cluster are known");
        let object = format!("name=\"{provider}\"");
        for event in ["cache_miss", "cache_hit"] {
            let event = format!("event_type=\"{event}\"");
            let labels = [&*event, &object, "kind=\"Kustomization\"", "operation=\"fetch_kubeconfig\""];
            let count = test.pair()?.kustomize.metric("gotk_token_cache_events_total", &labels).await?;
            ensure!(count >= 1.0, "{labels:?}");
        }
    }
    ensure!(test.get("ConfigMap/a").await?["data"]["value"] == "1");
    test.finish().await
}

#[tokio::test]
async fn a_cluster_of_eks_sees_requests_that_are_signed_for_it() -> Result<()> {
    let (test, clouds, _azure) = clouds("remote-eks").await?;
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    let cluster = TokenServer::start(true, &[("GET /version", 401, "{}")]).await?;
    let ca = BASE64_STANDARD.encode(cluster.ca_pem().context("no CA")?);
    let description = json!({"cluster": {"endpoint": cluster.url, "certificateAuthority": {"data": ca}}});
    clouds.set_answer("GET /clusters/main", 200, &description.to_string());
    in_cloud(&test, "aws", EKS).await?;
    let message = format!("the API server {}/ does not accept the credentials: Unauthorized", cluster.url);
    test.condition("Kustomization/aws", "Ready", "False", "ReconciliationFailed", &message).await?;
    let shown = cluster.take_authorizations();
    let [first, second, ..] = &shown[..] else { anyhow::bail!("{shown:?}") };
    for header in [first, second] {
        let token = header.strip_prefix("Bearer k8s-aws-v1.").context("no token of EKS")?;
        let url = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token)?)?;
        ensure!(url.starts_with(&format!("{}/sts/?", clouds.url)), "{url}");
        for part in [
            "Action=GetCallerIdentity",
            "X-Amz-Credential=ASIAE2E%2F",
            "%2Feu-west-1%2Fsts%2Faws4_request",
            "X-Amz-Expires=900",
            "X-Amz-SignedHeaders=host%3Bx-k8s-aws-id",
        ] {
            ensure!(url.contains(part), "{part} is not in {url}");
        }
    }
    // A request that is refused asks for other credentials at once.
    let roles = clouds.take_requests().into_iter().filter(|(line, _)| line == "POST /sts/").count();
    ensure!(roles >= 2, "{roles}");

    // Behind the endpoint is now a cluster that knows who such a token is of.
    let proxy = ApiProxy::start(test.cluster).await?;
    proxy.admit("Bearer k8s-aws-v1.", User::KustomizeController)?;
    let there: Value =
        serde_yaml::from_str(&fs::read_to_string(proxy.kubeconfig(User::KustomizeController))?)?;
    let there = &there["clusters"][0]["cluster"];
    let authority = json!({"data": there["certificate-authority-data"]});
    let description = json!({"cluster": {"endpoint": there["server"], "certificateAuthority": authority}});
    clouds.set_answer("GET /clusters/main", 200, &description.to_string());
    test.request("Kustomization/aws").await?;
    test.applied("Kustomization/aws", &commit).await?;
    ensure!(test.get("ConfigMap/a").await?["data"]["value"] == "1");
    ensure!(!proxy.calls(|call| call.is_write() && call.is_about("configmaps")).is_empty());
    test.finish().await
}
