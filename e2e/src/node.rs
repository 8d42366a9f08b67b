//! A node that runs Pods: containerd, kubelet, kube-proxy, the scheduler, a DNS server and what enforces network policies, in a network
//! namespace of the test's own.
//!
//! The whole cluster is in there. `make e2e-node` starts the test program in new namespaces for network, mounts and processes, so that
//! bridges, rules and mounts go when it ends, and so does everything that it started.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use images::archive::{File, Image};
use images::platform::Platform;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Cluster, SERVICES, User};
use crate::objects::{Id, Look};
use crate::process::{Owner, Process, output, temp_folder};
use crate::wait::{self, Not};
use toolchain::NodeToolchain;

/// The address of the node, of the API server, of the DNS server and of whatever tests want Pods to reach.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 1);
/// The name of the node.
pub const NAME: &str = "node";
/// The image of Pods that tests need: `/pod` does nothing, `/pod PORT` answers HTTP requests, `/pod ADDRESS…` sends them.
pub const POD_IMAGE: &str = "ferroflux/pod:v1";
/// Addresses of Pods.
const PODS: &str = "10.88.0.0/16";
/// How long a node may take to be ready, or Pods to start: images are unpacked then.
const START: Duration = Duration::from_secs(180);
/// The cgroups that the Pods are in.
const CGROUP: &str = "ferroflux-node";

/// A cluster with one node.
#[derive(Debug)]
pub struct Node {
    /// The control plane.
    pub cluster: Cluster,
    toolchain: NodeToolchain,
    folder: PathBuf,
    runtime: Option<Process>,
    kubelet: Option<Process>,
    others: Vec<Process>,
    _temp: TempDir,
}

impl Node {
    /// Starts a cluster and its node.
    pub async fn start() -> Result<Self> {
        enter_network()?;
        let toolchain = tokio::task::spawn_blocking(NodeToolchain::ensure).await??;
        let cluster = Cluster::start_at(ADDRESS).await?;
        let temp = temp_folder("node")?;
        let folder = temp.path().to_owned();
        write_settings(&folder, &toolchain, cluster.kubeconfig(User::Admin))?;
        let mut node = Self {
            cluster,
            toolchain,
            folder,
            runtime: None,
            kubelet: None,
            others: Vec::new(),
            _temp: temp,
        };
        node.start_runtime().await?;
        node.import(&node.pod_image()?)?;
        let kubeconfig = format!("--kubeconfig={}", node.kubeconfig().display());
        let proxy = [
            kubeconfig.as_str(),
            "--conntrack-max-per-core=0",
            "--cluster-cidr",
            PODS,
            "--hostname-override",
            NAME,
        ];
        let others = [
            node.process(
                "kube-scheduler",
                &node.toolchain.scheduler,
                &[&kubeconfig, "--leader-elect=false", "--secure-port=0"],
            )?,
            node.process("kube-proxy", &node.toolchain.proxy, &proxy)?,
            node.process("coredns", &node.toolchain.coredns, &["-conf", &node.file("Corefile")])?,
        ];
        node.others.extend(others);
        node.start_kubelet().await?;
        // It asks for the node's addresses when it starts.
        let policies = [
            kubeconfig.as_str(),
            "--hostname-override",
            NAME,
            "--service-cluster-ip-range",
            SERVICES,
            "--run-firewall=true",
            "--run-router=false",
            "--run-service-proxy=false",
            "--enable-cni=false",
            "--health-port=0",
        ];
        node.others.push(node.process("kube-router", &node.toolchain.router, &policies)?);
        Ok(node)
    }

    /// Starts the node's programs again after [`Self::stop`].
    pub async fn resume(&mut self) -> Result<()> {
        self.start_runtime().await?;
        self.start_kubelet().await
    }

