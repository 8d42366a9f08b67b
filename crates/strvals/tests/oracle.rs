//! What Helm's own package makes of texts: `data/strvals.jsonl`, written by `data/strvals.go`.
#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use serde_json::{Map, Value};
use strvals::Limits;

#[derive(Deserialize)]
struct Row {
    mode: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    base: Map<String, Value>,
    #[serde(default)]
    out: Value,
    err: Option<String>,
}

/// What the program's reader of files says.
fn read(path: &str) -> Result<String, String> {
    match path.starts_with("no") {
        true => Err(format!("open {path}: no such file or directory")),
        false => Ok(format!("content of {path}")),
    }
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

#[test]
fn texts_assign_what_they_assign_in_helm() {
    let rows = include_str!("data/strvals.jsonl");
    let limits = Limits::default();
    let mut differing = Vec::new();
    for line in rows.lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        let mut base = Value::Object(row.base);
        as_floats(&mut base);
        let values = base.as_object_mut().unwrap();
        let done = match row.mode.as_str() {
            "set" => strvals::parse_into(&row.text, values, &limits),
            "string" => strvals::parse_into_string(&row.text, values, &limits),
            "json" => strvals::parse_into_json(&row.text, values, &limits),
            "literal" => strvals::parse_into_literal(&row.text, values, &limits),
            _ => strvals::parse_into_file(&row.text, values, &mut read, &limits),
        };
        let message = done.err().map(|error| error.to_string());
        if message != row.err || (message.is_none() && base != row.out) {
            differing.push(format!("{line}\n  ours: {message:?} {base}"));
        }
    }
    assert!(differing.is_empty(), "{} rows differ\n{}", differing.len(), differing.join("\n"));
}
