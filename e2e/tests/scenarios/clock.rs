//! Processes whose wall clock jumps.

use anyhow::{Context, Result};
use e2e::artifact::{digest, download};
use e2e::controller::{Controller, RUNTIME_NAMESPACE};
use e2e::git_server::GitServer;
use e2e::moved_clock::MovedClock;
use e2e::objects::{Id, Look};
use e2e::pki::Ca;
use e2e::scenario::{SHARD, Scenario, Settings};
use e2e::testkit::config_map;
use serde_json::json;

const YEAR: i64 = 365 * 24 * 3600;
/// Of each controller for one commit and one source that fails a few times.
const MOST_PASSES: f64 = 40.0;

/// Passes so far. No series is below 0.
async fn passes(controller: &Controller) -> Result<f64> {
    let series = controller.metrics().await?;
    let negative: Vec<_> = series.lines().filter(|line| line.contains(" -")).collect();
    assert!(negative.iter().all(|line| line.starts_with('#')), "{negative:?}");
    controller.metric("controller_runtime_reconcile_total", &[]).await
}

/// Who holds the Lease of each controller, and how often it changed hands.
async fn leases(test: &Scenario) -> Result<Vec<(String, i64)>> {
    let shard = digest(format!("{SHARD}={}", test.namespace).as_bytes());
    let mut told = Vec::new();
    for controller in ["source-controller", "kustomize-controller"] {
        let name = format!("{controller}-leader-election-{}", &shard["sha256:".len()..][..8]);
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
    let mut commit = test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let held = leases(&test).await?;

    let mut encrypted = Vec::new();
    for (offset, fault) in [(YEAR, "certificate expired"), (-YEAR, "certificate not valid yet")] {
        test.idle().await?;
        let pair = test.pair()?;
        let before = [passes(&pair.source).await?, passes(&pair.kustomize).await?];
        clock.set(offset)?;
        let value = offset.to_string();
        commit = test.repo.commit_file("app/map.yaml", &config_map("map", &value))?;
        test.request("GitRepository/app").await?;
        let app = test.applied("Kustomization/app", &commit).await?;
        assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), value);
        assert!(!app.to_string().contains("in -"), "a negative duration: {app}");
        // What the status names is there, however old it seems to be.
        download(&test.ready("GitRepository/app").await?).await?;
        let server = encrypted_source(&test, &value).await?;
        let source = format!("GitRepository/{}", server.1);
        test.condition(&source, "Ready", "False", "GitOperationFailed", fault).await?;
        encrypted.push((server.0, source));
        test.idle().await?;
        let pair = test.pair()?;
        let after = [passes(&pair.source).await?, passes(&pair.kustomize).await?];
        let made = [after[0] - before[0], after[1] - before[1]];
        assert!(made.iter().all(|passes| (1.0..MOST_PASSES).contains(passes)), "{made:?} at {offset}");
        assert_eq!(leases(&test).await?, held, "both still lead");
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
    assert!(year(&test.pair()?.source) >= 3 && year(&test.pair()?.kustomize) >= 3, "its log has three years");

    // One that dies while its clock is ahead is followed by one whose clock is behind.
    clock.set(YEAR)?;
    commit = test.repo.commit_file("app/map.yaml", &config_map("map", "ahead"))?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    let pair = test.own()?;
    pair.source.kill();
    pair.kustomize.kill();
    clock.set(-YEAR)?;
    tokio::try_join!(pair.source.restart(), pair.kustomize.restart())?;
    commit = test.repo.commit_file("app/map.yaml", &config_map("map", "behind"))?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    for (now, then) in leases(&test).await?.iter().zip(&held) {
        assert!(now.0 != then.0 && now.1 == then.1 + 1, "{now:?} after {then:?}");
    }
    test.finish().await
}
