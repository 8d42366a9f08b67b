//! `kill -9` of either controller at any point, a restart of the API server, a leader that dies, an object
//! that cannot be decoded: all is made good, and nobody else is held up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::{LIMIT, Scenario};
use e2e::testkit::{config_map, owned_are};
use e2e::wait::{self, Not};
use serde_json::json;

use crate::each_controller::{apply, have_followed, start, write};

/// Replaces all ConfigMaps of the repository by eight that name `round`; answers their names and the commit.
fn replace_all(test: &Scenario, round: usize) -> Result<(BTreeSet<String>, String)> {
    if round > 0 {
        test.repo.remove("app")?;
    }
    let names: BTreeSet<String> = (0..8).map(|i| format!("map-{round}-{i}")).collect();
    for name in &names {
        test.repo.write(&format!("app/{name}.yaml"), &config_map(name, "1"))?;
    }
    Ok((names, test.repo.commit(&format!("round {round}"))?))
}

/// A pause in which the controllers come some way, never the same.
async fn some_way() {
    tokio::time::sleep(Duration::from_millis(rand::random_range(0..400))).await;
}

/// Comes back as soon as an object of the round exists: others are still to be written, and the status too.
async fn half_way(test: &Scenario, names: &BTreeSet<String>) -> Result<()> {
    let begin = Instant::now();
    let first = names.first().context("no names")?;
    while !test.exists(&format!("ConfigMap/{first}")).await? {
        ensure!(begin.elapsed() < LIMIT, "{first} is not applied");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_kustomize_controller_leaves_no_orphan() -> Result<()> {
    let mut test = Scenario::with_own_controllers("kill-kustomize", &[]).await?;
    let (mut names, mut commit) = replace_all(&test, 0)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    for round in 1..=8 {
        if round % 2 == 0 {
            some_way().await;
        } else {
            half_way(&test, &names).await?;
        }
        test.own()?.kustomize.kill();
        (names, commit) = replace_all(&test, round)?;
        test.request("GitRepository/app").await?;
        test.own()?.kustomize.restart().await?;
    }
    test.applied("Kustomization/app", &commit).await?;
    owned_are(&test, &names).await?;
    // Killed while it deletes, it goes on deleting.
    test.kubectl(&["delete", "--wait=false", "kustomization/app"])?;
    some_way().await;
    test.own()?.kustomize.kill();
    test.own()?.kustomize.restart().await?;
    test.gone("Kustomization/app").await?;
    owned_are(&test, &BTreeSet::new()).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_source_controller_serves_the_newest_commit_again() -> Result<()> {
    let mut test = Scenario::with_own_controllers("kill-source", &[]).await?;
    let (mut names, mut commit) = replace_all(&test, 0)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    for round in 1..=6 {
        some_way().await;
        test.own()?.source.kill();
        (names, commit) = replace_all(&test, round)?;
        test.own()?.source.restart().await?;
        test.request("GitRepository/app").await?;
    }
    let source = test
        .until("GitRepository/app", "holds the last commit", |o| {
            o.is_ready() && o.text("/status/artifact/revision").ends_with(&commit)
        })
        .await?;
    let bytes = reqwest::get(source.text("/status/artifact/url")).await?.error_for_status()?.bytes().await?;
    assert_eq!(source["status"]["artifact"]["size"], bytes.len());
    test.applied("Kustomization/app", &commit).await?;
    owned_are(&test, &names).await?;
    test.finish().await
}

/// The controllers that no pair has.
async fn others(test: &Scenario) -> Result<[Controller; 2]> {
    let start = |user| start(test, user, &[]);
    let (helm, watcher) = tokio::try_join!(start(User::HelmController), start(User::SourceWatcher))?;
    Ok([helm, watcher])
}

/// Commits other ConfigMaps and a value that all controllers bring on; answers their names and the commit.
fn commit_round(test: &Scenario, round: usize) -> Result<(BTreeSet<String>, String)> {
    let (mut names, _) = replace_all(test, round)?;
    names.insert("map".into());
    Ok((names, write(test, &round.to_string())?))
}

/// An object of each controller, which has followed the first commit.
async fn begin(test: &Scenario) -> Result<()> {
    let (_, commit) = commit_round(test, 0)?;
    for user in User::CONTROLLERS {
        apply(test, user, &json!({})).await?;
    }
    have_followed(test, &commit, "0").await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_controllers_stop_when_asked_and_resume_where_they_were() -> Result<()> {
    let mut test = Scenario::with_own_controllers("stop", &[]).await?;
    let mut others = others(&test).await?;
    begin(&test).await?;
    let (pair, [helm, watcher]) = (test.own()?, &mut others);
    for controller in [&mut pair.source, &mut pair.kustomize, helm, watcher] {
        let status = controller.stop()?;
        assert_eq!(status.code(), Some(0), "{}", controller.log_text());
        controller.restart().await?;
    }
    let (names, commit) = commit_round(&test, 1)?;
    test.request("GitRepository/app").await?;
    have_followed(&test, &commit, "1").await?;
    owned_are(&test, &names).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_controllers_survive_a_restart_of_the_api_server() -> Result<()> {
    let mut test = Scenario::with_own_cluster("restart").await?;
    let mut others = others(&test).await?;
    begin(&test).await?;
    let (pair, [helm, watcher]) = (test.pair()?, &others);
    let ids = [&pair.source, &pair.kustomize, helm, watcher].map(Controller::id);

    let (names, commit) = commit_round(&test, 1)?;
    test.request("GitRepository/app").await?;
    some_way().await;
    test.cluster.kill_apiserver();
    // All find that it is away.
    for controller in [&pair.source, &pair.kustomize, helm, watcher] {
        test.wait("the watch fails", async || match controller.log_text().contains("watch failed") {
            true => Ok(()),
            false => Err(Not::Yet("the log says nothing of it".into())),
        })
        .await?;
    }
    test.cluster.start_apiserver().await?;
    have_followed(&test, &commit, "1").await?;
    owned_are(&test, &names).await?;

    // Watches work again, not only what was under way.
    let (names, commit) = commit_round(&test, 2)?;
    test.request("GitRepository/app").await?;
    have_followed(&test, &commit, "2").await?;
    owned_are(&test, &names).await?;
    let (pair, [helm, watcher]) = (test.own()?, &mut others);
    let mut controllers = [&mut pair.source, &mut pair.kustomize, helm, watcher];
    for controller in &mut controllers {
        controller.expect_running()?;
    }
    assert_eq!(controllers.map(|controller| controller.id()), ids, "none was restarted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_when_the_leader_dies() -> Result<()> {
    let election = [
        "--enable-leader-election",
        "--leader-election-lease-duration=8s",
        "--leader-election-renew-deadline=6s",
        "--leader-election-retry-period=1s",
    ];
    let mut test = Scenario::with_own_controllers("leader", &election).await?;
    let selector = test.selector();
    let mut standby =
        Controller::start(test.cluster, User::KustomizeController, &[&election[..], &[&selector]].concat())
            .await?;
    let (_, commit) = replace_all(&test, 0)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let runs = ("controller_runtime_reconcile_total", ["controller=\"kustomization\""]);
    assert_eq!(standby.metric(runs.0, &runs.1).await?, 0.0, "the other one only waits");

    test.own()?.kustomize.kill();
    let (names, commit) = replace_all(&test, 1)?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    owned_are(&test, &names).await?;
    // A run counts when it is over, a moment after its status is seen.
    test.wait("the other one has run", async || {
        match standby.metric(runs.0, &runs.1).await.map_err(wait::not_yet)? {
            0.0 => Err(Not::Yet("no run".into())),
            _ => Ok(()),
        }
    })
    .await?;
    standby.expect_running()?;
    test.finish().await
}

/// Lets the API server take anything as `spec` of a kind, as a schema of another version may.
async fn loosen(test: &Scenario, crd: &str) -> Result<()> {
    let crd = format!("CustomResourceDefinition/{crd}");
    let mut versions = test.get(&crd).await?["spec"]["versions"].take();
    for version in versions.as_array_mut().context("no versions")? {
        version["schema"]["openAPIV3Schema"]["properties"]["spec"] =
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    test.patch(&crd, &json!({"spec": {"versions": versions}})).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_decoded_harms_no_other() -> Result<()> {
    let mut test = Scenario::with_own_cluster("odd").await?;
    loosen(&test, "gitrepositories.source.toolkit.fluxcd.io").await?;
    loosen(&test, "kustomizations.kustomize.toolkit.fluxcd.io").await?;
    for (group, kind) in [("source", "GitRepository"), ("kustomize", "Kustomization")] {
        let odd = format!(
            "{{apiVersion: {group}.toolkit.fluxcd.io/v1, kind: {kind}, metadata: {{name: odd}}, \
             spec: {{interval: [1], url: {{}}, sourceRef: 7, prune: 'yes'}}}}"
        );
        test.wait("the new schema is in force", async || test.apply(&odd).await.map_err(wait::not_yet))
            .await?;
    }
    let (_, commit) = replace_all(&test, 0)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    // So it was in a watch; now in a list.
    let pair = test.own()?;
    for controller in [&mut pair.source, &mut pair.kustomize] {
        controller.kill();
        controller.restart().await?;
    }
    let (names, commit) = replace_all(&test, 1)?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    owned_are(&test, &names).await
}
