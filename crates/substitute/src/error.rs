//! Errors in the words of Flux, which users and tools match on.

/// A failed substitution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A variable, used or not, has a name that no shell would accept.
    #[error("envsubst error: '{0}' var name is invalid, must match '^[_[:alpha:]][_[:alpha:][:digit:]]*$'")]
    VariableName(String),
    /// An expression is malformed.
    #[error("envsubst error: variable substitution failed: {0}")]
    Syntax(#[from] SyntaxError),
    /// Strict mode: a variable without default is not set.
    #[error("envsubst error: variable substitution failed: variable not set (strict mode): {0:?}")]
    NotSet(String),
    /// The result was cut inside a character.
    #[error("envsubst error: variable substitution failed: the result is not valid UTF-8")]
    NotUtf8,
    /// More than [`Limits`](crate::Limits) allow.
    #[error("envsubst error: variable substitution failed: more than {limit} {what}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// The allowed number.
        limit: usize,
    },
    /// The object is no longer YAML after substitution.
    #[error("envsubst error: YAMLToJSON: {0}")]
    Yaml(#[from] yaml::Error),
}

/// What is wrong with an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// The operator or its argument does not fit.
    #[error("bad substitution")]
    BadSubstitution,
    /// Something other than an operator or `}` follows the name.
    #[error("missing closing brace")]
    MissingClosingBrace,
    /// No name follows `${`.
    #[error("unable to parse variable name")]
    VariableName,
    /// The text ends inside an argument, or an argument is missing.
    #[error("unable to parse substitution within function")]
    Argument,
    /// A default operator is malformed.
    #[error("unable to parse default function")]
    Default,
}
