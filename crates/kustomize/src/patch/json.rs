//! JSON patches (RFC 6902), with the leniency of the Go library that kustomize uses: negative indexes count from the end,
//! `replace` makes a key that is missing, `copy` from one gives null.
//!
//! A patched object has been JSON for a moment. So its numbers come out as Go prints floats, and dates as timestamps.

use serde_json::{Map, Value};
use yaml::{Node, Resolver};

use crate::build::Build;
use crate::error::{Context, Error, Result};
use crate::meter::Meter;

/// One operation, as written; what it lacks is only missed when it is applied.
#[derive(Debug, Clone)]
pub(crate) struct Operation(Map<String, Value>);

/// Reads a patch: a list of operations in YAML, or in JSON if it begins with `[`.
pub(crate) fn parse(text: &str, meter: &Meter<'_>) -> Result<Vec<Operation>> {
    let root = if text.starts_with('[') {
        // An upper bound of what it holds.
        meter.count_nodes(1 + text.bytes().filter(|byte| matches!(byte, b',' | b':')).count())?;
        serde_json::from_str(text).map_err(|error| Error::Invalid(error.to_string()))?
    } else {
        match meter.parse(text)?.into_iter().next() {
            Some(root) => root.to_json(Resolver::KubernetesV2)?,
            None => Value::Null,
        }
    };
    let Value::Array(operations) = root else {
        return if root.is_null() {
            Ok(Vec::new())
        } else {
            Err(Error::invalid("a JSON patch is a list of operations"))
        };
    };
    let object = |operation| match operation {
        Value::Object(fields) => Ok(Operation(fields)),
        _ => Err(Error::invalid("a JSON patch operation is a mapping")),
    };
    operations.into_iter().map(object).collect()
}

/// Applies all operations in order.
pub(crate) fn apply(node: &mut Node, operations: &[Operation], build: &mut Build<'_>) -> Result<()> {
    let mut document = node.to_json(Resolver::KustomizeV3)?;
    for operation in operations {
        operation.apply(&mut document, build)?;
    }
    if !document.is_object() {
        return Err(Error::invalid("the JSON patch leaves no object"));
    }
    *node = to_node(&document);
    Ok(())
}

impl Operation {
    fn apply(&self, document: &mut Value, build: &mut Build<'_>) -> Result<()> {
        let kind = self.text("op").unwrap_or("unknown");
        let context = || format!("{kind} operation does not apply");
        let count = |value: &Value, path: &Pointer<'_>| {
            let (depth, nodes) = measure(value);
            build.meter.count_copy(path.parts.len(), depth, nodes)
        };
        match kind {
            "remove" => remove(document, &self.path("path")?).context(context).map(drop),
            "add" | "replace" => {
                let (path, value) = (self.path("path")?, self.value());
                count(&value, &path)?;
                let put = if kind == "add" { add } else { replace };
                put(document, &path, value).context(context)
            }
            "move" => {
                let value = remove(document, &self.path("from")?).context(context)?;
                let path = self.path("path")?;
                count(&value, &path)?;
                add(document, &path, value).context(context)
            }
            "copy" => {
                let (from, path) = (self.path("from")?, self.path("path")?);
                let value = from.container(document).and_then(|holder| get(holder, from.key()));
                let value = value.context(context)?;
                count(value, &path)?;
                let value = value.clone();
                add(document, &path, value).context(context)
            }
            "test" => {
                let path = self.path("path")?;
                let actual = match path.text {
                    "" => &*document,
                    _ => path
                        .container(document)
                        .and_then(|holder| get(holder, path.key()))
                        .context(context)?,
                };
                if yaml::canonical_json(actual) == yaml::canonical_json(&self.value()) {
                    Ok(())
                } else {
                    Err(Error::Invalid(format!("testing value {} failed: test failed", path.text)))
                }
            }
            _ => Err(Error::Invalid(format!("Unexpected kind: {kind}"))),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    fn value(&self) -> Value {
        self.0.get("value").cloned().unwrap_or(Value::Null)
    }

    fn path(&self, key: &'static str) -> Result<Pointer<'_>> {
        let text = self.text(key).ok_or_else(|| {
            let kind = self.text("op").unwrap_or("unknown");
            Error::Invalid(format!("{kind} operation failed to decode {key}: missing value"))
        })?;
        let unescape = |part: &str| part.replace("~1", "/").replace("~0", "~");
        Ok(Pointer { text, parts: text.split('/').skip(1).map(unescape).collect() })
    }
}

/// A path within a document.
struct Pointer<'a> {
    text: &'a str,
    parts: Vec<String>,
}

impl Pointer<'_> {
    fn missing(&self) -> Error {
        Error::Invalid(format!("doc is missing path: {}: missing value", self.text))
    }

