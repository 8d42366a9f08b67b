//! Sources behind SSH and behind proxies.

use anyhow::Result;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::fetch_fails;
use serde_json::{Value, json};

use e2e::proxy::ProxyServer;
use e2e::sshd::{KeyPair, SshServer, keygen};

/// A test whose source `app` is behind SSH.
struct Ssh {
    test: Scenario,
    server: SshServer,
    key: KeyPair,
}

impl Ssh {
    async fn new(name: &str, key_options: &[&str]) -> Result<Ssh> {
        let test = Scenario::new(name).await?;
        let server = SshServer::start(&["ed25519"]);
        server.configure(&["AcceptEnv GIT_PROTOCOL"]);
        let key = keygen(server.dir.path(), "user", "ed25519", key_options);
        server.authorize(&key);
        Ok(Ssh { test, server, key })
    }

    /// Writes Secret `git`: the identity and the known hosts, changed and completed by `more`.
    async fn secret(&self, more: &[(&str, &str)]) -> Result<()> {
        let mut data = json!({"identity": self.key.private, "known_hosts": self.server.known_hosts()});
        for (key, value) in more {
            data[key] = json!(value);
        }
        self.test.apply(&secret("git", &data)).await
    }

    async fn apply_source(&self, more: &str) -> Result<()> {
        let url = self.server.url(self.test.repo.bare());
        let more = format!("  secretRef: {{name: git}}\n{more}");
        self.test.apply(&self.test.source_yaml("1h", &more).replace(&self.test.git.url("app"), &url)).await
    }

    async fn holds(&self, commit: &str) -> Result<()> {
        let app = self.test.ready("GitRepository/app").await?;
        assert_eq!(app.text("/status/artifact/revision"), format!("main@sha1:{commit}"));
        Ok(())
    }
}

