//! What operators and accidents do to Pods: nothing is lost, nothing is written that was right, and the next commit arrives.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::node::{NAME, Node};
use e2e::objects::{Id, Look};
use e2e::process::output;
use e2e::wait::{self, Not};

use crate::delivery::Delivery;
use crate::install::{CONTROLLERS, rolled_out};
use crate::step;

/// How long another leader may take: the lease of the one that is gone has to end.
const TAKE_OVER: Duration = Duration::from_secs(120);

/// Those of Pods, one after the other.
pub async fn of_pods(cluster: &Cluster, delivery: &mut Delivery) -> Result<()> {
    for name in CONTROLLERS {
        let before = delivery.applied().await?;
        kubectl(cluster, &["-n", "flux-system", "delete", "pod", "-l", &format!("app={name}")])?;
        survived(cluster, delivery, before, &format!("the Pod of {name} was deleted")).await?;

        let before = delivery.applied().await?;
        kubectl(cluster, &["-n", "flux-system", "rollout", "restart", &format!("deployment/{name}")])?;
        survived(cluster, delivery, before, &format!("{name} was rolled out again")).await?;

        let before = delivery.applied().await?;
        leader_change(cluster, name).await?;
        survived(cluster, delivery, before, &format!("another {name} became the leader")).await?;
    }
    during_an_upgrade(cluster, delivery).await
}

/// Those of a node that has no other Pods.
pub async fn of_node(node: &mut Node, delivery: &mut Delivery) -> Result<()> {
    let before = delivery.applied().await?;
    kubectl(
        &node.cluster,
        &["drain", NAME, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=120s"],
    )?;
    kubectl(&node.cluster, &["uncordon", NAME])?;
    survived(&node.cluster, delivery, before, "the node was drained").await?;

    let before = delivery.applied().await?;
    node.stop()?;
    node.resume().await?;
    survived(&node.cluster, delivery, before, "the node was restarted").await
}

/// The controllers are back, have not written what is as it should be, and deliver the next commit.
async fn survived(
    cluster: &Cluster,
    delivery: &mut Delivery,
    before: crate::delivery::Applied,
    what: &str,
) -> Result<()> {
    for name in CONTROLLERS {
        rolled_out(cluster, name).await.with_context(|| what.to_owned())?;
    }
    let after = delivery.applied().await?;
    ensure!(after == before, "{what}: {before:?} became {after:?}");
    delivery.deliver().await.with_context(|| what.to_owned())?;
    step(&format!("{what}, and the next commit arrived"));
    Ok(())
}

/// A second replica waits, and goes on when the first one is gone.
async fn leader_change(cluster: &Cluster, name: &str) -> Result<()> {
    let objects = cluster.objects().await?;
    let lease = format!("{name}-leader-election");
    let lease = Id::of("coordination.k8s.io/v1", "Lease", "flux-system", &lease);
    let leader = async || -> Result<String> {
        let lease = objects.get(&lease).await?.context("no lease")?;
        let holder = lease.text("/spec/holderIdentity");
        Ok(holder.split('_').next().unwrap_or(holder).to_owned())
    };
    let first = leader().await?;
    kubectl(cluster, &["-n", "flux-system", "scale", &format!("deployment/{name}"), "--replicas=2"])?;
    // Who serves artifacts is not ready before it leads.
    wait::until(TAKE_OVER, async || {
        let pods = objects.list(&Id::of("v1", "Pod", "flux-system", "")).await.map_err(wait::not_yet)?;
        let ours = pods.iter().filter(|pod| pod.text("/metadata/labels/app") == name);
        let states: Vec<_> = ours.map(|pod| pod.text("/status/phase")).collect();
        if states == ["Running"; 2] { Ok(()) } else { Err(Not::Yet(format!("{name}: {states:?}"))) }
    })
    .await?;
    kubectl(cluster, &["-n", "flux-system", "delete", "pod", &first])?;
    wait::until(TAKE_OVER, async || match leader().await {
        Ok(now) if now != first && !now.is_empty() => Ok(()),
        seen => Err(Not::Yet(format!("{first} was the leader, now {seen:?}"))),
    })
    .await?;
    kubectl(cluster, &["-n", "flux-system", "scale", &format!("deployment/{name}"), "--replicas=1"])
}

/// helm-controller is told to end while an upgrade waits for a Pod: it finishes that, and its successor does it over no more.
async fn during_an_upgrade(cluster: &Cluster, delivery: &mut Delivery) -> Result<()> {
    const NAME: &str = "helm-controller";
    let revision = delivery.begin_upgrade().await?;
    kubectl(cluster, &["-n", "flux-system", "delete", "pod", "-l", &format!("app={NAME}"), "--wait=false"])?;
    // The one that is told to end is not counted.
    rolled_out(cluster, NAME).await?;
    let status = delivery.revision(revision).await?;
    ensure!(status == "pending-upgrade", "revision {revision} is {status} though its Pod is not ready");
    delivery.finish_upgrade(cluster, revision).await?;
    delivery.deliver().await?;
    step("helm-controller was deleted during an upgrade, finished it, and the next commit arrived");
    Ok(())
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Result<()> {
    output(cluster.kubectl().args(arguments)).map(drop)
}
