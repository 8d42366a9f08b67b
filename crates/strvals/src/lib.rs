//! Assignments of values in one text, as Helm 4.3 reads them (its package `strvals`): `a.b=1,c[0]={x,y}`.
//!
//! | Function | Flag of Helm | Values |
//! |---|---|---|
//! | [`parse_into`] | `--set` | `true`, `false`, `null`, integers, `{a,b}` lists; all else is text |
//! | [`parse_into_string`] | `--set-string` | text, and lists of it |
//! | [`parse_into_json`] | `--set-json` | JSON |
//! | [`parse_into_file`] | `--set-file` | what a function reads for the text |
//! | [`parse_into_literal`] | `--set-literal` | all that is left of the text, as it is |
//!
//! [`Flag::apply`] is the same with the words that Helm's command line puts before an error; `--set-json` of it takes a whole object, too.
//!
//! Integers are made as `i64` and numbers in JSON as `f64`: templates can tell them apart.
//!
//! # What Helm does, odd as it is
//!
//! - A text that ends within an index or behind one assigns nothing and is no error: `a[0=1`, `a[0]`.
//! - `a[0].b=` at the end of a text, where `a` has no item 0, leaves `a` an empty list.
//! - `01` and `1.5` are texts, `+1` is 1.
//!
//! # Where this differs from Helm
//!
//! [`Limits`] bound what one text makes. Helm has bounds for an index and for the dots of a name alone, and both do not count across lists.

#![forbid(unsafe_code)]

mod error;
mod flag;
mod json;
mod parser;
mod text;

use serde_json::{Map, Value};

pub use error::{Error, FlagError};
pub use flag::Flag;

use parser::{Parser, Reading};

/// The largest index of a list (Helm's `MaxIndex`).
pub const MAX_INDEX: usize = 65_536;

/// The most dots in a name (Helm's `MaxNestedNameLevel`). Those behind an index count anew.
pub const MAX_NESTED_NAME_LEVEL: usize = 30;

/// What one text may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Items that lists grow by, and values within JSON.
    pub items: usize,
    /// Lists and maps within each other. Parsing recurses.
    pub depth: usize,
}

impl Default for Limits {
    /// Four lists of the greatest length: about 10 MiB.
    fn default() -> Self {
        Self { items: 4 * (MAX_INDEX + 1), depth: 100 }
    }
}

/// What `--set-file` puts in place of a text. The error is told as it is.
pub type ReadFile<'f> = dyn FnMut(&str) -> Result<String, String> + 'f;

/// Assigns typed values (`ParseInto`).
///
/// # Errors
/// The text is malformed, or asks for more than the limits. Some of it may be assigned by then.
pub fn parse_into(text: &str, values: &mut Map<String, Value>, limits: &Limits) -> Result<(), Error> {
    Parser::new(text, Reading::Typed, limits).parse(values)
}

/// Assigns texts (`ParseIntoString`).
///
/// # Errors
/// See [`parse_into`].
pub fn parse_into_string(text: &str, values: &mut Map<String, Value>, limits: &Limits) -> Result<(), Error> {
    Parser::new(text, Reading::Text, limits).parse(values)
}

/// Assigns values in JSON (`ParseJSON`); where there is none, `null`.
///
/// # Errors
/// See [`parse_into`].
pub fn parse_into_json(text: &str, values: &mut Map<String, Value>, limits: &Limits) -> Result<(), Error> {
    Parser::new(text, Reading::Json, limits).parse(values)
}

/// Assigns what `read` gives for the texts (`ParseIntoFile`).
///
/// # Errors
/// See [`parse_into`]; what `read` fails with.
pub fn parse_into_file(
    text: &str,
    values: &mut Map<String, Value>,
    read: &mut ReadFile<'_>,
    limits: &Limits,
) -> Result<(), Error> {
    Parser::new(text, Reading::File(read), limits).parse(values)
}

/// Assigns the rest of the text behind the first `=` (`ParseLiteralInto`). Nothing is escaped, in the name neither.
///
/// # Errors
/// See [`parse_into`].
pub fn parse_into_literal(text: &str, values: &mut Map<String, Value>, limits: &Limits) -> Result<(), Error> {
    Parser::new(text, Reading::Literal, limits).parse(values)
}
