//! One attack: the bystander before and while it goes on, and what is left of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::confinement::Confinement;
use e2e::controller::{Controller, Usage};
use e2e::objects::{Id, Look};
use e2e::scenario::{SHARD, Scenario};
use e2e::testkit::config_map;
use e2e::wait::{self, Not};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

/// The memory of the install manifests.
const MEMORY_BYTES: u64 = 1 << 30;
/// Most memory that an attack may make a process take.
const PEAK_MIB: u64 = 512;
/// How long a commit of the bystander may take, and an answer on the health port.
const COMMIT_LIMIT: Duration = Duration::from_secs(10);
const HEALTH_LIMIT: Duration = Duration::from_secs(1);
/// How long it may take until all is given back.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// Commits of the bystander before and during an attack.
const COMMITS: u32 = 5;
/// What a process may hold more than before, when it is over: connections that are kept for reuse, idle threads.
const MORE_FILES: u64 = 16;
const MORE_THREADS: u64 = 8;
/// An allocator does not give all memory back at once.
const MORE_MEMORY_KIB: u64 = 128 << 10;

/// One at a time: they are measured.
static ALONE: Mutex<()> = Mutex::const_new(());

/// An attack that is to be made.
pub struct Trial {
    pub test: Scenario,
    /// The namespace of the attacker.
    pub tenant: String,
    name: &'static str,
    commits: u32,
    _confinement: Vec<Confinement>,
    _alone: MutexGuard<'static, ()>,
}

/// How long things took while somebody looked.
#[derive(Default)]
struct Times {
    commits: Vec<Duration>,
    health: Duration,
}

