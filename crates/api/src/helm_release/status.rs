//! What a HelmRelease reports about itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::actions::is_zero;
use super::{ChartReference, Snapshot};
use crate::kustomization::ResourceInventory;
use crate::lenient::null_is_default;
use crate::{Condition, Duration};

/// Observed state of a HelmRelease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmReleaseStatus {
    /// Last generation that was fully processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Digest of the post-renderers of the last successful reconciliation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_post_renderers_digest: Option<String>,
    /// Digest of the common metadata of the last successful reconciliation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_common_metadata_digest: Option<String>,
    /// Last generation that was tried.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub last_attempted_generation: i64,
    /// Conditions of the HelmRelease.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The source object that was made for the HelmRelease: '<namespace>/<name>' of a HelmChart, '<kind>/<namespace>/<name>' of
    /// another kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm_chart: Option<String>,
    /// Namespace of the storage of the current release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1, "maxLength" = 63))]
    pub storage_namespace: Option<String>,
    /// The releases that were made, newest first, down to the last successful one.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Snapshot>,
    /// Objects of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<ResourceInventory>,
    /// Last action that was tried; it says which strategy of retries or remediation is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("enum" = ["install", "upgrade"]))]
    pub last_attempted_release_action: Option<ReleaseAction>,
    /// How long that action took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_release_action_duration: Option<Duration>,
    /// Number of failed reconciliations of the desired state.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub failures: i64,
    /// Number of failed installs of the desired state.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub install_failures: i64,
    /// Number of failed upgrades to the desired state.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub upgrade_failures: i64,
    /// Version of the chart that was tried last. Of an OCI artifact, the first 12 characters of the digest are part of it:
    /// '1.2.3+1234567890ab'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,
    /// Digest of the OCI artifact that was tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision_digest: Option<String>,
    /// Deprecated and never written: use LastAttemptedConfigDigest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_values_checksum: Option<String>,
    /// Deprecated and never written: use History.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    #[schemars(with = "i32")]
    pub last_release_revision: i64,
    /// Digest of the values that were tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_config_digest: Option<String>,
    /// Value of the last reset request that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reset_at: Option<String>,
    /// Value of the last reconcile request that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Value of the last force request that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_force_at: Option<String>,
}

impl HelmReleaseStatus {
    /// The source object that was made for the HelmRelease, if one is recorded in a known form.
    pub fn chart_reference(&self) -> Option<ChartReference> {
        ChartReference::from_status(self.helm_chart.as_deref()?)
    }

    /// Sets all counters of failures to zero.
    pub fn clear_failures(&mut self) {
        self.failures = 0;
        self.install_failures = 0;
        self.upgrade_failures = 0;
    }
}

/// An action that makes or changes a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "Helm's names")]
pub enum ReleaseAction {
    Install,
    Upgrade,
    Rollback,
    Uninstall,
    /// An uninstall that remediates a failure.
    UninstallRemediation,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}
