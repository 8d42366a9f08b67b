//! Processes whose wall clock jumps.

use anyhow::{Context, Result};
use e2e::artifact::{digest, download};
use e2e::cluster::User;
use e2e::controller::{Controller, RUNTIME_NAMESPACE};
use e2e::git_server::GitServer;
use e2e::idle::idle;
use e2e::moved_clock::MovedClock;
use e2e::objects::{Id, Look};
use e2e::pki::Ca;
use e2e::scenario::{SHARD, Scenario, Settings};
use futures::future::try_join_all;
use serde_json::json;

use crate::each_controller::{apply, have_followed, object, write};

const YEAR: i64 = 365 * 24 * 3600;
/// Of each controller for one commit and one source that fails a few times.
const MOST_PASSES: f64 = 40.0;

/// Every controller that looks after the objects of a test.
fn all<'a>(test: &'a Scenario, others: &'a [Controller; 2]) -> Result<[&'a Controller; 4]> {
    let (pair, [helm, watcher]) = (test.pair()?, others);
    Ok([&pair.source, &pair.kustomize, helm, watcher])
}

/// Passes of each so far, once they have nothing to do. No series is below 0.
async fn passes(controllers: [&Controller; 4]) -> Result<Vec<f64>> {
    idle(&controllers).await?;
    let mut passes = Vec::new();
    for controller in controllers {
        let series = controller.metrics().await?;
        let negative: Vec<_> = series.lines().filter(|line| line.contains(" -")).collect();
        assert!(negative.iter().all(|line| line.starts_with('#')), "{negative:?}");
        passes.push(controller.metric("controller_runtime_reconcile_total", &[]).await?);
    }
    Ok(passes)
}

/// Who holds the Lease of each controller, and how often it changed hands.
async fn leases(test: &Scenario) -> Result<Vec<(String, i64)>> {
    let shard = digest(format!("{SHARD}={}", test.namespace).as_bytes());
    let mut told = Vec::new();
    for user in User::CONTROLLERS {
        let name = format!("{}-leader-election-{}", user.name(), &shard["sha256:".len()..][..8]);
        let id = Id::of("coordination.k8s.io/v1", "Lease", RUNTIME_NAMESPACE, &name);
        let lease = test.objects.get(&id).await?.with_context(|| format!("{id} does not exist"))?;
        told.push((lease.text("/spec/holderIdentity").to_owned(), lease.number("/spec/leaseTransitions")));
    }
    Ok(told)
}

/// A source on a server of its own, with a certificate that is valid in these days; and its name.
async fn encrypted_source(test: &Scenario, name: &str) -> Result<(GitServer, String)> {
    let name = format!("encrypted{name}");
    let server = GitServer::start_tls_by(Ca::short_lived(&name)?).await?;
    server.create("app")?.commit_file("a.txt", "one")?;
    let authority = server.ca_pem().context("an authority")?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"ca.crt": authority},
    });
    test.apply(&secret.to_string()).await?;
    let source = test.source_yaml("1h", &format!("  secretRef: {{name: {name}}}"));
    let source = source.replace("metadata: {name: app}", &format!("metadata: {{name: {name}}}"));
    test.apply(&source.replace(&test.git.url("app"), &server.url("app"))).await?;
    Ok((server, name))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_stops_nothing_and_starts_no_storm() -> Result<()> {
    let clock = MovedClock::new()?;
    let election = [
        "--enable-leader-election",
        // As long as a busy machine may keep a renewal waiting.
        "--leader-election-lease-duration=20s",
        "--leader-election-renew-deadline=16s",
        "--leader-election-retry-period=1s",
    ];
    let settings = Settings { source: &election, kustomize: &election, environment: &clock.environment() };
    let mut test = Scenario::with_settings("clock", settings).await?;
    let selector = test.selector();
    let options = [&[&*selector], &election[..]].concat();
    let environment = clock.environment();
    let start = |user| Controller::start_in_environment(test.cluster, user, &options, &environment);
    let (helm, watcher) = tokio::try_join!(start(User::HelmController), start(User::SourceWatcher))?;
    let mut others = [helm, watcher];
    let commit = write(&test, "0")?;
    for user in User::CONTROLLERS {
        apply(&test, user, &json!({})).await?;
    }
    have_followed(&test, &commit, "0").await?;
    let held = leases(&test).await?;

    let mut encrypted = Vec::new();
    for (offset, fault) in [(YEAR, "certificate expired"), (-YEAR, "certificate not valid yet")] {
        let before = passes(all(&test, &others)?).await?;
        clock.set(offset)?;
        let value = offset.to_string();
        let commit = write(&test, &value)?;
        test.request("GitRepository/app").await?;
        have_followed(&test, &commit, &value).await?;
        for user in User::CONTROLLERS {
            let object = test.get(object(user)).await?;
            assert!(!object.to_string().contains("in -"), "a negative duration: {object}");
        }
        // What the status names is there, however old it seems to be.
        download(&test.ready("GitRepository/app").await?).await?;
        let server = encrypted_source(&test, &value).await?;
        let source = format!("GitRepository/{}", server.1);
        test.condition(&source, "Ready", "False", "GitOperationFailed", fault).await?;
        encrypted.push((server.0, source));
        let after = passes(all(&test, &others)?).await?;
        let made: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert!(made.iter().all(|passes| (1.0..MOST_PASSES).contains(passes)), "{made:?} at {offset}");
        assert_eq!(leases(&test).await?, held, "all still lead");
    }
    clock.set(0)?;
    for (_server, source) in &encrypted {
        test.request(source).await?;
        test.ready(source).await?;
    }

    // The process has to have had that clock.
    let year = |controller: &Controller| {
        let mut years: Vec<_> = controller
            .log_text()
            .lines()
            .filter_map(|line| Some(line.split_once("\"ts\":\"")?.1[..4].to_owned()))
            .collect();
        years.sort();
        years.dedup();
        years.len()
    };
    for controller in all(&test, &others)? {
        assert!(year(controller) >= 3, "its log has three years: {}", controller.log_about("", 3));
    }

    // One that dies while its clock is ahead is followed by one whose clock is behind.
    clock.set(YEAR)?;
    let commit = write(&test, "ahead")?;
    test.request("GitRepository/app").await?;
    have_followed(&test, &commit, "ahead").await?;
    let (pair, [helm, watcher]) = (test.own()?, &mut others);
    let mut controllers = [&mut pair.source, &mut pair.kustomize, helm, watcher];
    for controller in &mut controllers {
        controller.kill();
    }
    clock.set(-YEAR)?;
    try_join_all(controllers.map(Controller::restart)).await?;
    let commit = write(&test, "behind")?;
    test.request("GitRepository/app").await?;
    have_followed(&test, &commit, "behind").await?;
    for (now, then) in leases(&test).await?.iter().zip(&held) {
        assert!(now.0 != then.0 && now.1 == then.1 + 1, "{now:?} after {then:?}");
    }
    test.finish().await
}
