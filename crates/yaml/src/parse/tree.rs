//! Tokens to nodes: YAML's grammar, and which node gets which comment.

use std::borrow::Cow;
use std::collections::HashSet;

use smol_str::SmolStr;

use super::cursor::Mark;
use super::scanner::Scanner;
use super::token::{Place, Token, TokenKind};
use crate::node::Value;
use crate::{Comments, Error, Limits, Mapping, Node, Style};

/// What every YAML tag of the core schema begins with.
const CORE_TAGS: &str = "tag:yaml.org,2002:";

/// A parsed stream.
pub(super) struct Parsed {
    pub documents: Vec<Node>,
    /// Whether any anchor, alias or merge key occurred.
    pub has_aliases: bool,
}

pub(super) fn parse(text: &str, limits: &Limits) -> Result<Parsed, Error> {
    if text.len() > limits.bytes {
        return Err(Error::Limit { line: 0, what: "bytes", limit: limits.bytes });
    }
    let mut parser = Parser {
        scanner: Scanner::new(text, limits.depth)?,
        limits,
        comments: Comments::default(),
        stem: None,
        tags: Vec::new(),
        anchors: HashSet::new(),
        has_aliases: false,
        depth: 0,
        nodes: 0,
    };
    let documents = parser.stream()?;
    Ok(Parsed { documents, has_aliases: parser.has_aliases })
}

/// Whether a construct is met in block or flow context.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Block,
    /// Block context where a sequence may stand at its key's own indentation.
    BlockValue,
    Flow,
}

/// Anchor and tag before a node.
#[derive(Default)]
struct Properties<'a> {
    anchor: Option<&'a str>,
    tag: Cow<'a, str>,
    start: Mark,
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    limits: &'a Limits,
    /// Comments passed and not yet given to a node.
    comments: Comments,
    /// The comment above a `-` whose item is a collection: it belongs to the collection, not to its first entry.
    stem: Option<String>,
    /// `%TAG` handles and their prefixes.
    tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    anchors: HashSet<&'a str>,
    has_aliases: bool,
    depth: usize,
    nodes: usize,
}

/// Behaves as an exhausted stream, which the scanner guarantees never to show.
static END: Token<'static> = Token {
    kind: TokenKind::StreamEnd,
    start: Mark { index: 0, line: 0, column: 0 },
    end: Mark { index: 0, line: 0, column: 0 },
    key_level: None,
};

