//! HelmRelease, version v2beta2: a schema for the API server, deprecated. Controllers read and write v2.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    CrdsPolicy, CrossNamespaceObjectReference, DriftDetection, HelmChartTemplateMetadata, InstallRemediation,
    Test, TestHookStatus, Uninstall, UpgradeRemediation,
};
use crate::helm_chart::{ReconcileStrategy, any_version};
use crate::kustomization::v1beta2::{JsonPatch, NamespacedObjectReference};
use crate::kustomization::{Image, KubeConfigReference, Patch};
use crate::oci_repository::VerificationProvider;
use crate::schema::{DURATION, anything, list_of_anything};
use crate::{Condition, Duration, LocalObjectReference};

/// Desired state of a HelmRelease.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "helm.toolkit.fluxcd.io",
    version = "v2beta2",
    kind = "HelmRelease",
    plural = "helmreleases",
    doc = "HelmRelease is a chart of a source that is kept installed with its values.",
    namespaced,
    status = "HelmReleaseStatus",
    deprecated = "v2beta2 HelmRelease is deprecated, upgrade to v2",
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
    "rule": "(has(self.chart) && !has(self.chartRef)) || (!has(self.chart) && has(self.chartRef))",
    "message": "either chart or chartRef must be set",
}]))]
pub struct HelmReleaseSpec {
    /// Template of the HelmChart that is made for this HelmRelease. Excludes ChartRef.
    pub chart: Option<HelmChartTemplate>,
    /// The source object that has the chart. Excludes Chart.
    pub chart_ref: Option<CrossNamespaceSourceReference>,
    /// Interval at which to reconcile.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Duration,
    /// The remote cluster to reconcile, reached with the controller's identity or, if a service account is given, on
    /// behalf of that account.
    pub kube_config: Option<KubeConfigReference>,
    /// Suspends the reconciliation of this HelmRelease.
    pub suspend: Option<bool>,
    /// Name of the release, defaults to '[TargetNamespace-]Name'.
    #[schemars(extend("minLength" = 1, "maxLength" = 53))]
    pub release_name: Option<String>,
    /// Namespace of the release, defaults to that of the HelmRelease.
    #[schemars(extend("minLength" = 1, "maxLength" = 63))]
    pub target_namespace: Option<String>,
    /// Namespace of Helm's storage, defaults to that of the HelmRelease.
    #[schemars(extend("minLength" = 1, "maxLength" = 63))]
    pub storage_namespace: Option<String>,
    /// HelmReleases that must be ready before this one is reconciled.
    pub depends_on: Option<Vec<NamespacedObjectReference>>,
    /// Timeout of each operation of an action. Defaults to '5m0s'.
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// Number of revisions that Helm's storage keeps, defaults to '5'; '0' keeps all.
    #[schemars(with = "Option<i32>")]
    pub max_history: Option<i64>,
    /// Name of the service account that is impersonated.
    #[schemars(extend("minLength" = 1, "maxLength" = 253))]
    pub service_account_name: Option<String>,
    /// Keeps what is known of the cluster's API for the whole reconciliation, defaults to true.
    pub persistent_client: Option<bool>,
    /// How differences between the release and the cluster are found and handled.
    pub drift_detection: Option<DriftDetection>,
    /// How releases are installed.
    pub install: Option<Install>,
    /// How releases are upgraded.
    pub upgrade: Option<Upgrade>,
    /// How releases are tested.
    pub test: Option<Test>,
    /// How releases are rolled back.
    pub rollback: Option<Rollback>,
    /// How releases are uninstalled.
    pub uninstall: Option<Uninstall>,
    /// ConfigMaps and Secrets with values; later ones win over earlier ones.
    pub values_from: Option<Vec<ValuesReference>>,
    /// Values given inline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub values: Option<Value>,
    /// What changes the rendered objects, in order.
    pub post_renderers: Option<Vec<PostRenderer>>,
}

/// Template of the HelmChart that is made for a HelmRelease.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HelmChartTemplate {
    /// Labels and annotations of the HelmChart.
    pub metadata: Option<HelmChartTemplateMetadata>,
    /// Spec of the HelmChart.
    pub spec: HelmChartTemplateSpec,
}

