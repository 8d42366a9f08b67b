//! What sources of one registry cost: source-controller over N OCIRepositories, first and when nothing has changed.

use anyhow::{Context, Result};
use e2e::objects::Look;
use e2e::registry::{LAYER, Registry, Setup};
use e2e::scenario::{REQUESTED_AT, Scenario};
use serde_json::json;

use super::{Cost, all, phase};

/// Measures and prints.
pub async fn table(count: usize) -> Result<()> {
    println!("by {}", super::measured("source-controller")?);
    println!(
        "{count} OCIRepositories of one registry                      first                     no change"
    );
    let registry = Registry::start(Setup { access_log: true, ..Setup::default() }).await;
    registry.pusher().artifact("latest", &[(LAYER, &[7; 10_000])]).await;
    let test = Scenario::with_own_controllers("bench-registry", &[]).await?;
    let process = test.pair()?.source.id().context("not running")?;
    registry.take_requests()?;
    let first = phase(process, async || {
        for number in 0..count {
            // The schema of Flux 2.9 sets the timeout, and its controller ends without one.
            test.apply(&format!(
                "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {{name: s-{number}}}\n\
                 spec:\n  interval: 1h\n  timeout: 60s\n  url: oci://{}/team/app\n  layerSelector: {{operation: copy}}\n",
                registry.address()
            ))
            .await?;
        }
        all(&test, "OCIRepository", count, Look::is_ready).await
    })
    .await?;
    let of_first = registry.take_requests()?;
    let no_change = phase(process, async || {
        let request = json!({"metadata": {"annotations": {REQUESTED_AT: "now"}}});
        for number in 0..count {
            test.patch(&format!("OCIRepository/s-{number}"), &request).await?;
        }
        all(&test, "OCIRepository", count, |object| object.text("/status/lastHandledReconcileAt") == "now")
            .await
    })
    .await?;
    let of_no_change = registry.take_requests()?;
    println!("{:<50} {}, {}", "source-controller", told(&first, &of_first), told(&no_change, &of_no_change));
    let heads = of_no_change.iter().filter(|line| line.starts_with("HEAD ")).count();
    println!("{:<50} {heads} of {} are HEAD", "requests without a change", of_no_change.len());
    test.finish().await
}

fn told(cost: &Cost, requests: &[String]) -> String {
    format!("{:>6.2} s CPU {:>5.1} s {:>5} requests", cost.cpu, cost.wall, requests.len())
}
