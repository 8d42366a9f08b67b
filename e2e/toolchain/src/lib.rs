//! Programs that tests run, built from their Go modules: `tools/<name>/go.mod` and `go.sum` pin what is built.
//!
//! A crate of its own, with few dependencies: it is there after seconds, and Go's programs are built while Rust's are.

pub mod command;
mod flux;
mod module;
mod node;
mod progress;
mod prometheus;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::command::on_path;
use crate::module::{Build, COPY, Module, Program};

pub use crate::flux::{FluxControllers, Release, flux};
pub use crate::module::{cache, go};
pub use crate::node::NodeToolchain;
pub use crate::prometheus::prometheus_crds;

/// The programs of a control plane.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The key-value store.
    pub etcd: PathBuf,
    /// The API server.
    pub apiserver: PathBuf,
    /// Garbage collector, namespace, service account and workload controllers.
    pub controller_manager: PathBuf,
    /// The command line client: the one on the search path if it is new enough, else built like the others.
    pub kubectl: PathBuf,
}

const ETCD: Module = Module {
    name: "etcd",
    go_mod: include_str!("../../tools/etcd/go.mod"),
    root: "go.etcd.io/etcd/server/v3",
    version_variables: &[],
    tags: "",
    build: Build::Here,
};

const KUBERNETES: Module = Module {
    name: "kubernetes",
    go_mod: include_str!("../../tools/kubernetes/go.mod"),
    root: "k8s.io/kubernetes",
    // Without it Kubernetes reports version v0.0.0-master, which its own clients cannot parse.
    version_variables: &[
        "k8s.io/component-base/version.gitVersion=v{version}",
        "k8s.io/component-base/version.gitMajor={major}",
        "k8s.io/component-base/version.gitMinor={minor}",
    ],
    tags: "",
    build: Build::Here,
};

const GITEA: Module = Module {
    name: "gitea",
    go_mod: include_str!("../../tools/gitea/go.mod"),
    root: "code.gitea.io/gitea",
    version_variables: &["main.Version={version}"],
    tags: "sqlite,sqlite_unlock_notify",
    build: COPY,
};

const REGISTRY: Module = Module {
    name: "registry",
    go_mod: include_str!("../../tools/registry/go.mod"),
    root: "github.com/distribution/distribution/v3",
    version_variables: &[],
    tags: "",
    build: Build::Here,
};

const REFERRERS_REGISTRY: Module = Module {
    name: "referrers-registry",
    go_mod: include_str!("../../tools/referrers-registry/go.mod"),
    root: "github.com/google/go-containerregistry",
    version_variables: &[],
    tags: "",
    build: Build::Here,
};

const FAKE_GCS_SERVER: Module = Module {
    name: "fake-gcs-server",
    go_mod: include_str!("../../tools/fake-gcs-server/go.mod"),
    root: "github.com/fsouza/fake-gcs-server",
    version_variables: &[],
    tags: "",
    build: Build::Here,
};

const HELM: Module = Module {
    name: "helm",
    go_mod: include_str!("../../tools/helm/go.mod"),
    root: "helm.sh/helm/v4",
    version_variables: &["helm.sh/helm/v4/internal/version.version=v{version}"],
    tags: "",
    build: COPY,
};

const HELM_ORACLE: Module = Module {
    name: "helm-oracle",
    go_mod: include_str!("../../tools/helm-oracle/go.mod"),
    root: "helm.sh/helm/v4",
    version_variables: &[],
    tags: "",
    build: Build::Here,
};

const SOPS: Module = Module {
    name: "sops",
    go_mod: include_str!("../../tools/sops/go.mod"),
    root: "github.com/getsops/sops/v3",
    version_variables: &[],
    tags: "",
    build: COPY,
};

const COSIGN: Module = Module {
    name: "cosign",
    go_mod: include_str!("../../tools/cosign/go.mod"),
    root: "github.com/sigstore/cosign/v3",
    version_variables: &[],
    tags: "",
    build: COPY,
};

const VERSITYGW: Module = Module {
    name: "versitygw",
    go_mod: include_str!("../../tools/versitygw/go.mod"),
    root: "github.com/versity/versitygw",
    version_variables: &[],
    tags: "",
    build: Build::Here,
};

const ETCD_SERVER: Program = Program::new(&ETCD, "etcd", ETCD.root);
const API_SERVER: Program =
    Program::new(&KUBERNETES, "kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver");
const CONTROLLER_MANAGER: Program =
    Program::new(&KUBERNETES, "kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager");
const KUBECTL: Program = Program::new(&KUBERNETES, "kubectl", "k8s.io/kubernetes/cmd/kubectl");
const SOPS_CLIENT: Program = Program::new(&SOPS, "sops", "./cmd/sops");
const AGE_KEYGEN: Program = Program::new(&SOPS, "age-keygen", "filippo.io/age/cmd/age-keygen");

/// Programs that are all that is built of their module.
const SINGLE: [Program; 8] = [
    COSIGN_CLIENT,
    GCS_SERVER,
    FORGE,
    HELM_CLIENT,
    ORACLE_OF_HELM,
    OCI_REGISTRY,
    OCI_REGISTRY_WITH_REFERRERS,
    S3_SERVER,
];
const COSIGN_CLIENT: Program = Program::new(&COSIGN, "cosign", "./cmd/cosign");
const GCS_SERVER: Program = Program::new(&FAKE_GCS_SERVER, "fake-gcs-server", FAKE_GCS_SERVER.root);
const FORGE: Program = Program::new(&GITEA, "gitea", ".");
const HELM_CLIENT: Program = Program::new(&HELM, "helm", "./cmd/helm");
const ORACLE_OF_HELM: Program = Program::new(&HELM_ORACLE, "helm-oracle", ".");
const OCI_REGISTRY: Program =
    Program::new(&REGISTRY, "registry", "github.com/distribution/distribution/v3/cmd/registry");
