//! Client-side apply: three-way merges, against those of the real client.

use anyhow::Result;
use helm_actions::options::Apply;
use helm_release::ApplyMethod;
use serde_json::{Value, json};

use crate::bed::*;

fn deployment(body: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 0\n  selector: {{matchLabels: {{app: a}}}}\n{body}"
    )
}

const FIRST: &str = "  template:\n    metadata: {labels: {app: a}}\n    spec:\n      containers:\n      - {name: a, image: a:1, env: [{name: X, value: \"1\"}, {name: Z, value: \"1\"}]}\n      \
    - {name: gone, image: b}\n      volumes: [{name: v, emptyDir: {}}]\n";
const SECOND: &str = "  strategy: {type: Recreate}\n  template:\n    metadata: {labels: {app: a}}\n    spec:\n      containers:\n      \
    - {name: a, image: a:2, env: [{name: X, value: \"2\"}], command: [run]}\n      - {name: new, image: c}\n      volumes: [{name: v, configMap: {name: m}}]\n";

/// What a user adds in between.
fn theirs() -> Value {
    json!({"metadata": {"labels": {"theirs": "x"}}, "spec": {"replicas": 3, "paused": true,
        "template": {"metadata": {"annotations": {"theirs": "x"}}}}})
}

fn content(mut object: Value, namespace: &str) -> Value {
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"] {
        object["metadata"].as_object_mut().unwrap().remove(field);
    }
    // How often the controller has looked is not of interest.
    object["metadata"]["annotations"].as_object_mut().unwrap().remove("deployment.kubernetes.io/revision");
    object.as_object_mut().unwrap().remove("status");
    serde_json::from_str(&object.to_string().replace(namespace, "ns")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_merges_as_the_real_client_does() -> Result<()> {
    let (bed, beside) = (Bed::new().await?, Bed::new().await?);
    let (first, second) = (deployment(FIRST), deployment(SECOND));
    let service = |port: u16| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{selector: {{app: a}}, ports: [{{port: {port}}}]}}\n"
        )
    };
    let one = bed.chart("1.0.0", &[MAP, ("templates/d.yaml", &first), ("templates/s.yaml", &service(80))])?;
    let two =
        bed.chart("2.0.0", &[MAP, ("templates/d.yaml", &second), ("templates/s.yaml", &service(81))])?;
    let mut options = install();
    options.apply = Apply::ClientSide;
    good(bed.install_as("web", &one, "{}", &options).await);
    beside.helm(&["install", "web", &one, "--server-side=false"])?;
    for bed in [&bed, &beside] {
        bed.objects.patch(&bed.id("Deployment", "web"), &theirs()).await?;
    }
    // It goes on as it began.
    let outcome = good(bed.upgrade("web", &two, r#"{"text": "two"}"#).await);
    assert_eq!(outcome.release.apply_method, Some(ApplyMethod::ClientSide));
    beside.helm(&["upgrade", "web", &two, "--set", "text=two"])?;
    for (kind, name) in [("Deployment", "web"), ("Service", "s"), ("ConfigMap", "web-map")] {
        let ours = content(bed.get(kind, name).await?.unwrap(), &bed.namespace);
        let theirs = content(beside.get(kind, name).await?.unwrap(), &beside.namespace);
        let without_address = |mut object: Value| {
            object["spec"].as_object_mut().map(|spec| (spec.remove("clusterIP"), spec.remove("clusterIPs")));
            object
        };
        assert_eq!(without_address(ours), without_address(theirs), "{kind}");
    }
    let live = bed.get("Deployment", "web").await?.unwrap();
    assert_eq!((&live["spec"]["replicas"], &live["spec"]["paused"]), (&json!(0), &json!(true)));
    assert_eq!(live["spec"]["strategy"], json!({"type": "Recreate"}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_can_become_server_side_and_loses_what_it_does_not_want() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    let more = (
        "templates/map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web-map}\ndata: {text: x, more: z}\n",
    );
    let first = bed.chart("0.1.0", &[more])?;
    let mut options = install();
    options.apply = Apply::ClientSide;
    good(bed.install_as("web", &first, "{}", &options).await);
    let mut options = upgrade();
    options.apply = Apply::ServerSide;
    good(bed.upgrade_as("web", &chart, "{}", &options).await);
    let live = bed.get("ConfigMap", "web-map").await?.unwrap();
    assert_eq!(live["data"], json!({"text": "default", "revision": "2"}));
    let managers = live["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(managers.len(), 1, "{managers:?}");
    assert_eq!(managers[0]["operation"], "Apply");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_upgrade_replaces_what_others_added() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    let mut options = install();
    options.apply = Apply::ClientSide;
    good(bed.install_as("web", &chart, "{}", &options).await);
    bed.objects.patch(&bed.id("ConfigMap", "web-map"), &json!({"data": {"theirs": "x"}})).await?;
    good(bed.upgrade("web", &chart, "{}").await);
    assert_eq!(bed.get("ConfigMap", "web-map").await?.unwrap()["data"]["theirs"], "x");
    let mut options = upgrade();
    options.forces = true;
    good(bed.upgrade_as("web", &chart, "{}", &options).await);
    assert_eq!(
        bed.get("ConfigMap", "web-map").await?.unwrap()["data"],
        json!({"text": "default", "revision": "3"})
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_are_there_are_taken_by_a_client_side_install_too() -> Result<()> {
    let bed = Bed::new().await?;
    bed.objects
        .apply(
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: web-map}, data: {text: theirs, more: x}}",
            &bed.namespace,
        )
        .await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    let mut options = install();
    options.apply = Apply::ClientSide;
    good(bed.install_as("web", &chart, "{}", &options).await);
    let live = bed.get("ConfigMap", "web-map").await?.unwrap();
    assert_eq!(live["data"], json!({"text": "default", "revision": "1", "more": "x"}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_upgrade_does_to_an_immutable_object_what_the_real_client_does() -> Result<()> {
    let (bed, beside) = (Bed::new().await?, Bed::new().await?);
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fixed}\nimmutable: true\ndata: {text: {{ .Values.text }}}\n";
    let chart = bed.chart("1.0.0", &[("templates/fixed.yaml", map)])?;
    let (one, two) = (r#"{"text": "one"}"#, r#"{"text": "two"}"#);
    let mut options = install();
    options.apply = Apply::ClientSide;
    good(bed.install_as("web", &chart, one, &options).await);
    beside.helm(&["install", "web", &chart, "--server-side=false", "--set", "text=one"])?;
    let mut options = upgrade();
    options.forces = true;
    let ours = failure(bed.upgrade_as("web", &chart, two, &options).await);
    let theirs =
        beside.helm(&["upgrade", "web", &chart, "--force-replace", "--set", "text=two"]).unwrap_err();
    let reason = "failed to replace object: ConfigMap \"fixed\" is invalid: data: Forbidden: field is immutable when `immutable` is set";
    assert!(ours.contains(reason), "{ours}");
    assert!(format!("{theirs:#}").contains(reason), "{theirs:#}");
    for bed in [&bed, &beside] {
        assert_eq!(bed.text("fixed").await?.as_deref(), Some("one"));
    }
    Ok(())
}
