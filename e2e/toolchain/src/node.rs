//! The programs of a node: what runs Pods, and what gives them addresses and names.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::KUBERNETES;
use crate::command::on_path;
use crate::module::{Build, COPY, Module, Program};

const CONTAINERD: Module = Module {
    name: "containerd",
    go_mod: include_str!("../../tools/containerd/go.mod"),
    root: "github.com/containerd/containerd/v2",
    version_variables: &["github.com/containerd/containerd/v2/version.Version=v{version}"],
    // Snapshots of file systems that a test has no use for.
    tags: "no_btrfs,no_devmapper,no_zfs",
    build: Build::Here,
};

const COREDNS: Module = Module {
    name: "coredns",
    go_mod: include_str!("../../tools/coredns/go.mod"),
    root: "github.com/coredns/coredns",
    version_variables: &[],
    tags: "",
    build: Build::Here,
};

const KUBE_ROUTER: Module = Module {
    name: "kube-router",
    go_mod: include_str!("../../tools/kube-router/go.mod"),
    root: "github.com/cloudnativelabs/kube-router/v2",
    version_variables: &[],
    tags: "",
    build: COPY,
};

/// Those that are built.
pub(crate) const PROGRAMS: [Program; 8] = [SHIM, RUNTIME, CTR, KUBELET, PROXY, SCHEDULER, DNS, ROUTER];
const SHIM: Program = Program::new(
    &CONTAINERD,
    "containerd-shim-runc-v2",
    "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
);
const RUNTIME: Program =
    Program::new(&CONTAINERD, "containerd", "github.com/containerd/containerd/v2/cmd/containerd");
const CTR: Program = Program::new(&CONTAINERD, "ctr", "github.com/containerd/containerd/v2/cmd/ctr");
const KUBELET: Program = Program::new(&KUBERNETES, "kubelet", "k8s.io/kubernetes/cmd/kubelet");
const PROXY: Program = Program::new(&KUBERNETES, "kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy");
const SCHEDULER: Program =
    Program::new(&KUBERNETES, "kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler");
const DNS: Program = Program::new(&COREDNS, "coredns", "github.com/coredns/coredns");
const ROUTER: Program = Program::new(&KUBE_ROUTER, "kube-router", "./cmd/kube-router");

/// The programs of a node.
#[derive(Clone, Debug)]
pub struct NodeToolchain {
    /// Runs containers.
    pub containerd: PathBuf,
    /// Imports images; the client of containerd.
    pub ctr: PathBuf,
    /// Runs Pods.
    pub kubelet: PathBuf,
    /// Gives Services their addresses.
    pub proxy: PathBuf,
    /// Gives Pods their node.
    pub scheduler: PathBuf,
    /// Gives Services their names.
    pub coredns: PathBuf,
    /// Enforces network policies.
    pub router: PathBuf,
    /// The folder with the plugins that give Pods their addresses.
    pub network_plugins: PathBuf,
}

impl NodeToolchain {
    /// Finds the programs in the cache and builds those that are missing, which takes minutes. `runc`, `iptables`, `ipset` and
    /// the network plugins are those of the system.
    pub fn ensure() -> Result<Self> {
        for (program, package) in
            [("runc", "runc"), ("iptables", "iptables"), ("ipset", "ipset"), ("ip", "iproute2")]
        {
            on_path(program)
                .with_context(|| format!("{program} is not installed (Debian's package {package})"))?;
        }
        let network_plugins = ["/usr/lib/cni", "/opt/cni/bin"].map(PathBuf::from);
        let network_plugins = network_plugins
            .into_iter()
            .find(|folder| folder.join("ptp").is_file())
            .context("no network plugins are installed (Debian's package containernetworking-plugins)")?;
        // containerd looks for it beside itself.
        SHIM.ensure()?;
        Ok(Self {
            containerd: RUNTIME.ensure()?,
            ctr: CTR.ensure()?,
            kubelet: KUBELET.ensure()?,
            proxy: PROXY.ensure()?,
            scheduler: SCHEDULER.ensure()?,
            coredns: DNS.ensure()?,
            router: ROUTER.ensure()?,
            network_plugins,
        })
    }
}
