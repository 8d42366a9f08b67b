//! A Git host that is down for long, with many sources that are due; and watches while the API server is down.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::api_proxy::{Break, Fault as ApiFault, Rule};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::git_server::Fault;
use e2e::objects::Look;
use e2e::scenario::{REQUESTED_AT, SHARD, Scenario};
use e2e::wait::{self, Not, not_yet};
use serde_json::{Value, json};

const SOURCES: usize = 24;
/// The first five delays are 0.75, 1.5, 3, 6 and 10 seconds, each less a tenth at most.
const FIVE_DELAYS: Duration = Duration::from_secs(19);

/// GitRepositories of one repository by many names: to the controller they have nothing in common.
async fn add_sources(test: &Scenario, count: usize) -> Result<Vec<String>> {
    let folder = test.repo.bare().parent().context("no folder")?;
    for n in 0..count {
        std::os::unix::fs::symlink(Path::new("app.git"), folder.join(format!("app-{n}.git")))?;
        let source = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": format!("app-{n}"), "labels": { SHARD: test.namespace }},
            "spec": {"interval": "1h", "url": test.git.url(&format!("app-{n}")), "ref": {"branch": "main"}},
        });
        test.objects.apply_one(&source, &test.namespace).await?;
    }
    Ok((0..count).map(|n| format!("GitRepository/app-{n}")).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_host_that_comes_back_after_an_outage_is_not_overrun() -> Result<()> {
    let test = Scenario::new("outage").await?;
    let options = [&*test.selector(), "--git-host-concurrency=8", "--max-retry-delay=10s"];
    let controller = Controller::start(test.cluster, User::SourceController, &options).await?;
    let first = format!("main@sha1:{}", test.repo.commit_file("a.txt", "one")?);
    let names = add_sources(&test, SOURCES).await?;
    let mut before = Vec::new();
    for name in &names {
        before.push(test.until(name, "holds the first commit", |o| holds(o, &first)).await?);
    }

    let failed = controller.metric("controller_runtime_reconcile_errors_total", &["gitrepository"]);
    let before_failures = failed.await?;
    test.git.take_load();
    let begin = Instant::now();
    test.git.set_fault(Fault::Down);
    let second = format!("main@sha1:{}", test.repo.commit_file("a.txt", "two")?);
    // All of them are due at once.
    let request = json!({"metadata": {"annotations": { REQUESTED_AT: "outage" }}});
    for name in &names {
        test.patch(name, &request).await?;
    }
    for name in &names {
        test.condition(name, "FetchFailed", "True", "GitOperationFailed", "failed to checkout").await?;
    }
    // More failures than five for each source, so one of them has been tried six times.
    let failures = test
        .wait("each source is tried again", async || {
            let errors = controller.metric("controller_runtime_reconcile_errors_total", &["gitrepository"]);
            match errors.await.map_err(not_yet)? {
                errors if errors > before_failures + 5.0 * SOURCES as f64 => Ok(errors - before_failures),
                errors => Err(Not::Yet(format!("{errors} failures"))),
            }
        })
        .await?;
    let (took, connections) = (begin.elapsed(), test.git.take_load().connections);
    assert!(took >= FIVE_DELAYS, "{failures} failures within {took:?}");
    assert!(connections as f64 <= 2.0 * failures + 1.0, "{connections} connections for {failures} failures");
    for (name, before) in names.iter().zip(&before) {
        let during = test.get(name).await?;
        assert_eq!(during["status"]["artifact"], before["status"]["artifact"], "{name}");
        assert_eq!(during.condition("Ready").context("no Ready")?.status, "False");
        let answer = reqwest::get(during.text("/status/artifact/url")).await?;
        assert_eq!(answer.status(), 200, "{name}");
    }

    // Back, not at its best, and everybody wants it at once.
    test.git.set_fault(Fault::Slow(Duration::from_millis(100)));
    test.git.take_load();
    let request = json!({"metadata": {"annotations": { REQUESTED_AT: "back" }}});
    for name in &names {
        test.patch(name, &request).await?;
    }
    for name in &names {
        let after = test.until(name, "holds the second commit", |o| holds(o, &second)).await?;
        assert_eq!(after.condition("FetchFailed"), None, "{name}");
    }
    let load = test.git.take_load();
    assert!(load.at_once <= 4, "the controller asks for more at once than it may: {load:?}");
    // Only a machine that is too slow for two requests within a tenth of a second shows fewer.
    assert!(load.at_once >= 2, "one after the other, {}: {load:?}", wait::load());
    drop(controller);
    test.finish().await
}

fn holds(object: &Value, revision: &str) -> bool {
    object.is_ready() && object.text("/status/artifact/revision") == revision
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_that_are_given_up_count_for_their_host_until_they_have_ended() -> Result<()> {
    const MOST: usize = 2;
    let test = Scenario::new("given-up").await?;
    let selector = test.selector();
    // Half of them for a namespace.
    let options = [&*selector, "--git-host-concurrency=4"];
    let controller = Controller::start(test.cluster, User::SourceController, &options).await?;
    test.repo.commit_file("a.txt", "one")?;
    let names = add_sources(&test, 2 * MOST).await?;
    for name in &names {
        test.ready(name).await?;
    }
    // Each request gives up the fetch that is under way for the one before.
    test.git.set_fault(Fault::Slow(Duration::from_secs(2)));
    test.git.take_load();
    let mut most = 0;
    for token in ["1", "2", "3"] {
        let request = json!({"metadata": {"annotations": { REQUESTED_AT: token }}});
        for name in &names {
            test.patch(name, &request).await?;
        }
        test.wait("as many as may are under way", async || match test.git.take_load().at_once {
            now if now >= MOST => {
                most = most.max(now);
                Ok(())
            }
            now => Err(Not::Yet(format!("{now} requests"))),
        })
        .await?;
    }
    for name in &names {
        test.until(name, "has handled the last request", |o| o.text("/status/lastHandledReconcileAt") == "3")
            .await?;
    }
    most = most.max(test.git.take_load().at_once);
    assert_eq!(most, MOST, "requests at once, more than the controller may");
    drop(controller);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_comes_back_after_an_outage_works_although_nothing_changes() -> Result<()> {
    let test = Scenario::through_proxy("watches", &[]).await?;
    let (proxy, pair) = (test.proxy()?, test.pair()?);
    // The shard of this test has no objects: the watches have nothing to show.
    let quiet = [(&pair.source, "OCIRepository"), (&pair.kustomize, "Kustomization")];
    for (controller, kind) in quiet {
        controller.watch_fails(kind, false).await?;
    }
    proxy.add(Rule::new(ApiFault::Status(500), |call| call.is_watch() || call.is_list()));
    proxy.break_watches(Break::Reset);
    for (controller, kind) in quiet {
        controller.watch_fails(kind, true).await?;
    }
    proxy.heal();
    for (controller, kind) in quiet {
        controller.watch_fails(kind, false).await?;
        let log = controller.log_text();
        let is_told = |line: &&str| {
            line.contains("the watch works again") && line.contains(&format!("\"kind\":\"{kind}\""))
        };
        assert_eq!(log.lines().filter(is_told).count(), 1, "{}", controller.log_about("watch", 5));
    }
    test.finish().await
}
