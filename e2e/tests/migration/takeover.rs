//! The takeover of a cluster, and its return.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use e2e::artifact::download;
use e2e::audit::{Audit, Request};
use e2e::cluster::User;
use e2e::controller::find_binary;
use e2e::document;
use e2e::objects::{Id, Look};
use e2e::registry::{Registry, Setup};
use e2e::scenario::Scenario;
use e2e::testkit::config_map;
use e2e::wait::{Not, not_yet};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::installation::{CONTROLLERS, Installation};
use crate::kubelet::Kubelet;
use crate::releases;
use crate::stores::Stores;
use crate::tree::{TOOLKIT, healthy, is_source, managed, plant, push};

const DOCUMENT: &str = "docs/migrate.md";

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_taken_over_and_given_back_without_a_write_to_a_managed_object() -> Result<()> {
    let installation = Arc::new(Installation::start().await?);
    let test = Scenario::in_cluster(installation.cluster, "migrate").await?;
    let registry = Registry::start(Setup::default()).await;
    let kubelet = Kubelet::start(installation.clone()).await?;
    let migration = Migration { installation, test, kubelet };
    let test = &migration.test;

    let stores = Stores::start(test).await?;
    plant(test, &registry).await?;
    stores.plant(test).await?;
    migration.applied(&test.repo.head()?).await?;
    releases::plant(test, &registry).await?;
    test.condition("Kustomization/broken", "Ready", "False", "ReconciliationFailed", "").await?;
    test.condition("Kustomization/waiting", "Ready", "False", "DependencyNotReady", "").await?;
    test.patch("Kustomization/stopped", &json!({"spec": {"suspend": true}})).await?;
    // Another controller has set what no manifest speaks of.
    test.patch("Deployment/web", &json!({"metadata": {"annotations": {"example.com/by": "another"}}}))
        .await?;
    migration.settled().await?;
    let printed = migration.follow("Check").await?;
    assert_eq!(printed.matches("No problems found.").count(), CONTROLLERS.len(), "{printed}");

    // To Ferroflux.
    let (before, seen) = (migration.snapshot().await?, migration.watch().await?);
    let audit = test.cluster.audit().context("audit")?;
    let after = migration.swap("To Ferroflux").await?;
    migration.expect_unwritten(&audit, &before, &after)?;
    for (name, object) in &before.toolkit {
        assert_eq!(unchanging(name, object), unchanging(name, &after.toolkit[name]), "{name}");
    }
    let seen = seen.finish()?;
    let is_seen = |id: &&str| id.split_once('/').is_some_and(|(_, name)| seen.contains_key(name));
    ensure!(before.toolkit.keys().all(is_seen), "{seen:?}");
    for (name, ready) in seen {
        let expected: &[&str] = match &*name {
            // Flux tries once more, with the artifact of our source-controller.
            "broken" | "waiting" | "stalled" => &["False", "Unknown"],
            // They are fetched again, and say so if that takes its time; `app` waits for `lib`, which it includes.
            "lib" | "oci" | "bucket" | "index" => &["True", "Unknown"],
            "app" => &["True", "Unknown", "False"],
            _ => &["True"],
        };
        ensure!(ready.iter().all(|ready| expected.contains(&&**ready)), "{name}: {ready:?}");
    }
    let events = new_events(&before, &after);
    let is_expected = |event: &&String| {
        [
            "NewArtifact",
            "NoArtifact",
            "NoSourceArtifact",
            "ChartPackageSucceeded",
            "ChartPullSucceeded",
            "ReconciliationSucceeded",
            "DependencyNotReady",
        ]
        .iter()
        .any(|reason| event.contains(reason))
            || event.starts_with("Kustomization/broken Warning ReconciliationFailed")
            // Of Flux's last pass, which its end broke off.
            || event.starts_with("Kustomization/broken") && event.contains("context canceled")
    };
    ensure!(events.iter().all(|event| is_expected(&event)), "{events:#?}");

    // All objects are looked at once more, and commits come.
    for name in migration.served().await?.iter().filter(|name| !is_source(name)) {
        test.run(name).await?;
    }
    migration.settled().await?;
    migration.expect_unwritten(&audit, &before, &migration.snapshot().await?)?;
    migration.change(&registry, &stores, "2", "plain/b/goes.yaml").await?;
    releases::changed(test, "2").await?;
    test.gone("ConfigMap/goes").await?;
    migration.delete("Kustomization/tenant", "ConfigMap/tenant").await?;
    migration.delete("HelmRelease/leaves", "ConfigMap/leaves-map").await?;
    // Flux 2.9 would try its upgrade once more (docs/migrate.md).
    migration.delete("HelmRelease/rolled", "ConfigMap/rolled-map").await?;

    // Back to Flux.
    migration.settled().await?;
    let before = migration.snapshot().await?;
    let audit = test.cluster.audit().context("audit")?;
    let after = migration.swap("Back to Flux").await?;
    migration.expect_unwritten(&audit, &before, &after)?;
    for (name, object) in &before.toolkit {
        assert_eq!(remaining(object), remaining(&after.toolkit[name]), "{name}");
    }
    // Flux manages itself again.
    test.repo.write("sync/map.yaml", &config_map("sync", "3"))?;
    migration.change(&registry, &stores, "3", "plain/b/new-2.yaml").await?;
    test.until("ConfigMap/sync", "is up to date", |map| map["data"]["value"] == "3").await?;
    test.gone("ConfigMap/new-2").await?;
    releases::upgraded(test, "3").await?;
    migration.delete("HelmRelease/left", "ConfigMap/left-map").await?;
    migration.delete("Kustomization/doomed", "ConfigMap/doomed").await
}

