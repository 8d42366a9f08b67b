//! JSON: one object, in its order.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::{EmitError, ParseError};
use crate::limits::{Budget, LimitError, Limits};
use crate::tree::{Branch, Item, Value};

/// The object that a text holds.
pub(super) fn load(text: &str, limits: &Limits) -> Result<Branch, ParseError> {
    let mut budget = Budget::new(limits);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Seed { budget: &mut budget, depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    top(value)
}

/// The object that a value is.
pub(crate) fn from_json(value: &Json, limits: &Limits) -> Result<Branch, ParseError> {
    top(convert(value, &mut Budget::new(limits), 0)?)
}

fn top(value: Value) -> Result<Branch, ParseError> {
    match value {
        Value::Map(branch) => Ok(branch),
        _ => Err(ParseError::Json(serde_json::Error::custom(
            "SOPS only supports JSON files with a top-level object (starting with '{'), not arrays or other types",
        ))),
    }
}

fn convert(value: &Json, budget: &mut Budget<'_>, depth: usize) -> Result<Value, LimitError> {
    budget.node(depth)?;
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        Json::String(text) => Value::Text(text.as_str().into()),
        Json::Array(items) => {
            Value::List(items.iter().map(|item| convert(item, budget, depth + 1)).collect::<Result<_, _>>()?)
        }
        Json::Object(object) => {
            let entries = object.iter();
            let entries =
                entries.map(|(key, value)| Ok(Item::Entry(key.clone(), convert(value, budget, depth + 1)?)));
            Value::Map(entries.collect::<Result<_, LimitError>>()?)
        }
    })
}

/// Reads one value; equal keys are kept, as SOPS keeps them.
struct Seed<'a, 'b> {
    budget: &'a mut Budget<'b>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.budget.node(self.depth).map_err(D::Error::custom)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) =
            access.next_element_seed(Seed { budget: &mut *self.budget, depth: self.depth + 1 })?
        {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut branch = Branch::new();
        while let Some(key) = access.next_key::<String>()? {
            let seed = Seed { budget: &mut *self.budget, depth: self.depth + 1 };
            branch.push(Item::Entry(key, access.next_value_seed(seed)?));
        }
        Ok(Value::Map(branch))
    }
}

/// A document as a value; of equal keys the last counts. Its texts are not wiped.
pub(crate) fn into_json(branch: Branch) -> Result<Json, EmitError> {
    let mut object = Map::with_capacity(branch.len());
    for item in branch {
        if let Item::Entry(key, value) = item {
            object.insert(key, value_into_json(value)?);
        }
    }
    Ok(Json::Object(object))
}

fn value_into_json(value: Value) -> Result<Json, EmitError> {
    Ok(match value {
        Value::List(items) => Json::Array(
            items
                .into_iter()
                .filter(|item| !matches!(item, Value::Comment(_)))
                .map(value_into_json)
                .collect::<Result<_, _>>()?,
        ),
        Value::Map(branch) => into_json(branch)?,
        // As Go writes it: 1.0 is an integer.
        Value::Float(value) => {
            let text = Some(value).filter(|value| value.is_finite()).map(yaml::json_float);
            Json::Number(text.and_then(|text| text.parse().ok()).ok_or(EmitError::Float)?)
        }
        Value::Null => Json::Null,
        Value::Bool(value) => value.into(),
        Value::Int(value) => value.into(),
        Value::Time(text) => text.into(),
        Value::Text(text) => text.to_utf8().as_str().into(),
        Value::Bytes(bytes) => base64_of(bytes.bytes()).into(),
        Value::Comment(_) => Json::Null,
    })
}

fn base64_of(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes)
}

/// A document as SOPS writes it: indented by tabs, with Go's escapes and numbers.
pub(super) fn emit(branch: &Branch) -> Result<Zeroizing<Vec<u8>>, EmitError> {
    let mut out = Zeroizing::new(String::new());
    put_branch(&mut out, branch, 0)?;
    out.push('\n');
    Ok(Zeroizing::new(std::mem::take(&mut *out).into_bytes()))
}

fn put_branch(out: &mut String, branch: &Branch, depth: usize) -> Result<(), EmitError> {
    out.push('{');
    let mut first = true;
    for item in branch {
        if let Item::Entry(key, value) = item {
            put_line(out, &mut first, depth + 1);
            yaml::put_json_string(out, key);
            out.push_str(": ");
            put_value(out, value, depth + 1)?;
        }
    }
    put_end(out, '}', first, depth);
    Ok(())
}

fn put_value(out: &mut String, value: &Value, depth: usize) -> Result<(), EmitError> {
    match value {
        Value::Null | Value::Comment(_) => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) if value.is_finite() => out.push_str(&yaml::json_float(*value)),
        Value::Float(_) => return Err(EmitError::Float),
        Value::Time(text) => yaml::put_json_string(out, text),
        Value::Text(text) => put_text(out, text.bytes()),
        Value::Bytes(bytes) => yaml::put_json_string(out, &base64_of(bytes.bytes())),
        Value::List(items) => {
            out.push('[');
            let mut first = true;
            for item in items.iter().filter(|item| !matches!(item, Value::Comment(_))) {
                put_line(out, &mut first, depth + 1);
                put_value(out, item, depth + 1)?;
            }
            put_end(out, ']', first, depth);
        }
        Value::Map(branch) => put_branch(out, branch, depth)?,
    }
    Ok(())
}

/// A text. Go writes an escape for each byte that is no UTF-8.
fn put_text(out: &mut String, bytes: &[u8]) {
    // Chunk by chunk, each without the quotes that the writer puts around it.
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        let mut quoted = Zeroizing::new(String::new());
        yaml::put_json_string(&mut quoted, chunk.valid());
        out.push_str(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
        chunk.invalid().iter().for_each(|_| out.push_str("\\ufffd"));
    }
    out.push('"');
}

fn put_line(out: &mut String, first: &mut bool, depth: usize) {
    if !std::mem::replace(first, false) {
        out.push(',');
    }
    out.push('\n');
    (0..depth).for_each(|_| out.push('\t'));
}

fn put_end(out: &mut String, bracket: char, empty: bool, depth: usize) {
    if !empty {
        out.push('\n');
        (0..depth).for_each(|_| out.push('\t'));
    }
    out.push(bracket);
}
