//! Flow collections: `[a, b]` and `{a: b}`.

use super::cursor::Mark;
use super::token::TokenKind;
use super::tree::{Context, Parser, collection_comments, move_foot, parser_error};
use crate::node::Value;
use crate::{Error, Mapping, Node, Style};

impl Parser<'_> {
    pub(super) fn flow_sequence(&mut self, start: Mark) -> Result<Node, Error> {
        self.enter(start)?;
        let head = self.take_comments().map(|comments| comments.head);
        let begin = self.peek()?.start;
        self.skip();
        let mut items = Vec::new();
        while self.flow_goes_on(ends_sequence, items.is_empty(), begin, "did not find expected ',' or ']'")? {
            let token = self.peek()?;
            if matches!(token.kind, TokenKind::Key) {
                let mark = token.start;
                self.skip();
                items.push(self.flow_pair(mark)?);
            } else {
                items.push(self.node(Context::Flow)?);
            }
        }
        let end = self.take_comments();
        self.skip();
        self.leave();
        let comments = collection_comments(head, end);
        self.finish(Value::Sequence(items), Style::Flow, start, comments)
    }

    /// Passes the comma between two entries; false at the closing bracket.
    fn flow_goes_on(
        &mut self,
        ends: fn(&TokenKind<'_>) -> bool,
        first: bool,
        begin: Mark,
        message: &str,
    ) -> Result<bool, Error> {
        let token = self.peek()?;
        if ends(&token.kind) {
            return Ok(false);
        }
        if first {
            return Ok(true);
        }
        if !matches!(token.kind, TokenKind::FlowEntry) {
            return Err(parser_error(begin, token.start, message));
        }
        self.skip();
        Ok(!ends(&self.peek()?.kind))
    }

    /// `key: value` as an item of a flow sequence: a mapping of one entry.
    fn flow_pair(&mut self, start: Mark) -> Result<Node, Error> {
        self.enter(start)?;
        let token = self.peek()?;
        let key = match token.kind {
            TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowSequenceEnd => {
                // libyaml passes the token here, whatever it is.
                let mark = token.end;
                self.skip();
                self.empty(mark)?
            }
            _ => self.node(Context::Flow)?,
        };
        let value = self.flow_value(ends_sequence)?;
        self.leave();
        self.finish(Value::Mapping(vec![(key, value)].into()), Style::Flow, start, None)
    }

    pub(super) fn flow_mapping(&mut self, start: Mark) -> Result<Node, Error> {
        self.enter(start)?;
        let head = self.take_comments().map(|comments| comments.head);
        let begin = self.peek()?.start;
        self.skip();
        let mut entries: Vec<(Node, Node)> = Vec::new();
        while self.flow_goes_on(
            ends_mapping,
            entries.is_empty(),
            begin,
            "did not find expected ',' or '}'",
        )? {
            let mut key;
            let mut value;
            if matches!(self.peek()?.kind, TokenKind::Key) {
                self.skip();
                let token = self.peek()?;
                key = match token.kind {
                    TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowMappingEnd => {
                        let mark = token.start;
                        self.empty(mark)?
                    }
                    _ => self.node(Context::Flow)?,
                };
                value = self.flow_value(ends_mapping)?;
            } else {
                key = self.node(Context::Flow)?;
                let mark = self.peek()?.start;
                value = self.empty(mark)?;
            }
            if key.comments().foot.is_empty() {
                move_foot(&mut value, &mut key);
            }
            entries.push((key, value));
        }
        let end = self.take_comments();
        self.skip();
        self.leave();
        let comments = collection_comments(head, end);
        self.finish(Value::Mapping(Mapping::from(entries)), Style::Flow, start, comments)
    }

    /// `: value`, or nothing, before a comma or the closing bracket.
    fn flow_value(&mut self, ends: fn(&TokenKind<'_>) -> bool) -> Result<Node, Error> {
        let mut token = self.peek()?;
        if matches!(token.kind, TokenKind::Value) {
            self.skip();
            token = self.peek()?;
            if !matches!(token.kind, TokenKind::FlowEntry) && !ends(&token.kind) {
                return self.node(Context::Flow);
            }
        }
        let mark = token.start;
        self.empty(mark)
    }
}

fn ends_sequence(kind: &TokenKind<'_>) -> bool {
    matches!(kind, TokenKind::FlowSequenceEnd)
}

fn ends_mapping(kind: &TokenKind<'_>) -> bool {
    matches!(kind, TokenKind::FlowMappingEnd)
}
