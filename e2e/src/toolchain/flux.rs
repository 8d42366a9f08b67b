//! Flux itself: its command line client, and the two controllers that ours take the place of.

use std::path::PathBuf;

use anyhow::Result;

use super::{Build, Module};

const CLIENT: Module = Module {
    name: "flux",
    go_mod: include_str!("../../tools/flux/go.mod"),
    root: "github.com/fluxcd/flux2/v2",
    version_variables: &["main.VERSION={version}"],
    tags: "",
    build: Build::Copy {
        missing: &[("cmd/flux/manifests/none.yaml", "# What `flux install` applies is not in the module.\n")],
        nested: &[],
    },
};

const SOURCE_CONTROLLER: Module = Module {
    name: "flux-source-controller",
    go_mod: include_str!("../../tools/flux-source-controller/go.mod"),
    root: "github.com/fluxcd/source-controller",
    version_variables: &[],
    tags: "",
    build: Build::Copy { missing: &[], nested: &[("api", "github.com/fluxcd/source-controller/api")] },
};

const KUSTOMIZE_CONTROLLER: Module = Module {
    name: "flux-kustomize-controller",
    go_mod: include_str!("../../tools/flux-kustomize-controller/go.mod"),
    root: "github.com/fluxcd/kustomize-controller",
    version_variables: &[],
    tags: "",
    build: Build::Copy { missing: &[], nested: &[("api", "github.com/fluxcd/kustomize-controller/api")] },
};

/// Flux's command line client, from the cache or built now.
pub fn flux() -> Result<PathBuf> {
    CLIENT.ensure("flux", "./cmd/flux")
}

/// Flux's controllers, and the folders with the manifests of their releases.
#[derive(Clone, Debug)]
pub struct FluxControllers {
    /// The controller for sources.
    pub source: PathBuf,
    /// The controller for Kustomizations.
    pub kustomize: PathBuf,
    /// The module of the controller for sources; `config` has its CRDs and its Deployment.
    pub source_module: PathBuf,
    /// The same for Kustomizations.
    pub kustomize_module: PathBuf,
    /// The module of the client; `manifests` is what the others are put together with.
    pub client_module: PathBuf,
}

impl FluxControllers {
    /// Finds them in the cache and builds those that are missing, which takes minutes.
    pub fn ensure() -> Result<Self> {
        Ok(Self {
            source: SOURCE_CONTROLLER.ensure("source-controller", ".")?,
            kustomize: KUSTOMIZE_CONTROLLER.ensure("kustomize-controller", ".")?,
            source_module: SOURCE_CONTROLLER.download(SOURCE_CONTROLLER.root)?,
            kustomize_module: KUSTOMIZE_CONTROLLER.download(KUSTOMIZE_CONTROLLER.root)?,
            client_module: CLIENT.download(CLIENT.root)?,
        })
    }
}
