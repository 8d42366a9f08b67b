//! Programs that tests run, built from their Go modules: `tools/<name>/go.mod` and `go.sum` pin what is built.
//!
//! A crate of its own, with few dependencies: it is there after seconds, and Go's programs are built while Rust's are.

pub mod command;
mod flux;
mod module;
mod node;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::command::on_path;
use crate::module::{Build, COPY, Module};

pub use crate::flux::{FluxControllers, flux};
pub use crate::module::{cache, go};
pub use crate::node::NodeToolchain;

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

impl Toolchain {
    /// Finds the programs in the cache and builds those that are missing, which takes minutes.
    pub fn ensure() -> Result<Self> {
        Ok(Self {
            etcd: ETCD.ensure("etcd", ETCD.root)?,
            apiserver: kubernetes("kube-apiserver")?,
            controller_manager: kubernetes("kube-controller-manager")?,
            kubectl: kubectl()?,
        })
    }
}

fn kubernetes(program: &str) -> Result<PathBuf> {
    KUBERNETES.ensure(program, &format!("{}/cmd/{program}", KUBERNETES.root))
}

/// The client on the search path if it is new enough, else built like the other programs of Kubernetes.
fn kubectl() -> Result<PathBuf> {
    on_path("kubectl").filter(|kubectl| is_new_enough(kubectl)).map_or_else(|| kubernetes("kubectl"), Ok)
}

/// An OCI registry, from the cache or built now.
pub fn registry() -> Result<PathBuf> {
    REGISTRY.ensure("registry", &format!("{}/cmd/registry", REGISTRY.root))
}

/// An OCI registry that lists referrers, from the cache or built now. Its argument is a port.
pub fn referrers_registry() -> Result<PathBuf> {
    REFERRERS_REGISTRY.ensure("referrers-registry", ".")
}

/// A store that speaks Google's JSON API, from the cache or built now.
pub fn fake_gcs_server() -> Result<PathBuf> {
    FAKE_GCS_SERVER.ensure("fake-gcs-server", FAKE_GCS_SERVER.root)
}

/// A store that speaks S3, from the cache or built now.
pub fn versitygw() -> Result<PathBuf> {
    VERSITYGW.ensure("versitygw", &format!("{}/cmd/versitygw", VERSITYGW.root))
}

/// Helm, from the cache or built now.
pub fn helm() -> Result<PathBuf> {
    HELM.ensure("helm", "./cmd/helm")
}

/// Helm as a library that answers rows, from the cache or built now: see `tools/helm-oracle`.
pub fn helm_oracle() -> Result<PathBuf> {
    HELM_ORACLE.ensure("helm-oracle", ".")
}

/// Cosign, from the cache or built now.
pub fn cosign() -> Result<PathBuf> {
    COSIGN.ensure("cosign", "./cmd/cosign")
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
    Ok(Sops {
        program: SOPS.ensure("sops", "./cmd/sops")?,
        age_keygen: SOPS.ensure("age-keygen", "filippo.io/age/cmd/age-keygen")?,
    })
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
    Ok(Gitea { program: GITEA.ensure("gitea", ".")?, files: GITEA.download(GITEA.root)? })
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