    /// The last part.
    fn key(&self) -> &str {
        self.parts.last().map(String::as_str).unwrap_or_default()
    }

    /// The collection that holds, or should hold, what the path names.
    fn container<'d>(&self, document: &'d mut Value) -> Result<&'d mut Value> {
        let (_, above) = self.parts.split_last().ok_or_else(|| self.missing())?;
        let mut holder = document;
        for part in above {
            holder = match holder {
                Value::Object(fields) => fields.get_mut(part),
                Value::Array(items) => index(part, items.len()).ok().and_then(|index| items.get_mut(index)),
                _ => None,
            }
            .ok_or_else(|| self.missing())?;
        }
        if holder.is_object() || holder.is_array() { Ok(holder) } else { Err(self.missing()) }
    }
}

/// Where an item of a list stands.
fn index(part: &str, length: usize) -> Result<usize> {
    let invalid =
        || Error::Invalid(format!("Unable to access invalid index: {part}: invalid index referenced"));
    let number: i64 = part.parse().map_err(|_| invalid())?;
    let length = i64::try_from(length).map_err(|_| invalid())?;
    let number = if number < 0 { number + length } else { number };
    usize::try_from(number).ok().filter(|_| number < length).ok_or_else(invalid)
}

/// A missing key of an object is null.
fn get<'d>(holder: &'d Value, key: &str) -> Result<&'d Value> {
    static NULL: Value = Value::Null;
    match holder {
        Value::Array(items) => Ok(items.get(index(key, items.len())?).unwrap_or(&NULL)),
        _ => Ok(holder.get(key).unwrap_or(&NULL)),
    }
}

