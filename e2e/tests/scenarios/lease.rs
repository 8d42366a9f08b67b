//! Two controllers and one Lease: whoever does not provably hold it writes nothing.

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::api_proxy::{Call, Fault, Rule, When};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::process::Signal;
use e2e::scenario::{LIMIT, Scenario};
use e2e::wait::{Not, not_yet};
use http::Method;
use serde_json::json;

use crate::each_controller::{apply, follows, has_followed, write, written};

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

/// A leader behind a proxy, whose object has followed its first commit, and a second candidate with a way of its own.
struct Election {
    test: Scenario,
    user: User,
    leader: Controller,
    standby: Controller,
}

impl Election {
    async fn new(name: &str, user: User, renew_deadline: u64) -> Result<Self> {
        let mut test = Scenario::through_proxy(&format!("{name}-{}", user.name()), &[]).await?;
        // The leader does its work.
        let pair = test.own()?;
        match user {
            User::SourceController => pair.source.kill(),
            User::KustomizeController => pair.kustomize.kill(),
            _ => {}
        }
        let (selector, election) = (test.selector(), election(renew_deadline));
        let options: Vec<&str> = election.iter().chain([&selector]).map(String::as_str).collect();
        let kubeconfig = test.proxy()?.kubeconfig(user);
        let leader = Controller::start_with(kubeconfig, user, &options, &[]).await?;
        test.wait("the one behind the proxy leads", async || {
            let is = |call: &Call| call.user == Some(user) && is_renewal(call) && call.status == Some(200);
            match test.proxy().map_err(Not::Ever)?.calls(is).len() {
                0 => Err(Not::Yet("no renewal".into())),
                _ => Ok(()),
            }
        })
        .await?;
        let standby = Controller::begin(test.cluster, user, &options)?;
        let commit = write(&test, "0")?;
        apply(&test, user, &json!({})).await?;
        has_followed(&test, user, &commit, "0").await?;
        let this = Self { test, user, leader, standby };
        assert!(!this.works()?.is_empty(), "the one behind the proxy leads");
        Ok(this)
    }

    /// What the leader has written of its work.
    fn works(&self) -> Result<Vec<Call>> {
        let user = self.user;
        Ok(self.test.proxy()?.calls(move |call| is_work(call, user)))
    }
}

/// Whether a controller writes what its work is.
fn is_work(call: &Call, user: User) -> bool {
    call.user == Some(user) && call.is_write() && call.is_about(written(user))
}

fn is_renewal(call: &Call) -> bool {
    call.is_about("leases") && call.is_write()
}

/// The leader sleeps in the middle of its work for longer than its Lease lasts. When it wakes another one leads, and
/// what it was about to write is not written.
async fn sleeps(user: User) -> Result<()> {
    let mut election = Election::new("asleep", user, 6).await?;
    let (test, leader) = (&election.test, &mut election.leader);
    // The server asks for patience: the leader is stopped while it waits to send the same write again.
    let throttled = test.proxy()?.add(Rule::new(Fault::Throttle(1), move |call| is_work(call, user)));
    let commit = write(test, "1")?;
    test.request("GitRepository/app").await?;
    throttled.has_hit(1, LIMIT).await?;
    let stopped = Instant::now();
    leader.signal(Signal::STOP)?;
    has_followed(test, user, &commit, "1").await?;
    assert!(stopped.elapsed() > Duration::from_secs(1), "the lease is respected");
    // Of this controller nobody but the one that slept goes by way of the proxy any more.
    let proxy = test.proxy()?;
    proxy.heal();
    proxy.take_calls();
    leader.signal(Signal::CONT)?;
    let status = leader.ends(LIMIT).await?;
    assert!(!status.success(), "it says that it lost the lease: {status}");
    assert!(leader.log_text().contains("is lost"));
    let own = move |call: &Call| call.user == Some(user) && changes_something(call);
    let stale = proxy.calls(own);
    assert!(stale.is_empty(), "{stale:?}");
    election.standby.expect_running()?;
    // Started again, it follows.
    let _again = leader.start_beside()?;
    test.wait("it is back", async || {
        match proxy.calls(move |call| call.user == Some(user) && call.is_about("leases")).len() {
            0 => Err(Not::Yet("it has not asked for the lease".into())),
            _ => Ok(()),
        }
    })
    .await?;
    follows(test, user, "2").await?;
    assert!(proxy.calls(own).is_empty());
    election.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomize_controller_that_slept_in_the_middle_of_its_work_writes_nothing_when_it_wakes()
-> Result<()> {
    sleeps(User::KustomizeController).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_controller_that_slept_in_the_middle_of_its_work_writes_nothing_when_it_wakes() -> Result<()>
{
    sleeps(User::SourceController).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helm_controller_that_slept_in_the_middle_of_its_work_writes_nothing_when_it_wakes() -> Result<()> {
    sleeps(User::HelmController).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_watcher_that_slept_in_the_middle_of_its_work_writes_nothing_when_it_wakes() -> Result<()> {
    sleeps(User::SourceWatcher).await
}

/// Waits for two renewals from now on.
async fn renews(test: &Scenario) -> Result<()> {
    let well = |call: &Call| is_renewal(call) && call.status == Some(200);
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
    let mut election = Election::new("hung-renewal", User::KustomizeController, 15).await?;
    let test = &election.test;
    let before = election.works()?.len();
    let held = test.proxy()?.add(Rule::new(Fault::Hold(When::Before), is_renewal).times(1));
    held.has_hit(1, LIMIT).await?;
    renews(test).await?;
    let conflict = test.proxy()?.add(Rule::new(Fault::Status(409), is_renewal).times(1));
    conflict.has_hit(1, LIMIT).await?;
    renews(test).await?;
    election.leader.expect_running()?;
    election.standby.expect_running()?;
    follows(test, election.user, "1").await?;
    assert!(election.works()?.len() > before, "the same one leads");
    election.test.finish().await
}

/// A leader that the API server does not answer any more ends before anybody else may begin.
async fn is_cut_off(user: User) -> Result<()> {
    let mut election = Election::new("cut-off", user, 4).await?;
    let test = &election.test;
    test.proxy()?.add(Rule::new(Fault::Hold(When::Before), |_| true));
    let status = election.leader.ends(LIMIT).await?;
    assert!(!status.success(), "{status}");
    test.proxy()?.heal();
    test.proxy()?.disconnect();
    follows(test, user, "1").await?;
    election.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomize_controller_that_cannot_renew_ends_and_the_other_one_takes_over() -> Result<()> {
    is_cut_off(User::KustomizeController).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_controller_that_cannot_renew_ends_and_the_other_one_takes_over() -> Result<()> {
    is_cut_off(User::SourceController).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helm_controller_that_cannot_renew_ends_and_the_other_one_takes_over() -> Result<()> {
    is_cut_off(User::HelmController).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_watcher_that_cannot_renew_ends_and_the_other_one_takes_over() -> Result<()> {
    is_cut_off(User::SourceWatcher).await
}

/// A controller that serves artifacts is alive and not ready while it does not lead, and says so in Flux's words.
async fn is_ready_when_it_leads(user: User) -> Result<()> {
    let test = Scenario::new("ready-leader").await?;
    let (selector, election) = (test.selector(), election(15));
    let options: Vec<&str> = election.iter().chain([&selector]).map(String::as_str).collect();
    let mut leader = Controller::start(test.cluster, user, &options).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_source_controller_is_ready_when_it_leads() -> Result<()> {
    is_ready_when_it_leads(User::SourceController).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_watcher_is_ready_when_it_leads() -> Result<()> {
    is_ready_when_it_leads(User::SourceWatcher).await
}
