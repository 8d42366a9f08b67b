//! What Helm's own packages say of schemas and values: `data/schemas.jsonl`, written by `data/schemas.go`.
#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use serde_json::{Map, Value};
use values_schema::{Limits, validate};

#[derive(Deserialize)]
struct Row {
    schema: String,
    #[serde(default)]
    values: Map<String, Value>,
    err: Option<String>,
    /// Go takes the order from a map.
    #[serde(default, rename = "anyOrder")]
    any_order: bool,
}

/// Helm reads numbers of values as floats.
fn as_floats(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().unwrap().into(),
        Value::Array(items) => items.iter_mut().for_each(as_floats),
        Value::Object(entries) => entries.values_mut().for_each(as_floats),
        _ => {}
    }
}

/// Lines, and what is between commas, in order.
fn sorted(text: &str) -> Vec<Vec<&str>> {
    let mut lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| {
            let mut words: Vec<_> = line.split([' ', ',']).collect();
            words.sort_unstable();
            words
        })
        .collect();
    lines.sort_unstable();
    lines
}

#[test]
fn schemas_say_what_they_say_in_helm() {
    let rows = include_str!("data/schemas.jsonl");
    let mut differing = Vec::new();
    for line in rows.lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        let mut values = Value::Object(row.values);
        as_floats(&mut values);
        let done = validate(row.schema.as_bytes(), values.as_object().unwrap(), &Limits::default());
        let message = done.err().map(|error| error.to_string());
        let is_same = match (&message, &row.err) {
            (Some(ours), Some(theirs)) if row.any_order => sorted(ours) == sorted(theirs),
            (ours, theirs) => ours == theirs,
        };
        if !is_same {
            differing.push(format!("{line}\n  ours: {}", Value::from(message)));
        }
    }
    assert!(differing.is_empty(), "{} rows differ\n{}", differing.len(), differing.join("\n"));
}
