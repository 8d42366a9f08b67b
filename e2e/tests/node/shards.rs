//! Shards of the chart as Pods: what has their label is fetched, served and applied by them.

use anyhow::{Context, Result, ensure};
use e2e::node::Node;
use e2e::objects::{Id, Look};

use crate::delivery::Delivery;
use crate::generator::end;
use crate::install::{CONTROLLERS, rolled_out};
use crate::step;
use crate::user::User;

/// Adds a shard, has it deliver what others deliver, too, and takes it away.
pub async fn serve_their_objects(node: &Node, user: &User, delivery: &mut Delivery) -> Result<()> {
    user.run(
        "helm upgrade ferroflux charts/ferroflux --namespace flux-system --wait --set 'sharding.shards={a}'",
    )?;
    for name in CONTROLLERS {
        rolled_out(&node.cluster, &format!("{name}-a")).await?;
    }
    let objects = node.cluster.objects().await?;
    let source = objects.get(&Id::new("GitRepository/app", "flux-system")?).await?.context("no source")?;
    let ids = objects.apply(&OBJECTS.replace("URL", source.text("/spec/url")), "flux-system").await?;
    delivery.until_ready("Kustomization/sharded", |_| true).await?;
    delivery.until_ready("HelmRelease/sharded", |_| true).await?;
    let source =
        objects.get(&Id::new("GitRepository/sharded", "flux-system")?).await?.context("no source")?;
    let url = source.text("/status/artifact/url");
    let served = "http://source-controller-a.flux-system.svc.cluster.local./";
    ensure!(url.starts_with(served), "{url}");
    let chart =
        objects.get(&Id::new("HelmChart/flux-system-sharded", "flux-system")?).await?.context("no chart")?;
    ensure!(chart.text("/status/artifact/url").starts_with(served), "{chart}");
    let released = Id::of("apps/v1", "Deployment", "default", "sharded-chart");
    let released = objects.get(&released).await?.context("nothing was released")?;
    ensure!(released.number("/status/readyReplicas") == 1, "{released}");
    // The others go on.
    delivery.deliver().await?;
    end(&objects, &ids).await?;
    user.run("helm upgrade ferroflux charts/ferroflux --namespace flux-system --wait --reset-values")?;
    for name in CONTROLLERS {
        rolled_out(&node.cluster, name).await?;
    }
    delivery.deliver().await?;
    step("the Pods of a shard served its objects");
    Ok(())
}

const OBJECTS: &str = "
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata:
  name: sharded
  labels: {sharding.fluxcd.io/key: a}
spec:
  interval: 1h
  url: URL
  ref: {branch: main}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: sharded
  labels: {sharding.fluxcd.io/key: a}
spec:
  interval: 1h
  path: ./app
  prune: true
  wait: true
  timeout: 3m
  namePrefix: sharded-
  sourceRef: {kind: GitRepository, name: sharded}
  targetNamespace: default
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: sharded
  labels: {sharding.fluxcd.io/key: a}
spec:
  interval: 1h
  timeout: 3m
  chart:
    metadata: {labels: {sharding.fluxcd.io/key: a}}
    spec: {chart: ./chart, sourceRef: {kind: GitRepository, name: sharded}}
  releaseName: sharded
  targetNamespace: default
  storageNamespace: default
";
