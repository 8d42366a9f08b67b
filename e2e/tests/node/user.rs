//! Somebody who does what `docs/install.md` says.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, User as Identity};
use e2e::document;
use e2e::flux::Client;
use e2e::git_server::GitServer;
use e2e::process::temp_folder;
use e2e::repository::Repository;
use e2e::sshd::{SshServer, keygen};
use e2e::workspace;
use tempfile::TempDir;

use crate::settings::Settings;
use crate::step;

const DOCUMENT: &str = "docs/install.md";

/// What the user has at the server that speaks https.
const PASSWORD: &str = "pass word";

/// `flux check` asks GitHub for newer versions of itself: by a proxy that is not there it learns at once that there is no network.
const NO_NETWORK: [(&str, &str); 2] = [("HTTPS_PROXY", "http://127.0.0.1:9"), ("NO_PROXY", "10.0.0.0/8")];

/// A folder to work in with what a checkout has, programs, and a repository for the installation.
pub struct User {
    /// Flux's client, which looks at the namespace of the installation.
    pub flux: Client,
    /// The repository that `flux bootstrap` is told.
    pub fleet: Repository,
    environment: Vec<(&'static str, String)>,
    followed: Mutex<BTreeSet<String>>,
    settings: Settings,
    folder: TempDir,
    _ssh: SshServer,
    https: Option<GitServer>,
}

impl User {
    pub async fn new(cluster: &Cluster, settings: Settings) -> Result<Self> {
        let folder = temp_folder("user")?;
        let root = folder.path();
        for name in ["config", "charts"] {
            symlink(workspace().join(name), root.join(name))?;
        }
        fs::create_dir(root.join("flux-system"))?;
        let kustomization = document::file(DOCUMENT, "Images for Flux's manifests")?;
        fs::write(root.join("flux-system/kustomization.yaml"), kustomization)?;
        let (ssh, key) =
            (SshServer::start_at(settings.address, &["ed25519"]), keygen(root, "key", "ed25519", &[]));
        ssh.authorize(&key);
        for name in ["home/.ssh", "served", "work"] {
            fs::create_dir_all(root.join(name))?;
        }
        let known_hosts = root.join("home/.ssh/known_hosts");
        fs::write(&known_hosts, ssh.known_hosts())?;
        let fleet = Repository::create(&root.join("served"), &root.join("work"), "fleet")?;
        fleet.commit_file("README.md", "What the cluster has.\n")?;
        let kubeconfig = cluster.kubeconfig(Identity::Admin);
        let path = |path: &Path| path.display().to_string();
        let mut environment = vec![
            ("PATH", search_path(cluster).await?),
            ("HOME", path(&root.join("home"))),
            ("KUBECONFIG", path(kubeconfig)),
            ("FLEET", ssh.url(fleet.bare())),
            ("KEY", path(&key.path)),
            (
                "GIT_SSH_COMMAND",
                format!(
                    "ssh -F none -i {} -o UserKnownHostsFile={}",
                    key.path.display(),
                    known_hosts.display()
                ),
            ),
            ("GIT_AUTHOR_NAME", "user".into()),
            ("GIT_AUTHOR_EMAIL", "user@localhost".into()),
            ("GIT_COMMITTER_NAME", "user".into()),
            ("GIT_COMMITTER_EMAIL", "user@localhost".into()),
        ];
        let mut flux = Client::new(kubeconfig, "flux-system").await?;
        for (name, value) in NO_NETWORK {
            environment.push((name, value.to_owned()));
            flux = flux.with(name, value);
        }
        Ok(Self {
            flux,
            fleet,
            environment,
            followed: Mutex::default(),
            settings,
            folder,
            _ssh: ssh,
            https: None,
        })
    }

    /// From now on the repository is one that is reached over https, and the folder of the clone is free again.
    pub async fn take_https(&mut self) -> Result<()> {
        let (server, root) = (GitServer::start_tls_at(self.settings.address).await?, self.folder.path());
        self.fleet = server.create("fleet")?;
        self.fleet.commit_file("README.md", "What the cluster has.\n")?;
        server.set_account(Some(("user", PASSWORD)));
        let ca = root.join("ca.pem");
        fs::write(&ca, server.ca_pem().context("no authority")?)?;
        fs::remove_dir_all(root.join("fleet"))?;
        let (ca, helper) = (ca.display().to_string(), "!echo username=user; echo password=$GIT_PASSWORD; :");
        self.environment.extend([
            ("FLEET", server.url("fleet")),
            ("CA", ca.clone()),
            ("GIT_PASSWORD", PASSWORD.into()),
            ("GIT_SSL_CAINFO", ca),
            ("GIT_CONFIG_COUNT", "1".into()),
            ("GIT_CONFIG_KEY_0", "credential.helper".into()),
            ("GIT_CONFIG_VALUE_0", helper.into()),
        ]);
        self.https = Some(server);
        Ok(())
    }

    /// Runs commands; answers what they print. The chart is told where images are, unless they are where it looks for them.
    pub fn run(&self, commands: &str) -> Result<String> {
        let chart = "charts/ferroflux";
        let commands = commands.replace(chart, &format!("{chart}{}", self.settings.chart_flags()));
        let environment: Vec<(&str, &OsStr)> =
            self.environment.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        tokio::task::block_in_place(|| document::run(&commands, self.folder.path(), &environment))
    }

    /// Does what stands below a heading; answers what the commands print.
    pub fn follow(&self, heading: &str) -> Result<String> {
        let run = |commands: String| self.run(&commands);
        let said: Result<String> = document::commands(DOCUMENT, heading)?.into_iter().map(run).collect();
        let said = said.with_context(|| format!("{DOCUMENT}, {heading}"))?;
        self.followed.lock().unwrap().insert(heading.to_owned());
        step(&format!("{DOCUMENT}: {heading}"));
        Ok(said)
    }

    /// Fails if the document has commands that nobody has run.
    pub fn has_followed_all(&self) -> Result<()> {
        let followed = self.followed.lock().unwrap();
        let mut left = document::headings_with_commands(DOCUMENT)?;
        left.retain(|heading| !followed.contains(heading));
        ensure!(left.is_empty(), "nobody ran what {DOCUMENT} says below {left:?}");
        Ok(())
    }

    /// Changes a file of the folder that the user works in.
    pub fn edit(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let file = self.folder.path().join(file);
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        ensure!(text.contains(from), "no {from} in {}:\n{text}", file.display());
        Ok(fs::write(file, text.replace(from, to))?)
    }
}

/// Where `flux`, `helm` and `kubectl` are, before what is there already.
async fn search_path(cluster: &Cluster) -> Result<String> {
    let built =
        tokio::task::spawn_blocking(|| anyhow::Ok([toolchain::flux()?, toolchain::helm()?])).await??;
    let kubectl: Command = cluster.kubectl();
    let folders = built.into_iter().chain([PathBuf::from(kubectl.get_program())]);
    let folders = folders.filter_map(|program| program.parent().map(Path::to_owned));
    let folders = folders.filter(|folder| !folder.as_os_str().is_empty());
    let old = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::join_paths(folders.chain(std::env::split_paths(&old)))?;
    all.into_string().ok().context("the search path is not text")
}
