//! source-watcher as a Pod: it fetches from source-controller by its Service, and kustomize-controller fetches from it.

use anyhow::{Context, Result, ensure};
use e2e::node::Node;
use e2e::objects::{Id, Look, Objects};
use e2e::wait::{self, Not};

use crate::delivery::Delivery;
use crate::install::rolled_out;
use crate::settings::images;
use crate::step;
use crate::user::User;

const NAME: &str = "source-watcher";
const ARTIFACT: &str = "ExternalArtifact/composed";

/// Installs it as `docs/install.md` says, delivers by way of an artifact that it composed, and takes all of that away.
pub async fn composes(node: &Node, user: &User, delivery: &mut Delivery) -> Result<()> {
    node.import(&images().join(format!("{NAME}.tar")))?;
    user.run("kubectl apply --server-side -k config/source-watcher")?;
    rolled_out(&node.cluster, NAME).await?;
    let objects = node.cluster.objects().await?;
    let ids = objects.apply(OBJECTS, "flux-system").await?;
    let applies = |artifact: &serde_json::Value| {
        let digest = artifact.text("/status/artifact/digest").to_owned();
        move |seen: &serde_json::Value| seen.text("/status/lastAppliedRevision").ends_with(&digest)
    };
    let id = Id::new(ARTIFACT, "flux-system")?;
    let first = composed(node, &id, "").await?;
    let url = first.text("/status/artifact/url");
    ensure!(url.starts_with("http://source-watcher.flux-system.svc.cluster.local./"), "{url}");
    delivery.until_ready("Kustomization/composed", applies(&first)).await?;
    delivery.deliver().await?;
    let second = composed(node, &id, first.text("/status/artifact/digest")).await?;
    delivery.until_ready("Kustomization/composed", applies(&second)).await?;
    end(&objects, &ids).await?;
    user.run("kubectl delete -k config/source-watcher")?;
    step("source-watcher composed artifacts as a Pod");
    Ok(())
}

/// Deletes objects, the last one first, and waits until each is gone with what it applied.
pub async fn end(objects: &Objects, ids: &[Id]) -> Result<()> {
    for id in ids.iter().rev() {
        objects.delete(id).await?;
        let gone = wait::until(wait::LIMIT, async || match objects.get(id).await.map_err(wait::not_yet)? {
            None => Ok(()),
            Some(object) => Err(Not::Yet(object.to_string())),
        });
        gone.await.with_context(|| format!("the end of {id}"))?;
    }
    Ok(())
}

/// The artifact once it has another content than that of `digest`.
async fn composed(node: &Node, id: &Id, digest: &str) -> Result<serde_json::Value> {
    let objects = node.cluster.objects().await?;
    wait::until(wait::LIMIT, async || match objects.get(id).await.map_err(wait::not_yet)? {
        Some(artifact) if ![digest, ""].contains(&artifact.text("/status/artifact/digest")) => Ok(artifact),
        seen => Err(Not::Yet(format!("{seen:?}\n{}", node.logs()))),
    })
    .await
}

/// The same Deployment as that of the Kustomization `app`, under another name.
const OBJECTS: &str = "
apiVersion: source.extensions.fluxcd.io/v1beta1
kind: ArtifactGenerator
metadata:
  name: composed
spec:
  sources:
  - {alias: app, kind: GitRepository, name: app}
  artifacts:
  - name: composed
    copy:
    - {from: '@app/app/**', to: '@artifact/'}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: composed
spec:
  interval: 1h
  prune: true
  wait: true
  timeout: 3m
  namePrefix: composed-
  sourceRef: {kind: ExternalArtifact, name: composed}
  targetNamespace: default
";
