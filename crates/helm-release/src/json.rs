//! JSON as Go's `encoding/json` writes it.

use serde_json::{Map, Value};

/// The fields of a struct, in the order in which they are added.
pub(crate) struct Fields(String);

impl Fields {
    pub(crate) fn new() -> Self {
        Self("{".to_owned())
    }

    /// A field whose value is JSON already.
    pub(crate) fn raw(&mut self, name: &str, json: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        yaml::put_json_string(&mut self.0, name);
        self.0.push(':');
        self.0.push_str(json);
    }

    /// A text, unless it is empty.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.raw(name, &string(text));
        }
    }

    /// A number, unless it is 0.
    pub(crate) fn number(&mut self, name: &str, number: i64) {
        if number != 0 {
            self.raw(name, &number.to_string());
        }
    }

    /// A list, unless it is empty.
    pub(crate) fn list(&mut self, name: &str, items: &[String]) {
        if !items.is_empty() {
            self.raw(name, &list(items));
        }
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

pub(crate) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    yaml::put_json_string(&mut out, text);
    out
}

pub(crate) fn list(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// A struct whose fields are there in their order, and those of the structs in its lists. Maps within are sorted.
pub(crate) fn ordered(fields: &Map<String, Value>) -> String {
    object(fields, |value| match value {
        Value::Array(items) if items.iter().all(Value::is_object) => {
            let structs = items.iter().filter_map(Value::as_object);
            list(&structs.map(|fields| object(fields, yaml::canonical_json)).collect::<Vec<_>>())
        }
        value => yaml::canonical_json(value),
    })
}

fn object(fields: &Map<String, Value>, write: impl Fn(&Value) -> String) -> String {
    let mut out = Fields::new();
    for (name, value) in fields {
        out.raw(name, &write(value));
    }
    out.finish()
}
