//! Names of the group `helm.toolkit.fluxcd.io`.

/// The API group of HelmReleases.
pub const GROUP: &str = "helm.toolkit.fluxcd.io";

/// Field manager of all writes of the controller: to HelmReleases, to the sources it makes, and to the objects of releases.
pub const FIELD_MANAGER: &str = "helm-controller";

/// Label on objects that a HelmRelease made: its name.
pub const NAME_LABEL: &str = "helm.toolkit.fluxcd.io/name";
/// Label on objects that a HelmRelease made: its namespace.
pub const NAMESPACE_LABEL: &str = "helm.toolkit.fluxcd.io/namespace";

/// Label or annotation of an object of a release: with the value `disabled`, no drift of it is looked for.
pub const DRIFT_DETECTION_KEY: &str = "helm.toolkit.fluxcd.io/driftDetection";

/// Annotation that asks for one upgrade or install whatever the state is. Its value must be that of
/// [`crate::meta::RECONCILE_REQUEST_ANNOTATION`].
pub const FORCE_REQUEST_ANNOTATION: &str = "reconcile.fluxcd.io/forceAt";
/// Annotation that asks for the counters of failures to be set to zero. Its value must be that of
/// [`crate::meta::RECONCILE_REQUEST_ANNOTATION`].
pub const RESET_REQUEST_ANNOTATION: &str = "reconcile.fluxcd.io/resetAt";

/// Event annotation with the version of the chart.
pub const REVISION_ANNOTATION: &str = "helm.toolkit.fluxcd.io/revision";
/// Event annotation with the digest of the values.
pub const TOKEN_ANNOTATION: &str = "helm.toolkit.fluxcd.io/token";
/// Event annotation with the version of the application in the chart.
pub const APP_VERSION_ANNOTATION: &str = "helm.toolkit.fluxcd.io/app-version";
/// Event annotation with the digest of the OCI artifact of the chart.
pub const OCI_DIGEST_ANNOTATION: &str = "helm.toolkit.fluxcd.io/oci-digest";

/// Condition types of HelmReleases, beside those of [`crate::meta::conditions`].
pub mod conditions {
    /// The last install or upgrade reached the desired state.
    pub const RELEASED: &str = "Released";
    /// The last test of the desired state succeeded.
    pub const TEST_SUCCESS: &str = "TestSuccess";
    /// The last failure was remediated.
    pub const REMEDIATED: &str = "Remediated";
    /// The cluster differs from the release.
    pub const DRIFTED: &str = "Drifted";
}

/// Condition and event reasons of HelmReleases, beside those of [`crate::meta::reasons`].
#[expect(missing_docs, reason = "each is its own text")]
pub mod reasons {
    pub const ARTIFACT_FAILED: &str = "ArtifactFailed";
    pub const AWAITING_TESTS: &str = "AwaitingTests";
    pub const CHART_MUTATE_ERROR: &str = "ChartMutateError";
    /// The one reason that Flux cuts short.
    pub const CONFIG_FACTORY_ERROR: &str = "ConfigFactoryErr";
    pub const DEPENDENCY_NOT_READY: &str = "DependencyNotReady";
    pub const DRIFT_CORRECTED: &str = "DriftCorrected";
    pub const DRIFT_CORRECTION_FAILED: &str = "DriftCorrectionFailed";
    pub const DRIFT_DETECTED: &str = "DriftDetected";
    pub const DRIFT_REPEATED: &str = "DriftRepeated";
    pub const FACTORY_ERROR: &str = "FactoryError";
    pub const HEALTH_CHECK_CANCELED: &str = "HealthCheckCanceled";
    pub const HELM_CHART_CONFIGURED: &str = "HelmChartConfigured";
    pub const HELM_CHART_CREATED: &str = "HelmChartCreated";
    pub const HELM_CHART_DELETED: &str = "HelmChartDeleted";
    pub const HELM_CHART_SYNC_ERROR: &str = "HelmChartSyncErr";
    pub const INSTALL_FAILED: &str = "InstallFailed";
    pub const INSTALL_SUCCEEDED: &str = "InstallSucceeded";
    pub const INVENTORY_BUILD_FAILED: &str = "InventoryBuildFailed";
    pub const MISSING_ROLLBACK_TARGET: &str = "MissingRollbackTarget";
    pub const NAMESPACE_CHECK_SKIPPED: &str = "NamespaceCheckSkipped";
    pub const NO_DRIFT_DETECTED: &str = "NoDriftDetected";
    pub const PENDING_RELEASE: &str = "PendingRelease";
    pub const RECONCILE_ERROR: &str = "ReconcileError";
    pub const RESOURCE_MANAGER_ERROR: &str = "ResourceManagerError";
    pub const REST_CLIENT_ERROR: &str = "RESTClientError";
    pub const RETRIES_EXCEEDED: &str = "RetriesExceeded";
    pub const ROLLBACK_FAILED: &str = "RollbackFailed";
    pub const ROLLBACK_SUCCEEDED: &str = "RollbackSucceeded";
    pub const SOURCE_NOT_READY: &str = "SourceNotReady";
    pub const STATE_ERROR: &str = "StateError";
    pub const TEST_FAILED: &str = "TestFailed";
    pub const TEST_SUCCEEDED: &str = "TestSucceeded";
    pub const UNINSTALL_FAILED: &str = "UninstallFailed";
    pub const UNINSTALL_SUCCEEDED: &str = "UninstallSucceeded";
    pub const UPGRADE_FAILED: &str = "UpgradeFailed";
    pub const UPGRADE_SUCCEEDED: &str = "UpgradeSucceeded";
    pub const VALUES_ERROR: &str = "ValuesError";
}

/// What an event of a HelmRelease is about, in the field `action` of webhook bodies (Flux 2.10: `v2.Action`).
#[expect(missing_docs, reason = "each is its own text")]
pub mod actions {
    pub const CHECK_DEPENDENCIES: &str = "CheckDependencies";
    pub const DRIFT_DETECTION: &str = "DriftDetection";
    pub const HEALTH_CHECK: &str = "HealthCheck";
    pub const HELM_INSTALL: &str = "HelmInstall";
    pub const HELM_ROLLBACK: &str = "HelmRollback";
    pub const HELM_TEST: &str = "HelmTest";
    pub const HELM_UNINSTALL: &str = "HelmUninstall";
    pub const HELM_UPGRADE: &str = "HelmUpgrade";
    pub const RECONCILE: &str = "Reconcile";
    pub const RESOLVE_SOURCE: &str = "ResolveSource";
    pub const RESOLVE_VALUES: &str = "ResolveValues";
    pub const UNLOCK: &str = "Unlock";
}
