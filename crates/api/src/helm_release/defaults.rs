//! What holds where the spec says nothing. The schema has none of these: Flux applies them in code, and so do we.

use std::time::Duration as StdDuration;

use kube::ResourceExt;
use sha2::{Digest, Sha256};

use super::{
    ChartNameChangeStrategy, ChartReference, CrdsPolicy, DeletionPropagation, DriftDetectionMode,
    HELM_CHART_KIND, HelmRelease, Install, PostRenderStrategy, Rollback, ServerSideApplyMode, Uninstall,
    Upgrade, ValuesReference, WaitStrategyName,
};
use crate::Duration;

/// The longest name of a release that Helm takes, in bytes.
pub const RELEASE_NAME_LENGTH: usize = 53;

/// What of a name that is too long is kept, in bytes.
const SHORTENED_LENGTH: usize = 40;

/// How many hexadecimal digits of the digest of the whole name follow it.
const SHORTENED_DIGITS: usize = 12;

/// Timeout of the operations of an action (Flux: `HelmRelease.GetTimeout`).
const TIMEOUT: StdDuration = StdDuration::from_secs(5 * 60);

/// How many revisions the storage keeps (Flux: `defaultMaxHistory`).
const MAX_HISTORY: i64 = 5;

impl HelmRelease {
    /// Name of the release before it is shortened: the given one, or `[<target namespace>-]<name>` (Flux:
    /// `HelmRelease.GetReleaseName`).
    pub fn release_name(&self) -> String {
        match (given(self.spec.release_name.as_ref()), given(self.spec.target_namespace.as_ref())) {
            (Some(name), _) => name.to_owned(),
            (None, Some(namespace)) => format!("{namespace}-{}", self.name_any()),
            (None, None) => self.name_any(),
        }
    }

    /// Namespace of the release (Flux: `HelmRelease.GetReleaseNamespace`).
    pub fn release_namespace(&self) -> String {
        given(self.spec.target_namespace.as_ref()).map_or_else(|| self.own_namespace(), str::to_owned)
    }

    /// Namespace of the storage (Flux: `HelmRelease.GetStorageNamespace`).
    pub fn storage_namespace(&self) -> String {
        given(self.spec.storage_namespace.as_ref()).map_or_else(|| self.own_namespace(), str::to_owned)
    }

    /// The object that `spec.chart` makes, none without one. An OCIRepository is in the namespace of the HelmRelease, a HelmChart in
    /// that of its source (Flux: `HelmRelease.GetHelmChartTemplateReference`).
    pub fn chart_template_reference(&self) -> Option<ChartReference> {
        let template = self.spec.chart.as_ref()?;
        let kind = given(template.kind.as_ref()).unwrap_or(HELM_CHART_KIND).to_owned();
        let namespace = match &template.spec.source_ref {
            Some(source) if kind == HELM_CHART_KIND => given(source.namespace.as_ref()),
            _ => None,
        };
        Some(ChartReference {
            kind,
            namespace: namespace.map_or_else(|| self.own_namespace(), str::to_owned),
            name: format!("{}-{}", self.own_namespace(), self.name_any()),
        })
    }

    /// The object that `spec.chartRef` names, none without one (Flux: `HelmRelease.GetHelmChartReference`).
    pub fn chart_ref(&self) -> Option<ChartReference> {
        let reference = self.spec.chart_ref.as_ref()?;
        Some(ChartReference {
            kind: given(Some(&reference.kind)).unwrap_or(HELM_CHART_KIND).to_owned(),
            namespace: given(reference.namespace.as_ref())
                .map_or_else(|| self.own_namespace(), str::to_owned),
            name: reference.name.clone(),
        })
    }

    /// Interval of the object that `spec.chart` makes: its own, or that of the HelmRelease (Flux: `HelmRelease.GetTemplateInterval`).
    pub fn chart_template_interval(&self) -> &Duration {
        let template = self.spec.chart.as_ref().map(|template| &template.spec.repository.interval);
        template.filter(|interval| !interval.is_empty()).unwrap_or(&self.spec.interval)
    }

    /// Timeout of operations, 5 minutes if none is given (Flux: `HelmRelease.GetTimeout`).
    pub fn timeout(&self) -> StdDuration {
        self.spec.timeout.as_ref().and_then(|timeout| timeout.parse().ok()).unwrap_or(TIMEOUT)
    }

    /// Timeout of the operations of an action: its own, or that of the HelmRelease (Flux: `Install.GetTimeout` and its kin).
    pub fn action_timeout(&self, own: Option<&Duration>) -> StdDuration {
        own.and_then(|timeout| timeout.parse().ok()).unwrap_or_else(|| self.timeout())
    }

