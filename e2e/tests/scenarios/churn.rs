//! A day's worth of trouble in a short time: everything changes at random and everything fails at random, and when it is
//! quiet again everything is as Git says and nothing has leaked.
//!
//! `CHURN_SOURCES` and `CHURN_APPS` say how many take part, `CHURN_SECONDS` for how long, `CHURN_SEED` repeats a run; the
//! seed is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::api_proxy::{Break, Fault as ApiFault, Rule, When};
use e2e::artifact::download;
use e2e::git_server::Fault;
use e2e::objects::Look;
use e2e::process::{output, temp_folder};
use e2e::repository::Repository;
use e2e::scenario::{LIMIT, REQUESTED_AT, Scenario};
use e2e::testkit::config_map;
use e2e::wait::{self, Not};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

const REPOSITORIES: usize = 4;
const COMMITS: usize = 8;

fn setting(name: &str, default: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(default), |value| value.parse().with_context(|| format!("{name}={value}")))
}

fn dice(what: &str) -> Result<StdRng> {
    let seed = setting("CHURN_SEED", rand::random())?;
    eprintln!("{what}: CHURN_SEED={seed}");
    Ok(StdRng::seed_from_u64(seed))
}

/// How long everything may take to settle.
fn settling(count: usize) -> Duration {
    LIMIT + Duration::from_millis(500) * u32::try_from(count).unwrap_or(u32::MAX)
}

/// Many sources over some repositories, and where each of their references points.
struct Sources {
    repositories: Vec<(Repository, Vec<String>)>,
    /// Reference and commit by source; nothing for one that is deleted.
    wanted: Vec<Option<(String, String)>>,
    interval: u64,
}

impl Sources {
    fn name(i: usize) -> String {
        format!("source-{i:03}")
    }

    /// Every fifth follows a tag, the others a branch.
    fn reference(i: usize) -> (String, Value) {
        if i.is_multiple_of(5) {
            (format!("t{i}"), json!({"tag": format!("t{i}")}))
        } else {
            (format!("b{i}"), json!({"branch": format!("b{i}")}))
        }
    }

    async fn start(test: &Scenario, count: usize, dice: &mut StdRng) -> Result<Self> {
        let mut repositories = Vec::new();
        for r in 0..REPOSITORIES {
            let repository = test.git.create(&format!("r{r}"))?;
            let commits = (0..COMMITS).map(|c| {
                repository.write("more/same.txt", &"the same again and again\n".repeat(500))?;
                repository.commit_file("value.txt", &format!("repository {r} commit {c}"))
            });
            let commits = commits.collect::<Result<_>>()?;
            repositories.push((repository, commits));
        }
        let interval = (count as u64 / 10).max(2);
        let mut sources = Self { repositories, wanted: vec![None; count], interval };
        for i in 0..count {
            sources.create(test, i, dice).await?;
        }
        Ok(sources)
    }

    fn point(&mut self, i: usize, dice: &mut StdRng) -> Result<()> {
        let (name, reference) = Self::reference(i);
        let (repository, commits) = &self.repositories[i % REPOSITORIES];
        let commit = commits.choose(dice).context("no commits")?.clone();
        let folder = if reference.get("tag").is_some() { "tags" } else { "heads" };
        repository.point(&format!("refs/{folder}/{name}"), &commit)?;
        self.wanted[i] = Some((name, commit));
        Ok(())
    }

