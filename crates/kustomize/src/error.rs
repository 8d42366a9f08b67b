//! What can go wrong in a build.

use crate::meter::{BYTES, NODES};
use crate::remote::FetchError;
use crate::tree::TreeError;

/// A failed build. The text names the file, the field or the resource at fault, in kustomize's words where it has any.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A step failed because of what is below it.
    ///
    /// The text tells the whole chain, so there is no [`source`](std::error::Error::source) to print once more.
    #[error("{context}: {cause}")]
    Context {
        /// The step.
        context: String,
        /// Why it failed.
        cause: Box<Error>,
    },
    /// The input breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// A file of the tree could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A text is not YAML or has no JSON form.
    #[error(transparent)]
    Yaml(#[from] yaml::Error),
    /// A file does not hold what was expected of YAML there.
    #[error("MalformedYAMLError: {fault} in File: {file}")]
    Malformed {
        /// The file as the kustomization names it.
        file: String,
        /// The fault.
        fault: yaml::Error,
    },
    /// A remote resource could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Whoever wanted the build wants it no longer.
    #[error("the build was cancelled")]
    Cancelled,
    /// The input asks for more than the limits allow.
    #[error("more than {limit} {what}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// The allowed number.
        limit: u64,
    },
}

/// A limit that depends on the memory there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// [`Limits::nodes`](crate::Limits::nodes).
    Nodes,
    /// [`Limits::total_bytes`](crate::Limits::total_bytes).
    Bytes,
}

/// Result of a build step.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// The build keeps more nodes than it may.
    pub(crate) fn nodes(limit: u64) -> Self {
        Self::Limit { what: NODES, limit }
    }

    /// The build takes more steps than it may.
    pub(crate) fn work(limit: u64) -> Self {
        Self::Limit { what: "steps of work", limit }
    }

    /// The limit of [`Limits`](crate::Limits) that was passed, if it is one that depends on the memory there is.
    pub fn budget(&self) -> Option<Budget> {
        match self {
            Self::Context { cause, .. } => cause.budget(),
            Self::Limit { what, .. } if *what == NODES => Some(Budget::Nodes),
            Self::Limit { what, .. } if *what == BYTES => Some(Budget::Bytes),
            _ => None,
        }
    }

    /// The error with each of its texts changed so.
    pub(crate) fn map_texts(self, change: &impl Fn(&str) -> String) -> Self {
        match self {
            Self::Context { context, cause } => {
                Self::Context { context: change(&context), cause: Box::new(cause.map_texts(change)) }
            }
            cause => {
                let text = cause.to_string();
                let changed = change(&text);
                if changed == text { cause } else { Self::Invalid(changed) }
            }
        }
    }

    /// True when no other reading of the input is worth a try.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Context { cause, .. } => cause.is_final(),
            Self::Cancelled => true,
            _ => self.budget().is_some(),
        }
    }

    /// True when the fault is the YAML of a file, so that reading the path as a directory is not worth mentioning.
    pub(crate) fn is_malformed_yaml(&self) -> bool {
        match self {
            Self::Malformed { .. } => true,
            Self::Context { cause, .. } => cause.is_malformed_yaml(),
            _ => false,
        }
    }
}

/// Names the failed step.
pub(crate) trait Context<T> {
    fn context(self, context: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, context: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::Context { context: context(), cause: Box::new(cause.into()) })
    }
}
