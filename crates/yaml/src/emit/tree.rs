//! Walking the tree: documents, scalars and block collections.
//!
//! go-yaml emits from a stream of events and keeps the comments of the latest event until some step writes them.
//! The order of those steps shows in the text, so the walk below keeps to it.

use std::mem::take;

use super::analysis::Analysis;
use super::comments::{Pending, set};
use super::writer::{Writer, is_break};
use crate::node::Value;
use crate::{Node, Style};

/// Longer keys are written as `? key`.
const MAX_SIMPLE_KEY: usize = 128;

const INDENT: usize = 2;

/// How a text is laid out.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Columns after which a scalar is folded at its next space.
    pub width: usize,
    /// Columns of an indentation step.
    pub indent: usize,
    /// A list stands in the column of its key.
    pub compact: bool,
    /// As version 2 of go-yaml.
    pub v2: bool,
}

/// As kyaml writes.
pub(super) const KYAML: Layout = Layout { width: usize::MAX, indent: INDENT, compact: true, v2: false };

/// What surrounds a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    BlockItem,
    FlowItem,
    SimpleKey,
    /// A mapping's value or a `? key`.
    Value,
}

/// What is still to be written of a node whose start is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    Flow,
    Block,
}

pub(super) struct Emitter {
    pub writer: Writer,
    pub pending: Pending,
    pub flow_level: usize,
    first_document: bool,
    pub layout: Layout,
}

impl Emitter {
    pub fn new(layout: Layout) -> Self {
        Self {
            writer: Writer::new(layout.width),
            pending: Pending::default(),
            flow_level: 0,
            first_document: true,
            layout,
        }
    }

    pub fn into_text(self) -> String {
        self.writer.text
    }

    pub fn document(&mut self, root: &Node) {
        if !take(&mut self.first_document) {
            self.writer.put_indent();
            self.writer.put_spaced("---");
            self.writer.put_indent();
        }
        let comments = root.comments();
        if !comments.document_head.is_empty() {
            set(&mut self.pending.head, &comments.document_head);
            self.write_head();
            self.writer.put_break();
        }
        self.load(root, "");
        self.write_head();
        let rest = self.start(root, Place::Root);
        self.write_line();
        self.write_foot();
        self.rest(root, rest, Place::Root);
        set(&mut self.pending.foot, &comments.document_foot);
        self.writer.foot_indent = Some(0);
        self.write_foot();
        self.writer.foot_indent = None;
        self.writer.put_indent();
    }

    /// Writes a scalar or alias in full, of a collection anchor and tag.
    pub fn start(&mut self, node: &Node, place: Place) -> Rest {
        if !node.anchor().is_empty() {
            self.writer.put_spaced("&");
            self.writer.put_tight(node.anchor());
        }
        match node.value() {
            Value::Scalar(text) => {
                // go-yaml marks a plain `<<` that was not merged.
                let unmerged = !self.layout.v2
                    && text == "<<"
                    && matches!(node.tag(), "" | "!")
                    && node.style() == Style::Plain;
                self.put_tag(if unmerged { "!!merge" } else { node.tag() });
                self.scalar(text, node.style(), place);
                Rest::Nothing
            }
            Value::Alias(name) => {
                self.writer.put_spaced("*");
                self.writer.put_tight(name);
                Rest::Nothing
            }
            Value::Sequence(_) | Value::Mapping(_) => {
                self.put_tag(node.tag());
                let flow = self.flow_level > 0 || node.style() == Style::Flow || is_empty(node);
                if flow { Rest::Flow } else { Rest::Block }
            }
        }
    }

    /// Writes what [`Emitter::start`] left.
    pub fn rest(&mut self, node: &Node, rest: Rest, place: Place) {
        match (rest, node.value()) {
            (Rest::Flow, Value::Sequence(items)) => self.flow_sequence(node, items, place),
            (Rest::Flow, Value::Mapping(_)) => self.flow_mapping(node, place),
            (Rest::Block, Value::Sequence(items)) => self.block_sequence(node, items, place),
            (Rest::Block, Value::Mapping(_)) => self.block_mapping(node, place),
            _ => {}
        }
    }

    fn put_tag(&mut self, tag: &str) {
        if matches!(tag, "" | "!") {
            return;
        }
        self.writer.space_before();
        let handle = ["!!", "!"].into_iter().find(|handle| tag.starts_with(handle));
        let content = escape_tag(tag.strip_prefix(handle.unwrap_or_default()).unwrap_or(tag));
        match handle {
            Some(handle) => self.writer.put_tight(&format!("{handle}{content}")),
            None => self.writer.put_tight(&format!("!<{content}>")),
        }
    }

