//! What a run of a release that changes nothing asks the API server.

use anyhow::{Context, Result};
use e2e::audit::Request;
use e2e::cluster::User;
use e2e::testkit::deployment;
use e2e::wait::{Not, not_yet};
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};

/// Runs of an interval that are counted.
const RUNS: f64 = 4.0;

/// Release `app` of a ConfigMap and a Deployment that is waited for, with more of spec.
async fn released(name: &str, spec: &Value) -> Result<Helm> {
    let helm = Helm::new(name, &[]).await?;
    helm.commit_chart("1.0.0", &[("map.yaml", MAP), ("web.yaml", &deployment("web", 0))])?;
    helm.test.apply_source().await?;
    helm.release(spec).await?;
    helm.ready("Helm install succeeded").await?;
    // Whatever comes after the installation is over; its event is posted without anybody waiting for it.
    helm.test.event(RELEASE, "Normal", "InstallSucceeded", "").await?;
    helm.test.run(RELEASE).await?;
    Ok(helm)
}

/// What the controller asks about the namespace while something goes on; `None` of a cluster that tells nothing.
pub async fn requests_of(
    helm: &Helm,
    work: impl AsyncFnOnce() -> Result<()>,
) -> Result<Option<Vec<Request>>> {
    let audit = helm.test.cluster.audit();
    work().await?;
    let Some(audit) = audit else { return Ok(None) };
    let mut requests = audit.requests(User::HelmController, &helm.test.namespace)?;
    requests.retain(|request| request.verb != "watch");
    Ok(Some(requests))
}

fn told(requests: &[Request]) -> Vec<String> {
    let told = |request: &Request| {
        let dry_run = if request.dry_run { " (dry-run)" } else { "" };
        format!("{} {}{dry_run}", request.verb, request.resource)
    };
    requests.iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_run_without_a_change_asks_which_revisions_there_are_and_no_more() -> Result<()> {
    for (name, detection) in [("helm-quiet", json!({})), ("helm-quiet-drift", json!({"mode": "enabled"}))] {
        let helm = released(name, &json!({"interval": "1s", "driftDetection": detection})).await?;
        let before = helm.passes().await?;
        let mut after = before;
        let requests = requests_of(&helm, async || {
            helm.test
                .wait("runs of the interval", async || {
                    after = helm.passes().await.map_err(not_yet)?;
                    if after - before >= RUNS { Ok(()) } else { Err(Not::Yet(format!("{before} {after}"))) }
                })
                .await
        })
        .await?;
        let Some(requests) = requests else { return Ok(()) };
        let others: Vec<String> = told(&requests).into_iter().filter(|r| r != "list secrets").collect();
        assert!(others.is_empty(), "{name}: {others:?}");
        // One run may have begun before.
        assert!(requests.len() as f64 <= after - before + 1.0, "{name}: {requests:?}");
    }
    Ok(())
}

/// What a requested run asks, sorted.
async fn of_a_requested_run(helm: &Helm) -> Result<Option<Vec<String>>> {
    let requests = requests_of(helm, async || helm.test.run(RELEASE).await.map(drop)).await?;
    let Some(requests) = requests else { return Ok(None) };
    let mut requests = told(&requests);
    requests.sort();
    Ok(Some(requests))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_run_without_a_change_looks_at_objects_where_drift_is_detected() -> Result<()> {
    let helm = released("helm-asked", &json!({})).await?;
    let Some(requests) = of_a_requested_run(&helm).await? else { return Ok(()) };
    assert_eq!(requests, ["list secrets", "patch helmreleases/status"]);

    let helm = released("helm-asked-drift", &json!({"driftDetection": {"mode": "enabled"}})).await?;
    let requests = of_a_requested_run(&helm).await?.context("as above")?;
    let look = |kind| [format!("get {kind}"), format!("patch {kind} (dry-run)")];
    let mut expected: Vec<String> =
        ["list secrets", "get secrets", "patch helmreleases/status"].map(str::to_owned).to_vec();
    expected.extend(["configmaps", "deployments"].into_iter().flat_map(look));
    expected.sort();
    assert_eq!(requests, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_client_does_to_the_release_is_seen_all_the_same() -> Result<()> {
    let helm = released("helm-other-client", &json!({"interval": "1s"})).await?;
    helm.helm_text(&["rollback", "app", "1"])?;
    // As with Flux, a release that is not as it was left is upgraded.
    let namespace = &helm.test.namespace;
    helm.ready(&format!("Helm upgrade succeeded for release {namespace}/app.v3")).await?;
    let objects = helm.helm_text(&["get", "manifest", "app"])?;
    assert!(objects.contains("app-map"), "{objects}");
    Ok(())
}