impl Trial {
    /// Confined controllers, and a bystander whose Kustomization is ready.
    pub async fn new(name: &'static str) -> Result<Self> {
        let alone = ALONE.lock().await;
        let mut test = Scenario::with_own_controllers(name, &[]).await?;
        let pair = test.own()?;
        let mut groups = Vec::new();
        for (controller, role) in [(&pair.source, "source"), (&pair.kustomize, "kustomize")] {
            let group = Confinement::new(&format!("{name}-{role}"), MEMORY_BYTES);
            if let Some(group) = group {
                group.add(controller.id().context("not running")?)?;
                groups.push(group);
            }
        }
        let tenant = format!("{}-tenant", test.namespace);
        test.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {tenant}}}")).await?;
        let commit = test.repo.commit_file("app/a.yaml", &config_map("a", "0"))?;
        test.apply_source().await?;
        test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
        test.applied("Kustomization/app", &commit).await?;
        Ok(Self { test, tenant, name, commits: 0, _confinement: groups, _alone: alone })
    }

    /// An object of the attacker.
    pub async fn apply(&self, kind: &str, name: &str, spec: Value) -> Result<()> {
        let group = if kind == "Kustomization" { "kustomize" } else { "source" };
        let object = json!({
            "apiVersion": format!("{group}.toolkit.fluxcd.io/v1"), "kind": kind,
            "metadata": {"name": name, "namespace": self.tenant, "labels": {SHARD: self.test.namespace}},
            "spec": spec,
        });
        self.test.objects.apply_one(&object, &self.tenant).await.map(drop)
    }

    /// A GitRepository of the attacker for a repository of the Git server.
    pub async fn apply_source(&self, name: &str, repository: &str, ignore: &str) -> Result<()> {
        let url = self.test.git.url(repository);
        let spec = json!({"interval": "1s", "url": url, "ref": {"branch": "main"}, "ignore": ignore});
        self.apply("GitRepository", name, spec).await
    }

    /// A Kustomization of the attacker for one of its GitRepositories, which tries again at once.
    pub async fn apply_kustomization(&self, name: &str, source: &str, path: &str, more: Value) -> Result<()> {
        let mut spec = json!({
            "interval": "1s", "retryInterval": "1s", "prune": true, "path": path,
            "targetNamespace": self.tenant, "sourceRef": {"kind": "GitRepository", "name": source},
        });
        if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
            spec.extend(more);
        }
        self.apply("Kustomization", name, spec).await
    }

    /// Waits until an object of the attacker has been worked on: its Ready has one of these reasons.
    pub async fn reached(&self, kind: &str, name: &str, reasons: &[&str]) -> Result<()> {
        let group = if kind == "Kustomization" { "kustomize" } else { "source" };
        let id = Id::of(&format!("{group}.toolkit.fluxcd.io/v1"), kind, &self.tenant, name);
        self.test
            .wait(&format!("{id} has been worked on"), async || {
                let object = self.test.objects.get(&id).await.map_err(wait::not_yet)?;
                let ready = object.as_ref().and_then(|object| object.condition("Ready"));
                match ready {
                    Some(ready) if reasons.contains(&&*ready.reason) => Ok(()),
                    ready => Err(Not::Yet(format!("{ready:?}"))),
                }
            })
            .await
    }

    /// Looks at the bystander, makes the attack, looks again, and lets the attacker go: its namespace, and what the attack gave.
    pub async fn run<T>(mut self, attack: impl AsyncFnOnce(&Trial) -> Result<T>) -> Result<()> {
        let before = self.look().await?;
        let held = self.usages()?;
        let attacker = attack(&self).await?;
        let during = self.look().await?;
        let peaks = self.usages()?.map(|usage| usage.peak_kib >> 10);
        self.test.kubectl(&["delete", "namespace", &self.tenant, "--wait=false"])?;
        drop(attacker);
        let recovered = Instant::now();
        let given_back = wait::until(wait::LIMIT, async || {
            let now = self.usages().map_err(Not::Ever)?;
            let more = held.iter().zip(&now).filter(|(held, now)| holds_more(held, now));
            if more.count() == 0 { Ok(()) } else { Err(Not::Yet(format!("{now:?} instead of {held:?}"))) }
        });
        let given_back = given_back.await.context("what is given back");
        let recovered = recovered.elapsed();
        let seconds = |times: &Times| times.commits.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
        println!(
            "{}: commits {:.2?} s, under attack {:.2?} s; health {:.3} s; peaks {peaks:?} MiB; given back after {:.1} s",
            self.name,
            seconds(&before),
            seconds(&during),
            during.health.as_secs_f64(),
            recovered.as_secs_f64(),
        );
        given_back?;
        let slowest = during.commits.iter().max().copied().unwrap_or_default();
        ensure!(slowest <= COMMIT_LIMIT, "a commit of the bystander took {slowest:?}");
        ensure!(during.health <= HEALTH_LIMIT, "the health port took {:?}", during.health);
        ensure!(peaks.iter().all(|peak| *peak < PEAK_MIB), "a process took {peaks:?} MiB");
        ensure!(recovered <= RECOVERY_LIMIT, "it took {recovered:?} until all was given back");
        self.test.finish().await
    }

    /// Lets the bystander commit, and asks the processes for their health meanwhile.
    async fn look(&mut self) -> Result<Times> {
        let mut times = Times::default();
        for _ in 0..COMMITS {
            self.commits += 1;
            let commit =
                self.test.repo.commit_file("app/a.yaml", &config_map("a", &self.commits.to_string()))?;
            let begin = Instant::now();
            self.test.request("GitRepository/app").await?;
            self.test.applied("Kustomization/app", &commit).await?;
            times.commits.push(begin.elapsed());
            for controller in self.controllers()? {
                let begin = Instant::now();
                let (status, text) = controller.health("/healthz").await?;
                ensure!(status == 200, "{status} {text}");
                times.health = times.health.max(begin.elapsed());
            }
        }
        Ok(times)
    }

    fn controllers(&self) -> Result<[&Controller; 2]> {
        let pair = self.test.pair()?;
        Ok([&pair.source, &pair.kustomize])
    }

    fn usages(&self) -> Result<[Usage; 2]> {
        let [source, kustomize] = self.controllers()?;
        Ok([source.usage()?, kustomize.usage()?])
    }
}

fn holds_more(held: &Usage, now: &Usage) -> bool {
    now.files > held.files + MORE_FILES
        || now.threads > held.threads + MORE_THREADS
        || now.memory_kib > held.memory_kib + MORE_MEMORY_KIB
}
