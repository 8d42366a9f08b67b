//! The parts that run on any cluster: `E2E_KUBECONFIG` names it, and whoever calls them has put the images where it finds them.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, User as Identity};
use e2e::node::{ADDRESS, Node};
use e2e::objects::{Id, Look};
use e2e::wait::{self, Not};

use crate::delivery::Delivery;
use crate::settings::Settings;
use crate::user::User;
use crate::{install, interruptions, monitoring, step};

/// What is left out, and why.
const SKIPPED: [(&str, &str); 6] = [
    ("network policies", "whether they are enforced is the cluster's business"),
    ("the attack of a tenant", "a node that others use, too, would feel it"),
    ("a drained node, a node that is restarted", "others have Pods there"),
    ("storage, shards, source-watcher, lockdown", "they show nothing more of another cluster"),
    ("the other ways to install", "they end with the CRDs of an installation that others might have"),
    ("killed processes", "they are not on this machine"),
];
/// How long a Pod may take to be connected to.
const CONNECT: Duration = Duration::from_secs(3);

/// Installs, delivers, watches, interrupts and uninstalls.
pub async fn run(kubeconfig: &Path) -> Result<()> {
    let (cluster, settings) = (Cluster::existing(kubeconfig), Settings::of_environment()?);
    let objects = cluster.objects().await?;
    let namespace = Id::of("v1", "Namespace", "", "flux-system");
    ensure!(
        objects.get(&namespace).await?.is_none(),
        "the cluster has a namespace flux-system: this test installs one, and takes it away"
    );
    let user = User::new(&cluster, settings.clone()).await?;
    install::controllers(&cluster, &user).await?;
    step("all controllers are ready");
    let mut delivery = Delivery::start(&cluster, &settings).await?;
    step("a commit became Pods that are ready");
    match unreachable(&cluster).await? {
        None => monitoring::watch(&cluster, &settings).await?,
        Some(why) => skipped("Prometheus", &why),
    }
    interruptions::of_pods(&cluster, &mut delivery).await?;
    delivery.end().await?;
    user.follow("Uninstall the chart")?;
    wait::until(wait::LIMIT, async || match objects.get(&namespace).await.map_err(wait::not_yet)? {
        None => Ok(()),
        Some(left) => Err(Not::Yet(left.to_string())),
    })
    .await?;
    for (part, why) in SKIPPED {
        skipped(part, why);
    }
    Ok(())
}

/// Runs this program once more, on the cluster of a node as if others ran it; not with `E2E_ONCE`, as it takes minutes.
pub async fn run_beside(node: &Node) -> Result<()> {
    if std::env::var_os("E2E_ONCE").is_some_and(|once| !once.is_empty()) {
        skipped("the same by the kubeconfig alone", "E2E_ONCE is set");
        return Ok(());
    }
    let kubectl = node.cluster.kubectl();
    let path = e2e::document::search_path(&[kubectl.get_program().as_ref()])?;
    let mut program = Command::new(std::env::current_exe()?);
    program.arg("--nocapture").env("PATH", path).env("E2E_ADDRESS", ADDRESS.to_string());
    program.env("E2E_KUBECONFIG", node.cluster.kubeconfig(Identity::Admin));
    let status = tokio::task::spawn_blocking(move || program.status()).await??;
    ensure!(status.success(), "on the cluster of E2E_KUBECONFIG: {status}");
    step("the same program went through it by the node's kubeconfig alone");
    Ok(())
}

/// Why no Prometheus on this machine could read the Pods.
async fn unreachable(cluster: &Cluster) -> Result<Option<String>> {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if let Some(program) = ["prometheus", "promtool"].into_iter().find(|program| !is_there(program)) {
        return Ok(Some(format!("{program} is not installed")));
    }
    let pods = cluster.objects().await?.list(&Id::of("v1", "Pod", "flux-system", "")).await?;
    let pod = pods.first().context("no Pod")?;
    let address: SocketAddr = format!("{}:8080", pod.text("/status/podIP")).parse()?;
    let connected =
        tokio::task::spawn_blocking(move || TcpStream::connect_timeout(&address, CONNECT)).await?;
    Ok(connected.err().map(|error| format!("{address}, a Pod, is not reached from this machine: {error}")))
}

fn skipped(part: &str, why: &str) {
    println!("SKIPPED: {part}: {why}");
}

/// The kubeconfig of a cluster that others run.
pub fn kubeconfig() -> Option<std::ffi::OsString> {
    std::env::var_os("E2E_KUBECONFIG").filter(|path| path != OsStr::new(""))
}