/// Spec of the HelmChart that is made for a HelmRelease.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmChartTemplateSpec {
    /// Name of the chart in a HelmRepository, or its path in a GitRepository or Bucket.
    #[schemars(extend("minLength" = 1, "maxLength" = 2048))]
    pub chart: String,
    /// Version or range of versions of the chart. Not used for charts of a GitRepository or Bucket. Defaults to the latest one.
    #[serde(default = "any_version")]
    pub version: String,
    /// Where the chart is.
    pub source_ref: CrossNamespaceObjectReference,
    /// Interval at which the source is checked for updates, defaults to that of the HelmRelease.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Option<Duration>,
    /// What makes a new artifact: another version of the chart, or another revision of its source.
    #[serde(default)]
    pub reconcile_strategy: ReconcileStrategy,
    /// Files of values that are merged into the default values of the chart, later ones over earlier ones.
    pub values_files: Option<Vec<String>>,
    /// Deprecated and ignored: use valuesFiles.
    pub values_file: Option<String>,
    /// Leaves out files of values that are not there, instead of failing.
    pub ignore_missing_values_files: Option<bool>,
    /// Which signatures to verify, and with which keys.
    #[serde(rename = "verify")]
    pub verification: Option<HelmChartTemplateVerification>,
}

/// Which signatures are verified.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmChartTemplateVerification {
    /// Technology of the signatures.
    #[serde(default)]
    pub provider: VerificationProvider,
    /// Secret with the public keys of trusted authors.
    pub secret_ref: Option<LocalObjectReference>,
}

/// The source object that has the chart, possibly of another namespace.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrossNamespaceSourceReference {
    /// API version of the referent. Ignored.
    pub api_version: Option<String>,
    /// Kind of the referent.
    #[schemars(extend("enum" = ["OCIRepository", "HelmChart"]))]
    pub kind: String,
    /// Name of the referent.
    #[schemars(extend("minLength" = 1, "maxLength" = 253))]
    pub name: String,
    /// Namespace of the referent, defaults to that of the referrer.
    #[schemars(extend("minLength" = 1, "maxLength" = 63))]
    pub namespace: Option<String>,
}

/// How releases are installed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Install {
    /// Timeout of each operation, defaults to the Timeout of the HelmRelease.
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// How failures are remediated. Without it, they are not.
    pub remediation: Option<InstallRemediation>,
    /// Does not wait until objects are ready.
    pub disable_wait: Option<bool>,
    /// Does not wait until Jobs are complete.
    pub disable_wait_for_jobs: Option<bool>,
    /// Runs no hooks.
    pub disable_hooks: Option<bool>,
    /// Does not validate rendered objects against the OpenAPI schemas of the cluster.
    #[serde(rename = "disableOpenAPIValidation")]
    pub disable_open_api_validation: Option<bool>,
    /// Uses the name of a deleted release again that remains in the history.
    pub replace: Option<bool>,
    /// Deprecated and ignored: use the policy 'Skip' of CRDs.
    #[serde(rename = "skipCRDs")]
    pub skip_crds: Option<bool>,
    /// What is done with the CustomResourceDefinitions of the chart.
    pub crds: Option<CrdsPolicy>,
    /// Creates the TargetNamespace if it is not there.
    pub create_namespace: Option<bool>,
}

/// How releases are upgraded.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Upgrade {
    /// Timeout of each operation, defaults to the Timeout of the HelmRelease.
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// How failures are remediated. Without it, they are not.
    pub remediation: Option<UpgradeRemediation>,
    /// Does not wait until objects are ready.
    pub disable_wait: Option<bool>,
    /// Does not wait until Jobs are complete.
    pub disable_wait_for_jobs: Option<bool>,
    /// Runs no hooks.
    pub disable_hooks: Option<bool>,
    /// Does not validate rendered objects against the OpenAPI schemas of the cluster.
    #[serde(rename = "disableOpenAPIValidation")]
    pub disable_open_api_validation: Option<bool>,
    /// Replaces objects instead of merging changes into them.
    pub force: Option<bool>,
    /// Merges the values over those of the last release.
    pub preserve_values: Option<bool>,
    /// Deletes objects that a failed upgrade created.
    pub cleanup_on_fail: Option<bool>,
    /// What is done with the CustomResourceDefinitions of the chart.
    pub crds: Option<CrdsPolicy>,
}

/// How releases are rolled back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// Timeout of each operation, defaults to the Timeout of the HelmRelease.
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// Does not wait until objects are ready.
    pub disable_wait: Option<bool>,
    /// Does not wait until Jobs are complete.
    pub disable_wait_for_jobs: Option<bool>,
    /// Runs no hooks.
    pub disable_hooks: Option<bool>,
    /// Deprecated and ignored: Helm restarts no Pods.
    pub recreate: Option<bool>,
    /// Replaces objects instead of merging changes into them.
    pub force: Option<bool>,
    /// Deletes objects that a failed rollback created.
    pub cleanup_on_fail: Option<bool>,
}

