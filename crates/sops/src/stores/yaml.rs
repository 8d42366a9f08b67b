//! YAML: documents of mappings, with their comments.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use yaml::{Comments, Node, Resolved, Resolver, Style, Value as Yaml};
use zeroize::Zeroizing;

use super::ParseError;
use crate::limits::{Budget, Limits};
use crate::tree::{Branch, Comment, Item, Text, Value};

/// Columns of an indentation step that SOPS writes.
const INDENT: usize = 4;

/// Characters of base64 in a line, as go-yaml writes binary values.
const BASE64_LINE: usize = 70;

/// The documents of a stream.
pub(super) fn load(text: &str, limits: &Limits) -> Result<Vec<Branch>, ParseError> {
    let (documents, _) = yaml::parse_unexpanded(
        text,
        &yaml::Limits {
            bytes: limits.bytes,
            depth: limits.depth,
            documents: limits.nodes,
            nodes: limits.nodes,
            alias_nodes: 0,
        },
    )?;
    let mut budget = Budget::new(limits);
    documents
        .iter()
        .map(|root| {
            let mut loader = Loader { budget: &mut budget, anchors: HashMap::new() };
            let mut branch = Branch::new();
            loader.comments(&mut branch, &root.comments().document_head, false)?;
            loader.document(root, &mut branch)?;
            loader.comments(&mut branch, &root.comments().document_foot, false)?;
            Ok(branch)
        })
        .collect()
}

/// What takes up comments: as items of a mapping, or of a list.
trait Target {
    fn push_comment(&mut self, comment: Comment);
}

impl Target for Branch {
    fn push_comment(&mut self, comment: Comment) {
        self.push(Item::Comment(comment));
    }
}

impl Target for Vec<Value> {
    fn push_comment(&mut self, comment: Comment) {
        self.push(Value::Comment(comment));
    }
}

struct Loader<'a, 'b> {
    budget: &'a mut Budget<'b>,
    /// Anchored nodes so far; nothing while the walk is inside of one.
    anchors: HashMap<&'a str, Option<&'a Node>>,
}

