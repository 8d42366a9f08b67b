//! JSON as Go's `encoding/json` writes and reads it.

mod decode;

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gotemplate::value::{Object, Text, Type};
use gotemplate::{Error, Value};

pub(crate) use decode::{Failure, decode};

use crate::call::{Call, LIST, MAP, Outcome, Table};
use crate::semver::Version;
use crate::time::Time;

const ANY: Type = Type::Any;
const TEXT: Type = Type::String;

pub(crate) fn add(table: &mut Table) {
    let mut encoder = |name: &str, raises: bool, style: Style| {
        table.add(name, &[ANY], TEXT, move |call| match encode(call, call.value(0), style) {
            Ok(text) => Ok(text.into()),
            Err(Error::Function(_)) if !raises => Ok("".into()),
            Err(error) => Err(error),
        });
    };
    encoder("toJson", false, Style::Escaped);
    encoder("mustToJson", true, Style::Escaped);
    encoder("toPrettyJson", false, Style::Pretty);
    encoder("mustToPrettyJson", true, Style::Pretty);
    // sprig raises in both.
    encoder("toRawJson", true, Style::Raw);
    encoder("mustToRawJson", true, Style::Raw);

    table.add("mustFromJson", &[TEXT], ANY, |call| match decode(call, call.text(0))? {
        (value, None) => Ok(value),
        (_, Some(failure)) => Err(failure.0.into()),
    });
    table.add("fromJson", &[TEXT], MAP, |call| {
        let (value, failure) = decode(call, call.text(0))?;
        if failure.is_none() && value.is_nil() {
            return Ok(MAP.zero());
        }
        as_map(call, value, failure, "")
    });
    table.add("fromJsonArray", &[TEXT], LIST, |call| {
        let (value, failure) = decode(call, call.text(0))?;
        as_list(call, value, failure, "")
    });
}

/// What was decoded, if it is a map; the error under the key `Error`, if there is one.
pub(crate) fn as_map(call: &Call<'_>, value: Value, failure: Option<Failure>, prefix: &str) -> Outcome {
    let mut entries = match &value {
        Value::Map(map) => map.entries(),
        _ => Vec::new(),
    };
    let is_map = matches!(value, Value::Map(_) | Value::Nil);
    let message = failure.map(|failure| failure.0).or_else(|| (!is_map).then(|| mismatch(&value, MAP)));
    match message {
        None if matches!(value, Value::Map(_)) => return Ok(value),
        None => {}
        Some(message) => entries.push(("Error".into(), format!("{prefix}{message}").into())),
    }
    call.entries(&Type::Any, entries)
}

/// What was decoded, if it is a list; the error as its only item, if there is one.
pub(crate) fn as_list(call: &Call<'_>, value: Value, failure: Option<Failure>, prefix: &str) -> Outcome {
    let message = match (failure, &value) {
        (Some(failure), Value::List(_) | Value::Nil) => failure.0,
        (None, Value::List(_)) => return Ok(value),
        (None, Value::Nil) => return Ok(LIST.zero()),
        (_, value) => mismatch(value, LIST),
    };
    call.list(&Type::Any, vec![format!("{prefix}{message}").into()])
}

fn mismatch(value: &Value, wanted: Type) -> String {
    let found = match value {
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
        _ => "number",
    };
    format!("json: cannot unmarshal {found} into Go value of type {wanted}")
}

/// How JSON is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `<`, `>` and `&` are escaped, as `json.Marshal` does.
    Escaped,
    /// The same, with an entry or item a line.
    Pretty,
    /// Nothing of HTML is escaped.
    Raw,
}

/// A value as JSON.
pub(crate) fn encode(call: &Call<'_>, value: &Value, style: Style) -> Result<String, Error> {
    let mut encoder = Encoder { call, style, out: String::new(), charged: 0 };
    encoder.value(value, 0)?;
    encoder.charge()?;
    Ok(encoder.out)
}

struct Encoder<'c> {
    call: &'c Call<'c>,
    style: Style,
    out: String,
    charged: usize,
}

