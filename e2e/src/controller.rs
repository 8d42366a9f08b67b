//! Running the controllers as the processes that ship.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cluster::{Cluster, User};
use crate::objects::Look;
use crate::process::{Owner, Process, Signal, free_port, temp_folder};
use crate::wait::{self, LIMIT, Not, not_yet};

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Open files and sockets.
    pub files: u64,
    /// Threads.
    pub threads: u64,
    /// Resident memory in KiB.
    pub memory_kib: u64,
    /// The most that it ever was.
    pub peak_kib: u64,
}

/// The namespace the controllers believe to run in.
pub const RUNTIME_NAMESPACE: &str = "flux-system";

/// One controller: its settings outlive the process, so that it can be restarted over the same storage.
#[derive(Debug)]
pub struct Controller {
    user: User,
    binary: PathBuf,
    kubeconfig: PathBuf,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    /// Whether the storage is a file system of its own, which the process mounts for itself alone.
    own_storage: bool,
    /// Whether it finds its service account where Pods do.
    in_pod: bool,
    metrics: u16,
    health: u16,
    folder: PathBuf,
    temp: Option<tempfile::TempDir>,
    process: Option<Process>,
}

impl Controller {
    /// Starts the controller of `user` with further `options` and waits until it is ready. It ends with
    /// its owner.
    pub async fn start(cluster: &Cluster, user: User, options: &[&str]) -> Result<Self> {
        Self::start_in_environment(cluster, user, options, &[]).await
    }

    /// The same with further environment variables.
    pub async fn start_in_environment(
        cluster: &Cluster,
        user: User,
        options: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        Self::start_with(cluster.kubeconfig(user), user, options, environment).await
    }

    /// The same with the identity of a kubeconfig file.
    pub async fn start_with(
        kubeconfig: &Path,
        user: User,
        options: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut controller = Self::in_own_folder(kubeconfig, user, options)?;
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        controller.environment = environment.iter().map(own).collect();
        controller.launch(Owner::Harness).await?;
        Ok(controller)
    }

    /// Starts the controller for sources over a storage that is a file system of its own: it can be [mounted anew](Self::mount)
    /// with other options, and is empty after a restart.
    pub async fn start_over_own_storage(cluster: &Cluster, options: &[&str]) -> Result<Self> {
        let user = User::SourceController;
        let mut controller = Self::in_own_folder(cluster.kubeconfig(user), user, options)?;
        controller.own_storage = true;
        controller.launch(Owner::Harness).await?;
        Ok(controller)
    }

    /// Starts the controller of `user` with further `options` and does not wait for it: it may be ready only when it leads.
    pub fn begin(cluster: &Cluster, user: User, options: &[&str]) -> Result<Self> {
        let mut controller = Self::in_own_folder(cluster.kubeconfig(user), user, options)?;
        controller.spawn(Owner::Harness)?;
        Ok(controller)
    }

    /// Starts `binary` as the controller of `user`, as in a Pod: it finds the namespace of its service account, which controllers
    /// of Flux need for leader election. It is not waited for.
    pub fn start_in_pod(cluster: &Cluster, user: User, binary: &Path, options: &[&str]) -> Result<Self> {
        let mut controller = Self::in_own_folder(cluster.kubeconfig(user), user, options)?;
        controller.binary = binary.to_owned();
        controller.find_account(None)?;
        controller.spawn(Owner::Harness)?;
        Ok(controller)
    }

    /// Starts the controller of `user` as in a Pod, with this token of its service account where Pods find it.
    pub async fn start_with_token(
        cluster: &Cluster,
        user: User,
        token: &str,
        options: &[&str],
    ) -> Result<Self> {
        let mut controller = Self::in_own_folder(cluster.kubeconfig(user), user, options)?;
        controller.find_account(Some(token))?;
        controller.launch(Owner::Harness).await?;
        Ok(controller)
    }

