//! Fields that are not of the type that kstatus reads them as. Such an object says nothing about its health, and its status is
//! unknown: taking it for ready would be unsafe. Texts are those of Go's accessors and converter.

use net::GoValue;
use serde_json::Value;

/// Why an object's status cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AccessorError {
    /// A field that is looked up has another type.
    #[error(
        "looking up {field} from resource: {path} accessor error: {value} is of the type {found}, expected {expected}"
    )]
    Field {
        /// Field that was looked up.
        field: &'static str,
        /// Where the other type stands.
        path: &'static str,
        /// What stands there.
        value: String,
        /// Its type in Go.
        found: &'static str,
        /// Type that was expected, in Go.
        expected: &'static str,
    },
    /// `status.conditions` are no conditions.
    #[error("{0}")]
    Conditions(String),
}

/// Checks the fields that every kind is judged by.
pub(super) fn check(object: &Value) -> Result<(), AccessorError> {
    let metadata = object.get("metadata");
    if let Some(deletion) = metadata.and_then(|m| m.get("deletionTimestamp"))
        && !deletion.is_string()
    {
        let path = ".metadata.deletionTimestamp";
        return Err(field("metadata.deletionTimestamp", path, deletion, "string"));
    }
    if let Some(generation) = metadata.and_then(|m| m.get("generation")) {
        if generation.as_i64().is_none() {
            return Err(field("metadata.generation", ".metadata.generation", generation, "int64"));
        }
        observed_generation(object)?;
    }
    conditions(object)
}

fn observed_generation(object: &Value) -> Result<(), AccessorError> {
    let name = "status.observedGeneration";
    match object.get("status") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(status)) => match status.get("observedGeneration") {
            Some(observed) if observed.as_i64().is_none() => {
                Err(field(name, ".status.observedGeneration", observed, "int64"))
            }
            _ => Ok(()),
        },
        Some(other) => Err(field(name, ".status.observedGeneration", other, "map[string]interface{}")),
    }
}

fn conditions(object: &Value) -> Result<(), AccessorError> {
    let conditions = match object.get("status") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(status)) => status.get("conditions"),
        Some(other) => return Err(restore("struct", other)),
    };
    let conditions = match conditions {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(conditions)) => conditions,
        Some(other) => return Err(restore("slice", other)),
    };
    for condition in conditions.iter().filter(|condition| !condition.is_null()) {
        let Some(fields) = condition.as_object() else { return Err(restore("struct", condition)) };
        for (name, expected) in [
            ("type", "string"),
            ("status", "v1.ConditionStatus"),
            ("reason", "string"),
            ("message", "string"),
        ] {
            match fields.get(name) {
                None | Some(Value::Null | Value::String(_)) => {}
                Some(other) => {
                    let text = format!("cannot convert {} to {expected}", type_of(other));
                    return Err(AccessorError::Conditions(text));
                }
            }
        }
    }
    Ok(())
}

fn field(field: &'static str, path: &'static str, value: &Value, expected: &'static str) -> AccessorError {
    AccessorError::Field { field, path, value: GoValue(value).to_string(), found: type_of(value), expected }
}

fn restore(what: &str, value: &Value) -> AccessorError {
    AccessorError::Conditions(match what {
        "struct" => format!("cannot restore struct from: {}", kind_of(value)),
        what => format!("cannot restore {what} from {}", kind_of(value)),
    })
}

/// Go's name of the type that JSON is decoded to.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Go's name of the kind of that type.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
        other => type_of(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(object: Value) -> String {
        check(&object).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn fields_of_every_type_but_their_own_are_errors() {
        let generation = |value| json!({"metadata": {"generation": value}, "status": {}});
        let observed =
            |value| json!({"metadata": {"generation": 1}, "status": {"observedGeneration": value}});
        let deletion = |value| json!({"metadata": {"deletionTimestamp": value}});
        let status = |value| json!({"status": value});
        let conditions = |value| json!({"status": {"conditions": value}});
        let condition = |field: &str, value| json!({"status": {"conditions": [{(field): value}]}});
        let others = [json!(null), json!(true), json!(1.5), json!([1, "a"]), json!({"b": 2, "a": null})];
        for value in others.iter().chain([&json!("x")]) {
            assert!(
                error(observed(value.clone())).starts_with("looking up status.observedGeneration"),
                "{value}"
            );
            assert!(
                error(generation(value.clone())).starts_with("looking up metadata.generation"),
                "{value}"
            );
        }
        for value in others.iter().chain([&json!(3)]) {
            assert!(
                error(deletion(value.clone())).starts_with("looking up metadata.deletionTimestamp"),
                "{value}"
            );
            for field in ["type", "status", "reason", "message"] {
                let expected = !value.is_null();
                assert_eq!(error(condition(field, value.clone())).is_empty(), !expected, "{field} {value}");
            }
        }
        for value in [json!(true), json!(1), json!("none"), json!({"a": 1})] {
            assert!(error(conditions(value.clone())).starts_with("cannot restore slice from"), "{value}");
            assert!(error(conditions(json!([value.clone()]))).is_empty() == value.is_object(), "{value}");
        }
        for value in [json!(true), json!(1), json!("none"), json!([1])] {
            assert!(error(status(value.clone())).starts_with("cannot restore struct from"), "{value}");
        }
        for fine in [
            json!({}),
            status(json!(null)),
            conditions(json!(null)),
            conditions(json!([null])),
            observed(json!(1)),
        ] {
            assert_eq!(error(fine.clone()), "", "{fine}");
        }
    }

    #[test]
    fn texts_are_those_of_go() {
        let observed =
            |value| json!({"metadata": {"generation": 1}, "status": {"observedGeneration": value}});
        let prefix =
            "looking up status.observedGeneration from resource: .status.observedGeneration accessor error: ";
        for (value, text) in [
            (json!("1"), "1 is of the type string, expected int64"),
            (json!(null), "<nil> is of the type <nil>, expected int64"),
            (json!([1, "a"]), "[1 a] is of the type []interface {}, expected int64"),
            (
                json!({"b": 2, "a": true}),
                "map[a:true b:2] is of the type map[string]interface {}, expected int64",
            ),
        ] {
            assert_eq!(error(observed(value)), format!("{prefix}{text}"));
        }
        assert_eq!(error(json!({"status": {"conditions": "none"}})), "cannot restore slice from string");
        let number = json!({"status": {"conditions": [{"type": "Ready", "status": 1}]}});
        assert_eq!(error(number), "cannot convert int64 to v1.ConditionStatus");
    }
}
