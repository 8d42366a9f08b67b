//! The edge of the apply crate against a real API server: what is written, what is left alone, how many requests it
//! takes, and what the observed index sees.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod applying;
mod counting;
mod ignoring;
mod migrating;
mod normalising;
mod observing;
mod pruning;
mod refusing;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use apply::applier::{Applied, Applier, Memory, Options, StageOutcome};
use apply::change::Action;
use apply::drift::Drift;
use apply::error::StageError;
use apply::kstatus::Status;
use apply::manager::Manager;
use apply::mapper::{MapError, Mapper, MapperOptions};
use apply::mask::Mask;
use apply::object::{Manifest, ObjectId};
use apply::observe::{Index, IndexOptions, WatchState};
use apply::order::stages;
use apply::prepare::{CommonMetadata, Owner, prepare};
use apply::prune::{self, Entry, PruneOptions, Pruned};
use e2e::cluster::{Cluster, User};
use e2e::objects::{Id, Look, Objects, documents};
use e2e::wait::{self, LIMIT, Not};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use net::Backoff;
use serde_json::{Value, json};

const MANAGER: Manager =
    Manager { field_manager: "kustomize-controller", group: "kustomize.toolkit.fluxcd.io" };

/// A namespace with a client that records what it asks.
struct Bed {
    namespace: String,
    objects: Objects,
    /// Not recorded.
    client: Client,
    recorded: Client,
    requests: Arc<Mutex<Vec<String>>>,
    mapper: Arc<Mapper>,
    options: Options,
}

impl Bed {
    async fn new(name: &str) -> Result<Self> {
        Self::on(Cluster::shared().await?, name).await
    }

