//! Where the chart comes from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OciRepositorySpec;
use crate::helm_chart::{ANY_VERSION, ReconcileStrategy};
use crate::lenient::{is_false, null_is_default};

/// Template of the source object that is made for a HelmRelease.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.kind) || self.kind != 'OCIRepository' || (has(self.spec.url) && size(self.spec.url) > 0)",
        "message": "chart.spec.url must be set when chart.kind is 'OCIRepository'",
    },
    {
        "rule": "!has(self.spec.url) || (has(self.kind) && self.kind == 'OCIRepository')",
        "message": "chart.spec.url requires chart.kind: 'OCIRepository'; for a HelmChart template set spec.chart and spec.sourceRef instead",
    },
    {
        "rule": "(has(self.kind) && self.kind == 'OCIRepository') || (has(self.spec.chart) && has(self.spec.sourceRef))",
        "message": "chart.spec.chart and chart.spec.sourceRef must be set when chart.kind is not 'OCIRepository'",
    },
    {
        "rule": "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.chart)",
        "message": "chart.spec.chart cannot be set when chart.kind is 'OCIRepository'",
    },
    {
        "rule": "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.version) || self.spec.version == '*'",
        "message": "chart.spec.version cannot be set when chart.kind is 'OCIRepository'",
    },
    {
        "rule": "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.sourceRef)",
        "message": "chart.spec.sourceRef cannot be set when chart.kind is 'OCIRepository'",
    },
    {
        "rule": "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.reconcileStrategy) || self.spec.reconcileStrategy == 'ChartVersion'",
        "message": "chart.spec.reconcileStrategy cannot be set when chart.kind is 'OCIRepository'",
    },
    {
        "rule": "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.valuesFiles)",
        "message": "chart.spec.valuesFiles cannot be set when chart.kind is 'OCIRepository'",
    },
    {
        "rule": "!has(self.kind) || self.kind != 'OCIRepository' || !has(self.spec.ignoreMissingValuesFiles)",
        "message": "chart.spec.ignoreMissingValuesFiles cannot be set when chart.kind is 'OCIRepository'",
    },
]))]
pub struct HelmChartTemplate {
    /// Kind of the object that is made: 'HelmChart', the default, for charts of a HelmRepository, GitRepository or Bucket;
    /// 'OCIRepository' for charts of an OCI registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["HelmChart", "OCIRepository"]))]
    pub kind: Option<String>,
    /// Labels and annotations of the object that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<HelmChartTemplateMetadata>,
    /// Spec of the object that is made.
    pub spec: HelmChartTemplateSpec,
}

/// Labels and annotations of the source object that is made for a HelmRelease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HelmChartTemplateMetadata {
    /// Labels to set.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations to set.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Spec of the source object that is made for a HelmRelease: fields of an OCIRepository and of a HelmChart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmChartTemplateSpec {
    /// The fields of an OCIRepository, of which 'interval' and 'verify' are used for a HelmChart too.
    #[serde(flatten)]
    pub repository: OciRepositorySpec,
    /// Name of the chart in a HelmRepository, or its path in a GitRepository or Bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 2048))]
    pub chart: Option<String>,
    /// Version or range of versions of the chart. Not used for charts of a GitRepository or Bucket. Defaults to the latest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where the chart is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<CrossNamespaceObjectReference>,
    /// What makes a new artifact: another version of the chart, which is the default, or another revision of its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconcile_strategy: Option<ReconcileStrategy>,
    /// Files of values that are merged into the default values of the chart, later ones over earlier ones. The chart's own
    /// 'values.yaml' is among them only if it is named.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub values_files: Vec<String>,
    /// Leaves out files of values that are not there, instead of failing.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub ignore_missing_values_files: bool,
}

impl HelmChartTemplateSpec {
    /// The version or range of versions, `*` if none is given (Flux: `HelmChartTemplateSpec.GetVersion`).
    pub fn version(&self) -> &str {
        self.version.as_deref().filter(|version| !version.is_empty()).unwrap_or(ANY_VERSION)
    }
}

/// The source that a chart is in, possibly of another namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrossNamespaceObjectReference {
    /// API version of the referent. Ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind of the referent.
    #[schemars(extend("enum" = ["HelmRepository", "GitRepository", "Bucket"]))]
    pub kind: String,
    /// Name of the referent.
    #[schemars(extend("minLength" = 1, "maxLength" = 253))]
    pub name: String,
    /// Namespace of the referent, defaults to that of the referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 63))]
    pub namespace: Option<String>,
}

/// The source object that has the chart, possibly of another namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrossNamespaceSourceReference {
    /// API version of the referent. Ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind of the referent.
    #[schemars(extend("enum" = ["OCIRepository", "HelmChart", "ExternalArtifact"]))]
    pub kind: String,
    /// Name of the referent.
    #[schemars(extend("minLength" = 1, "maxLength" = 253))]
    pub name: String,
    /// Namespace of the referent, defaults to that of the referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 63))]
    pub namespace: Option<String>,
}

/// A source object that has a chart, by its full name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChartReference {
    /// `HelmChart`, `OCIRepository` or `ExternalArtifact`.
    pub kind: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

/// The kind that is meant where none is said.
pub const HELM_CHART_KIND: &str = "HelmChart";

impl ChartReference {
    /// Reads a `status.helmChart`: `<namespace>/<name>` of a HelmChart or `<kind>/<namespace>/<name>`. None if it is neither
    /// (Flux: `HelmReleaseStatus.GetHelmChartReference`).
    pub fn from_status(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split('/').collect();
        let (kind, namespace, name) = match parts[..] {
            [namespace, name] => (HELM_CHART_KIND, namespace, name),
            [kind, namespace, name] => (kind, namespace, name),
            _ => return None,
        };
        Some(Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The form in `status.helmChart`, which names the kind only if it is not HelmChart.
    pub fn to_status(&self) -> String {
        if self.kind == HELM_CHART_KIND {
            format!("{}/{}", self.namespace, self.name)
        } else {
            self.to_string()
        }
    }
}

impl std::fmt::Display for ChartReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}
