//! JSON patches (RFC 6902), as lenient as the Go library that kustomize uses: negative indexes count from the end, a missing
//! value is null, adding to a missing parent is an error, and what `test` compares is the JSON value.

use yaml::{Node, Resolver, Value};

use crate::error::{Context, Error, Result};

/// One operation.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    kind: Kind,
    path: Pointer,
}

#[derive(Debug, Clone)]
enum Kind {
    Add(Node),
    Remove,
    Replace(Node),
    Move(Pointer),
    Copy(Pointer),
    Test(Node),
}

#[derive(Debug, Clone)]
struct Pointer {
    text: String,
    parts: Vec<String>,
}

impl Pointer {
    fn parse(text: &str) -> Self {
        let unescape = |part: &str| part.replace("~1", "/").replace("~0", "~");
        let parts = text.split('/').skip(1).map(unescape).collect();
        Self { text: text.to_owned(), parts }
    }

    fn missing(&self) -> Error {
        Error::Invalid(format!("doc is missing path: {}: missing value", self.text))
    }
}

/// Reads a patch: a YAML or JSON list of operations.
pub(crate) fn parse(text: &str, limits: &yaml::Limits) -> Result<Vec<Operation>> {
    let Some(root) = yaml::parse(text, limits)?.into_iter().next() else { return Ok(Vec::new()) };
    if root.is_null() {
        return Ok(Vec::new());
    }
    if !root.is_sequence() {
        return Err(Error::invalid("a JSON patch is a list of operations"));
    }
    root.items().iter().map(operation).collect()
}

fn operation(node: &Node) -> Result<Operation> {
    let text = |key: &str| node.get(key).and_then(Node::as_str);
    let at = |what: String| Error::Invalid(format!("line {}: {what}", node.line()));
    if !node.is_mapping() {
        return Err(at("a JSON patch operation is a mapping".into()));
    }
    let path = Pointer::parse(text("path").ok_or_else(|| at("operation without path".into()))?);
    let value = || node.get("value").cloned().unwrap_or_else(Node::null);
    let from = || -> Result<Pointer> {
        Ok(Pointer::parse(text("from").ok_or_else(|| at("operation without from".into()))?))
    };
    let kind = match text("op").unwrap_or_default() {
        "add" => Kind::Add(value()),
        "remove" => Kind::Remove,
        "replace" => Kind::Replace(value()),
        "move" => Kind::Move(from()?),
        "copy" => Kind::Copy(from()?),
        "test" => Kind::Test(value()),
        other => return Err(at(format!("Unexpected kind: {other}"))),
    };
    Ok(Operation { kind, path })
}

/// Applies all operations in order.
pub(crate) fn apply(node: &mut Node, operations: &[Operation]) -> Result<()> {
    for operation in operations {
        let path = &operation.path;
        match &operation.kind {
            Kind::Add(value) => {
                add(node, path, value.clone()).context(|| "add operation does not apply".into())?
            }
            Kind::Remove => {
                remove(node, path).context(|| "remove operation does not apply".into())?;
            }
            Kind::Replace(value) => {
                replace(node, path, value.clone()).context(|| "replace operation does not apply".into())?;
            }
            Kind::Move(from) => {
                let value = remove(node, from).context(|| "move operation does not apply".into())?;
                add(node, path, value).context(|| "move operation does not apply".into())?;
            }
            Kind::Copy(from) => {
                let value = get(node, from).cloned().ok_or_else(|| from.missing());
                let value = value.context(|| "copy operation does not apply".into())?;
                add(node, path, value).context(|| "copy operation does not apply".into())?;
            }
            Kind::Test(expected) => test(node, path, expected)?,
        }
    }
    Ok(())
}

/// Where an existing item of a list stands.
fn existing(part: &str, length: usize) -> Option<usize> {
    let index: i64 = part.parse().ok()?;
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 { index + length } else { index };
    (0..length).contains(&index).then(|| usize::try_from(index).ok()).flatten()
}

fn step<'a>(node: &'a Node, part: &str) -> Option<&'a Node> {
    match node.value() {
        Value::Mapping(mapping) => mapping.get(part),
        Value::Sequence(items) => items.get(existing(part, items.len())?),
        Value::Scalar(_) | Value::Alias(_) => None,
    }
}

fn step_mut<'a>(node: &'a mut Node, part: &str) -> Option<&'a mut Node> {
    match node.value_mut() {
        Value::Mapping(mapping) => mapping.get_mut(part),
        Value::Sequence(items) => {
            let index = existing(part, items.len())?;
            items.get_mut(index)
        }
        Value::Scalar(_) | Value::Alias(_) => None,
    }
}

fn get<'a>(node: &'a Node, path: &Pointer) -> Option<&'a Node> {
    path.parts.iter().try_fold(node, |node, part| step(node, part))
}

