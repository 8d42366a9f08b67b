//! GitRepository, version v1: a Git repository as a source of artifacts.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{is_false, null_is_default};
use crate::schema::{DURATION, SHORT_DURATION};
use crate::source::{Source, SourceStatus, SourceStatusMut};
use crate::{Artifact, Condition, Duration, LocalObjectReference};

pub mod v1beta2;

/// Desired state of a GitRepository.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "GitRepository",
    plural = "gitrepositories",
    doc = "GitRepository is a Git repository that is fetched and served as an artifact.",
    namespaced,
    status = "GitRepositoryStatus",
    derive = "PartialEq",
    shortname = "gitrepo",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
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
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.serviceAccountName) || (has(self.provider) && (self.provider == 'azure' || self.provider == 'aws'))",
    "message": "serviceAccountName can only be set when provider is 'azure' or 'aws'",
}]))]
pub struct GitRepositorySpec {
    /// Address of the repository: an HTTP/S or SSH URL.
    #[schemars(extend("pattern" = "^(http|https|ssh)://.*$"))]
    pub url: String,
    /// Secret with the credentials of the repository: 'username' and 'password', or 'bearerToken', for HTTPS;
    /// 'identity' and 'known_hosts' for SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// Provider used for authentication, one of 'generic', 'aws', 'azure', 'github'. When not specified, 'generic'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<GitProvider>,
    /// Name of the ServiceAccount used to authenticate to the repository. Only for the providers 'azure' and 'aws'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Interval at which the repository is checked for updates. It is approximate and may be subject to jitter.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Duration,
    /// Timeout of each Git operation, defaults to 60s.
    #[serde(default = "default_timeout", deserialize_with = "timeout_or_default")]
    #[schemars(extend("pattern" = SHORT_DURATION))]
    pub timeout: Duration,
    /// Git reference to resolve and watch, defaults to the branch 'master'.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<GitRepositoryRef>,
    /// Which signatures to verify, and with which keys.
    #[serde(default, rename = "verify", skip_serializing_if = "Option::is_none")]
    pub verification: Option<GitRepositoryVerification>,
    /// Secret with the proxy to use towards the Git server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalObjectReference>,
    /// Patterns to exclude in the format of .sourceignore, which is that of .gitignore. They replace the default ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
    /// Suspends the reconciliation of this GitRepository.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// Initialises all submodules of the repository, with their default settings.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub recurse_submodules: bool,
    /// Other GitRepositories whose artifacts are copied into that of this one.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<GitRepositoryInclude>,
    /// Directories to check out. If specified, only these are in the artifact.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub sparse_checkout: Vec<String>,
}

pub(crate) fn default_timeout() -> Duration {
    Duration("60s".to_owned())
}

pub(crate) fn timeout_or_default<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(default_timeout))
}

/// How to authenticate to a Git server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "names of providers")]
pub enum GitProvider {
    #[default]
    Generic,
    Aws,
    Azure,
    Github,
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Git reference to check out. Commit wins over name, name over tag, tag over semver, semver over branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryRef {
    /// Branch to check out, defaults to 'master' if no other field is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Tag to check out, takes precedence over Branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Range of semantic versions; the highest tag in it is checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semver: Option<String>,
    /// Full name of the reference to check out, takes precedence over Branch, Tag and SemVer. Examples:
    /// "refs/heads/main", "refs/tags/v0.1.0", "refs/pull/420/head", "refs/merge-requests/1/head".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Commit to check out, takes precedence over all others. Together with Branch, it is expected to be in that branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// Which Git objects must be signed, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryVerification {
    /// Git objects to verify: the commit, the tag, or both. 'head' is an older spelling of 'HEAD'.
    #[serde(default, deserialize_with = "null_is_default")]
    pub mode: VerificationMode,
    /// Secret with the public keys of trusted authors: PGP keys under names ending in .asc, SSH keys under names
    /// ending in .sshpub.
    pub secret_ref: LocalObjectReference,
}

/// Which Git objects must be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "names of Git objects")]
pub enum VerificationMode {
    #[serde(rename = "head")]
    LegacyHead,
    #[default]
    #[serde(rename = "HEAD")]
    Head,
    Tag,
    #[serde(rename = "TagAndHEAD")]
    TagAndHead,
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// A GitRepository of the same namespace whose artifact, or a part of it, is copied in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryInclude {
    /// The GitRepository to copy from.
    #[serde(rename = "repository")]
    pub repository: LocalObjectReference,
    /// Path to copy from, defaults to the root of the artifact.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub from_path: String,
    /// Path to copy to, defaults to the name of the GitRepository copied from.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub to_path: String,
}

impl GitRepositoryInclude {
    /// Where the contents go: `toPath`, or the name of the repository.
    pub fn target(&self) -> &str {
        if self.to_path.is_empty() { &self.repository.name } else { &self.to_path }
    }
}

/// Observed state of a GitRepository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryStatus {
    /// Last generation that was fully processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the GitRepository.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Last artifact that was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Artifacts copied into the last one, in the order of spec.include.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub included_artifacts: Vec<Artifact>,
    /// Exclusion patterns of the spec that the current artifact was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_ignore: Option<String>,
    /// Submodule setting that the current artifact was made with.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub observed_recurse_submodules: bool,
    /// Includes that the current artifact was made with.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub observed_include: Vec<GitRepositoryInclude>,
    /// Sparse checkout directories that the current artifact was made with.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub observed_sparse_checkout: Vec<String>,
    /// Mode of the last verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_verification_mode: Option<String>,
    /// Digest of the keys that the last verification trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_verification_fingerprint: Option<String>,
    /// Value of the last reconcile request that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

impl Source for GitRepository {
    fn is_suspended(&self) -> bool {
        self.spec.suspend
    }

    fn interval(&self) -> &Duration {
        &self.spec.interval
    }

    fn timeout(&self) -> Option<std::time::Duration> {
        self.spec.timeout.positive()
    }

    fn source_status(&self) -> Option<SourceStatus<'_>> {
        let status = self.status.as_ref()?;
        Some(SourceStatus {
            observed_generation: status.observed_generation,
            conditions: &status.conditions,
            artifact: status.artifact.as_ref(),
            handled_request: status.last_handled_reconcile_at.as_deref(),
        })
    }

    fn status_mut(&mut self) -> SourceStatusMut<'_> {
        let status = self.status.get_or_insert_default();
        SourceStatusMut {
            observed_generation: &mut status.observed_generation,
            conditions: &mut status.conditions,
            artifact: &mut status.artifact,
            url: None,
            handled_request: &mut status.last_handled_reconcile_at,
        }
    }
}