fn secret(name: &str, data: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_behind_ssh_is_fetched_and_followed() -> Result<()> {
    let ssh = Ssh::new("ssh", &[]).await?;
    let commit = ssh.test.repo.commit_file("a.txt", "one")?;
    ssh.secret(&[]).await?;
    ssh.apply_source("").await?;
    ssh.holds(&commit).await?;
    let commit = ssh.test.repo.commit_file("a.txt", "two")?;
    ssh.test.run("GitRepository/app").await?;
    ssh.holds(&commit).await?;
    ssh.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_server_that_is_not_the_known_one() -> Result<()> {
    let ssh = Ssh::new("ssh-host-key", &[]).await?;
    let commit = ssh.test.repo.commit_file("a.txt", "one")?;
    let other = keygen(ssh.server.dir.path(), "other", "ed25519", &[]);
    let handshake = "failed to checkout and determine revision: unable to clone 'ssh://";
    ssh.secret(&[("known_hosts", &format!("{} {}", ssh.server.host(), other.public))]).await?;
    ssh.apply_source("").await?;
    let mismatch = "ssh: handshake failed: knownhosts: key mismatch";
    fetch_fails(&ssh.test, "GitOperationFailed", handshake).await?;
    fetch_fails(&ssh.test, "GitOperationFailed", mismatch).await?;
    ssh.secret(&[("known_hosts", &format!("example.com {}", other.public))]).await?;
    fetch_fails(&ssh.test, "GitOperationFailed", "ssh: handshake failed: knownhosts: key is unknown").await?;
    ssh.secret(&[]).await?;
    ssh.holds(&commit).await?;
    ssh.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_ssh_key_needs_its_password() -> Result<()> {
    let ssh = Ssh::new("ssh-password", &["-N", "pass w0rd", "-a", "4"]).await?;
    let commit = ssh.test.repo.commit_file("a.txt", "one")?;
    ssh.secret(&[]).await?;
    ssh.apply_source("").await?;
    let text = format!(
        "SSH identity key is encrypted but no 'password' field was provided in the secret '{}/git'",
        ssh.test.namespace
    );
    fetch_fails(&ssh.test, "AuthenticationFailed", &text).await?;
    ssh.secret(&[("password", "mist1ped")]).await?;
    fetch_fails(&ssh.test, "GitOperationFailed", "x509: decryption password incorrect").await?;
    ssh.secret(&[("password", "pass w0rd")]).await?;
    ssh.holds(&commit).await?;
    let log = ssh.test.pair()?.source.log_text();
    assert!(!log.contains("mist1ped") && !log.contains("pass w0rd") && !log.contains("BEGIN OPENSSH"));
    ssh.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_secret_that_lacks_something() -> Result<()> {
    let ssh = Ssh::new("ssh-secret", &[]).await?;
    let commit = ssh.test.repo.commit_file("a.txt", "one")?;
    let option = |name: &str| {
        format!("failed to configure authentication options: invalid 'ssh' auth option: '{name}' is required")
    };
    ssh.secret(&[("identity", "")]).await?;
    ssh.apply_source("").await?;
    fetch_fails(&ssh.test, "AuthenticationFailed", &option("identity")).await?;
    ssh.secret(&[("known_hosts", "")]).await?;
    fetch_fails(&ssh.test, "AuthenticationFailed", &option("known_hosts")).await?;
    ssh.secret(&[]).await?;
    ssh.holds(&commit).await?;
    ssh.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_behind_a_proxy() -> Result<()> {
    let ssh = Ssh::new("proxy", &[]).await?;
    let commit = ssh.test.repo.commit_file("a.txt", "one")?;
    let dead = e2e::process::free_port()?;
    ssh.test.apply(&ssh.test.source_yaml("1h", "  proxySecretRef: {name: proxy}")).await?;
    let failed =
        |why: &str| format!("failed to configure proxy options: secret '{}/proxy'{why}", ssh.test.namespace);
    fetch_fails(&ssh.test, "AuthenticationFailed", &failed(" not found")).await?;
    let proxy = |address: String| {
        secret("proxy", &json!({"address": address, "username": "pat", "password": "pr0xy"}))
    };
    ssh.test.apply(&proxy("ftp://127.0.0.1".into())).await?;
    let schemes = ": proxy URL must use one of the supported schemes (http, https, socks5), got 'ftp'";
    fetch_fails(&ssh.test, "AuthenticationFailed", &failed(schemes)).await?;
    ssh.test.apply(&proxy(format!("http://127.0.0.1:{dead}"))).await?;
    fetch_fails(&ssh.test, "GitOperationFailed", "failed to checkout and determine revision: ").await?;
    assert_eq!(ssh.test.git.take_requests(), [], "nothing went around the proxy");

    let http = ProxyServer::http(Some(("pat", "pr0xy")));
    ssh.test.apply(&proxy(format!("http://127.0.0.1:{}", http.port))).await?;
    ssh.holds(&commit).await?;
    let asked = http.take();
    // No GET if a server of an earlier scenario had this port: what it can do is remembered by its address.
    assert!(asked.iter().any(|line| line.starts_with("GET ") || line.starts_with("POST ")), "{asked:?}");

    let socks = ProxyServer::socks5(Some(("pat", "pr0xy")));
    ssh.test.apply(&proxy(format!("socks5://127.0.0.1:{}", socks.port))).await?;
    ssh.secret(&[]).await?;
    let commit = ssh.test.repo.commit_file("a.txt", "two")?;
    ssh.apply_source("  proxySecretRef: {name: proxy}").await?;
    let revision = format!("main@sha1:{commit}");
    let follows = |app: &Value| app.is_ready() && app.text("/status/artifact/revision") == revision;
    ssh.test.until("GitRepository/app", "is fetched through SOCKS5", follows).await?;
    assert!(socks.take().contains(&format!("SOCKS5 127.0.0.1:{}", ssh.server.port)));
    let log = ssh.test.pair()?.source.log_text();
    assert!(!log.contains("pr0xy"), "the password of the proxy is not in the log");
    ssh.test.finish().await
}
