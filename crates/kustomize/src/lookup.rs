//! Finding, and making, fields by path: keys, `0`, `-`, `[name=value]`, `*`.

use yaml::{Node, Value};

use crate::error::{Error, Result};
use crate::meter::Meter;
use crate::path::MAX_PARTS;
use crate::pattern::Pattern;
use crate::transform::field::{Create, wrong_kind};

/// One part of a path.
enum Part<'a> {
    Key(&'a str),
    Index(usize),
    Last,
    /// The item whose field has a value; without a field name, the scalar item itself.
    Item(&'a str, &'a str),
}

fn part(text: &str) -> Result<Part<'_>> {
    if let Ok(index) = text.parse::<i64>() {
        let index = usize::try_from(index)
            .map_err(|_| Error::Invalid(format!("array index {index} cannot be negative")))?;
        return Ok(Part::Index(index));
    }
    match text {
        "-" => Ok(Part::Last),
        "*" => Err(Error::invalid("wildcard is not supported in PathGetter")),
        _ => Ok(match item_part(text)? {
            Some((field, value)) => Part::Item(field, value),
            None => Part::Key(text),
        }),
    }
}

/// Whether a part of a path is the key of a mapping.
pub(crate) fn is_key(text: &str) -> Result<bool> {
    Ok(matches!(part(text)?, Part::Key(_)))
}

/// Field and value of `[field=value]`.
fn item_part(text: &str) -> Result<Option<(&str, &str)>> {
    let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else { return Ok(None) };
    inner.split_once('=').map(Some).ok_or_else(|| {
        Error::invalid("list path element must contain fieldName=fieldValue for element to match")
    })
}

fn is_index(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|index| index >= 0)
}

/// The node at a path, if it is there.
pub(crate) fn get<'a>(node: &'a Node, path: &[String]) -> Result<Option<&'a Node>> {
    let mut node = node;
    for text in path.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        if node.is_null() {
            return Ok(None);
        }
        let next = match part(text)? {
            Part::Key(key) if node.is_mapping() => node.get(key),
            Part::Key(_) => return Err(wrong_kind("MappingNode", node)),
            Part::Index(_) | Part::Last | Part::Item(..) if !node.is_sequence() => {
                return Err(wrong_kind("SequenceNode", node));
            }
            Part::Index(index) => node.items().get(index),
            Part::Last => node.items().last(),
            Part::Item(field, value) => node.items().iter().find(|item| is_item(item, field, value)),
        };
        match next {
            Some(next) => node = next,
            None => return Ok(None),
        }
    }
    Ok(Some(node))
}

fn is_item(item: &Node, field: &str, value: &str) -> bool {
    if field.is_empty() {
        item.as_str() == Some(value)
    } else {
        item.get(field).is_some_and(|node| node.as_str().unwrap_or_default() == value)
    }
}

/// The node at a path, made with all above it where missing. `None` when the path leads into a null.
pub(crate) fn create<'a>(node: &'a mut Node, path: &[String], leaf: Create) -> Result<Option<&'a mut Node>> {
    let mut node = node;
    let path: Vec<&str> = path.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    if path.len() > MAX_PARTS {
        return Err(Error::Limit { what: "parts in a field path", limit: MAX_PARTS as u64 });
    }
    for (at, text) in path.iter().enumerate() {
        if node.is_null() {
            return Ok(None);
        }
        let next = path.get(at + 1).copied();
        let next = match part(text)? {
            Part::Key(_) if !node.is_mapping() => return Err(wrong_kind("MappingNode", node)),
            Part::Key(key) => {
                if node.get(key).is_none() {
                    node.insert(key, blank(next, leaf));
                }
                node.get_mut(key)
            }
            Part::Index(_) | Part::Last | Part::Item(..) if !node.is_sequence() => {
                return Err(wrong_kind("SequenceNode", node));
            }
            Part::Index(index) => node.items_mut().and_then(|items| items.get_mut(index)),
            Part::Last => node.items_mut().and_then(|items| items.last_mut()),
            Part::Item(field, value) => {
                let Some(items) = node.items_mut() else { return Ok(None) };
                let index = items.iter().position(|item| is_item(item, field, value)).unwrap_or(items.len());
                if index == items.len() {
                    items.push(new_item(field, value));
                }
                items.get_mut(index)
            }
        };
        match next {
            Some(next) => node = next,
            None => return Ok(None),
        }
    }
    Ok(Some(node))
}

/// What a path's next part needs to stand on.
fn blank(next: Option<&str>, leaf: Create) -> Node {
    match next {
        Some(next) if next.starts_with('[') && next.ends_with(']') || is_index(next) => Node::sequence(),
        Some(_) => Node::mapping(),
        None => match leaf {
            Create::Mapping | Create::Nothing => Node::mapping(),
            Create::Scalar => crate::meta::untyped(""),
        },
    }
}