    fn scalar(&mut self, text: &str, style: Style, place: Place) {
        let analysis = Analysis::of(text, self.layout.v2);
        let in_flow = self.flow_level > 0;
        let simple_key = place == Place::SimpleKey;
        let style = self.choose_style(text, style, &analysis, simple_key);
        let saved = self.writer.indent;
        self.indent_more(place, true, false);
        let fold = !simple_key;
        match style {
            Style::SingleQuoted => self.writer.put_single_quoted(text, fold),
            Style::DoubleQuoted => self.writer.put_double_quoted(text, fold),
            Style::Literal | Style::Folded if !in_flow => {
                self.writer.put_spaced(if style == Style::Literal { "|" } else { ">" });
                self.writer.put_block_hints(text, self.layout.indent);
                if self.pending.line.is_empty() {
                    self.writer.put_break();
                } else {
                    self.write_line();
                }
                if style == Style::Literal {
                    self.writer.put_literal(text)
                } else {
                    self.writer.put_folded(text)
                }
            }
            _ => self.writer.put_plain(text, fold, self.layout.v2),
        }
        self.writer.indent = saved;
    }

    /// The wanted style, or the nearest that carries the text.
    fn choose_style(&self, text: &str, wanted: Style, analysis: &Analysis, simple_key: bool) -> Style {
        let in_flow = self.flow_level > 0;
        let mut style = wanted;
        if matches!(style, Style::Plain | Style::Flow) {
            style = if text.contains('\n') { Style::Literal } else { Style::Plain };
        }
        if simple_key && analysis.multiline {
            style = Style::DoubleQuoted;
        }
        if style == Style::Plain {
            let allowed = if in_flow { analysis.flow_plain } else { analysis.block_plain };
            if !allowed || text.is_empty() && (in_flow || simple_key) {
                style = Style::SingleQuoted;
            }
        }
        if style == Style::SingleQuoted && !analysis.single_quoted {
            style = Style::DoubleQuoted;
        }
        if matches!(style, Style::Literal | Style::Folded) && (!analysis.block || in_flow || simple_key) {
            style = Style::DoubleQuoted;
        }
        style
    }

    /// `from_flow`: at the root, flow collections and scalars indent their continuation, block collections do not.
    pub fn indent_more(&mut self, place: Place, from_flow: bool, stay: bool) {
        let step = self.layout.indent;
        self.writer.indent = Some(match self.writer.indent {
            None if from_flow => step,
            None => 0,
            Some(indent) if stay => indent,
            // What stands in a list begins behind its dash.
            Some(indent) if place == Place::BlockItem => indent + 2,
            Some(indent) => (indent / step + 1) * step,
        });
    }

    fn block_sequence(&mut self, node: &Node, items: &[Node], place: Place) {
        let under_key = self.layout.compact
            && place == Place::Value
            && (self.writer.column == 0 || !self.writer.indention);
        let saved = self.writer.indent;
        self.indent_more(place, false, under_key);
        for item in items {
            self.load(item, "");
            self.write_head();
            self.writer.put_indent();
            self.writer.put_block_indicator("-");
            let rest = self.start(item, Place::BlockItem);
            self.write_line();
            self.write_foot();
            self.rest(item, rest, Place::BlockItem);
        }
        self.load_end(node, "");
        self.writer.indent = saved;
    }

    fn block_mapping(&mut self, node: &Node, place: Place) {
        let saved = self.writer.indent;
        self.indent_more(place, false, false);
        let mut tail = "";
        for (key, value) in node.entries() {
            self.load_key(key, tail);
            tail = &key.comments().foot;
            self.write_head();
            self.writer.put_indent();
            if !self.pending.line.is_empty() {
                self.pending.key_line = take(&mut self.pending.line);
            }
            let simple = is_simple_key(key);
            if !simple {
                self.writer.put_block_indicator("?");
            }
            let place = if simple { Place::SimpleKey } else { Place::Value };
            let rest = self.start(key, place);
            self.rest(key, rest, place);

            self.load(value, "");
            if simple {
                self.writer.put_tight(":");
            } else {
                self.writer.put_indent();
                self.writer.put_block_indicator(":");
            }
            self.place_key_comment(value);
            let rest = self.start(value, Place::Value);
            self.write_line();
            self.write_foot();
            self.rest(value, rest, Place::Value);
        }
        self.load_end(node, tail);
        self.write_head();
        self.writer.indent = saved;
    }
}

/// Percent signs for what may not stand in a tag.
fn escape_tag(content: &str) -> String {
    let mut escaped = String::with_capacity(content.len());
    for byte in content.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_;/?:@&=+$,.~*'()[]".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn is_empty(node: &Node) -> bool {
    node.items().is_empty() && node.entries().is_empty()
}

/// Whether `key: value` can be written on one line.
pub(super) fn is_simple_key(key: &Node) -> bool {
    let content = match key.value() {
        Value::Alias(name) => return name.len() <= MAX_SIMPLE_KEY,
        Value::Scalar(text) if text.contains(is_break) => return false,
        Value::Scalar(text) => text.len(),
        Value::Sequence(_) | Value::Mapping(_) if !is_empty(key) => return false,
        Value::Sequence(_) | Value::Mapping(_) => 0,
    };
    key.anchor().len() + key.tag().len() + content <= MAX_SIMPLE_KEY
}
