//! The GitRepository controller: one pass brings one object's artifact up to date with its upstream.
//!
//! A pass works on a copy of the object in memory and writes the status at most three times: when there is news at its
//! start, when the upstream turns out to have moved, and at its end. A poll that finds nothing new writes nothing.

mod auth;
mod build;
mod failure;
mod pass;
mod status;
mod storage;

use std::sync::Arc;
use std::time::Instant;

use api::GitRepository;
use artifact::store::Store;
use git::Connector;
use kube::runtime::reflector::{self, ObjectRef};
use kube::{Client, ResourceExt};
use runtime::controller::{self, Reconcile};
use runtime::events::Recorder;
use runtime::latest::Latest;
use runtime::metrics::Metrics;
use runtime::process::Process;
use tokio_util::sync::CancellationToken;

use self::build::Limits;
use self::pass::Pass;
use crate::flags::Arguments;

const KIND: &str = "GitRepository";

/// The controller.
pub struct GitRepositories {
    client: Client,
    events: Recorder,
    metrics: Metrics,
    storage: Arc<Store>,
    connector: Arc<Connector>,
    limits: Limits,
    jitter: u8,
    latest: Latest<GitRepository>,
    stop: CancellationToken,
}

impl GitRepositories {
    /// A controller of `process` that keeps its artifacts in `storage`; `store` has what its watch knows.
    pub fn new(
        process: &Process,
        flags: &Arguments,
        storage: Arc<Store>,
        store: reflector::Store<GitRepository>,
    ) -> Self {
        GitRepositories {
            client: process.client.clone(),
            events: process.events.clone(),
            metrics: process.metrics.clone(),
            storage,
            connector: Arc::default(),
            limits: Limits::default(),
            jitter: flags.shared.interval_jitter_percentage,
            latest: Latest::new(store),
            stop: process.stop.clone(),
        }
    }
}

impl Reconcile<GitRepository> for GitRepositories {
    async fn reconcile(&self, object: Arc<GitRepository>) -> controller::Outcome {
        let started = Instant::now();
        let object = self.latest.newest(object);
        let outcome = Pass::new(self, &object).run().await;
        if object.metadata.deletion_timestamp.is_none() {
            let namespace = object.namespace().unwrap_or_default();
            self.metrics.ran(KIND, &namespace, &object.name_any(), started.elapsed());
        }
        match outcome {
            Ok(outcome) => outcome,
            Err(error) if error.is_gone() => controller::Outcome::Wait,
            Err(error) => controller::Outcome::Failed(Box::new(error)),
        }
    }

    fn gone(&self, object: &ObjectRef<GitRepository>) {
        self.latest.forget(object);
    }
}