    /// Starts a controller that stays; `folder` records the process, what it stores goes below.
    pub async fn start_detached(cluster: &Cluster, user: User, folder: &Path) -> Result<Self> {
        let own = folder.join(user.name());
        fs::create_dir_all(&own)?;
        let mut controller = Self::new(cluster.kubeconfig(user), user, &[], &own)?;
        controller.launch(Owner::Folder(folder)).await?;
        Ok(controller)
    }

    /// Starts the controller for sources over a storage folder that is there already.
    pub async fn start_over(cluster: &Cluster, storage: &Path, options: &[&str]) -> Result<Self> {
        let user = User::SourceController;
        let mut controller = Self::in_own_folder(cluster.kubeconfig(user), user, options)?;
        for option in controller.options.iter_mut().filter(|option| option.starts_with("--storage-path=")) {
            *option = format!("--storage-path={}", storage.display());
        }
        controller.launch(Owner::Harness).await?;
        Ok(controller)
    }

    /// One whose folder goes with it.
    fn in_own_folder(kubeconfig: &Path, user: User, options: &[&str]) -> Result<Self> {
        let temp = temp_folder(user.name())?;
        let mut controller = Self::new(kubeconfig, user, options, temp.path())?;
        controller.temp = Some(temp);
        Ok(controller)
    }

    fn new(kubeconfig: &Path, user: User, options: &[&str], folder: &Path) -> Result<Self> {
        let (metrics, health) = (free_port()?, free_port()?);
        let mut flags =
            vec![format!("--metrics-addr=127.0.0.1:{metrics}"), format!("--health-addr=127.0.0.1:{health}")];
        if !options.iter().any(|option| option.starts_with("--log-level=")) {
            flags.push("--log-level=debug".into());
        }
        if [User::SourceController, User::SourceWatcher].contains(&user) {
            let storage = folder.join("storage");
            fs::create_dir_all(&storage)?;
            let address = format!("127.0.0.1:{}", free_port()?);
            flags.push(format!("--storage-path={}", storage.display()));
            flags.push(format!("--storage-addr={address}"));
            flags.push(format!("--storage-adv-addr={address}"));
        }
        flags.extend(options.iter().map(|o| (*o).to_owned()));
        fs::create_dir_all(folder.join("tmp"))?;
        Ok(Self {
            user,
            binary: find_binary(user.name())?,
            kubeconfig: kubeconfig.to_owned(),
            options: flags,
            environment: Vec::new(),
            own_storage: false,
            in_pod: false,
            metrics,
            health,
            folder: folder.to_owned(),
            temp: None,
            process: None,
        })
    }

