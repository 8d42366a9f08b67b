//! Files of resources: several documents, lists expanded.

use std::borrow::Cow;
use std::collections::VecDeque;

use yaml::{Node, Value};

use crate::error::{Error, Result};
use crate::meta;
use crate::meter::Meter;
use crate::resource::{Behavior, Resource};

/// The objects of a text. Nulls and empty documents are skipped; each object must have a kind and, unless it is a list, a name.
pub(crate) fn resources(text: &str, meter: &Meter<'_>) -> Result<Vec<Resource>> {
    let mut nodes = parse(text, meter)?;
    check(&mut nodes)?;
    let mut queue = VecDeque::from(nodes);
    let mut result = Vec::with_capacity(queue.len());
    while let Some(mut node) = queue.pop_front() {
        if !meta::text(&node, "kind").ends_with("List") || node.get("items").is_none() {
            result.push(resource(node));
            continue;
        }
        let kind = meta::text(&node, "kind").to_owned();
        let Some(items) = node.remove("items") else { continue };
        if items.is_null() {
            continue;
        }
        let Value::Sequence(mut items) = items.into_value() else {
            return Err(Error::Invalid(format!("expected array in {kind}/items")));
        };
        check(&mut items)?;
        queue.extend(items);
    }
    Ok(result)
}

/// One node per document; a single document of kind `List` gives its items.
fn parse(text: &str, meter: &Meter<'_>) -> Result<Vec<Node>> {
    let text =
        if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    let chunks = split(&text)?;
    let limit = meter.limits.yaml.documents;
    if chunks.len() > limit {
        return Err(Error::Limit { what: "documents in one file", limit: limit as u64 });
    }
    let single = chunks.len() == 1;
    let mut nodes = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let Some(mut node) = meter.parse(chunk)?.into_iter().next() else { continue };
        if node.is_null() {
            continue;
        }
        let is_list = matches!(meta::text(&node, "kind"), "List" | "ResourceList");
        let items = if single && is_list { node.remove("items") } else { None };
        match items.map(Node::into_value) {
            Some(Value::Sequence(items)) => nodes.extend(items),
            Some(_) => {}
            None => nodes.push(node),
        }
    }
    Ok(nodes)
}

/// The texts between separator lines, each with its last line end.
fn split(text: &str) -> Result<Vec<&str>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    let mut search = 0;
    while let Some(found) = text.get(search..).and_then(|rest| rest.find("\n---")) {
        let line = search + found + 1;
        let Some(length) = text.get(line..).and_then(|rest| rest.find('\n')) else { break };
        let separator = text.get(line..line + length).unwrap_or_default();
        let after = separator.trim_start_matches('-').trim();
        if !after.is_empty() && !after.starts_with('#') || separator.starts_with("----") {
            return Err(Error::Invalid(format!("invalid document separator: {}", separator.trim())));
        }
        chunks.push(text.get(start..line).unwrap_or_default());
        start = line + length + 1;
        search = start;
    }
    chunks.push(text.get(start..).unwrap_or_default());
    Ok(chunks)
}

/// Drops what is empty and refuses what is no object.
fn check(nodes: &mut Vec<Node>) -> Result<()> {
    nodes.retain(|node| !meta::is_empty(node));
    for node in nodes.iter() {
        let kind = meta::text(node, "kind");
        let name = meta::metadata_text(node, "name");
        if !node.is_mapping()
            || kind.is_empty() && name.is_empty() && node.get("metadata").is_none_or(meta::is_empty)
        {
            return Err(Error::Invalid(format!("{}missing Resource metadata", at(node))));
        }
        if kind.is_empty() {
            return Err(Error::Invalid(format!("{}missing kind in object '{name}'", at(node))));
        }
        if name.is_empty() && !kind.ends_with("List") {
            return Err(Error::Invalid(format!(
                "{}missing metadata.name in object of kind {kind}",
                at(node)
            )));
        }
    }
    Ok(())
}

fn at(node: &Node) -> String {
    match node.line() {
        0 => String::new(),
        line => format!("line {line}: "),
    }
}

/// Takes up the notes that an earlier build left in annotations.
fn resource(node: Node) -> Resource {
    let mut resource = Resource::new(node);
    let note = |key: &str| meta::annotation(&resource.node, key).map(str::to_owned);
    let behavior = note("internal.config.kubernetes.io/generatorBehavior");
    let needs_hash = note("internal.config.kubernetes.io/needsHashSuffix");
    resource.behavior = behavior.map(|text| Behavior::parse(&text)).unwrap_or_default();
    resource.needs_hash = needs_hash.as_deref() == Some("enabled");
    resource
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::meter::default_meter;

    fn names(text: &str) -> Vec<String> {
        resources(text, &default_meter()).unwrap().iter().map(|r| r.name().to_owned()).collect()
    }

    #[test]
    fn separators_may_carry_comments_and_documents_may_be_empty() {
        let text = "---\n# nothing\n---\nkind: A\nmetadata: {name: a}\n--- # more\r\nkind: B\nmetadata: {name: b}\n---\n";
        assert_eq!(names(text), ["a", "b"]);
    }

    #[test]
    fn list_items_take_the_place_of_their_list_after_the_rest() {
        let text =
            "kind: FooList\nitems:\n- {kind: Foo, metadata: {name: x}}\n---\nkind: A\nmetadata: {name: a}\n";
        assert_eq!(names(text), ["a", "x"]);
    }

    #[test]
    fn text_after_a_separator_is_refused() {
        let error = resources("a: b\n--- x\nc: d\n", &default_meter()).unwrap_err();
        assert_eq!(error.to_string(), "invalid document separator: --- x");
    }
}
