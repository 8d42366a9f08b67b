//! The story in one minute: a commit becomes a Deployment, a manual change is undone, a file removed from
//! Git disappears from the cluster, a chart in the same repository is released. Every answer shown is the
//! cluster's own; the first one that is not as told ends the demo with an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use e2e::cluster::{Cluster, User};
use e2e::controller::{Controller, RUNTIME_NAMESPACE};
use e2e::example::{nginx, toolkit_objects};
use e2e::git_server::GitServer;
use e2e::objects::{Id, Look, Objects};
use e2e::process::{Owner, Process, free_port, stop_recorded};
use e2e::repository::Repository;
use e2e::scenario::REQUESTED_AT;
use e2e::wait::{self, Not};
use serde_json::Value;
use toolchain::cache;

/// How long a step may take.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["up"] => up().await,
        ["down"] => down(),
        // What `up` leaves running beside the control plane and the controllers.
        ["git-server", folder, port] => {
            GitServer::serve(Path::new(folder), port.parse()?).await?.forever().await;
            Ok(())
        }
        _ => bail!("usage: demo up|down"),
    }
}

fn folder() -> Result<PathBuf> {
    Ok(cache()?.join("run/demo"))
}

fn down() -> Result<()> {
    let folder = folder()?;
    for name in stop_recorded(&folder)? {
        println!("✔ stopped {name}");
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
        println!("✔ removed {}", folder.display());
    }
    Ok(())
}

async fn up() -> Result<()> {
    down()?;
    let folder = folder()?;
    let story = Story::set_up(&folder).await?;
    let begin = Instant::now();
    let told = story.tell().await;
    if told.is_err() {
        story.show_logs();
    } else {
        println!("\n✔ all of it in {} s", begin.elapsed().as_secs());
    }
    story.show_hints(&folder);
    told
}

struct Story {
    cluster: Cluster,
    objects: Objects,
    repo: Repository,
    work: PathBuf,
    url: String,
    controllers: [Controller; 3],
}

impl Story {
    async fn set_up(folder: &Path) -> Result<Self> {
        println!("► starting etcd, kube-apiserver and kube-controller-manager");
        let cluster = Cluster::start_detached(folder).await?;
        cluster.install().await?;
        let objects = cluster.objects().await?;

        println!("► starting a Git server, source-controller, kustomize-controller and helm-controller");
        let (git, port) = (folder.join("git"), free_port()?);
        let mut server = Command::new(std::env::current_exe()?);
        server.arg("git-server").arg(&git).arg(port.to_string());
        let mut server =
            Process::start("git-server", &mut server, &folder.join("git.log"), Owner::Folder(folder))?;
        let (repositories, work) = (git.join("repositories"), git.join("work"));
        wait::until(LIMIT, async || {
            server.expect_running().map_err(Not::Ever)?;
            if work.is_dir() { Ok(()) } else { Err(Not::Yet("the Git server is not up".into())) }
        })
        .await?;
        let repo = Repository::create(&repositories, &work, "my-app")?;
        let controllers = [
            Controller::start_detached(&cluster, User::SourceController, folder).await?,
            Controller::start_detached(&cluster, User::KustomizeController, folder).await?,
            Controller::start_detached(&cluster, User::HelmController, folder).await?,
        ];
        println!("✔ the cluster is up; it has no node, so Pods stay pending");
        let url = format!("http://127.0.0.1:{port}/my-app.git");
        Ok(Self { cluster, objects, repo, work: work.join("my-app"), url, controllers })
    }

    async fn tell(&self) -> Result<()> {
        self.a_commit_becomes_a_deployment().await?;
        self.the_next_commit_changes_it().await?;
        self.a_manual_change_is_undone().await?;
        self.a_removed_file_is_pruned().await?;
        self.a_chart_is_released().await?;
        self.the_next_version_upgrades_the_release().await
    }

