//! Flux as its `install.yaml` has it, on a control plane without a node: what the images of its Deployments name is started as a
//! process, with the arguments of the Deployment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use e2e::cluster::{Cluster, User};
use e2e::controller::{Controller, RUNTIME_NAMESPACE, find_binary};
use e2e::objects::{Id, Look, Objects};
use e2e::process::{free_port, output, temp_folder};
use e2e::toolchain::{FluxControllers, copy_files};
use serde_json::Value;

/// Controllers of Flux that are not built; their objects are there, nobody looks after them.
const OTHERS: [&str; 5] = [
    "notification-controller",
    "helm-controller",
    "image-reflector-controller",
    "image-automation-controller",
    "source-watcher",
];

/// Flux in a cluster of its own.
pub struct Installation {
    /// The cluster.
    pub cluster: &'static Cluster,
    /// A client with all rights.
    pub objects: Objects,
    flux: FluxControllers,
    /// Where artifacts are served, whoever does it: the Service.
    address: String,
}

impl Installation {
    /// A cluster in which `flux install` was run.
    pub async fn start() -> Result<Self> {
        let flux = tokio::task::spawn_blocking(FluxControllers::ensure).await??;
        // Lives as long as this program, and ends with it.
        let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start().await?));
        let folder = temp_folder("flux")?;
        let install = manifests(&flux, folder.path())?;
        let mut apply = cluster.kubectl();
        apply.args(["apply", "--server-side", "-k"]).arg(install);
        tokio::task::spawn_blocking(move || output(&mut apply)).await??;
        let mut wait = cluster.kubectl();
        wait.args(["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
        tokio::task::spawn_blocking(move || output(&mut wait)).await??;
        let address = format!("127.0.0.1:{}", free_port()?);
        Ok(Self { cluster, objects: cluster.objects().await?, flux, address })
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
            ("ghcr.io/fluxcd", "source-controller") => Ok(self.flux.source.clone()),
            ("ghcr.io/fluxcd", "kustomize-controller") => Ok(self.flux.kustomize.clone()),
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

/// What Flux's releases are made of, with the modules of its controllers in place of addresses; answers the folder to apply.
fn manifests(flux: &FluxControllers, folder: &Path) -> Result<PathBuf> {
    let copy = |from: PathBuf, to: &str| -> Result<()> {
        let to = folder.join(to);
        fs::create_dir_all(&to)?;
        copy_files(&from, &to)
    };
    copy(flux.client_module.join("manifests"), "manifests")?;
    for (name, module) in
        [("source-controller", &flux.source_module), ("kustomize-controller", &flux.kustomize_module)]
    {
        copy(module.join("config"), name)?;
        let file = folder.join("manifests/bases").join(name).join("kustomization.yaml");
        let text = fs::read_to_string(&file)?;
        let lines = text.lines().map(|line| {
            let released = |part: &str| line.contains("https://") && line.ends_with(&format!("{part}.yaml"));
            match line {
                _ if released("crds") => format!("- ../../../{name}/crd"),
                _ if released("deployment") => format!("- ../../../{name}/manager"),
                _ => line.to_owned(),
            }
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        ensure!(!text.contains("https://"), "{text}");
        fs::write(file, text)?;
    }
    let install = folder.join("manifests/install");
    let file = install.join("kustomization.yaml");
    let text = fs::read_to_string(&file)?;
    let kept = text.lines().filter(|line| !OTHERS.iter().any(|name| line.contains(&format!("bases/{name}"))));
    fs::write(&file, kept.collect::<Vec<_>>().join("\n"))?;
    Ok(install)
}