    async fn create(&mut self, test: &Scenario, i: usize, dice: &mut StdRng) -> Result<()> {
        self.point(i, dice)?;
        let source = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": Self::name(i)},
            "spec": {
                "interval": format!("{}s", self.interval), "url": test.git.url(&format!("r{}", i % REPOSITORIES)),
                "ref": Self::reference(i).1,
            },
        });
        test.apply(&source.to_string()).await
    }

    /// One thing that happens.
    async fn disturb(&mut self, test: &mut Scenario, dice: &mut StdRng, may_kill: bool) -> Result<()> {
        let i = dice.random_range(0..self.wanted.len());
        let object = format!("GitRepository/{}", Self::name(i));
        match (dice.random_range(0..100), &self.wanted[i]) {
            (0..60, Some(_)) => self.point(i, dice),
            (60..70, Some(_)) => test.request(&object).await.map(drop),
            (70..78, Some(_)) => {
                let storage = test.pair()?.source.storage();
                let status = test.get(&object).await?;
                let path = status.pointer("/status/artifact/path").and_then(Value::as_str);
                if let Some(file) = path.map(|path| storage.join(path)).filter(|file| file.is_file()) {
                    // It may be collected at this moment.
                    let _ = if dice.random() { fs::remove_file(file) } else { fs::write(file, "rubbish") };
                }
                Ok(())
            }
            (78..84, Some(_)) => {
                self.wanted[i] = None;
                test.objects.delete(&test.id(&object)?).await
            }
            (84..94, _) => {
                let faults = [Fault::Down, Fault::Status(503), Fault::Slow(Duration::from_millis(300))];
                test.git.set_fault(*faults.choose(dice).context("no faults")?);
                tokio::time::sleep(Duration::from_millis(dice.random_range(100..800))).await;
                test.git.set_fault(Fault::None);
                Ok(())
            }
            (94.., _) if may_kill => {
                test.own()?.source.kill();
                test.own()?.source.restart().await
            }
            (_, None) if !test.exists(&object).await? => self.create(test, i, dice).await,
            _ => Ok(()),
        }
    }

    /// Waits until every source that is wanted holds what Git says, and no other exists.
    async fn settle(&self, test: &Scenario) -> Result<Vec<Value>> {
        for (i, _) in self.wanted.iter().enumerate().filter(|(_, wanted)| wanted.is_some()) {
            test.request(&format!("GitRepository/{}", Self::name(i))).await?;
        }
        let wanted: BTreeMap<String, String> = self
            .wanted
            .iter()
            .enumerate()
            .filter_map(|(i, wanted)| {
                let (reference, commit) = wanted.as_ref()?;
                Some((Self::name(i), format!("{reference}@sha1:{commit}")))
            })
            .collect();
        let like = test.id("GitRepository/any")?;
        wait::until(settling(wanted.len()), async || {
            let all = test.objects.list(&like).await.map_err(wait::not_yet)?;
            let held = |o: &Value| {
                let handled = o.text("/status/lastHandledReconcileAt");
                let asked = o["metadata"]["annotations"][REQUESTED_AT].as_str();
                let settled = o.is_ready() && asked == Some(handled);
                (
                    o.text("/metadata/name").to_owned(),
                    if settled { o.text("/status/artifact/revision") } else { "" }.to_owned(),
                )
            };
            let seen: BTreeMap<String, String> = all.iter().map(held).collect();
            if seen == wanted {
                return Ok(all);
            }
            let wrong: Vec<_> =
                seen.iter().filter(|(name, held)| wanted.get(*name) != Some(held)).take(3).collect();
            Err(Not::Yet(format!("{} of {} exist; {wrong:?}", seen.len(), wanted.len())))
        })
        .await
    }
}

/// The content of `value.txt` in an artifact, which has to be what its status says.
async fn content(source: &Value) -> Result<String> {
    let folder = temp_folder("churn")?;
    let file = folder.path().join("artifact.tar.gz");
    fs::write(&file, download(source).await?)?;
    output(Command::new("tar").arg("-xzOf").arg(&file).arg("value.txt"))
}

