//! Flux itself: its command line client with the manifests that `flux install` applies, and the controllers that ours take the
//! place of.
//!
//! The client's module lacks the manifests: a release builds them from kustomizations of the module over files of the controllers' releases, which in
//! turn are built from the controllers' modules. The same is done here, for the controllers that `tools/flux/go.mod` pins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::output;
use crate::kubectl;
use crate::module::{Build, Module, Program, copy_files};

const CLIENT: Module = Module {
    name: "flux",
    go_mod: include_str!("../../tools/flux/go.mod"),
    root: "github.com/fluxcd/flux2/v2",
    version_variables: &["main.VERSION={version}"],
    tags: "",
    build: Build::Copy { complete: write_manifests },
};

const SOURCE_CONTROLLER: Module = Module {
    name: "flux-source-controller",
    go_mod: include_str!("../../tools/flux-source-controller/go.mod"),
    root: "github.com/fluxcd/source-controller",
    version_variables: &[],
    tags: "",
    build: Build::Copy { complete: copy_api },
};

const KUSTOMIZE_CONTROLLER: Module = Module {
    name: "flux-kustomize-controller",
    go_mod: include_str!("../../tools/flux-kustomize-controller/go.mod"),
    root: "github.com/fluxcd/kustomize-controller",
    version_variables: &[],
    tags: "",
    build: Build::Copy { complete: copy_api },
};

const HELM_CONTROLLER: Module = Module {
    name: "flux-helm-controller",
    go_mod: include_str!("../../tools/flux-helm-controller/go.mod"),
    root: "github.com/fluxcd/helm-controller",
    version_variables: &[],
    tags: "",
    build: Build::Copy { complete: copy_api },
};

pub(crate) const FLUX: Program = Program::new(&CLIENT, "flux", "./cmd/flux");
pub(crate) const CONTROLLERS: [Program; 3] = [
    Program::new(&SOURCE_CONTROLLER, "source-controller", "."),
    Program::new(&KUSTOMIZE_CONTROLLER, "kustomize-controller", "."),
    Program::new(&HELM_CONTROLLER, "helm-controller", "."),
];

/// Flux's command line client, from the cache or built now.
pub fn flux() -> Result<PathBuf> {
    FLUX.ensure()
}

/// Flux's controllers that ours take the place of.
#[derive(Clone, Debug)]
pub struct FluxControllers {
    /// The controller for sources.
    pub source: PathBuf,
    /// The controller for Kustomizations.
    pub kustomize: PathBuf,
    /// The controller for HelmReleases.
    pub helm: PathBuf,
}

impl FluxControllers {
    /// Finds them in the cache and builds those that are missing, which takes minutes.
    pub fn ensure() -> Result<Self> {
        let [source, kustomize, helm] = CONTROLLERS;
        Ok(Self { source: source.ensure()?, kustomize: kustomize.ensure()?, helm: helm.ensure()? })
    }
}

/// The module of the API is one of its own, in a folder of the same repository, where a `replace` line expects it.
fn copy_api(module: &Module, copy: &Path) -> Result<()> {
    let folder = copy.join("api");
    fs::create_dir(&folder)?;
    copy_files(&module.download(&format!("{}/api", module.root))?, &folder)
}

/// What `manifests/scripts/bundle.sh` of the module does.
fn write_manifests(module: &Module, copy: &Path) -> Result<()> {
    let (kustomizations, embedded) = (copy.join("manifests"), copy.join("cmd/flux/manifests"));
    fs::create_dir_all(&embedded)?;
    for (controller, version) in module.requirements().filter(|(path, _)| *path != module.root) {
        let files = module.download(controller)?;
        let name = controller.rsplit('/').next().unwrap_or(controller);
        let base = kustomizations.join("bases").join(name);
        for (file, folder) in [("crds", "config/crd"), ("deployment", "config/manager")] {
            fs::write(base.join(format!("{name}.{file}.yaml")), kustomize(&files.join(folder))?)?;
        }
        let kustomization = base.join("kustomization.yaml");
        let text = fs::read_to_string(&kustomization)?;
        let release = format!("https://{controller}/releases/download/{version}/");
        ensure!(text.contains(&release), "Flux does not install {controller} {version}:\n{text}");
        fs::write(kustomization, text.replace(&release, ""))?;
        fs::write(embedded.join(format!("{name}.yaml")), kustomize(&base)?)?;
    }
    for name in ["rbac", "policies"] {
        fs::write(embedded.join(format!("{name}.yaml")), kustomize(&kustomizations.join(name))?)?;
    }
    Ok(())
}

fn kustomize(folder: &Path) -> Result<String> {
    output(Command::new(kubectl()?).arg("kustomize").arg(folder))
        .with_context(|| format!("build {}", folder.display()))
}