impl<'a> Loader<'a, '_> {
    fn document(&mut self, root: &'a Node, branch: &mut Branch) -> Result<(), ParseError> {
        match root.value() {
            Yaml::Mapping(_) => self.mapping(root, branch, false, 1),
            Yaml::Sequence(_) => Err(error(root, "YAML documents that are sequences are not supported")),
            Yaml::Scalar(_) if root.is_null() => {
                let comments = root.comments();
                self.comments(branch, &comments.head, false)?;
                self.comments(branch, &comments.line, false)?;
                Ok(self.comments(branch, &comments.foot, false)?)
            }
            Yaml::Scalar(_) | Yaml::Alias(_) => {
                Err(error(root, "YAML documents that are values are not supported"))
            }
        }
    }

    /// The entries of a mapping. `outside`: the comments around it are taken already.
    fn mapping(
        &mut self,
        node: &'a Node,
        branch: &mut Branch,
        outside: bool,
        depth: usize,
    ) -> Result<(), ParseError> {
        let around = node.comments();
        if !outside {
            self.comments(branch, &around.head, false)?;
            self.comments(branch, &around.line, false)?;
        }
        let mut names = std::collections::HashSet::new();
        for (key, value) in node.entries() {
            self.budget.node(depth)?;
            let name = match key.resolve(Resolver::KustomizeV3)? {
                Some(Resolved::String(name)) => name.into_owned(),
                _ => {
                    return Err(error(key, "Tree contains a non-string key. Only string keys are supported"));
                }
            };
            self.budget.text(&name)?;
            if !names.insert(name.clone()) {
                return Err(error(key, "mapping key already defined"));
            }
            self.comments(branch, &key.comments().head, false)?;
            self.comments(branch, &key.comments().line, false)?;
            let is_leaf = matches!(value.value(), Yaml::Scalar(_) | Yaml::Alias(_));
            let comments = if is_leaf { value.comments() } else { &NONE };
            self.comments(branch, &comments.head, false)?;
            self.comments(branch, &comments.line, true)?;
            let value = self.value(value, is_leaf, depth)?;
            branch.push(Item::Entry(name, value));
            self.comments(branch, &comments.foot, false)?;
            self.comments(branch, &key.comments().foot, false)?;
        }
        if !outside {
            self.comments(branch, &around.foot, false)?;
        }
        Ok(())
    }

    fn value(&mut self, node: &'a Node, outside: bool, depth: usize) -> Result<Value, ParseError> {
        let anchor = node.anchor();
        if !anchor.is_empty() {
            self.anchors.insert(anchor, None);
        }
        let value = match node.value() {
            Yaml::Scalar(text) => {
                self.budget.text(text)?;
                scalar(node)?
            }
            Yaml::Mapping(_) => {
                let mut branch = Branch::new();
                self.mapping(node, &mut branch, outside, depth + 1)?;
                Value::Map(branch)
            }
            Yaml::Sequence(items) => {
                let mut list = Vec::new();
                let around = if outside { &NONE } else { node.comments() };
                self.comments(&mut list, &around.head, false)?;
                self.comments(&mut list, &around.line, false)?;
                for item in items {
                    self.budget.node(depth + 1)?;
                    self.comments(&mut list, &item.comments().head, false)?;
                    self.comments(&mut list, &item.comments().line, true)?;
                    let value = self.value(item, true, depth + 1)?;
                    list.push(value);
                    self.comments(&mut list, &item.comments().foot, false)?;
                }
                self.comments(&mut list, &around.foot, false)?;
                Value::List(list)
            }
            Yaml::Alias(name) => match self.anchors.get(name.as_str()) {
                Some(Some(anchored)) => return self.value(anchored, false, depth),
                Some(None) => return Err(error(node, "anchor value contains itself")),
                None => return Err(error(node, "unknown anchor referenced")),
            },
        };
        if !anchor.is_empty() {
            self.anchors.insert(anchor, Some(node));
        }
        Ok(value)
    }

    /// The lines of a comment, each a comment of its own.
    fn comments(
        &mut self,
        target: &mut impl Target,
        text: &str,
        inline: bool,
    ) -> Result<(), crate::limits::LimitError> {
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            self.budget.node(0)?;
            self.budget.text(line)?;
            let line = line.strip_prefix('#').unwrap_or(line);
            target.push_comment(Comment { text: line.into(), inline });
        }
        Ok(())
    }
}

/// No comments.
static NONE: Comments = Comments {
    head: String::new(),
    line: String::new(),
    foot: String::new(),
    document_head: String::new(),
    document_foot: String::new(),
};

fn scalar(node: &Node) -> Result<Value, ParseError> {
    Ok(match node.resolve(Resolver::KustomizeV3)? {
        None | Some(Resolved::Null) => Value::Null,
        Some(Resolved::Bool(value)) => Value::Bool(value),
        Some(Resolved::Int(value)) => Value::Int(value),
        Some(Resolved::Uint(_)) => return Err(error(node, "Cannot walk value, unknown type: uint64")),
        Some(Resolved::Float(value)) => Value::Float(value),
        Some(Resolved::Timestamp(text)) => Value::Time(text),
        Some(Resolved::String(text)) => Value::Text(text.into_owned().into()),
    })
}

fn error(node: &Node, problem: &'static str) -> ParseError {
    ParseError::YamlTree { line: node.line(), problem }
}

/// The documents as SOPS writes them.
pub(super) fn emit(branches: &[Branch]) -> Zeroizing<Vec<u8>> {
    let documents: Vec<Node> = branches.iter().map(mapping).collect();
    Zeroizing::new(yaml::emit_indented(&documents, INDENT).into_bytes())
}

fn mapping(branch: &Branch) -> Node {
    let mut entries: Vec<(Node, Node)> = Vec::new();
    let mut pending = Pending::default();
    let mut head = String::new();
    for item in branch {
        match item {
            Item::Comment(comment) => pending.push(comment),
            Item::Entry(key, value) => {
                if entries.is_empty() {
                    // They stand before the mapping, and before its first key if there is one.
                    head = std::mem::take(&mut pending.head);
                }
                let mut key = text(key);
                pending.put_head(&mut key);
                let mut value = node(value);
                pending.put_line(&mut value);
                entries.push((key, value));
            }
        }
    }
    let rest = pending.rest();
    match entries.last_mut() {
        Some((key, _)) => append(&mut key.comments_mut().foot, &rest),
        None => head = rest,
    }
    let mut mapping = Node::new(Yaml::Mapping(entries.into()));
    prepend(&mut mapping, head);
    mapping
}

