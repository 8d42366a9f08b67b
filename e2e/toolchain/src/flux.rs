//! Flux itself: its command line client with the manifests that `flux install` applies, and the controllers that ours take the
//! place of.
//!
//! The client's module lacks the manifests: a release builds them from kustomizations of the module over files of the controllers' releases, which in
//! turn are built from the controllers' modules. The same is done here, for the controllers that `tools/flux/go.mod` pins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

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

const SOURCE_CONTROLLER_2_10: Module = Module {
    name: "flux-2.10-source-controller",
    go_mod: include_str!("../../tools/flux-2.10-source-controller/go.mod"),
    root: "github.com/fluxcd/source-controller",
    version_variables: &[],
    tags: "",
    build: Build::Copy { complete: stand_in },
};

const KUSTOMIZE_CONTROLLER_2_10: Module = Module {
    name: "flux-2.10-kustomize-controller",
    go_mod: include_str!("../../tools/flux-2.10-kustomize-controller/go.mod"),
    root: "github.com/fluxcd/kustomize-controller",
    version_variables: &[],
    tags: "",
    build: Build::Copy { complete: stand_in },
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

/// Flux's command line client, from the cache or built now.
pub fn flux() -> Result<PathBuf> {
    FLUX.ensure()
}

/// A release of Flux whose controllers ours take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// 2.9, with the client and the manifests of it.
    V2_9,
    /// 2.10, as far as the module proxy serves it to everybody: the helm-controller is that of 2.9.
    V2_10,
}

impl Release {
    /// The release that `FLUX` names, else the newest one.
    ///
    /// # Errors
    /// When it names another one.
    pub fn chosen() -> Result<Self> {
        match std::env::var("FLUX").as_deref() {
            Ok("2.9") => Ok(Self::V2_9),
            Ok("" | "2.10") | Err(_) => Ok(Self::V2_10),
            Ok(other) => bail!("FLUX={other}: there are 2.9 and 2.10"),
        }
    }

    pub(crate) const fn controllers(self) -> [Program; 3] {
        let (source, kustomize) = match self {
            Self::V2_9 => (&SOURCE_CONTROLLER, &KUSTOMIZE_CONTROLLER),
            Self::V2_10 => (&SOURCE_CONTROLLER_2_10, &KUSTOMIZE_CONTROLLER_2_10),
        };
        [
            Program::new(source, "source-controller", "."),
            Program::new(kustomize, "kustomize-controller", "."),
            Program::new(&HELM_CONTROLLER, "helm-controller", "."),
        ]
    }

    /// The `config` folders of the controllers that are newer than the client: it installs others.
    ///
    /// # Errors
    /// When one cannot be downloaded.
    pub fn newer_manifests(self) -> Result<Vec<PathBuf>> {
        let newer = match self {
            Self::V2_9 => Vec::new(),
            Self::V2_10 => vec![&SOURCE_CONTROLLER_2_10, &KUSTOMIZE_CONTROLLER_2_10],
        };
        newer.into_iter().map(|module| Ok(module.download(module.root)?.join("config"))).collect()
    }
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
    ///
    /// # Errors
    /// When one cannot be built.
    pub fn ensure(release: Release) -> Result<Self> {
        let [source, kustomize, helm] = release.controllers();
        Ok(Self { source: source.ensure()?, kustomize: kustomize.ensure()?, helm: helm.ensure()? })
    }
}

/// What the newer modules have that our stand-ins and the older ones lack: TLS by SPIFFE, which is off unless flags ask for it, and
/// an error that tells another digest from a file that is not there.
const TO_OLDER_MODULES: [(&str, &str, &str); 4] = [
    ("main.go", "artifactOptions.TLSConfig = artifactTLSConfig", "_ = artifactTLSConfig"),
    (
        KUSTOMIZATION_CONTROLLER,
        "fetchOpts = append(fetchOpts, fetch.WithTLSConfig(r.ArtifactServerTLSConfig))",
        "panic(\"SPIFFE is not part of this build\")",
    ),
    (KUSTOMIZATION_CONTROLLER, " || errors.Is(reconcileErr, fetch.ErrDigestMismatch)", ""),
    (KUSTOMIZATION_CONTROLLER, "if errors.Is(reconcileErr, fetch.ErrDigestMismatch) {", "if false {"),
];
const KUSTOMIZATION_CONTROLLER: &str = "internal/controller/kustomization_controller.go";

/// Adds what stands for modules that the proxy does not serve.
fn stand_in(module: &Module, copy: &Path) -> Result<()> {
    copy_api(module, copy)?;
    let (_, added) = module.go_mod.split_once("// Added to the copy.").context("nothing to add")?;
    let folder = module.pins().join("..").canonicalize()?;
    let added = added.replace("=> ../", &format!("=> {}/", folder.display()));
    append(&copy.join("go.mod"), &added)?;
    append(&copy.join("go.sum"), &fs::read_to_string(module.pins().join("go.sum"))?)?;
    for (file, from, to) in TO_OLDER_MODULES {
        if let Ok(text) = fs::read_to_string(copy.join(file)) {
            fs::write(copy.join(file), text.replace(from, to))?;
        }
    }
    Ok(())
}

fn append(file: &Path, text: &str) -> Result<()> {
    Ok(fs::write(file, fs::read_to_string(file)? + text)?)
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
