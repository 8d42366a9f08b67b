//! Manifests, steps and checks that scenarios of several topics share.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::api_proxy::Call;
use crate::objects::Look;
use crate::scenario::Scenario;
use crate::wait::{Not, not_yet};

/// A ConfigMap `name` whose key `value` holds `value`.
pub fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: \"{value}\"}}\n")
}

/// A Deployment; without a node it becomes ready only with 0 replicas.
pub fn deployment(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec: {{containers: [{{name: app, image: app}}]}}\n"
    )
}

/// The scenario once Kustomization `app` has applied `files` of the folder `app`, with `more` lines of spec.
pub async fn applied(test: Scenario, files: &[(&str, String)], more: &str) -> Result<Scenario> {
    for (file, text) in files {
        test.repo.write(&format!("app/{file}"), text)?;
    }
    let commit = test.repo.commit("start")?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", more)).await?;
    test.applied("Kustomization/app", &commit).await?;
    Ok(test)
}

/// Asks the source for a run, as a webhook would, and waits until the commit is applied.
pub async fn roll_out(test: &Scenario, commit: &str) -> Result<()> {
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", commit).await.map(drop)
}

/// Waits until exactly these ConfigMaps carry the owner label of Kustomization `app`.
pub async fn owned_are(test: &Scenario, wanted: &BTreeSet<String>) -> Result<()> {
    let like = test.id("ConfigMap/any")?;
    test.wait("the ConfigMaps of app are those that are wanted", async || {
        let all = test.objects.list(&like).await.map_err(not_yet)?;
        let owned =
            all.iter().filter(|o| o.text("/metadata/labels/kustomize.toolkit.fluxcd.io~1name") == "app");
        let seen: BTreeSet<String> = owned.map(|o| o.text("/metadata/name").to_owned()).collect();
        if seen == *wanted { Ok(()) } else { Err(Not::Yet(format!("{seen:?} instead of {wanted:?}"))) }
    })
    .await
}

/// Expects that `app` failed to fetch: the condition and the event, which Ready copies.
pub async fn fetch_fails(test: &Scenario, reason: &str, message: &str) -> Result<()> {
    let failed = test.condition("GitRepository/app", "FetchFailed", "True", reason, message).await?;
    let app = test
        .until("GitRepository/app", "has Ready False as FetchFailed has it", |o| {
            o.condition("Ready")
                .is_some_and(|r| r.status == "False" && r.reason == reason && r.message == failed.message)
        })
        .await?;
    let reconciling = app.condition("Reconciling").unwrap_or_default();
    ensure!(reconciling.reason == "ProgressingWithRetry", "{reconciling:?}");
    ensure!(app.condition("Stalled").is_none(), "{app}");
    test.event("GitRepository/app", "Warning", reason, message).await.map(drop)
}

/// The files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { all.extend(files(&entry.path())) } else { all.push(entry.path()) }
    }
    all
}

/// Commits a version of folder `app`: a ConfigMap that stays, one that changes its name, a Deployment. Answers the names of
/// the ConfigMaps and the commit.
pub fn write_version(test: &Scenario, version: usize) -> Result<(BTreeSet<String>, String)> {
    let _ = test.repo.remove("app");
    test.repo.write("app/stays.yaml", &config_map("stays", &version.to_string()))?;
    test.repo.write("app/moves.yaml", &config_map(&format!("moves-{version}"), "1"))?;
    test.repo.write("app/deploy.yaml", &deployment("deploy", 0))?;
    let names = [format!("moves-{version}"), "stays".to_owned()].into();
    Ok((names, test.repo.commit(&format!("version {version}"))?))
}

/// Applies Kustomization `barrier` with this one object, for [`pass_barrier`].
pub async fn add_barrier(test: &Scenario, manifest: &str) -> Result<()> {
    let commit = test.repo.commit_file("barrier/object.yaml", manifest)?;
    test.request("GitRepository/app").await?;
    let barrier = test.kustomization_yaml("barrier", "./barrier", "");
    let repair = "{name: barrier, annotations: {kustomize.toolkit.fluxcd.io/drift: repair}}\nspec";
    test.apply(&barrier.replace("{name: barrier}\nspec", repair)).await?;
    test.applied("Kustomization/barrier", &commit).await.map(drop)
}

/// Deletes the object of Kustomization `barrier` and waits until it is made anew: by then the controller has seen all that
/// had happened to objects of that kind before. Then waits until it has nothing to do, so what it has not done by now it
/// had no reason to do.
pub async fn pass_barrier(test: &Scenario, object: &str) -> Result<()> {
    let id = test.id(object)?;
    let before = test.get(object).await?.text("/metadata/uid").to_owned();
    test.objects.delete(&id).await?;
    test.until(object, "is made anew", |o| {
        o.text("/metadata/uid") != before && o.text("/metadata/deletionTimestamp").is_empty()
    })
    .await?;
    test.ready("Kustomization/barrier").await?;
    test.idle().await
}

/// How many runs of a Kustomization of this test are over, well or not.
pub async fn runs(test: &Scenario, name: &str) -> Result<f64> {
    let labels = [format!("namespace=\"{}\"", test.namespace), format!("name=\"{name}\"")];
    let labels = labels.each_ref().map(String::as_str);
    test.pair()?.kustomize.metric("gotk_reconcile_duration_seconds_count", &labels).await
}

/// Expects of repairs of one object that they wait longer and longer for each other: the first comes at once, the second a
/// second later, the next ones after 2, 4 … seconds more. `begin` is a time before the first of them.
pub fn follow_back_off(repairs: &[Call], begin: Instant) -> Result<()> {
    let mut least = Duration::ZERO;
    for (n, repair) in repairs.iter().enumerate() {
        let after = repair.at.saturating_duration_since(begin);
        ensure!(after >= least, "repair {n} comes after {after:?}, not {least:?}: {repairs:?}");
        least = least * 2 + Duration::from_secs(1);
    }
    Ok(())
}
