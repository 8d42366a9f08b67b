//! From a commit to Pods that are ready, through the Service, by names of the cluster's DNS.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::git_server::GitServer;
use e2e::node::{ADDRESS, Node, POD_IMAGE};
use e2e::objects::{Id, Look, Objects};
use e2e::repository::Repository;
use e2e::wait::{self, Not};

/// How long a commit may take to become ready Pods. It only ends a test that hangs.
const DELIVERY: Duration = Duration::from_secs(180);

/// A repository, and the objects that bring it into the cluster.
pub struct Delivery {
    _git: GitServer,
    repository: Repository,
    objects: Objects,
    commits: u32,
}

/// What an interruption must not change.
#[derive(Debug, PartialEq, Eq)]
pub struct Applied {
    uid: String,
    generation: i64,
    /// When our fields were written last.
    written: String,
}

/// GitRepository `broken`, whose server refuses connections.
pub fn broken_source() -> String {
    format!(
        "
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {{name: broken}}
spec: {{interval: 1h, url: 'http://{ADDRESS}:9/none.git', timeout: 5s}}
"
    )
}

impl Delivery {
    /// Makes the repository, its GitRepository and its Kustomization.
    pub async fn start(node: &Node) -> Result<Self> {
        let git = GitServer::start_at(ADDRESS).await?;
        let repository = git.create("app")?;
        let objects = node.cluster.objects().await?;
        let toolkit = toolkit_objects(&git.url("app"));
        let mut delivery = Self { _git: git, repository, objects, commits: 0 };
        let commit = delivery.commit()?;
        delivery.objects.apply(&toolkit, "flux-system").await?;
        delivery.delivered(&commit).await?;
        Ok(delivery)
    }

    /// A commit becomes Pods of its version, and the Kustomization waits for them.
    pub async fn deliver(&mut self) -> Result<()> {
        let commit = self.commit()?;
        self.reconcile().await?;
        self.delivered(&commit).await
    }

    /// What there is of the Deployment that is managed.
    pub async fn applied(&self) -> Result<Applied> {
        let deployment = self.objects.get(&app()).await?.context("no Deployment")?;
        let managers = deployment
            .pointer("/metadata/managedFields")
            .and_then(|m| m.as_array())
            .context("no managers")?;
        let ours =
            managers.iter().find(|m| m.text("/manager") == "kustomize-controller").context("not ours")?;
        Ok(Applied {
            uid: deployment.text("/metadata/uid").to_owned(),
            generation: deployment.number("/metadata/generation"),
            written: ours.text("/time").to_owned(),
        })
    }

    fn commit(&mut self) -> Result<String> {
        self.commits += 1;
        self.repository.commit_file("app/deployment.yaml", &deployment(self.commits))
    }

    /// Asks for a look at the repository at once, as `flux reconcile` does.
    async fn reconcile(&self) -> Result<()> {
        let asked = serde_json::json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": self.commits.to_string()}}});
        self.objects.patch(&Id::new("GitRepository/app", "flux-system")?, &asked).await.map(drop)
    }

    async fn delivered(&self, commit: &str) -> Result<()> {
        let kustomization = Id::new("Kustomization/app", "flux-system")?;
        wait::until(DELIVERY, async || {
            let seen = self.objects.get(&kustomization).await.map_err(wait::not_yet)?.unwrap_or_default();
            if seen.is_ready() && seen.text("/status/lastAppliedRevision").ends_with(commit) {
                return Ok(());
            }
            let source =
                self.objects.get(&Id::new("GitRepository/app", "flux-system").map_err(Not::Ever)?).await;
            Err(Not::Yet(format!("{commit}: {}\n{source:?}", seen["status"])))
        })
        .await?;
        let deployment = self.objects.get(&app()).await?.context("no Deployment")?;
        let label = deployment.text("/spec/template/metadata/labels/version");
        ensure!(label == self.commits.to_string(), "Ready with version {label} of {}", self.commits);
        ensure!(
            deployment.number("/status/readyReplicas") == 2,
            "Ready before its Pods: {}",
            deployment["status"]
        );
        Ok(())
    }
}

fn app() -> Id {
    Id::of("apps/v1", "Deployment", "default", "app")
}

/// Like nginx in what matters here: it rolls out, listens, and is ready when it answers.
fn deployment(version: u32) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app
spec:
  replicas: 2
  selector:
    matchLabels: {{app: app}}
  template:
    metadata:
      labels: {{app: app, version: \"{version}\"}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: {POD_IMAGE}
        imagePullPolicy: Never
        args: [\"8080\"]
        ports:
        - containerPort: 8080
        readinessProbe:
          httpGet: {{path: /, port: 8080}}
          periodSeconds: 1
"
    )
}

fn toolkit_objects(url: &str) -> String {
    format!(
        "
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata:
  name: app
spec:
  interval: 1h
  url: {url}
  ref: {{branch: main}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: app
spec:
  interval: 1h
  path: ./app
  prune: true
  wait: true
  timeout: 3m
  sourceRef: {{kind: GitRepository, name: app}}
  targetNamespace: default
"
    )
}
