//! Walking to the fields that a specification names.

use yaml::{Node, Value};

use crate::config::{FieldSpec, Segment};
use crate::error::{Context, Error, Result};
use crate::lookup;
use crate::meta;
use crate::meter::Meter;
use crate::path;
use crate::resid::split_api_version;
use crate::shared::Written;

/// What to make of a field that is missing and that the specification lets be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    Nothing,
    Mapping,
    Scalar,
}

/// Calls `set` on each node at the end of the path, in an object of a kind that the specification covers.
pub(crate) fn apply(
    node: &mut Node,
    spec: &FieldSpec,
    create: Create,
    meter: &Meter<'_>,
    set: &mut dyn FnMut(&mut Node) -> Result<()>,
) -> Result<()> {
    if !covers(spec, node) {
        return Ok(());
    }
    apply_path(node, spec, create, meter, set)
}

/// As [`apply`], whatever the kind.
pub(crate) fn apply_path(
    node: &mut Node,
    spec: &FieldSpec,
    create: Create,
    meter: &Meter<'_>,
    set: &mut dyn FnMut(&mut Node) -> Result<()>,
) -> Result<()> {
    if spec.segments.len() > path::MAX_PARTS {
        return Err(Error::Limit { what: "parts in a field path", limit: path::MAX_PARTS as u64 });
    }
    let create = if spec.create { create } else { Create::Nothing };
    let mut written = Written::default();
    let result = walk(node, &spec.segments, create, &mut |field| written.set(field, &mut *set));
    let result = result.and_then(|()| written.spread(node, meter));
    result.context(|| {
        format!(
            "considering field '{}' of object {}",
            spec.path,
            crate::resource::Resource::new(node.clone()).describe()
        )
    })
}

fn covers(spec: &FieldSpec, node: &Node) -> bool {
    let gvk = &spec.gvk;
    if !gvk.kind.is_empty() && gvk.kind != meta::text(node, "kind") {
        return false;
    }
    if gvk.group.is_empty() && gvk.version.is_empty() {
        return true;
    }
    let (group, version) = split_api_version(meta::text(node, "apiVersion"));
    (gvk.group.is_empty() || gvk.group == group) && (gvk.version.is_empty() || gvk.version == version)
}

fn walk(
    node: &mut Node,
    path: &[Segment],
    create: Create,
    set: &mut dyn FnMut(&mut Node) -> Result<()>,
) -> Result<()> {
    let Some((segment, rest)) = path.split_first() else { return set(node) };
    let is_null = node.is_scalar() && node.is_null();
    // kustomize looks for each key as for a path, in which some texts stand for the items of a list.
    if node.is_mapping() && !lookup::is_key(&segment.key)? {
        return Err(wrong_kind("SequenceNode", node));
    }
    match node.value_mut() {
        Value::Sequence(items) => items.iter_mut().try_for_each(|item| walk(item, path, create, set)),
        Value::Mapping(mapping) => {
            if segment.key.is_empty() {
                return Err(Error::invalid("cannot set or create an empty field name"));
            }
            let create_here = create != Create::Nothing && !segment.list;
            if create_here && !mapping.contains_key(&segment.key) {
                mapping.insert(&segment.key, blank(create, rest.is_empty()));
            }
            let Some(field) = mapping.get_mut(&segment.key) else { return Ok(()) };
            if segment.list && field.is_null() {
                *field = Node::sequence();
            } else if create_here && field.is_null() {
                *field = blank(create, rest.is_empty());
            }
            walk(field, rest, create, set)
        }
        Value::Scalar(_) if is_null => Ok(()),
        Value::Scalar(_) | Value::Alias(_) => Err(Error::invalid("expected sequence or mapping node")),
    }
}

fn blank(create: Create, last: bool) -> Node {
    if last && create == Create::Scalar { meta::untyped("") } else { Node::mapping() }
}

/// A setter's complaint about a node of the wrong kind.
pub(crate) fn wrong_kind(expected: &str, node: &Node) -> Error {
    let got = match node.value() {
        Value::Scalar(_) => "ScalarNode",
        Value::Sequence(_) => "SequenceNode",
        Value::Mapping(_) => "MappingNode",
        Value::Alias(_) => "AliasNode",
    };
    Error::Invalid(format!(
        "wrong node kind: expected {expected} but got {got}: node contents:\n{}",
        yaml::emit(node)
    ))
}

/// The text of a scalar; nothing for null.
pub(crate) fn scalar(node: &Node) -> Result<&str> {
    match node.as_str() {
        Some(text) => Ok(text),
        None => Err(wrong_kind("ScalarNode", node)),
    }
}
