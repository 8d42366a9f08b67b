//! A Kubernetes control plane on free loopback ports: etcd, API server, controller manager.
//!
//! There is no node unless [`crate::node`] adds one: Deployments of 0 replicas become ready, Pods stay Pending. With
//! `E2E_KUBECONFIG` set, [`Cluster::shared`] is that cluster instead.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use rand::RngExt;
use rand::distr::Alphanumeric;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::audit::Audit;
use crate::controller::RUNTIME_NAMESPACE;
use crate::objects::{Id, Look, Objects};
use crate::pki::Ca;
use crate::process::{Owner, Process, free_port, output, temp_folder};
use crate::wait::{self, LIMIT, Not, not_yet};
use toolchain::Toolchain;

/// Addresses of Services.
pub(crate) const SERVICES: &str = "10.0.0.0/16";
/// The address of the Service `kubernetes`: the first of them.
const SERVICE_ADDRESS: &str = "10.0.0.1";

/// Who talks to the API server; each has a token of its own, so that the audit log tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// Tests, people, the controller manager.
    Admin,
    /// The controller for sources.
    SourceController,
    /// The controller for Kustomizations.
    KustomizeController,
    /// The controller for ArtifactGenerators.
    SourceWatcher,
    /// The controller for HelmReleases.
    HelmController,
}

impl User {
    /// Every controller.
    pub const CONTROLLERS: [Self; 4] =
        [Self::SourceController, Self::KustomizeController, Self::SourceWatcher, Self::HelmController];

    /// Everybody.
    pub const ALL: [Self; 5] = [
        Self::Admin,
        Self::SourceController,
        Self::KustomizeController,
        Self::SourceWatcher,
        Self::HelmController,
    ];

    /// The name of the program, or `admin`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::SourceController => "source-controller",
            Self::KustomizeController => "kustomize-controller",
            Self::SourceWatcher => "source-watcher",
            Self::HelmController => "helm-controller",
        }
    }

    /// The user name that the API server sees: for a controller the service account of its Deployment, so
    /// that it has the rights of `config/rbac` and no others.
    pub fn identity(self) -> String {
        match self {
            Self::Admin => self.name().into(),
            _ => format!("system:serviceaccount:{RUNTIME_NAMESPACE}:{}", self.name()),
        }
    }
}

/// A running control plane, or one that others run.
#[derive(Debug)]
pub struct Cluster {
    kubeconfigs: BTreeMap<User, PathBuf>,
    own: Option<ControlPlane>,
}

/// The processes, and what is needed to restart the API server.
#[derive(Debug)]
struct ControlPlane {
    toolchain: Toolchain,
    folder: PathBuf,
    api: SocketAddrV4,
    etcd_port: u16,
    processes: Mutex<BTreeMap<&'static str, Process>>,
    _temp: Option<TempDir>,
}

