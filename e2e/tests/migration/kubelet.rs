//! A node for the controllers: runs the processes that Pods of their Deployments ask for, tells the API server when they are
//! ready, and ends them when their Pods are deleted. So rollouts go as Deployments want them: one beside the other, or one after.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::cluster::User;
use e2e::controller::{Controller, RUNTIME_NAMESPACE};
use e2e::objects::Look;
use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};

use crate::installation::{CONTROLLERS, Installation};

/// Time between two looks at the Pods.
const PAUSE: Duration = Duration::from_millis(200);
const NODE: &str = "node";

/// A process, and whether its Pod says so.
struct Running {
    controller: Controller,
    ready: bool,
}

type Processes = BTreeMap<String, Running>;

/// The node; ends with its processes when dropped.
pub struct Kubelet {
    processes: Arc<Mutex<Processes>>,
    failure: Arc<Mutex<Option<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
        lock(&self.processes).clear();
    }
}

impl Kubelet {
    /// Starts a node for the Deployments of an installation.
    pub async fn start(installation: Arc<Installation>) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(installation.cluster.kubeconfig(User::Admin))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let mut node = Node::default();
        node.metadata.name = Some(NODE.into());
        Api::all(client.clone()).create(&PostParams::default(), &node).await?;
        let pods: Api<Pod> = Api::namespaced(client, RUNTIME_NAMESPACE);
        let (processes, failure) = (Arc::<Mutex<Processes>>::default(), Arc::<Mutex<_>>::default());
        let (own, told) = (processes.clone(), failure.clone());
        let task = tokio::spawn(async move {
            loop {
                if let Err(error) = look(&installation, &pods, &own).await {
                    *lock(&told) = Some(format!("{error:#}"));
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Ok(Self { processes, failure, task })
    }

    /// The one process of a controller, for a look at it.
    pub fn with<T>(&self, user: User, look: impl FnOnce(&Controller) -> T) -> Result<T> {
        let processes = lock(&self.processes);
        let found = processes.iter().find(|(pod, _)| pod.starts_with(user.name()));
        let (_, running) =
            found.with_context(|| format!("no Pod of {}; {:?}", user.name(), lock(&self.failure)))?;
        Ok(look(&running.controller))
    }

    /// Fails if a process has ended by itself.
    pub fn expect_running(&self) -> Result<()> {
        lock(&self.processes).values_mut().try_for_each(|running| running.controller.expect_running())
    }

    /// What the processes logged about something.
    pub fn logs(&self, word: &str) -> String {
        let failure = lock(&self.failure).clone().unwrap_or_default();
        lock(&self.processes)
            .values()
            .map(|r| r.controller.log_about(word, 20))
            .fold(failure, |a, b| a + "\n" + &b)
    }
}

/// Does what the Pods of now ask for.
async fn look(installation: &Installation, pods: &Api<Pod>, processes: &Mutex<Processes>) -> Result<()> {
    for pod in pods.list(&ListParams::default()).await? {
        let name = pod.name_any();
        let Some(user) = CONTROLLERS.into_iter().find(|user| name.starts_with(user.name())) else {
            continue;
        };
        if pod.metadata.deletion_timestamp.is_some() {
            let running = lock(processes).remove(&name);
            if let Some(mut running) = running {
                tokio::task::spawn_blocking(move || running.controller.stop()).await??;
            }
            let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            pods.delete(&name, &at_once).await?;
            continue;
        }
        let is_known = lock(processes).contains_key(&name);
        if !is_known {
            bind(pods, &name).await?;
            let spec = serde_json::to_value(&pod)?;
            let container = spec.pointer("/spec/containers/0").context("no container")?;
            let controller = installation.run(user, container)?;
            lock(processes).insert(name.clone(), Running { controller, ready: false });
        }
        // Away from the lock, which others want while it answers.
        let url = lock(processes).get(&name).filter(|running| !running.ready).map(|r| probe(r, &spec(&pod)));
        if let Some(url) = url
            && answers(&url).await
        {
            let patch = Patch::Merge(running_status());
            pods.patch_status(&name, &PatchParams::default(), &patch).await?;
            if let Some(running) = lock(processes).get_mut(&name) {
                running.ready = true;
            }
        }
        if let Some(running) = lock(processes).get_mut(&name) {
            running.controller.expect_running()?;
        }
    }
    Ok(())
}

fn spec(pod: &Pod) -> Value {
    serde_json::to_value(pod).unwrap_or_default()
}

/// Where the Pod's readiness probe leads to.
fn probe(running: &Running, pod: &Value) -> String {
    let probe = pod.pointer("/spec/containers/0/readinessProbe/httpGet").cloned().unwrap_or_default();
    running.controller.url(probe.text("/port"), probe.text("/path"))
}

async fn answers(url: &str) -> bool {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build();
    let Ok(client) = client else { return false };
    client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}

/// Gives a Pod its node, so that its end is for the node to say.
async fn bind(pods: &Api<Pod>, name: &str) -> Result<()> {
    let target = ObjectReference { kind: Some("Node".into()), name: Some(NODE.into()), ..Default::default() };
    let mut binding = Binding { target, ..Default::default() };
    binding.metadata.name = Some(name.to_owned());
    let none = PostParams::default();
    pods.create_subresource::<_, Value>("binding", name, &none, &binding).await.context("bind")?;
    Ok(())
}

fn running_status() -> Value {
    let condition = |kind: &str| json!({"type": kind, "status": "True"});
    let conditions = ["Initialized", "PodScheduled", "ContainersReady", "Ready"].map(condition);
    json!({"status": {"phase": "Running", "conditions": conditions}})
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
