//! Structs of Go that are there as JSON.

use serde_json::{Map, Value};
use yaml::{JsonFields, json_list};

/// A struct whose fields are there in their order, and those of the structs in its lists. Maps within are sorted.
pub(crate) fn ordered(fields: &Map<String, Value>) -> String {
    object(fields, |value| match value {
        Value::Array(items) if items.iter().all(Value::is_object) => {
            let structs = items.iter().filter_map(Value::as_object);
            json_list(&structs.map(|fields| object(fields, yaml::canonical_json)).collect::<Vec<_>>())
        }
        value => yaml::canonical_json(value),
    })
}

fn object(fields: &Map<String, Value>, write: impl Fn(&Value) -> String) -> String {
    let mut out = JsonFields::default();
    for (name, value) in fields {
        out.raw(name, &write(value));
    }
    out.finish()
}
