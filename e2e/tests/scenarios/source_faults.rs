//! GitRepositories that cannot be fetched: what they say, and that they recover by themselves.

use anyhow::Result;
use e2e::git_server::{Fault, GitServer};
use e2e::objects::Look;
use e2e::pki::Ca;
use e2e::scenario::Scenario;
use e2e::testkit::fetch_fails;
use serde_json::{Value, json};

/// Expects that `app` holds the commit, and that it says so.
async fn recovers(test: &Scenario, commit: &str) -> Result<Value> {
    let revision = format!("main@sha1:{commit}");
    let app = test
        .until("GitRepository/app", &format!("holds {revision}"), |o| {
            o.is_ready() && o.text("/status/artifact/revision") == revision
        })
        .await?;
    assert_eq!(app.condition("FetchFailed"), None);
    test.event("GitRepository/app", "Normal", "NewArtifact", "stored artifact for commit").await?;
    Ok(app)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_unknown() -> Result<()> {
    let test = Scenario::new("no-host").await?;
    let commit = test.repo.commit_file("a.txt", "one")?;
    let unknown =
        test.source_yaml("1h", "").replace(&test.git.url("app"), "http://no-such-host.invalid/app.git");
    test.apply(&unknown).await?;
    fetch_fails(&test, "GitOperationFailed", "failed to checkout and determine revision: ").await?;
    let app = test.get("GitRepository/app").await?;
    assert_eq!(app.number("/status/observedGeneration"), -1);
    test.apply_source().await?;
    recovers(&test, &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_does_not_exist_and_one_that_is_deleted() -> Result<()> {
    let test = Scenario::new("no-branch").await?;
    test.repo.switch("other")?;
    test.repo.commit_file("a.txt", "one")?;
    test.apply_source().await?;
    let text =
        format!("unable to clone '{}': couldn't find remote ref \"refs/heads/main\"", test.git.url("app"));
    fetch_fails(&test, "GitOperationFailed", &text).await?;
    test.repo.switch("main")?;
    let commit = test.repo.commit_file("a.txt", "two")?;
    // Nobody has to say so.
    let before = recovers(&test, &commit).await?;
    test.repo.delete("refs/heads/main")?;
    test.request("GitRepository/app").await?;
    fetch_fails(&test, "GitOperationFailed", "couldn't find remote ref \"refs/heads/main\"").await?;
    let after = test.get("GitRepository/app").await?;
    assert_eq!(after["status"]["artifact"], before["status"]["artifact"], "the last artifact stays");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_empty() -> Result<()> {
    let test = Scenario::new("empty").await?;
    test.apply_source().await?;
    fetch_fails(&test, "EmptyGitRepository", "git repository is empty").await?;
    let commit = test.repo.commit_file("a.txt", "one")?;
    recovers(&test, &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_does_not_exist() -> Result<()> {
    let test = Scenario::new("no-repository").await?;
    let commit = test.repo.commit_file("a.txt", "one")?;
    let unknown = test.source_yaml("1h", "").replace("/app.git", "/nope.git");
    test.apply(&unknown).await?;
    fetch_fails(&test, "GitOperationFailed", "repository not found").await?;
    test.apply_source().await?;
    recovers(&test, &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_wrong() -> Result<()> {
    let test = Scenario::new("password").await?;
    let commit = test.repo.commit_file("a.txt", "one")?;
    test.git.set_account(Some(("alice", "s3cret")));
    let secret = |password: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"},
            "stringData": {"username": "alice", "password": password},
        })
        .to_string()
    };
    test.apply(&secret("mistyped")).await?;
    test.apply(&test.source_yaml("1h", "  secretRef: {name: git}")).await?;
    fetch_fails(&test, "GitOperationFailed", "authentication required").await?;
    let pair = test.pair()?;
    assert!(!pair.source.log_text().contains("mistyped"), "the password is not in the log");
    test.apply(&secret("s3cret")).await?;
    let app = recovers(&test, &commit).await?;
    assert!(!app.to_string().contains("s3cret"));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing() -> Result<()> {
    let test = Scenario::new("no-secret").await?;
    let commit = test.repo.commit_file("a.txt", "one")?;
    test.git.set_account(Some(("alice", "s3cret")));
    test.apply(&test.source_yaml("1h", "  secretRef: {name: git}")).await?;
    let text = format!("failed to get secret '{}/git': ", test.namespace);
    fetch_fails(&test, "AuthenticationFailed", &text).await?;
    fetch_fails(&test, "AuthenticationFailed", "secrets \"git\" not found").await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"},
        "stringData": {"username": "alice", "password": "s3cret"},
    });
    test.apply(&secret.to_string()).await?;
    recovers(&test, &commit).await?;
    test.finish().await
}

/// The controller reads Secrets with an identity of its own, so a name must not lead to those of others.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_a_secret_cannot_lead_elsewhere() -> Result<()> {
    let test = Scenario::new("secret-path").await?;
    let commit = test.repo.commit_file("a.txt", "one")?;
    let elsewhere = "../../default/secrets/git";
    let fields = ["secretRef", "proxySecretRef", "verify"];
    for field in fields {
        let reference = match field {
            "verify" => json!({"mode": "HEAD", "secretRef": {"name": elsewhere}}),
            _ => json!({"name": elsewhere}),
        };
        test.apply(&test.source_yaml("1h", "")).await?;
        recovers(&test, &commit).await?;
        test.patch("GitRepository/app", &json!({"spec": {field: reference}})).await?;
        let text = format!("invalid resource name \"{elsewhere}\": may not contain '/'");
        let says = |o: &Value| {
            o.condition("Ready").is_some_and(|c| c.status == "False" && c.message.contains(&text))
        };
        test.until("GitRepository/app", &format!("refuses the name in {field}"), says).await?;
        test.patch("GitRepository/app", &json!({"spec": {field: null}})).await?;
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_cannot_be_used() -> Result<()> {
    let test = Scenario::new("certificates").await?;
    let server = GitServer::start_tls().await?;
    let repo = server.create("app")?;
    let commit = repo.commit_file("a.txt", "one")?;
    let (good, client) = (server.ca_pem().unwrap(), Ca::new("client")?.issue(&["client"])?);
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let secret = async |data: Value| {
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"}, "stringData": data});
        test.kubectl(&["delete", "secret", "git", "--ignore-not-found"])?;
        test.apply(&secret.to_string()).await?;
        test.run("GitRepository/app").await
    };
    let source = test.source_yaml("1h", "  secretRef: {name: git}");
    test.apply(&source.replace(&test.git.url("app"), &server.url("app"))).await?;
    let unusable = "invalid TLS configuration";
    for (data, reason, message) in [
        (json!({"ca.crt": Ca::new("other")?.pem()}), "GitOperationFailed", "certificate"),
        (json!({"ca.crt": garbage}), "GitOperationFailed", unusable),
        // The old name is not looked at where there is the new one.
        (json!({"ca.crt": garbage, "caFile": good}), "GitOperationFailed", unusable),
        (
            json!({"ca.crt": good, "tls.crt": client.certificate, "tls.key": "broken"}),
            "GitOperationFailed",
            unusable,
        ),
        (json!({"ca.crt": good, "tls.crt": client.certificate}), "AuthenticationFailed", "'tls.key'"),
    ] {
        secret(data).await?;
        fetch_fails(&test, reason, message).await?;
    }
    assert_eq!(server.take_requests(), []);
    secret(json!({"ca.crt": good, "caFile": garbage})).await?;
    let before = recovers(&test, &commit).await?;
    // A failure leaves what is there.
    secret(json!({"ca.crt": good, "tls.crt": client.certificate, "tls.key": "broken"})).await?;
    fetch_fails(&test, "GitOperationFailed", unusable).await?;
    let during = test.get("GitRepository/app").await?;
    assert_eq!(during["status"]["artifact"], before["status"]["artifact"]);
    assert_eq!(during.condition("ArtifactInStorage"), before.condition("ArtifactInStorage"));
    secret(json!({"caFile": good})).await?;
    recovers(&test, &commit).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_server_that_goes_away_keeps_the_last_artifact() -> Result<()> {
    let test = Scenario::new("git-down").await?;
    let commit = test.repo.commit_file("a.txt", "one")?;
    test.apply(&test.source_yaml("1s", "")).await?;
    let before = recovers(&test, &commit).await?;
    for fault in [Fault::Down, Fault::Status(503)] {
        test.git.set_fault(fault);
        fetch_fails(&test, "GitOperationFailed", "failed to checkout and determine revision: ").await?;
        let during = test.get("GitRepository/app").await?;
        assert_eq!(during["status"]["artifact"], before["status"]["artifact"], "{fault:?}");
        test.git.set_fault(Fault::None);
        let after = test.ready("GitRepository/app").await?;
        assert_eq!(after["status"]["artifact"]["digest"], before["status"]["artifact"]["digest"]);
        // The artifact is not new, so it is the recovery that is told.
        test.event("GitRepository/app", "Normal", "Succeeded", "stored artifact for commit").await?;
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_was_force_pushed_is_followed() -> Result<()> {
    let test = Scenario::new("force-push").await?;
    test.repo.commit_file("a.txt", "one")?;
    let lost = test.repo.commit_file("a.txt", "two")?;
    test.apply_source().await?;
    recovers(&test, &lost).await?;
    test.repo.write("a.txt", "three")?;
    let commit = test.repo.rewrite("three")?;
    test.request("GitRepository/app").await?;
    recovers(&test, &commit).await?;
    test.finish().await
}
