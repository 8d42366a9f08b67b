//! Aliases and merge keys replaced by what they stand for, as kyaml's `DeAnchor` does it.

use std::collections::{HashMap, HashSet};

use smol_str::SmolStr;

use crate::node::Value;
use crate::{BYTES_PER_NODE, Error, Limits, Mapping, Node, Style};

impl Node {
    /// Replaces aliases by copies of what they name and `<<` entries by the entries they merge in; anchors go.
    ///
    /// A mapping's own entries keep their place and win; merged ones follow. Of several merged mappings the first wins.
    ///
    /// # Errors
    /// An anchor inside itself, a merge of something that is no mapping, or more copies than `limits` allow.
    pub fn expand_aliases(&mut self, limits: &Limits) -> Result<(), Error> {
        self.expand_counted(limits).map(|_| ())
    }

    /// The same; says how many nodes were copied.
    pub(crate) fn expand_counted(&mut self, limits: &Limits) -> Result<usize, Error> {
        let mut wanted = HashSet::new();
        collect_aliases(self, &mut wanted);
        let mut expander = Expander { limits, wanted, anchors: HashMap::new(), copied: 0 };
        expander.expand(self, 0)?;
        Ok(expander.copied)
    }
}

fn collect_aliases(node: &Node, names: &mut HashSet<SmolStr>) {
    match node.value() {
        Value::Alias(name) => {
            names.insert(name.clone());
        }
        Value::Sequence(items) => items.iter().for_each(|item| collect_aliases(item, names)),
        Value::Mapping(mapping) => mapping.entries().iter().for_each(|(key, value)| {
            collect_aliases(key, names);
            collect_aliases(value, names);
        }),
        Value::Scalar(_) => {}
    }
}

/// An expanded anchored node and what a copy of it costs.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

struct Expander<'a> {
    limits: &'a Limits,
    /// Names that some alias uses; other anchors need no copy.
    wanted: HashSet<SmolStr>,
    /// `None` while the node is being expanded.
    anchors: HashMap<SmolStr, Option<Anchored>>,
    copied: usize,
}

impl Expander<'_> {
    fn expand(&mut self, node: &mut Node, depth: usize) -> Result<(), Error> {
        let anchor = SmolStr::new(node.anchor());
        node.set_anchor("");
        let anchored = !anchor.is_empty() && self.wanted.contains(&anchor);
        if anchored {
            self.anchors.insert(anchor.clone(), None);
        }
        let line = node.line();
        match node.value_mut() {
            Value::Scalar(_) => {}
            Value::Alias(name) => {
                let name = name.clone();
                *node = self.copy_of(&name, line, depth)?;
            }
            Value::Sequence(items) => {
                for item in items {
                    self.expand(item, depth + 1)?;
                }
            }
            Value::Mapping(mapping) => {
                for (key, value) in mapping.entries_vec_mut() {
                    self.expand(key, depth + 1)?;
                    self.expand(value, depth + 1)?;
                }
                merge(mapping, line)?;
            }
        }
        if anchored {
            let (nodes, depth) = measure(node);
            self.charge(nodes, line)?;
            self.anchors.insert(anchor, Some(Anchored { node: node.clone(), nodes, depth }));
        }
        Ok(())
    }

    fn copy_of(&mut self, name: &SmolStr, line: u32, depth: usize) -> Result<Node, Error> {
        let (nodes, added_depth) = match self.anchors.get(name) {
            Some(Some(anchored)) => (anchored.nodes, anchored.depth),
            Some(None) => return Err(syntax(format!("anchor '{name}' value contains itself"))),
            None => return Err(syntax(format!("unknown anchor '{name}' referenced"))),
        };
        if depth + added_depth > self.limits.depth {
            return Err(Error::Limit { line, what: "nested collections", limit: self.limits.depth });
        }
        self.charge(nodes, line)?;
        match self.anchors.get(name) {
            Some(Some(anchored)) => Ok(anchored.node.clone()),
            _ => Err(syntax(format!("unknown anchor '{name}' referenced"))),
        }
    }

    fn charge(&mut self, nodes: usize, line: u32) -> Result<(), Error> {
        self.copied += nodes;
        if self.copied <= self.limits.alias_nodes {
            return Ok(());
        }
        Err(Error::Limit { line, what: "nodes copied by aliases", limit: self.limits.alias_nodes })
    }
}

/// What a copy of a tree takes, in nodes, and how deep its collections nest.
fn measure(node: &Node) -> (usize, usize) {
    let comments = node.comments();
    let text =
        node.as_str().map_or(0, str::len) + comments.head.len() + comments.line.len() + comments.foot.len();
    let own = 1 + text / BYTES_PER_NODE;
    let parts: &mut dyn Iterator<Item = &Node> = match node.value() {
        Value::Sequence(items) => &mut items.iter(),
        Value::Mapping(mapping) => &mut mapping.entries().iter().flat_map(|(key, value)| [key, value]),
        Value::Scalar(_) | Value::Alias(_) => return (own, 0),
    };
    let (nodes, depth) =
        parts.map(measure).fold((own, 0), |(nodes, depth), (n, d): (usize, usize)| (nodes + n, depth.max(d)));
    (nodes, depth + 1)
}

/// Replaces a `<<` entry by the entries of the mapping or mappings it holds.
fn merge(mapping: &mut Mapping, line: u32) -> Result<(), Error> {
    let Some(position) = mapping.entries().iter().position(|(key, _)| is_merge_key(key)) else {
        return Ok(());
    };
    let (_, sources) = mapping.entries_vec_mut().remove(position);
    if mapping.entries().iter().any(|(key, _)| is_merge_key(key)) {
        return Err(Error::Convert { line, message: "duplicate merge key".into() });
    }
    let sources = match sources.into_value() {
        Value::Mapping(source) => vec![source],
        Value::Sequence(items) => {
            items.into_iter().map(|item| mapping_of(item, line)).collect::<Result<_, _>>()?
        }
        _ => return Err(not_a_mapping(line)),
    };
    let own = mapping.len();
    for (key, value) in sources.into_iter().rev().flat_map(Mapping::into_entries) {
        let known = key.as_str().and_then(|text| mapping.position(text));
        match known {
            Some(position) if position < own => {}
            Some(position) => {
                if let Some(entry) = mapping.entries_vec_mut().get_mut(position) {
                    *entry = (key, value);
                }
            }
            None => mapping.push(key, value),
        }
    }
    Ok(())
}

fn is_merge_key(key: &Node) -> bool {
    key.as_str() == Some("<<")
        && (key.tag() == "!!merge" || key.tag().is_empty() && key.style() == Style::Plain)
}

fn mapping_of(node: Node, line: u32) -> Result<Mapping, Error> {
    match node.into_value() {
        Value::Mapping(mapping) => Ok(mapping),
        _ => Err(not_a_mapping(line)),
    }
}

fn not_a_mapping(line: u32) -> Error {
    Error::Convert { line, message: "map merge requires map or sequence of maps as the value".into() }
}

fn syntax(message: String) -> Error {
    Error::Syntax { line: 0, line_of_v2: 0, column: 0, message }
}
