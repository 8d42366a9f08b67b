//! Aliases and merge keys replaced by what they stand for, as kyaml's `DeAnchor` does it.

use std::collections::{HashMap, HashSet};

use smol_str::SmolStr;

use crate::node::Value;
use crate::parse::Dialect;
use crate::{BYTES_PER_NODE, Error, Limits, Mapping, Node, Style};

impl Node {
    /// Replaces aliases by copies of what they name and `<<` entries by the entries they merge in; anchors go.
    ///
    /// A mapping's own entries keep their place and win; merged ones follow. Of several merged mappings the first wins.
    ///
    /// # Errors
    /// An anchor inside itself, a merge of something that is no mapping, or more copies than `limits` allow.
    pub fn expand_aliases(&mut self, limits: &Limits) -> Result<(), Error> {
        self.expand_counted(limits, Dialect::V3).map(|_| ())
    }

    /// The same; says how many nodes were copied.
    pub(crate) fn expand_counted(&mut self, limits: &Limits, dialect: Dialect) -> Result<usize, Error> {
        let mut wanted = HashSet::new();
        collect_aliases(self, &mut wanted);
        let mut expander =
            Expander { limits, dialect, wanted, anchors: HashMap::new(), copied: 0, decoded: 0, aliased: 0 };
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
    /// How many nodes go-yaml decodes for it, without regard to their size.
    decoded: usize,
}

struct Expander<'a> {
    limits: &'a Limits,
    dialect: Dialect,
    /// Names that some alias uses; other anchors need no copy.
    wanted: HashSet<SmolStr>,
    /// `None` while the node is being expanded.
    anchors: HashMap<SmolStr, Option<Anchored>>,
    copied: usize,
    /// Nodes so far, as go-yaml v2 decodes them, and those of them that aliases name.
    decoded: usize,
    aliased: usize,
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
        let before = self.decoded;
        self.decoded += 1;
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
                match self.dialect {
                    Dialect::V2 => merge_in_order(mapping)?,
                    Dialect::V3 => merge(mapping, line)?,
                }
            }
        }
        if anchored {
            let (nodes, depth) = measure(node);
            self.charge(nodes, line)?;
            let decoded = self.decoded - before;
            self.anchors.insert(anchor, Some(Anchored { node: node.clone(), nodes, depth, decoded }));
        }
        Ok(())
    }

    fn copy_of(&mut self, name: &SmolStr, line: u32, depth: usize) -> Result<Node, Error> {
        let (nodes, added_depth, decoded) = match self.anchors.get(name) {
            Some(Some(anchored)) => (anchored.nodes, anchored.depth, anchored.decoded),
            Some(None) => return Err(syntax(format!("anchor '{name}' value contains itself"))),
            None => return Err(syntax(format!("unknown anchor '{name}' referenced"))),
        };
        if depth + added_depth > self.limits.depth {
            return Err(Error::Limit { line, what: "nested collections", limit: self.limits.depth });
        }
        self.decoded += decoded;
        self.aliased += decoded;
        if self.dialect == Dialect::V2 && is_excessive(self.aliased, self.decoded) {
            return Err(syntax("document contains excessive aliasing".into()));
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

/// Whether go-yaml v2 refuses so many nodes of aliases among so many (`allowedAliasRatio` of its `decode.go`).
fn is_excessive(aliased: usize, decoded: usize) -> bool {
    let allowed = match decoded {
        ..=400_000 => 0.99,
        4_000_000.. => 0.10,
        _ => 0.99 - 0.89 * ((decoded - 400_000) as f64 / 3_600_000.0),
    };
    aliased > 100 && decoded > 1000 && aliased as f64 / decoded as f64 > allowed
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

/// Replaces each `<<` entry, where it stands, by the entries of the mapping or mappings it holds, of which the first wins: go-yaml v2 sets
/// one after the other.
fn merge_in_order(mapping: &mut Mapping) -> Result<(), Error> {
    if !mapping.entries().iter().any(|(key, _)| is_merge_key(key)) {
        return Ok(());
    }
    let mut merged = Vec::with_capacity(mapping.len());
    for (key, value) in std::mem::take(mapping.entries_vec_mut()) {
        if !is_merge_key(&key) {
            merged.push((key, value));
            continue;
        }
        match value.into_value() {
            Value::Mapping(source) => merged.extend(source.into_entries()),
            Value::Sequence(items) => {
                for item in items.into_iter().rev() {
                    merged.extend(mapping_of(item, 0)?.into_entries());
                }
            }
            _ => return Err(not_a_mapping(0)),
        }
    }
    *mapping.entries_vec_mut() = merged;
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