fn new_item(field: &str, value: &str) -> Node {
    if field.is_empty() { Node::plain(value) } else { Node::mapping_of([(field, Node::plain(value))]) }
}

/// Calls `visit` with every node that a path with wildcards matches; says how many there were.
pub(crate) struct Visitor<'v> {
    /// What to make of missing fields; `Nothing` makes none.
    pub create: Option<Node>,
    pub meter: &'v Meter<'v>,
    pub visit: &'v mut dyn FnMut(&mut Node) -> Result<()>,
    pub found: usize,
}

impl Visitor<'_> {
    /// Walks down one path.
    pub fn walk(&mut self, node: &mut Node, path: &[String]) -> Result<()> {
        let Some((text, rest)) = path.split_first() else {
            self.found += 1;
            return (self.visit)(node);
        };
        if is_index(text) {
            return self.walk_index(node, text, rest);
        }
        if let Some((field, pattern)) = item_part(text)? {
            return self.walk_items(node, text, (field, pattern), rest);
        }
        if text == "*" {
            if node.is_null() {
                return Ok(());
            }
            let kind = wrong_kind("SequenceNode", node);
            return match node.value_mut() {
                Value::Sequence(items) => items.iter_mut().try_for_each(|item| self.walk(item, rest)),
                _ => Err(kind),
            };
        }
        self.walk_field(node, text, rest)
    }

    fn walk_field(&mut self, node: &mut Node, key: &str, rest: &[String]) -> Result<()> {
        if !node.is_mapping() && !node.is_null() {
            return Err(wrong_kind("MappingNode", node));
        }
        if node.get(key).is_none() {
            let Some(leaf) = &self.create else { return Ok(()) };
            let made = self.blank(rest.first(), leaf);
            node.insert(key, made);
        }
        let Some(field) = node.get_mut(key) else { return Ok(()) };
        if field.is_scalar() && !rest.is_empty() {
            // Text that itself is YAML or JSON, `null` included. What is found in there is a copy, so nothing is written back.
            let text = field.as_str().unwrap_or_default();
            let Some(mut inner) = self.meter.parse_as_written(text)?.into_iter().next() else {
                return Ok(());
            };
            return self.walk(&mut inner, rest);
        }
        self.walk(field, rest)
    }

    fn blank(&self, next: Option<&String>, leaf: &Node) -> Node {
        match next {
            Some(next) if next.starts_with('[') && next.ends_with(']') || is_index(next) => Node::sequence(),
            Some(_) => Node::mapping(),
            None if leaf.is_mapping() => Node::mapping(),
            None if leaf.is_sequence() => Node::sequence(),
            None => crate::meta::untyped(""),
        }
    }

    fn walk_index(&mut self, node: &mut Node, text: &str, rest: &[String]) -> Result<()> {
        let index: usize = text.parse().map_err(|_| Error::Invalid(format!("index {text} is too large")))?;
        if !node.is_sequence() && !node.is_null() {
            return Err(wrong_kind("SequenceNode", node));
        }
        let made = self.create.as_ref().map(|leaf| self.blank(rest.first(), leaf));
        let Some(items) = node.items_mut() else {
            return Err(Error::Invalid(format!("index {index} specified but only 0 elements found")));
        };
        if let Some(made) = made.filter(|_| items.len() == index) {
            items.push(made);
        }
        let length = items.len();
        match items.get_mut(index) {
            Some(item) => self.walk(item, rest),
            None => Err(Error::Invalid(format!("index {index} specified but only {length} elements found"))),
        }
    }

    /// Whether the text of a node matches.
    fn matches(&self, regex: &Pattern, node: &Node) -> Result<bool> {
        self.meter.count_work(crate::meta::measure(node).1)?;
        regex.is_match(yaml::emit(node).trim(), self.meter)
    }

    fn walk_items(
        &mut self,
        node: &mut Node,
        text: &str,
        (field, pattern): (&str, &str),
        rest: &[String],
    ) -> Result<()> {
        if node.is_null() {
            return Ok(());
        }
        let regex = Pattern::new(pattern, self.meter.limits)?;
        for attempt in [true, false] {
            let before = self.found;
            let kind = wrong_kind("SequenceNode", node);
            let Some(items) = node.items_mut() else { return Err(kind) };
            for item in items.iter_mut() {
                let shown = if field.is_empty() { Some(&*item) } else { item.get(field) };
                let matches = match shown {
                    Some(node) => self.matches(&regex, node)?,
                    None => false,
                };
                if matches {
                    // A scalar item ends the path.
                    self.walk(item, if field.is_empty() { &[] } else { rest })?;
                }
            }
            if self.found > before || self.create.is_none() || !attempt {
                return Ok(());
            }
            items.push(new_item(field, pattern));
        }
        Err(Error::Invalid(format!("failed to create element for \"{text}\"")))
    }
}
