//! GitRepository, version v1beta2: a schema for the API server, deprecated. Controllers read and write v1.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GitRepositoryInclude, GitRepositoryRef, default_timeout};
use crate::meta::AccessFrom;
use crate::schema::{DURATION, SHORT_DURATION};
use crate::{Artifact, Condition, Duration, LocalObjectReference};

/// Desired state of a GitRepository.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1beta2",
    kind = "GitRepository",
    plural = "gitrepositories",
    doc = "GitRepository is a Git repository that is fetched and served as an artifact.",
    namespaced,
    status = "GitRepositoryStatus",
    deprecated = "v1beta2 GitRepository is deprecated, upgrade to v1",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    )
)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositorySpec {
    /// Address of the repository: an HTTP/S or SSH URL.
    #[schemars(extend("pattern" = "^(http|https|ssh)://.*$"))]
    pub url: String,
    /// Secret with the credentials of the repository: 'username' and 'password', or 'bearerToken', for HTTPS;
    /// 'identity' and 'known_hosts' for SSH.
    pub secret_ref: Option<LocalObjectReference>,
    /// Interval at which the repository is checked for updates.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Duration,
    /// Timeout of each Git operation, defaults to 60s.
    #[serde(default = "default_timeout")]
    #[schemars(extend("pattern" = SHORT_DURATION))]
    pub timeout: Duration,
    /// Git reference to resolve and watch, defaults to the branch 'master'.
    #[serde(rename = "ref")]
    pub reference: Option<GitRepositoryRef>,
    /// Which signatures to verify, and with which keys.
    #[serde(rename = "verify")]
    pub verification: Option<GitRepositoryVerification>,
    /// Patterns to exclude in the format of .sourceignore, which is that of .gitignore. They replace the default ones.
    pub ignore: Option<String>,
    /// Suspends the reconciliation of this GitRepository.
    pub suspend: Option<bool>,
    /// Deprecated and ignored: which Git library to use.
    #[serde(default)]
    pub git_implementation: GitImplementation,
    /// Initialises all submodules of the repository, with their default settings.
    pub recurse_submodules: Option<bool>,
    /// Other GitRepositories whose artifacts are copied into that of this one.
    pub include: Option<Vec<GitRepositoryInclude>>,
    /// Access control for references from other namespaces. Not implemented.
    pub access_from: Option<AccessFrom>,
}

/// Git library of earlier releases.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "names of libraries")]
pub enum GitImplementation {
    #[default]
    #[serde(rename = "go-git")]
    GoGit,
    Libgit2,
}

/// Which Git objects must be signed, and by whom.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryVerification {
    /// Git object to verify: 'head', the commit.
    #[schemars(extend("enum" = ["head"]))]
    pub mode: String,
    /// Secret with the public keys of trusted authors.
    pub secret_ref: LocalObjectReference,
}

/// Observed state of a GitRepository.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryStatus {
    /// Last generation that was fully processed.
    pub observed_generation: Option<i64>,
    /// Conditions of the GitRepository.
    pub conditions: Option<Vec<Condition>>,
    /// Address of the latest artifact, on a best effort basis.
    pub url: Option<String>,
    /// Last artifact that was stored.
    pub artifact: Option<Artifact>,
    /// Artifacts copied into the last one, in the order of spec.include.
    pub included_artifacts: Option<Vec<Artifact>>,
    /// Deprecated: checksum of everything that shapes the contents of the artifact.
    pub content_config_checksum: Option<String>,
    /// Exclusion patterns of the spec that the current artifact was made with.
    pub observed_ignore: Option<String>,
    /// Submodule setting that the current artifact was made with.
    pub observed_recurse_submodules: Option<bool>,
    /// Includes that the current artifact was made with.
    pub observed_include: Option<Vec<GitRepositoryInclude>>,
    /// Value of the last reconcile request that was handled.
    pub last_handled_reconcile_at: Option<String>,
}
