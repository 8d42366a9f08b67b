//! Why values cannot be composed, in Flux's words.

use std::fmt;

use api::helm_release::ValuesReference;

use crate::Kind;

/// Why values cannot be composed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A reference cannot be resolved.
    #[error(transparent)]
    Reference(#[from] Box<ReferenceError>),
    /// The API server did not give an object: its text.
    #[error("{0}")]
    Get(String),
    /// There are more references than [`Limits::references`](crate::Limits::references).
    #[error("more than {0} values references")]
    References(usize),
    /// The objects that are read, or the references together, hold more bytes than [`Limits::bytes`](crate::Limits::bytes).
    #[error("values references hold more than {0} bytes")]
    Bytes(usize),
    /// The values are more than [`Limits::values`](crate::Limits::values).
    #[error("more than {0} values")]
    Values(usize),
}

/// A reference cannot be resolved (Flux: `ErrValuesReference`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ReferenceError {
    /// What kind of error it is.
    pub reason: Reason,
    /// Kind of the referent, as the reference has it.
    pub kind: String,
    /// Namespace of the referent.
    pub namespace: String,
    /// Name of the referent.
    pub name: String,
    /// The key that was looked for.
    pub key: String,
    /// Whether the reference is optional, which forgives only what is not there.
    pub optional: bool,
    /// What is wrong in detail, unless it may tell what a Secret holds.
    pub cause: Option<String>,
}

/// A kind of error of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The object is not there.
    ResourceNotFound,
    /// The object has no such key.
    KeyNotFound,
    /// The reference is of another kind.
    UnsupportedKind,
    /// The content is no YAML, or no map.
    DataRead,
    /// The content cannot be assigned to the target path.
    Merge,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::ResourceNotFound => "resource not found",
            Self::KeyNotFound => "key not found",
            Self::UnsupportedKind => "unsupported values reference kind",
            Self::DataRead => "failed to read values data",
            Self::Merge => "failed to merge value",
        }
    }
}

impl ReferenceError {
    pub(crate) fn new(
        namespace: &str,
        reference: &ValuesReference,
        reason: Reason,
        cause: Option<String>,
    ) -> Self {
        let quotes_content = matches!(reason, Reason::DataRead | Reason::Merge);
        Self {
            reason,
            kind: reference.kind.clone(),
            namespace: namespace.to_owned(),
            name: reference.name.clone(),
            key: reference.values_key().to_owned(),
            optional: reference.optional,
            cause: cause.filter(|_| !quotes_content || Kind::of(reference) != Some(Kind::Secret)),
        }
    }
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, kind, namespace, name, key, optional, cause } = self;
        f.write_str("could not resolve")?;
        if *optional {
            f.write_str(" optional")?;
        }
        if !kind.is_empty() {
            write!(f, " {kind}")?;
        }
        let reason = cause.as_deref().unwrap_or(reason.as_str());
        write!(f, " chart values reference '{namespace}/{name}' with key '{key}': {reason}")
    }
}
