//! Why a pass ends before the release is looked at.

use std::time::Duration;

use runtime::patch::PatchError;

/// What keeps a HelmRelease from going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The reason in conditions and events; empty if no condition tells of it.
    pub reason: &'static str,
    /// The message in conditions.
    pub message: String,
    /// What an event says, if there is one.
    pub event: Option<Told>,
    /// What becomes of the object.
    pub then: Then,
}

/// An event that tells of an obstacle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What the controller was doing.
    pub action: &'static str,
    /// Whether it is a warning.
    pub is_warning: bool,
    /// The message.
    pub message: String,
}

/// What becomes of an object that cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Only another spec can help.
    Stall,
    /// It is looked at again after this time, or when what it waits for changes.
    After(Duration),
    /// It is tried again with back-off.
    Retry,
}

/// Why a pass goes no further.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The object cannot go on.
    #[error("{0}")]
    Obstacle(Box<Obstacle>),
    /// Its status cannot be written.
    #[error(transparent)]
    Patch(#[from] PatchError),
}

impl Obstacle {
    /// Something that is tried again with back-off, and told by a condition.
    pub fn retried(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), event: None, then: Then::Retry }
    }

    /// Something that a change elsewhere ends.
    pub fn waiting(reason: &'static str, message: impl Into<String>, after: Duration) -> Self {
        Self { reason, message: message.into(), event: None, then: Then::After(after) }
    }

    /// Something that only another spec ends.
    pub fn stalling(action: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { reason, message, event: None, then: Then::Stall }.told(action, true)
    }

    /// An error that no condition tells of.
    pub fn untold(message: impl Into<String>) -> Self {
        Self { reason: "", message: message.into(), event: None, then: Then::Retry }
    }

    /// With an event of the same message.
    #[must_use]
    pub fn told(self, action: &'static str, is_warning: bool) -> Self {
        let message = self.message.clone();
        Self { event: Some(Told { action, is_warning, message }), ..self }
    }

    /// With an event of another message.
    #[must_use]
    pub fn warned(self, action: &'static str, message: impl Into<String>) -> Self {
        Self { event: Some(Told { action, is_warning: true, message: message.into() }), ..self }
    }
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Obstacle {}

impl From<Obstacle> for Halt {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(Box::new(obstacle))
    }
}
