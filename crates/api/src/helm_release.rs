//! HelmRelease, version v2: a chart of a source that is kept installed with its values.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Duration;
use crate::kustomization::{
    CommonMetadata, CustomHealthCheck, DependencyReference, IgnoreRule, Image, KubeConfigReference, Patch,
};
use crate::lenient::{is_false, null_is_default};
use crate::schema::{DURATION, anything};

mod actions;
mod chart;
mod defaults;
mod remediation;
mod snapshot;
mod status;
pub mod v2beta1;
pub mod v2beta2;

pub use actions::*;
pub use chart::*;
pub use defaults::{RELEASE_NAME_LENGTH, shorten_release_name};
pub use remediation::*;
pub use snapshot::*;
pub use status::*;

/// Desired state of a HelmRelease.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "helm.toolkit.fluxcd.io",
    version = "v2",
    kind = "HelmRelease",
    plural = "helmreleases",
    doc = "HelmRelease is a chart of a source that is kept installed with its values.",
    namespaced,
    status = "HelmReleaseStatus",
    derive = "PartialEq",
    shortname = "hr",
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
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.chart) && !has(self.chartRef)) || (!has(self.chart) && has(self.chartRef))",
    "message": "either chart or chartRef must be set",
}]))]
pub struct HelmReleaseSpec {
    /// Template of the source object that is made for this HelmRelease: a HelmChart or an OCIRepository. Excludes ChartRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<HelmChartTemplate>,
    /// The source object that has the chart. Excludes Chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart_ref: Option<CrossNamespaceSourceReference>,
    /// Interval at which to reconcile. It is approximate and may be subject to jitter.
    #[schemars(extend("pattern" = DURATION))]
    pub interval: Duration,
    /// The remote cluster to reconcile, reached with the controller's identity or, if a service account is given, on
    /// behalf of that account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_config: Option<KubeConfigReference>,
    /// Suspends the reconciliation of this HelmRelease.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// Name of the release, defaults to '[TargetNamespace-]Name'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 53))]
    pub release_name: Option<String>,
    /// Namespace of the release, defaults to that of the HelmRelease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 63))]
    pub target_namespace: Option<String>,
    /// Namespace of Helm's storage, defaults to that of the HelmRelease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 63))]
    pub storage_namespace: Option<String>,
    /// HelmReleases that must be ready before this one is reconciled.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<DependencyReference>,
    /// Timeout of each operation of an action, such as a wait for a Job of a hook. Defaults to '5m0s'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// Number of revisions that Helm's storage keeps, defaults to '5'; '0' keeps all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub max_history: Option<i64>,
    /// Name of the service account that is impersonated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 253))]
    pub service_account_name: Option<String>,
    /// Keeps what is known of the cluster's API for the whole reconciliation, defaults to true. Without it, each step looks again,
    /// which a chart needs that creates CustomResourceDefinitions by hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_client: Option<bool>,
    /// How differences between the release and the cluster are found and handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_detection: Option<DriftDetection>,
    /// How releases are installed.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_default")]
    pub install: Install,
    /// How releases are upgraded.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_default")]
    pub upgrade: Upgrade,
    /// How releases are tested.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_default")]
    pub test: Test,
    /// How releases are rolled back.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_default")]
    pub rollback: Rollback,
    /// How releases are uninstalled.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_default")]
    pub uninstall: Uninstall,
    /// ConfigMaps and Secrets with values; later ones win over earlier ones.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub values_from: Vec<ValuesReference>,
    /// Values given inline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub values: Option<Value>,
    /// Metadata that is set on all objects and wins over their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_metadata: Option<CommonMetadata>,
    /// What changes the rendered objects, in order.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub post_renderers: Vec<PostRenderer>,
    /// What of the rendered objects the post-renderers see: 'nohooks' keeps hooks from them, 'combined' shows hooks together with
    /// the rest, 'separate' after the rest. Defaults to 'combined', or to 'nohooks' with the feature gate UseHelm3Defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_render_strategy: Option<PostRenderStrategy>,
    /// How to wait for objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_strategy: Option<WaitStrategy>,
    /// CEL expressions that tell the health of custom resources. Used only where objects are waited for, with the strategy 'poller'.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub health_check_exprs: Vec<CustomHealthCheck>,
}

/// How differences between the release and the cluster are found and handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftDetection {
    /// What is done about a difference: it is corrected ('enabled'), reported ('warn') or not looked for ('disabled', the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<DriftDetectionMode>,
    /// Fields whose differences are ignored.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<IgnoreRule>,
}

/// What is done about a difference between the release and the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriftDetectionMode {
    /// It is corrected.
    Enabled,
    /// It is reported.
    Warn,
    /// It is not looked for.
    #[default]
    Disabled,
    /// None that this version knows; Flux detects nothing then.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// A ConfigMap or Secret with values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValuesReference {
    /// Kind of the referent, 'Secret' or 'ConfigMap'.
    #[schemars(extend("enum" = ["Secret", "ConfigMap"]))]
    pub kind: String,
    /// Name of the referent, in the same namespace.
    #[schemars(extend("minLength" = 1, "maxLength" = 253))]
    pub name: String,
    /// Key in the referent, defaults to 'values.yaml'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 253, "pattern" = r"^[\-._a-zA-Z0-9]+$"))]
    pub values_key: Option<String>,
    /// Path in dot notation at which the whole entry becomes one value. Without it, the entry is a YAML map that is merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 250, "pattern" = r"^([a-zA-Z0-9_\-.\\\/]|\[[0-9]{1,5}\])+$"))]
    pub target_path: Option<String>,
    /// Whether the referent or its key may be absent; the entry then counts for nothing.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub optional: bool,
    /// Takes the entry for TargetPath as it is: nothing in it is special, and it is a string.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub literal: bool,
}

/// What changes the rendered objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostRenderer {
    /// Changes made by kustomize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kustomize: Option<Kustomize>,
}

/// Changes made by kustomize.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kustomize {
    /// Strategic merge and JSON patches, given inline.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
    /// Images whose name, tag or digest is changed.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
}

/// What of the rendered objects the post-renderers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PostRenderStrategy {
    /// All but the hooks.
    NoHooks,
    /// Hooks and the rest at once.
    Combined,
    /// The rest, then the hooks.
    Separate,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// How to wait for objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitStrategy {
    /// 'poller' judges objects by kstatus, 'legacy' by the rules of Helm 3. Defaults to 'poller', or to 'legacy' with the feature gate
    /// UseHelm3Defaults.
    pub name: WaitStrategyName,
}

/// By which rules objects are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WaitStrategyName {
    /// Those of kstatus.
    Poller,
    /// Those of Helm 3.
    Legacy,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Whether a part of the spec says nothing, for `skip_serializing_if`.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