impl<'a> Parser<'a> {
    /// Looks at the next token and collects the comments up to it.
    fn peek(&mut self) -> Result<&Token<'a>, Error> {
        self.scanner.fill()?;
        let Some(token) = self.scanner.tokens.front() else { return Ok(&END) };
        while let Some(comment) = self.scanner.comments.pop_front_if(|comment| {
            token.start.index >= comment.token_index
                    // What stands above waits for something to stand on.
                    && !(comment.place == Place::Head && token.kind == TokenKind::BlockEnd)
        }) {
            let target = match comment.place {
                Place::Head => &mut self.comments.head,
                Place::Line => &mut self.comments.line,
                Place::Foot => &mut self.comments.foot,
            };
            if target.is_empty() {
                *target = comment.text;
            } else {
                target.push('\n');
                target.push_str(&comment.text);
            }
        }
        Ok(token)
    }

    fn skip(&mut self) {
        self.scanner.take();
    }

    fn take_comments(&mut self) -> Comments {
        self.stem = None;
        std::mem::take(&mut self.comments)
    }

    fn stream(&mut self) -> Result<Vec<Node>, Error> {
        self.peek()?;
        self.skip();
        let mut documents = Vec::new();
        loop {
            if !documents.is_empty() {
                while self.peek()?.kind == TokenKind::DocumentEnd {
                    self.skip();
                }
            }
            if self.peek()?.kind == TokenKind::StreamEnd {
                return Ok(documents);
            }
            if documents.len() >= self.limits.documents {
                let line = self.peek()?.start.line + 1;
                return Err(Error::Limit { line, what: "documents", limit: self.limits.documents });
            }
            let first = documents.is_empty();
            documents.push(self.document(first)?);
        }
    }

    fn document(&mut self, may_be_bare: bool) -> Result<Node, Error> {
        self.anchors.clear();
        let bare = may_be_bare
            && !matches!(
                self.peek()?.kind,
                TokenKind::VersionDirective { .. }
                    | TokenKind::TagDirective { .. }
                    | TokenKind::DocumentStart
            );
        let mut head = String::new();
        let mut root = if bare {
            self.default_tags();
            head = self.split_document_head();
            self.node(Context::Block)?
        } else {
            self.directives()?;
            let token = self.peek()?;
            if token.kind != TokenKind::DocumentStart {
                return Err(parser_error(
                    Mark::default(),
                    token.start,
                    "did not find expected <document start>",
                ));
            }
            self.skip();
            let token = self.peek()?;
            match token.kind {
                TokenKind::VersionDirective { .. }
                | TokenKind::TagDirective { .. }
                | TokenKind::DocumentStart
                | TokenKind::DocumentEnd
                | TokenKind::StreamEnd => {
                    let mark = token.start;
                    self.empty(mark)?
                }
                _ => self.node(Context::Block)?,
            }
        };
        if self.peek()?.kind == TokenKind::DocumentEnd {
            self.skip();
        }
        self.tags.clear();
        let comments = self.take_comments();
        let foot = if comments.foot.is_empty() { comments.head } else { comments.foot };
        if !head.is_empty() || !foot.is_empty() {
            let comments = root.comments_mut();
            comments.document_head = head;
            comments.document_foot = foot;
        }
        Ok(root)
    }

    /// Of the comments above a document's first node, those before the last empty line concern the document.
    fn split_document_head(&mut self) -> String {
        let head = &self.comments.head;
        let (document, node) = if let Some(document) = head.strip_suffix('\n') {
            (document.to_owned(), String::new())
        } else if let Some((document, node)) = head.rsplit_once("\n\n") {
            (document.to_owned(), node.to_owned())
        } else {
            return String::new();
        };
        self.comments.head = node;
        document
    }

    fn directives(&mut self) -> Result<(), Error> {
        let mut has_version = false;
        loop {
            let token = self.peek()?;
            let start = token.start;
            match &token.kind {
                TokenKind::VersionDirective { .. } if has_version => {
                    return Err(parser_error(Mark::default(), start, "found duplicate %YAML directive"));
                }
                TokenKind::VersionDirective { major: 1, minor: 1 } => has_version = true,
                TokenKind::VersionDirective { .. } => {
                    return Err(parser_error(Mark::default(), start, "found incompatible YAML document"));
                }
                TokenKind::TagDirective { handle, prefix } => {
                    let pair = (handle.clone(), prefix.clone());
                    if self.tags.iter().any(|(known, _)| *known == pair.0) {
                        return Err(parser_error(Mark::default(), start, "found duplicate %TAG directive"));
                    }
                    self.tags.push(pair);
                }
                _ => break,
            }
            self.skip();
        }
        self.default_tags();
        Ok(())
    }

    fn default_tags(&mut self) {
        for (handle, prefix) in [("!", "!"), ("!!", CORE_TAGS)] {
            if !self.tags.iter().any(|(known, _)| known == handle) {
                self.tags.push((handle.into(), prefix.into()));
            }
        }
    }

    fn node(&mut self, context: Context) -> Result<Node, Error> {
        let token = self.peek()?;
        let start = token.start;
        if let TokenKind::Alias(name) = token.kind {
            if !self.anchors.contains(name) {
                let message = format!("unknown anchor '{name}' referenced");
                return Err(Error::Syntax { line: 0, column: start.column + 1, message });
            }
            self.has_aliases = true;
            let comments = self.take_comments();
            self.skip();
            return self.finish(Value::Alias(SmolStr::new(name)), Style::Plain, start, comments);
        }

        let properties = self.properties(start)?;
        if let Some(name) = properties.anchor {
            self.has_aliases = true;
            self.anchors.insert(name);
        }
        let mut node = self.content(context, &properties)?;
        if let Some(name) = properties.anchor {
            node.set_anchor(name);
        }
        if !properties.tag.is_empty() && properties.tag != "!" {
            match properties.tag.strip_prefix(CORE_TAGS) {
                Some(name) => node.set_tag(&format!("!!{name}")),
                None => node.set_tag(&properties.tag),
            }
        }
        Ok(node)
    }

    /// Anchor and tag, in either order.
    fn properties(&mut self, start: Mark) -> Result<Properties<'a>, Error> {
        let mut properties = Properties { start, ..Properties::default() };
        let mut tag: Option<(Cow<'a, str>, Cow<'a, str>, Mark)> = None;
        for _ in 0..2 {
            let token = self.peek()?;
            match &token.kind {
                TokenKind::Anchor(name) if properties.anchor.is_none() => properties.anchor = Some(name),
                TokenKind::Tag { handle, suffix } if tag.is_none() => {
                    tag = Some((handle.clone(), suffix.clone(), token.start));
                }
                _ => break,
            }
            self.skip();
        }
        if let Some((handle, suffix, mark)) = tag {
            properties.tag = if handle.is_empty() {
                suffix
            } else {
                match self.tags.iter().find(|(known, _)| *known == handle) {
                    Some((_, prefix)) => Cow::Owned(format!("{prefix}{suffix}")),
                    None => return Err(parser_error(start, mark, "found undefined tag handle")),
                }
            };
        }
        Ok(properties)
    }

    fn content(&mut self, context: Context, properties: &Properties<'a>) -> Result<Node, Error> {
        let start = properties.start;
        let is_block = context != Context::Flow;
        let token = self.peek()?;
        match token.kind {
            TokenKind::BlockEntry if context == Context::BlockValue => self.block_sequence(start, false),
            TokenKind::Scalar(..) => self.scalar(start),
            TokenKind::FlowSequenceStart => self.flow_sequence(start),
            TokenKind::FlowMappingStart => self.flow_mapping(start),
            TokenKind::BlockSequenceStart if is_block => self.block_sequence(start, true),
            TokenKind::BlockMappingStart if is_block => self.block_mapping(start),
            _ if properties.anchor.is_some() || !properties.tag.is_empty() => self.empty(start),
            _ => Err(parser_error(start, token.start, "did not find expected node content")),
        }
    }

    fn scalar(&mut self, start: Mark) -> Result<Node, Error> {
        let comments = self.take_comments();
        let Some(Token { kind: TokenKind::Scalar(text, style), .. }) = self.scanner.take() else {
            return self.empty(start);
        };
        if text == "<<" && style == Style::Plain {
            self.has_aliases = true;
        }
        self.finish(Value::Scalar(text.into()), style, start, comments)
    }

    /// A null that nothing was written for.
    fn empty(&mut self, mark: Mark) -> Result<Node, Error> {
        self.finish(Value::Scalar(SmolStr::default()), Style::Plain, mark, Comments::default())
    }

    fn finish(&mut self, value: Value, style: Style, start: Mark, comments: Comments) -> Result<Node, Error> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(Error::Limit { line: start.line + 1, what: "nodes", limit: self.limits.nodes });
        }
        let mut node = Node::new(value).at(start.line + 1, start.column + 1);
        node.set_style(style);
        if comments != Comments::default() {
            *node.comments_mut() = comments;
        }
        Ok(node)
    }

    fn enter(&mut self, start: Mark) -> Result<(), Error> {
        self.depth += 1;
        if self.depth <= self.limits.depth {
            return Ok(());
        }
        Err(Error::Limit { line: start.line + 1, what: "nested collections", limit: self.limits.depth })
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
                    let head_length = self.comments.head.len();
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
        self.depth -= 1;
        let comments = Comments { head: head.unwrap_or_default(), ..Comments::default() };
        self.finish(Value::Sequence(items), Style::Plain, start, comments)
    }

    /// Sets aside the first `length` bytes of the head comment if the item of a `-` is a collection.
    fn split_stem(&mut self, length: usize) -> Result<(), Error> {
        if length == 0
            || !matches!(self.peek()?.kind, TokenKind::BlockSequenceStart | TokenKind::BlockMappingStart)
        {
            return Ok(());
        }
        let head = &mut self.comments.head;
        let rest = head.get(length + 1..).unwrap_or_default().to_owned();
        head.truncate(length);
        self.stem = Some(std::mem::replace(head, rest));
        Ok(())
    }

    fn block_mapping(&mut self, start: Mark) -> Result<Node, Error> {
        self.enter(start)?;
        let begin = self.peek()?.start;
        self.skip();
        let head = self.stem.take().unwrap_or_default();
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
                    let mark = if token.kind == TokenKind::Value { token.end } else { token.start };
                    let mut value = if token.kind == TokenKind::Value {
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
        self.depth -= 1;
        let mut foot = end.foot;
        if let Some((last, _)) = entries.last_mut()
            && !foot.is_empty()
        {
            last.comments_mut().foot = std::mem::take(&mut foot);
        }
        let comments = Comments { head, line: end.line, foot, ..Comments::default() };
        self.finish(Value::Mapping(Mapping::from(entries)), Style::Plain, start, comments)
    }

    /// A key or a value, which may be missing.
    fn block_mapping_part(&mut self, mark: Mark) -> Result<Node, Error> {
        match self.peek()?.kind {
            TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => self.empty(mark),
            _ => self.node(Context::BlockValue),
        }
    }

    fn flow_sequence(&mut self, start: Mark) -> Result<Node, Error> {
        self.enter(start)?;
        let head = self.take_comments().head;
        let begin = self.peek()?.start;
        self.skip();
        let mut items = Vec::new();
        while self.flow_goes_on(
            &TokenKind::FlowSequenceEnd,
            items.is_empty(),
            begin,
            "did not find expected ',' or ']'",
        )? {
            let token = self.peek()?;
            if token.kind == TokenKind::Key {
                let mark = token.start;
                self.skip();
                items.push(self.flow_pair(mark)?);
            } else {
                items.push(self.node(Context::Flow)?);
            }
        }
        let end = self.take_comments();
        self.skip();
        self.depth -= 1;
        let comments = Comments { head, line: end.line, foot: end.foot, ..Comments::default() };
        self.finish(Value::Sequence(items), Style::Flow, start, comments)
    }

    /// Passes the comma between two entries; false at the closing bracket.
    fn flow_goes_on(
        &mut self,
        closing: &TokenKind<'_>,
        first: bool,
        begin: Mark,
        message: &str,
    ) -> Result<bool, Error> {
        let token = self.peek()?;
        if token.kind == *closing {
            return Ok(false);
        }
        if first {
            return Ok(true);
        }
        if token.kind != TokenKind::FlowEntry {
            return Err(parser_error(begin, token.start, message));
        }
        self.skip();
        Ok(self.peek()?.kind != *closing)
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
        let value = self.flow_value(&TokenKind::FlowSequenceEnd)?;
        self.depth -= 1;
        self.finish(Value::Mapping(vec![(key, value)].into()), Style::Flow, start, Comments::default())
    }

    fn flow_mapping(&mut self, start: Mark) -> Result<Node, Error> {
        self.enter(start)?;
        let head = self.take_comments().head;
        let begin = self.peek()?.start;
        self.skip();
        let mut entries: Vec<(Node, Node)> = Vec::new();
        while self.flow_goes_on(
            &TokenKind::FlowMappingEnd,
            entries.is_empty(),
            begin,
            "did not find expected ',' or '}'",
        )? {
            let mut key;
            let mut value;
            if self.peek()?.kind == TokenKind::Key {
                self.skip();
                let token = self.peek()?;
                key = match token.kind {
                    TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowMappingEnd => {
                        let mark = token.start;
                        self.empty(mark)?
                    }
                    _ => self.node(Context::Flow)?,
                };
                value = self.flow_value(&TokenKind::FlowMappingEnd)?;
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
        self.depth -= 1;
        let comments = Comments { head, line: end.line, foot: end.foot, ..Comments::default() };
        self.finish(Value::Mapping(Mapping::from(entries)), Style::Flow, start, comments)
    }

    /// `: value`, or nothing, before a comma or `closing`.
    fn flow_value(&mut self, closing: &TokenKind<'_>) -> Result<Node, Error> {
        let mut token = self.peek()?;
        if token.kind == TokenKind::Value {
            self.skip();
            token = self.peek()?;
            if token.kind != TokenKind::FlowEntry && token.kind != *closing {
                return self.node(Context::Flow);
            }
        }
        let mark = token.start;
        self.empty(mark)
    }
}

/// Hands the foot comment of one node to another.
fn move_foot(from: &mut Node, to: &mut Node) {
    if !from.comments().foot.is_empty() {
        to.comments_mut().foot = std::mem::take(&mut from.comments_mut().foot);
    }
}

/// A grammar error as go-yaml places it: at the construct's start, one line too early; at the token when that is line 0.
fn parser_error(context: Mark, token: Mark, message: &str) -> Error {
    let line = if context.line != 0 { context.line } else { token.line };
    Error::Syntax { line, column: token.column + 1, message: message.into() }
}
