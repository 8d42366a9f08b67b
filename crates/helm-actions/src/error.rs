//! Why an action did not do its work, in the words of Helm.

use std::fmt;

use apply::error::RequestError;
use helm::ReleaseNameError;
use helm_release::Release;

use crate::hooks::HookError;
use crate::resources::{AdoptionError, BuildError, Joined};
use crate::storage::StorageError;
use crate::wait::WaitError;

/// Why an action did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// The text cannot be the name of a release.
    #[error(transparent)]
    Name(#[from] ReleaseNameError),
    /// The cluster does not answer.
    #[error("cluster reachability check failed: kubernetes cluster unreachable")]
    Unreachable(#[source] StorageError),
    /// There is a release of this name.
    #[error("release name check failed: cannot reuse a name that is still in use")]
    NameInUse,
    /// There is no release of this name.
    #[error("release: not found")]
    NotFound,
    /// Nothing of the release is in the cluster.
    #[error("{0:?} has no deployed releases")]
    NoDeployed(String),
    /// Another action is under way, or was broken off.
    #[error("another operation (install/upgrade/rollback) is in progress")]
    Pending,
    /// There is no such revision to go back to.
    #[error("release has no {0} version")]
    NoRevision(i64),
    /// The release is uninstalled.
    #[error("the release named {0:?} is already deleted")]
    AlreadyDeleted(String),
    /// The revisions cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The objects of a new release cannot be told.
    #[error("unable to build kubernetes objects from release manifest")]
    BuildInstall(#[source] BuildError),
    /// The objects of the new revision cannot be told.
    #[error(transparent)]
    BuildUpgrade(BuildError),
    /// The objects of the present revision cannot be told.
    #[error("unable to build kubernetes objects from current release manifest")]
    BuildCurrent(#[source] BuildError),
    /// The objects of the revision to go back to cannot be told.
    #[error("unable to build kubernetes objects from new release manifest")]
    BuildTarget(#[source] BuildError),
    /// Objects that are there cannot become those of a new release.
    #[error("unable to continue with install")]
    AdoptInstall(#[source] AdoptionError),
    /// Objects that are there cannot become those of the new revision.
    #[error("unable to continue with update")]
    AdoptUpgrade(#[source] AdoptionError),
    /// The namespace of the release cannot be made.
    #[error(transparent)]
    Namespace(RequestError),
    /// Objects cannot be written.
    #[error(transparent)]
    Apply(#[from] Joined),
    /// Objects are not ready.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Hooks before an action have not done their work.
    #[error("failed pre-install")]
    PreInstall(#[source] HookError),
    /// Hooks behind an action have not done their work.
    #[error("failed post-install")]
    PostInstall(#[source] HookError),
    /// Hooks before an action have not done their work.
    #[error("pre-upgrade hooks failed")]
    PreUpgrade(#[source] HookError),
    /// Hooks behind an action have not done their work.
    #[error("post-upgrade hooks failed")]
    PostUpgrade(#[source] HookError),
    /// Hooks of another event have not done their work.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The objects of a rolled back release are not ready.
    #[error("release {name} failed")]
    RolledBack {
        /// The release.
        name: String,
        /// Why.
        #[source]
        source: WaitError,
    },
    /// The objects of a release cannot be deleted. What is wrong is in the log.
    #[error("failed to delete release: {0}")]
    Delete(String),
    /// A release is uninstalled, yet not all went well.
    #[error("uninstallation completed with {count} error(s): {texts}")]
    Uninstalled {
        /// How often.
        count: usize,
        /// What.
        texts: String,
    },
    /// What a failed action had created could not be deleted.
    #[error(
        "an error occurred while cleaning up resources. original {action} error: {original}: unable to cleanup resources: {texts}"
    )]
    CleanUp {
        /// The action.
        action: &'static str,
        /// Why it failed.
        original: String,
        /// Why nothing went.
        texts: String,
    },
}

/// What an action left behind that has stored something.
pub struct Outcome {
    /// The revision that it wrote last.
    pub release: Release,
    /// Why it failed.
    pub error: Option<ActionError>,
}

impl fmt::Debug for Outcome {
    /// Manifest and values may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Release { name, version, info, .. } = &self.release;
        f.debug_tuple("Outcome").field(name).field(version).field(&info.status).field(&self.error).finish()
    }
}

impl Outcome {
    pub(crate) fn of(release: Release, ended: Result<(), ActionError>) -> Self {
        Self { release, error: ended.err() }
    }
}

/// Errors in one text.
pub(crate) fn joined(errors: &[RequestError], separator: &str) -> String {
    let texts: Vec<String> = errors.iter().map(|error| net::chain(error)).collect();
    texts.join(separator)
}
