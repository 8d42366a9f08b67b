//! Flow collections: `[a, b]` and `{a: b}`.

use super::tree::{Emitter, Place, is_simple_key};
use crate::Node;

impl Emitter {
    pub(super) fn flow_sequence(&mut self, node: &Node, items: &[Node], place: Place) {
        self.writer.put_spaced("[");
        self.writer.whitespace = true;
        let saved = self.writer.indent;
        self.indent_more(place, true, false);
        self.flow_level += 1;
        let mut comma_written = true;
        for item in items {
            self.load(item, "");
            if !comma_written {
                self.writer.put_tight(",");
            }
            self.write_head();
            self.flow_position();
            comma_written = self.has_trailing_comment();
            let rest = self.start(item, Place::FlowItem);
            self.flow_trail();
            self.rest(item, rest, Place::FlowItem);
        }
        self.load_end(node, "");
        self.flow_level -= 1;
        self.writer.indent = saved;
        if self.writer.column == 0 {
            self.writer.put_indent();
        }
        self.writer.put_tight("]");
        self.write_line();
        self.write_foot();
    }

    pub(super) fn flow_mapping(&mut self, node: &Node, place: Place) {
        self.writer.put_spaced("{");
        self.writer.whitespace = true;
        let saved = self.writer.indent;
        self.indent_more(place, true, false);
        self.flow_level += 1;
        let mut comma_written = true;
        let mut tail = "";
        for (key, value) in node.entries() {
            self.load_key(key, tail);
            tail = &key.comments().foot;
            if !comma_written {
                self.writer.put_tight(",");
            }
            self.write_head();
            self.flow_position();
            let simple = is_simple_key(key);
            if !simple {
                self.writer.put_spaced("?");
            }
            let place = if simple { Place::SimpleKey } else { Place::Value };
            let rest = self.start(key, place);
            self.rest(key, rest, place);

            self.load(value, "");
            if simple {
                self.writer.put_tight(":");
            } else {
                if self.writer.column > self.writer.width {
                    self.writer.put_indent();
                }
                self.writer.put_spaced(":");
            }
            comma_written = self.has_trailing_comment();
            let rest = self.start(value, Place::Value);
            self.flow_trail();
            self.rest(value, rest, Place::Value);
        }
        self.load_end(node, tail);
        let comments_follow = !self.pending.foot.is_empty() || !self.pending.tail.is_empty();
        if comments_follow && !comma_written {
            self.writer.put_tight(",");
        }
        self.write_head();
        self.flow_level -= 1;
        self.writer.indent = saved;
        self.writer.put_tight("}");
        self.write_line();
        self.write_foot();
    }

    pub(super) fn flow_position(&mut self) {
        if self.writer.column == 0 || self.writer.column > self.writer.width {
            self.writer.put_indent();
        }
    }

    pub(super) fn flow_trail(&mut self) {
        if self.has_trailing_comment() {
            self.writer.put_tight(",");
        }
        self.write_line();
        self.write_foot();
    }

    pub(super) fn has_trailing_comment(&self) -> bool {
        let pending = &self.pending;
        !(pending.line.is_empty() && pending.foot.is_empty() && pending.tail.is_empty())
    }
}