/// What the takeover leaves as it is: all but the time of a write, the history of runs, and of sources the file that they made anew.
fn unchanging(name: &str, object: &Value) -> Value {
    let mut object = object.clone();
    for field in object["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
        field["time"].take();
    }
    object["metadata"]["resourceVersion"].take();
    object["history"] = history(&object);
    object["status"]["history"].take();
    let made_anew = ["digest", "size", "lastUpdateTime"];
    if is_source(name) {
        made_anew.iter().for_each(|field| drop(object["status"]["artifact"][*field].take()));
        for included in object["status"]["includedArtifacts"].as_array_mut().into_iter().flatten() {
            made_anew.iter().for_each(|field| drop(included[*field].take()));
        }
    }
    if is_source(name) || !object.is_ready() {
        for condition in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastTransitionTime"].take();
            // We say in which file the mistake is.
            let message = condition.text("/message").lines().next().unwrap_or_default().to_owned();
            condition["message"] = message.into();
        }
    }
    object
}

/// The same builds with the same results, however often.
fn history(object: &Value) -> Value {
    let entries = object.pointer("/status/history").and_then(Value::as_array);
    let entry = |entry: &Value| json!([entry["digest"], entry["lastReconciledStatus"], entry["metadata"]]);
    entries.into_iter().flatten().map(entry).collect()
}

/// How often the build of now was applied.
fn runs(kustomization: &Value) -> i64 {
    kustomization.number("/status/history/0/totalReconciliations")
}

/// What Flux's return leaves as it is; what is not ready goes through Unknown with each run.
fn remaining(object: &Value) -> Value {
    let ready = object.condition("Ready").filter(|ready| ready.status == "True").map(|ready| ready.reason);
    json!({
        "finalizers": object["metadata"]["finalizers"], "spec": object["spec"], "labels": object["metadata"]["labels"],
        "annotations": object["metadata"]["annotations"], "inventory": object["status"]["inventory"],
        "revision": object["status"]["lastAppliedRevision"], "ready": ready, "history": history(object),
        "artifact": object["status"]["artifact"]["revision"],
    })
}

/// A cluster on its way.
struct Migration {
    installation: Arc<Installation>,
    test: Scenario,
    kubelet: Kubelet,
}

/// What there is at a moment.
struct Snapshot {
    toolkit: BTreeMap<&'static str, Value>,
    managed: BTreeMap<String, Value>,
    events: Vec<Value>,
}

impl Migration {
    /// Follows a section of the document, and answers what the commands printed.
    async fn follow(&self, section: &str) -> Result<String> {
        let cluster = self.test.cluster;
        let controller = find_binary("source-controller")?;
        let path = document::search_path(&[cluster.kubectl().get_program().as_ref(), &controller])?;
        let kubeconfig = cluster.kubeconfig(User::Admin);
        let environment: [(&str, &OsStr); 2] = [("PATH", &path), ("KUBECONFIG", kubeconfig.as_ref())];
        let run = |commands: String| document::run(&commands, &e2e::workspace(), &environment);
        let printed = tokio::task::block_in_place(|| {
            document::commands(DOCUMENT, section)?.into_iter().map(run).collect::<Result<String>>()
        });
        printed.with_context(|| format!("{section}: {}", self.kubelet.logs(&self.test.namespace)))
    }

