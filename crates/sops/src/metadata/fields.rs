//! Fields of metadata with the types that SOPS wants, as it converts them: flat metadata have texts alone.

use std::collections::BTreeMap;

use super::MetadataError;
use crate::cipher::boolean;
use crate::tree::{Branch, Item, Value};

/// A mapping of metadata. Of equal names the last counts; unknown ones are left alone.
pub(super) struct Fields<'a>(pub &'a Branch);

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        let found = self.0.iter().rev().find_map(|item| match item {
            Item::Entry(key, value) if key == name => Some(value),
            _ => None,
        });
        found.filter(|value| !matches!(value, Value::Null))
    }

    /// A text; empty if there is none. Numbers and booleans become texts.
    pub fn text(&self, name: &str) -> Result<String, MetadataError> {
        self.get(name).map_or(Ok(String::new()), |value| text(value).ok_or_else(|| wrong(name, "a text")))
    }

    /// A number of things; 0 if there is none.
    pub fn count(&self, name: &str) -> Result<usize, MetadataError> {
        let count = match self.get(name) {
            None => Some(0),
            Some(Value::Int(count)) => usize::try_from(*count).ok(),
            Some(Value::Text(text)) => text.to_utf8().parse().ok(),
            Some(_) => None,
        };
        count.ok_or_else(|| wrong(name, "a number"))
    }

    /// A boolean; false if there is none.
    pub fn boolean(&self, name: &str) -> Result<bool, MetadataError> {
        let value = match self.get(name) {
            None => Some(false),
            Some(Value::Bool(value)) => Some(*value),
            Some(Value::Int(value)) => Some(*value != 0),
            Some(Value::Text(text)) if text.bytes().is_empty() => Some(false),
            Some(Value::Text(text)) => boolean(&text.to_utf8()),
            Some(_) => None,
        };
        value.ok_or_else(|| wrong(name, "a boolean"))
    }

    /// A list of mappings; empty if there is none. A mapping alone is a list of one.
    pub fn list(&self, name: &str) -> Result<Vec<Fields<'a>>, MetadataError> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Map(branch)) if branch.is_empty() => Ok(Vec::new()),
            Some(Value::Map(branch)) => Ok(vec![Fields(branch)]),
            Some(Value::List(items)) => items
                .iter()
                .filter(|item| !matches!(item, Value::Comment(_)))
                .map(|item| match item {
                    Value::Map(branch) => Ok(Fields(branch)),
                    _ => Err(wrong(name, "a list of mappings")),
                })
                .collect(),
            Some(_) => Err(wrong(name, "a list of mappings")),
        }
    }

    /// A mapping of texts; empty if there is none.
    pub fn texts(&self, name: &str) -> Result<BTreeMap<String, String>, MetadataError> {
        let branch = match self.get(name) {
            None => return Ok(BTreeMap::new()),
            Some(Value::Map(branch)) => branch,
            Some(_) => return Err(wrong(name, "a mapping of texts")),
        };
        let mut texts = BTreeMap::new();
        for item in branch {
            if let Item::Entry(key, value) = item
                && !matches!(value, Value::Null)
            {
                texts.insert(key.clone(), text(value).ok_or_else(|| wrong(name, "a mapping of texts"))?);
            }
        }
        Ok(texts)
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_utf8().to_string()),
        Value::Time(text) => Some(text.clone()),
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(crate::number::plain_text(*value)),
        Value::Bool(value) => Some(if *value { "1" } else { "0" }.into()),
        _ => None,
    }
}

fn wrong(field: &str, expected: &'static str) -> MetadataError {
    MetadataError::Field { field: field.into(), expected }
}
