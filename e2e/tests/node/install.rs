//! The controllers as Pods.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use e2e::node::Node;
use e2e::objects::{Id, Look};
use e2e::wait::{self, Not};
use e2e::workspace;

use crate::user::User;

/// How long a Deployment may take to be rolled out.
const ROLL_OUT: Duration = Duration::from_secs(180);
pub const CONTROLLERS: [&str; 3] = ["source-controller", "kustomize-controller", "helm-controller"];

/// Imports the images and installs the chart into a namespace that admits restricted Pods alone.
pub async fn controllers(node: &Node, user: &User) -> Result<()> {
    for name in CONTROLLERS {
        node.import(&images().join(format!("{name}.tar")))?;
    }
    user.follow("By the chart")?;
    for name in CONTROLLERS {
        rolled_out(node, name).await?;
    }
    Ok(())
}

/// Waits until all Pods of a Deployment are those of its template, and ready.
pub async fn rolled_out(node: &Node, name: &str) -> Result<()> {
    let (objects, id) = (node.cluster.objects().await?, Id::of("apps/v1", "Deployment", "flux-system", name));
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
        Err(Not::Yet(format!("{name}: {has:?} of {wanted}\n{}\n{}", states.join("\n"), node.logs())))
    })
    .await
}

/// Where the archives are.
pub fn images() -> PathBuf {
    std::env::var_os("E2E_IMAGES").map_or_else(|| workspace().join("target/images"), Into::into)
}