impl Encoder<'_> {
    fn charge(&mut self) -> Result<(), Error> {
        self.call.context.charge(self.out.len() - self.charged)?;
        self.charged = self.out.len();
        Ok(())
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.call.descend(depth)?;
        self.charge()?;
        if value.is_nil() {
            self.out.push_str("null");
            return Ok(());
        }
        match value {
            // It is `null` like the others.
            Value::Nil => {}
            Value::Bool(value) => self.display(value),
            Value::Int(value) | Value::Int64(value) => self.display(value),
            Value::Uint8(value) => self.display(value),
            Value::Uint64(value) => self.display(value),
            Value::Float64(value) if value.is_finite() => self.out.push_str(&::yaml::json_float(*value)),
            Value::Float64(value) => {
                let name = strconv::format_float(*value, 'g', None);
                return Err(format!("json: unsupported value: {name}").into());
            }
            Value::Complex128(..) => return Err("json: unsupported type: complex128".into()),
            Value::String(text) => self.string(text),
            Value::Bytes(bytes) => {
                self.out.push('"');
                STANDARD.encode_string(&**bytes, &mut self.out);
                self.out.push('"');
            }
            Value::List(list) => {
                self.out.push('[');
                for (index, item) in list.iter().enumerate() {
                    self.separate(index, depth + 1);
                    self.value(item, depth + 1)?;
                }
                self.close(']', list.is_empty(), depth);
            }
            Value::Map(map) => self.entries(map.entries(), depth)?,
            Value::Object(object) => match (json_text(value), object.underlying()) {
                (Some(text), _) => self.string(&text),
                // It stands where the object does: no line is deeper.
                (None, Some(underlying)) => self.value(&underlying, depth)?,
                (None, None) => {
                    let fields = object.json_fields().into_iter();
                    self.entries(fields.map(|(name, value)| (name.into(), value)).collect(), depth)?;
                }
            },
        }
        Ok(())
    }

    fn entries(&mut self, entries: Vec<(Text, Value)>, depth: usize) -> Result<(), Error> {
        self.out.push('{');
        for (index, (key, value)) in entries.iter().enumerate() {
            self.separate(index, depth + 1);
            self.string(key);
            self.out.push_str(if self.style == Style::Pretty { ": " } else { ":" });
            self.value(value, depth + 1)?;
        }
        self.close('}', entries.is_empty(), depth);
        Ok(())
    }

    fn display(&mut self, value: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.out, "{value}");
    }

    fn separate(&mut self, index: usize, depth: usize) {
        if index > 0 {
            self.out.push(',');
        }
        self.line(depth);
    }

    fn close(&mut self, bracket: char, is_empty: bool, depth: usize) {
        if !is_empty {
            self.line(depth);
        }
        self.out.push(bracket);
    }

    fn line(&mut self, depth: usize) {
        if self.style == Style::Pretty {
            self.out.push('\n');
            (0..depth).for_each(|_| self.out.push_str("  "));
        }
    }

    fn string(&mut self, text: &[u8]) {
        let text: String = crate::strings::characters(text).map(|(c, _)| c).collect();
        let from = self.out.len();
        ::yaml::put_json_string(&mut self.out, &text);
        if self.style == Style::Raw {
            let raw = unescape_html(self.out.get(from..).unwrap_or_default());
            self.out.truncate(from);
            self.out.push_str(&raw);
        }
    }
}

/// The text of what has Go's method `MarshalJSON` or `MarshalText`.
pub(crate) fn json_text(value: &Value) -> Option<Text> {
    match value.downcast::<Time>() {
        Some(time) => Some(time.rfc3339().into()),
        None => value.downcast::<Version>()?.text(),
    }
}

/// JSON without the escapes of `<`, `>` and `&`.
fn unescape_html(json: &str) -> String {
    let mut raw = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, escape)) = rest.split_once('\\') {
        raw.push_str(before);
        let (c, length) = match escape.get(..5) {
            Some("u003c") => ("<", 5),
            Some("u003e") => (">", 5),
            Some("u0026") => ("&", 5),
            // Whatever it is, a backslash among it begins nothing.
            _ => {
                raw.push('\\');
                (escape.get(..1).unwrap_or_default(), 1)
            }
        };
        raw.push_str(c);
        rest = escape.get(length..).unwrap_or_default();
    }
    raw.push_str(rest);
    raw
}