    /// Ends kubelet and containerd at once, and all containers with them, as a power failure would.
    pub fn stop(&mut self) -> Result<()> {
        self.kubelet = None;
        self.runtime = None;
        // The containers, and the shims that look after them. Killed by what they are, since nothing lists them any more.
        for entry in fs::read_dir("/proc")?.flatten() {
            let Ok(command) = fs::read_to_string(entry.path().join("cmdline")) else { continue };
            let groups = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
            if command.contains("containerd-shim") || groups.contains(CGROUP) {
                let process = entry.file_name();
                let _ = Command::new("kill").arg("-9").arg(process).status();
            }
        }
        Ok(())
    }

    /// Makes the image of an archive known to the node.
    pub fn import(&self, archive: &Path) -> Result<()> {
        output(self.images().arg("import").arg(archive)).map(drop)
    }

    /// Gives an image that the node knows another name. Both are whole, with the registry.
    pub fn tag(&self, image: &str, name: &str) -> Result<()> {
        output(self.images().args(["tag", image, name])).map(drop)
    }

    fn images(&self) -> Command {
        let mut images = Command::new(&self.toolchain.ctr);
        images.args(["--address", &self.file("containerd.sock"), "--namespace", "k8s.io", "images"]);
        images
    }

    /// The end of what the node's programs say.
    pub fn logs(&self) -> String {
        let processes = self.runtime.iter().chain(&self.kubelet).chain(&self.others);
        processes.map(|process| format!("{}\n", process.log_tail(15))).collect()
    }

    /// The image of Pods that tests need, which also holds the namespaces of every Pod.
    fn pod_image(&self) -> Result<PathBuf> {
        let (source, binary) = (self.folder.join("pod.rs"), self.folder.join("pod"));
        fs::write(&source, include_str!("node/pod.rs"))?;
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-o"]).args([&binary, &source]);
        output(&mut rustc)?;
        let image = Image {
            reference: POD_IMAGE.into(),
            architecture: Platform::native()?.architecture,
            created: 0,
            labels: [].into(),
            entrypoint: "/pod".into(),
            files: [("pod".to_owned(), File { content: fs::read(&binary)?, mode: 0o755 })].into(),
        };
        let archive = self.folder.join("pod.tar");
        fs::write(&archive, image.write()?.archive)?;
        Ok(archive)
    }

    async fn start_runtime(&mut self) -> Result<()> {
        let config = self.file("containerd.toml");
        self.runtime =
            Some(self.process("containerd", &self.toolchain.containerd, &["--config", &config])?);
        let socket = self.folder.join("containerd.sock");
        wait::until(START, async || {
            let mut version = Command::new(&self.toolchain.ctr);
            version.arg("--address").arg(&socket).arg("version");
            match version.output() {
                Ok(output) if output.status.success() => Ok(()),
                answer => Err(Not::Yet(format!("containerd: {answer:?}\n{}", self.logs()))),
            }
        })
        .await
    }

    async fn start_kubelet(&mut self) -> Result<()> {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig().display());
        let config = format!("--config={}", self.file("kubelet.json"));
        let (root, certificates) = (self.file("kubelet"), self.file("kubelet/pki"));
        let address = ADDRESS.to_string();
        let arguments = [
            kubeconfig.as_str(),
            &config,
            "--hostname-override",
            NAME,
            "--node-ip",
            &address,
            "--root-dir",
            &root,
            "--cert-dir",
            &certificates,
        ];
        self.kubelet = Some(self.process("kubelet", &self.toolchain.kubelet, &arguments)?);
        let (objects, id) = (self.cluster.objects().await?, Id::of("v1", "Node", "", NAME));
        wait::until(START, async || match objects.get(&id).await {
            Ok(Some(node)) if node.condition("Ready").is_some_and(|ready| ready.status == "True") => Ok(()),
            seen => Err(Not::Yet(format!("{seen:?}\n{}", self.logs()))),
        })
        .await
    }

    fn process(&self, name: &str, program: &Path, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new(program);
        command.args(arguments);
        Process::start(name, &mut command, &self.folder.join(format!("{name}.log")), Owner::Harness)
    }

    fn kubeconfig(&self) -> &Path {
        self.cluster.kubeconfig(User::Admin)
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What is left of the containers would keep their folders and control groups busy.
        let _ = self.stop();
        for group in control_groups().into_iter().flatten() {
            remove_group(&group);
        }
    }
}

