//! The lockdown of the chart, on Pods: who has no rights of its own gets none.

use anyhow::{Context, Result, ensure};
use e2e::node::Node;
use e2e::objects::{Id, Look};
use e2e::wait::{self, Not};
use serde_json::Value;

use crate::delivery::Delivery;
use crate::install::{CONTROLLERS, rolled_out};
use crate::step;
use crate::user::User;

const FLAGS: [(&str, &[&str]); 3] = [
    ("source-controller", &["--debug-objects=false"]),
    (
        "kustomize-controller",
        &["--no-cross-namespace-refs=true", "--no-remote-bases=true", "--default-service-account=default"],
    ),
    ("helm-controller", &["--no-cross-namespace-refs=true", "--default-service-account=default"]),
];

/// Switches the lockdown on: a tenant without rights is refused, and what runs goes on. Afterwards all is as it was.
pub async fn are_locked_down(node: &Node, user: &User, delivery: &mut Delivery) -> Result<()> {
    let before = delivery.applied().await?;
    let upgrade = "helm upgrade ferroflux charts/ferroflux --namespace flux-system --wait";
    user.run(&format!("{upgrade} --reset-values --set tenancy.lockdown=true"))?;
    let objects = node.cluster.objects().await?;
    for (name, flags) in FLAGS {
        rolled_out(&node.cluster, name).await?;
        let deployment = Id::of("apps/v1", "Deployment", "flux-system", name);
        let deployment = objects.get(&deployment).await?.context("no Deployment")?;
        let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
        let arguments = arguments.as_array().context("no arguments")?;
        let missing: Vec<_> = flags.iter().filter(|flag| !arguments.contains(&Value::from(**flag))).collect();
        ensure!(missing.is_empty(), "{name} lacks {missing:?}: {arguments:?}");
    }
    let source = objects.get(&Id::new("GitRepository/app", "flux-system")?).await?.context("no source")?;
    let ids = objects.apply(&OBJECTS.replace("URL", source.text("/spec/url")), "team").await?;
    for (name, words) in [
        ("Kustomization/own", "forbidden"),
        ("HelmRelease/own", "forbidden"),
        ("Kustomization/foreign", "cross-namespace"),
    ] {
        let id = Id::new(name, "team")?;
        let refused = wait::until(wait::LIMIT, async || {
            let seen = objects.get(&id).await.map_err(wait::not_yet)?.unwrap_or_default();
            let ready = seen.condition("Ready");
            let is = ready.is_some_and(|ready| ready.status == "False" && ready.message.contains(words));
            if is { Ok(()) } else { Err(Not::Yet(seen["status"].to_string())) }
        });
        refused.await.with_context(|| format!("{name} is refused: {words}"))?;
    }
    for kind in ["Deployment/app", "Deployment/own-chart"] {
        let left = objects.get(&Id::new(kind, "team")?).await?;
        ensure!(left.is_none(), "a tenant without rights got {left:?}");
    }
    for id in ids.iter().rev() {
        objects.delete(id).await?;
    }
    ensure!(delivery.applied().await? == before, "what others have was touched");
    user.run(&format!("{upgrade} --reset-values"))?;
    for name in CONTROLLERS {
        rolled_out(&node.cluster, name).await?;
    }
    delivery.deliver().await?;
    step("under the lockdown a tenant without rights got nothing");
    Ok(())
}

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app}
spec: {interval: 1h, url: URL, ref: {branch: main}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: own}
spec: {interval: 1h, path: ./app, prune: true, sourceRef: {kind: GitRepository, name: app}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: foreign}
spec: {interval: 1h, path: ./app, prune: true, sourceRef: {kind: GitRepository, name: app, namespace: flux-system}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: own}
spec: {interval: 1h, releaseName: own, chart: {spec: {chart: ./chart, sourceRef: {kind: GitRepository, name: app}}}}
";
