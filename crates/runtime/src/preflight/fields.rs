//! Fields of a spec that this version does not know. The API server keeps them if the CRDs are those of a newer Flux, and this
//! controller would ignore them.

use serde_json::Value;

/// The paths of the fields in an object's `spec` that are not in the schema.
pub fn unknown(object: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(spec) = object.get("spec") {
        collect("spec", spec, schema, &mut found);
    }
    found
}

fn collect(path: &str, value: &Value, schema: &Value, found: &mut Vec<String>) {
    match (value, schema.get("properties"), schema.get("items")) {
        // The schema of a map has no properties.
        (Value::Object(fields), Some(properties), _) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match properties.get(name) {
                    Some(schema) => collect(&path, value, schema, found),
                    None => found.push(path),
                }
            }
        }
        (Value::Array(items), _, Some(schema)) => {
            for (index, item) in items.iter().enumerate() {
                collect(&format!("{path}[{index}]"), item, schema, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_without_a_schema_are_named_wherever_they_are() {
        let schema = json!({"properties": {
            "a": {"properties": {"b": {"type": "string"}}},
            "list": {"items": {"properties": {"c": {}}}},
            "free": {"type": "object", "additionalProperties": {"type": "string"}},
        }});
        let object = json!({"spec": {"a": {"b": "1", "x": 2}, "list": [{"c": 1}, {"y": {"c": 1}}], "free": {"z": "1"}, "new": {}}});
        let mut found = unknown(&object, &schema);
        found.sort();
        assert_eq!(found, ["spec.a.x", "spec.list[1].y", "spec.new"]);
        assert!(unknown(&json!({}), &schema).is_empty());
    }
}
