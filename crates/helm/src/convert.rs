//! Values between JSON and what templates compute with.

use gotemplate::Value;
use gotemplate::value::{List, Map, Type};
use serde_json::{Map as JsonMap, Number, Value as Json};

/// What numbers of a JSON tree are in Go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// All are `float64`: they come from YAML.
    Floats,
    /// Integers are `int64`: they were set one by one.
    AsWritten,
}

/// A table with its entries, which nobody else holds.
pub(crate) fn table(entries: &JsonMap<String, Json>, numbers: Numbers) -> Map {
    Map::new(&Type::Any, entries.iter().map(|(key, value)| (key.as_str(), from_json(value, numbers))))
}

/// A value.
pub(crate) fn from_json(json: &Json, numbers: Numbers) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) if numbers == Numbers::AsWritten => Value::Int64(value),
            _ => Value::Float64(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::list(items.iter().map(|item| from_json(item, numbers)).collect()),
        Json::Object(entries) => Value::Map(table(entries, numbers)),
    }
}

/// A table as JSON. Floats stay floats: `3` is one less precise than `3.0`.
pub(crate) fn to_json(table: &Map) -> JsonMap<String, Json> {
    table.iter().map(|(key, value)| (key.to_str().into_owned(), value_to_json(&value))).collect()
}

fn value_to_json(value: &Value) -> Json {
    match value.underlying() {
        Value::Nil | Value::Complex128(..) | Value::Object(_) => Json::Null,
        Value::Bool(value) => value.into(),
        Value::Int(value) | Value::Int64(value) => value.into(),
        Value::Uint8(value) => value.into(),
        Value::Uint64(value) => value.into(),
        Value::Float64(value) => Number::from_f64(value).map_or(Json::Null, Json::Number),
        Value::String(text) | Value::Bytes(text) => text.to_str().into_owned().into(),
        Value::List(list) => list.iter().map(value_to_json).collect(),
        Value::Map(map) => to_json(&map).into(),
    }
}

/// A copy that shares no table with the original. Lists do not change, but what they hold may.
pub(crate) fn deep_copy(table: &Map) -> Map {
    Map::new(table.element(), table.iter().map(|(key, value)| (key, copy_value(&value))))
}

fn copy_value(value: &Value) -> Value {
    match value {
        Value::Map(map) => Value::Map(deep_copy(map)),
        Value::List(list) => Value::List(List::new(list.element(), list.iter().map(copy_value).collect())),
        other => other.clone(),
    }
}

/// The table that a value is.
pub(crate) fn as_table(value: &Value) -> Option<Map> {
    match value {
        Value::Map(map) => Some(map.clone()),
        _ => None,
    }
}

/// The table at a path of names with dots between them.
pub(crate) fn lookup(values: &Map, path: &str) -> Option<Map> {
    path.split('.').try_fold(values.clone(), |table, name| as_table(&table.get(name.as_bytes())?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_of_yaml_are_floats_and_those_that_were_set_are_as_written() {
        let Json::Object(entries) = json!({"a": 1, "b": 1.5, "c": u64::MAX}) else { panic!("an object") };
        assert_eq!(to_json(&table(&entries, Numbers::Floats))["a"].to_string(), "1.0");
        let written = to_json(&table(&entries, Numbers::AsWritten));
        assert_eq!(written["a"].to_string(), "1");
        assert_eq!(written["c"].to_string(), "1.8446744073709552e+19");
    }

    #[test]
    fn a_deep_copy_shares_nothing() {
        let Json::Object(entries) = json!({"a": {"b": [{"c": 1}]}}) else { panic!("an object") };
        let original = table(&entries, Numbers::Floats);
        let copy = deep_copy(&original);
        lookup(&copy, "a").unwrap().put("d", Value::Nil);
        assert_eq!(lookup(&original, "a").unwrap().len(), 1);
        assert!(lookup(&original, "a.b").is_none());
    }
}
