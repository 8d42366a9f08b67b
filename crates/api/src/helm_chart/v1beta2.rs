//! HelmChart, version v1beta2: a schema for the API server, deprecated. Controllers read and write v1.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    HelmChartSourceReference, HelmChartStatus, HelmChartVerification, ReconcileStrategy, any_version,
};
use crate::Duration;
use crate::meta::AccessFrom;
use crate::schema::DURATION;

/// Desired state of a HelmChart.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1beta2",
    kind = "HelmChart",
    plural = "helmcharts",
    doc = "HelmChart is a Helm chart that is fetched or packaged, and served.",
    namespaced,
    status = "HelmChartStatus",
    deprecated = "v1beta2 HelmChart is deprecated, upgrade to v1",
    printcolumn(name = "Chart", type_ = "string", json_path = ".spec.chart"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Source Kind", type_ = "string", json_path = ".spec.sourceRef.kind"),
    printcolumn(name = "Source Name", type_ = "string", json_path = ".spec.sourceRef.name"),
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
pub struct HelmChartSpec {
    /// Name of the chart in a HelmRepository, or its path in a GitRepository or Bucket.
    pub chart: String,
    /// Version or range of versions of the chart. Not used for charts of a GitRepository or Bucket. Defaults to the latest one.
    #[serde(default = "any_version")]
    pub version: String,
    /// Where the chart is.
    pub source_ref: HelmChartSourceReference,
    /// Interval at which the source is checked for updates.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Duration,
    /// What makes a new artifact: another version of the chart, or another revision of its source.
    #[serde(default)]
    pub reconcile_strategy: ReconcileStrategy,
    /// Files of values that are merged into the default values of the chart, later ones over earlier ones.
    pub values_files: Option<Vec<String>>,
    /// Deprecated and ignored: use valuesFiles.
    pub values_file: Option<String>,
    /// Leaves out files of values that are not there, instead of failing.
    pub ignore_missing_values_files: Option<bool>,
    /// Suspends the reconciliation of this HelmChart.
    pub suspend: Option<bool>,
    /// Access control for references from other namespaces. Not implemented.
    pub access_from: Option<AccessFrom>,
    /// Which signatures to verify, and with which keys or identities.
    #[serde(rename = "verify")]
    pub verification: Option<HelmChartVerification>,
}
