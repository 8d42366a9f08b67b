//! OCIRepository, version v1: an artifact of an OCI registry as a source of artifacts.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{is_false, null_is_default};
use crate::schema::{DURATION, SHORT_DURATION};
use crate::source::{Source, SourceStatus, SourceStatusMut};
use crate::{Artifact, Condition, Duration, LocalObjectReference};

/// Rules of the whole object, with their messages: `url` and `interval` are not required by the schema of the spec, because
/// a HelmRelease can hold such a spec without an interval.
pub(crate) const ROOT_RULES: [(&str, &str); 2] = [
    ("has(self.spec) && has(self.spec.url)", "spec.url is required"),
    ("has(self.spec) && has(self.spec.interval)", "spec.interval is required"),
];

/// Desired state of an OCIRepository.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "OCIRepository",
    root = "OciRepository",
    plural = "ocirepositories",
    doc = "OCIRepository is an artifact of an OCI registry that is fetched and served.",
    namespaced,
    status = "OciRepositoryStatus",
    derive = "PartialEq",
    shortname = "ocirepo",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct OciRepositorySpec {
    /// Address of the repository: 'oci://', the registry, and the name of the repository.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    #[schemars(extend("pattern" = "^oci://.*$"))]
    pub url: String,
    /// What of the repository is wanted, defaults to the tag 'latest'.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<OciRepositoryRef>,
    /// Which layer of the artifact is taken, and how. Without it, the first one is extracted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_selector: Option<LayerSelector>,
    /// Provider used for authentication, one of 'aws', 'azure', 'gcp', 'generic'. When not specified, 'generic'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<OciProvider>,
    /// Pull secret, of type kubernetes.io/dockerconfigjson.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// Which signatures to verify, and with which keys or identities.
    #[serde(default, rename = "verify", skip_serializing_if = "Option::is_none")]
    pub verification: Option<OciRepositoryVerification>,
    /// Name of the ServiceAccount whose pull secrets, or whose identity, let the pull in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Secret with certificates: 'ca.crt', 'tls.crt' with 'tls.key', or all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalObjectReference>,
    /// Secret with the proxy to use towards the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalObjectReference>,
    /// Interval at which the repository is checked for updates. It is approximate and may be subject to jitter.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Duration::is_empty")]
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Duration,
    /// Timeout of operations on the registry, defaults to 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = SHORT_DURATION))]
    pub timeout: Option<Duration>,
    /// Patterns to exclude in the format of .sourceignore, which is that of .gitignore. They replace the default ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
    /// Allows plain HTTP towards the registry.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub insecure: bool,
    /// Suspends the reconciliation of this OCIRepository.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub suspend: bool,
}

/// How to authenticate to a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "names of providers")]
pub enum OciProvider {
    #[default]
    Generic,
    Aws,
    Azure,
    Gcp,
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Artifact of a repository. Digest wins over semver, semver over tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciRepositoryRef {
    /// Digest of the image to pull, takes precedence over SemVer: 'sha256:<hash>'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Range of semantic versions; the highest tag in it is pulled. Takes precedence over Tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semver: Option<String>,
    /// Regular expression that tags must match to be considered for SemVer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semver_filter: Option<String>,
    /// Tag to pull, defaults to 'latest'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// A layer of an artifact, and what is done with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LayerSelector {
    /// Media type of the layer; the first one of it is taken. Without it, the first layer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What is done with the layer: its files are extracted, or it is copied as it is. Defaults to 'extract'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<LayerOperation>,
}

/// What is done with a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LayerOperation {
    /// Its files are extracted.
    #[default]
    Extract,
    /// It is copied byte for byte.
    Copy,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Which signatures are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciRepositoryVerification {
    /// Technology of the signatures.
    #[serde(default, deserialize_with = "null_is_default")]
    pub provider: VerificationProvider,
    /// Secret with the public keys of trusted authors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// Identities that may have signed with Cosign without keys; one of them must match.
    #[serde(
        default,
        rename = "matchOIDCIdentity",
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub match_oidc_identity: Vec<OidcIdentityMatch>,
    /// Secret with the trusted root in the key 'trusted_root.json', in place of the public one of Sigstore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root_secret_ref: Option<LocalObjectReference>,
}

/// Technologies of signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "names of technologies")]
pub enum VerificationProvider {
    #[default]
    Cosign,
    Notation,
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// An identity by the one who vouches for it and by its name, both as Go regular expressions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcIdentityMatch {
    /// Pattern of the issuer.
    pub issuer: String,
    /// Pattern of the subject.
    pub subject: String,
}

/// Observed state of an OCIRepository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OciRepositoryStatus {
    /// Last generation that was fully processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the OCIRepository.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Address of the last artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Last artifact that was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Exclusion patterns of the spec that the current artifact was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_ignore: Option<String>,
    /// Layer selection that the current artifact was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_layer_selector: Option<LayerSelector>,
    /// What the last verification was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_verification_fingerprint: Option<String>,
    /// Value of the last reconcile request that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

impl Source for OciRepository {
    fn is_suspended(&self) -> bool {
        self.spec.suspend
    }

    fn interval(&self) -> &Duration {
        &self.spec.interval
    }

    fn timeout(&self) -> Option<std::time::Duration> {
        self.spec.timeout.as_ref()?.positive()
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
            url: Some(&mut status.url),
            handled_request: &mut status.last_handled_reconcile_at,
        }
    }
}
