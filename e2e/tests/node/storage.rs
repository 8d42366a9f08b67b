//! The storage of source-controller on a volume that outlives its Pod, by the values of the chart.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use e2e::node::Node;
use e2e::objects::{Id, Look};
use e2e::process::temp_folder;
use serde_json::{Value, json};

use crate::delivery::Delivery;
use crate::install::rolled_out;
use crate::step;
use crate::user::User;

const NAME: &str = "source-controller";
const VALUES: &str =
    "--set sourceController.persistence.enabled=true,sourceController.persistence.storageClassName=manual";

/// Artifacts are still there when their Pod is another one, and are not made anew. Afterwards the storage is what it was before.
pub async fn outlives_its_pod(node: &Node, user: &User, delivery: &mut Delivery) -> Result<()> {
    let folder = temp_folder("volume")?;
    // The kubelet gives such folders to no group.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
    let objects = node.cluster.objects().await?;
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "artifacts"},
        "spec": {
            "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": folder.path()},
        },
    });
    user.run(&format!("kubectl create -f - <<'EOF'\n{volume}\nEOF"))?;
    user.run(&format!("helm upgrade ferroflux charts/ferroflux --namespace flux-system --wait {VALUES}"))?;
    rolled_out(&node.cluster, NAME).await?;
    delivery.deliver().await?;
    let source = Id::new("GitRepository/app", "flux-system")?;
    let artifact = async || -> Result<Value> {
        let source = objects.get(&source).await?.context("no source")?;
        Ok(source["status"]["artifact"].clone())
    };
    let before = artifact().await?;
    ensure!(folder.path().join(before.text("/path")).is_file(), "{before} is not on the volume");
    user.run(&format!("kubectl -n flux-system delete pod -l app={NAME}"))?;
    rolled_out(&node.cluster, NAME).await?;
    user.flux.run(&["reconcile", "source", "git", "app"])?;
    let after = artifact().await?;
    // The time of an artifact that is made anew is another one.
    ensure!(after == before, "{before} became {after}");
    user.run("helm upgrade ferroflux charts/ferroflux --namespace flux-system --wait --reset-values")?;
    rolled_out(&node.cluster, NAME).await?;
    user.run("kubectl delete persistentvolume artifacts")?;
    delivery.deliver().await?;
    step("artifacts on a volume outlived their Pod");
    Ok(())
}
