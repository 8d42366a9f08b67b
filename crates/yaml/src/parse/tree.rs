//! Tokens to nodes: properties, scalars and block collections, and which node gets which comment.

use std::collections::{HashMap, HashSet};
use std::mem::take;

use smol_str::SmolStr;

use super::Dialect;
use super::cursor::Mark;
use super::scanner::Scanner;
use super::token::{Place, Token, TokenKind};
use crate::node::Value;
use crate::{Comments, Error, Limits, Mapping, Node, Style};

/// What every YAML tag of the core schema begins with.
const CORE_TAGS: &str = "tag:yaml.org,2002:";

/// Whether a construct is met in block or flow context.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    Block,
    /// Block context where a sequence may stand at its key's own indentation.
    BlockValue,
    Flow,
}

/// Anchor and tag before a node.
#[derive(Default)]
struct Properties<'a> {
    anchor: Option<&'a str>,
    tag: Box<str>,
}

pub(super) struct Parser<'a> {
    pub scanner: Scanner<'a>,
    pub limits: &'a Limits,
    /// Comments passed and not yet given to a node; most of the time none.
    pub comments: Option<Box<Comments>>,
    /// The comment above a `-` whose item is a collection: it belongs to the collection, not to its first entry.
    stem: Option<String>,
    /// `%TAG` handles and their prefixes.
    pub tags: HashMap<&'a str, Box<str>>,
    pub anchors: HashSet<&'a str>,
    /// Whether any anchor, alias or merge key occurred.
    pub has_aliases: bool,
    depth: usize,
    pub nodes: usize,
}

/// Behaves as an exhausted stream, which the scanner guarantees never to show.
static END: Token<'static> = Token {
    kind: TokenKind::StreamEnd,
    start: Mark { index: 0, line: 0, column: 0 },
    end: Mark { index: 0, line: 0, column: 0 },
    key_level: None,
};

impl<'a> Parser<'a> {
    pub fn new(text: &'a str, limits: &'a Limits, dialect: Dialect) -> Result<Self, Error> {
        Ok(Self {
            scanner: Scanner::new(text, limits.depth, dialect)?,
            limits,
            comments: None,
            stem: None,
            tags: HashMap::new(),
            anchors: HashSet::new(),
            has_aliases: false,
            depth: 0,
            nodes: 0,
        })
    }

