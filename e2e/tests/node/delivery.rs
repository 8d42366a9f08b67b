//! From a commit to Pods that are ready, by a Kustomization and by a release of a chart, through the Service, by names of the cluster's DNS.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::git_server::GitServer;
use e2e::objects::{Id, Look, Objects};
use e2e::process::output;
use e2e::repository::Repository;
use e2e::wait::{self, Not};
use serde_json::{Value, json};

use crate::generator::end;
use crate::settings::Settings;

/// How long a commit may take to become ready Pods. It only ends a test that hangs.
const DELIVERY: Duration = Duration::from_secs(180);

/// A repository, and the objects that bring it into the cluster.
pub struct Delivery {
    _git: GitServer,
    repository: Repository,
    objects: Objects,
    image: String,
    commits: u32,
}

/// What an interruption must not change.
#[derive(Debug, PartialEq, Eq)]
pub struct Applied {
    uid: String,
    generation: i64,
    /// When our fields were written last.
    written: String,
    /// The revisions of the release, each with the version of its Secret.
    revisions: Vec<String>,
}

/// GitRepository `broken`, whose server, at an address where nobody listens, refuses connections.
pub fn broken_source(address: Ipv4Addr) -> String {
    format!(
        "
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {{name: broken}}
spec: {{interval: 1h, url: 'http://{address}:9/none.git', timeout: 5s}}
"
    )
}

impl Delivery {
    /// Makes the repository, its GitRepository, its Kustomization and its HelmRelease.
    pub async fn start(cluster: &Cluster, settings: &Settings) -> Result<Self> {
        let git = GitServer::start_at(settings.address).await?;
        let repository = git.create("app")?;
        let objects = cluster.objects().await?;
        let toolkit = toolkit_objects(&git.url("app"));
        let mut delivery =
            Self { _git: git, repository, objects, image: settings.pod_image.clone(), commits: 0 };
        let commit = delivery.commit()?;
        delivery.objects.apply(&toolkit, "flux-system").await?;
        delivery.delivered(&commit).await?;
        Ok(delivery)
    }

    /// A commit becomes Pods of its version, and the Kustomization and the HelmRelease wait for them.
    pub async fn deliver(&mut self) -> Result<()> {
        let commit = self.commit()?;
        self.reconcile().await?;
        self.delivered(&commit).await
    }

    /// What there is of the Deployment that is managed, and of the release.
    pub async fn applied(&self) -> Result<Applied> {
        let deployment = self.objects.get(&app("app")).await?.context("no Deployment")?;
        let managers = deployment
            .pointer("/metadata/managedFields")
            .and_then(|m| m.as_array())
            .context("no managers")?;
        let ours =
            managers.iter().find(|m| m.text("/manager") == "kustomize-controller").context("not ours")?;
        let secrets = self.objects.list(&Id::of("v1", "Secret", "default", "")).await?;
        let revisions = secrets.iter().filter(|secret| secret.text("/type") == "helm.sh/release.v1");
        let revisions = revisions.map(|secret| {
            format!("{} {}", secret.text("/metadata/name"), secret.text("/metadata/resourceVersion"))
        });
        Ok(Applied {
            revisions: revisions.collect(),
            uid: deployment.text("/metadata/uid").to_owned(),
            generation: deployment.number("/metadata/generation"),
            written: ours.text("/time").to_owned(),
        })
    }

    fn commit(&mut self) -> Result<String> {
        self.commits += 1;
        let version = self.commits.to_string();
        let chart = format!("apiVersion: v2\nname: app\nversion: 1.{version}.0\nappVersion: \"{version}\"\n");
        self.repository.write("chart/Chart.yaml", &chart)?;
        let template = self.deployment("{{ .Release.Name }}-chart", 1, "{{ .Chart.AppVersion }}");
        let template = template.replace("      containers:", &format!("{GATE}      containers:"));
        self.repository.write("chart/templates/deployment.yaml", &template)?;
        self.repository.write("app/deployment.yaml", &self.deployment("app", 2, &version))?;
        self.repository.commit(&version)
    }

    /// Asks for a look at the repository at once, as `flux reconcile` does.
    async fn reconcile(&self) -> Result<()> {
        let asked = serde_json::json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": self.commits.to_string()}}});
        self.objects.patch(&Id::new("GitRepository/app", "flux-system")?, &asked).await.map(drop)
    }

    async fn delivered(&self, commit: &str) -> Result<()> {
        self.until_ready("Kustomization/app", |seen| {
            seen.text("/status/lastAppliedRevision").ends_with(commit)
        })
        .await?;
        self.expect_pods("app", 2).await?;
        let version = format!("1.{}.0", self.commits);
        self.until_ready("HelmRelease/app", |seen| seen.text("/status/history/0/chartVersion") == version)
            .await?;
        self.expect_pods("app-chart", 1).await
    }

    /// Waits until an object of `flux-system` is ready, and as it should be.
    pub async fn until_ready(&self, name: &str, is_of_commit: impl Fn(&Value) -> bool) -> Result<()> {
        let id = Id::new(name, "flux-system")?;
        wait::until(DELIVERY, async || {
            let seen = self.objects.get(&id).await.map_err(wait::not_yet)?.unwrap_or_default();
            if seen.is_ready() && is_of_commit(&seen) {
                return Ok(());
            }
            let source =
                self.objects.get(&Id::new("GitRepository/app", "flux-system").map_err(Not::Ever)?).await;
            Err(Not::Yet(format!("{name}: {}\n{source:?}", seen["status"])))
        })
        .await
    }

