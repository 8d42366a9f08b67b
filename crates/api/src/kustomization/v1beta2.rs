//! Kustomization, version v1beta2: a schema for the API server, deprecated. Controllers read and write v1.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    CommonMetadata, Image, KubeConfigReference, NamespacedObjectKindReference, Patch, ResourceInventory,
    Selector, SubstituteReference,
};
use crate::schema::{DURATION, anything, list_of_anything};
use crate::{Condition, Duration, LocalObjectReference};

/// Desired state of a Kustomization.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kustomize.toolkit.fluxcd.io",
    version = "v1beta2",
    kind = "Kustomization",
    plural = "kustomizations",
    doc = "Kustomization is a directory of a source that is built with kustomize and kept applied.",
    namespaced,
    status = "KustomizationStatus",
    deprecated = "v1beta2 Kustomization is deprecated, upgrade to v1",
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
    pub common_metadata: Option<CommonMetadata>,
    /// Kustomizations that must be ready before this one is reconciled.
    pub depends_on: Option<Vec<NamespacedObjectReference>>,
    /// How to decrypt Secrets before they are applied.
    pub decryption: Option<Decryption>,
    /// Interval at which to reconcile.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Duration,
    /// Interval at which to retry after a failure, defaults to Interval.
    #[schemars(extend("pattern" = DURATION))]
    pub retry_interval: Option<Duration>,
    /// The remote cluster to reconcile, reached with the controller's identity or, if a service account is given, on
    /// behalf of that account.
    pub kube_config: Option<KubeConfigReference>,
    /// Directory of the kustomization file, or of plain YAML files to generate one for. Defaults to the root of the
    /// source.
    pub path: Option<String>,
    /// Variables to substitute in the built objects.
    pub post_build: Option<PostBuild>,
    /// Deletes objects that are no longer in the source.
    pub prune: bool,
    /// Objects whose health is checked after the apply.
    pub health_checks: Option<Vec<NamespacedObjectKindReference>>,
    /// Strategic merge and JSON patches, given inline.
    pub patches: Option<Vec<Patch>>,
    /// Deprecated, use Patches: strategic merge patches, given inline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "list_of_anything")]
    pub patches_strategic_merge: Option<Vec<Value>>,
    /// Deprecated, use Patches: JSON patches, given inline.
    pub patches_json6902: Option<Vec<JsonPatch>>,
    /// Images whose name, tag or digest is changed.
    pub images: Option<Vec<Image>>,
    /// Name of the service account that objects are applied as.
    pub service_account_name: Option<String>,
    /// The source that the directory is in.
    pub source_ref: CrossNamespaceSourceReference,
    /// Suspends the reconciliation of this Kustomization.
    pub suspend: Option<bool>,
    /// Namespace that is set on all objects.
    #[schemars(extend("minLength" = 1, "maxLength" = 63))]
    pub target_namespace: Option<String>,
    /// Timeout of health checks, defaults to Interval.
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// Recreates objects when a patch fails on an immutable field.
    #[serde(default)]
    pub force: bool,
    /// Checks the health of all applied objects; HealthChecks are then ignored.
    pub wait: Option<bool>,
    /// Relative paths of kustomize components.
    pub components: Option<Vec<String>>,
    /// Deprecated and ignored: how to validate before the apply.
    #[schemars(extend("enum" = ["none", "client", "server"]))]
    pub validation: Option<String>,
}

/// An object of a known kind, possibly of another namespace.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NamespacedObjectReference {
    /// Name of the referent.
    pub name: String,
    /// Namespace of the referent, defaults to that of the referrer.
    pub namespace: Option<String>,
}

/// How to decrypt Secrets.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decryption {
    /// The decryption engine.
    #[schemars(extend("enum" = ["sops"]))]
    pub provider: String,
    /// Secret with the private keys.
    pub secret_ref: Option<LocalObjectReference>,
}

/// Variables to substitute in the built objects.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostBuild {
    /// Variables given inline; they win over those of SubstituteFrom.
    pub substitute: Option<BTreeMap<String, String>>,
    /// ConfigMaps and Secrets whose entries are variables; later ones win over earlier ones.
    pub substitute_from: Option<Vec<SubstituteReference>>,
}

/// Source of a Kustomization, possibly of another namespace.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrossNamespaceSourceReference {
    /// API version of the referent. Ignored.
    pub api_version: Option<String>,
    /// Kind of the referent.
    #[schemars(extend("enum" = ["OCIRepository", "GitRepository", "Bucket"]))]
    pub kind: String,
    /// Name of the referent.
    pub name: String,
    /// Namespace of the referent, defaults to that of the referrer.
    pub namespace: Option<String>,
}

/// A JSON patch and what it applies to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JsonPatch {
    /// Operations of the patch.
    pub patch: Vec<JsonPatchOperation>,
    /// Objects that the patch applies to.
    pub target: Selector,
}

/// An operation of RFC 6902.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JsonPatchOperation {
    /// Name of the operation.
    #[schemars(extend("enum" = ["test", "remove", "add", "replace", "move", "copy"]))]
    pub op: String,
    /// JSON pointer of the operation's target.
    pub path: String,
    /// JSON pointer of the operation's source, for 'move' and 'copy'.
    pub from: Option<String>,
    /// Value of the operation, for 'add', 'replace' and 'test'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub value: Option<Value>,
}

/// Observed state of a Kustomization.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KustomizationStatus {
    /// Last generation that was reconciled.
    pub observed_generation: Option<i64>,
    /// Conditions of the Kustomization.
    pub conditions: Option<Vec<Condition>>,
    /// Revision of the last artifact that was applied with success.
    pub last_applied_revision: Option<String>,
    /// Revision of the last artifact that was tried.
    pub last_attempted_revision: Option<String>,
    /// Objects that were applied.
    pub inventory: Option<ResourceInventory>,
    /// Value of the last reconcile request that was handled.
    pub last_handled_reconcile_at: Option<String>,
}
