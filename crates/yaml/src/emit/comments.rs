//! Comments: which are pending, and writing them.

use std::mem::take;

use super::tree::Emitter;
use super::writer::is_break;
use crate::{Kind, Node, Style};

/// Comments seen and not yet written.
#[derive(Default)]
pub(super) struct Pending {
    pub head: String,
    pub line: String,
    pub foot: String,
    /// The foot comment of the entry before, which follows all of that entry's value.
    pub tail: String,
    /// The line comment of a key whose value begins on the next line.
    pub key_line: String,
}

impl Emitter {
    /// Takes over the comments that belong to a node's start.
    pub(super) fn load(&mut self, node: &Node, tail: &str) {
        let comments = node.comments();
        set(&mut self.pending.head, &comments.head);
        set(&mut self.pending.tail, tail);
        if matches!(node.kind(), Kind::Scalar | Kind::Alias) {
            set(&mut self.pending.line, &comments.line);
            set(&mut self.pending.foot, &comments.foot);
        }
    }

    /// Takes over the comments that belong to a collection's end.
    pub(super) fn load_end(&mut self, node: &Node, tail: &str) {
        set(&mut self.pending.tail, tail);
        set(&mut self.pending.line, &node.comments().line);
        set(&mut self.pending.foot, &node.comments().foot);
    }

    /// A key's comments, save the foot: that one follows the entry as the tail of the next.
    pub(super) fn load_key(&mut self, key: &Node, tail: &str) {
        set(&mut self.pending.head, &key.comments().head);
        set(&mut self.pending.tail, tail);
        if matches!(key.kind(), Kind::Scalar | Kind::Alias) {
            set(&mut self.pending.line, &key.comments().line);
        }
    }

    /// The comment beside a key goes behind a scalar value, or stays on the key's line.
    pub(super) fn place_key_comment(&mut self, value: &Node) {
        if self.pending.key_line.is_empty() {
            return;
        }
        match value.kind() {
            Kind::Scalar if self.pending.line.is_empty() => {
                self.pending.line = take(&mut self.pending.key_line)
            }
            Kind::Sequence | Kind::Mapping if value.style() != Style::Flow => {
                let line = std::mem::replace(&mut self.pending.line, take(&mut self.pending.key_line));
                self.write_line();
                self.pending.line = line;
            }
            _ => {}
        }
    }

    pub(super) fn write_head(&mut self) {
        if !self.pending.tail.is_empty() {
            let tail = take(&mut self.pending.tail);
            self.writer.put_indent();
            self.put_comment(&tail);
            self.writer.foot_indent = Some(self.writer.indent.unwrap_or(0));
        }
        if !self.pending.head.is_empty() {
            let head = take(&mut self.pending.head);
            self.writer.put_indent();
            self.put_comment(&head);
        }
    }

    pub(super) fn write_line(&mut self) {
        if !self.pending.line.is_empty() {
            let line = take(&mut self.pending.line);
            self.writer.space_before();
            self.put_comment(&line);
        }
    }

    pub(super) fn write_foot(&mut self) {
        if !self.pending.foot.is_empty() {
            let foot = take(&mut self.pending.foot);
            self.writer.put_indent();
            self.put_comment(&foot);
            self.writer.foot_indent = Some(self.writer.indent.unwrap_or(0));
        }
    }

    pub(super) fn put_comment(&mut self, comment: &str) {
        let mut at_line_start = false;
        let mut marked = false;
        for c in comment.chars() {
            if is_break(c) {
                self.writer.put_text_break(c);
                at_line_start = true;
                marked = false;
                continue;
            }
            if at_line_start {
                self.writer.put_indent();
            }
            if !marked && c != '#' {
                self.writer.put_str("# ");
            }
            marked = true;
            self.writer.put(c);
            self.writer.indention = false;
            at_line_start = false;
        }
        if !at_line_start {
            self.writer.put_break();
        }
        self.writer.whitespace = true;
    }
}

/// A new comment replaces a pending one; none leaves it.
pub(super) fn set(pending: &mut String, comment: &str) {
    if !comment.is_empty() {
        comment.clone_into(pending);
    }
}
