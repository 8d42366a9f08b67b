//! How soon the API server is asked again: by watches that end, after it asked for patience, and for objects that others
//! change back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::api_proxy::{Break, Call, Fault, Rule};
use e2e::cluster::User;
use e2e::scenario::{LIMIT, Scenario};
use e2e::testkit::{add_barrier, config_map, follow_back_off, owned_are, pass_barrier, write_version};
use e2e::wait::{self, Not};
use serde_json::json;

/// Which requests are meant.
type Kind = fn(&Call) -> bool;

/// A server that ends each watch at once is not asked again at once.
#[tokio::test(flavor = "multi_thread")]
async fn watches_that_end_at_once_are_no_hot_loop() -> Result<()> {
    let test = Scenario::through_proxy("short", &[]).await?;
    let (_, commit) = write_version(&test, 0)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let proxy = test.proxy()?;
    proxy.add(Rule::new(Fault::EndWatch, |call| call.is_watch()));
    proxy.take_calls();
    let begin = Instant::now();
    proxy.break_watches(Break::End);
    let (calls, watches) = test
        .wait("each watch is tried again, four times or more", async || {
            let calls = proxy.calls(|call| call.is_watch());
            let watches: BTreeSet<_> = calls.iter().map(|call| (call.user, call.path.clone())).collect();
            match calls.len() {
                some if some >= watches.len() * 5 && some > 0 => Ok((some, watches.len())),
                some => Err(Not::Yet(format!("{some} requests for {watches:?}"))),
            }
        })
        .await?;
    let (took, seconds) = (begin.elapsed(), usize::try_from(begin.elapsed().as_secs())?);
    assert!(calls <= watches * (seconds + 2), "{calls} requests for {watches} watches in {took:?}");
    let (names, commit) = write_version(&test, 1)?;
    proxy.heal();
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    owned_are(&test, &names).await?;
    test.finish().await
}

/// Who is told to wait waits so long, whatever it asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_patience_gets_it() -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(3);
    let test = Scenario::through_proxy("patience", &[]).await?;
    let (_, commit) = write_version(&test, 0)?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let proxy = test.proxy()?;
    let kinds: [(&str, Kind); 4] = [
        ("status", |call| call.is_write() && call.path.ends_with("/status")),
        ("dry-run", |call| call.is_dry_run() && call.is_about("stays")),
        ("apply", |call| call.is_write() && call.is_about("stays")),
        ("watch", |call| {
            call.is_watch() && call.is_about("gitrepositories") && call.user == Some(User::SourceController)
        }),
    ];
    proxy.take_calls();
    let rules: Vec<_> = kinds
        .iter()
        .map(|(_, is)| proxy.add(Rule::new(Fault::Throttle(PATIENCE.as_secs()), *is).times(1)))
        .collect();
    proxy.break_watches(Break::End);
    let (names, commit) = write_version(&test, 1)?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    owned_are(&test, &names).await?;
    for ((kind, is), rule) in kinds.iter().zip(rules) {
        rule.has_hit(1, LIMIT).await?;
        // The next one may be on its way still.
        let next = async || {
            let calls = proxy.calls(is);
            let at = calls.iter().position(|call| call.status == Some(429)).expect("it was hit");
            let refused = calls[at].clone();
            let after = calls
                .into_iter()
                .filter(|c| c.path == refused.path && c.at > refused.at)
                .min_by_key(|c| c.at);
            after.map(|c| c.at - refused.at).ok_or_else(|| Not::Yet(format!("no further {kind}")))
        };
        let waited = test.wait(&format!("a further {kind} is asked for"), next).await?;
        ensure!(waited >= PATIENCE, "{kind} was tried again after {waited:?}");
    }
    test.finish().await
}

/// Whoever fights for a field is answered more and more slowly.
#[tokio::test(flavor = "multi_thread")]
async fn repairs_of_what_others_rewrite_again_and_again_are_no_hot_loop() -> Result<()> {
    let test = Scenario::through_proxy("fight", &[]).await?;
    test.repo.write("one/map.yaml", &config_map("shared", "one"))?;
    test.repo.write("two/map.yaml", &config_map("shared", "two"))?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "git"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    test.proxy()?.take_calls();
    // Somebody with a loop of their own.
    let begin = Instant::now();
    let repairs = test
        .wait("it is repaired four times", async || {
            test.patch("ConfigMap/map", &json!({"data": {"value": "by hand"}}))
                .await
                .map_err(wait::not_yet)?;
            let proxy = test.proxy().map_err(Not::Ever)?;
            match proxy.calls(|call| call.is_write() && call.is_about("map")) {
                repairs if repairs.len() >= 4 => Ok(repairs),
                repairs => Err(Not::Yet(format!("{} repairs", repairs.len()))),
            }
        })
        .await?;
    follow_back_off(&repairs, begin)?;
    // Two Kustomizations that want the same object.
    add_barrier(&test, &config_map("barrier", "1")).await?;
    let begin = Instant::now();
    for name in ["one", "two"] {
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), "")).await?;
    }
    for name in ["one", "two"] {
        test.ready(&format!("Kustomization/{name}")).await?;
    }
    pass_barrier(&test, "ConfigMap/barrier").await?;
    let writes = test.proxy()?.calls(|call| call.is_write() && call.is_about("shared"));
    assert!(writes.len() >= 2, "each applies it: {writes:?}");
    // Of three further ones two are of the same Kustomization.
    let repairs: Vec<Call> = writes.into_iter().skip(2).step_by(2).collect();
    follow_back_off(&repairs, begin)?;
    test.finish().await
}