    async fn a_commit_becomes_a_deployment(&self) -> Result<()> {
        title("A commit becomes a Deployment");
        self.repo.write("nginx/deployment.yaml", &nginx(2, "nginx:1.28"))?;
        self.repo.write("nginx/settings.yaml", SETTINGS)?;
        let commit = self.commit("Run nginx")?;
        self.kubectl_apply(&toolkit_objects("v1", &self.url, ["5s", "10s"]))?;
        self.applied(&commit).await?;
        self.kubectl(&["get", "gitrepositories,kustomizations", "-A"])?;
        let shown = self.kubectl(&["get", "deployment,configmap", "-l", OWNED, "-o", "wide"])?;
        ensure!(
            shown.contains("deployment.apps/nginx-deployment") && shown.contains("nginx:1.28"),
            "no Deployment"
        );
        ensure!(shown.contains("configmap/nginx-settings"), "no ConfigMap");
        Ok(())
    }

    async fn the_next_commit_changes_it(&self) -> Result<()> {
        title("The next commit changes it");
        self.repo.write("nginx/deployment.yaml", &nginx(2, "nginx:1.29"))?;
        let commit = self.commit("Update nginx")?;
        let begin = Instant::now();
        self.request_commit()?;
        self.applied(&commit).await?;
        println!("✔ applied {:.1} s later", begin.elapsed().as_secs_f64());
        let shown = self.kubectl(&["get", "deployment/nginx-deployment", "-o", "wide"])?;
        ensure!(shown.contains("nginx:1.29"), "the image is not updated");
        Ok(())
    }

    async fn a_manual_change_is_undone(&self) -> Result<()> {
        title("A manual change is undone");
        self.kubectl(&["scale", "deployment/nginx-deployment", "--replicas=5"])?;
        let begin = Instant::now();
        self.until("Deployment/nginx-deployment", "default", "has 2 replicas", |d| {
            d.number("/spec/replicas") == 2
        })
        .await?;
        println!(
            "✔ repaired {:.1} s later (the interval of nginx-app is 10 s)",
            begin.elapsed().as_secs_f64()
        );
        self.kubectl(&["get", "deployment/nginx-deployment"]).map(drop)
    }

    async fn a_removed_file_is_pruned(&self) -> Result<()> {
        title("A file removed from Git disappears from the cluster");
        self.repo.remove("nginx/settings.yaml")?;
        let commit = self.commit("Remove the settings")?;
        self.applied(&commit).await?;
        let settings = Id::new("ConfigMap/nginx-settings", "default")?;
        ensure!(self.objects.get(&settings).await?.is_none(), "{settings} still exists");
        let shown = self.kubectl(&["get", "deployment,configmap", "-l", OWNED])?;
        ensure!(shown.contains("deployment.apps/nginx-deployment"), "the Deployment is gone too");
        self.kubectl(&["events", "-n", RUNTIME_NAMESPACE, "--for", "kustomization/nginx-app"]).map(drop)
    }

    async fn a_chart_is_released(&self) -> Result<()> {
        title("A chart in the same repository is released");
        self.repo.write("chart/Chart.yaml", &chart("1.0.0"))?;
        self.repo.write("chart/templates/greeting.yaml", TEMPLATE)?;
        self.commit("Add a chart")?;
        self.request_commit()?;
        self.kubectl_apply(HELM_RELEASE)?;
        self.released("1.0.0").await?;
        self.kubectl(&["get", "helmreleases", "-A"])?;
        let shown = self.kubectl(&["get", "configmap/greeter", "-o", "jsonpath={.data}{'\\n'}"])?;
        ensure!(shown.contains("Hello from 1.0.0"), "the chart is not rendered with the values");
        Ok(())
    }

    async fn the_next_version_upgrades_the_release(&self) -> Result<()> {
        title("Its next version upgrades the release");
        self.repo.write("chart/Chart.yaml", &chart("1.1.0"))?;
        self.commit("Raise the version of the chart")?;
        let begin = Instant::now();
        self.request_commit()?;
        self.released("1.1.0").await?;
        println!(
            "✔ upgraded {:.1} s later (the interval of greeter is 1 h)\n",
            begin.elapsed().as_secs_f64()
        );
        let shown =
            self.kubectl(&["get", "secrets", "-l", "owner=helm,name=greeter", "-L", "version,status"])?;
        let are_kept = ["superseded", "deployed"].iter().all(|status| shown.contains(status));
        ensure!(are_kept, "the release is not stored as Helm stores it");
        Ok(())
    }

