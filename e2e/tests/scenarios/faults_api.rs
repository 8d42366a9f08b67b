//! An API server that fails in every way it can, while applications are installed, changed and removed: in the end
//! the cluster is what Git says, nothing is left over, and nobody asked more than was of use.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use e2e::api_proxy::{ApiProxy, Break, Call, Fault, Rule, When};
use e2e::cluster::User;
use e2e::objects::Look;
use e2e::scenario::{LIMIT, Scenario};
use e2e::testkit::{config_map, owned_are, write_version};
use serde_json::json;

/// The inventory names these ConfigMaps and the Deployment.
fn inventory_is(test: &Scenario, app: &serde_json::Value, names: &BTreeSet<String>) {
    let entries = app["status"]["inventory"]["entries"].as_array().cloned().unwrap_or_default();
    let seen: BTreeSet<String> = entries.iter().map(|e| e.text("/id").to_owned()).collect();
    let map = |name: &String| format!("{}_{name}__ConfigMap", test.namespace);
    let mut wanted: BTreeSet<String> = names.iter().map(map).collect();
    wanted.insert(format!("{}_deploy_apps_Deployment", test.namespace));
    assert_eq!(seen, wanted);
}

/// Runs an application through its life, spoiled by `spoil` from its first moment on: installed, changed, removed.
/// Each step has to end well while the faults go on, if they do, and at the end nothing goes on.
async fn live_with(mut test: Scenario, spoil: impl Fn(&ApiProxy)) -> Result<()> {
    let ids = [test.own()?.source.id(), test.own()?.kustomize.id()];
    spoil(test.proxy()?);
    let (names, commit) = write_version(&test, 0)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true\n  timeout: 20s")).await?;
    let app = test.applied("Kustomization/app", &commit).await?;
    owned_are(&test, &names).await?;
    inventory_is(&test, &app, &names);
    let deployed = test.get("Deployment/deploy").await?["metadata"]["uid"].clone();

    spoil(test.proxy()?);
    let (names, commit) = write_version(&test, 1)?;
    test.request("GitRepository/app").await?;
    let app = test.applied("Kustomization/app", &commit).await?;
    owned_are(&test, &names).await?;
    inventory_is(&test, &app, &names);
    assert_eq!(test.get("Deployment/deploy").await?["metadata"]["uid"], deployed, "it is the same");
    assert_eq!(test.get("ConfigMap/stays").await?.text("/data/value"), "1");
    quiet(&test).await?;

    spoil(test.proxy()?);
    for object in ["Kustomization/app", "GitRepository/app"] {
        test.objects.delete(&test.id(object)?).await?;
        test.gone(object).await?;
    }
    owned_are(&test, &BTreeSet::new()).await?;
    test.gone("Deployment/deploy").await?;
    let pair = test.own()?;
    pair.source.expect_running()?;
    pair.kustomize.expect_running()?;
    assert_eq!([pair.source.id(), pair.kustomize.id()], ids, "neither was restarted");
    test.finish().await
}

/// A run of the source that finds nothing new leads to its status and to nothing else.
async fn quiet(test: &Scenario) -> Result<()> {
    let proxy = test.proxy()?;
    proxy.heal();
    test.idle().await?;
    proxy.take_calls();
    test.run("GitRepository/app").await?;
    test.idle().await?;
    // A watch may end, or be tried again.
    let told = |call: &Call| call.is_about("gitrepositories") || call.is_about("events");
    let others = proxy.calls(|call| !call.is_watch() && !call.is_list() && !told(call));
    assert!(others.is_empty(), "{others:?}");
    Ok(())
}

/// An application's life with a fault in so many requests of a kind, each time anew.
async fn survives(
    name: &str,
    fault: Fault,
    times: usize,
    matches: impl Fn(&Call) -> bool + Clone + Send + Sync + 'static,
) -> Result<()> {
    let test = Scenario::through_proxy(name, &["--requeue-dependency=2s"]).await?;
    live_with(test, move |proxy| {
        proxy.heal();
        proxy.add(Rule::new(fault, matches.clone()).times(times));
    })
    .await
}

