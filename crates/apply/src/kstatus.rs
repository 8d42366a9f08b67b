//! Whether an object is ready.

use jiff::Timestamp;
use serde_json::Value;

/// The state of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Ready.
    Current,
    /// On the way.
    InProgress,
    /// Will not get ready by itself.
    Failed,
    /// Being deleted.
    Terminating,
    /// Not there.
    NotFound,
    /// Cannot be told.
    Unknown,
}

impl Status {
    /// The word used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "Current",
            Self::InProgress => "InProgress",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::NotFound => "NotFound",
            Self::Unknown => "Unknown",
        }
    }
}

/// The state of an object and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// State.
    pub status: Status,
    /// Why, for people; empty when current.
    pub message: String,
}

/// Judges an object at a time.
pub fn verdict(_object: &Value, _now: Timestamp) -> Verdict {
    todo!()
}