    /// Follows a section that changes who works, and waits until they have nothing left to do.
    async fn swap(&self, section: &str) -> Result<Snapshot> {
        let (former, before) = (self.holders().await?, self.snapshot().await?);
        self.follow(section).await?;
        let changed = self.test.wait("others hold the Leases", async || {
            let now = self.holders().await.map_err(not_yet)?;
            let both = now.iter().zip(&former).all(|(now, former)| now != former && !now.is_empty());
            if both { Ok(()) } else { Err(Not::Yet(format!("{now:?}"))) }
        });
        changed.await?;
        self.settled().await?;
        for name in self.served().await? {
            let runs = runs(&before.toolkit[name]);
            let is_run = |object: &Value| {
                object.is_ready() && self::runs(object) >= runs + i64::from(name.starts_with("K"))
            };
            self.test.until(name, "has run once more", is_run).await?;
        }
        self.settled().await?;
        self.snapshot().await
    }

    /// The healthy objects that are there and not suspended.
    async fn served(&self) -> Result<Vec<&'static str>> {
        let mut served = Vec::new();
        for name in healthy() {
            if self.test.exists(name).await? && self.test.get(name).await?["spec"]["suspend"] != true {
                served.push(name);
            }
        }
        Ok(served)
    }

    /// Waits until all that is served has what is in Git, and is ready.
    async fn applied(&self, commit: &str) -> Result<()> {
        for name in self.served().await?.into_iter().filter(|name| name.starts_with("Kustomization/")) {
            let applied = match name {
                "Kustomization/from-oci" | "Kustomization/from-bucket" => self.test.ready(name).await,
                _ => self.test.applied(name, commit).await,
            };
            applied.map_err(|error| error.context(self.kubelet.logs(&self.test.namespace)))?;
        }
        Ok(())
    }

    /// Commits and pushes a new value and a new object, without the object of a file, and waits for what becomes of it.
    async fn change(&self, registry: &Registry, stores: &Stores, value: &str, without: &str) -> Result<()> {
        let test = &self.test;
        test.repo.write("plain/a/map.yaml", &config_map("plain", value))?;
        test.repo.write(&format!("plain/b/new-{value}.yaml"), &config_map(&format!("new-{value}"), value))?;
        test.repo.write("stopped/map.yaml", &config_map("stopped", value))?;
        releases::write_charts(test, value)?;
        stores.change(test, value).await?;
        test.repo.remove(without)?;
        let commit = test.repo.commit(value)?;
        push(registry, value).await?;
        releases::push(registry, &releases::version(value)).await?;
        for source in TOOLKIT.iter().filter(|name| is_source(name)) {
            test.request(source).await?;
        }
        self.applied(&commit).await?;
        for name in ["plain".to_owned(), format!("new-{value}"), "a-from-oci-z".to_owned()] {
            let has = |map: &Value| map["data"]["value"] == value;
            test.until(&format!("ConfigMap/{name}"), "has the new value", has).await?;
        }
        assert_eq!(test.get("ConfigMap/stopped").await?["data"]["value"], "1");
        stores.changed(test, value).await
    }

    /// Deletes a Kustomization or HelmRelease, and waits until what it applied is gone, too.
    async fn delete(&self, owner: &str, owned: &str) -> Result<()> {
        self.test.kubectl(&["delete", owner, "--wait=false"])?;
        self.test.gone(owner).await?;
        self.test.gone(owned).await
    }

    /// Looks at all states of the toolkit objects from now on.
    async fn watch(&self) -> Result<Watch> {
        let seen = Arc::<Mutex<BTreeMap<String, BTreeSet<String>>>>::default();
        let mut tasks = JoinSet::new();
        let sources = ["GitRepository/any", "OCIRepository/any", "Bucket/any", "HelmRepository/any"];
        for kind in sources.into_iter().chain(["Kustomization/any", "HelmRelease/any"]) {
            let mut states = Box::pin(self.test.objects.watch(&self.test.id(kind)?).await?);
            let seen = seen.clone();
            tasks.spawn(async move {
                while let Some(Ok(object)) = states.next().await {
                    let ready =
                        object.condition("Ready").map_or_else(|| "absent".into(), |ready| ready.status);
                    let name = object.text("/metadata/name").to_owned();
                    seen.lock().unwrap().entry(name).or_default().insert(ready);
                }
            });
        }
        Ok(Watch { seen, tasks })
    }

    async fn holders(&self) -> Result<Vec<String>> {
        let mut holders = Vec::new();
        for user in CONTROLLERS {
            holders.push(self.installation.leader(user).await?);
        }
        Ok(holders)
    }

    /// Waits until sources have what they tell of, and all controllers are idle.
    async fn settled(&self) -> Result<()> {
        for name in TOOLKIT.iter().filter(|name| is_source(name)) {
            let waited = self.test.wait("the artifact is there", async || {
                let source = self.test.get(name).await.map_err(not_yet)?;
                download(&source).await.map(drop).map_err(not_yet)
            });
            waited.await.map_err(|error| error.context(self.kubelet.logs(&self.test.namespace)))?;
        }
        let mut before = Vec::new();
        self.test
            .wait("all are idle", async || {
                let now = self.work().await?;
                if now == before {
                    return Ok(());
                }
                before.clone_from(&now);
                Err(Not::Yet(format!("{now:?}")))
            })
            .await
    }

    /// What they have done; an error while they have something to do.
    async fn work(&self) -> Result<Vec<f64>, Not> {
        self.kubelet.expect_running().map_err(Not::Ever)?;
        let mut done = Vec::new();
        for user in CONTROLLERS {
            let url = self.kubelet.with(user, |c| c.url("http-prom", "/metrics")).map_err(not_yet)?;
            done.extend(e2e::idle::work_of(&e2e::controller::fetch(&url).await.map_err(not_yet)?)?);
        }
        Ok(done)
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        let mut toolkit = BTreeMap::new();
        for name in TOOLKIT {
            if self.test.exists(name).await? {
                toolkit.insert(name, self.test.get(name).await?);
            }
        }
        let objects: Vec<Value> = toolkit.values().cloned().collect();
        let mut managed: BTreeMap<_, _> = managed(&self.test.objects, &objects).await?.into_iter().collect();
        managed.extend(releases::stored(&self.test.objects, &self.test.namespace).await?);
        let events = self.test.objects.list(&Id::of("v1", "Event", &self.test.namespace, "")).await?;
        Ok(Snapshot { toolkit, managed, events })
    }

    /// Nothing was written but to the status of toolkit objects, and managed objects are what they were.
    fn expect_unwritten(&self, audit: &Audit, before: &Snapshot, after: &Snapshot) -> Result<()> {
        let mut written = Vec::new();
        for user in CONTROLLERS {
            let is_write = |r: &Request| !r.is_read() && !r.dry_run && !is_own(r);
            written.extend(audit.all_requests(user)?.into_iter().filter(is_write));
        }
        ensure!(written.is_empty(), "{written:?}");
        for (name, object) in &before.managed {
            let now = after.managed.get(name).cloned().unwrap_or_default();
            ensure!(*object == now, "{name} was {object}\nand is {now}");
        }
        ensure!(before.managed.len() == after.managed.len());
        Ok(())
    }
}