    /// How many revisions the storage keeps, 5 if nothing is given; 0 keeps all (Flux: `HelmRelease.GetMaxHistory`).
    pub fn max_history(&self) -> i64 {
        self.spec.max_history.unwrap_or(MAX_HISTORY)
    }

    /// Whether what is known of the cluster's API is kept, true if nothing is given (Flux: `HelmRelease.UsePersistentClient`).
    pub fn uses_persistent_client(&self) -> bool {
        self.spec.persistent_client.unwrap_or(true)
    }

    /// What is done about drift, nothing if nothing is given (Flux: `DriftDetection.GetMode`).
    pub fn drift_detection_mode(&self) -> DriftDetectionMode {
        self.spec.drift_detection.as_ref().and_then(|drift| drift.mode).unwrap_or_default()
    }

    /// By which rules objects are waited for; `helm3` is the feature gate UseHelm3Defaults (Flux: `internal/action/wait.go`).
    pub fn wait_strategy(&self, helm3: bool) -> WaitStrategyName {
        let default = if helm3 { WaitStrategyName::Legacy } else { WaitStrategyName::Poller };
        self.spec.wait_strategy.as_ref().map_or(default, |strategy| strategy.name)
    }

    /// What post-renderers see; `helm3` is the feature gate UseHelm3Defaults (Flux: `internal/action/post_render.go`).
    pub fn post_render_strategy(&self, helm3: bool) -> PostRenderStrategy {
        let default = if helm3 { PostRenderStrategy::NoHooks } else { PostRenderStrategy::Combined };
        self.spec.post_render_strategy.unwrap_or(default)
    }

    fn own_namespace(&self) -> String {
        self.namespace().unwrap_or_default()
    }
}

impl Install {
    /// What is done with CustomResourceDefinitions: new ones are created if nothing is given (Flux: `action.DefaultCRDPolicy`).
    pub fn crds_policy(&self) -> CrdsPolicy {
        self.crds.unwrap_or_default()
    }

    /// Whether an install uses server-side apply; `helm3` is the feature gate UseHelm3Defaults (Flux: `action.newInstall`).
    pub fn uses_server_side_apply(&self, helm3: bool) -> bool {
        self.server_side_apply.unwrap_or(!helm3)
    }
}

impl Upgrade {
    /// What is done with CustomResourceDefinitions: new ones are created if nothing is given, whatever the documentation of Flux says
    /// (Flux: `action.DefaultCRDPolicy`).
    pub fn crds_policy(&self) -> CrdsPolicy {
        self.crds.unwrap_or_default()
    }

    /// Whether server-side apply is used: as the release did before if nothing is given (Flux: `action.newUpgrade`).
    pub fn server_side_apply_mode(&self) -> ServerSideApplyMode {
        self.server_side_apply.unwrap_or_default()
    }

    /// What a new name of the chart means: a new install if nothing is given (Flux: `Upgrade.GetChartNameChangeStrategy`).
    pub fn chart_name_change_strategy(&self) -> ChartNameChangeStrategy {
        self.chart_name_change_strategy.unwrap_or_default()
    }
}

impl Rollback {
    /// Whether server-side apply is used: as the target did if nothing is given (Flux: `action.newRollback`).
    pub fn server_side_apply_mode(&self) -> ServerSideApplyMode {
        self.server_side_apply.unwrap_or_default()
    }
}

impl Uninstall {
    /// What becomes of dependents: deleted in the background if nothing is given (Flux: `Uninstall.GetDeletionPropagation`).
    pub fn deletion_propagation(&self) -> DeletionPropagation {
        self.deletion_propagation.unwrap_or_default()
    }
}

impl ValuesReference {
    /// The key of the entry, `values.yaml` if none is given (Flux: `ValuesReference.GetValuesKey`).
    pub fn values_key(&self) -> &str {
        given(self.values_key.as_ref()).unwrap_or("values.yaml")
    }
}

/// Shortens a name that is longer than [`RELEASE_NAME_LENGTH`] to its first 40 bytes, a hyphen, and the first 12 hexadecimal digits of
/// its SHA-256 (Flux: `release.ShortenName`). A character that the cut splits is replaced, which is no name of a release either way.
pub fn shorten_release_name(name: &str) -> String {
    if name.len() <= RELEASE_NAME_LENGTH {
        return name.to_owned();
    }
    let kept = name.as_bytes().get(..SHORTENED_LENGTH).unwrap_or_default();
    let digest = Sha256::digest(name.as_bytes());
    let digits = digest.iter().take(SHORTENED_DIGITS / 2).map(|byte| format!("{byte:02x}"));
    format!("{}-{}", String::from_utf8_lossy(kept), digits.collect::<String>())
}

/// A text field that says something: Go knows no difference between an absent and an empty one.
fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
#[path = "defaults_tests.rs"]
mod tests;
