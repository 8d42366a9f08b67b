use crate::parse::ParseError;
use crate::run::Exhausted;

/// Why a template could not be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `template: NAME:LINE:COLUMN: executing "NAME" at <NODE>: …`, Go's `template.ExecError`.
    #[error("{message}")]
    Execution {
        /// What went wrong, and where. That of the cause is part of it.
        message: String,
        /// What the function says that was called there.
        cause: Option<Box<Error>>,
    },
    /// A set has no such template. Both names are quoted.
    #[error("template: no template {name} associated with template {set}")]
    Missing {
        /// Of the template.
        name: String,
        /// Of the set.
        set: String,
    },
    /// What a function says. Where the template called it, it becomes part of an `Execution`.
    #[error("{0}")]
    Function(String),
    /// What a function wanted to execute is no template.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The budget is used up. It stays what it is on its way out.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::Function(message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::Function(message.to_owned())
    }
}

/// The most bytes that a message has. Each template that was called adds its own place, and they may be many.
const LONGEST: usize = 256 << 10;

/// The message, cut if it is too long.
pub(crate) fn bounded(mut message: String) -> String {
    if message.len() > LONGEST {
        message.truncate(message.floor_char_boundary(LONGEST));
        message.push('…');
    }
    message
}