    /// Has source-controller look at the repository at once, as `flux reconcile source git my-app-repo` and a
    /// webhook do; else it looks at the interval.
    fn request_commit(&self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let request = format!("{REQUESTED_AT}={now}");
        let source = "gitrepository/my-app-repo";
        self.kubectl(&["annotate", "--overwrite", "-n", RUNTIME_NAMESPACE, source, &request]).map(drop)
    }

    fn commit(&self, message: &str) -> Result<String> {
        let commit = self.repo.commit(message)?;
        println!("$ git commit -m '{message}' && git push\n{commit}\n");
        Ok(commit)
    }

    /// Waits until `nginx-app` has applied a commit.
    async fn applied(&self, commit: &str) -> Result<()> {
        let done = |o: &Value| o.is_ready() && o.text("/status/lastAppliedRevision").ends_with(commit);
        self.until("Kustomization/nginx-app", RUNTIME_NAMESPACE, &format!("has applied {commit}"), done).await
    }

    /// Waits until `greeter` is a release of a version of the chart.
    async fn released(&self, version: &str) -> Result<()> {
        let done = |o: &Value| o.is_ready() && o.text("/status/history/0/chartVersion") == version;
        self.until("HelmRelease/greeter", RUNTIME_NAMESPACE, &format!("has released {version}"), done).await
    }

    async fn until(
        &self,
        text: &str,
        namespace: &str,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let id = Id::new(text, namespace)?;
        let waited =
            wait::until(LIMIT, async || match self.objects.get(&id).await.map_err(wait::not_yet)? {
                Some(object) if is(&object) => Ok(()),
                Some(object) => Err(Not::Yet(object.to_string())),
                None => Err(Not::Yet("absent".into())),
            });
        waited.await.with_context(|| format!("{id} {what}"))
    }

    /// Runs kubectl as the reader would, and shows and answers what it prints.
    fn kubectl(&self, args: &[&str]) -> Result<String> {
        println!("$ kubectl {}", args.join(" "));
        self.run_kubectl(args)
    }

    fn kubectl_apply(&self, yaml: &str) -> Result<()> {
        let file = self.work.with_file_name("my-app.yaml");
        fs::write(&file, yaml)?;
        println!("$ kubectl apply -f - <<EOF\n{yaml}EOF");
        self.run_kubectl(&["apply", "-f", &file.display().to_string()]).map(drop)
    }

    fn run_kubectl(&self, args: &[&str]) -> Result<String> {
        let output = self.cluster.kubectl().args(args).output()?;
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{shown}{}", String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "kubectl {} failed", args.join(" "));
        Ok(shown)
    }

    fn show_logs(&self) {
        for controller in &self.controllers {
            eprintln!("{}\n", controller.log_about("\"error\"", 10));
        }
    }

    fn show_hints(&self, folder: &Path) {
        println!("\nThe cluster stays up:");
        println!("  export KUBECONFIG={}", self.cluster.kubeconfig(User::Admin).display());
        println!("  kubectl get gitrepositories,kustomizations,helmreleases -A");
        println!("  flux get all -A");
        println!("  cd {}   # change something, commit, push", self.work.display());
        println!("Logs: {}/*-controller/*.log", folder.display());
        println!("Remove it all: make demo-down");
    }
}

fn title(text: &str) {
    println!("\n► {text}\n");
}

/// Selects what nginx-app has applied.
const OWNED: &str = "kustomize.toolkit.fluxcd.io/name=nginx-app";

const SETTINGS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: nginx-settings
data:
  greeting: hello
";

fn chart(version: &str) -> String {
    format!("apiVersion: v2\nname: greeter\nversion: {version}\n")
}

const TEMPLATE: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  greeting: {{ .Values.greeting }} from {{ .Chart.Version }}
";

const HELM_RELEASE: &str = "\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: greeter, namespace: flux-system}
spec:
  interval: 1h
  targetNamespace: default
  storageNamespace: default
  releaseName: greeter
  chart:
    spec: {chart: ./chart, sourceRef: {kind: GitRepository, name: my-app-repo}}
  values: {greeting: Hello}
";