impl Cluster {
    /// The cluster that all tests of this program share, with the project's CRDs and roles.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| async {
                let cluster = match std::env::var_os("E2E_KUBECONFIG") {
                    Some(path) => Self::existing(Path::new(&path)),
                    None => Self::start().await?,
                };
                cluster.install().await?;
                Ok(cluster)
            })
            .await
    }

    /// A cluster that others run: every user has the same identity there.
    pub fn existing(kubeconfig: &Path) -> Self {
        let kubeconfigs = User::ALL.into_iter().map(|user| (user, kubeconfig.to_owned())).collect();
        Self { kubeconfigs, own: None }
    }

    /// Starts a control plane that ends with its owner.
    pub async fn start() -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST).await
    }

    /// The same, at an address that Pods reach: they find the API server as the Service `kubernetes`.
    pub async fn start_at(address: Ipv4Addr) -> Result<Self> {
        let temp = temp_folder("cluster")?;
        let folder = temp.path().to_owned();
        Self::start_in(&folder, address, Owner::Harness, Some(temp)).await
    }

    /// Starts a control plane that stays: `folder` holds its state and records its processes.
    pub async fn start_detached(folder: &Path) -> Result<Self> {
        // It holds keys and tokens.
        let private = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        private.with_context(|| format!("create {}", folder.display()))?;
        Self::start_in(folder, Ipv4Addr::LOCALHOST, Owner::Folder(folder), None).await
    }

    async fn start_in(
        folder: &Path,
        address: Ipv4Addr,
        owner: Owner<'_>,
        temp: Option<TempDir>,
    ) -> Result<Self> {
        let toolchain = tokio::task::spawn_blocking(Toolchain::ensure).await??;
        let (api_port, etcd_port) = (free_port()?, free_port()?);
        let api = SocketAddrV4::new(address, api_port);
        let kubeconfigs = write_settings(folder, api)?;
        let plane = ControlPlane {
            toolchain,
            folder: folder.to_owned(),
            api,
            etcd_port,
            processes: Mutex::default(),
            _temp: temp,
        };
        let cluster = Self { kubeconfigs, own: Some(plane) };
        cluster.launch("etcd", owner)?;
        cluster.launch("kube-apiserver", owner)?;
        cluster.wait_for_apiserver().await?;
        cluster.launch("kube-controller-manager", owner)?;
        cluster.wait_for_controllers().await?;
        Ok(cluster)
    }

    /// The kubeconfig file of a user.
    pub fn kubeconfig(&self, user: User) -> &Path {
        self.kubeconfigs.get(&user).map_or(Path::new(""), PathBuf::as_path)
    }

    /// A ConfigMap for `spec.kubeConfig` that leads to this cluster by tokens of service accounts.
    pub fn access(&self, name: &str) -> Result<Value> {
        let kubeconfig: Value = serde_yaml::from_str(&fs::read_to_string(self.kubeconfig(User::Admin))?)?;
        let cluster = |field: &str| kubeconfig.text(&format!("/clusters/0/cluster/{field}"));
        let ca = BASE64_STANDARD.decode(cluster("certificate-authority-data"))?;
        Ok(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {
                "provider": "generic", "address": cluster("server"), "ca.crt": String::from_utf8(ca)?,
                "audiences": "https://kubernetes.default.svc",
            },
        }))
    }

    /// A client with all rights.
    pub async fn objects(&self) -> Result<Objects> {
        Objects::connect(self.kubeconfig(User::Admin)).await
    }

    /// The kubectl of this cluster's release, or the one on the search path.
    pub fn kubectl(&self) -> Command {
        let program = self.own.as_ref().map_or(Path::new("kubectl"), |own| &own.toolchain.kubectl);
        let mut kubectl = Command::new(program);
        kubectl.env("KUBECONFIG", self.kubeconfig(User::Admin));
        kubectl
    }

    /// Makes the cluster ready for the controllers: their namespace, `config/rbac` with the optional roles, and
    /// `config/crd/bases`.
    /// Waits until the API server serves every kind.
    pub async fn install(&self) -> Result<()> {
        let objects = self.objects().await?;
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RUNTIME_NAMESPACE}});
        objects.apply_one(&namespace, "").await?;
        for folder in ["config/rbac", "config/rbac/source-watcher"] {
            let rbac = crate::workspace().join(folder);
            let mut apply = self.kubectl();
            apply.args(["apply", "--server-side", "-n", RUNTIME_NAMESPACE, "-k"]).arg(rbac);
            tokio::task::spawn_blocking(move || output(&mut apply)).await??;
        }
        let folder = crate::workspace().join("config/crd/bases");
        let mut files: Vec<PathBuf> = fs::read_dir(&folder)
            .with_context(|| format!("read {}", folder.display()))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        files.sort();
        for file in files {
            for crd in objects.apply(&fs::read_to_string(&file)?, "").await? {
                wait::until(LIMIT, async || match objects.get(&crd).await {
                    Ok(Some(live)) if live.condition("Established").is_some_and(|c| c.status == "True") => {
                        Ok(())
                    }
                    seen => Err(Not::Yet(format!("{crd} established: {seen:?}"))),
                })
                .await?;
            }
        }
        Ok(())
    }

    /// Ends the API server at once, as a crash would.
    pub fn kill_apiserver(&self) {
        if let Some(own) = &self.own {
            // Dropping it kills it and waits.
            drop(own.processes.lock().unwrap_or_else(PoisonError::into_inner).remove("kube-apiserver"));
        }
    }

    /// Starts the API server again at the same address and waits until it is ready.
    pub async fn start_apiserver(&self) -> Result<()> {
        self.launch("kube-apiserver", Owner::Harness)?;
        self.wait_for_apiserver().await
    }

    /// What the controllers ask the API server from now on; nothing on a cluster that others run.
    pub fn audit(&self) -> Option<Audit> {
        Some(Audit::from_now_on(&self.own.as_ref()?.folder.join("audit.log")))
    }

    fn launch(&self, name: &'static str, owner: Owner<'_>) -> Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        let mut command = own.command(name, self.kubeconfig(User::Admin));
        let process = Process::start(name, &mut command, &own.folder.join(format!("{name}.log")), owner)?;
        own.processes.lock().unwrap_or_else(PoisonError::into_inner).insert(name, process);
        Ok(())
    }

    async fn wait_for_apiserver(&self) -> Result<()> {
        let objects = self.objects().await?;
        self.wait("API server ready", async || objects.read("/readyz").await.map(drop).map_err(not_yet)).await
    }

    /// The controller manager has no say on when it is ready; but the first service account is made only
    /// when all its controllers have started. Until then it gives up if it loses the API server.
    async fn wait_for_controllers(&self) -> Result<()> {
        let objects = self.objects().await?;
        let account = Id::new("ServiceAccount/default", "default")?;
        self.wait("controllers started", async || match objects.get(&account).await {
            Ok(Some(_)) => Ok(()),
            seen => Err(Not::Yet(format!("{account}: {seen:?}"))),
        })
        .await
    }

    /// Waits while all processes run; the error shows what they last said.
    async fn wait(&self, what: &str, mut look: impl AsyncFnMut() -> Result<(), Not>) -> Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        let processes = || own.processes.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = wait::until(LIMIT, async || {
            processes().values_mut().try_for_each(Process::expect_running).map_err(Not::Ever)?;
            look().await
        });
        waited.await.with_context(|| {
            let tails = processes()
                .iter()
                .map(|(name, p)| format!("{name}:\n{}", p.log_tail(15)))
                .collect::<Vec<_>>();
            format!("{what}\n{}", tails.join("\n"))
        })
    }
}