/// The collection that holds the path's last part, and that part.
fn parent<'a, 'p>(node: &'a mut Node, path: &'p Pointer) -> Result<(&'a mut Node, &'p str)> {
    let missing = || path.missing();
    let (last, above) = path.parts.split_last().ok_or_else(missing)?;
    let parent = above.iter().try_fold(node, |node, part| step_mut(node, part)).ok_or_else(missing)?;
    Ok((parent, last))
}

fn add(node: &mut Node, path: &Pointer, value: Node) -> Result<()> {
    let (parent, last) = parent(node, path)?;
    match parent.value_mut() {
        Value::Mapping(mapping) => {
            mapping.insert(last, value);
            Ok(())
        }
        Value::Sequence(items) => {
            let index = if last == "-" { Some(items.len()) } else { insertion(last, items.len()) };
            let index = index.ok_or_else(|| {
                Error::Invalid(format!("Unable to access invalid index: {last}: invalid index referenced"))
            })?;
            items.insert(index, value);
            Ok(())
        }
        Value::Scalar(_) | Value::Alias(_) => Err(path.missing()),
    }
}

/// Where a new item goes: up to one past the end; negative indexes count from there.
fn insertion(part: &str, length: usize) -> Option<usize> {
    let index: i64 = part.parse().ok()?;
    let end = i64::try_from(length).ok()?;
    let index = if index < 0 { index + end + 1 } else { index };
    (0..=end).contains(&index).then(|| usize::try_from(index).ok()).flatten()
}

fn remove(node: &mut Node, path: &Pointer) -> Result<Node> {
    let (parent, last) = parent(node, path)?;
    let removed = match parent.value_mut() {
        Value::Mapping(mapping) => mapping.remove(last),
        Value::Sequence(items) => existing(last, items.len()).map(|index| items.remove(index)),
        Value::Scalar(_) | Value::Alias(_) => None,
    };
    removed.ok_or_else(|| Error::Invalid(format!("Unable to remove nonexistent key: {last}: missing value")))
}

fn replace(node: &mut Node, path: &Pointer, value: Node) -> Result<()> {
    if path.text.is_empty() {
        *node = value;
        return Ok(());
    }
    let (parent, last) = parent(node, path)?;
    *step_mut(parent, last).ok_or_else(|| path.missing())? = value;
    Ok(())
}

fn test(node: &Node, path: &Pointer, expected: &Node) -> Result<()> {
    let json = |node: &Node| node.to_json(Resolver::KustomizeV3);
    let passes = match get(node, path) {
        Some(actual) => sorted(json(actual)?) == sorted(json(expected)?),
        None => expected.is_null(),
    };
    if passes {
        Ok(())
    } else {
        Err(Error::Invalid(format!("testing value {} failed: test failed", path.text)))
    }
}

fn sorted(value: serde_json::Value) -> String {
    yaml::canonical_json(&value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn run(document: &str, patch: &str) -> std::result::Result<String, String> {
        let limits = yaml::Limits::default();
        let mut node = yaml::parse(document, &limits).unwrap().remove(0);
        let operations = parse(patch, &limits).map_err(|error| error.to_string())?;
        apply(&mut node, &operations).map_err(|error| error.to_string())?;
        Ok(yaml::canonical_json(&node.to_json(Resolver::KustomizeV3).unwrap()))
    }

    #[test]
    fn operations_do_what_the_rfc_says() {
        let patch = "[{op: add, path: /a/-, value: 3}, {op: remove, path: /a/0}, {op: move, from: /b, path: /c},
            {op: copy, from: /c, path: /d}, {op: test, path: /d, value: x}, {op: replace, path: /c, value: {y: 1}}]";
        assert_eq!(run("{a: [1, 2], b: x}", patch).unwrap(), r#"{"a":[2,3],"c":{"y":1},"d":"x"}"#);
    }

    #[test]
    fn escapes_and_negative_indexes_are_understood() {
        assert_eq!(
            run("{'a/b~c': 1}", "[{op: replace, path: /a~1b~0c, value: 2}]").unwrap(),
            r#"{"a/b~c":2}"#
        );
        assert_eq!(run("{a: [1, 2]}", "[{op: remove, path: /a/-1}]").unwrap(), r#"{"a":[1]}"#);
    }

    #[test]
    fn an_index_far_beyond_the_end_is_an_error_and_costs_nothing() {
        let error = run("{a: [1]}", "[{op: add, path: /a/1000000000, value: 2}]").unwrap_err();
        assert!(error.contains("invalid index"), "{error}");
        assert!(run("{a: [1]}", "[{op: remove, path: /a/99999999999999999999}]").is_err());
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = run("{a: 1}", "[{op: replace, path: /b/c, value: 2}]").unwrap_err();
        assert_eq!(error, "replace operation does not apply: doc is missing path: /b/c: missing value");
    }
}
