//! Reading and writing the few fields of an object that every step needs, with kyaml's treatment of odd values.

use yaml::{Node, Resolved, Resolver, Style, Value};

/// Text of a top-level scalar; nothing for anything else.
pub(crate) fn text<'a>(node: &'a Node, key: &str) -> &'a str {
    node.get(key).and_then(Node::as_str).unwrap_or_default()
}

/// Text of a scalar below `metadata`; nothing for null or anything else.
pub(crate) fn metadata_text<'a>(node: &'a Node, key: &str) -> &'a str {
    node.get_path(&["metadata", key])
        .filter(|node| !node.is_null())
        .and_then(Node::as_str)
        .unwrap_or_default()
}

/// Null: nothing, as kyaml sees it. A scalar without a type is something, even one without a text.
pub(crate) fn is_missing(node: &Node) -> bool {
    node.is_null() && !node.is_untyped()
}

/// Null, an empty mapping or an empty sequence.
pub(crate) fn is_empty(node: &Node) -> bool {
    match node.value() {
        Value::Scalar(_) => is_missing(node),
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(mapping) => mapping.is_empty(),
        Value::Alias(_) => false,
    }
}

/// Text that takes as much memory as a node.
pub(crate) const BYTES_PER_NODE: usize = 64;

/// How deep a node is, a scalar being 1, and of how many nodes it consists; long text counts as several.
pub(crate) fn measure(node: &Node) -> (usize, usize) {
    let children: Box<dyn Iterator<Item = &Node>> = match node.value() {
        Value::Sequence(items) => Box::new(items.iter()),
        Value::Mapping(mapping) => Box::new(mapping.entries().iter().map(|(_, value)| value)),
        Value::Scalar(text) => return (1, 1 + text.len() / BYTES_PER_NODE),
        Value::Alias(_) => return (1, 1),
    };
    let (depth, nodes) =
        children.map(measure).fold((0, 0), |(depth, nodes), (d, n)| (depth.max(d), nodes + n));
    (depth + 1, nodes + 1)
}

/// Replaces a scalar's text and keeps its style, so that a plain number stays a number: kyaml's untagged scalar.
pub(crate) fn set_text(node: &mut Node, text: &str) {
    let style = if node.is_scalar() && node.style() != Style::Flow { node.style() } else { Style::Plain };
    node.set_value(Value::Scalar(text.into()));
    node.set_style(style);
    node.set_untyped();
}

/// A scalar whose type follows from the text it has: kyaml's untagged scalar.
pub(crate) fn untyped(text: &str) -> Node {
    let mut node = Node::plain(text);
    node.set_untyped();
    node
}

/// A string, whatever it looks like.
pub(crate) fn set_string(node: &mut Node, text: &str) {
    node.assign(string(text));
}

/// A string that stays one, in the style that kyaml gives it: quotes where YAML 1.1 would read something else.
pub(crate) fn string(text: &str) -> Node {
    let mut node = Node::plain(text);
    set_string_style(&mut node, if is_other_in_yaml_1_1(text) { Style::DoubleQuoted } else { Style::Plain });
    node
}

/// A string in plain style.
pub(crate) fn plain_string(text: &str) -> Node {
    let mut node = Node::plain(text);
    set_string_style(&mut node, Style::Plain);
    node
}

/// Gives a string a style; one that would not be a string in it says by a tag that it is one.
pub(crate) fn set_string_style(node: &mut Node, style: Style) {
    node.set_tag("");
    node.set_style(style);
    if !is_string(node) {
        node.set_tag("!!str");
    }
}

/// kyaml's `IsValueNonString`, which takes the text for a whole document: `5`, `yes`, but also `{}`, `a: b` and `# a`.
pub(crate) fn is_other_in_yaml_1_1(text: &str) -> bool {
    if text.is_empty() || text.contains('\n') {
        return false;
    }
    if !text.contains(|character: char| character.is_ascii_punctuation() && !"./_".contains(character)) {
        return !resolves_to_string(&Node::plain(text), Resolver::KubernetesV2);
    }
    match yaml::parse(text, &yaml::Limits::default()) {
        Ok(documents) => {
            documents.first().is_none_or(|node| !resolves_to_string(node, Resolver::KubernetesV2))
        }
        Err(_) => false,
    }
}