impl ControlPlane {
    /// Nothing but this machine's processes reaches a loopback address.
    fn has_pods(&self) -> bool {
        !self.api.ip().is_loopback()
    }

    fn command(&self, name: &str, admin: &Path) -> Command {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let etcd = format!("http://127.0.0.1:{}", self.etcd_port);
        let (program, flags) = match name {
            "etcd" => (
                &self.toolchain.etcd,
                vec![
                    format!("--data-dir={}", file("etcd")),
                    format!("--listen-client-urls={etcd}"),
                    format!("--advertise-client-urls={etcd}"),
                    // No peers: a port of the system's choice will do.
                    "--listen-peer-urls=http://127.0.0.1:0".into(),
                    "--unsafe-no-fsync".into(),
                    "--log-level=error".into(),
                ],
            ),
            "kube-apiserver" => (
                &self.toolchain.apiserver,
                vec![
                    format!("--etcd-servers={etcd}"),
                    format!("--bind-address={}", self.api.ip()),
                    format!("--secure-port={}", self.api.port()),
                    format!("--tls-cert-file={}", file("server.pem")),
                    format!("--tls-private-key-file={}", file("server.key")),
                    "--service-account-issuer=https://kubernetes.default.svc".into(),
                    format!("--service-account-key-file={}", file("sa.pub")),
                    format!("--service-account-signing-key-file={}", file("sa.key")),
                    format!("--token-auth-file={}", file("tokens.csv")),
                    "--authorization-mode=Node,RBAC".into(),
                    format!("--service-cluster-ip-range={SERVICES}"),
                    // Where Pods cannot reach it there is no endpoint.
                    format!(
                        "--endpoint-reconciler-type={}",
                        if self.has_pods() { "master-count" } else { "none" }
                    ),
                    // For logs of Pods: nothing resolves the name of a node.
                    "--kubelet-preferred-address-types=InternalIP".into(),
                    format!("--audit-policy-file={}", file("audit.yaml")),
                    format!("--audit-log-path={}", file("audit.log")),
                ],
            ),
            _ => (
                &self.toolchain.controller_manager,
                vec![
                    format!("--kubeconfig={}", admin.display()),
                    format!("--service-account-private-key-file={}", file("sa.key")),
                    "--use-service-account-credentials".into(),
                    "--leader-elect=false".into(),
                    "--secure-port=0".into(),
                    // With the default of 20 requests a second it is this program that tests wait for.
                    "--kube-api-qps=1000".into(),
                    "--kube-api-burst=2000".into(),
                    // Whom Pods trust to be the API server, if there are any.
                    format!(
                        "--root-ca-file={}",
                        if self.has_pods() { file("ca.pem") } else { String::new() }
                    ),
                    format!(
                        "--controllers=*,-node-ipam-controller,-cloud-node-lifecycle-controller{}",
                        if self.has_pods() { "" } else { ",-node-lifecycle-controller" }
                    ),
                ],
            ),
        };
        let mut command = Command::new(program);
        command.args(flags);
        command
    }
}