/// A ConfigMap or Secret with values.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValuesReference {
    /// Kind of the referent, 'Secret' or 'ConfigMap'.
    #[schemars(extend("enum" = ["Secret", "ConfigMap"]))]
    pub kind: String,
    /// Name of the referent, in the same namespace.
    #[schemars(extend("minLength" = 1, "maxLength" = 253))]
    pub name: String,
    /// Key in the referent, defaults to 'values.yaml'.
    #[schemars(extend("maxLength" = 253, "pattern" = r"^[\-._a-zA-Z0-9]+$"))]
    pub values_key: Option<String>,
    /// Path in dot notation at which the whole entry becomes one value.
    #[schemars(extend("maxLength" = 250, "pattern" = r"^([a-zA-Z0-9_\-.\\\/]|\[[0-9]{1,5}\])+$"))]
    pub target_path: Option<String>,
    /// Whether the referent or its key may be absent.
    pub optional: Option<bool>,
}

/// What changes the rendered objects.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PostRenderer {
    /// Changes made by kustomize.
    pub kustomize: Option<Kustomize>,
}

/// Changes made by kustomize.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kustomize {
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
}

/// Observed state of a HelmRelease.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmReleaseStatus {
    /// Last generation that was fully processed.
    pub observed_generation: Option<i64>,
    /// Digest of the post-renderers of the last successful reconciliation.
    pub observed_post_renderers_digest: Option<String>,
    /// Last generation that was tried.
    pub last_attempted_generation: Option<i64>,
    /// Conditions of the HelmRelease.
    pub conditions: Option<Vec<Condition>>,
    /// The HelmChart that was made for the HelmRelease: '<namespace>/<name>'.
    pub helm_chart: Option<String>,
    /// Namespace of the storage of the current release.
    #[schemars(extend("minLength" = 1, "maxLength" = 63))]
    pub storage_namespace: Option<String>,
    /// The releases that were made, newest first, down to the last successful one.
    pub history: Option<Vec<Snapshot>>,
    /// Last action that was tried.
    #[schemars(extend("enum" = ["install", "upgrade"]))]
    pub last_attempted_release_action: Option<String>,
    /// Number of failed reconciliations of the desired state.
    pub failures: Option<i64>,
    /// Number of failed installs of the desired state.
    pub install_failures: Option<i64>,
    /// Number of failed upgrades to the desired state.
    pub upgrade_failures: Option<i64>,
    /// Deprecated: revision of the source of the last successful release.
    pub last_applied_revision: Option<String>,
    /// Version of the chart that was tried last.
    pub last_attempted_revision: Option<String>,
    /// Digest of the OCI artifact that was tried last.
    pub last_attempted_revision_digest: Option<String>,
    /// Deprecated: SHA-1 of the values that were tried last.
    pub last_attempted_values_checksum: Option<String>,
    /// Deprecated: revision of the last successful release.
    #[schemars(with = "Option<i32>")]
    pub last_release_revision: Option<i64>,
    /// Digest of the values that were tried last.
    pub last_attempted_config_digest: Option<String>,
    /// Value of the last reset request that was handled.
    pub last_handled_reset_at: Option<String>,
    /// Value of the last reconcile request that was handled.
    pub last_handled_reconcile_at: Option<String>,
    /// Value of the last force request that was handled.
    pub last_handled_force_at: Option<String>,
}

/// A release in the storage, as the controller saw it last.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// How the digest was made.
    pub api_version: Option<String>,
    /// Digest of the release in the storage, in the form of '<algorithm>:<checksum>'.
    pub digest: String,
    /// Name of the release.
    pub name: String,
    /// Namespace of the release.
    pub namespace: String,
    /// Revision of the release.
    #[schemars(with = "i32")]
    pub version: i64,
    /// Status of the release.
    pub status: String,
    /// Name of the chart.
    pub chart_name: String,
    /// Version of the chart.
    pub chart_version: String,
    /// Version of the application in the chart.
    pub app_version: Option<String>,
    /// Digest of the values, in the form of '<algorithm>:<checksum>'.
    pub config_digest: String,
    /// When the release was first deployed, in RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub first_deployed: String,
    /// When the release was last deployed, in RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub last_deployed: String,
    /// When the release was uninstalled, in RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub deleted: Option<String>,
    /// Results of the tests by the name of their hooks.
    pub test_hooks: Option<BTreeMap<String, TestHookStatus>>,
    /// Digest of the OCI artifact of the chart.
    #[serde(rename = "ociDigest")]
    pub oci_digest: Option<String>,
}