    /// Looks at the next token and collects the comments up to it.
    pub fn peek(&mut self) -> Result<&Token<'a>, Error> {
        if self.scanner.fill()? {
            self.collect_comments();
        }
        Ok(self.scanner.tokens.front().unwrap_or(&END))
    }

    fn collect_comments(&mut self) {
        let Some(token) = self.scanner.tokens.front() else { return };
        while let Some(comment) = self.scanner.comments.pop_front_if(|comment| {
            // What stands above waits for something to stand on.
            let waits = comment.place == Place::Head && matches!(token.kind, TokenKind::BlockEnd);
            token.start.index >= comment.token_index && !waits
        }) {
            let passed = self.comments.get_or_insert_default();
            let target = match comment.place {
                Place::Head => &mut passed.head,
                Place::Line => &mut passed.line,
                Place::Foot => &mut passed.foot,
            };
            if target.is_empty() {
                *target = comment.text;
            } else {
                target.push('\n');
                target.push_str(&comment.text);
            }
        }
    }

    pub fn skip(&mut self) {
        self.scanner.take();
    }

    pub fn take_comments(&mut self) -> Option<Box<Comments>> {
        self.stem = None;
        self.comments.take()
    }

    pub fn node(&mut self, context: Context) -> Result<Node, Error> {
        let token = self.peek()?;
        let start = token.start;
        if let TokenKind::Alias(name) = token.kind {
            if !self.anchors.contains(name) {
                let message = format!("unknown anchor '{name}' referenced");
                return Err(Error::Syntax { line: 0, line_of_v2: 0, column: start.column + 1, message });
            }
            self.has_aliases = true;
            let comments = self.take_comments();
            self.skip();
            return self.finish(Value::Alias(SmolStr::new(name)), Style::Plain, start, comments);
        }

        if !matches!(token.kind, TokenKind::Anchor(_) | TokenKind::Tag { .. }) {
            return self.content(context, start, false);
        }
        let properties = self.properties(start)?;
        if let Some(name) = properties.anchor {
            self.has_aliases = true;
            self.anchors.insert(name);
        }
        let present = properties.anchor.is_some() || !properties.tag.is_empty();
        let mut node = self.content(context, start, present)?;
        if let Some(name) = properties.anchor {
            node.set_anchor(name);
        }
        if !properties.tag.is_empty() {
            match properties.tag.strip_prefix(CORE_TAGS) {
                Some(name) => node.set_tag(&format!("!!{name}")),
                None => node.set_tag(&properties.tag),
            }
        }
        Ok(node)
    }

    /// Anchor and tag, in either order.
    fn properties(&mut self, start: Mark) -> Result<Properties<'a>, Error> {
        let mut properties = Properties::default();
        let mut tag: Option<(&'a str, Box<str>, Mark)> = None;
        for _ in 0..2 {
            let token = self.peek()?;
            match &token.kind {
                TokenKind::Anchor(name) if properties.anchor.is_none() => properties.anchor = Some(name),
                TokenKind::Tag { handle, suffix } if tag.is_none() => {
                    tag = Some((handle, suffix.clone(), token.start));
                }
                _ => break,
            }
            self.skip();
        }
        if let Some((handle, suffix, mark)) = tag {
            properties.tag = if handle.is_empty() {
                suffix
            } else {
                let prefix = self.tag_prefix(handle);
                let prefix = prefix.ok_or_else(|| parser_error(start, mark, "found undefined tag handle"))?;
                format!("{prefix}{suffix}").into()
            };
            // A short tag may stand for a long one: what it takes counts as nodes.
            self.count(properties.tag.len() / crate::BYTES_PER_NODE, start)?;
        }
        Ok(properties)
    }

    fn tag_prefix(&self, handle: &str) -> Option<&str> {
        match (self.tags.get(handle), handle) {
            (Some(prefix), _) => Some(prefix),
            (None, "!") => Some("!"),
            (None, "!!") => Some(CORE_TAGS),
            (None, _) => None,
        }
    }

    /// What a node holds; it may hold nothing if it `has_properties`.
    fn content(&mut self, context: Context, start: Mark, has_properties: bool) -> Result<Node, Error> {
        let is_block = context != Context::Flow;
        let token = self.peek()?;
        match token.kind {
            TokenKind::BlockEntry if context == Context::BlockValue => self.block_sequence(start, false),
            TokenKind::Scalar(..) => self.scalar(start),
            TokenKind::FlowSequenceStart => self.flow_sequence(start),
            TokenKind::FlowMappingStart => self.flow_mapping(start),
            TokenKind::BlockSequenceStart if is_block => self.block_sequence(start, true),
            TokenKind::BlockMappingStart if is_block => self.block_mapping(start),
            _ if has_properties => self.empty(start),
            _ => Err(parser_error(start, token.start, "did not find expected node content")),
        }
    }

    fn scalar(&mut self, start: Mark) -> Result<Node, Error> {
        let comments = self.take_comments();
        let Some(Token { kind: TokenKind::Scalar(text, style), .. }) = self.scanner.take() else {
            return self.empty(start);
        };
        if text == "<<" {
            self.has_aliases = true;
        }
        self.finish(Value::Scalar(text.into()), style, start, comments)
    }

    /// A null that nothing was written for.
    pub fn empty(&mut self, mark: Mark) -> Result<Node, Error> {
        self.finish(Value::Scalar(SmolStr::default()), Style::Plain, mark, None)
    }

    pub fn finish(
        &mut self,
        value: Value,
        style: Style,
        start: Mark,
        comments: Option<Box<Comments>>,
    ) -> Result<Node, Error> {
        self.count(1, start)?;
        let mut node = Node::new(value).at(start.line + 1, start.column + 1);
        node.set_style(style);
        if let Some(comments) = comments {
            // They take about as much memory as a node.
            self.count(1, start)?;
            *node.comments_mut() = *comments;
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, start: Mark) -> Result<(), Error> {
        self.nodes += nodes;
        if self.nodes <= self.limits.nodes {
            return Ok(());
        }
        Err(Error::Limit { line: start.line + 1, what: "nodes", limit: self.limits.nodes })
    }

    pub fn enter(&mut self, start: Mark) -> Result<(), Error> {
        self.depth += 1;
        if self.depth <= self.limits.depth {
            return Ok(());
        }
        Err(Error::Limit { line: start.line + 1, what: "nested collections", limit: self.limits.depth })
    }

    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// A block sequence; one without `own_indent` stands at its key's indentation and has no start and end tokens.
    fn block_sequence(&mut self, start: Mark, own_indent: bool) -> Result<Node, Error> {
        self.enter(start)?;
        let mut begin = start;
        let head = if own_indent {
            begin = self.peek()?.start;
            self.skip();
            self.stem.take()
        } else {
            None
        };
        let mut items = Vec::new();
        loop {
            let token = self.peek()?;
            match token.kind {
                TokenKind::BlockEntry => {
                    let mark = token.end;
                    let head_length = self.comments.as_ref().map_or(0, |comments| comments.head.len());
                    self.skip();
                    self.split_stem(head_length)?;
                    let is_empty = match self.peek()?.kind {
                        TokenKind::BlockEntry | TokenKind::BlockEnd => true,
                        TokenKind::Key | TokenKind::Value => !own_indent,
                        _ => false,
                    };
                    items.push(if is_empty { self.empty(mark)? } else { self.node(Context::Block)? });
                }
                TokenKind::BlockEnd if own_indent => {
                    self.skip();
                    break;
                }
                _ if own_indent => {
                    return Err(parser_error(begin, token.start, "did not find expected '-' indicator"));
                }
                _ => break,
            }
        }
        self.leave();
        let comments = collection_comments(head, None);
        self.finish(Value::Sequence(items), Style::Plain, start, comments)
    }

    /// Sets aside the first `length` bytes of the head comment if the item of a `-` is a collection.
    fn split_stem(&mut self, length: usize) -> Result<(), Error> {
        if length == 0
            || !matches!(self.peek()?.kind, TokenKind::BlockSequenceStart | TokenKind::BlockMappingStart)
        {
            return Ok(());
        }
        if let Some(comments) = &mut self.comments {
            let rest = comments.head.get(length + 1..).unwrap_or_default().to_owned();
            comments.head.truncate(length);
            self.stem = Some(std::mem::replace(&mut comments.head, rest));
        }
        Ok(())
    }

    fn block_mapping(&mut self, start: Mark) -> Result<Node, Error> {
        self.enter(start)?;
        let begin = self.peek()?.start;
        self.skip();
        let head = self.stem.take();
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let end = loop {
            let token = self.peek()?;
            match token.kind {
                TokenKind::Key => {
                    let mark = token.end;
                    self.skip();
                    let mut key = self.block_mapping_part(mark)?;
                    if let Some((last, _)) = entries.last_mut() {
                        move_foot(&mut key, last);
                    }
                    let token = self.peek()?;
                    let mark = if matches!(token.kind, TokenKind::Value) { token.end } else { token.start };
                    let mut value = if matches!(token.kind, TokenKind::Value) {
                        self.skip();
                        self.block_mapping_part(mark)?
                    } else {
                        self.empty(mark)?
                    };
                    if key.comments().foot.is_empty() {
                        move_foot(&mut value, &mut key);
                    }
                    entries.push((key, value));
                }
                TokenKind::BlockEnd => {
                    let comments = self.take_comments();
                    self.skip();
                    break comments;
                }
                _ => return Err(parser_error(begin, token.start, "did not find expected key")),
            }
        };
        self.leave();
        let mut comments = collection_comments(head, end);
        if let (Some((last, _)), Some(comments)) = (entries.last_mut(), &mut comments)
            && !comments.foot.is_empty()
        {
            last.comments_mut().foot = take(&mut comments.foot);
        }
        self.finish(Value::Mapping(Mapping::from(entries)), Style::Plain, start, comments)
    }

    /// A key or a value, which may be missing.
    fn block_mapping_part(&mut self, mark: Mark) -> Result<Node, Error> {
        match self.peek()?.kind {
            TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => self.empty(mark),
            _ => self.node(Context::BlockValue),
        }
    }
}

/// The comments of a collection: the head comes from its start, the others from its end.
pub(super) fn collection_comments(head: Option<String>, end: Option<Box<Comments>>) -> Option<Box<Comments>> {
    let head = head.filter(|head| !head.is_empty());
    if head.is_none() && end.is_none() {
        return None;
    }
    let mut comments = end.unwrap_or_default();
    comments.head = head.unwrap_or_default();
    Some(comments)
}

/// Hands the foot comment of one node to another.
pub(super) fn move_foot(from: &mut Node, to: &mut Node) {
    if !from.comments().foot.is_empty() {
        to.comments_mut().foot = take(&mut from.comments_mut().foot);
    }
}

/// A grammar error as go-yaml places it: at the construct's start, one line too early; at the token when that is line 0.
pub(super) fn parser_error(context: Mark, token: Mark, message: &str) -> Error {
    let line = if context.line != 0 { context.line } else { token.line };
    let line_of_v2 = if token.line != 0 { token.line } else { context.line };
    Error::Syntax { line, line_of_v2, column: token.column + 1, message: message.into() }
}