fn folders(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_after_churn_are_what_git_says_and_nothing_has_leaked() -> Result<()> {
    let (count, seconds) = (setting("CHURN_SOURCES", 20)?, setting("CHURN_SECONDS", 10)?);
    let mut dice = dice("sources")?;
    let mut test = Scenario::with_own_controllers("churn", &[]).await?;
    let mut sources = Sources::start(&test, usize::try_from(count)?, &mut dice).await?;
    sources.settle(&test).await?;
    let before = test.pair()?.source.usage()?;
    let (begin, time) = (Instant::now(), Duration::from_secs(seconds));
    let mut events = 0;
    while begin.elapsed() < time {
        // Later on nothing is killed, so that a leak has time to grow.
        let may_kill = begin.elapsed() < time / 2;
        sources.disturb(&mut test, &mut dice, may_kill).await?;
        events += 1;
    }
    let settled = sources.settle(&test).await?;
    // Each commit has one content, whoever serves it.
    let mut by_commit: BTreeMap<String, &str> = BTreeMap::new();
    for source in &settled {
        let (text, digest) = (content(source).await?, source.text("/status/artifact/digest"));
        let revision = source.text("/status/artifact/revision");
        let commit = revision.rsplit(':').next().unwrap_or_default().to_owned();
        let wanted = sources.repositories.iter().enumerate().find_map(|(r, (_, commits))| {
            let c = commits.iter().position(|known| *known == commit)?;
            Some(format!("repository {r} commit {c}"))
        });
        assert_eq!(Some(text), wanted, "{revision}");
        assert_eq!(by_commit.entry(commit).or_insert(digest), &digest, "{revision}");
    }
    let controller = &test.pair()?.source;
    let exist: BTreeSet<String> = settled.iter().map(|o| o.text("/metadata/name").to_owned()).collect();
    for root in ["gitrepository", ".cache/gitrepository"] {
        let kept = folders(&controller.storage().join(root).join(&test.namespace));
        assert!(kept.is_subset(&exist), "left of deleted sources in {root}: {:?}", kept.difference(&exist));
    }
    for name in &exist {
        let kept = folders(&controller.storage().join("gitrepository").join(&test.namespace).join(name));
        let tarballs = kept.iter().filter(|name| name.ends_with(".tar.gz")).count();
        // Two are kept when a pass begins, and it may add one.
        assert!(tarballs <= 3 && !kept.iter().any(|name| name.ends_with(".tmp")), "{name}: {kept:?}");
    }
    assert_eq!(folders(&controller.temporary()), BTreeSet::new());
    let now = controller.usage()?;
    let (files, files_now) = (before.files, now.files);
    let (memory, memory_now) = (before.memory_kib, now.memory_kib);
    eprintln!("{events} events; open files {files} → {files_now}, memory {memory} → {memory_now} KiB");
    assert!(files_now <= files + 32, "open files grew from {files} to {files_now}");
    assert!(memory_now <= 2 * memory + 32 * 1024, "memory grew from {memory} to {memory_now} KiB");
    test.finish().await
}

/// Many applications of one repository, each of two ConfigMaps, and the version that Git has of each.
struct Apps(Vec<usize>);

impl Apps {
    fn name(i: usize) -> String {
        format!("app-{i:03}")
    }

    /// The maps of an application: one stays, one has the version in its name.
    fn maps(&self, i: usize) -> [(String, String); 2] {
        let (name, version) = (Self::name(i), self.0[i]);
        [(format!("{name}-stays"), version.to_string()), (format!("{name}-v{version}"), "1".to_owned())]
    }

    fn write(&self, test: &Scenario, i: usize) -> Result<()> {
        let _ = test.repo.remove(&Self::name(i));
        for (name, value) in self.maps(i) {
            test.repo.write(&format!("{}/{name}.yaml", Self::name(i)), &config_map(&name, &value))?;
        }
        Ok(())
    }

    async fn create(&self, test: &Scenario, i: usize) -> Result<()> {
        test.apply(&test.kustomization_yaml(&Self::name(i), &format!("./{}", Self::name(i)), "")).await
    }

    async fn disturb(&mut self, test: &mut Scenario, dice: &mut StdRng, may_kill: bool) -> Result<()> {
        let i = dice.random_range(0..self.0.len());
        let [(stays, _), (moves, _)] = self.maps(i);
        match dice.random_range(0..100) {
            0..30 => {
                self.0[i] += 1;
                self.write(test, i)?;
                test.repo.commit("another version")?;
                test.request("GitRepository/app").await.map(drop)
            }
            30..60 => {
                // It may not exist yet, or no more.
                let by_hand = json!({"data": {"value": "by hand", "more": "too"}});
                let _ = test.patch(&format!("ConfigMap/{stays}"), &by_hand).await;
                Ok(())
            }
            60..70 => test.objects.delete(&test.id(&format!("ConfigMap/{moves}"))?).await,
            70..76 => {
                let app = format!("Kustomization/{}", Self::name(i));
                test.objects.delete(&test.id(&app)?).await?;
                if dice.random() {
                    test.gone(&app).await?;
                }
                // One that is still being deleted stays deleted, until it is asked for again.
                self.create(test, i).await
            }
            76..82 if may_kill => {
                test.own()?.kustomize.kill();
                test.own()?.kustomize.restart().await
            }
            _ => {
                let proxy = test.proxy()?;
                let faults = [
                    ApiFault::Status(500),
                    ApiFault::Status(409),
                    ApiFault::Throttle(1),
                    ApiFault::LoseAnswer,
                    ApiFault::CutBody,
                    ApiFault::Delay(Duration::from_millis(200)),
                ];
                let fault = *faults.choose(dice).context("no faults")?;
                proxy.add(Rule::new(fault, |call| !call.is_watch()).times(dice.random_range(1..5)));
                match dice.random_range(0..4) {
                    0 => proxy.break_watches(Break::Expire),
                    1 => proxy.break_watches(Break::Reset),
                    2 => proxy.disconnect(),
                    _ => drop(
                        proxy.add(Rule::new(ApiFault::Hold(When::After), |call| call.is_dry_run()).times(1)),
                    ),
                }
                Ok(())
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_after_churn_is_what_git_says_and_nothing_goes_on() -> Result<()> {
    let (count, seconds) = (usize::try_from(setting("CHURN_APPS", 10)?)?, setting("CHURN_SECONDS", 10)?);
    let mut dice = dice("applications")?;
    let mut test = Scenario::through_proxy("churn-apps", &["--requeue-dependency=2s"]).await?;
    let mut apps = Apps(vec![0; count]);
    for i in 0..count {
        apps.write(&test, i)?;
    }
    test.repo.commit("all")?;
    test.apply_source().await?;
    for i in 0..count {
        apps.create(&test, i).await?;
    }
    let (begin, time) = (Instant::now(), Duration::from_secs(seconds));
    while begin.elapsed() < time {
        let may_kill = begin.elapsed() < time / 2;
        apps.disturb(&mut test, &mut dice, may_kill).await?;
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..100))).await;
    }
    let proxy = test.proxy()?;
    proxy.heal();
    // What is held would be given up after a minute.
    proxy.disconnect();
    for i in 0..count {
        apps.create(&test, i).await?;
    }
    test.request("GitRepository/app").await?;
    let wanted: BTreeMap<String, String> = (0..count).flat_map(|i| apps.maps(i)).collect();
    let (like, kustomizations) = (test.id("ConfigMap/any")?, test.id("Kustomization/any")?);
    wait::until(settling(count), async || {
        let maps = test.objects.list(&like).await.map_err(wait::not_yet)?;
        let owner = |o: &Value| o["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"].is_string();
        let seen: BTreeMap<String, String> = maps
            .iter()
            .filter(|o| owner(o))
            .map(|o| (o.text("/metadata/name").to_owned(), o.text("/data/value").to_owned()))
            .collect();
        if seen != wanted {
            let wrong: Vec<_> =
                seen.iter().filter(|(name, value)| wanted.get(*name) != Some(value)).take(3).collect();
            let missing: Vec<_> = wanted.keys().filter(|name| !seen.contains_key(*name)).take(3).collect();
            // One that was being deleted when it was applied has to be applied again.
            for i in 0..count {
                if !test.exists(&format!("Kustomization/{}", Apps::name(i))).await.map_err(wait::not_yet)? {
                    apps.create(&test, i).await.map_err(wait::not_yet)?;
                }
            }
            return Err(Not::Yet(format!("wrong {wrong:?}, missing {missing:?}")));
        }
        let all = test.objects.list(&kustomizations).await.map_err(wait::not_yet)?;
        let open = all.iter().filter(|o| !o.is_ready()).count();
        if open == 0 && all.len() == count { Ok(()) } else { Err(Not::Yet(format!("{open} are not ready"))) }
    })
    .await?;
    for i in 0..count {
        let app = test.get(&format!("Kustomization/{}", Apps::name(i))).await?;
        let entries = app["status"]["inventory"]["entries"].as_array().cloned().unwrap_or_default();
        let names: BTreeSet<String> = entries.iter().map(|e| e.text("/id").to_owned()).collect();
        let id = |(name, _): &(String, String)| format!("{}_{name}__ConfigMap", test.namespace);
        assert_eq!(names, apps.maps(i).iter().map(id).collect::<BTreeSet<_>>());
    }
    // There is nothing left to repair.
    test.idle().await?;
    let proxy = test.proxy()?;
    proxy.take_calls();
    test.run("GitRepository/app").await?;
    test.idle().await?;
    let writes = proxy.calls(|call| call.is_write() && !call.is_about("gitrepositories"));
    assert!(writes.is_empty(), "{writes:?}");
    test.finish().await
}
