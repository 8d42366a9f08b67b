//! HelmRelease, version v2beta1: a schema for the API server, deprecated. Controllers read and write v2.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::v2beta2::{
    CrossNamespaceSourceReference, Install, PostRenderer, Rollback, Snapshot, Upgrade, ValuesReference,
};
use super::{CrossNamespaceObjectReference, DriftDetection, HelmChartTemplateMetadata, Uninstall};
use crate::helm_chart::{ReconcileStrategy, any_version};
use crate::kustomization::SecretKeyReference;
use crate::kustomization::v1beta2::NamespacedObjectReference;
use crate::schema::{DURATION, anything};
use crate::{Condition, Duration, LocalObjectReference};

/// Desired state of a HelmRelease.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "helm.toolkit.fluxcd.io",
    version = "v2beta1",
    kind = "HelmRelease",
    plural = "helmreleases",
    doc = "HelmRelease is a chart of a source that is kept installed with its values.",
    namespaced,
    status = "HelmReleaseStatus",
    deprecated = "v2beta1 HelmRelease is deprecated, upgrade to v2",
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
pub struct HelmReleaseSpec {
    /// Template of the HelmChart that is made for this HelmRelease.
    pub chart: HelmChartTemplate,
    /// The source object that has the chart.
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
    /// Which signatures to verify, and with which keys.
    #[serde(rename = "verify")]
    pub verification: Option<HelmChartTemplateVerification>,
}

/// Which signatures are verified.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmChartTemplateVerification {
    /// Technology of the signatures.
    #[serde(default = "cosign")]
    #[schemars(extend("enum" = ["cosign"]))]
    pub provider: String,
    /// Secret with the public keys of trusted authors.
    pub secret_ref: Option<LocalObjectReference>,
}

fn cosign() -> String {
    "cosign".to_owned()
}

/// Where the credentials of a remote cluster are.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeConfigReference {
    /// Secret with a self-contained kubeconfig.
    pub secret_ref: SecretKeyReference,
}

/// How releases are tested.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Test {
    /// Runs the tests of the chart after an install or upgrade.
    pub enable: Option<bool>,
    /// Timeout of each operation, defaults to the Timeout of the HelmRelease.
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// Does not remediate when tests fail.
    pub ignore_failures: Option<bool>,
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
    pub storage_namespace: Option<String>,
    /// The releases that were made, newest first, down to the last successful one.
    pub history: Option<Vec<Snapshot>>,
    /// Last action that was tried.
    pub last_attempted_release_action: Option<String>,
    /// Number of failed reconciliations of the desired state.
    pub failures: Option<i64>,
    /// Number of failed installs of the desired state.
    pub install_failures: Option<i64>,
    /// Number of failed upgrades to the desired state.
    pub upgrade_failures: Option<i64>,
    /// Revision of the source of the last successful release.
    pub last_applied_revision: Option<String>,
    /// Version of the chart that was tried last.
    pub last_attempted_revision: Option<String>,
    /// SHA-1 of the values that were tried last.
    pub last_attempted_values_checksum: Option<String>,
    /// Revision of the last successful release.
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
