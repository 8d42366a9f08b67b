//! `kill -9` before and after every single write of an application's life. One life is watched to count its writes;
//! then it is lived again and again, and each time the controller dies at another write, is started again, and has to
//! bring everything to a good end.
//!
//! A few points are chosen at random, by a seed that is printed; `KILL_POINTS=all` takes them all, a number so many,
//! and `KILL_SEED` the seed of another run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::api_proxy::{Call, Fault, Rule, When};
use e2e::artifact::download;
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::{LIMIT, Pair, Scenario};
use e2e::testkit::{config_map, deployment, files};
use e2e::wait::{self, Not};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;

/// Points that are tried when nothing else is said.
pub const POINTS: usize = 8;
/// Time between two looks whether the controller is to be killed.
const PAUSE: Duration = Duration::from_millis(20);

type Writes = fn(&Call) -> bool;

/// A test with a controller that dies in it.
pub trait Stage {
    fn test(&self) -> &Scenario;
    fn victim(&mut self) -> Result<&mut Controller>;
}

/// A test that kills one of its pair.
struct OfPair {
    test: Scenario,
    victim: fn(&mut Pair) -> &mut Controller,
}

impl Stage for OfPair {
    fn test(&self) -> &Scenario {
        &self.test
    }

    fn victim(&mut self) -> Result<&mut Controller> {
        Ok((self.victim)(self.test.own()?))
    }
}

fn of_kustomize_controller(call: &Call) -> bool {
    call.user == Some(User::KustomizeController) && call.is_write()
}

fn of_source_controller(call: &Call) -> bool {
    call.user == Some(User::SourceController) && call.is_write()
}

/// The points at which one is killed, of so many writes; a few if nothing else is said.
pub fn points(writes: usize, few: usize) -> Result<Vec<(usize, When)>> {
    let mut all: Vec<_> = (0..writes).flat_map(|k| [(k, When::Before), (k, When::After)]).collect();
    let count = match std::env::var("KILL_POINTS").as_deref() {
        Ok("all") => return Ok(all),
        Ok(number) => number.parse()?,
        Err(_) => few,
    };
    let seed = std::env::var("KILL_SEED").map_or_else(|_| Ok(rand::rng().random()), |seed| seed.parse())?;
    eprintln!("KILL_SEED={seed}");
    all.shuffle(&mut StdRng::seed_from_u64(seed));
    all.truncate(count);
    Ok(all)
}

