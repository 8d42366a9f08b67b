//! A Git forge: Gitea over HTTP and by its own SSH server, with accounts, tokens, deploy keys and an API.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
pub use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::process::{Owner, Process, free_port, temp_folder};
use crate::wait::{self, LIMIT, not_yet};
use toolchain::{Gitea, gitea};

/// The password of every account.
pub const PASSWORD: &str = "s3cret-pass";

/// The account that makes the others.
const ADMIN: &str = "root-admin";

/// A running forge; ends when dropped.
#[derive(Debug)]
pub struct Forge {
    http: u16,
    ssh: u16,
    client: reqwest::Client,
    _process: Process,
    _temp: TempDir,
}

impl Forge {
    /// The forge that all tests of this program share.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Forge> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Starts a forge on free ports.
    pub async fn start() -> Result<Self> {
        let gitea = tokio::task::spawn_blocking(gitea).await??;
        let temp = temp_folder("forge")?;
        let (http, ssh) = (free_port()?, free_port()?);
        let config = temp.path().join("app.ini");
        fs::write(&config, settings(temp.path(), &gitea, http, ssh))?;
        let program = |args: &[&str]| {
            let mut command = Command::new(&gitea.program);
            // It writes beside the settings of git, in the home of its user.
            command.arg("--config").arg(&config).args(args).env("HOME", temp.path());
            command
        };
        let account =
            ["--username", ADMIN, "--password", PASSWORD, "--email", "admin@example.com", "--admin"];
        for args in [
            &["migrate"][..],
            &[&["admin", "user", "create", "--must-change-password=false"], &account[..]].concat(),
        ] {
            let mut command = program(args);
            let output = tokio::task::spawn_blocking(move || command.output()).await??;
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "gitea {args:?}: {said}");
        }
        let log = temp.path().join("gitea.log");
        let process = Process::start("gitea", &mut program(&["web"]), &log, Owner::Harness)?;
        // A connection must not outlive the test that made it: each has a runtime of its own.
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
        let client = client.timeout(LIMIT).build()?;
        let forge = Self { http, ssh, client, _process: process, _temp: temp };
        wait::until(LIMIT, async || {
            forge.call(ADMIN, Method::GET, "version", &Value::Null).await.map_err(not_yet)
        })
        .await
        .with_context(|| format!("forge ready; its log:\n{}", forge._process.log_tail(20)))?;
        Ok(forge)
    }

    /// Makes an account.
    pub async fn add_account(&self, name: &str) -> Result<()> {
        let account = json!({
            "username": name, "password": PASSWORD, "email": format!("{name}@example.com"),
            "must_change_password": false,
        });
        self.call(ADMIN, Method::POST, "admin/users", &account).await.map(drop)
    }

    /// Changes an account.
    pub async fn change_account(&self, name: &str, changes: &Value) -> Result<()> {
        self.call(ADMIN, Method::PATCH, &format!("admin/users/{name}"), changes).await.map(drop)
    }

    /// Calls the API as an account, with the path behind `/api/v1/`; answers the body, null if there is none.
    pub async fn call(&self, account: &str, method: Method, path: &str, body: &Value) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.http);
        let what = format!("{method} {path}");
        let response =
            self.client.request(method, url).basic_auth(account, Some(PASSWORD)).json(body).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "{what}: {status}: {text}");
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }

    /// The URL of a repository, `<owner>/<name>`, over HTTP.
    pub fn url(&self, repository: &str) -> String {
        format!("http://127.0.0.1:{}/{repository}.git", self.http)
    }

    /// The same with the name and the password of an account in it, for git itself.
    pub fn url_for(&self, account: &str, repository: &str) -> String {
        self.url(repository).replace("http://", &format!("http://{account}:{PASSWORD}@"))
    }

    /// The URL of a repository over SSH.
    pub fn ssh_url(&self, repository: &str) -> String {
        format!("ssh://git@127.0.0.1:{}/{repository}.git", self.ssh)
    }

    /// What goes into `known_hosts`, as users find it out.
    pub async fn known_hosts(&self) -> Result<String> {
        let mut scan = Command::new("ssh-keyscan");
        scan.args(["-p", &self.ssh.to_string(), "127.0.0.1"]);
        let output = tokio::task::spawn_blocking(move || scan.output()).await?.context("run ssh-keyscan")?;
        let hosts = String::from_utf8(output.stdout)?;
        ensure!(!hosts.trim().is_empty(), "ssh-keyscan: {}", String::from_utf8_lossy(&output.stderr));
        Ok(hosts)
    }
}

fn settings(folder: &Path, gitea: &Gitea, http: u16, ssh: u16) -> String {
    let (folder, files) = (folder.display(), gitea.files.display());
    // CI may have no other user than root; it is a forge of tests, on loopback.
    format!(
        "RUN_MODE = prod\nI_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true\nWORK_PATH = {folder}\n\
         [server]\nHTTP_ADDR = 127.0.0.1\nHTTP_PORT = {http}\nROOT_URL = http://127.0.0.1:{http}/\n\
         STATIC_ROOT_PATH = {files}\nOFFLINE_MODE = true\nSTART_SSH_SERVER = true\n\
         BUILTIN_SSH_SERVER_USER = git\nSSH_DOMAIN = 127.0.0.1\nSSH_LISTEN_HOST = 127.0.0.1\n\
         SSH_PORT = {ssh}\nSSH_LISTEN_PORT = {ssh}\n\
         [database]\nDB_TYPE = sqlite3\n[security]\nINSTALL_LOCK = true\n[log]\nLEVEL = Warn\n\
         [session]\nPROVIDER = memory\n"
    )
}
