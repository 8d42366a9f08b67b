//! Formats: bytes to trees and back.

mod dotenv;
mod ini;
mod json;
mod yaml;

use zeroize::Zeroizing;

use crate::Format;
use crate::limits::{LimitError, Limits};
use crate::metadata::{self, MetadataError};
use crate::number;
use crate::tree::{Branch, Item, Text, Value};

pub(crate) use json::{from_json, into_json};

/// Why a document cannot be read. No text shows a value of it.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It asks for too much.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// It is no text.
    #[error("not UTF-8")]
    Utf8,
    /// It is no YAML.
    #[error("Error unmarshaling input YAML: {0}")]
    Yaml(#[from] ::yaml::Error),
    /// It is YAML that SOPS does not take.
    #[error("Error unmarshaling input YAML: line {line}: {problem}")]
    YamlTree {
        /// The line, from 1.
        line: u32,
        /// What is wrong there.
        problem: &'static str,
    },
    /// It is no JSON, or no object.
    #[error("Could not unmarshal input data: {0}")]
    Json(#[from] serde_json::Error),
    /// A line is neither empty, nor a comment, nor `NAME=value`.
    #[error("invalid dotenv input line {line}")]
    Dotenv {
        /// The line, from 1.
        line: usize,
    },
    /// It is no INI file.
    #[error("Could not unmarshal input data: line {line}: {problem}")]
    Ini {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// It has no metadata, or they are malformed.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

/// Why a decrypted document cannot be written in a format. No text shows a value of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// Binary content is one text under `data`.
    #[error("error emitting binary store: no binary data found in tree")]
    NoData,
    /// The same.
    #[error("error emitting binary store: 'data' key in tree does not have a string value")]
    DataType,
    /// A format without nesting.
    #[error("cannot use complex value in dotenv file; offending key {0}")]
    Complex(String),
    /// Values of an INI file stand in sections.
    #[error("Error marshaling to INI: Error encoding section: Section values should always be TreeBranches")]
    Section,
    /// A section or key without a name.
    #[error("Error marshaling to INI: empty name")]
    Name,
    /// It would have too many bytes.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// JSON has neither infinities nor NaN.
    #[error("Error marshaling to json: json: unsupported value")]
    Float,
}

/// Reads an encrypted document: its content without the metadata, and these.
pub(crate) fn load(
    content: &[u8],
    format: Format,
    limits: &Limits,
) -> Result<(Vec<Branch>, Branch), ParseError> {
    Limits::check("bytes", content.len(), limits.bytes)?;
    let text = str::from_utf8(content).map_err(|_| ParseError::Utf8)?;
    let mut branches = match format {
        Format::Binary | Format::Json => vec![json::load(text, limits)?],
        Format::Dotenv => vec![dotenv::load(text, limits)?],
        Format::Ini => vec![ini::load(text, limits)?],
        Format::Yaml => yaml::load(text, limits)?,
    };
    let found = match format {
        Format::Dotenv => metadata::unflatten(dotenv::take_metadata(&mut branches)?)?,
        Format::Ini => metadata::unflatten(ini::unescape(metadata::take(&mut branches)?))?,
        _ => metadata::take(&mut branches)?,
    };
    Ok((branches, found))
}

/// Writes a decrypted document. Formats without streams write the first one.
pub(crate) fn emit(
    branches: &[Branch],
    format: Format,
    limits: &Limits,
) -> Result<Zeroizing<Vec<u8>>, EmitError> {
    let bytes = branches.iter().map(|branch| most_bytes(branch, format, 0)).fold(0, usize::saturating_add);
    Limits::check("bytes when it is written", bytes, limits.emitted_bytes)?;
    let empty = Branch::new();
    let first = branches.first().unwrap_or(&empty);
    match format {
        Format::Binary => binary(first),
        Format::Dotenv => dotenv::emit(first),
        Format::Ini => ini::emit(first),
        Format::Json => json::emit(first),
        Format::Yaml => Ok(yaml::emit(branches)),
    }
}

/// Bytes that an indented document has at most, and aligned keys of INI: sections are mappings.
fn most_bytes(branch: &Branch, format: Format, depth: usize) -> usize {
    let widest = branch.iter().map(|item| match item {
        Item::Entry(key, _) if format == Format::Ini => key.len(),
        _ => 0,
    });
    let width = widest.max().unwrap_or(0);
    let items = branch.iter().map(|item| match item {
        Item::Comment(comment) => most_bytes_of_text(comment.text.bytes(), depth),
        Item::Entry(key, value) => {
            let key = most_bytes_of_text(key.as_bytes(), depth).saturating_add(width);
            key.saturating_add(most_bytes_of_value(value, format, depth))
        }
    });
    items.fold(0, usize::saturating_add)
}

fn most_bytes_of_value(value: &Value, format: Format, depth: usize) -> usize {
    match value {
        Value::Text(text) => most_bytes_of_text(text.bytes(), depth),
        // In YAML each byte is an item of a list.
        Value::Bytes(bytes) => {
            bytes.bytes().len().saturating_add(1).saturating_mul(most_bytes_of_text(b"", depth + 1))
        }
        Value::Comment(comment) => most_bytes_of_text(comment.text.bytes(), depth),
        Value::Map(branch) => most_bytes(branch, format, depth + 1),
        Value::List(items) => {
            let items = items.iter().map(|item| most_bytes_of_value(item, format, depth + 1));
            items.fold(0, usize::saturating_add)
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Time(_) => {
            most_bytes_of_text(b"", depth)
        }
    }
}

/// Each line is indented by four columns for each depth; an escaped byte has six characters. There is room for quotes, marks and
/// numbers.
fn most_bytes_of_text(text: &[u8], depth: usize) -> usize {
    let lines = 1 + text.iter().filter(|byte| **byte == b'\n').count();
    text.len().saturating_mul(6).saturating_add(lines.saturating_mul(4 * depth + 8)).saturating_add(32)
}

fn binary(branch: &Branch) -> Result<Zeroizing<Vec<u8>>, EmitError> {
    let data = branch.iter().find_map(|item| match item {
        Item::Entry(key, value) if key == "data" => Some(value),
        _ => None,
    });
    match data {
        Some(Value::Text(text)) => Ok(Zeroizing::new(text.bytes().to_vec())),
        Some(_) => Err(EmitError::DataType),
        None => Err(EmitError::NoData),
    }
}

/// A value in a format that knows text alone. Mappings and lists have none.
fn plain(value: &Value) -> Option<Text> {
    Some(match value {
        Value::Null => "<nil>".into(),
        Value::Bool(value) => value.to_string().into(),
        Value::Int(value) => value.to_string().into(),
        Value::Float(value) => number::short_text(*value).into(),
        // Without fractions of a second.
        Value::Time(text) => crate::timestamp::to_seconds(text).unwrap_or_else(|| text.clone()).into(),
        Value::Text(text) => text.clone(),
        Value::Bytes(text) => format!("{:?}", text.bytes()).replace(',', "").into(),
        Value::Comment(_) | Value::List(_) | Value::Map(_) => return None,
    })
}