/// Gives the network namespace that we are in the node's address.
fn enter_network() -> Result<()> {
    let links: Vec<Value> = serde_json::from_str(&output(Command::new("ip").args(["-json", "link"]))?)
        .context("read the links")?;
    let names: Vec<_> = links.iter().map(|link| link.text("/ifname")).collect();
    // Some kernels put tunnels into each namespace.
    let is_new = links.iter().all(|link| link.text("/link_type") != "ether");
    ensure!(is_new, "a node needs a network namespace of its own, this one has {names:?}: run make e2e-node");
    let address = format!("{ADDRESS}/24");
    for arguments in [
        "link set lo up",
        &format!("link add {NAME} type bridge"),
        &format!("address add {address} dev {NAME}"),
        &format!("link set {NAME} up"),
        &format!("route add default via {ADDRESS}"),
    ] {
        output(Command::new("ip").args(arguments.split(' ')))?;
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("forward packets")
}

fn write_settings(folder: &Path, toolchain: &NodeToolchain, kubeconfig: &Path) -> Result<()> {
    let path = |name: &str| folder.join(name).display().to_string();
    let plugins = toolchain.network_plugins.display();
    let containerd = format!(
        r#"version = 3
root = "{root}"
state = "{state}"
[grpc]
address = "{socket}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "docker.io/{POD_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
# Where one may not make a process less likely to be killed.
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{plugins}"]
conf_dir = "{network}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#,
        root = path("containerd"),
        state = path("containerd.state"),
        socket = path("containerd.sock"),
        network = path("network"),
    );
    fs::write(folder.join("containerd.toml"), containerd)?;
    fs::create_dir(folder.join("network"))?;
    let network = json!({
        "cniVersion": "1.0.0", "name": "pods", "plugins": [
            // Each Pod has a link of its own to the node, so that answers of Services pass the node, too.
            {"type": "ptp", "ipMasq": false, "ipam": {
                "type": "host-local", "dataDir": path("addresses"),
                "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}],
            }},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    fs::write(folder.join("network/pods.conflist"), network.to_string())?;
    let kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{CGROUP}"), "cgroupsPerQOS": true, "enforceNodeAllocatable": [],
        "clusterDNS": [ADDRESS], "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{}", path("containerd.sock")),
        // Disks of test machines are full.
        "evictionHard": {"memory.available": "1%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "failCgroupV1": false, "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "2s",
        "resolvConf": path("resolv.conf"),
    });
    fs::write(folder.join("kubelet.json"), kubelet.to_string())?;
    fs::write(folder.join("resolv.conf"), "")?;
    let names = format!(
        "cluster.local:53 {{
    bind {ADDRESS}
    kubernetes cluster.local {{
        kubeconfig {}
    }}
}}
",
        kubeconfig.display()
    );
    fs::write(folder.join("Corefile"), names)?;
    for group in control_groups()?.iter().filter(|group| !group.is_dir()) {
        fs::create_dir(group).with_context(|| format!("create {}", group.display()))?;
        // In version 1 a new group has no processors and no memory nodes.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(all) = fs::read_to_string(group.with_file_name(file)) {
                fs::write(group.join(file), all)?;
            }
        }
    }
    Ok(())
}

/// Where the Pods' control groups are: one folder for each controller of version 1, one for all in version 2.
fn control_groups() -> Result<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.procs").is_file() {
        return Ok(vec![root.join(CGROUP)]);
    }
    let controllers = fs::read_dir(root)?.flatten().map(|controller| controller.path());
    let controllers = controllers.filter(|controller| controller.join("cgroup.procs").is_file());
    Ok(controllers.map(|controller| controller.join(CGROUP)).collect())
}

/// Removes a control group without processes, and those in it.
fn remove_group(group: &Path) {
    for inner in fs::read_dir(group).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        remove_group(&inner.path());
    }
    // Processes that were killed may not have ended yet; an empty group costs nothing.
    let _ = fs::remove_dir(group);
}