/// Waits until exactly these objects exist, by `Kind/name`, and belong to `app`.
async fn objects_are(test: &Scenario, wanted: &[&str]) -> Result<()> {
    let wanted: BTreeSet<String> = wanted.iter().map(|&s| s.to_owned()).collect();
    test.wait("the objects of app are those that are wanted", async || {
        let mut seen = BTreeSet::new();
        for kind in ["ConfigMap", "ServiceAccount", "Deployment"] {
            let like = test.id(&format!("{kind}/any")).map_err(Not::Ever)?;
            let all = test.objects.list(&like).await.map_err(wait::not_yet)?;
            let ours =
                all.iter().filter(|o| o["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] == "app");
            seen.extend(ours.map(|o| format!("{kind}/{}", o.text("/metadata/name"))));
        }
        if seen == wanted { Ok(()) } else { Err(Not::Yet(format!("{seen:?} instead of {wanted:?}"))) }
    })
    .await
}

/// The write at which the controller dies, once.
pub struct Trap {
    rule: Arc<Rule>,
    sprung: bool,
}

impl Trap {
    /// A trap at this rule, which holds a request.
    pub fn new(rule: Arc<Rule>) -> Self {
        Self { rule, sprung: false }
    }

    /// Kills the controller and starts it again if it has come so far.
    async fn spring(&mut self, stage: &mut impl Stage) -> Result<()> {
        if !self.sprung && self.rule.hits() > 0 {
            self.sprung = true;
            stage.victim()?.kill();
            stage.victim()?.restart().await?;
        }
        Ok(())
    }
}

/// Waits for what `done` waits for; the controller that dies on the way is started again.
pub async fn through(
    stage: &mut impl Stage,
    trap: &mut Option<Trap>,
    done: impl AsyncFn(&Scenario) -> Result<bool>,
) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        let over = done(stage.test()).await?;
        if let Some(trap) = trap {
            // A write that is done and held may be what was waited for: its answer is on its way to the proxy.
            let over = over && !trap.rule.is_under_way();
            trap.spring(stage).await?;
            if over {
                return Ok(());
            }
        } else if over {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    let namespace = stage.test().namespace.clone();
    let log = stage.victim()?.log_about(&namespace, 20);
    let test = stage.test();
    let calls = test.proxy()?.calls(|call| !call.is_watch());
    let last: Vec<_> = calls.iter().rev().take(12).map(|call| format!("{call:?}")).collect();
    bail!("not within {LIMIT:?}, {}\n{log}\nthe last requests first:\n{}", wait::load(), last.join("\n"))
}

pub async fn is_gone(test: &Scenario, object: &str) -> Result<bool> {
    Ok(!test.exists(object).await?)
}

/// One life of an application: installed, changed with something removed and something new, deleted. `trap` is the
/// write at which the controller is killed.
async fn life(stage: &mut OfPair, trap: &mut Option<Trap>) -> Result<()> {
    let test = &stage.test;
    test.apply(&test.kustomization_yaml("app", "./one", "  wait: true")).await?;
    through(stage, trap, async |test| Ok(test.get("Kustomization/app").await?.is_ready())).await?;
    let test = &stage.test;
    objects_are(test, &["ConfigMap/stays", "ConfigMap/goes", "ServiceAccount/app", "Deployment/app"]).await?;
    test.patch("Kustomization/app", &json!({"spec": {"path": "./two"}})).await?;
    through(stage, trap, async |test| Ok(test.get("Kustomization/app").await?.is_ready())).await?;
    let test = &stage.test;
    objects_are(test, &["ConfigMap/stays", "ConfigMap/comes", "ServiceAccount/app", "Deployment/app"])
        .await?;
    let app = test.get("Kustomization/app").await?;
    let inventory = app["status"]["inventory"]["entries"].as_array().map_or(0, Vec::len);
    assert_eq!(inventory, 4, "{app}");
    test.objects.delete(&test.id("Kustomization/app")?).await?;
    through(stage, trap, async |test| is_gone(test, "Kustomization/app").await).await?;
    objects_are(&stage.test, &[]).await
}

/// What was created and deleted, by path; nothing more than once.
fn nothing_is_made_twice(test: &Scenario, writes: Writes) -> Result<()> {
    let mut created: BTreeMap<String, usize> = BTreeMap::new();
    for call in test.proxy()?.calls(|call| writes(call) && call.status == Some(201)) {
        *created.entry(call.path).or_default() += 1;
    }
    assert!(created.values().all(|count| *count == 1), "{created:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kustomize_controller_killed_at_any_write_comes_to_a_good_end() -> Result<()> {
    let test = Scenario::through_proxy("kill-points", &[]).await?;
    for (folder, value, changing) in [("one", "1", "goes"), ("two", "2", "comes")] {
        test.repo.write(&format!("{folder}/stays.yaml"), &config_map("stays", value))?;
        test.repo.write(&format!("{folder}/changing.yaml"), &config_map(changing, value))?;
        test.repo.write(&format!("{folder}/deploy.yaml"), &deployment("app", 0))?;
        let account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: app}}";
        test.repo.write(&format!("{folder}/account.yaml"), account)?;
    }
    test.repo.commit("both")?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    test.proxy()?.take_calls();
    let mut stage = OfPair { test, victim: |pair| &mut pair.kustomize };
    life(&mut stage, &mut None).await?;
    let writes = stage.test.proxy()?.take_calls().into_iter().filter(of_kustomize_controller).count();
    ensure!(writes > 12, "an application's life has {writes} writes");
    for (k, when) in points(writes, POINTS)? {
        eprintln!("{when:?} write {k} of {writes}");
        let rule = Rule::new(Fault::Hold(when), of_kustomize_controller).after(k).times(1);
        let rule = stage.test.proxy()?.add(rule);
        let mut trap = Some(Trap::new(rule.clone()));
        life(&mut stage, &mut trap).await.with_context(|| format!("killed {when:?} write {k}"))?;
        // How far one gets before the first write that is held may differ a little.
        ensure!(rule.hits() == 1 || k + 3 >= writes, "{when:?} write {k} of {writes} was not reached");
        nothing_is_made_twice(&stage.test, of_kustomize_controller)?;
        stage.test.proxy()?.heal();
        stage.test.proxy()?.take_calls();
    }
    stage.test.finish().await
}

async fn serves(test: &Scenario, commit: &str) -> Result<bool> {
    let source = test.get("GitRepository/app").await?;
    if !source.is_ready() || !source.text("/status/artifact/revision").ends_with(commit) {
        return Ok(false);
    }
    download(&source).await?;
    Ok(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn source_controller_killed_at_any_write_comes_to_a_good_end() -> Result<()> {
    let test = Scenario::through_proxy("kill-source-points", &[]).await?;
    let mut stage = OfPair { test, victim: |pair| &mut pair.source };
    let mut version = 0;
    let mut life = async |stage: &mut OfPair, trap: &mut Option<Trap>| {
        for step in 0..2 {
            version += 1;
            let commit = stage.test.repo.commit_file("a.txt", &version.to_string())?;
            if step == 0 {
                stage.test.apply_source().await?;
            } else {
                stage.test.request("GitRepository/app").await?;
            }
            through(stage, trap, async |test| serves(test, &commit).await).await?;
        }
        stage.test.objects.delete(&stage.test.id("GitRepository/app")?).await?;
        through(stage, trap, async |test| is_gone(test, "GitRepository/app").await).await?;
        // Nothing of it is left on the disk.
        let storage = stage.test.pair()?.source.storage();
        let left: Vec<_> = files(&storage)
            .into_iter()
            .filter(|file| !(file.ends_with(".lock") || file.ends_with("key")))
            .collect();
        ensure!(left.is_empty(), "left of a source that is gone, {}: {left:?}", wait::load());
        Ok(())
    };
    life(&mut stage, &mut None).await?;
    // The finalizer comes, a status for each commit, the finalizer goes. The proxy notes a write when it has the answer, and the
    // object may be seen to be gone before that.
    let counted = stage.test.wait("a source's life has four writes", async || {
        let writes = stage.test.proxy().map_err(Not::Ever)?.calls(of_source_controller);
        if writes.len() >= 4 { Ok(writes.len()) } else { Err(Not::Yet(format!("{writes:?}"))) }
    });
    let writes = counted.await?;
    stage.test.proxy()?.take_calls();
    for (k, when) in points(writes, POINTS)? {
        eprintln!("{when:?} write {k} of {writes}");
        let rule = Rule::new(Fault::Hold(when), of_source_controller).after(k).times(1);
        let rule = stage.test.proxy()?.add(rule);
        let mut trap = Some(Trap::new(rule));
        life(&mut stage, &mut trap).await.with_context(|| format!("killed {when:?} write {k}"))?;
        stage.test.proxy()?.heal();
    }
    stage.test.finish().await
}
