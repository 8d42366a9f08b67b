//! JSON that keeps the text of its numbers: messages show them as they were written, and comparing them loses nothing.

use std::collections::BTreeMap;

use gojson::{Build, Failure};
use serde_json::{Map, Value};

use crate::SchemaError;
use crate::limits::{Exceeded, Meter};
use crate::number::Number;

/// A value. Objects are sorted: in Go they are in no order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.get(key),
            _ => None,
        }
    }

    pub(crate) fn string(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Self::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Self::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn array(&self, key: &str) -> Option<&[Self]> {
        match self.get(key) {
            Some(Self::Array(items)) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn object(&self, key: &str) -> Option<&BTreeMap<String, Self>> {
        match self.get(key) {
            Some(Self::Object(entries)) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> Option<&Number> {
        match self.get(key) {
            Some(Self::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// An integer that counts something.
    pub(crate) fn count(&self, key: &str) -> Option<usize> {
        self.number(key)?.as_count()
    }

    /// How many steps it takes to compare it.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 1,
            Self::Number(number) => 1 + number.text().len() / 4,
            Self::String(text) => 1 + text.len() / 16,
            Self::Array(items) => 1 + items.iter().map(Self::weight).sum::<usize>(),
            Self::Object(entries) => {
                1 + entries.iter().map(|(key, value)| 1 + key.len() / 16 + value.weight()).sum::<usize>()
            }
        }
    }

    /// A text that equal values share, and no others.
    pub(crate) fn put_canonical(&self, out: &mut String) {
        match self {
            Self::Null => out.push('n'),
            Self::Bool(value) => out.push(if *value { 't' } else { 'f' }),
            Self::Number(number) => out.push_str(&number.canonical()),
            Self::String(text) => out.push_str(&strconv::quote(text.as_bytes())),
            Self::Array(items) => {
                out.push('[');
                for item in items {
                    item.put_canonical(out);
                    out.push(',');
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (key, value) in entries {
                    out.push_str(&strconv::quote(key.as_bytes()));
                    value.put_canonical(out);
                    out.push(',');
                }
                out.push('}');
            }
        }
    }

    /// Values as Helm hands them over: floats as Go prints them.
    pub(crate) fn from_values(values: &Map<String, Value>, meter: &Meter<'_>) -> Result<Self, Exceeded> {
        object(values, meter, 0)
    }
}

fn object(values: &Map<String, Value>, meter: &Meter<'_>, depth: usize) -> Result<Json, Exceeded> {
    let mut entries = BTreeMap::new();
    for (key, value) in values {
        meter.look(key.len())?;
        entries.insert(key.clone(), json(value, meter, depth + 1)?);
    }
    Ok(Json::Object(entries))
}

fn json(value: &Value, meter: &Meter<'_>, depth: usize) -> Result<Json, Exceeded> {
    if depth > meter.limits.depth {
        return Err(Exceeded::Depth(meter.limits.depth));
    }
    meter.step(1)?;
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(number) => {
            let text = match number.as_f64() {
                Some(float) if number.is_f64() => strconv::format_float(float, 'g', None),
                _ => number.to_string(),
            };
            Json::Number(Number::parse(&text)?)
        }
        Value::String(text) => {
            meter.look(text.len())?;
            Json::String(text.clone())
        }
        Value::Array(items) => {
            Json::Array(items.iter().map(|item| json(item, meter, depth + 1)).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => object(entries, meter, depth)?,
    })
}

struct Builder<'m> {
    meter: &'m Meter<'m>,
}

impl Build for Builder<'_> {
    type Value = Json;
    type Error = Exceeded;

    fn begin(&mut self, depth: usize) -> Result<(), Exceeded> {
        self.meter.step(1)?;
        if depth > self.meter.limits.depth { Err(Exceeded::Depth(self.meter.limits.depth)) } else { Ok(()) }
    }

    fn null(&mut self) -> Json {
        Json::Null
    }

    fn boolean(&mut self, value: bool) -> Json {
        Json::Bool(value)
    }

    fn number(&mut self, text: &str) -> Result<Json, Exceeded> {
        self.meter.look(text.len())?;
        Ok(Json::Number(Number::parse(text)?))
    }

    fn string(&mut self, text: String) -> Result<Json, Exceeded> {
        self.meter.look(text.len())?;
        Ok(Json::String(text))
    }

    fn key(&mut self, text: &str) -> Result<(), Exceeded> {
        self.meter.look(text.len())
    }

    fn array(&mut self, items: Vec<Json>) -> Json {
        Json::Array(items)
    }

    fn object(&mut self, entries: Vec<(String, Json)>) -> Json {
        Json::Object(entries.into_iter().collect())
    }
}

/// Reads a schema's text. The words are those of Go's `json.Decoder`.
pub(crate) fn read(text: &[u8], meter: &Meter<'_>) -> Result<Json, SchemaError> {
    if text.len() > meter.limits.schema_bytes {
        return Err(Exceeded::SchemaBytes(meter.limits.schema_bytes).into());
    }
    let is_space = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    match gojson::first(text, &mut Builder { meter }) {
        Ok((value, length)) if text.get(length..).is_none_or(is_space) => Ok(value),
        Ok(_) => Err(SchemaError::Syntax("invalid character after top-level value".to_owned())),
        Err(Failure::Syntax(message)) => Err(SchemaError::Syntax(message)),
        Err(Failure::End) if is_space(text) => Err(SchemaError::Syntax("EOF".to_owned())),
        Err(Failure::End) => Err(SchemaError::Syntax("unexpected EOF".to_owned())),
        Err(Failure::Build(exceeded)) => Err(exceeded.into()),
    }
}
