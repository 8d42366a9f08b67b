//! Values of a Helm chart, judged by its `values.schema.json` as Helm 4.3 does (`ValidateAgainstSingleSchema`, by way of the Go library
//! `santhosh-tekuri/jsonschema` 6.0.3), with the same messages.
//!
//! ```text
//! text ── document ── documents (resources, anchors) ── compile ── compare ── report
//!                         └── metaschemas
//! ```
//!
//! Drafts 4, 6, 7, 2019-09 and 2020-12; without `$schema` it is the last one. Formats are compared up to draft 7. Regular expressions
//! are Go's: a look-ahead is an error of the schema.
//!
//! # What is left to the caller
//!
//! One schema is one call. For a tree of charts Helm compares the coalesced values of the chart with its schema, then, for each
//! dependency, the table under its name, if there is one; no table and no `null` there is `invalid type for values: expected object
//! (map), got TYPE`. The texts are put together as `NAME:\n` and the error for each chart that has one, behind
//! `values don't meet the specifications of the schema(s) in the following chart(s):\n`. [`SchemaError::Values`] ends with a line break,
//! as in Helm; the others do not.
//!
//! # Where this differs from Helm
//!
//! - Nothing is loaded from a network or a disk: such a `$ref` is an error. An address of the scheme `urn` allows all, as in Helm.
//! - What Go takes from a map in no order is sorted here: properties, and messages about them.
//! - [`Limits`] bound time, memory and stack. A number with more than 1000 digits, or an exponent above 1000, is refused.
//! - A message about a property's name tells the right place; Go's tells that of a neighbour at times.
//! - Go's regular expressions can be larger than those here.

#![forbid(unsafe_code)]

mod compare;
mod compile;
mod document;
mod documents;
mod draft;
mod format;
mod limits;
mod metaschemas;
mod number;
mod pointer;
mod report;
mod schema;
mod scope;

use serde_json::{Map, Value};
use thiserror::Error;

pub use limits::{Exceeded, Limits};

use compare::{Comparison, Resources};
use compile::Compiler;
use document::Json;
use documents::Documents;
use limits::Meter;
use metaschemas::{Metaschemas, Strict};

/// Where Helm has the schema of a chart.
const ADDRESS: &str = "file:///values.schema.json";

/// Why values are not taken. The texts are Helm's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// The schema is no JSON.
    #[error("{0}")]
    Syntax(String),
    /// The schema is none, or refers to what there is not.
    #[error("{0}")]
    Invalid(String),
    /// The values do not meet the schema: a list item a line.
    #[error("{0}")]
    Values(String),
    /// Schema or values are too large for the limits, or comparing them takes too long.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
}

/// Compares values with the schema of a chart.
///
/// # Errors
/// See [`SchemaError`].
pub fn validate(schema: &[u8], values: &Map<String, Value>, limits: &Limits) -> Result<(), SchemaError> {
    let meter = Meter::new(limits);
    let document = document::read(schema, &meter)?;
    let metaschemas = Metaschemas::get()?;
    let judge = Strict { metaschemas, meter: &meter };
    let mut documents = Documents::new(&meter);
    documents.give(ADDRESS, &document);
    let mut compiler = Compiler::new(documents, &judge, &[], false);
    let root = compiler.compile(ADDRESS)?;
    let schemas = compiler.finish();
    let values = Json::from_values(values, &meter)?;
    let comparison = Comparison { schemas: &schemas, meter: &meter, resources: Resources::new() };
    match comparison.run(&values, root)? {
        None => Ok(()),
        Some(lines) => Err(SchemaError::Values(format!("{}\n", lines.trim_start_matches('\n')))),
    }
}
