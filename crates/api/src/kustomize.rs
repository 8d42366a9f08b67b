//! Names of the group `kustomize.toolkit.fluxcd.io`.

/// The API group of Kustomizations.
pub const GROUP: &str = "kustomize.toolkit.fluxcd.io";

/// Field manager of writes to the Kustomization itself.
pub const STATUS_FIELD_MANAGER: &str = "gotk-kustomize-controller";

/// Annotation on a Kustomization: what is done about drift, `repair` or `report`. Compared without regard to case. Not known to
/// Flux.
pub const DRIFT_ANNOTATION: &str = "kustomize.toolkit.fluxcd.io/drift";

/// Annotation on a Kustomization: `disabled` lets runs delete any part of its inventory. Compared without regard to case. Not
/// known to Flux.
pub const PRUNE_GUARD_ANNOTATION: &str = "kustomize.toolkit.fluxcd.io/prune-guard";

/// Event annotation with the revision that was applied.
pub const REVISION_ANNOTATION: &str = "kustomize.toolkit.fluxcd.io/revision";
/// Event annotation with the revision in the origin of the source, if known.
pub const ORIGIN_REVISION_ANNOTATION: &str = "kustomize.toolkit.fluxcd.io/originRevision";
/// Event annotation that asks for a commit status, with the value `update`.
pub const COMMIT_STATUS_ANNOTATION: &str = "kustomize.toolkit.fluxcd.io/commit_status";

/// Condition types of Kustomizations, beside those of [`crate::meta::conditions`].
pub mod conditions {
    /// The applied objects pass their health checks; absent when none are asked for.
    pub const HEALTHY: &str = "Healthy";
    /// Applied objects are not as Git says, and are left so. Not known to Flux.
    pub const DRIFTED: &str = "Drifted";
}

/// Condition reasons of Kustomizations, beside those of [`crate::meta::reasons`].
#[expect(missing_docs, reason = "each is its own text")]
pub mod reasons {
    pub const ARTIFACT_FAILED: &str = "ArtifactFailed";
    pub const BUILD_FAILED: &str = "BuildFailed";
    pub const DRIFT_DETECTED: &str = "DriftDetected";
    pub const DRIFT_REPEATED: &str = "DriftRepeated";
    pub const DEPENDENCY_NOT_READY: &str = "DependencyNotReady";
    pub const HEALTH_CHECK_CANCELED: &str = "HealthCheckCanceled";
    pub const HEALTH_CHECK_FAILED: &str = "HealthCheckFailed";
    pub const PRUNE_FAILED: &str = "PruneFailed";
    pub const RECONCILIATION_FAILED: &str = "ReconciliationFailed";
    pub const RECONCILIATION_SUCCEEDED: &str = "ReconciliationSucceeded";
}