    /// From the next start on it finds its service account where Pods do: the namespace, and a token if there is one.
    fn find_account(&mut self, token: Option<&str>) -> Result<()> {
        let folder = self.account();
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("namespace"), RUNTIME_NAMESPACE)?;
        token.map_or(Ok(()), |token| fs::write(folder.join("token"), token))?;
        self.in_pod = true;
        Ok(())
    }

    /// What the process finds of its service account.
    fn account(&self) -> PathBuf {
        self.folder.join("account")
    }

    async fn launch(&mut self, owner: Owner<'_>) -> Result<()> {
        self.spawn(owner)?;
        let ready = self.health_url("/readyz");
        let waited = wait::until(LIMIT, async || {
            self.expect_running().map_err(Not::Ever)?;
            fetch(&ready).await.map_err(not_yet)
        });
        let waited = waited.await;
        let tail = self.process.as_ref().map(|p| p.log_tail(20)).unwrap_or_default();
        waited.map(drop).with_context(|| format!("{} ready; its log:\n{tail}", self.user.name()))
    }

    fn spawn(&mut self, owner: Owner<'_>) -> Result<()> {
        // A write beyond the limit of `limit_file_size` shall fail, as on a full disk, and not be the end.
        let mut command = Command::new("sh");
        let script = "trap '' XFSZ; exec \"$@\"";
        let mounts = if self.own_storage {
            Some(format!("mount -t tmpfs tmpfs '{}'", self.storage().display()))
        } else if self.in_pod {
            let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
            Some(format!(
                "mount -t tmpfs tmpfs /var/run && mkdir -p {folder} && cp '{}'/* {folder}/",
                self.account().display()
            ))
        } else {
            None
        };
        if let Some(mounts) = mounts {
            command = Command::new("unshare");
            command.arg("--mount").args((!is_root()).then_some("--map-root-user")).arg("sh").arg("-c");
            command.arg(format!("{mounts} && {script}"));
        } else {
            command.arg("-c").arg(script);
        }
        command
            .arg("sh")
            .arg(&self.binary)
            .args(&self.options)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("RUNTIME_NAMESPACE", RUNTIME_NAMESPACE)
            .env("TMPDIR", self.folder.join("tmp"))
            .envs(self.environment.iter().cloned());
        self.process = Some(Process::start(self.user.name(), &mut command, &self.log(), owner)?);
        Ok(())
    }

    fn health_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.health)
    }

    /// The address of a port by the name that Deployments give it: `http` for artifacts, `http-prom`, `healthz`.
    pub fn url(&self, port: &str, path: &str) -> String {
        let artifacts =
            || self.options.iter().rev().find_map(|option| option.strip_prefix("--storage-addr="));
        match port {
            "http" => format!("http://{}{path}", artifacts().unwrap_or_default()),
            "http-prom" => format!("http://127.0.0.1:{}{path}", self.metrics),
            _ => self.health_url(path),
        }
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        fetch(&self.health_url("/readyz")).await.is_ok()
    }

    /// Status code and text that it answers on the health port.
    pub async fn health(&self, path: &str) -> Result<(u16, String)> {
        let answer = client()?.get(self.health_url(path)).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Starts another one like this, over the same storage, and does not wait for it.
    pub fn start_beside(&self) -> Result<Self> {
        let mut other = Self::in_own_folder(&self.kubeconfig, self.user, &[])?;
        let address = |option: &&String| option.split('=').next().is_some_and(|flag| flag.ends_with("-addr"));
        let own = other.options.iter().filter(address);
        let shared = self.options.iter().filter(|option| !address(option));
        other.options = own.chain(shared).cloned().collect();
        other.spawn(Owner::Harness)?;
        Ok(other)
    }

    /// From now on its files cannot grow beyond so many bytes, as on a disk that is full; `None` lifts that.
    pub fn limit_file_size(&self, bytes: Option<u64>) -> Result<()> {
        self.process.as_ref().context("not running")?.limit_file_size(bytes)
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop`](Self::stop), with the same settings.
    pub async fn restart(&mut self) -> Result<()> {
        self.launch(Owner::Harness).await
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM; answers how it ended.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.take().context("not running")?.stop()
    }

    /// Sends a signal, such as SIGSTOP.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("not running")?.signal(signal)
    }

    /// Waits until the process ends by itself; answers how.
    pub async fn ends(&mut self, limit: Duration) -> Result<ExitStatus> {
        let process = self.process.as_mut().context("not running")?;
        wait::until(limit, async || match process.ended().map_err(Not::Ever)? {
            Some(status) => Ok(status),
            None => Err(Not::Yet("it runs".into())),
        })
        .await
    }

    /// Fails when the process has ended by itself.
    pub fn expect_running(&mut self) -> Result<()> {
        self.process.as_mut().context("not running")?.expect_running()
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The folder for its temporary files.
    pub fn temporary(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// What it holds now.
    pub fn usage(&self) -> Result<Usage> {
        let process = format!("/proc/{}", self.id().context("not running")?);
        let status = fs::read_to_string(format!("{process}/status"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.split_whitespace().next());
            Ok(value.with_context(|| format!("no {name}"))?.parse()?)
        };
        Ok(Usage {
            files: fs::read_dir(format!("{process}/fd"))?.count() as u64,
            threads: field("Threads:")?,
            memory_kib: field("VmRSS:")?,
            peak_kib: field("VmHWM:")?,
        })
    }

    /// The folder that `--storage-path` names.
    pub fn storage(&self) -> PathBuf {
        self.folder.join("storage")
    }

    /// The same folder as the process sees it: what is mounted there, it alone sees by that name.
    pub fn own_view(&self) -> Result<PathBuf> {
        let root = PathBuf::from(format!("/proc/{}/root", self.id().context("not running")?));
        Ok(root.join(self.storage().strip_prefix("/")?))
    }

    /// Runs `mount` or `umount` with these arguments and the storage, where the process sees it.
    pub fn mount(&self, command: &[&str]) -> Result<()> {
        let target = self.id().context("not running")?.to_string();
        let mut enter = Command::new("nsenter");
        enter.args(["--mount", "--target", &target]).args((!is_root()).then_some("--user"));
        let status = enter.args(command).arg(self.storage()).status()?;
        ensure!(status.success(), "{command:?}: {status}");
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.user.name()))
    }

    /// Its whole log.
    pub fn log_text(&self) -> String {
        fs::read(self.log()).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }

    /// The last `lines` log lines that mention `word`, and the very last ones whatever they say; shortened.
    pub fn log_about(&self, word: &str, lines: usize) -> String {
        let text = self.log_text();
        let all: Vec<&str> = text.lines().collect();
        let about: Vec<&str> = all.iter().filter(|line| line.contains(word)).copied().collect();
        let last = |lines: &[&str], count: usize| {
            lines
                .iter()
                .skip(lines.len().saturating_sub(count))
                .map(|l| shorten(l))
                .collect::<Vec<_>>()
                .join("\n")
        };
        format!("{} on {word}:\n{}\nlast lines:\n{}", self.user.name(), last(&about, lines), last(&all, 3))
    }

    /// Where it answers `/metrics` and `/debug/objects`.
    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.metrics)
    }

    /// All its series, as Prometheus reads them.
    pub async fn metrics(&self) -> Result<String> {
        fetch(&format!("{}/metrics", self.metrics_url())).await
    }

    /// What it answers on the metrics port, with `query` after the question mark: what goes on with its objects.
    pub async fn debug_objects(&self, query: &str) -> Result<Value> {
        let url = format!("{}/debug/objects?{query}", self.metrics_url());
        serde_json::from_str(&fetch(&url).await?).context("decode the answer")
    }

    /// Waits until it says that the watch of a kind fails, or that it does not.
    pub async fn watch_fails(&self, kind: &str, fails: bool) -> Result<()> {
        let label = format!("kind=\"{kind}\"");
        wait::until(LIMIT, async || {
            let value = self.metric("gotk_watch_failing", &[&label]).await.map_err(Not::Ever)?;
            if (value > 0.0) == fails {
                Ok(())
            } else {
                Err(Not::Yet(format!("gotk_watch_failing is {value}")))
            }
        })
        .await
        .with_context(|| format!("watch of {kind} fails: {fails}; {}", self.log_about("watch failed", 3)))
    }

    /// The sum of a metric over the series whose labels contain every one of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<f64> {
        Ok(sum(&self.metrics().await?, name, labels))
    }
}

/// The same of series that were read before.
pub(crate) fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    let series = text.lines().filter(|line| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
    });
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// A JSON log line as time, level, message and error; any other line as it is.
fn shorten(line: &str) -> String {
    let Ok(entry) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    let fields = ["/ts", "/level", "/msg", "/error"].map(|field| entry.text(field));
    fields.join(" ").trim_end().to_owned()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().timeout(LIMIT).build()
}

/// What is at an address, which has to answer well.
pub async fn fetch(url: &str) -> Result<String> {
    Ok(client()?.get(url).send().await?.error_for_status()?.text().await?)
}

/// The binary `name`: in `E2E_BIN_DIR`, else where cargo puts it beside this program.
pub fn find_binary(name: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os("E2E_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let own = std::env::current_exe()?;
            let folder = own.parent().context("no folder")?;
            // Test programs lie in a folder `deps` below the one of the binaries.
            if folder.ends_with("deps") {
                folder.parent().context("no folder")?.to_owned()
            } else {
                folder.to_owned()
            }
        }
    };
    let binary = folder.join(name);
    if !binary.is_file() {
        bail!("{} is missing: cargo build --workspace --bins", binary.display());
    }
    Ok(binary)
}
