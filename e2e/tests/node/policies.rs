//! The network policies of an installation, enforced: who is let through, and who is not.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::node::{Node, POD_IMAGE};
use e2e::objects::{Id, Look};
use e2e::wait::{self, Not};
use serde_json::{Value, json};

use crate::install::CONTROLLERS;
use crate::step;

/// How long rules may take to be written, and a Pod to try what it is told. It only ends a test that hangs.
const SEEN: Duration = Duration::from_secs(120);
/// Metrics, artifacts, health.
const PORTS: [&str; 3] = ["8080", "9090", "9440"];

/// Pods of other namespaces read metrics and nothing else, those of the installation reach each other. Kubelet's probes and
/// the download of artifacts come through: all other steps show it.
pub async fn hold(node: &Node) -> Result<()> {
    let mut all = BTreeSet::new();
    for name in CONTROLLERS {
        let address = address(node, &Id::of("v1", "Pod", "flux-system", ""), name, "/status/podIP").await?;
        // Who has no artifacts does not listen there.
        let ports = PORTS.iter().filter(|port| **port != "9090" || name == "source-controller");
        all.extend(ports.map(|port| format!("{address}:{port}")));
    }
    let service = Id::of("v1", "Service", "flux-system", "");
    let service = address(node, &service, "source-controller", "/spec/clusterIP").await?;
    all.insert(format!("{service}:80"));
    let metrics: BTreeSet<String> =
        all.iter().filter(|address| address.ends_with(":8080")).cloned().collect();
    assert_eq!((all.len(), metrics.len()), (8, 3), "{all:?}");
    // First what proves that policies are enforced by now.
    reached(node, "default", &all, &metrics).await?;
    reached(node, "flux-system", &all, &all).await?;
    step("other namespaces reach the metrics alone");
    Ok(())
}

/// Waits until a Pod of the namespace reaches these of all addresses, and no others.
async fn reached(
    node: &Node,
    namespace: &str,
    all: &BTreeSet<String>,
    wanted: &BTreeSet<String>,
) -> Result<()> {
    let looked = wait::until(SEEN, async || {
        let reached = try_all(node, namespace, all).await.map_err(Not::Ever)?;
        if reached == *wanted { Ok(()) } else { Err(Not::Yet(format!("{reached:?}, not {wanted:?}"))) }
    });
    looked.await.with_context(|| format!("what a Pod in {namespace} reaches\n{}", node.logs()))
}

/// Those of all addresses that a new Pod gets an answer from.
async fn try_all(node: &Node, namespace: &str, all: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let objects = node.cluster.objects().await?;
    let id = Id::of("v1", "Pod", namespace, "client");
    let security = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 1000,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"},
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "client", "image": POD_IMAGE, "imagePullPolicy": "Never", "args": all, "securityContext": security,
            }],
        },
    });
    objects.apply_one(&pod, namespace).await?;
    let message = wait::until(SEEN, async || {
        let pod = objects.get(&id).await.map_err(wait::not_yet)?.unwrap_or_default();
        match pod.text("/status/phase") {
            "Succeeded" => Ok(pod.text("/status/containerStatuses/0/state/terminated/message").to_owned()),
            _ => Err(Not::Yet(pod["status"].to_string())),
        }
    })
    .await?;
    objects.delete(&id).await?;
    wait::until(SEEN, async || match objects.get(&id).await.map_err(wait::not_yet)? {
        None => Ok(()),
        Some(pod) => Err(Not::Yet(pod["status"].to_string())),
    })
    .await?;
    Ok(message.lines().map(str::to_owned).collect())
}

/// The address of the first of these objects whose name begins so.
async fn address(node: &Node, like: &Id, name: &str, pointer: &str) -> Result<String> {
    let objects: Vec<Value> = node.cluster.objects().await?.list(like).await?;
    let found = objects.iter().find(|object| object.text("/metadata/name").starts_with(name));
    Ok(found.with_context(|| format!("no {name}"))?.text(pointer).to_owned())
}
