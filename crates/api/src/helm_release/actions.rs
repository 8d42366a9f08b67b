//! How each of Helm's actions is done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;
use crate::lenient::{is_false, null_is_default};
use crate::schema::DURATION;

/// How releases are installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Install {
    /// Timeout of each operation, defaults to the Timeout of the HelmRelease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// What follows a failure. Defaults to 'RemediateOnFailure', or to 'RetryOnFailure' with the feature gate DefaultToRetryOnFailure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<InstallStrategy>,
    /// How failures are remediated. Without it, they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<InstallRemediation>,
    /// Refuses to take over objects that are there and of no release.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_take_ownership: bool,
    /// Does not wait until objects are ready.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_wait: bool,
    /// Does not wait until Jobs are complete.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_wait_for_jobs: bool,
    /// Runs no hooks.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_hooks: bool,
    /// Asks for no validation by the OpenAPI schemas of the cluster in the client. There is none: the API server validates.
    #[serde(
        default,
        rename = "disableOpenAPIValidation",
        deserialize_with = "null_is_default",
        skip_serializing_if = "is_false"
    )]
    pub disable_open_api_validation: bool,
    /// Does not validate values against the schema of the chart.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_schema_validation: bool,
    /// Uses the name of a deleted release again that remains in the history.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub replace: bool,
    /// Deprecated and ignored: use the policy 'Skip' of CRDs.
    #[serde(
        default,
        rename = "skipCRDs",
        deserialize_with = "null_is_default",
        skip_serializing_if = "is_false"
    )]
    pub skip_crds: bool,
    /// What is done with the CustomResourceDefinitions of the chart: nothing ('Skip'), new ones are created ('Create', the
    /// default), or existing ones are replaced too ('CreateReplace'). None is ever deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crds: Option<CrdsPolicy>,
    /// Creates the TargetNamespace if it is not there. It stays after an uninstall.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub create_namespace: bool,
    /// Uses server-side apply. Defaults to true, or to false with the feature gate UseHelm3Defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side_apply: Option<bool>,
}

/// How releases are upgraded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Upgrade {
    /// Timeout of each operation, defaults to the Timeout of the HelmRelease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// What follows a failure. Defaults to 'RemediateOnFailure', or to 'RetryOnFailure' with the feature gate DefaultToRetryOnFailure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<UpgradeStrategy>,
    /// How failures are remediated. Without it, they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<UpgradeRemediation>,
    /// Refuses to take over objects that are there and of no release.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_take_ownership: bool,
    /// Does not wait until objects are ready.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_wait: bool,
    /// Does not wait until Jobs are complete.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_wait_for_jobs: bool,
    /// Runs no hooks.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_hooks: bool,
    /// Asks for no validation by the OpenAPI schemas of the cluster in the client. There is none: the API server validates.
    #[serde(
        default,
        rename = "disableOpenAPIValidation",
        deserialize_with = "null_is_default",
        skip_serializing_if = "is_false"
    )]
    pub disable_open_api_validation: bool,
    /// Does not validate values against the schema of the chart.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_schema_validation: bool,
    /// Replaces objects instead of merging changes into them. Ignored with server-side apply, which always forces conflicts.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub force: bool,
    /// Merges the values over those of the last release, which makes the HelmRelease non-declarative.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub preserve_values: bool,
    /// Deletes objects that a failed upgrade created.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub cleanup_on_fail: bool,
    /// What is done with the CustomResourceDefinitions of the chart: nothing ('Skip'), new ones are created ('Create', the
    /// default), or existing ones are replaced too ('CreateReplace'). None is ever deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crds: Option<CrdsPolicy>,
    /// Uses server-side apply, does not, or does what the release did before ('auto', the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side_apply: Option<ServerSideApplyMode>,
    /// What is done when the name of the chart changes: the release is uninstalled and installed anew ('Reinstall', the default) or
    /// upgraded ('InPlaceUpdate').
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart_name_change_strategy: Option<ChartNameChangeStrategy>,
}

/// How releases are tested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Test {
    /// Runs the tests of the chart after an install or upgrade.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub enable: bool,
    /// Timeout of each operation, defaults to the Timeout of the HelmRelease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// Does not remediate when tests fail. IgnoreTestFailures of Install and Upgrade win over it.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub ignore_failures: bool,
    /// Tests to run or to leave out.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// A test to run or to leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Filter {
    /// Name of the test.
    #[schemars(extend("minLength" = 1, "maxLength" = 253))]
    pub name: String,
    /// Leaves the test out.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub exclude: bool,
}