fn sequence(items: &[Value]) -> Node {
    let mut nodes: Vec<Node> = Vec::new();
    let mut pending = Pending::default();
    let mut head = String::new();
    for item in items {
        if let Value::Comment(comment) = item {
            pending.push(comment);
            continue;
        }
        if nodes.is_empty() {
            head = std::mem::take(&mut pending.head);
        }
        let mut item = node(item);
        pending.put_head(&mut item);
        pending.put_line(&mut item);
        nodes.push(item);
    }
    let rest = pending.rest();
    match nodes.last_mut() {
        Some(last) => append(&mut last.comments_mut().foot, &rest),
        None => head = rest,
    }
    let mut sequence = Node::sequence_of(nodes);
    prepend(&mut sequence, head);
    sequence
}

/// Comments that belong to what comes next, with their `#`.
#[derive(Default)]
struct Pending {
    head: String,
    line: String,
}

impl Pending {
    fn push(&mut self, comment: &Comment) {
        let target = if comment.inline { &mut self.line } else { &mut self.head };
        append(target, &format!("#{}", *comment.text.to_utf8()));
    }

    fn put_head(&mut self, node: &mut Node) {
        prepend(node, std::mem::take(&mut self.head));
    }

    fn put_line(&mut self, node: &mut Node) {
        if !self.line.is_empty() {
            append(&mut node.comments_mut().line, &std::mem::take(&mut self.line));
        }
    }

    fn rest(mut self) -> String {
        append(&mut self.head, &self.line);
        self.head
    }
}

fn append(target: &mut String, comment: &str) {
    if !target.is_empty() && !comment.is_empty() {
        target.push('\n');
    }
    target.push_str(comment);
}

/// Puts a comment above those that are above a node.
fn prepend(node: &mut Node, mut comment: String) {
    if !comment.is_empty() {
        append(&mut comment, &node.comments().head);
        node.comments_mut().head = comment;
    }
}

fn node(value: &Value) -> Node {
    match value {
        Value::Null => Node::null(),
        Value::Bool(value) => Node::bool(*value),
        Value::Int(value) => Node::integer(*value),
        Value::Float(value) => Node::plain(yaml::yaml_float(*value)),
        Value::Time(time) => Node::plain(time),
        Value::Text(value) => binary_or_text(value),
        // Go's bytes are a list of numbers.
        Value::Bytes(bytes) => {
            Node::sequence_of(bytes.bytes().iter().map(|byte| Node::integer(i64::from(*byte))))
        }
        Value::Comment(comment) => text(&comment.text.to_utf8()),
        Value::List(items) => sequence(items),
        Value::Map(branch) => mapping(branch),
    }
}

fn text(text: &str) -> Node {
    let mut node = Node::string(text);
    if text.contains('\n') {
        // go-yaml cannot read a block that begins with a tab. SOPS prints null in its place.
        node.set_style(if text.starts_with('\t') { Style::DoubleQuoted } else { Style::Literal });
    }
    node
}

fn binary_or_text(value: &Text) -> Node {
    if let Ok(utf8) = str::from_utf8(value.bytes()) {
        return text(utf8);
    }
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(value.bytes()));
    let is_long = encoded.len() >= BASE64_LINE;
    let mut lines = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / BASE64_LINE + 1));
    for (position, character) in encoded.chars().enumerate() {
        lines.push(character);
        if is_long && ((position + 1) % BASE64_LINE == 0 || position + 1 == encoded.len()) {
            lines.push('\n');
        }
    }
    let mut node = Node::plain(&*lines);
    if is_long {
        node.set_style(Style::Literal);
    }
    node.set_tag("!!binary");
    node
}