fn add(document: &mut Value, path: &Pointer<'_>, value: Value) -> Result<()> {
    match path.container(document)? {
        Value::Array(items) if path.key() == "-" => items.push(value),
        Value::Array(items) => items.insert(index(path.key(), items.len() + 1)?, value),
        Value::Object(fields) => {
            fields.insert(path.key().to_owned(), value);
        }
        _ => return Err(path.missing()),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &Pointer<'_>) -> Result<Value> {
    match path.container(document)? {
        Value::Array(items) => Ok(items.remove(index(path.key(), items.len())?)),
        Value::Object(fields) => fields.shift_remove(path.key()).ok_or_else(|| {
            Error::Invalid(format!("Unable to remove nonexistent key: {}: missing value", path.key()))
        }),
        _ => Err(path.missing()),
    }
}

fn replace(document: &mut Value, path: &Pointer<'_>, value: Value) -> Result<()> {
    if path.text.is_empty() {
        *document = value;
        return Ok(());
    }
    match path.container(document)? {
        Value::Array(items) => {
            let index = index(path.key(), items.len())?;
            items.get_mut(index).into_iter().for_each(|item| *item = value.clone());
        }
        Value::Object(fields) => {
            fields.insert(path.key().to_owned(), value);
        }
        _ => return Err(path.missing()),
    }
    Ok(())
}

/// How deep a value is, a scalar being 1, and of how many values it consists.
fn measure(value: &Value) -> (usize, usize) {
    let children: Vec<(usize, usize)> = match value {
        Value::Array(items) => items.iter().map(measure).collect(),
        Value::Object(fields) => fields.values().map(measure).collect(),
        _ => return (1, 1),
    };
    let (depth, nodes) =
        children.into_iter().fold((0, 0), |(depth, nodes), (d, n)| (depth.max(d), nodes + n));
    (depth + 1, nodes + 1)
}

/// The node that kyaml makes of JSON: strings quoted where they must be, numbers as Go writes floats.
fn to_node(value: &Value) -> Node {
    match value {
        Value::Number(number) => Node::plain(yaml::yaml_float(number.as_f64().unwrap_or_default())),
        Value::Array(items) => Node::sequence_of(items.iter().map(to_node)),
        Value::Object(fields) => Node::mapping_of(fields.iter().map(|(key, value)| (key, to_node(value)))),
        Value::Null | Value::Bool(_) | Value::String(_) => yaml::from_json(value),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::meter::default_meter;

    fn run(document: &str, patch: &str) -> std::result::Result<String, String> {
        let limits = default_meter();
        let mut node = limits.parse(document).unwrap().remove(0);
        let operations = parse(patch, &limits).map_err(|error| error.to_string())?;
        let options = crate::Options::default();
        apply(&mut node, &operations, &mut Build::new(&options, None)).map_err(|error| error.to_string())?;
        Ok(yaml::canonical_json(&node.to_json(Resolver::KustomizeV3).unwrap()))
    }

    #[test]
    fn operations_do_what_the_rfc_says() {
        let patch = "- {op: add, path: /a/-, value: 3}\n- {op: remove, path: /a/0}\n- {op: move, from: /b, path: /c}\n- {op: copy, from: /c, path: /d}\n- {op: test, path: /d, value: x}\n- {op: replace, path: /c, value: {z: 1}}";
        assert_eq!(run("{a: [1, 2], b: x}", patch).unwrap(), r#"{"a":[2,3],"c":{"z":1},"d":"x"}"#);
    }

    #[test]
    fn escapes_and_negative_indexes_are_understood() {
        assert_eq!(
            run("{'a/b~c': 1}", "- {op: replace, path: /a~1b~0c, value: 2}").unwrap(),
            r#"{"a/b~c":2}"#
        );
        assert_eq!(run("{a: [1, 2]}", "- {op: remove, path: /a/-1}").unwrap(), r#"{"a":[1]}"#);
    }

    #[test]
    fn an_index_far_beyond_the_end_is_an_error_and_costs_nothing() {
        let error = run("{a: [1]}", "- {op: add, path: /a/1000000000, value: 2}").unwrap_err();
        assert!(error.contains("invalid index"), "{error}");
        assert!(run("{a: [1]}", "- {op: remove, path: /a/99999999999999999999}").is_err());
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = run("{a: 1}", "- {op: replace, path: /b/c, value: 2}").unwrap_err();
        assert_eq!(error, "replace operation does not apply: doc is missing path: /b/c: missing value");
        let error = run("{a: 1}", "- {op: add, value: 2}").unwrap_err();
        assert_eq!(error, "add operation failed to decode path: missing value");
    }

    #[test]
    fn replacing_a_missing_key_makes_it_and_copying_from_one_gives_null() {
        let patch = "- {op: replace, path: /b, value: 2}\n- {op: copy, from: /x, path: /c}";
        assert_eq!(run("{a: 1}", patch).unwrap(), r#"{"a":1,"b":2,"c":null}"#);
    }

    #[test]
    fn a_patch_that_begins_like_json_must_be_json() {
        assert!(parse("[{op: remove, path: /a}]", &default_meter()).is_err());
        assert_eq!(parse(r#"[{"op": "remove", "path": "/a"}]"#, &default_meter()).unwrap().len(), 1);
    }

    #[test]
    fn numbers_come_out_as_go_prints_floats() {
        for (number, text) in
            [(80.0, "80"), (0.5, "0.5"), (1e6, "1e+06"), (1_234_567.0, "1.234567e+06"), (1e-7, "1e-07")]
        {
            assert_eq!(to_node(&Value::from(number)).as_str(), Some(text));
        }
    }
}
