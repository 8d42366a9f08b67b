//! What went wrong in a pass, in the terms of the API: condition, reason, message, and whether to try again.

use std::fmt::{self, Display};

use artifact::ignore::IgnoreError;
use artifact::store::StoreError;
use runtime::error::chain;
use runtime::patch::PatchError;

use crate::blocking::BlockingError;

/// Condition types of sources.
pub mod condition {
    pub use api::meta::conditions::*;
    pub use api::source::conditions::*;
}

/// Reasons of conditions and events of sources.
pub mod reason {
    pub use api::meta::reasons::*;
    pub use api::source::reasons::*;
}

/// Whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Try again with back-off.
    Generic,
    /// Another object must change first; look again after a while.
    Waiting,
    /// Only a change of the object helps.
    Stalling,
}

/// A failed step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What to do about it.
    pub class: Class,
    /// The condition that tells of it (by being True, but for SourceVerified); some failures have none.
    pub condition: Option<&'static str>,
    /// CamelCase word for condition and event.
    pub reason: &'static str,
    /// Sentence for condition, event and log. No secrets.
    pub message: String,
    /// Reason and sentence of the condition where Flux has others there than in the event.
    pub observed: Option<(&'static str, String)>,
    /// Whether SourceVerified is False beside the condition, with the sentence.
    pub is_unverified: bool,
}

impl Failure {
    /// The upstream or the way to it failed.
    pub fn fetch(reason: &'static str, message: impl Into<String>) -> Self {
        Failure {
            class: Class::Generic,
            condition: Some(condition::FETCH_FAILED),
            reason,
            message: message.into(),
            observed: None,
            is_unverified: false,
        }
    }

    /// The store failed.
    pub fn storage(reason: &'static str, message: impl Into<String>) -> Self {
        Failure { condition: Some(condition::STORAGE_OPERATION_FAILED), ..Failure::fetch(reason, message) }
    }

    /// The store did not take an artifact; `operation` is what was tried: `archive` or `copy`.
    pub fn store(operation: &str, error: &StoreError) -> Self {
        match error {
            StoreError::Locked(_) => {
                let message = format!("failed to acquire lock for artifact: {}", chain(error));
                Failure::plain(reason::FAILED, message)
            }
            StoreError::Directory { source, .. } => {
                let message = format!("failed to create artifact directory: {source}");
                Failure::storage(reason::DIRECTORY_CREATION_FAILED, message)
            }
            error => Failure::artifact(operation, chain(error)),
        }
    }

    /// An artifact could not be written; `operation` as in [`Failure::store`].
    pub fn artifact(operation: &str, why: impl Display) -> Self {
        let message = format!("unable to {operation} artifact to storage: {why}");
        Failure::storage(reason::ARCHIVE_OPERATION_FAILED, message)
    }

    /// An included source has nothing to offer yet.
    pub fn include(reason: &'static str, message: impl Into<String>) -> Self {
        Failure {
            class: Class::Waiting,
            condition: Some(condition::INCLUDE_UNAVAILABLE),
            ..Failure::fetch(reason, message)
        }
    }

    /// What was fetched is not signed as it must be.
    pub fn verification(reason: &'static str, message: impl Into<String>) -> Self {
        Failure { condition: Some(condition::SOURCE_VERIFIED), ..Failure::fetch(reason, message) }
    }

    /// What was fetched cannot be packaged.
    pub fn packaging(reason: &'static str, message: impl Into<String>) -> Self {
        Failure { condition: Some(condition::BUILD_FAILED), ..Failure::fetch(reason, message) }
    }

    /// Something failed that has no condition of its own.
    pub fn plain(reason: &'static str, message: impl Into<String>) -> Self {
        Failure { condition: None, ..Failure::fetch(reason, message) }
    }

    /// The same, with another reason and sentence in the condition.
    pub fn observed_as(self, reason: &'static str, message: String) -> Self {
        Failure { observed: Some((reason, message)), ..self }
    }

    /// The same, of something whose signature is not good or cannot be judged.
    pub fn unverified(self) -> Self {
        Failure { is_unverified: true, ..self }
    }

    /// The same, but trying again helps when something else has changed.
    pub fn waiting(self) -> Self {
        Failure { class: Class::Waiting, ..self }
    }

    /// The same, but trying again is pointless.
    pub fn stalling(self) -> Self {
        Failure { class: Class::Stalling, ..self }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<IgnoreError> for Failure {
    fn from(error: IgnoreError) -> Self {
        let message = format!("failed to load source ignore patterns from repository: {error}");
        Failure::plain(reason::SOURCE_IGNORE_ERROR, message)
    }
}

/// Why a pass did not come to its end.
#[derive(Debug)]
pub enum Interrupted {
    /// A step failed; the status will say so.
    Failure(Failure),
    /// The object is gone; there is no status any more.
    Gone(PatchError),
    /// The process ends; the next one does it again.
    Stopped,
    /// The upstream lets us wait; the object is woken when it has answered.
    Underway,
}

impl From<BlockingError> for Interrupted {
    fn from(error: BlockingError) -> Self {
        match error {
            BlockingError::Stopped => Interrupted::Stopped,
            BlockingError::Panicked(_) => Failure::plain("Failed", chain(&error)).into(),
        }
    }
}

impl From<Failure> for Interrupted {
    fn from(failure: Failure) -> Self {
        Interrupted::Failure(failure)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_store_failure_tells_a_lock_and_a_directory_from_the_rest() {
        let source = || io::Error::other("disk on fire");
        let directory = StoreError::Directory { path: "p".to_owned(), source: source() };
        let write = || StoreError::Io { step: "write", path: "p".to_owned(), source: source() };
        for (operation, error, condition, reason, message) in [
            (
                "archive",
                StoreError::Locked("p".to_owned()),
                None,
                "Failed",
                "failed to acquire lock for artifact: failed to lock artifact \"p\": held by another writer",
            ),
            (
                "copy",
                directory,
                Some("StorageOperationFailed"),
                "DirectoryCreationFailed",
                "failed to create artifact directory: disk on fire",
            ),
            (
                "archive",
                write(),
                Some("StorageOperationFailed"),
                "ArchiveOperationFailed",
                "unable to archive artifact to storage: failed to write \"p\": disk on fire",
            ),
            (
                "copy",
                write(),
                Some("StorageOperationFailed"),
                "ArchiveOperationFailed",
                "unable to copy artifact to storage: failed to write \"p\": disk on fire",
            ),
        ] {
            let message = message.to_owned();
            let expected = Failure {
                class: Class::Generic,
                condition,
                reason,
                message,
                observed: None,
                is_unverified: false,
            };
            assert_eq!(Failure::store(operation, &error), expected);
        }
    }

    #[test]
    fn an_ignore_failure_has_no_condition_of_its_own() {
        let message = "failed to load source ignore patterns from repository: \
                       an ignore file exceeds the limit of 7 bytes";
        let expected = Failure::plain("SourceIgnoreError", message);
        assert_eq!(Failure::from(IgnoreError::FileBytes(7)), expected);
    }
}
