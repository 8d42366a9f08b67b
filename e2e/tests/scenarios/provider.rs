//! `spec.provider` of a GitRepository: tokens of a GitHub App and of clouds, from recorded answers.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::git_server::{Fault, GitServer};
use e2e::objects::Look;
use e2e::scenario::{SHARD, Scenario};
use e2e::signer::Signer;
use e2e::token_server::TokenServer;
use e2e::wait::Not;
use serde_json::{Value, json};

use e2e::proxy::ProxyServer;

const SOURCE: &str = "GitRepository/app";

fn secret(data: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"}, "stringData": data}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_app_gets_one_token_for_many_passes() -> Result<()> {
    let (test, signer) = (Scenario::new("github-app").await?, Signer::new()?);
    let answer = r#"{"token": "ghs_e2e", "expires_at": "2099-01-01T00:00:00Z"}"#;
    let answers = [
        ("GET /users/me/installation", 200, r#"{"id": 45}"#),
        ("POST /app/installations/45/access_tokens", 201, answer),
    ];
    let (api, git) = (TokenServer::start(true, &answers).await?, GitServer::start_tls().await?);
    git.set_account(Some(("x-access-token", "ghs_e2e")));
    let commit = git.create("private")?.commit_file("a.txt", "one")?;
    let mut data = json!({
        "githubAppID": "123", "githubAppInstallationOwner": "me", "githubAppBaseURL": api.url,
        "githubAppPrivateKey": signer.rsa_pem("app")?,
    });
    test.apply(&secret(&data)).await?;
    let more = "  secretRef: {name: git}\n  provider: github";
    let source = test.source_yaml("1h", more).replace(&test.git.url("app"), &git.url("private"));
    test.apply(&source).await?;
    // Nobody knows the authority of the API.
    let text = "failed to configure authentication options: failed to find organization installation: ";
    test.condition(SOURCE, "FetchFailed", "True", "AuthenticationFailed", text).await?;
    let object = test.get(SOURCE).await?;
    assert!(object.condition("Stalled").is_none());

    data["ca.crt"] = format!("{}{}", git.ca_pem().unwrap(), api.ca_pem().unwrap()).into();
    test.apply(&secret(&data)).await?;
    test.run(SOURCE).await?;
    let object = test.ready(SOURCE).await?;
    assert_eq!(object.text("/status/artifact/revision"), format!("main@sha1:{commit}"));
    test.run(SOURCE).await?;
    let lines: Vec<_> = api.take_requests().into_iter().map(|(line, _)| line).collect();
    assert_eq!(
        lines,
        [
            "GET /orgs/me/installation",
            "GET /users/me/installation",
            "POST /app/installations/45/access_tokens"
        ]
    );
    let object = format!("namespace=\"{}\"", test.namespace);
    for event in ["event_type=\"cache_miss\"", "event_type=\"cache_hit\""] {
        let labels = [event, &object, "kind=\"GitRepository\"", "name=\"app\"", "operation=\"reconcile\""];
        let count = test.pair()?.source.metric("gotk_token_cache_events_total", &labels).await?;
        // The failed pass may have been tried again before it was asked for.
        assert!(if event.contains("miss") { count == 1.0 } else { count >= 1.0 }, "{event}: {count}");
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_that_never_answers_keeps_nobody_else_waiting() -> Result<()> {
    // Two workers, which is the default.
    let (test, signer) = (Scenario::with_own_controllers("tokens-hung", &[]).await?, Signer::new()?);
    test.repo.commit_file("a.txt", "one")?;
    let api = TokenServer::start(false, &[]).await?;
    api.set_silent(true);
    let (count, key) = (50, signer.rsa_pem("app")?);
    let hung = |i| format!("GitRepository/hung-{i}");
    for i in 0..count {
        // Each is an installation of its own, so that none waits for the token of another.
        let data = json!({
            "githubAppID": "123", "githubAppInstallationID": (i + 1).to_string(), "githubAppBaseURL": api.url,
            "githubAppPrivateKey": key,
        });
        test.apply(&secret(&data).replace("\"git\"", &format!("\"git-{i}\""))).await?;
        // On the same Git server as the healthy one.
        let more = format!("  secretRef: {{name: git-{i}}}\n  provider: github\n  timeout: 10m");
        let source = test.source_yaml("1h", &more);
        test.apply(&source.replace("{name: app}", &format!("{{name: hung-{i}}}"))).await?;
    }
    test.wait("the provider is asked", async || {
        let asked = api.take_requests().len();
        if asked > 0 { Ok(()) } else { Err(Not::Yet("nobody asked".into())) }
    })
    .await?;
    for i in 0..count {
        let begun = |object: &Value| object.condition("Reconciling").is_some_and(|c| c.status == "True");
        test.until(&hung(i), "has had a pass", begun).await?;
    }
    test.apply_source().await?;
    test.ready(SOURCE).await?;
    for i in 1..4 {
        let commit = test.repo.commit_file("a.txt", &i.to_string())?;
        let object = test.run(SOURCE).await?;
        assert!(object.text("/status/artifact/revision").ends_with(&commit), "{object}");
    }
    // Not one has given up by then.
    for i in 0..count {
        let object = test.get(&hung(i)).await?;
        assert_eq!(object.condition("FetchFailed"), None, "{object}");
        assert_eq!(object.condition("Reconciling").context("not reconciling")?.status, "True");
    }
    // One that was waiting goes at once when it is deleted, and one that is changed begins anew.
    test.kubectl(&["delete", "--wait=false", "gitrepository/hung-3"])?;
    test.gone(&hung(3)).await?;
    test.patch(&hung(4), &json!({"spec": {"provider": null, "secretRef": null}})).await?;
    test.ready(&hung(4)).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_read_once_for_each_pass_however_long_the_server_takes() -> Result<()> {
    let test = Scenario::new("provider-once").await?;
    test.repo.commit_file("a.txt", "one")?;
    test.apply(&secret(&json!({"username": "me", "password": "pw"}))).await?;
    test.apply(&test.source_yaml("1h", "  secretRef: {name: git}")).await?;
    test.ready(SOURCE).await?;
    // Longer than a worker waits.
    test.git.set_fault(Fault::Slow(Duration::from_secs(1)));
    let audit = test.cluster.audit().context("no audit log")?;
    test.run(SOURCE).await?;
    let requests = audit.requests(User::SourceController, &test.namespace)?;
    let read = requests.iter().filter(|request| request.resource == "secrets").count();
    assert_eq!(read, 1, "{requests:?}");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_through_the_proxy_of_the_object() -> Result<()> {
    let (test, signer) = (Scenario::new("provider-proxy").await?, Signer::new()?);
    let answer = r#"{"token": "ghs_e2e", "expires_at": "2099-01-01T00:00:00Z"}"#;
    let api = TokenServer::start(false, &[("POST /app/installations/45/access_tokens", 201, answer)]).await?;
    test.git.set_account(Some(("x-access-token", "ghs_e2e")));
    test.repo.commit_file("a.txt", "one")?;
    let proxy = ProxyServer::http(None);
    let data = json!({
        "githubAppID": "123", "githubAppInstallationID": "45", "githubAppBaseURL": api.url,
        "githubAppPrivateKey": signer.rsa_pem("app")?, "address": format!("http://127.0.0.1:{}", proxy.port),
    });
    test.apply(&secret(&data)).await?;
    let more = "  secretRef: {name: git}\n  proxySecretRef: {name: git}\n  provider: github";
    test.apply(&test.source_yaml("1h", more)).await?;
    test.ready(SOURCE).await?;
    let host = api.url.trim_start_matches("http://");
    let lines = proxy.take();
    assert!(lines.contains(&format!("POST {host}")), "the API was asked through the proxy: {lines:?}");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_lacks_something_says_so_as_flux_does() -> Result<()> {
    let (test, signer) = (Scenario::new("provider-lacks").await?, Signer::new()?);
    test.repo.commit_file("a.txt", "one")?;
    let invalid = "InvalidProviderConfiguration";
    let no_app = "secretRef with github app data must be specified when provider is set to github";
    test.apply(&test.source_yaml("1h", "  provider: github")).await?;
    for kind in ["Stalled", "FetchFailed"] {
        test.condition(SOURCE, kind, "True", invalid, no_app).await?;
    }

    test.apply(&secret(&json!({"username": "me", "password": "pw"}))).await?;
    test.apply(&test.source_yaml("1h", "  provider: github\n  secretRef: {name: git}")).await?;
    let retried =
        |object: &Value| object.condition("Stalled").is_none() && object.condition("FetchFailed").is_some();
    let object = test.until(SOURCE, "is tried again", retried).await?;
    assert_eq!(object.condition("FetchFailed").unwrap().message, no_app);

    let key = signer.rsa_pem("app")?;
    test.apply(&secret(&json!({"githubAppID": "1", "githubAppPrivateKey": key}))).await?;
    test.run(SOURCE).await?;
    let text = format!(
        "secret '{}/git' must contain exactly one of 'githubAppInstallationOwner' or 'githubAppInstallationID'",
        test.namespace
    );
    test.event(SOURCE, "Warning", "Failed", &text).await?;

    test.apply(&test.source_yaml("1h", "  secretRef: {name: git}")).await?;
    let text =
        format!("secretRef '{}/git' has github app data but provider is not set to github", test.namespace);
    test.condition(SOURCE, "FetchFailed", "True", invalid, &text).await?;

    let source =
        test.source_yaml("1h", "  provider: aws").replace(&test.git.url("app"), "https://example.com/app");
    test.apply(&source).await?;
    let text = "failed to configure authentication options: invalid AWS CodeCommit Git URL: example.com";
    test.condition(SOURCE, "FetchFailed", "True", "AuthenticationFailed", text).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_has_the_identity_of_its_service_account() -> Result<()> {
    let test = Scenario::new("object-identity").await?;
    let answer = r#"{"access_token": "entra", "expires_in": 3600, "token_type": "Bearer"}"#;
    let entra = TokenServer::start(false, &[("POST /tenant-1/oauth2/v2.0/token", 200, answer)]).await?;
    let selector = test.selector();
    let options = [
        &*selector,
        "--feature-gates=ObjectLevelWorkloadIdentity=false",
        "--default-service-account=default-identity",
        "--azure-devops-hosts=127.0.0.1",
        "--token-cache-max-size=0",
    ];
    let environment = [("AZURE_AUTHORITY_HOST", entra.url.as_str())];
    let _controller =
        Controller::start_in_environment(test.cluster, User::SourceController, &options, &environment)
            .await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "identity"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "flux-object-identity-flux-system"},
        "subjects": [{"kind": "ServiceAccount", "name": "source-controller", "namespace": "flux-system"}],
    });
    let role = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../config/rbac/workload-identity/role.yaml"
    ))?;
    test.apply(&role).await?;
    test.apply(&binding.to_string()).await?;
    let git = GitServer::start_tls().await?;
    let commit = git.create("app")?.commit_file("a.txt", "one")?;
    git.set_authorization(Some("Bearer entra"));
    test.apply(&secret(&json!({"ca.crt": git.ca_pem()}))).await?;
    let more = "  provider: azure\n  serviceAccountName: me\n  secretRef: {name: git}";
    let yaml = test.source_yaml("1h", more).replace(&test.git.url("app"), &git.url("app"));
    let label = format!("metadata: {{name: app, labels: {{{SHARD}: {}}}}}", test.namespace);
    let yaml = yaml.replace("metadata: {name: app}", &label);
    test.apply(&yaml).await?;
    let missing = |name: &str| {
        format!(
            "failed to get service account '{}/{name}': serviceaccounts \"{name}\" not found",
            test.namespace
        )
    };
    let text = missing("me");
    test.condition(SOURCE, "FetchFailed", "True", "AuthenticationFailed", &text).await?;

    let account = |name: &str, tenant: &str| {
        let annotations = json!({"azure.workload.identity/tenant-id": tenant, "azure.workload.identity/client-id": "client-1"});
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "annotations": annotations}})
            .to_string()
    };
    test.apply(&account("me", "tenant-1")).await?;
    test.run(SOURCE).await?;
    let object = test.ready(SOURCE).await?;
    assert_eq!(object.text("/status/artifact/revision"), format!("main@sha1:{commit}"));
    let requests = entra.take_requests();
    let body = &requests[0].1;
    assert!(body.contains("client_id=client-1") && body.contains("&client_assertion=ey"), "{body}");

    // Without a name it is the default account, which is not there yet.
    test.apply(&yaml.replace("\n  serviceAccountName: me", "")).await?;
    let text = missing("default-identity");
    test.condition(SOURCE, "FetchFailed", "True", "AuthenticationFailed", &text).await?;
    test.apply(&account("default-identity", "elsewhere")).await?;
    test.run(SOURCE).await?;
    let text = format!(
        "failed to get access credential for Git repository: failed to create provider access credential for service account \
         '{}/default-identity': \
         failed to get a token from Microsoft Entra: 404 Not Found",
        test.namespace
    );
    test.condition(SOURCE, "FetchFailed", "True", "AuthenticationFailed", &text).await?;
    test.finish().await
}
