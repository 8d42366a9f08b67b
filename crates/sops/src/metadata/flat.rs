//! Metadata of formats without nesting: `age__list_0__map_recipient` stands for `age[0].recipient`.

use std::collections::BTreeMap;

use super::MetadataError;
use crate::limits::shown;
use crate::tree::{Branch, Item, Value};

const MAP: &str = "__map_";
const LIST: &str = "__list_";

/// Parts of a name. Those that SOPS writes have five at most.
const PARTS: usize = 16;

/// What stands under a part of a name; exactly one of the three in the end.
#[derive(Default)]
struct Node {
    value: Option<Value>,
    fields: BTreeMap<String, Node>,
    items: BTreeMap<usize, Node>,
}

/// A step from a node to the next.
enum Part<'a> {
    Field(&'a str),
    Item(usize),
}

/// The tree that flat names stand for. Comments are dropped.
pub(crate) fn unflatten(flat: Branch) -> Result<Branch, MetadataError> {
    let mut root = Node::default();
    for item in flat {
        let Item::Entry(name, value) = item else { continue };
        let error = |problem| MetadataError::Unflatten { field: shown(&name), problem };
        let mut node = &mut root;
        for part in parts(&name).map_err(error)? {
            node = match part {
                Part::Field(field) => node.fields.entry(field.to_owned()).or_default(),
                Part::Item(index) => node.items.entry(index).or_default(),
            };
        }
        if node.value.replace(value).is_some() {
            return Err(error("Duplicate value"));
        }
    }
    match convert(root, "sops")? {
        Value::Map(branch) => Ok(branch),
        _ => Ok(Branch::new()),
    }
}

fn parts(name: &str) -> Result<Vec<Part<'_>>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = name;
    let mut separator = MAP;
    loop {
        let next = [MAP, LIST].into_iter().filter_map(|next| Some((rest.find(next)?, next))).min();
        let (part, following) = match next {
            Some((at, next)) => (rest.get(..at), rest.get(at + next.len()..).map(|rest| (next, rest))),
            None => (Some(rest), None),
        };
        let part = part.unwrap_or_default();
        parts.push(match separator {
            LIST => Part::Item(part.parse().map_err(|_| "bad index of a list")?),
            _ => Part::Field(part),
        });
        if parts.len() > PARTS {
            return Err("too many parts");
        }
        let Some((next, following)) = following else { return Ok(parts) };
        (separator, rest) = (next, following);
    }
}

fn convert(node: Node, name: &str) -> Result<Value, MetadataError> {
    let error = |problem| MetadataError::Unflatten { field: shown(name), problem };
    match (node.value, node.fields.is_empty(), node.items.is_empty()) {
        (Some(value), true, true) => Ok(value),
        (None, _, true) => {
            let fields = node.fields.into_iter();
            let entries = fields.map(|(key, node)| Ok(Item::Entry(key.clone(), convert(node, &key)?)));
            entries.collect::<Result<_, _>>().map(Value::Map)
        }
        (None, true, false) => {
            if node.items.keys().copied().ne(0..node.items.len()) {
                return Err(error("Incomplete list"));
            }
            node.items
                .into_values()
                .map(|node| convert(node, name))
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        _ => Err(error("Type mismatch")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn flat(names: &[&str]) -> Branch {
        names.iter().map(|name| Item::Entry((*name).to_owned(), Value::Text((*name).into()))).collect()
    }

    #[test]
    fn names_stand_for_a_tree() {
        let text = |name: &str| Value::Text(name.into());
        let entry = |name: &str, value| Item::Entry(name.to_owned(), value);
        assert_eq!(
            unflatten(flat(&["mac", "age__list_1__map_enc", "age__list_0__map_enc", "a__map_b__map_c"]))
                .unwrap(),
            vec![
                entry(
                    "a",
                    Value::Map(vec![entry("b", Value::Map(vec![entry("c", text("a__map_b__map_c"))]))])
                ),
                entry(
                    "age",
                    Value::List(vec![
                        Value::Map(vec![entry("enc", text("age__list_0__map_enc"))]),
                        Value::Map(vec![entry("enc", text("age__list_1__map_enc"))]),
                    ])
                ),
                entry("mac", text("mac")),
            ]
        );
    }

    #[test]
    fn names_that_contradict_each_other_are_refused() {
        let deep = "a__map_".repeat(20_000);
        for (names, problem) in [
            (vec!["a", "a"], "Duplicate value"),
            (vec!["a", "a__map_b"], "Type mismatch"),
            (vec!["a__list_0", "a__map_b"], "Type mismatch"),
            (vec!["a__list_1"], "Incomplete list"),
            (vec!["a__list_18446744073709551615"], "Incomplete list"),
            (vec!["a__list_x"], "bad index of a list"),
            (vec![deep.as_str()], "too many parts"),
        ] {
            let error = unflatten(flat(&names)).unwrap_err();
            let MetadataError::Unflatten { problem: found, .. } = error else { panic!("{error}") };
            assert_eq!(found, problem);
        }
    }
}
