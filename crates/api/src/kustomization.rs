//! Kustomization, version v1: a directory of a source, built with kustomize and kept applied.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{is_false, null_is_default};
use crate::schema::DURATION;
use crate::{Duration, LocalObjectReference};

mod fields;
mod status;
pub mod v1beta2;

pub use fields::*;
pub use status::*;

/// Desired state of a Kustomization.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kustomize.toolkit.fluxcd.io",
    version = "v1",
    kind = "Kustomization",
    plural = "kustomizations",
    doc = "Kustomization is a directory of a source that is built with kustomize and kept applied.",
    namespaced,
    status = "KustomizationStatus",
    derive = "PartialEq",
    shortname = "ks",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-appliers",
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
pub struct KustomizationSpec {
    /// Metadata that is set on all objects and wins over their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_metadata: Option<CommonMetadata>,
    /// Kustomizations that must be ready before this one is reconciled.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<DependencyReference>,
    /// How to decrypt Secrets before they are applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decryption: Option<Decryption>,
    /// Interval at which to reconcile. It is approximate and may be subject to jitter.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Duration,
    /// Interval at which to retry after a failure, defaults to Interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = DURATION))]
    pub retry_interval: Option<Duration>,
    /// The remote cluster to reconcile, reached with the controller's identity or, if a service account is given, on
    /// behalf of that account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_config: Option<KubeConfigReference>,
    /// Directory of the kustomization file, or of plain YAML files to generate one for. Defaults to the root of the
    /// source.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Variables to substitute in the built objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_build: Option<PostBuild>,
    /// Deletes objects that are no longer in the source.
    pub prune: bool,
    /// What happens to the applied objects when this Kustomization is deleted: 'Delete', 'WaitForTermination',
    /// 'Orphan', or 'MirrorPrune', the default, which deletes if Prune is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Objects whose health is checked after the apply.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<NamespacedObjectKindReference>,
    /// Strategic merge and JSON patches, given inline.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
    /// Images whose name, tag or digest is changed.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// Name of the service account that objects are applied as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The source that the directory is in.
    pub source_ref: CrossNamespaceSourceReference,
    /// Suspends the reconciliation of this Kustomization.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// Namespace that is set on all objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 63))]
    pub target_namespace: Option<String>,
    /// Prefix of the names of all objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 200))]
    pub name_prefix: Option<String>,
    /// Suffix of the names of all objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 200))]
    pub name_suffix: Option<String>,
    /// Timeout of health checks, defaults to Interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// Recreates objects when a patch fails on an immutable field.
    #[serde(default, deserialize_with = "null_is_default")]
    pub force: bool,
    /// Checks the health of all applied objects; HealthChecks are then ignored.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub wait: bool,
    /// Relative paths of kustomize components.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// Leaves out Components that are not in the source.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub ignore_missing_components: bool,
    /// Facts of the build that kustomize adds to the objects.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub build_metadata: Vec<BuildMetadataOption>,
    /// CEL expressions that tell the health of custom resources. Used only with Wait or HealthChecks.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub health_check_exprs: Vec<CustomHealthCheck>,
    /// Fields of applied objects that are left to others: changes of them are neither noticed nor undone.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<IgnoreRule>,
}

/// Metadata that is set on all objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommonMetadata {
    /// Labels to set.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations to set.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A Kustomization that must be ready first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DependencyReference {
    /// Name of the referent.
    pub name: String,
    /// Namespace of the referent, defaults to that of the referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// CEL expression over 'self' and 'dep' that tells whether the dependency is ready. It replaces the built-in check,
    /// unless the feature gate AdditiveCELDependencyCheck is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_expr: Option<String>,
}

/// How to decrypt Secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decryption {
    /// The decryption engine.
    #[schemars(extend("enum" = ["sops"]))]
    pub provider: String,
    /// Secret with the private keys, and with static credentials of cloud providers, which win over the service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// Name of the service account used to authenticate to the key service of a cloud provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
}

/// What happens to the applied objects when their Kustomization is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the field says it")]
pub enum DeletionPolicy {
    #[default]
    MirrorPrune,
    Delete,
    WaitForTermination,
    Orphan,
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Variables to substitute in the built objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostBuild {
    /// Variables given inline; they win over those of SubstituteFrom. Manifests use them as ${var}, also with the string
    /// functions of bash, such as ${var:=default}, ${var:position} and ${var/substring/replacement}.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub substitute: BTreeMap<String, String>,
    /// ConfigMaps and Secrets whose entries are variables; later ones win over earlier ones.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub substitute_from: Vec<SubstituteReference>,
    /// When to substitute: 'WithVariables', the default, if at least one variable is defined; 'Always', even if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substitute_strategy: Option<SubstituteStrategy>,
}

/// When to substitute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the field says it")]
pub enum SubstituteStrategy {
    #[default]
    WithVariables,
    Always,
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Facts of the build that kustomize adds to the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "kustomize's names")]
pub enum BuildMetadataOption {
    OriginAnnotations,
    TransformerAnnotations,
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}
