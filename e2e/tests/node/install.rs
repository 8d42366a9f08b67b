//! The controllers as Pods.

use std::time::Duration;

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::node::Node;
use e2e::objects::{Id, Look};
use e2e::wait::{self, Not};

use crate::settings::images;
use crate::user::User;

/// How long a Deployment may take to be rolled out.
const ROLL_OUT: Duration = Duration::from_secs(180);
pub const CONTROLLERS: [&str; 3] = ["source-controller", "kustomize-controller", "helm-controller"];

/// Makes the images known to the node.
pub fn import(node: &Node) -> Result<()> {
    CONTROLLERS.into_iter().try_for_each(|name| node.import(&images().join(format!("{name}.tar"))))
}

/// Installs the chart into a namespace that admits restricted Pods alone.
pub async fn controllers(cluster: &Cluster, user: &User) -> Result<()> {
    user.follow("By the chart")?;
    for name in CONTROLLERS {
        rolled_out(cluster, name).await?;
    }
    Ok(())
}

/// Waits until all Pods of a Deployment are those of its template, and ready.
pub async fn rolled_out(cluster: &Cluster, name: &str) -> Result<()> {
    let (objects, id) = (cluster.objects().await?, Id::of("apps/v1", "Deployment", "flux-system", name));
    wait::until(ROLL_OUT, async || {
        let Some(deployment) = objects.get(&id).await.map_err(wait::not_yet)? else {
            return Err(Not::Yet(format!("no {id}")));
        };
        let number =
            |pointer: &str| deployment.pointer(pointer).and_then(serde_json::Value::as_i64).unwrap_or(0);
        let wanted = number("/spec/replicas");
        let has =
            ["updatedReplicas", "readyReplicas", "replicas"].map(|field| number(&format!("/status/{field}")));
        if number("/status/observedGeneration") == number("/metadata/generation") && has == [wanted; 3] {
            return Ok(());
        }
        let pods = objects.list(&Id::of("v1", "Pod", "flux-system", "")).await.unwrap_or_default();
        let states: Vec<_> = pods
            .iter()
            .map(|pod| {
                format!(
                    "{} {}",
                    pod.text("/metadata/name"),
                    pod.pointer("/status").unwrap_or(&serde_json::Value::Null)
                )
            })
            .collect();
        Err(Not::Yet(format!("{name}: {has:?} of {wanted}\n{}", states.join("\n"))))
    })
    .await
}
