//! What all kinds of the group `source.toolkit.fluxcd.io` have in common: names, and the fields of their specs and statuses.

use crate::{Artifact, Condition, Duration};

/// The API group of sources.
pub const GROUP: &str = "source.toolkit.fluxcd.io";

/// Event annotation with the revision of the artifact.
pub const REVISION_ANNOTATION: &str = "source.toolkit.fluxcd.io/revision";
/// Event annotation with the digest of the artifact.
pub const DIGEST_ANNOTATION: &str = "source.toolkit.fluxcd.io/digest";

/// A kind of source: the fields that all of them have.
pub trait Source {
    /// `spec.suspend`.
    fn is_suspended(&self) -> bool;
    /// `spec.interval`.
    fn interval(&self) -> &Duration;
    /// `spec.timeout`, if it is a duration and not zero.
    fn timeout(&self) -> Option<std::time::Duration>;
    /// The fields of the status, if there is one.
    fn source_status(&self) -> Option<SourceStatus<'_>>;
    /// The same fields of the status, to be changed; a status that is missing is made.
    fn status_mut(&mut self) -> SourceStatusMut<'_>;

    /// `status.observedGeneration`.
    fn observed_generation(&self) -> Option<i64> {
        self.source_status()?.observed_generation
    }

    /// `status.conditions`.
    fn conditions(&self) -> &[Condition] {
        self.source_status().map(|status| status.conditions).unwrap_or_default()
    }

    /// `status.artifact`.
    fn artifact(&self) -> Option<&Artifact> {
        self.source_status()?.artifact
    }

    /// `status.lastHandledReconcileAt`.
    fn handled_request(&self) -> Option<&str> {
        self.source_status()?.handled_request
    }
}

/// The fields that the statuses of all sources have.
pub struct SourceStatus<'a> {
    /// `observedGeneration`.
    pub observed_generation: Option<i64>,
    /// `conditions`.
    pub conditions: &'a [Condition],
    /// `artifact`.
    pub artifact: Option<&'a Artifact>,
    /// `lastHandledReconcileAt`.
    pub handled_request: Option<&'a str>,
}

/// The fields that the statuses of all sources have, to be changed.
pub struct SourceStatusMut<'a> {
    /// `observedGeneration`.
    pub observed_generation: &'a mut Option<i64>,
    /// `conditions`.
    pub conditions: &'a mut Vec<Condition>,
    /// `artifact`.
    pub artifact: &'a mut Option<Artifact>,
    /// `url`, the address of whatever artifact is the current one; not all kinds have it.
    pub url: Option<&'a mut Option<String>>,
    /// `lastHandledReconcileAt`.
    pub handled_request: &'a mut Option<String>,
}

/// Event annotation with the revision that the content has in its origin.
pub const ORIGIN_REVISION_ANNOTATION: &str = "source.toolkit.fluxcd.io/originRevision";
/// Key of [`crate::Artifact::metadata`] that holds the revision in the origin of an OCI artifact.
pub const OCI_REVISION_METADATA: &str = "org.opencontainers.image.revision";
/// Key of [`crate::Artifact::metadata`] that holds the address of the origin of an OCI artifact.
pub const OCI_SOURCE_METADATA: &str = "org.opencontainers.image.source";

/// Condition types of sources, beside those of [`crate::meta::conditions`].
pub mod conditions {
    /// The upstream, its credentials or the configuration is at fault.
    pub const FETCH_FAILED: &str = "FetchFailed";
    /// The artifact storage is at fault.
    pub const STORAGE_OPERATION_FAILED: &str = "StorageOperationFailed";
    /// A newer state is known and not stored yet.
    pub const ARTIFACT_OUTDATED: &str = "ArtifactOutdated";
    /// An included source is missing or has no artifact.
    pub const INCLUDE_UNAVAILABLE: &str = "IncludeUnavailable";
    /// A chart cannot be packaged.
    pub const BUILD_FAILED: &str = "BuildFailed";
    /// The stored artifact matches spec and upstream.
    pub const ARTIFACT_IN_STORAGE: &str = "ArtifactInStorage";
    /// The signature was verified; present only while verification is asked for.
    pub const SOURCE_VERIFIED: &str = "SourceVerified";
}

/// Condition and event reasons of sources, beside those of [`crate::meta::reasons`].
#[expect(missing_docs, reason = "each is its own text")]
pub mod reasons {
    pub const ARCHIVE_OPERATION_FAILED: &str = "ArchiveOperationFailed";
    /// Not Flux's: an artifact that a former version got wrong was made anew.
    pub const ARTIFACT_CORRECTED: &str = "ArtifactCorrected";
    pub const ARTIFACT_VERIFICATION_FAILED: &str = "ArtifactVerificationFailed";
    pub const AUTHENTICATION_FAILED: &str = "AuthenticationFailed";
    pub const BUCKET_OPERATION_FAILED: &str = "BucketOperationFailed";
    pub const COPY_FAILURE: &str = "CopyFailure";
    pub const EMPTY_GIT_REPOSITORY: &str = "EmptyGitRepository";
    pub const GARBAGE_COLLECTION_FAILED: &str = "GarbageCollectionFailed";
    pub const GARBAGE_COLLECTION_SUCCEEDED: &str = "GarbageCollectionSucceeded";
    pub const GIT_OPERATION_FAILED: &str = "GitOperationFailed";
    pub const ILLEGAL_PATH: &str = "IllegalPath";
    pub const INCLUDE_CHANGE: &str = "IncludeChange";
    pub const INDEXATION_FAILED: &str = "IndexationFailed";
    pub const INVALID_COMMIT_SIGNATURE: &str = "InvalidCommitSignature";
    pub const INVALID_GIT_OBJECT: &str = "InvalidGitObject";
    pub const INVALID_PROVIDER_CONFIGURATION: &str = "InvalidProviderConfiguration";
    pub const INVALID_STS_CONFIGURATION: &str = "InvalidSTSConfiguration";
    pub const INVALID_TAG_SIGNATURE: &str = "InvalidTagSignature";
    pub const INVALID_VERIFICATION_MODE: &str = "InvalidVerificationMode";
    pub const NEW_ARTIFACT: &str = "NewArtifact";
    pub const NEW_REVISION: &str = "NewRevision";
    pub const NO_ARTIFACT: &str = "NoArtifact";
    pub const NOT_FOUND: &str = "NotFound";
    pub const OCI_LAYER_OPERATION_FAILED: &str = "OCIArtifactLayerOperationFailed";
    pub const OCI_PULL_FAILED: &str = "OCIArtifactPullFailed";
    pub const PATCH_OPERATION_FAILED: &str = "PatchOperationFailed";
    pub const READ_OPERATION_FAILED: &str = "ReadOperationFailed";
    pub const SOURCE_IGNORE_ERROR: &str = "SourceIgnoreError";
    pub const STAT_OPERATION_FAILED: &str = "StatOperationFailed";
    pub const SYMLINK_UPDATE_FAILED: &str = "SymlinkUpdateFailed";
    pub const UNSUPPORTED_FIELD: &str = "UnsupportedField";
    pub const URL_INVALID: &str = "URLInvalid";
    pub const VERIFICATION_ERROR: &str = "VerificationError";
}
