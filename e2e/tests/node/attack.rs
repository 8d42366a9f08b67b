//! What one tenant does within the memory limits of the Pods: the Pods stay, and others go on.

use anyhow::{Context, Result, ensure};
use e2e::git_server::GitServer;
use e2e::node::{ADDRESS, Node};
use e2e::objects::{Id, Look};
use e2e::process::output;
use e2e::wait::{self, LIMIT, Not, not_yet};

use crate::delivery::Delivery;
use crate::install::CONTROLLERS;
use crate::step;

const NAMESPACE: &str = "attacker";
/// More than there are workers.
const KUSTOMIZATIONS: usize = 8;
/// Files of the attacker, of which each is a megabyte that compresses well and becomes many nodes.
const FILES: usize = 16;
const NODES: usize = 200_000;

/// YAML that is much larger in memory than in Git, built many times at once, while a commit of somebody else arrives.
pub async fn memory_holds(node: &Node, delivery: &mut Delivery) -> Result<()> {
    let git = GitServer::start_at(ADDRESS).await?;
    let repository = git.create("attack")?;
    for number in 0..FILES {
        let list = "a,".repeat(NODES);
        let file =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{number}}}\ndata: [{list}]\n");
        repository.write(&format!("{number}.yaml"), &file)?;
    }
    repository.commit("attack")?;
    let objects = node.cluster.objects().await?;
    objects.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"), "").await?;
    let mut toolkit = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: attack}}\n\
         spec: {{interval: 1h, url: '{}', ref: {{branch: main}}}}\n",
        git.url("attack")
    );
    for number in 0..KUSTOMIZATIONS {
        toolkit.push_str(&format!(
            "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: attack-{number}}}\n\
             spec: {{interval: 1h, retryInterval: 1s, prune: true, sourceRef: {{kind: GitRepository, name: attack}}}}\n"
        ));
    }
    objects.apply(&toolkit, NAMESPACE).await?;
    delivery.deliver().await.context("beside an attack")?;
    for number in 0..KUSTOMIZATIONS {
        let id = Id::new(&format!("Kustomization/attack-{number}"), NAMESPACE)?;
        wait::until(LIMIT, async || {
            let seen = objects.get(&id).await.map_err(not_yet)?.unwrap_or_default();
            match seen.condition("Ready") {
                Some(ready) if ready.status == "False" && ready.reason == "BuildFailed" => Ok(()),
                ready => Err(Not::Yet(format!("{id} has failed to build: {ready:?}"))),
            }
        })
        .await?;
    }
    delivery.deliver().await.context("beside an attack that goes on")?;
    for pod in objects.list(&Id::of("v1", "Pod", "flux-system", "any")).await? {
        let app = pod.text("/metadata/labels/app");
        if CONTROLLERS.contains(&app) {
            let state = &pod["status"]["containerStatuses"][0];
            ensure!(state["restartCount"] == 0, "{app} was restarted: {state}");
        }
    }
    output(node.cluster.kubectl().args(["delete", "namespace", NAMESPACE, "--timeout=120s"]))?;
    step(&format!(
        "{KUSTOMIZATIONS} builds that need more memory than there is failed, no Pod was restarted, and commits arrived"
    ));
    Ok(())
}
