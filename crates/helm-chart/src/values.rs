//! Values: default values of charts, and values files that are merged into others.

use std::io;

use serde_json::{Map, Number, Value};

use crate::chart::Chart;
use crate::fields::{FieldError, first_document, kind};
use crate::limits::Limits;
use crate::tree::{Node, Tree, clean_path};

/// Values of a chart.
pub type Values = Map<String, Value>;

/// Values files that were merged.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// What they give together.
    pub values: Values,
    /// Those that were there, as they were named.
    pub files: Vec<String>,
}

/// Why values files give no values, in Flux's words.
#[derive(Debug, thiserror::Error)]
pub enum ValuesError {
    /// There is no such file in a source.
    #[error("no values file found at path '/{path}' (reference '{reference}')")]
    NotInTree {
        /// Where it was looked for.
        path: String,
        /// How it was named.
        reference: String,
    },
    /// There is no such file in a chart.
    #[error("no values file found at path '{0}'")]
    NotInChart(String),
    /// The file cannot be read.
    #[error("could not read values from file '{path}'")]
    Read {
        /// How it was named.
        path: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// The file is too large.
    #[error("could not read values from file '{path}': file size ({size}) exceeds limit ({limit})")]
    Size {
        /// How it was named.
        path: String,
        /// Its bytes.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The file holds no values.
    #[error("unmarshaling values from '{path}' failed")]
    Content {
        /// How it was named.
        path: String,
        /// What is wrong.
        #[source]
        source: FieldError,
    },
    /// There are too many.
    #[error("more than {0} values files")]
    Count(usize),
    /// The chart has no default values to replace.
    #[error(transparent)]
    NoDefaults(#[from] NoDefaultValues),
}

/// A document of values cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is no map, or no YAML.
    #[error("cannot unmarshal yaml document")]
    Content(#[from] FieldError),
    /// There is something on the line that separates it from the one before.
    #[error("error reading yaml document: invalid Yaml document separator: {0}")]
    Separator(String),
}

/// The chart has no values.yaml, so that there is nothing to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to locate values file: values.yaml")]
pub struct NoDefaultValues;

/// Merges values files of the tree that a chart is in; their paths begin at its root.
///
/// # Errors
/// See [`ValuesError`]; a file that is not there is none with `ignore_missing`.
pub fn merge_from_tree(
    tree: &dyn Tree,
    paths: &[String],
    ignore_missing: bool,
    limits: &Limits,
) -> Result<Merged, ValuesError> {
    merge_all(paths, limits, |reference| {
        let path = clean_path(reference);
        match tree.node(&path) {
            None if ignore_missing => Ok(None),
            Some(Node::File { size }) if size > limits.file_bytes => {
                Err(ValuesError::Size { path: reference.to_owned(), size, limit: limits.file_bytes })
            }
            Some(Node::File { .. }) => {
                let read = tree.read(&path);
                let data = read.map_err(|source| ValuesError::Read { path: reference.to_owned(), source })?;
                content(reference, &data, limits).map(Some)
            }
            _ => Err(ValuesError::NotInTree { path, reference: reference.to_owned() }),
        }
    })
}

/// Merges values files that are in the chart itself; `values.yaml` names its default values.
///
/// # Errors
/// As [`merge_from_tree`].
pub fn merge_from_chart(
    chart: &Chart,
    paths: &[String],
    ignore_missing: bool,
    limits: &Limits,
) -> Result<Merged, ValuesError> {
    merge_all(paths, limits, |reference| {
        let path = clean_path(reference);
        if path == "values.yaml" {
            return Ok(Some(chart.values.clone()));
        }
        // What goes up, or begins at the top, is no path in a chart.
        let is_within = !reference.starts_with('/') && !reference.split('/').any(|part| part == "..");
        match chart.files.iter().find(|file| is_within && file.name == path) {
            Some(file) => content(reference, &file.data, limits).map(Some),
            None if ignore_missing => Ok(None),
            None => Err(ValuesError::NotInChart(reference.to_owned())),
        }
    })
}

fn merge_all(
    paths: &[String],
    limits: &Limits,
    find: impl Fn(&str) -> Result<Option<Values>, ValuesError>,
) -> Result<Merged, ValuesError> {
    if paths.len() > limits.values_files {
        return Err(ValuesError::Count(limits.values_files));
    }
    let mut merged = Merged { values: Values::new(), files: Vec::new() };
    for path in paths {
        if let Some(values) = find(path)? {
            yaml::merge_values(&mut merged.values, values);
            merged.files.push(path.clone());
        }
    }
    Ok(merged)
}

fn content(path: &str, data: &[u8], limits: &Limits) -> Result<Values, ValuesError> {
    first_document(data, &limits.yaml)
        .and_then(values)
        .map_err(|source| ValuesError::Content { path: path.to_owned(), source })
}

/// The values of a file, whose documents are merged: those that come later count.
///
/// # Errors
/// A document is no YAML, or no map.
pub fn read_values(data: &[u8], limits: &yaml::Limits) -> Result<Values, DocumentError> {
    let mut merged = Values::new();
    // Helm reads line by line, and gives each its end: the last line of a block text, too.
    let ended = [data, if data.is_empty() || data.ends_with(b"\n") { b"" } else { b"\n" }].concat();
    let (mut rest, mut count) = (&*ended, 0);
    while !rest.is_empty() {
        count += 1;
        if count > limits.documents {
            let limit = yaml::Error::Limit { line: 0, what: "documents", limit: limits.documents };
            return Err(FieldError::Yaml(limit).into());
        }
        let (end, next) = first_end(rest)?;
        let (document, _) = rest.split_at(end);
        yaml::merge_values(&mut merged, values(first_document(document, limits)?)?);
        rest = rest.get(next..).unwrap_or_default();
    }
    Ok(merged)
}

/// Where the first document ends, which is before a line that begins with `---`, and where the next one begins, behind that line. A separator
/// that nothing is before belongs to what follows (`YAMLReader` of `k8s.io/apimachinery`).
fn first_end(data: &[u8]) -> Result<(usize, usize), DocumentError> {
    let mut end = 0;
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        let next = end + line.len();
        if let Some(after) = line.strip_prefix(b"---") {
            let after = after.trim_ascii();
            if !after.is_empty() && !after.starts_with(b"#") {
                return Err(DocumentError::Separator(String::from_utf8_lossy(after).into_owned()));
            }
            if end > 0 {
                return Ok((end, next));
            }
        }
        end = next;
    }
    Ok((end, end))
}

/// Makes all numbers floats, as they are in values that were read from YAML.
pub fn floats(values: &mut Values) {
    values.values_mut().for_each(make_floats);
}

fn make_floats(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().and_then(Number::from_f64) {
                *number = float;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_floats),
        Value::Object(entries) => floats(entries),
        _ => {}
    }
}

fn values(document: Value) -> Result<Values, FieldError> {
    match document {
        Value::Null => Ok(Values::new()),
        Value::Object(values) => Ok(values),
        other => Err(FieldError::Type {
            found: kind(&other),
            place: "Go value".to_owned(),
            expected: "map[string]interface {}",
        }),
    }
}
