//! What is wrong with a trust policy.

use crate::level::LevelError;
use crate::name::NameError;
use crate::policy::{MAX_STATEMENTS, MAX_VALUES};
use crate::quote;
use crate::scope::ScopeError;

/// Why a text is no trust policy. The texts are notation-go's, but for the first four.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It is not JSON.
    #[error("invalid JSON: line {line}, column {column}")]
    Json {
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// A field has the wrong type.
    #[error("'{field}' must be {expected}")]
    Type {
        /// The field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Too many statements.
    #[error("trust policy document has more than {MAX_STATEMENTS} trust policy statements")]
    TooMany,
    /// A statement is too large.
    #[error("trust policy statement {} has more than {MAX_VALUES} values of '{field}'", quote(.statement))]
    TooManyValues {
        /// The statement.
        statement: String,
        /// The field.
        field: &'static str,
    },
    /// There is no version.
    #[error("trust policy document has empty version, version must be specified")]
    NoVersion,
    /// Another version.
    #[error("trust policy document uses unsupported version {}", quote(.0))]
    Version(String),
    /// Nothing is stated.
    #[error("trust policy document can not have zero trust policy statements")]
    Empty,
    /// Two statements have the same name.
    #[error("multiple trust policy statements use the same name {}, statement names must be unique", quote(.0))]
    Duplicate(String),
    /// A statement is wrong.
    #[error("trust policy: {0}")]
    Statement(#[from] StatementError),
    /// A scope is wrong.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

/// What is wrong with a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It has no name.
    #[error("a trust policy statement is missing a name, every statement requires a name")]
    NoName,
    /// Its level is wrong.
    #[error("trust policy statement {} has invalid signatureVerification: {source}", quote(.statement))]
    Level {
        /// The statement.
        statement: String,
        /// What is wrong.
        source: LevelError,
    },
    /// `verifyTimestamp` is wrong.
    #[error(
        "trust policy statement {} has invalid signatureVerification: verifyTimestamp must be \"always\" or \"afterCertExpiry\", \
         but got {}",
        quote(.statement),
        quote(.value)
    )]
    Timestamp {
        /// The statement.
        statement: String,
        /// What it says.
        value: String,
    },
    /// It trusts nobody, or nothing.
    #[error("trust policy statement {} is either missing trust stores or trusted identities, both must be specified", quote(.0))]
    Nobody(String),
    /// A trust store without a type.
    #[error(
        "trust policy statement {} has malformed trust store value {}. The required format is <TrustStoreType>:<TrustStoreName>",
        quote(.statement),
        quote(.store)
    )]
    Store {
        /// The statement.
        statement: String,
        /// The trust store.
        store: String,
    },
    /// A trust store of another type.
    #[error(
        "trust policy statement {} uses an unsupported trust store type {} in trust store value {}",
        quote(.statement),
        quote(.kind),
        quote(.store)
    )]
    StoreType {
        /// The statement.
        statement: String,
        /// The type.
        kind: String,
        /// The trust store.
        store: String,
    },
    /// A trust store's name is none.
    #[error(
        "trust policy statement {} uses an unsupported trust store name {} in trust store value {}. Named store name needs to \
         follow [a-zA-Z0-9_.-]+ format",
        quote(.statement),
        quote(.name),
        quote(.store)
    )]
    StoreName {
        /// The statement.
        statement: String,
        /// The name.
        name: String,
        /// The trust store.
        store: String,
    },
    /// Everybody, and somebody.
    #[error(
        "trust policy statement {} uses a wildcard trusted identity '*', a wildcard identity cannot be used in conjunction with \
         other values",
        quote(.0)
    )]
    Wildcard(String),
    /// An identity that is empty.
    #[error("trust policy statement {} has an empty trusted identity", quote(.0))]
    NoIdentity(String),
    /// An identity without a kind.
    #[error("trust policy statement {} has trusted identity {} missing separator", quote(.statement), quote(.identity))]
    Separator {
        /// The statement.
        statement: String,
        /// The identity.
        identity: String,
    },
    /// An identity without a name.
    #[error("trust policy statement {} has trusted identity {} without an identity value", quote(.statement), quote(.identity))]
    NoValue {
        /// The statement.
        statement: String,
        /// The identity.
        identity: String,
    },
    /// An identity's name is none.
    #[error(
        "trust policy statement {} has trusted identity {} with invalid identity value: {source}",
        quote(.statement),
        quote(.identity)
    )]
    Name {
        /// The statement.
        statement: String,
        /// The identity.
        identity: String,
        /// What is wrong.
        source: NameError,
    },
    /// One identity says no more than another one.
    #[error(
        "trust policy statement {} has overlapping x509 trustedIdentities, {} overlaps with {}",
        quote(.statement),
        quote(.one),
        quote(.other)
    )]
    Overlap {
        /// The statement.
        statement: String,
        /// The identity.
        one: String,
        /// The other one.
        other: String,
    },
}
