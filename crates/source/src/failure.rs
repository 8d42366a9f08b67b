//! What went wrong in a pass, in the terms of the API: condition, reason, message, and whether to try again.

use std::fmt;

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
}

impl Failure {
    /// The upstream or the way to it failed.
    pub fn fetch(reason: &'static str, message: impl Into<String>) -> Self {
        Failure {
            class: Class::Generic,
            condition: Some(condition::FETCH_FAILED),
            reason,
            message: message.into(),
        }
    }

    /// The store failed.
    pub fn storage(reason: &'static str, message: impl Into<String>) -> Self {
        Failure { condition: Some(condition::STORAGE_OPERATION_FAILED), ..Failure::fetch(reason, message) }
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

    /// Something failed that has no condition of its own.
    pub fn plain(reason: &'static str, message: impl Into<String>) -> Self {
        Failure { condition: None, ..Failure::fetch(reason, message) }
    }

    /// The same, but trying again is pointless.
    pub fn stalling(self) -> Self {
        Failure { class: Class::Stalling, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

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
            BlockingError::Panicked(_) => Failure::plain("Failed", runtime::error::chain(&error)).into(),
        }
    }
}

impl From<Failure> for Interrupted {
    fn from(failure: Failure) -> Self {
        Interrupted::Failure(failure)
    }
}
