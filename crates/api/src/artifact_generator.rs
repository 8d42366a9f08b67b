//! ArtifactGenerator, version v1beta1 of the group `source.extensions.fluxcd.io`: artifacts composed of the files of sources.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::null_is_default;
use crate::{Artifact, Condition};

/// The API group of what composes sources.
pub const GROUP: &str = "source.extensions.fluxcd.io";
/// Finalizer of ArtifactGenerators.
pub const FINALIZER: &str = "source.extensions.fluxcd.io/finalizer";
/// Label of generated ExternalArtifacts: the uid of their ArtifactGenerator.
pub const GENERATOR_LABEL: &str = "source.extensions.fluxcd.io/generator";
/// Annotation that stops reconciliation where its value is [`DISABLED`], in whatever case.
pub const RECONCILE_ANNOTATION: &str = "source.extensions.fluxcd.io/reconcile";
/// Value of [`RECONCILE_ANNOTATION`].
pub const DISABLED: &str = "disabled";

/// Condition and event reasons of ArtifactGenerators, beside those of [`crate::meta::reasons`].
#[expect(missing_docs, reason = "each is its own text")]
pub mod reasons {
    pub const BUILD_FAILED: &str = "BuildFailed";
    pub const RECONCILIATION_DISABLED: &str = "ReconciliationDisabled";
    pub const RECONCILIATION_FAILED: &str = "ReconciliationFailed";
    pub const SOURCE_FETCH_FAILED: &str = "SourceFetchFailed";
    pub const VALIDATION_FAILED: &str = "ValidationFailed";
}

/// Pattern of an alias that is referred to, such as `@app`.
const ALIAS_REFERENCE: &str = "^@([a-z0-9]([a-z0-9_-]*[a-z0-9])?)$";
/// Pattern of a path in a source, such as `@app/deploy/**`.
const SOURCE_PATH: &str = "^@([a-z0-9]([a-z0-9_-]*[a-z0-9])?)/(.*)$";

/// The rule about the spec, with its message.
pub(crate) const SPEC_RULE: (&str, &str) = (
    r"has(self.pathPattern) && size(self.pathPattern) > 0 || self.artifacts.all(a, a.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))",
    "artifact names must be valid Kubernetes object names when pathPattern is not set",
);

/// Desired state of an ArtifactGenerator.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.extensions.fluxcd.io",
    version = "v1beta1",
    kind = "ArtifactGenerator",
    plural = "artifactgenerators",
    doc = "ArtifactGenerator composes artifacts of the files of sources.",
    namespaced,
    status = "ArtifactGeneratorStatus",
    derive = "PartialEq",
    shortname = "ag",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
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
pub struct ArtifactGeneratorSpec {
    /// Labels and annotations that all generated ExternalArtifacts get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_metadata: Option<CommonMetadata>,
    /// The sources whose files are copied.
    #[schemars(extend("minItems" = 1, "maxItems" = 1000))]
    pub sources: Vec<SourceReference>,
    /// Pattern of directories in a source, as '@alias/pattern'. Each directory that matches gives one artifact of each entry in
    /// 'artifacts', in which captures such as '{app}' stand for the components of its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = SOURCE_PATH, "maxLength" = 1024))]
    pub path_pattern: Option<String>,
    /// The artifacts to generate.
    #[schemars(extend("minItems" = 1, "maxItems" = 1000))]
    pub artifacts: Vec<OutputArtifact>,
}

/// Labels and annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommonMetadata {
    /// Annotations to add.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels to add.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A source, and the alias by which the artifacts refer to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceReference {
    /// Alias of the source, unique in the ArtifactGenerator.
    #[schemars(extend("pattern" = "^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$", "maxLength" = 63))]
    pub alias: String,
    /// Kind of the source.
    #[schemars(extend("enum" = ["Bucket", "GitRepository", "OCIRepository", "HelmChart", "ExternalArtifact"]))]
    pub kind: String,
    /// Name of the source.
    #[schemars(extend("pattern" = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength" = 253))]
    pub name: String,
    /// Namespace of the source, defaults to that of the ArtifactGenerator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "minLength" = 1, "maxLength" = 63))]
    pub namespace: Option<String>,
}

/// An artifact to generate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputArtifact {
    /// Name of the ExternalArtifact. With 'pathPattern' it may have captures such as '{app}'.
    #[schemars(extend("minLength" = 1, "maxLength" = 253))]
    pub name: String,
    /// Alias, as '@alias', of the source whose revision the artifact gets. Without it, the digest of its content is its revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = ALIAS_REFERENCE, "maxLength" = 64))]
    pub revision: Option<String>,
    /// Alias, as '@alias', of the source whose origin revision, or else revision, the metadata of the artifact get as
    /// 'org.opencontainers.image.revision'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = ALIAS_REFERENCE, "maxLength" = 64))]
    pub origin_revision: Option<String>,
    /// What is copied into the artifact, in this order; later files replace earlier ones.
    #[schemars(extend("minItems" = 1))]
    pub copy: Vec<CopyOperation>,
}

/// A copy from a source into an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopyOperation {
    /// Path or glob in a source, as '@alias/path'. With 'pathPattern' it may have captures such as '{app}'.
    #[schemars(extend("pattern" = SOURCE_PATH, "minLength" = 1, "maxLength" = 1024))]
    pub from: String,
    /// Path in the artifact, as '@artifact/path'. With 'pathPattern' it may have captures such as '{app}'.
    #[schemars(extend("pattern" = "^@(artifact)/(.*)$", "minLength" = 1, "maxLength" = 1024))]
    pub to: String,
    /// Globs of files and directories to leave out, relative to the source or to the part of 'from' before its first glob. One
    /// without a separator, such as '*.md', matches names at any depth.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 100))]
    pub exclude: Vec<String>,
    /// What is done with the files: they overwrite those that are there, YAML files are merged into them as Helm merges values, or
    /// tarballs are extracted. Defaults to 'Overwrite'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<CopyStrategy>,
}

/// What a copy does with the files that it copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CopyStrategy {
    /// A file replaces one that is there.
    #[default]
    Overwrite,
    /// A YAML file is merged into one that is there, as Helm merges values.
    Merge,
    /// Tarballs are extracted.
    Extract,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Observed state of an ArtifactGenerator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactGeneratorStatus {
    /// Conditions of the ArtifactGenerator.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The ExternalArtifacts that were generated.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub inventory: Vec<ExternalArtifactReference>,
    /// Value of the last reconcile request that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Digest of the artifacts of all sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_sources_digest: Option<String>,
}

/// A generated ExternalArtifact, and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalArtifactReference {
    /// Name of the ExternalArtifact.
    pub name: String,
    /// Namespace of the ExternalArtifact.
    pub namespace: String,
    /// Digest of its artifact.
    pub digest: String,
    /// Name of the file of its artifact.
    pub filename: String,
}

impl ExternalArtifactReference {
    /// The ExternalArtifact with this name, and this artifact in it.
    pub fn of(name: &str, namespace: &str, artifact: &Artifact) -> Self {
        ExternalArtifactReference {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            digest: artifact.digest.clone(),
            filename: artifact.path.rsplit('/').next().unwrap_or_default().to_owned(),
        }
    }
}
