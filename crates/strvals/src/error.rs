//! What is wrong with a text. The words are Helm's.

use thiserror::Error as ThisError;

use crate::{MAX_INDEX, MAX_NESTED_NAME_LEVEL};

/// Why a text cannot be assigned.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum Error {
    /// A name has no `=`. Names are quoted as Go quotes them.
    #[error("key {0} has no value")]
    NoValue(String),
    /// A name has a `,` in place of `=`.
    #[error("key {0} has no value (cannot end with ,)")]
    Comma(String),
    /// What stands behind a dot assigns nothing.
    #[error("key map {0} has no value")]
    NoValueInMap(String),
    /// A name has more than [`MAX_NESTED_NAME_LEVEL`] dots.
    #[error(
        "value name nested level is greater than maximum supported nested level of {MAX_NESTED_NAME_LEVEL}"
    )]
    Nested,
    /// An index is no number: what Go says.
    #[error("error parsing index: {0}")]
    Index(String),
    /// An index is below zero.
    #[error("negative {0} index not allowed")]
    NegativeIndex(i64),
    /// An index is above [`MAX_INDEX`].
    #[error("index of {0} is greater than maximum supported index of {MAX_INDEX}")]
    IndexTooLarge(i64),
    /// Something stands between `]` and `=`: its characters, each quoted.
    #[error("unexpected data at end of array index: {0}")]
    AfterIndex(String),
    /// A list that begins with `{` does not end.
    #[error("list must terminate with '}}'")]
    ListEnd,
    /// There is something else already where the text wants a list or a map. Types are named as in Go.
    #[error("unable to parse key: interface conversion: interface {{}} is {found}, not {wanted}")]
    Type {
        /// What is there.
        found: &'static str,
        /// What the text wants.
        wanted: &'static str,
    },
    /// A value is no JSON: what Go says.
    #[error("{0}")]
    Json(String),
    /// A file cannot be read: what the function said.
    #[error("{0}")]
    File(String),
    /// Lists and JSON would have more items than [`Limits::items`](crate::Limits::items).
    #[error("more than {0} items")]
    Items(usize),
    /// Lists and maps would lie deeper than [`Limits::depth`](crate::Limits::depth).
    #[error("nested deeper than {0}")]
    Depth(usize),
}

/// What Helm's command line says of a flag (`values.Options.MergeValues`).
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum FlagError {
    /// `--set`
    #[error("failed parsing --set data")]
    Set(#[source] Error),
    /// `--set-string`
    #[error("failed parsing --set-string data")]
    String(#[source] Error),
    /// `--set-file`
    #[error("failed parsing --set-file data")]
    File(#[source] Error),
    /// `--set-literal`
    #[error("failed parsing --set-literal data")]
    Literal(#[source] Error),
    /// `--set-json` with names: Helm shows the text and not what is wrong with it.
    #[error("failed parsing --set-json data {text}")]
    Json {
        /// The text of the flag.
        text: String,
        /// What is wrong with it; Helm does not tell.
        cause: Error,
    },
    /// `--set-json` with a whole object.
    #[error("failed parsing --set-json data JSON: {text}")]
    JsonObject {
        /// The text of the flag.
        text: String,
        /// What is wrong with it; Helm does not tell.
        cause: Error,
    },
}