const OCI_REGISTRY_WITH_REFERRERS: Program = Program::new(&REFERRERS_REGISTRY, "referrers-registry", ".");
const S3_SERVER: Program =
    Program::new(&VERSITYGW, "versitygw", "github.com/versity/versitygw/cmd/versitygw");

impl Toolchain {
    /// Finds the programs in the cache and builds those that are missing, which takes minutes.
    pub fn ensure() -> Result<Self> {
        Ok(Self {
            etcd: ETCD_SERVER.ensure()?,
            apiserver: API_SERVER.ensure()?,
            controller_manager: CONTROLLER_MANAGER.ensure()?,
            kubectl: kubectl()?,
        })
    }
}

/// The client on the search path if it is new enough, else built like the other programs of Kubernetes.
fn kubectl() -> Result<PathBuf> {
    installed_kubectl().map_or_else(|| KUBECTL.ensure(), Ok)
}

fn installed_kubectl() -> Option<PathBuf> {
    on_path("kubectl").filter(|kubectl| is_new_enough(kubectl))
}

/// Builds what is missing of the programs of these names, which the program `toolchain` explains.
///
/// # Errors
/// When one cannot be built; a name that is none gives nothing to build.
pub fn ensure_all(names: &[String]) -> Result<()> {
    let mut all = Vec::new();
    for name in names {
        match name.as_str() {
            "kubernetes" => {
                all.extend([ETCD_SERVER, API_SERVER, CONTROLLER_MANAGER]);
                all.extend(installed_kubectl().is_none().then_some(KUBECTL));
            }
            "flux" => all.push(flux::FLUX),
            "flux-2.9-controllers" => all.extend(Release::V2_9.controllers()),
            "flux-2.10-controllers" => all.extend(Release::V2_10.controllers()),
            "node" => all.extend(node::PROGRAMS),
            "prometheus-crds" => all.push(prometheus::GENERATOR),
            "sops" => all.extend([SOPS_CLIENT, AGE_KEYGEN]),
            name => all.extend(SINGLE.iter().find(|program| program.name == name)),
        }
    }
    Program::ensure_all(&all)
}

/// An OCI registry, from the cache or built now.
pub fn registry() -> Result<PathBuf> {
    OCI_REGISTRY.ensure()
}

/// An OCI registry that lists referrers, from the cache or built now. Its argument is a port.
pub fn referrers_registry() -> Result<PathBuf> {
    OCI_REGISTRY_WITH_REFERRERS.ensure()
}

/// A store that speaks Google's JSON API, from the cache or built now.
pub fn fake_gcs_server() -> Result<PathBuf> {
    GCS_SERVER.ensure()
}

/// A store that speaks S3, from the cache or built now.
pub fn versitygw() -> Result<PathBuf> {
    S3_SERVER.ensure()
}

/// Helm, from the cache or built now.
pub fn helm() -> Result<PathBuf> {
    HELM_CLIENT.ensure()
}

/// Helm as a library that answers rows, from the cache or built now: see `tools/helm-oracle`.
pub fn helm_oracle() -> Result<PathBuf> {
    ORACLE_OF_HELM.ensure()
}

/// Cosign, from the cache or built now.
pub fn cosign() -> Result<PathBuf> {
    COSIGN_CLIENT.ensure()
}

/// SOPS and a maker of keys for it.
#[derive(Clone, Debug)]
pub struct Sops {
    /// What encrypts and decrypts.
    pub program: PathBuf,
    /// What makes identities of age, of the version that SOPS uses.
    pub age_keygen: PathBuf,
}

/// SOPS, from the cache or built now.
pub fn sops() -> Result<Sops> {
    Ok(Sops { program: SOPS_CLIENT.ensure()?, age_keygen: AGE_KEYGEN.ensure()? })
}

/// A Git forge.
#[derive(Clone, Debug)]
pub struct Gitea {
    /// The server and its administration.
    pub program: PathBuf,
    /// Templates and texts that it reads when it runs.
    pub files: PathBuf,
}

/// Gitea, from the cache or built now. Its files are those of its module.
pub fn gitea() -> Result<Gitea> {
    Ok(Gitea { program: FORGE.ensure()?, files: GITEA.download(GITEA.root)? })
}

/// The oldest kubectl that understands every command of the scenarios and the demo.
const OLDEST_KUBECTL: (u32, u32) = (1, 30);

fn is_new_enough(kubectl: &Path) -> bool {
    let output = Command::new(kubectl).args(["version", "--client", "-o", "json"]).output();
    let version = output.ok().and_then(|output| client_version(&output.stdout));
    version.is_some_and(|version| version >= OLDEST_KUBECTL)
}

/// Major and minor version in what `kubectl version` prints. Some distributions write the minor one as `32+`.
fn client_version(json: &[u8]) -> Option<(u32, u32)> {
    let json: serde_json::Value = serde_json::from_slice(json).ok()?;
    let version = json.get("clientVersion")?;
    let number = |name| version.get(name)?.as_str()?.trim_end_matches('+').parse().ok();
    Some((number("major")?, number("minor")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_or_unknown_kubectl_is_not_used() {
        let version = |minor: &str| {
            client_version(format!(r#"{{"clientVersion":{{"major":"1","minor":"{minor}"}}}}"#).as_bytes())
        };
        assert!(version("30") >= Some(OLDEST_KUBECTL));
        assert!(version("32+") >= Some(OLDEST_KUBECTL));
        assert!(version("9") < Some(OLDEST_KUBECTL));
        assert_eq!(client_version(b"error: unknown flag"), None);
        assert!(!is_new_enough(Path::new("/nonexistent/kubectl")));
    }
}