/// Writes keys, certificates, tokens, the audit policy and one kubeconfig for each user.
fn write_settings(folder: &Path, api: SocketAddrV4) -> Result<BTreeMap<User, PathBuf>> {
    let ca = Ca::new("e2e")?;
    let server = ca.issue(&[&api.ip().to_string(), SERVICE_ADDRESS])?;
    let service_accounts = rcgen::KeyPair::generate()?;
    fs::write(folder.join("ca.pem"), ca.pem())?;
    fs::write(folder.join("server.pem"), server.certificate)?;
    fs::write(folder.join("server.key"), server.key)?;
    fs::write(folder.join("sa.key"), service_accounts.serialize_pem())?;
    fs::write(folder.join("sa.pub"), service_accounts.public_key_pem())?;
    let controllers = User::CONTROLLERS.map(User::identity);
    // Written before a request is handled: whoever sees what one has done finds it in the log.
    let omitted = ["ResponseStarted", "ResponseComplete", "Panic"];
    let audited = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": omitted,
        "rules": [
            {"level": "Metadata", "users": controllers},
            {"level": "None"},
        ],
    });
    fs::write(folder.join("audit.yaml"), audited.to_string())?;
    let (mut tokens, mut kubeconfigs) = (String::new(), BTreeMap::new());
    for user in User::ALL {
        let name = user.name();
        let token: String = rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect();
        let groups = if user == User::Admin { "system:masters" } else { "system:serviceaccounts" };
        tokens += &format!("{token},{},{name},{groups}\n", user.identity());
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": {
                "server": format!("https://{api}"),
                "certificate-authority-data": BASE64_STANDARD.encode(ca.pem()),
            }}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": name}}],
        });
        // The file that people are told about has the plain name.
        let file = if user == User::Admin { "kubeconfig".into() } else { format!("{name}.kubeconfig") };
        fs::write(folder.join(&file), serde_yaml::to_string(&kubeconfig)?)?;
        kubeconfigs.insert(user, folder.join(file));
    }
    fs::write(folder.join("tokens.csv"), tokens)?;
    Ok(kubeconfigs)
}
