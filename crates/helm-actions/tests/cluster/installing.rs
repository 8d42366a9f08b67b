//! What becomes of the objects, and which revisions are stored when.

use anyhow::Result;
use helm_release::Status;
use serde_json::json;

use crate::bed::*;

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ .Release.Name }}}\nspec:\n  replicas: 0\n  \
    selector: {matchLabels: {app: a}}\n  template:\n    metadata: {labels: {app: a}}\n    spec: {containers: [{name: a, image: a}]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_installed_upgraded_and_uninstalled() -> Result<()> {
    let bed = Bed::new().await?;
    let first = bed.chart("1.0.0", &[MAP, ("templates/deployment.yaml", DEPLOYMENT)])?;
    let outcome = good(bed.install("web", &first, r#"{"text": "one"}"#).await);
    assert_eq!((outcome.release.version, outcome.release.info.status), (1, Status::Deployed));
    assert_eq!(bed.take_writes(), ["create v1 pending-install", "update v1 deployed"]);
    assert_eq!(bed.text("web-map").await?.as_deref(), Some("one"));
    let map = bed.get("ConfigMap", "web-map").await?.unwrap();
    assert_eq!(map["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm");
    assert_eq!(map["metadata"]["annotations"]["meta.helm.sh/release-name"], "web");
    assert_eq!(map["metadata"]["managedFields"][0]["manager"], "helm-controller");

    let second = bed.chart("2.0.0", &[MAP])?;
    let outcome = good(bed.upgrade("web", &second, r#"{"text": "two"}"#).await);
    assert_eq!(outcome.release.info.description, "Upgrade complete");
    assert_eq!(
        bed.take_writes(),
        ["create v2 pending-upgrade", "update v1 superseded", "update v2 deployed"]
    );
    let map = bed.get("ConfigMap", "web-map").await?.unwrap();
    assert_eq!(map["data"], json!({"text": "two", "revision": "2"}));
    assert!(bed.get("Deployment", "web").await?.is_none());

    let outcome = good(bed.configuration.uninstall("web", &uninstall()).await);
    assert_eq!(outcome.release.info.description, "Uninstallation complete");
    assert_eq!(bed.take_writes(), ["update v2 uninstalling", "delete v1", "delete v2"]);
    assert_eq!(bed.text("web-map").await?, None);
    assert!(bed.configuration.storage().entries("web").await?.is_empty());
    assert_eq!(refusal(bed.configuration.uninstall("web", &uninstall()).await), "release: not found");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_in_use_is_refused() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    good(bed.install("web", &chart, "{}").await);
    let text = "release name check failed: cannot reuse a name that is still in use";
    assert_eq!(refusal(bed.install("web", &chart, "{}").await), text);
    assert!(
        bed.helm(&["install", "web", &chart])
            .unwrap_err()
            .to_string()
            .contains("cannot reuse a name that is still in use")
    );
    assert_eq!(refusal(bed.upgrade("other", &chart, "{}").await), "\"other\" has no deployed releases");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_upgrade_is_stored_and_what_it_created_goes_if_asked() -> Result<()> {
    let bed = Bed::new().await?;
    let good_chart = bed.chart("1.0.0", &[MAP])?;
    good(bed.install("web", &good_chart, "{}").await);
    bed.take_writes();
    let new = ("templates/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a-new}\n");
    let bad = (
        "templates/service.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {ports: [{port: 0}]}\n",
    );
    let bad_chart = bed.chart("2.0.0", &[MAP, new, bad])?;
    let mut options = upgrade();
    options.cleans_up = true;
    let text = failure(bed.upgrade_as("web", &bad_chart, "{}", &options).await);
    let start = "failed to create resource: server-side apply failed for object ";
    assert!(
        text.starts_with(start) && text.contains("/b /v1, Kind=Service: Service \"b\" is invalid"),
        "{text}"
    );
    assert_eq!(bed.take_writes(), ["create v2 pending-upgrade", "update v1 deployed", "update v2 failed"]);
    assert!(bed.get("ConfigMap", "a-new").await?.is_none());
    let last = bed.configuration.storage().last("web").await?.unwrap();
    assert_eq!(last.info.description, format!("Upgrade \"web\" failed: {text}"));
    // From the deployed revision it goes on.
    let outcome = good(bed.upgrade("web", &good_chart, "{}").await);
    assert_eq!(outcome.release.version, 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_others_are_taken_only_if_asked() -> Result<()> {
    let bed = Bed::new().await?;
    bed.objects
        .apply(
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: web-map}, data: {text: theirs}}",
            &bed.namespace,
        )
        .await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    let mut options = install();
    options.takes_ownership = false;
    let ours = refusal(bed.install_as("web", &chart, "{}", &options).await);
    let theirs = bed.helm(&["install", "web", &chart]).unwrap_err().to_string();
    assert!(theirs.contains(&ours), "{theirs}\n{ours}");
    assert!(bed.take_writes().is_empty());
    good(bed.install("web", &chart, "{}").await);
    assert_eq!(bed.text("web-map").await?.as_deref(), Some("default"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_objects_stay_and_those_of_other_releases_too() -> Result<()> {
    let bed = Bed::new().await?;
    let kept = (
        "templates/kept.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}\n",
    );
    let lost = ("templates/lost.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lost}\n");
    let chart = bed.chart("1.0.0", &[MAP, kept, lost])?;
    good(bed.install("web", &chart, "{}").await);
    let theirs = json!({"metadata": {"annotations": {"meta.helm.sh/release-name": "other"}}});
    bed.objects.patch(&bed.id("ConfigMap", "lost"), &theirs).await?;
    let mut options = uninstall();
    options.keeps_history = true;
    good(bed.configuration.uninstall("web", &options).await);
    assert!(bed.get("ConfigMap", "kept").await?.is_some());
    assert!(bed.get("ConfigMap", "lost").await?.is_some());
    assert_eq!(bed.text("web-map").await?, None);
    let again = bed.configuration.uninstall("web", &options).await;
    assert_eq!(refusal(again), "the release named \"web\" is already deleted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_not_served_is_told_as_by_helm_and_nothing_is_stored() -> Result<()> {
    let bed = Bed::new().await?;
    let odd = ("templates/odd.yaml", "apiVersion: example.org/v1\nkind: Odd\nmetadata: {name: odd}\n");
    let chart = bed.chart("1.0.0", &[MAP, odd])?;
    let ours = refusal(bed.install("web", &chart, "{}").await);
    let theirs = bed.helm(&["install", "web", &chart]).unwrap_err().to_string();
    assert!(theirs.contains(&ours), "{theirs}\n{ours}");
    assert!(bed.take_writes().is_empty());
    assert_eq!(bed.text("web-map").await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_secret_holds_is_in_no_error_and_not_stored_with_it() -> Result<()> {
    let bed = Bed::new().await?;
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {key: 7391055}\n";
    let chart = bed.chart("1.0.0", &[("templates/s.yaml", secret)])?;
    let text = failure(bed.install("web", &chart, "{}").await);
    assert!(text.contains("*****") && !text.contains("7391055"), "{text}");
    let stored = bed.configuration.storage().last("web").await?.unwrap();
    assert!(!stored.info.description.contains("7391055"));
    let theirs = bed.helm(&["upgrade", "web", &chart]).unwrap_err().to_string();
    assert!(theirs.contains("7391055"), "the API server quotes it: {theirs}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_was_broken_off_is_unlocked_and_upgraded() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    // As a process leaves it that ends right behind the first write.
    let mut release = good(bed.install("web", &chart, "{}").await).release;
    release.info.status = Status::PendingInstall;
    bed.configuration.storage().update(&release).await?;
    bed.objects.delete(&bed.id("ConfigMap", "web-map")).await?;
    let text = "another operation (install/upgrade/rollback) is in progress";
    assert_eq!(refusal(bed.upgrade("web", &chart, "{}").await), text);
    assert_eq!(bed.configuration.unlock("web").await?.unwrap().0, Status::PendingInstall);
    good(bed.upgrade("web", &chart, "{}").await);
    assert_eq!(bed.text("web-map").await?.as_deref(), Some("default"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstalled_release_can_be_replaced() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    good(bed.install("web", &chart, "{}").await);
    let mut options = uninstall();
    options.keeps_history = true;
    good(bed.configuration.uninstall("web", &options).await);
    bed.take_writes();
    let plan = bed.configuration.plan_install("web", &bed.namespace, true).await?;
    let rendition = bed.rendition(&chart, plan.release(), "{}")?;
    let outcome = good(plan.run(rendition, &install()).await);
    assert_eq!(outcome.release.version, 2);
    assert_eq!(
        bed.take_writes(),
        ["update v1 superseded", "create v2 pending-install", "update v2 deployed"]
    );
    let inventory = bed.configuration.inventory(&bed.namespace, &outcome.release.manifest, &[]).await?;
    assert_eq!(inventory.unknown, 0);
    assert_eq!(inventory.entries[0].id.inventory_id(), format!("{}_web-map__ConfigMap", bed.namespace));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_now_is_not_left_behind() -> Result<()> {
    for (code, is_left) in [(503, false), (429, false), (403, true)] {
        let mut bed = Bed::new().await?;
        let chart = bed.chart("1.0.0", &[MAP])?;
        good(bed.install("web", &chart, "{}").await);
        let client = bed.configuration.client.clone();
        bed.refuse("GET", "/configmaps/web-map", code);
        let outcome = bed.configuration.uninstall("web", &uninstall()).await;
        if is_left {
            // Who may not read it may never delete it.
            good(outcome);
            assert!(bed.text("web-map").await?.is_some());
            continue;
        }
        assert_eq!(failure(outcome), "failed to delete release: web");
        let log = bed.configuration.log.text();
        let text = "could not get information about the resource ConfigMap";
        assert!(log.contains(text) && log.contains("not now"), "{log}");
        assert_eq!(bed.helm_json(&["history", "web"])?[0]["status"], "uninstalling");
        bed.configuration.client = client;
        good(bed.configuration.uninstall("web", &uninstall()).await);
        assert_eq!(bed.text("web-map").await?, None);
    }
    Ok(())
}
