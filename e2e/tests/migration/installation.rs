//! Flux as its `install.yaml` has it, on a control plane without a node: what the images of its Deployments name is started as a
//! process, with the arguments of the Deployment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use e2e::cluster::{Cluster, User};
use e2e::controller::{Controller, RUNTIME_NAMESPACE, find_binary};
use e2e::objects::{Id, Look, Objects};
use e2e::process::{free_port, output, temp_folder};
use serde_json::{Value, json};
use toolchain::{FluxControllers, Release, flux};

/// The controllers that change.
pub const CONTROLLERS: [User; 3] = [User::SourceController, User::KustomizeController, User::HelmController];

/// Flux in a cluster of its own.
pub struct Installation {
    /// The cluster.
    pub cluster: &'static Cluster,
    /// A client with all rights.
    pub objects: Objects,
    controllers: FluxControllers,
    /// Where artifacts are served, whoever does it: the Service.
    address: String,
}

impl Installation {
    /// A cluster in which the release of Flux was installed that `FLUX` names.
    pub async fn start() -> Result<Self> {
        let release = Release::chosen()?;
        let controllers = tokio::task::spawn_blocking(move || FluxControllers::ensure(release)).await??;
        // Lives as long as this program, and ends with it.
        let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start().await?));
        let folder = temp_folder("flux")?;
        let manifests = folder.path().join("install.yaml");
        let mut apply = cluster.kubectl();
        apply.args(["apply", "--server-side", "-f"]).arg(&manifests);
        tokio::task::spawn_blocking(move || {
            let components = "--components=source-controller,kustomize-controller,helm-controller";
            fs::write(&manifests, output(Command::new(flux()?).args(["install", "--export", components]))?)?;
            output(&mut apply)?;
            release.newer_manifests()?.iter().try_for_each(|config| upgrade(cluster, config))
        })
        .await??;
        let mut wait = cluster.kubectl();
        wait.args(["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
        tokio::task::spawn_blocking(move || output(&mut wait)).await??;
        let address = format!("127.0.0.1:{}", free_port()?);
        Ok(Self { cluster, objects: cluster.objects().await?, controllers, address })
    }

    /// Starts what a container of a Pod says.
    pub fn run(&self, user: User, container: &Value) -> Result<Controller> {
        let argument = |text: &Value| {
            text.as_str().unwrap_or_default().replace("$(RUNTIME_NAMESPACE)", RUNTIME_NAMESPACE)
        };
        let mut arguments: Vec<String> =
            container["args"].as_array().context("no arguments")?.iter().map(argument).collect();
        // The folder of the Deployment is a volume, which is empty in each new Pod.
        arguments.retain(|argument| !argument.starts_with("--storage-path="));
        // Nobody receives events here, and no Service leads to what listens at fixed ports.
        arguments.push("--events-addr=".into());
        // Flux looks at dependencies again after half a minute.
        arguments.push("--requeue-dependency=2s".into());
        if user == User::SourceController {
            arguments.push(format!("--storage-addr={}", self.address));
            arguments.push(format!("--storage-adv-addr={}", self.address));
        }
        let binary = self.binary(container.text("/image"), user)?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Controller::start_in_pod(self.cluster, user, &binary, &arguments)
    }

    fn binary(&self, image: &str, user: User) -> Result<PathBuf> {
        let (image, _) = image.rsplit_once(':').context("an image without a tag")?;
        match image.rsplit_once('/').context("an image without a folder")? {
            ("ghcr.io/fluxcd", "source-controller") => Ok(self.controllers.source.clone()),
            ("ghcr.io/fluxcd", "kustomize-controller") => Ok(self.controllers.kustomize.clone()),
            ("ghcr.io/fluxcd", "helm-controller") => Ok(self.controllers.helm.clone()),
            ("ferroflux", name) if name == user.name() => find_binary(name),
            _ => bail!("nobody knows the image {image}"),
        }
    }

    /// Who holds the Lease of a controller.
    pub async fn leader(&self, user: User) -> Result<String> {
        let name = format!("{}-leader-election", user.name());
        let id = Id::of("coordination.k8s.io/v1", "Lease", RUNTIME_NAMESPACE, &name);
        let lease = self.objects.get(&id).await?.with_context(|| format!("no {id}"))?;
        Ok(lease.text("/spec/holderIdentity").to_owned())
    }
}

/// Brings a controller that the client has installed to the release whose `config` folder this is: its CRDs, its image, its probe.
fn upgrade(cluster: &Cluster, config: &Path) -> Result<()> {
    let mut crds = cluster.kubectl();
    crds.args(["apply", "--server-side", "--force-conflicts", "-k"]).arg(config.join("crd"));
    output(&mut crds)?;
    let read = |file: &str| {
        let path = config.join("manager").join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        anyhow::Ok(serde_yaml::from_str::<Value>(&text)?)
    };
    let (kustomization, deployment) = (read("kustomization.yaml")?, read("deployment.yaml")?);
    let (name, tag) = (deployment.text("/metadata/name"), kustomization.text("/images/0/newTag"));
    let probe = deployment.pointer("/spec/template/spec/containers/0/readinessProbe").context("no probe")?;
    let container = "/spec/template/spec/containers/0";
    let patch = json!([
        {"op": "replace", "path": format!("{container}/image"), "value": format!("ghcr.io/fluxcd/{name}:{tag}")},
        {"op": "replace", "path": format!("{container}/readinessProbe"), "value": probe},
    ]);
    let mut patched = cluster.kubectl();
    patched.args(["patch", "deployment", name, "--namespace", RUNTIME_NAMESPACE, "--type=json"]);
    output(patched.arg(format!("--patch={patch}"))).map(drop)
}