    /// A Deployment has the version of the last commit, and so many Pods that are ready.
    async fn expect_pods(&self, name: &str, replicas: i64) -> Result<()> {
        let deployment = self.objects.get(&app(name)).await?.with_context(|| name.to_owned())?;
        let label = deployment.text("/spec/template/metadata/labels/version");
        ensure!(label == self.commits.to_string(), "Ready with version {label} of {}", self.commits);
        ensure!(
            deployment.number("/status/readyReplicas") == replicas,
            "Ready before its Pods: {}",
            deployment["status"]
        );
        Ok(())
    }

    /// Like nginx in what matters here: it rolls out, listens, and is ready when it answers.
    fn deployment(&self, name: &str, replicas: u32, version: &str) -> String {
        let image = &self.image;
        format!(
            "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: \"{name}\"
spec:
  replicas: {replicas}
  selector:
    matchLabels: {{app: \"{name}\"}}
  template:
    metadata:
      labels: {{app: \"{name}\", version: \"{version}\"}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: {image}
        imagePullPolicy: IfNotPresent
        args: [\"8080\"]
        ports:
        - containerPort: 8080
        readinessProbe:
          httpGet: {{path: /, port: 8080}}
          periodSeconds: 1
"
        )
    }

    /// Begins an upgrade of the release that waits until [`Self::finish_upgrade`]: its Pod runs and is not ready. Answers its revision.
    pub async fn begin_upgrade(&self) -> Result<i64> {
        let release = Id::new("HelmRelease/app", "flux-system")?;
        let before =
            self.objects.get(&release).await?.context("no release")?.number("/status/history/0/version");
        self.objects.patch(&release, &json!({"spec": {"values": {"gate": true}}})).await?;
        let pods = Id::of("v1", "Pod", "default", "");
        wait::until(DELIVERY, async || {
            let pods = self.objects.list(&pods).await.map_err(wait::not_yet)?;
            let waiting = pods.iter().find(|pod| !pod["spec"]["readinessGates"].is_null());
            let status = self.revision(before + 1).await.map_err(wait::not_yet)?;
            if waiting.is_some() && status == "pending-upgrade" {
                return Ok(());
            }
            Err(Not::Yet(format!("revision {} is {status:?}, its Pod {waiting:?}", before + 1)))
        })
        .await?;
        Ok(before + 1)
    }

    /// Lets the upgrade to a revision go on. It ends well, nobody makes another one, and what made it wait is taken back.
    pub async fn finish_upgrade(&self, cluster: &Cluster, revision: i64) -> Result<()> {
        let pods = self.objects.list(&Id::of("v1", "Pod", "default", "")).await?;
        for pod in pods.iter().filter(|pod| !pod["spec"]["readinessGates"].is_null()) {
            let condition = json!({"status": {"conditions": [{"type": CONDITION, "status": "True"}]}});
            let mut patch = cluster.kubectl();
            patch.args(["-n", "default", "patch", "pod", pod.text("/metadata/name"), "--subresource=status"]);
            output(patch.arg(format!("--patch={condition}")))?;
        }
        let (name, release) = ("HelmRelease/app", Id::new("HelmRelease/app", "flux-system")?);
        let is = |seen: &Value, revision: i64| {
            seen.number("/status/history/0/version") == revision
                && seen.text("/status/history/0/status") == "deployed"
        };
        self.until_ready(name, |seen| is(seen, revision)).await?;
        // Whoever works by now has looked at it.
        let asked =
            json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "after the upgrade"}}});
        self.objects.patch(&release, &asked).await?;
        let handled = |seen: &Value| seen.text("/status/lastHandledReconcileAt") == "after the upgrade";
        self.until_ready(name, handled).await?;
        let more = self.revision(revision + 1).await?;
        ensure!(more.is_empty(), "revision {} is {more}", revision + 1);
        self.objects.patch(&release, &json!({"spec": {"values": null}})).await?;
        self.until_ready(name, |seen| is(seen, revision + 1)).await
    }

    /// What Helm says of a revision; nothing if there is none.
    pub async fn revision(&self, number: i64) -> Result<String> {
        let name = format!("sh.helm.release.v1.app.v{number}");
        let secret = self.objects.get(&Id::of("v1", "Secret", "default", &name)).await?.unwrap_or_default();
        Ok(secret.text("/metadata/labels/status").to_owned())
    }

    /// Deletes what was delivered, and waits until it is gone.
    pub async fn end(self) -> Result<()> {
        for name in ["HelmRelease/app", "Kustomization/app", "GitRepository/app"] {
            end(&self.objects, &[Id::new(name, "flux-system")?]).await?;
        }
        ensure!(self.objects.get(&app("app")).await?.is_none(), "what was applied is still there");
        ensure!(self.objects.get(&app("app-chart")).await?.is_none(), "what was released is still there");
        Ok(())
    }
}

/// What makes Pods of the chart wait until somebody says that they are ready.
const CONDITION: &str = "example.com/go";
const GATE: &str = "{{- if .Values.gate }}
      readinessGates: [{conditionType: example.com/go}]
{{- end }}
";

fn app(name: &str) -> Id {
    Id::of("apps/v1", "Deployment", "default", name)
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
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: app
spec:
  interval: 1h
  timeout: 3m
  chart: {{spec: {{chart: ./chart, sourceRef: {{kind: GitRepository, name: app}}}}}}
  releaseName: app
  targetNamespace: default
  # That of the controllers goes when they are uninstalled.
  storageNamespace: default
"
    )
}
