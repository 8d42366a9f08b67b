//! HelmChart, version v1: a chart of a HelmRepository, a GitRepository or a Bucket as a source of artifacts.

pub mod v1beta2;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::lenient::{is_false, null_is_default};
use crate::oci_repository::{OidcIdentityMatch, VerificationProvider};
use crate::schema::DURATION;
use crate::source::{Source, SourceStatus, SourceStatusMut};
use crate::{Artifact, Condition, Duration, LocalObjectReference};

/// The version that is wanted where the spec names none: the latest stable one.
pub const ANY_VERSION: &str = "*";

/// Desired state of a HelmChart.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "HelmChart",
    plural = "helmcharts",
    doc = "HelmChart is a Helm chart that is fetched or packaged, and served.",
    namespaced,
    status = "HelmChartStatus",
    derive = "PartialEq",
    shortname = "hc",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
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
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.verify) || self.sourceRef.kind == 'HelmRepository'",
    "message": "spec.verify is only supported when spec.sourceRef.kind is 'HelmRepository'",
}]))]
pub struct HelmChartSpec {
    /// Name of the chart in a HelmRepository, or its path in a GitRepository or Bucket.
    pub chart: String,
    /// Version or range of versions of the chart. Not used for charts of a GitRepository or Bucket. Defaults to the latest one.
    #[serde(default = "any_version", deserialize_with = "any_version_if_null")]
    pub version: String,
    /// Where the chart is.
    pub source_ref: HelmChartSourceReference,
    /// Interval at which the source is checked for updates. It is approximate and may be subject to jitter.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Duration,
    /// What makes a new artifact: another version of the chart, or another revision of its source.
    #[serde(default, deserialize_with = "null_is_default")]
    pub reconcile_strategy: ReconcileStrategy,
    /// Files of values that are merged into the default values of the chart, later ones over earlier ones. The chart's own
    /// 'values.yaml' is among them only if it is named.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub values_files: Vec<String>,
    /// Leaves out files of values that are not there, instead of failing.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub ignore_missing_values_files: bool,
    /// Suspends the reconciliation of this HelmChart.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// Which signatures to verify, and with which keys or identities. Only for HelmRepositories of the type 'oci'.
    #[serde(default, rename = "verify", skip_serializing_if = "Option::is_none")]
    pub verification: Option<HelmChartVerification>,
}

pub(crate) fn any_version() -> String {
    ANY_VERSION.to_owned()
}

fn any_version_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(any_version))
}

/// Reference to the source of a chart, in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmChartSourceReference {
    /// API version of the referent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind of the referent, one of 'HelmRepository', 'GitRepository', 'Bucket'.
    #[schemars(extend("enum" = ["HelmRepository", "GitRepository", "Bucket"]))]
    pub kind: String,
    /// Name of the referent.
    pub name: String,
}

/// What makes a new artifact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReconcileStrategy {
    /// Another version of the chart.
    #[default]
    ChartVersion,
    /// Another revision of the source.
    Revision,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Which signatures are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmChartVerification {
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
}

/// Observed state of a HelmChart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmChartStatus {
    /// Last generation that was fully processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Revision of the source that the last build began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_source_artifact_revision: Option<String>,
    /// Name of the chart of the last artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_chart_name: Option<String>,
    /// Files of values that the last artifact was made with, if missing ones are left out.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub observed_values_files: Vec<String>,
    /// Conditions of the HelmChart.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Address of the last artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Last artifact that was stored: the packaged chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Value of the last reconcile request that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

impl Source for HelmChart {
    fn is_suspended(&self) -> bool {
        self.spec.suspend
    }

    fn interval(&self) -> &Duration {
        &self.spec.interval
    }

    /// A chart has none of its own: that of its HelmRepository counts.
    fn timeout(&self) -> Option<std::time::Duration> {
        None
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
