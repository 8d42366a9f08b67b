//! The real client goes on from what is stored here, and the other way round.

use anyhow::Result;
use helm_release::{ApplyMethod, Status};

use crate::bed::*;

const HOOK: (&str, &str) = (
    "templates/hook.yaml",
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hook\n  annotations: {helm.sh/hook: \"pre-install,pre-upgrade\"}\n",
);

#[tokio::test(flavor = "multi_thread")]
async fn the_real_client_goes_on_from_a_release_of_ours() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP, HOOK])?;
    let first = good(bed.install("web", &chart, r#"{"text": "one"}"#).await);
    good(bed.upgrade("web", &chart, r#"{"text": "two"}"#).await);
    let list = bed.helm_json(&["list"])?;
    assert_eq!(
        (&list[0]["name"], &list[0]["revision"], &list[0]["status"]),
        (&"web".into(), &"2".into(), &"deployed".into())
    );
    let history = bed.helm_json(&["history", "web"])?;
    let statuses: Vec<&str> =
        history.as_array().unwrap().iter().filter_map(|r| r["status"].as_str()).collect();
    assert_eq!(statuses, ["superseded", "deployed"]);
    assert_eq!(
        bed.helm(&["get", "manifest", "web", "--revision", "1"])?.trim_end(),
        first.release.manifest.trim_end()
    );
    assert!(bed.helm(&["get", "hooks", "web"])?.contains("name: hook"));
    assert_eq!(bed.helm_json(&["get", "values", "web"])?, serde_json::json!({"text": "two"}));
    bed.helm(&["rollback", "web", "1", "--wait", "--force-conflicts"])?;
    assert_eq!(bed.text("web-map").await?.as_deref(), Some("one"));
    let last = bed.configuration.storage().last("web").await?.unwrap();
    assert_eq!((last.version, last.info.status, last.info.rollback_revision), (3, Status::Deployed, 1));
    bed.helm(&["upgrade", "web", &chart, "--set", "text=four", "--wait", "--force-conflicts"])?;
    assert_eq!(bed.text("web-map").await?.as_deref(), Some("four"));
    bed.helm(&["uninstall", "web", "--wait"])?;
    assert_eq!(bed.text("web-map").await?, None);
    assert_eq!(bed.helm_json(&["list"])?, serde_json::json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn we_go_on_from_a_release_of_the_real_client() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP, HOOK])?;
    bed.helm(&["install", "web", &chart, "--set", "text=one", "--wait"])?;
    let outcome = good(bed.upgrade("web", &chart, r#"{"text": "two"}"#).await);
    assert_eq!((outcome.release.version, outcome.release.apply_method), (2, Some(ApplyMethod::ServerSide)));
    assert_eq!(bed.text("web-map").await?.as_deref(), Some("two"));
    bed.take_writes();
    let options = rollback(1);
    let outcome = good(bed.configuration.rollback("web", &options).await);
    assert_eq!((outcome.release.version, outcome.release.info.description.as_str()), (3, "Rollback to 1"));
    assert_eq!(
        bed.take_writes(),
        ["create v3 pending-rollback", "update v2 superseded", "update v3 deployed"]
    );
    assert_eq!(bed.text("web-map").await?.as_deref(), Some("one"));
    let history = bed.helm_json(&["history", "web"])?;
    assert_eq!(history[2]["status"], "deployed");
    good(bed.configuration.uninstall("web", &uninstall()).await);
    assert_eq!(bed.helm_json(&["list"])?, serde_json::json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_not_there_is_none_to_go_back_to() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    good(bed.install("web", &chart, "{}").await);
    let options = rollback(7);
    assert_eq!(refusal(bed.configuration.rollback("web", &options).await), "release has no 7 version");
    assert_eq!(refusal(bed.configuration.rollback("other", &options).await), "release: not found");
    Ok(())
}