/// How releases are rolled back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// Timeout of each operation, defaults to the Timeout of the HelmRelease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// Does not wait until objects are ready.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_wait: bool,
    /// Does not wait until Jobs are complete.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_wait_for_jobs: bool,
    /// Runs no hooks.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_hooks: bool,
    /// Deprecated and ignored: Helm restarts no Pods.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub recreate: bool,
    /// Replaces objects instead of merging changes into them. Ignored with server-side apply, which always forces conflicts.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub force: bool,
    /// Deletes objects that a failed rollback created.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub cleanup_on_fail: bool,
    /// Uses server-side apply, does not, or does what the release did before ('auto', the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side_apply: Option<ServerSideApplyMode>,
}

/// How releases are uninstalled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Uninstall {
    /// Timeout of each operation, defaults to the Timeout of the HelmRelease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = DURATION))]
    pub timeout: Option<Duration>,
    /// Runs no hooks.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_hooks: bool,
    /// Keeps the history of the release, marked as uninstalled.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub keep_history: bool,
    /// Does not wait until objects are gone.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub disable_wait: bool,
    /// What becomes of the dependents of deleted objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "background"))]
    pub deletion_propagation: Option<DeletionPropagation>,
}

/// What is done with the CustomResourceDefinitions of a chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CrdsPolicy {
    /// Nothing.
    Skip,
    /// New ones are created.
    #[default]
    Create,
    /// New ones are created, existing ones replaced.
    CreateReplace,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Whether upgrades and rollbacks use server-side apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerSideApplyMode {
    /// They do.
    Enabled,
    /// They do not.
    Disabled,
    /// As the release did before.
    #[default]
    Auto,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What is done when the name of the chart changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChartNameChangeStrategy {
    /// The release is upgraded.
    InPlaceUpdate,
    /// The release is uninstalled, and installed anew.
    #[default]
    Reinstall,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What becomes of the dependents of deleted objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeletionPropagation {
    /// They are deleted afterwards.
    #[default]
    Background,
    /// They are deleted before.
    Foreground,
    /// They stay.
    Orphan,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What follows a failed install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.retryInterval) || self.name != 'RemediateOnFailure'",
    "message": ".retryInterval cannot be set when .name is 'RemediateOnFailure'",
}]))]
pub struct InstallStrategy {
    /// 'RemediateOnFailure': it is remediated as Remediation says. 'RetryOnFailure': it is tried again after RetryInterval, for ever.
    pub name: ActionStrategy,
    /// Time until the next try, with 'RetryOnFailure'. Defaults to '5m'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = DURATION))]
    pub retry_interval: Option<Duration>,
}

/// What follows a failed upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.retryInterval) || self.name == 'RetryOnFailure'",
    "message": ".retryInterval can only be set when .name is 'RetryOnFailure'",
}]))]
pub struct UpgradeStrategy {
    /// 'RemediateOnFailure': it is remediated as Remediation says. 'RetryOnFailure': it is tried again after RetryInterval, for ever.
    pub name: ActionStrategy,
    /// Time until the next try, with 'RetryOnFailure'. Defaults to '5m'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = DURATION))]
    pub retry_interval: Option<Duration>,
}

/// What follows a failed install or upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ActionStrategy {
    /// It is remediated.
    RemediateOnFailure,
    /// It is tried again.
    RetryOnFailure,
    /// None that this version knows; Flux takes it as the first one.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// How failed installs are remediated: by an uninstall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstallRemediation {
    /// How often a failed install is tried again, each time after a remediation. Defaults to '0'; a negative number means for ever.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    #[schemars(with = "i32")]
    pub retries: i64,
    /// Does not remediate when tests fail, defaults to IgnoreFailures of Test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_test_failures: Option<bool>,
    /// Remediates the last failure too, when no retries are left. Defaults to 'false'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediate_last_failure: Option<bool>,
}

/// How failed upgrades are remediated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeRemediation {
    /// How often a failed upgrade is tried again, each time after a remediation. Defaults to '0'; a negative number means for ever.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    #[schemars(with = "i32")]
    pub retries: i64,
    /// Does not remediate when tests fail, defaults to IgnoreFailures of Test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_test_failures: Option<bool>,
    /// Remediates the last failure too, when no retries are left. Defaults to whether Retries is greater than '0'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediate_last_failure: Option<bool>,
    /// By what a failure is remediated, defaults to 'rollback'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RemediationStrategy>,
}

/// By what a failed upgrade is remediated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RemediationStrategy {
    /// A rollback to the release before.
    #[default]
    Rollback,
    /// An uninstall.
    Uninstall,
    /// None that this version knows.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Whether a count is at its zero value, for `skip_serializing_if`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_zero(value: &i64) -> bool {
    *value == 0
}