/// Whether kustomize reads a node as a string.
pub(crate) fn is_string(node: &Node) -> bool {
    resolves_to_string(node, Resolver::KustomizeV3)
}

fn resolves_to_string(node: &Node, resolver: Resolver) -> bool {
    matches!(node.resolve(resolver), Ok(Some(Resolved::String(_))))
}

/// Sets a scalar as kyaml's `SetMapField` does: a new field is a string, an existing one keeps its style.
pub(crate) fn set_field(node: &mut Node, key: &str, text: &str) {
    match node.get_mut(key) {
        Some(field) => set_text(field, text),
        None => {
            node.insert(key, string(text));
        }
    }
}

/// `metadata`, made if it is missing.
pub(crate) fn metadata_mut(node: &mut Node) -> Option<&mut Node> {
    child_mapping_mut(node, "metadata")
}

/// The mapping under `key`, made if it is missing or null.
pub(crate) fn child_mapping_mut<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    if node.get(key).is_none_or(Node::is_null) {
        node.insert(key, Node::mapping());
    }
    node.get_mut(key)
}

pub(crate) fn set_kind(node: &mut Node, kind: &str) {
    set_field(node, "kind", kind);
}

pub(crate) fn set_api_version(node: &mut Node, api_version: &str) {
    set_field(node, "apiVersion", api_version);
}

pub(crate) fn set_name(node: &mut Node, name: &str) {
    if let Some(metadata) = metadata_mut(node) {
        set_field(metadata, "name", name);
    }
}

/// Sets the namespace, or removes it when it is empty.
pub(crate) fn set_namespace(node: &mut Node, namespace: &str) {
    if namespace.is_empty() {
        if let Some(metadata) = node.get_mut("metadata") {
            metadata.remove("namespace");
        }
    } else if let Some(metadata) = metadata_mut(node) {
        set_field(metadata, "namespace", namespace);
    }
}

/// An annotation's text.
pub(crate) fn annotation<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    Some(node.get_path(&["metadata", "annotations", key])?.as_str().unwrap_or_default())
}

pub(crate) fn set_annotation(node: &mut Node, key: &str, text: &str) {
    set_metadata_entry(node, "annotations", key, text);
}

/// Sets one label or annotation (`map`).
pub(crate) fn set_metadata_entry(node: &mut Node, map: &str, key: &str, text: &str) {
    if let Some(map) = metadata_mut(node).and_then(|metadata| child_mapping_mut(metadata, map)) {
        map.insert(key, string(text));
    }
}

pub(crate) fn remove_annotation(node: &mut Node, key: &str) {
    if let Some(annotations) = node.get_path_mut(&["metadata", "annotations"]) {
        annotations.remove(key);
    }
}

/// Labels or annotations (`map`) as key and text, in order.
pub(crate) fn metadata_map<'a>(node: &'a Node, map: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    node.get_path(&["metadata", map])
        .map(Node::entries)
        .unwrap_or_default()
        .iter()
        .map(|(key, value)| (key.as_str().unwrap_or_default(), value.as_str().unwrap_or_default()))
}

/// Lays a `map` of labels or annotations over that of `under`; every value becomes a string, an empty map goes.
pub(crate) fn merge_string_map(node: &mut Node, map: &str, under: &Node) {
    let mut merged = Node::mapping();
    for (key, value) in metadata_map(under, map).chain(metadata_map(node, map)) {
        merged.insert(key, string(value));
    }
    let empty = merged.entries().is_empty();
    if let Some(metadata) = metadata_mut(node) {
        if empty {
            metadata.remove(map);
        } else {
            metadata.insert(map, merged);
        }
    }
}

/// Every value of the labels or annotations becomes a string, an empty map goes.
pub(crate) fn normalize_string_map(node: &mut Node, map: &str) {
    let Some(metadata) = node.get_mut("metadata") else { return };
    let Some(entries) = metadata.get_mut(map) else { return };
    if entries.entries().is_empty() {
        metadata.remove(map);
        return;
    }
    for (_, value) in entries.entries_mut() {
        let text = value.as_str().unwrap_or_default().to_owned();
        // kustomize writes all of them anew.
        *value = string(&text);
    }
}
