//! Labels and annotations that are one node in several fields of an object.
//!
//! kustomize makes one `yaml.Node` for each label of a `labels`, `commonLabels` or `commonAnnotations` (`filtersutil.SetEntry`), and
//! puts this very node into every mapping of an object that lacks the key: metadata, selector, pod template. What is set in place
//! later (kyaml's `FieldSetter` copies the new node over the one that is there) in one of these fields is thereby set in all of
//! them, the selector included. Patches, label transformers, replacements, names, images and vars all work in place. A field
//! leaves the others when it is removed, when what is around it is replaced (`$patch: replace`, a list without a merge key,
//! annotations that kustomize writes anew for notes of its own), and all of them part when the object has been JSON, that is by a
//! JSON patch.
//!
//! Objects that Flux has applied are in the cluster with the selectors that this gives, so the result must be the same here. Such
//! nodes have the same number ([`Node::shared`]), and what is written to one of them is laid over the others ([`Written::spread`])
//! before the next field is looked at.

use std::collections::HashMap;

use yaml::{Node, Style, Value};

use crate::error::Result;
use crate::meta;
use crate::meter::Meter;

/// What was written, last of all, to shared nodes of one object, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Written(HashMap<u32, Node>);

impl Written {
    /// Calls `set` on a node. If the node is shared, it has first what was written to it elsewhere, and is noted when it changes.
    pub fn set<T>(&mut self, node: &mut Node, set: impl FnOnce(&mut Node) -> T) -> T {
        if node.shared() == 0 {
            return set(node);
        }
        self.update(node);
        let before = node.clone();
        let result = set(node);
        let same =
            node.as_str() == before.as_str() && node.style() == before.style() && node.tag() == before.tag();
        if !same {
            self.0.insert(node.shared(), node.clone());
        }
        result
    }

    /// Lays what was written over all fields of the object that share its node.
    ///
    /// # Errors
    /// When the build has used up its steps.
    pub fn spread(&mut self, object: &mut Node, meter: &Meter<'_>) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        meter.count_work(meta::measure(object).1)?;
        self.update_all(object);
        self.0.clear();
        Ok(())
    }

    fn update_all(&self, node: &mut Node) {
        match node.value_mut() {
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.update_all(item)),
            Value::Mapping(fields) => fields.entries_mut().for_each(|(_, value)| self.update_all(value)),
            Value::Scalar(_) | Value::Alias(_) => self.update(node),
        }
    }

    fn update(&self, node: &mut Node) {
        if node.shared() != 0
            && let Some(last) = self.0.get(&node.shared())
        {
            node.assign(last.clone());
        }
    }
}

/// A copy that shares nothing.
pub(crate) fn copy(node: &Node) -> Node {
    let mut copy = node.clone();
    part(&mut copy);
    copy
}

fn part(node: &mut Node) {
    node.set_shared(0);
    match node.value_mut() {
        Value::Sequence(items) => items.iter_mut().for_each(part),
        Value::Mapping(fields) => fields.entries_mut().for_each(|(_, value)| part(value)),
        Value::Scalar(_) | Value::Alias(_) => {}
    }
}

/// One label or annotation that is set in several fields of an object.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'e> {
    key: &'e str,
    value: Node,
    needs_quotes: bool,
}

impl<'e> Entry<'e> {
    /// An entry with a number that no other entry of the object's has.
    pub fn new(key: &'e str, text: &str, number: u32) -> Self {
        let mut value = meta::plain_string(text);
        value.set_shared(number);
        Self { key, value, needs_quotes: meta::is_other_in_yaml_1_1(text) }
    }

    /// Sets the entry in a mapping, as `FieldSetter` does: what is there takes over the value and gives its style to it, which
    /// then is the style in the fields that have the entry already.
    pub fn set_in(&mut self, mapping: &mut Node, written: &mut Written) {
        if self.needs_quotes && self.value.style() == Style::Plain {
            self.set_style(Style::DoubleQuoted, written);
        }
        match mapping.get_mut(self.key) {
            Some(field) if field.shared() == self.value.shared() => {}
            Some(field) => {
                self.set_style(scalar_style(field), written);
                written.set(field, |field| field.assign(self.value.clone()));
            }
            None => {
                mapping.insert(self.key, self.value.clone());
            }
        }
    }

    fn set_style(&mut self, style: Style, written: &mut Written) {
        written.set(&mut self.value, |value| meta::set_string_style(value, style));
    }
}

/// The style of a scalar; a collection's is none of a scalar.
fn scalar_style(node: &Node) -> Style {
    if node.is_scalar() && node.style() != Style::Flow { node.style() } else { Style::Plain }
}
