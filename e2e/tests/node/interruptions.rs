//! What operators and accidents do to Pods: nothing is lost, nothing is written that was right, and the next commit arrives.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::node::{NAME, Node};
use e2e::objects::{Id, Look};
use e2e::process::output;
use e2e::wait::{self, Not};

use crate::delivery::Delivery;
use crate::install::{CONTROLLERS, rolled_out};
use crate::step;

/// How long another leader may take: the lease of the one that is gone has to end.
const TAKE_OVER: Duration = Duration::from_secs(120);

/// All of them, one after the other.
pub async fn all(node: &mut Node, delivery: &mut Delivery) -> Result<()> {
    for name in CONTROLLERS {
        let before = delivery.applied().await?;
        kubectl(node, &["-n", "flux-system", "delete", "pod", "-l", &format!("app={name}")])?;
        survived(node, delivery, before, &format!("the Pod of {name} was deleted")).await?;

        let before = delivery.applied().await?;
        kubectl(node, &["-n", "flux-system", "rollout", "restart", &format!("deployment/{name}")])?;
        survived(node, delivery, before, &format!("{name} was rolled out again")).await?;
    }
    // The other one serves artifacts, and is not ready before it leads.
    for name in ["kustomize-controller", "helm-controller"] {
        let before = delivery.applied().await?;
        leader_change(node, name).await?;
        survived(node, delivery, before, &format!("another {name} became the leader")).await?;
    }

    let before = delivery.applied().await?;
    kubectl(
        node,
        &["drain", NAME, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=120s"],
    )?;
    kubectl(node, &["uncordon", NAME])?;
    survived(node, delivery, before, "the node was drained").await?;

    let before = delivery.applied().await?;
    node.stop()?;
    node.resume().await?;
    survived(node, delivery, before, "the node was restarted").await
}

/// The controllers are back, have not written what is as it should be, and deliver the next commit.
async fn survived(
    node: &Node,
    delivery: &mut Delivery,
    before: crate::delivery::Applied,
    what: &str,
) -> Result<()> {
    for name in CONTROLLERS {
        rolled_out(node, name).await.with_context(|| what.to_owned())?;
    }
    let after = delivery.applied().await?;
    ensure!(after == before, "{what}: {before:?} became {after:?}");
    delivery.deliver().await.with_context(|| what.to_owned())?;
    step(&format!("{what}, and the next commit arrived"));
    Ok(())
}

/// A second replica waits, and goes on when the first one is gone.
async fn leader_change(node: &Node, name: &str) -> Result<()> {
    let objects = node.cluster.objects().await?;
    let lease = format!("{name}-leader-election");
    let lease = Id::of("coordination.k8s.io/v1", "Lease", "flux-system", &lease);
    let leader = async || -> Result<String> {
        let lease = objects.get(&lease).await?.context("no lease")?;
        let holder = lease.text("/spec/holderIdentity");
        Ok(holder.split('_').next().unwrap_or(holder).to_owned())
    };
    let first = leader().await?;
    kubectl(node, &["-n", "flux-system", "scale", &format!("deployment/{name}"), "--replicas=2"])?;
    rolled_out(node, name).await?;
    kubectl(node, &["-n", "flux-system", "delete", "pod", &first])?;
    wait::until(TAKE_OVER, async || match leader().await {
        Ok(now) if now != first && !now.is_empty() => Ok(()),
        seen => Err(Not::Yet(format!("{first} was the leader, now {seen:?}"))),
    })
    .await?;
    kubectl(node, &["-n", "flux-system", "scale", &format!("deployment/{name}"), "--replicas=1"])
}

fn kubectl(node: &Node, arguments: &[&str]) -> Result<()> {
    output(node.cluster.kubectl().args(arguments)).map(drop)
}