    async fn on(cluster: &Cluster, name: &str) -> Result<Self> {
        let objects = cluster.objects().await?;
        let namespace = format!("{name}-{:05x}", rand::random_range(0..0x10_0000));
        objects
            .apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}"), "")
            .await?;
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig(User::Admin))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = recording(client.clone(), requests.clone(), None);
        let min_interval = Duration::from_millis(200);
        let mapper =
            Arc::new(Mapper::new(client.clone(), MapperOptions { min_interval, request_timeout: LIMIT }));
        let options = Options {
            force: false,
            override_managers: Vec::new(),
            override_managers_first: Vec::new(),
            ignore: Default::default(),
            migrate_api_version: false,
            report_only: false,
            concurrency: 8,
            request_timeout: LIMIT,
            recreate_patience: LIMIT,
            message_limit: 10_000,
            mask: Mask::default(),
        };
        Ok(Self { namespace, objects, client, recorded, requests, mapper, options })
    }

    fn owner(&self) -> Owner {
        Owner { namespace: self.namespace.clone(), name: "app".into() }
    }

    /// Objects as a build gives them, prepared; those without a namespace get that of the test.
    fn prepared(&self, yaml: &str) -> Result<Vec<Manifest>> {
        let mut built = Vec::new();
        for mut object in documents(yaml)? {
            if object["metadata"].get("namespace").is_none() {
                object["metadata"]["namespace"] = self.namespace.clone().into();
            }
            built.push(Manifest::new(object, Some("app/objects.yaml".into()))?);
        }
        let prepared = prepare(built, &MANAGER, &self.owner(), &CommonMetadata::default())?;
        Ok(stages(prepared, &BTreeSet::new()).into_iter().flat_map(|s| s.manifests).collect())
    }

    fn applier(&self) -> Applier {
        Applier::new(self.recorded.clone(), self.mapper.clone(), MANAGER, self.options.clone())
    }

    async fn try_apply(&self, yaml: &str, memory: &Memory) -> Result<Result<StageOutcome, StageError>> {
        let manifests = self.prepared(yaml)?;
        self.take_requests();
        Ok(self.applier().apply_stage(&manifests, memory, |_| async { Ok(()) }).await)
    }

    /// Applies and answers what was done, as `Kind/name action`.
    async fn apply(&self, yaml: &str, memory: &mut Memory) -> Result<Vec<String>> {
        let outcome = self.try_apply(yaml, memory).await??;
        *memory = outcome.memory;
        let lines = outcome.changes.lines(|_| true);
        Ok(lines.lines().map(|l| l.replace(&format!("{}/", self.namespace), "")).collect())
    }

    /// The requests since the last call, sorted: method, and whether it was a dry run.
    fn take_requests(&self) -> Vec<String> {
        let mut requests = std::mem::take(&mut *self.requests.lock().unwrap());
        requests.sort();
        requests
    }

    fn id(&self, text: &str) -> Id {
        Id::new(text, &self.namespace).unwrap()
    }

    /// Waits until the controllers of the cluster have dealt with a Deployment.
    async fn available(&self, text: &str) -> Result<()> {
        let id = self.id(text);
        wait::until(LIMIT, async || match self.objects.get(&id).await {
            Ok(Some(live)) if live.condition("Available").is_some() => Ok(()),
            seen => Err(Not::Yet(format!("{seen:?}"))),
        })
        .await
    }

    async fn live(&self, text: &str) -> Result<Value> {
        self.objects.get(&self.id(text)).await?.with_context(|| format!("{text} does not exist"))
    }

    /// A merge patch in the name of some field manager.
    async fn patch_as(&self, manager: &str, text: &str, merge: Value) -> Result<()> {
        let (kind, name) = text.split_once('/').unwrap();
        let (group, version) = if kind == "Deployment" { ("apps", "v1") } else { ("", "v1") };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let params = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
        api.patch(name, &params, &Patch::Merge(merge)).await?;
        Ok(())
    }

    fn object_id(&self, group: &str, kind: &str, name: &str) -> ObjectId {
        ObjectId {
            group: group.into(),
            kind: kind.into(),
            namespace: self.namespace.clone(),
            name: name.into(),
        }
    }

    fn index(&self) -> Index {
        let retry = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) };
        let options = IndexOptions {
            idle: Duration::from_secs(3600),
            retry,
            rediscovery: Duration::from_secs(1),
            page_size: 2,
        };
        Index::new(self.client.clone(), MANAGER, self.mapper.clone(), options)
    }

    async fn prune(&self, entries: Vec<Entry>, protected: &[&str]) -> Pruned {
        let options = PruneOptions {
            manager: MANAGER,
            owner: self.owner(),
            keep: Default::default(),
            claimed: Default::default(),
            protected_namespaces: protected.iter().map(|n| (*n).to_owned()).collect(),
            concurrency: 4,
            request_timeout: LIMIT,
        };
        prune::delete(&self.recorded, &self.mapper, entries, &options).await
    }
}

/// A client that records its requests, and impersonates a user if one is given.
fn recording(base: Client, requests: Arc<Mutex<Vec<String>>>, user: Option<String>) -> Client {
    let service = tower::service_fn(move |mut request: http::Request<Body>| {
        let dry_run = request.uri().query().is_some_and(|q| q.contains("dryRun=All"));
        let method = request.method().to_string();
        requests.lock().unwrap().push(if dry_run { format!("{method} dry-run") } else { method });
        if let Some(user) = &user {
            request.headers_mut().insert("impersonate-user", user.parse().unwrap());
        }
        let base = base.clone();
        async move { base.send(request).await }
    });
    Client::new(service, "default")
}

const APP: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {k: v}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {k: v}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, ports: [{containerPort: 80}], resources: {limits: {cpu: 1000m}}}]}
";

const MAP: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}";

fn repeated(what: &[(&str, usize)]) -> Vec<String> {
    what.iter().flat_map(|(request, n)| std::iter::repeat_n((*request).to_owned(), *n)).collect()
}

fn age() -> tokio::time::Sleep {
    // Longer than the clocks of API servers may differ.
    tokio::time::sleep(Duration::from_millis(5100))
}

/// Watches kinds and waits until the state of each watch is known.
async fn settled(index: &Index, kinds: &[GroupVersionKind]) -> Result<()> {
    wait::until(LIMIT, async || match kinds.iter().find(|kind| index.ensure(kind) == WatchState::Starting) {
        Some(kind) => Err(Not::Yet(format!("the watch of {} is starting", kind.kind))),
        None => Ok(()),
    })
    .await
}
