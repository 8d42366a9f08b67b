//! Composition: references in their order, inline values on top.

use std::error::Error as StdError;

use api::helm_release::ValuesReference;
use helm_chart::{FieldError, Fields, Values, first_document, floats};
use serde_json::Value;

use crate::error::{Error, Reason, ReferenceError};
use crate::referents::{Kind, Referent, Referents};
use crate::sharing::Composed;

/// What the values of one HelmRelease may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// References.
    pub references: usize,
    /// Bytes of all objects that are read, and bytes that all references give together. There, one key that two references name counts
    /// twice.
    pub bytes: usize,
    /// Values in the result, those in others included.
    pub values: usize,
    /// Of the YAML text of one reference.
    pub yaml: yaml::Limits,
    /// Of the assignment of one reference.
    pub assignment: strvals::Limits,
}

impl Default for Limits {
    /// 16 objects of the size that they may have at most, or many small ones; some 100 MiB of memory at the worst.
    fn default() -> Self {
        Self {
            references: 1_000,
            bytes: 16 << 20,
            values: 500_000,
            yaml: yaml::Limits { bytes: 2 << 20, nodes: 200_000, ..yaml::Limits::default() },
            assignment: strvals::Limits::default(),
        }
    }
}

/// Composes values: for each reference in order its map is merged, or its content assigned to its target path; inline values are merged
/// on top (Flux: `chartutil.ChartValuesFromReferences`). What is not an object inline counts for nothing.
///
/// # Errors
/// See [`Error`]. What is optional may be missing, and is then told to `missing`, which Flux logs.
pub fn compose(
    namespace: &str,
    inline: Option<&Value>,
    references: &[ValuesReference],
    referents: &Referents,
    limits: &Limits,
    missing: &mut dyn FnMut(&ReferenceError),
) -> Result<Values, Error> {
    check_number(references, limits)?;
    let mut inline = inline.and_then(Value::as_object).cloned().unwrap_or_default();
    floats(&mut inline);
    let mut composed = Composed::new(inline);
    let mut bytes = 0;
    for (at, reference) in references.iter().enumerate() {
        let is_first = || !references.iter().take(at).any(|other| is_same_object(other, reference));
        let fail = |reason, cause| Box::new(ReferenceError::new(namespace, reference, reason, cause));
        let content = match content(reference, referents, is_first) {
            Ok(content) => content,
            Err(Absent::Failed(text)) => return Err(Error::Get(text)),
            Err(Absent::Unsupported) => return Err(fail(Reason::UnsupportedKind, None).into()),
            Err(Absent::Missing(reason, cause)) if reference.optional => {
                missing(&fail(reason, cause));
                continue;
            }
            Err(Absent::Missing(reason, cause)) => return Err(fail(reason, cause).into()),
        };
        bytes += content.len();
        if bytes > limits.bytes {
            return Err(Error::Bytes(limits.bytes));
        }
        match reference.target_path.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => {
                let value = String::from_utf8_lossy(content);
                assign(&mut composed, path, &value, reference.literal, &limits.assignment)
                    .map_err(|error| fail(Reason::Merge, Some(error.to_string())))?;
            }
            None => {
                let values = read(content, &limits.yaml)
                    .map_err(|error| fail(Reason::DataRead, Some(whole_text(&error))))?;
                composed.merge(values);
            }
        }
        if composed.count() > limits.values {
            return Err(Error::Values(limits.values));
        }
    }
    Ok(composed.finish())
}

pub(crate) fn check_number(references: &[ValuesReference], limits: &Limits) -> Result<(), Error> {
    if references.len() > limits.references {
        return Err(Error::References(limits.references));
    }
    Ok(())
}

/// Why a reference has no content.
enum Absent {
    Failed(String),
    Unsupported,
    Missing(Reason, Option<String>),
}

/// The content that a reference names. The API server's text about a missing object is for the first reference to it, as in Flux, which
/// asks but once.
fn content<'r>(
    reference: &ValuesReference,
    referents: &'r Referents,
    is_first: impl Fn() -> bool,
) -> Result<&'r [u8], Absent> {
    let kind = Kind::of(reference).ok_or(Absent::Unsupported)?;
    match referents.get(kind, &reference.name) {
        Some(Referent::Found(entries)) => {
            entries.get(reference.values_key()).ok_or(Absent::Missing(Reason::KeyNotFound, None))
        }
        Some(Referent::NotFound(text)) if is_first() => {
            Err(Absent::Missing(Reason::ResourceNotFound, Some(text.clone())))
        }
        Some(Referent::NotFound(_)) | None => Err(Absent::Missing(Reason::ResourceNotFound, None)),
        Some(Referent::Failed(text)) => Err(Absent::Failed(text.clone())),
    }
}

fn is_same_object(one: &ValuesReference, other: &ValuesReference) -> bool {
    one.kind == other.kind && one.name == other.name
}

/// The map that a YAML text is; an empty one is an empty map (Helm: `common.ReadValues`).
fn read(content: &[u8], limits: &yaml::Limits) -> Result<Values, FieldError> {
    let document = first_document(content, limits)?;
    Fields::of(&document, "common.Values")?;
    let mut values = match document {
        Value::Object(values) => values,
        _ => Values::new(),
    };
    floats(&mut values);
    Ok(values)
}

/// Assigns a content to a path (Flux: `chartutil.ReplacePathValue` and `ReplacePathLiteralValue`).
fn assign(
    composed: &mut Composed,
    path: &str,
    value: &str,
    literal: bool,
    limits: &strvals::Limits,
) -> Result<(), strvals::Error> {
    let is_quoted = |quote| value.starts_with(quote) && value.ends_with(quote);
    if literal {
        let text = format!("{path}={}", escaped(value));
        composed.assign(&text, |text, values| strvals::parse_into_string(text, values, limits))
    } else if is_quoted('\'') || is_quoted('"') {
        let text = format!("{path}={}", value.trim_matches(['\'', '"']));
        composed.assign(&text, |text, values| strvals::parse_into_string(text, values, limits))
    } else {
        let text = format!("{path}={value}");
        composed.assign(&text, |text, values| strvals::parse_into(text, values, limits))
    }
}

/// A value in which nothing is special.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '\\' | ',' | '[' | ']' | '{' | '}') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The text of an error and of all that caused it, as Go writes it.
fn whole_text(error: &FieldError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
