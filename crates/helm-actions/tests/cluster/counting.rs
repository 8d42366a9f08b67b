//! How many requests actions make.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::Result;
use helm_actions::drift::DriftOptions;

use crate::bed::*;

const OBJECTS: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: v}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
    spec: {selector: {app: web}, ports: [{port: 80}]}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 0\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web}]}\n";

fn take(counts: &Mutex<BTreeMap<String, usize>>) -> Vec<(String, usize)> {
    std::mem::take(&mut *counts.lock().unwrap()).into_iter().collect()
}

fn counts(list: &[(&str, usize)]) -> Vec<(String, usize)> {
    list.iter().map(|(method, count)| ((*method).to_owned(), *count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_takes_one_request() -> Result<()> {
    let mut bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP, ("templates/objects.yaml", OBJECTS)])?;
    // Discovery is shared by all releases of a cluster, and goes by another client here.
    let requests = bed.count();
    let release = good(bed.install("web", &chart, "{}").await).release;
    // Which revisions there are; the list and the watch of the Deployment, if it is not ready at once.
    let installed = take(&requests);
    let gets = installed.iter().find(|(method, _)| method == "GET").map(|(_, count)| *count);
    assert!(matches!(gets, Some(1 | 3)), "{installed:?}");
    let writes: Vec<_> = installed.into_iter().filter(|(method, _)| method != "GET").collect();
    assert_eq!(writes, counts(&[("PATCH", 4), ("POST", 1), ("PUT", 1)]));
    good(bed.upgrade("web", &chart, r#"{"text": "two"}"#).await);
    // Which revisions there are. The last one is as it was written.
    assert_eq!(take(&requests), counts(&[("GET", 1), ("PATCH", 4), ("POST", 1), ("PUT", 2)]));
    assert!(!bed.configuration.diff(&release, &DriftOptions::default()).await.objects.is_empty());
    assert_eq!(take(&requests), counts(&[("GET", 4), ("PATCH", 4)]));
    Ok(())
}