fn is_status(call: &Call) -> bool {
    call.is_write() && call.path.ends_with("/status")
}

fn is_finalizer(call: &Call) -> bool {
    call.is_write() && !call.path.ends_with("/status") && call.path.contains(".toolkit.fluxcd.io/")
}

fn is_object(call: &Call) -> bool {
    call.is_about("configmaps") || call.is_about("deployments")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_passes_everything_on_and_tells_what() -> Result<()> {
    let test = Scenario::through_proxy("proxy", &[]).await?;
    let (names, commit) = write_version(&test, 0)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true")).await?;
    test.applied("Kustomization/app", &commit).await?;
    owned_are(&test, &names).await?;
    let proxy = test.proxy()?;
    assert!(proxy.calls(|call| call.spoiled).is_empty());
    let written: BTreeSet<String> =
        proxy.calls(|call| call.is_write() && is_object(call)).into_iter().map(|call| call.path).collect();
    assert_eq!(written.len(), 3, "{written:?}");
    for user in [User::SourceController, User::KustomizeController] {
        assert!(!proxy.calls(|call| call.user == Some(user) && call.is_watch()).is_empty(), "{user:?}");
    }
    let dry_runs = proxy.calls(|call| call.is_dry_run() && is_object(call));
    assert_eq!(dry_runs.len(), 3, "each object is asked for once: {dry_runs:?}");
    quiet(&test).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_on_dry_runs() -> Result<()> {
    survives("dry-run-500", Fault::Status(500), 2, |call| call.is_dry_run()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_on_writes_to_objects() -> Result<()> {
    survives("apply-500", Fault::Status(500), 2, |call| call.is_write() && is_object(call)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_server_on_everything() -> Result<()> {
    survives("all-503", Fault::Status(503), 8, |call| !call.is_watch()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_of_the_server_on_writes() -> Result<()> {
    survives("all-504", Fault::Status(504), 6, |call| call.is_write()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_on_status_writes() -> Result<()> {
    survives("status-409", Fault::Status(409), 3, is_status).await
}

#[tokio::test(flavor = "multi_thread")]
async fn more_conflicts_on_status_writes_than_are_tried_again() -> Result<()> {
    survives("status-409s", Fault::Status(409), 8, is_status).await
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_on_status_writes() -> Result<()> {
    survives("status-500", Fault::Status(500), 3, is_status).await
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_on_finalizers() -> Result<()> {
    survives("finalizer-409", Fault::Status(409), 3, is_finalizer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost() -> Result<()> {
    survives("lost", Fault::LoseAnswer, 6, |call| call.is_write()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_refused() -> Result<()> {
    survives("refused", Fault::Refuse, 8, |_| true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_break_off() -> Result<()> {
    survives("cut", Fault::CutBody, 6, |call| !call.is_watch()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_half_a_json() -> Result<()> {
    survives("truncated", Fault::Truncate, 6, |call| !call.is_watch()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_trickle() -> Result<()> {
    survives("trickle", Fault::Trickle(Duration::from_millis(3)), usize::MAX, |call| !call.is_watch()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_late() -> Result<()> {
    survives("late", Fault::Delay(Duration::from_millis(300)), usize::MAX, |call| !call.is_watch()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_too_old_for_a_watch() -> Result<()> {
    survives("expired", Fault::ExpireWatch, 6, |call| call.is_watch()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_too_old_for_a_list_or_the_start_of_a_watch() -> Result<()> {
    survives("gone", Fault::Status(410), 6, |call| call.is_watch() || call.is_list()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_that_fails() -> Result<()> {
    survives("discovery-503", Fault::Status(503), 12, |call| matches!(&*call.path, "/api" | "/apis")).await
}

/// Every watch breaks again and again, and every connection sometimes, while versions follow each other.
#[tokio::test(flavor = "multi_thread")]
async fn watches_and_connections_that_break_again_and_again() -> Result<()> {
    let test = Scenario::through_proxy("breaks", &["--requeue-dependency=2s"]).await?;
    let (mut names, mut commit) = write_version(&test, 0)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true\n  timeout: 20s")).await?;
    for version in 1..=4 {
        for how in [Break::End, Break::Expire, Break::Reset] {
            test.proxy()?.break_watches(how);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        (names, commit) = write_version(&test, version)?;
        test.request("GitRepository/app").await?;
        test.proxy()?.disconnect();
    }
    let app = test.applied("Kustomization/app", &commit).await?;
    owned_are(&test, &names).await?;
    inventory_is(&test, &app, &names);
    // Nobody is told of what happened between two watches: drift is seen all the same.
    let proxy = test.proxy()?;
    let blind = proxy.add(Rule::new(Fault::Status(500), |call| call.is_watch()));
    proxy.break_watches(Break::Reset);
    blind.has_hit(1, LIMIT).await?;
    test.kubectl(&["delete", "configmap", "stays"])?;
    proxy.heal();
    test.until("ConfigMap/stays", "is back", |map| map.text("/data/value") == "4").await?;
    quiet(&test).await?;
    test.finish().await
}

/// A server that takes requests and never answers holds up nothing else, and is left in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_never_answered_delays_nobody_else() -> Result<()> {
    let test = Scenario::through_proxy("hang", &["--concurrent=2"]).await?;
    test.repo.write("other/map.yaml", &config_map("other", "1"))?;
    let (_, commit) = write_version(&test, 0)?;
    test.apply_source().await?;
    let held = test
        .proxy()?
        .add(Rule::new(Fault::Hold(When::Before), |c| c.is_dry_run() && c.is_about("stays")).times(1));
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    held.has_hit(1, LIMIT).await?;
    for i in 0..4 {
        test.apply(&test.kustomization_yaml(
            &format!("other-{i}"),
            "./other",
            &format!("  namePrefix: o{i}-"),
        ))
        .await?;
    }
    for i in 0..4 {
        test.applied(&format!("Kustomization/other-{i}"), &commit).await?;
    }
    assert!(!test.exists("ConfigMap/stays").await?, "it hangs still");
    // The connection is lost at last, and what hung is done again.
    test.proxy()?.disconnect();
    test.applied("Kustomization/app", &commit).await?;
    test.finish().await
}

/// Both controllers start while nothing answers, and work as soon as something does.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_when_the_controllers_start() -> Result<()> {
    let mut test = Scenario::through_proxy("down-at-start", &[]).await?;
    let pair = test.own()?;
    pair.source.kill();
    pair.kustomize.kill();
    test.proxy()?.add(Rule::new(Fault::Refuse, |_| true));
    let pair = test.own()?;
    pair.source.restart().await?;
    pair.kustomize.restart().await?;
    let (names, commit) = write_version(&test, 0)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.proxy()?.heal();
    test.applied("Kustomization/app", &commit).await?;
    owned_are(&test, &names).await?;
    test.own()?.source.expect_running()?;
    test.own()?.kustomize.expect_running()?;
    test.finish().await
}

/// What a run did for one generation is not said of the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_changes_during_a_run_is_not_ready_before_it_is_applied() -> Result<()> {
    let test = Scenario::through_proxy("generation", &[]).await?;
    test.repo.write("two/map.yaml", &config_map("second", "1"))?;
    test.repo.commit_file("one/map.yaml", &config_map("first", "1"))?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    let slow = test.proxy()?.add(Rule::new(Fault::Delay(Duration::from_secs(1)), is_object));
    test.apply(&test.kustomization_yaml("app", "./one", "")).await?;
    slow.has_hit(1, LIMIT).await?;
    let patched = test.patch("Kustomization/app", &json!({"spec": {"path": "./two"}})).await?;
    let newest = patched.number("/metadata/generation");
    test.until("Kustomization/app", "has observed the newest generation", |app| {
        app.number("/status/observedGeneration") == newest
    })
    .await?;
    assert!(test.exists("ConfigMap/second").await?);
    test.ready("Kustomization/app").await?;
    test.gone("ConfigMap/first").await?;
    test.finish().await
}
