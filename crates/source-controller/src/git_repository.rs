//! The GitRepository controller: one pass brings one object's artifact up to date with its upstream.
//!
//! A pass works on a copy of the object in memory and writes the status at most three times: when there is news at its
//! start, when the upstream turns out to have moved, and at its end. A poll that finds nothing new writes nothing.

mod auth;
mod background;
pub mod build;
mod caches;
pub mod content;
mod correction;
mod failure;
mod fetch;
mod includes;
pub mod limits;
mod pass;
mod provider;
mod secrets;
mod spec;
mod status;
pub mod storage;
mod upstream;
mod verify;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::auth::TokenCache;
use api::GitRepository;
use artifact::store::Store;
use git::Connector;
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::Event;
use kube::{Client, ResourceExt};
use runtime::conditions::{READY, find};
use runtime::controller::{self, Reconcile, Waker};
use runtime::events::Recorder;
use runtime::latest::Latest;
use runtime::metrics::{Metrics, ResourceInfo};
use runtime::process::Process;
use runtime::queue::InFlight;

use self::background::Background;
pub use self::caches::Caches;
use self::fetch::{FetchResult, Fetcher};
use self::includes::Includers;
use self::limits::Limits;
use self::pass::{Beginning, Inputs, Pass};
use self::provider::Providers;
use self::verify::Verified;
use crate::flags::{Arguments, ConfigError};

const KIND: &str = "GitRepository";

/// The controller.
pub struct GitRepositories {
    client: Client,
    events: Recorder,
    metrics: Metrics,
    storage: Arc<Store>,
    fetcher: Arc<Fetcher>,
    background: Background<Inputs, (Beginning, FetchResult)>,
    jitter: u8,
    /// When a missing include is looked for again.
    requeue_dependency: Duration,
    /// The objects as the watch knows them, and as this process wrote them.
    objects: reflector::Store<GitRepository>,
    latest: Latest<GitRepository>,
    includers: Mutex<Includers>,
    waker: Waker<GitRepository>,
    runs: InFlight,
}

impl GitRepositories {
    /// A controller of `process` that keeps its artifacts in `storage`. `objects` are those of the watch whose events
    /// it [observes](Reconcile::observe).
    pub fn new(
        process: &Process,
        flags: &Arguments,
        storage: Arc<Store>,
        caches: Arc<Caches>,
        objects: reflector::Store<GitRepository>,
        waker: Waker<GitRepository>,
    ) -> Result<Self, ConfigError> {
        let runs = InFlight::default();
        runtime::queue::watch_runs("gitrepository", &runs, &process.metrics);
        process.metrics.resources(objects.clone(), info);
        let tokens = TokenCache::new(flags.token_cache_max_size, flags.token_cache_max_duration);
        let (client, metrics) = (process.client.clone(), process.metrics.clone());
        let fetcher = Fetcher {
            client: client.clone(),
            providers: Providers::new(client, metrics, tokens, flags.object_identity()?),
            caches,
            connector: Arc::new(Connector::new(flags.ssh())),
            verified: Verified::default(),
            limits: Limits::new(flags),
            stop: process.stop.clone(),
        };
        Ok(GitRepositories {
            client: process.client.clone(),
            events: process.events.clone(),
            metrics: process.metrics.clone(),
            storage,
            fetcher: Arc::new(fetcher),
            background: Background::new(waker.clone(), flags.git_host_concurrency.into()),
            jitter: flags.shared.interval_jitter_percentage,
            requeue_dependency: flags.shared.requeue_dependency,
            latest: Latest::new(objects.clone()),
            objects,
            includers: Mutex::default(),
            waker,
            runs,
        })
    }

    fn source(&self, namespace: &str, name: &str) -> Option<Arc<GitRepository>> {
        let watched = self.objects.get(&ObjectRef::new(name).within(namespace))?;
        Some(self.latest.newest(watched))
    }
}

/// What dashboards read of an object.
fn info(object: &GitRepository) -> ResourceInfo {
    let status = object.status.as_ref();
    let ready = status.and_then(|s| find(&s.conditions, READY)).map(|ready| ready.status.to_string());
    let artifact = status.and_then(|s| s.artifact.as_ref());
    ResourceInfo {
        ready: ready.unwrap_or_default(),
        suspended: object.spec.suspend,
        revision: artifact.map(|artifact| artifact.revision.clone()).unwrap_or_default(),
        more: vec![("url", net::redact(&object.spec.url))],
    }
}

impl Reconcile<GitRepository> for GitRepositories {
    async fn reconcile(&self, object: Arc<GitRepository>) -> controller::Outcome {
        let _run = self.runs.begin();
        let object = self.latest.newest(object);
        let mut pass = Pass::new(self, &object);
        let outcome = pass.run().await;
        let is_over = !matches!(outcome, Ok(controller::Outcome::Underway));
        if is_over && object.metadata.deletion_timestamp.is_none() {
            let namespace = object.namespace().unwrap_or_default();
            self.metrics.ran(KIND, &namespace, &object.name_any(), pass.elapsed());
        }
        match outcome {
            Ok(outcome) => outcome,
            Err(error) if error.is_gone() => controller::Outcome::Wait,
            Err(error) => controller::Outcome::Failed(Box::new(error)),
        }
    }

    /// Takes note of an event of the watch: who includes what changed gets a pass, and after a list the object caches go
    /// whose sources went while no process was there to see it.
    fn observe(&self, event: &Event<GitRepository>) {
        let mut includers = self.includers.lock().unwrap_or_else(PoisonError::into_inner);
        for includer in includers.observe(event) {
            self.waker.wake(includer);
        }
        if matches!(event, Event::InitDone) {
            let living: HashSet<String> = includers.sources().map(caches::owner).collect();
            let caches = self.fetcher.caches.clone();
            tokio::task::spawn_blocking(move || {
                if let Err(error) = caches.sweep(|owner| living.contains(owner)) {
                    tracing::warn!(%error, "failed to remove object caches of sources that are gone");
                }
            });
        }
    }

    fn gone(&self, object: &ObjectRef<GitRepository>) {
        self.background.forget(object);
        self.latest.forget(object);
        self.fetcher.verified.forget(object);
    }
}