/// What controllers write about themselves and their own objects, or only ask.
fn is_own(request: &Request) -> bool {
    let own = [
        "gitrepositories/status",
        "ocirepositories/status",
        "buckets/status",
        "helmrepositories/status",
        "helmcharts/status",
        "kustomizations/status",
        "helmreleases/status",
        "leases",
        "events",
    ];
    let asked = ["selfsubjectaccessreviews", "subjectaccessreviews"];
    own.iter().chain(&asked).any(|resource| request.resource == *resource)
}

/// What Ready was, by the name of the object.
struct Watch {
    seen: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
    tasks: JoinSet<()>,
}

impl Watch {
    /// Each object's states. Fails if a watch has ended before.
    fn finish(mut self) -> Result<BTreeMap<String, BTreeSet<String>>> {
        ensure!(self.tasks.try_join_next().is_none(), "a watch has ended");
        Ok(std::mem::take(&mut self.seen.lock().unwrap()))
    }
}

/// The events of one snapshot that another one lacks, those of what went on before left out.
fn new_events(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let line = |event: &Value| {
        let [kind, name, severity, reason, message] =
            ["/involvedObject/kind", "/involvedObject/name", "/type", "/reason", "/message"]
                .map(|f| event.text(f));
        format!("{kind}/{name} {severity} {reason} {message}")
    };
    after.events.iter().filter(|event| !before.events.contains(event)).map(line).collect()
}
