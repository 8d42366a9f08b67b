//! Two controllers and one Lease: whoever does not provably hold it writes nothing.

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::api_proxy::{Call, Fault, Rule, When};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::process::Signal;
use e2e::scenario::{LIMIT, SHARD, Scenario};
use e2e::testkit::config_map;
use e2e::wait::{Not, not_yet};
use http::Method;

/// Flags for a Lease that is renewed every second; its holder gives it up after so many without, others wait two more.
fn election(renew_deadline: u64) -> [String; 4] {
    [
        "--enable-leader-election".into(),
        format!("--leader-election-lease-duration={}s", renew_deadline + 2),
        format!("--leader-election-renew-deadline={renew_deadline}s"),
        "--leader-election-retry-period=1s".into(),
    ]
}

/// Whether something is asked that is more than looking; the Lease itself is another matter.
fn changes_something(call: &Call) -> bool {
    !matches!(call.method, Method::GET | Method::HEAD) && !call.is_about("leases")
}

fn is_apply(call: &Call) -> bool {
    call.is_write() && call.is_about("configmaps")
}

/// A leader behind a proxy, with an application at its first commit, and a second candidate with a way of its own.
async fn leader_and_standby(name: &str, renew_deadline: u64) -> Result<(Scenario, Controller)> {
    let election = election(renew_deadline);
    let mut options: Vec<&str> = election.iter().map(String::as_str).collect();
    let test = Scenario::through_proxy(name, &options).await?;
    let selector = format!("--watch-label-selector={SHARD}={}", test.namespace);
    options.push(&selector);
    let standby = Controller::start(test.cluster, User::KustomizeController, &options).await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    assert_eq!(test.proxy()?.calls(is_apply).len(), 1, "the one behind the proxy leads");
    Ok((test, standby))
}

/// The leader sleeps in the middle of its work for longer than its Lease lasts. When it wakes another one leads, and
/// what it was about to write is not written.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_slept_in_the_middle_of_an_apply_writes_nothing_when_it_wakes() -> Result<()> {
    let (mut test, mut standby) = leader_and_standby("asleep", 6).await?;
    // The server asks for patience: the leader is stopped while it waits to send the same write again.
    let throttled = test.proxy()?.add(Rule::new(Fault::Throttle(1), is_apply));
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.request("GitRepository/app").await?;
    throttled.has_hit(1, LIMIT).await?;
    let stopped = Instant::now();
    test.own()?.kustomize.signal(Signal::STOP)?;
    test.applied("Kustomization/app", &commit).await?;
    assert!(stopped.elapsed() > Duration::from_secs(1), "the lease is respected");
    // Nobody but the one that slept goes by way of the proxy any more.
    let proxy = test.proxy()?;
    proxy.heal();
    proxy.take_calls();
    test.own()?.kustomize.signal(Signal::CONT)?;
    let status = test.own()?.kustomize.ends(LIMIT).await?;
    assert!(!status.success(), "it says that it lost the lease: {status}");
    assert!(test.own()?.kustomize.log_text().contains("is lost"));
    let own = |call: &Call| call.user == Some(User::KustomizeController) && changes_something(call);
    let stale = test.proxy()?.calls(own);
    assert!(stale.is_empty(), "{stale:?}");
    standby.expect_running()?;
    // Started again, it follows.
    test.own()?.kustomize.restart().await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "2"))?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    assert!(test.proxy()?.calls(own).is_empty());
    test.finish().await
}

/// Waits for two renewals from now on.
async fn renews(test: &Scenario, renewal: fn(&Call) -> bool) -> Result<()> {
    let well = |call: &Call| renewal(call) && call.status == Some(200);
    let before = test.proxy()?.calls(well).len();
    test.wait("the lease is renewed twice", async || {
        match test.proxy().map_err(Not::Ever)?.calls(well).len() {
            now if now >= before + 2 => Ok(()),
            now => Err(Not::Yet(format!("{now} renewals after {before}"))),
        }
    })
    .await
}

/// One renewal that hangs, in a connection that is dead, is no reason to give the Lease up.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_is_never_answered_is_sent_again_in_time() -> Result<()> {
    let (mut test, mut standby) = leader_and_standby("hung-renewal", 15).await?;
    let renewal = |call: &Call| call.is_about("leases") && call.is_write();
    let held = test.proxy()?.add(Rule::new(Fault::Hold(When::Before), renewal).times(1));
    held.has_hit(1, LIMIT).await?;
    renews(&test, renewal).await?;
    let conflict = test.proxy()?.add(Rule::new(Fault::Status(409), renewal).times(1));
    conflict.has_hit(1, LIMIT).await?;
    renews(&test, renewal).await?;
    test.own()?.kustomize.expect_running()?;
    standby.expect_running()?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    assert_eq!(test.proxy()?.calls(is_apply).len(), 2, "the same one leads");
    test.finish().await
}

/// A leader that the API server does not answer any more ends before anybody else may begin.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_renew_ends_and_the_other_one_takes_over() -> Result<()> {
    let (mut test, _standby) = leader_and_standby("cut-off", 4).await?;
    test.proxy()?.add(Rule::new(Fault::Hold(When::Before), |_| true));
    let status = test.own()?.kustomize.ends(LIMIT).await?;
    assert!(!status.success(), "{status}");
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.proxy()?.heal();
    test.proxy()?.disconnect();
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    test.finish().await
}

/// A source-controller that does not lead is alive and not ready, and says so in Flux's words.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_controller_is_ready_when_it_leads() -> Result<()> {
    let test = Scenario::new("ready-leader").await?;
    let [enable, lease, renew, retry] = election(15);
    let selector = format!("--watch-label-selector={SHARD}={}", test.namespace);
    let options = [&*enable, &lease, &renew, &retry, &selector];
    let mut leader = Controller::start(test.cluster, User::SourceController, &options).await?;
    let mut standby = leader.start_beside()?;
    let waiting = "[-]artifact-server failed: reason withheld\n[-]leader-election failed: reason withheld\n\
                   [+]ping ok\nhealthz check failed\n";
    test.wait("the second one answers", async || {
        standby.expect_running().map_err(Not::Ever)?;
        let answer = standby.health("/readyz").await.map_err(not_yet)?;
        if answer == (500, waiting.to_owned()) { Ok(()) } else { Err(Not::Yet(format!("{answer:?}"))) }
    })
    .await?;
    assert_eq!(standby.health("/healthz").await?, (200, "ok".into()));
    let (status, text) = standby.health("/readyz/leader-election").await?;
    assert_eq!((status, &*text), (500, "internal server error: manager is not the leader\n"));
    assert_eq!(leader.health("/readyz/leader-election").await?, (200, "ok".into()));
    // It gives the Lease up.
    leader.stop()?;
    test.wait("the second one is ready", async || match standby.health("/readyz").await {
        Ok((200, _)) => Ok(()),
        other => Err(Not::Yet(format!("{other:?}"))),
    })
    .await?;
    test.finish().await
}
