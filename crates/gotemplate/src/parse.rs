//! From tokens to trees, by the rules and with the error texts of Go's `text/template/parse`.

mod number;
mod operand;
mod variables;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use strconv::{quote, unquote};
use variables::Variables;

use crate::lex::{Kind, Lexer, Token};
use crate::node::{Branch, Command, List, Node, Operand, Pipe, Position, Template};

/// What a source may ask for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Control structures and parentheses within each other. Go allows 10,000 parentheses and any number of the others; here the
    /// stack must hold them: 250 take less than 8 MiB, even without optimisation.
    pub depth: usize,
    /// Tokens. A tree takes up to some hundred bytes for each.
    pub tokens: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 250, tokens: 500_000 }
    }
}

/// A source that is no template. The text is Go's, `template: NAME:LINE: …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

/// One template of a source.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Its name.
    pub name: Vec<u8>,
    /// The name of the source, which errors name.
    pub source_name: Arc<str>,
    /// The source, for the line numbers of errors.
    pub source: Bytes,
    /// What it consists of.
    pub root: List,
    /// How many tokens that was.
    pub tokens: usize,
}

impl Tree {
    /// A template without anything.
    pub(crate) fn empty(name: &str) -> Self {
        Self {
            name: name.into(),
            source_name: name.into(),
            source: Bytes::new(),
            root: List::default(),
            tokens: 0,
        }
    }

    /// Whether it has white space alone.
    pub fn is_empty(&self) -> bool {
        is_empty(&self.root)
    }

    /// `NAME:LINE:COLUMN` of a position: lines from 1, columns in bytes and from 0.
    pub fn location(&self, position: Position) -> String {
        let before = self.source.get(..position).unwrap_or(&self.source);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
        format!("{}:{line}:{column}", self.source_name)
    }
}

fn is_empty(list: &List) -> bool {
    list.nodes.iter().all(|node| matches!(node, Node::Text(_, text) if text.trim_ascii().is_empty()))
}

/// The templates of a source called `name`: that of the source itself and those that it defines, one for each name.
///
/// Functions are called by name when a template runs; here `has_function` says which there are.
///
/// # Errors
/// What is wrong with the first mistake, in the words of Go.
pub fn parse(
    name: &str,
    source: Bytes,
    limits: &Limits,
    has_function: &dyn Fn(&[u8]) -> bool,
) -> Result<Vec<Tree>, ParseError> {
    parse_into(name, source, limits, has_function, Vec::push)
}

/// As [`parse`]; `push` adds a node to those of its list that are before it.
pub(crate) fn parse_into(
    name: &str,
    source: Bytes,
    limits: &Limits,
    has_function: &dyn Fn(&[u8]) -> bool,
    push: fn(&mut Vec<Node>, Node),
) -> Result<Vec<Tree>, ParseError> {
    let mut lexer = Lexer::new(&source);
    lexer.break_is_keyword = !has_function(b"break");
    lexer.continue_is_keyword = !has_function(b"continue");
    let state = State::new(name.into());
    let mut parser = Parser {
        lexer,
        source_name: name.into(),
        source: source.clone(),
        limits,
        has_function,
        push,
        depth: 0,
        read: 0,
        trees: Vec::new(),
        indexes: HashMap::new(),
        commands: Vec::new(),
        operands: Vec::new(),
        state,
    };
    let root = parser.source()?;
    parser.add(root)?;
    Ok(parser.trees)
}

/// How far one template is read. A definition within has its own.
struct State<'a> {
    name: Vec<u8>,
    /// The last token, and before it those that were put back.
    tokens: [Token<'a>; 3],
    /// How many of them are to be read again.
    peeked: usize,
    /// How many tokens it has so far.
    read: usize,
    variables: Variables,
    /// Where the action began that is being read; 0 outside.
    action_line: usize,
    ranges: usize,
}

impl State<'_> {
    fn new(name: Vec<u8>) -> Self {
        Self {
            name,
            tokens: [Token::NONE; 3],
            peeked: 0,
            read: 0,
            variables: Variables::new(),
            action_line: 0,
            ranges: 0,
        }
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    source_name: Arc<str>,
    source: Bytes,
    limits: &'a Limits,
    has_function: &'a dyn Fn(&[u8]) -> bool,
    push: fn(&mut Vec<Node>, Node),
    depth: usize,
    /// Tokens of the source so far.
    read: usize,
    trees: Vec<Tree>,
    /// Where the tree of a name is.
    indexes: HashMap<Vec<u8>, usize>,
    /// Those of the pipelines that are being read, which are within each other: how many one has is known at its end.
    commands: Vec<Command>,
    /// As those, of commands.
    operands: Vec<Operand>,
    state: State<'a>,
}

/// What a list ends with.
enum Stop {
    End,
    /// `{{else}}`, or `{{else if}}` and the like, whose keyword is the next token.
    Else(Position),
}

impl Stop {
    fn text(&self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else(_) => "{{else}}",
        }
    }
}

enum Item {
    Node(Node),
    Stop(Stop),
}

impl<'a> Parser<'a> {
    #[inline]
    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.state.peeked -= 1;
        token
    }

    #[inline]
    fn peek(&mut self) -> Token<'a> {
        if self.state.peeked == 0 {
            self.read();
        }
        self.state.tokens.get(self.state.peeked - 1).copied().unwrap_or(Token::NONE)
    }

    /// Takes a token of the source, which is then the next.
    #[inline(never)]
    fn read(&mut self) {
        let state = &mut self.state;
        state.tokens[0] = self.lexer.next();
        state.peeked = 1;
        state.read += 1;
        self.read += 1;
        if self.read > self.limits.tokens {
            state.tokens[0] = self.lexer.end(format!("more than {} tokens", self.limits.tokens));
        }
    }

    /// The last token is to be read again.
    fn back(&mut self) {
        self.state.peeked += 1;
    }

    /// So are `first` and the last token.
    fn back_to(&mut self, first: Token<'a>) {
        self.state.tokens[1] = first;
        self.state.peeked = 2;
    }

    fn next_non_space(&mut self) -> Token<'a> {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Token<'a> {
        let token = self.next_non_space();
        self.back();
        token
    }

    fn fail<T>(&self, message: impl std::fmt::Display) -> Result<T, ParseError> {
        let [last, ..] = &self.state.tokens;
        Err(ParseError(format!("template: {}:{}: {message}", self.source_name, last.line)))
    }

    fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Result<T, ParseError> {
        if token.kind != Kind::Error {
            return self.fail(format_args!("unexpected {token} in {context}"));
        }
        let (line, error) = (self.state.action_line, self.lexer.error());
        if line == 0 || line == token.line {
            return self.fail(error);
        }
        // Not "unclosed action in action started at".
        let within = if error.ends_with(" action") { "" } else { " in action" };
        self.fail(format_args!("{error}{within} started at {}:{line}", self.source_name))
    }

    fn expect(&mut self, kinds: &[Kind], context: &str) -> Result<Token<'a>, ParseError> {
        let token = self.next_non_space();
        if kinds.contains(&token.kind) { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn unquote(&self, quoted: &[u8]) -> Result<Vec<u8>, ParseError> {
        unquote(quoted).map_or_else(|| self.fail("invalid syntax"), Ok)
    }

    /// Reads what is nested, unless it is nested too deep.
    fn nested<T>(
        &mut self,
        message: &str,
        read: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth >= self.limits.depth {
            return self.fail(message);
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// A template is complete. An empty one gives way to another of its name.
    fn add(&mut self, root: List) -> Result<(), ParseError> {
        let name = self.state.name.clone();
        let (source_name, source) = (self.source_name.clone(), self.source.clone());
        let tree = Tree { name, source_name, source, root, tokens: self.state.read };
        let index = *self.indexes.entry(tree.name.clone()).or_insert(self.trees.len());
        match self.trees.get_mut(index) {
            None => self.trees.push(tree),
            Some(other) if other.is_empty() => *other = tree,
            Some(_) if tree.is_empty() => {}
            Some(_) => {
                return self
                    .fail(format_args!("template: multiple definition of template {}", quote(&tree.name)));
            }
        }
        Ok(())
    }

    fn source(&mut self) -> Result<List, ParseError> {
        let mut list = List { position: self.peek().position, nodes: Vec::new() };
        loop {
            let token = self.next();
            match token.kind {
                Kind::Eof => {
                    list.nodes.shrink_to_fit();
                    return Ok(list);
                }
                Kind::LeftDelimiter => {
                    if self.next_non_space().kind == Kind::Define {
                        self.definition()?;
                        continue;
                    }
                    self.back_to(token);
                }
                _ => self.back(),
            }
            match self.item()? {
                Item::Node(node) => (self.push)(&mut list.nodes, node),
                Item::Stop(stop) => return self.fail(format_args!("unexpected {}", stop.text())),
            }
        }
    }

    fn definition(&mut self) -> Result<(), ParseError> {
        self.within(Vec::new(), |parser| {
            const CONTEXT: &str = "define clause";
            let name = parser.expect(&[Kind::String, Kind::RawString], CONTEXT)?;
            parser.state.name = parser.unquote(name.text)?;
            parser.expect(&[Kind::RightDelimiter], CONTEXT)?;
            parser.body(CONTEXT)
        })
    }

    /// Reads a template of its own.
    fn within(
        &mut self,
        name: Vec<u8>,
        read: impl FnOnce(&mut Self) -> Result<(), ParseError>,
    ) -> Result<(), ParseError> {
        let outer = std::mem::replace(&mut self.state, State::new(name));
        let read = read(self);
        self.state = outer;
        read
    }

    fn body(&mut self, context: &str) -> Result<(), ParseError> {
        match self.list()? {
            (list, Stop::End) => self.add(list),
            (_, stop) => self.fail(format_args!("unexpected {} in {context}", stop.text())),
        }
    }

    fn list(&mut self) -> Result<(List, Stop), ParseError> {
        let mut list = List { position: self.peek_non_space().position, nodes: Vec::new() };
        while self.peek_non_space().kind != Kind::Eof {
            match self.item()? {
                Item::Node(node) => (self.push)(&mut list.nodes, node),
                Item::Stop(stop) => {
                    list.nodes.shrink_to_fit();
                    return Ok((list, stop));
                }
            }
        }
        self.fail("unexpected EOF")
    }

    fn item(&mut self) -> Result<Item, ParseError> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(token.position, token.text.to_vec()))),
            Kind::LeftDelimiter => {
                self.state.action_line = token.line;
                let item = self.action();
                self.state.action_line = 0;
                item
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Item, ParseError> {
        let token = self.next_non_space();
        let node = match token.kind {
            Kind::Block => self.block()?,
            Kind::Break => Node::Break(self.leave_range(token.position, "{{break}}")?),
            Kind::Continue => Node::Continue(self.leave_range(token.position, "{{continue}}")?),
            Kind::Else => return self.otherwise(),
            Kind::End => {
                self.expect(&[Kind::RightDelimiter], "end")?;
                return Ok(Item::Stop(Stop::End));
            }
            Kind::If => Node::If(Box::new(self.control("if")?)),
            Kind::Range => Node::Range(Box::new(self.control("range")?)),
            Kind::Template => self.template()?,
            Kind::With => Node::With(Box::new(self.control("with")?)),
            _ => {
                self.back();
                Node::Action(self.pipeline("command", Kind::RightDelimiter)?)
            }
        };
        Ok(Item::Node(node))
    }

    fn leave_range(&mut self, position: Position, action: &str) -> Result<Position, ParseError> {
        self.expect(&[Kind::RightDelimiter], action)?;
        match self.state.ranges {
            0 => self.fail(format_args!("{action} outside {{{{range}}}}")),
            _ => Ok(position),
        }
    }

    fn otherwise(&mut self) -> Result<Item, ParseError> {
        let next = self.peek_non_space();
        if matches!(next.kind, Kind::If | Kind::With) {
            return Ok(Item::Stop(Stop::Else(next.position)));
        }
        let token = self.expect(&[Kind::RightDelimiter], "else")?;
        Ok(Item::Stop(Stop::Else(token.position)))
    }

    fn control(&mut self, context: &str) -> Result<Branch, ParseError> {
        let variables = self.state.variables.len();
        let branch = self.nested("max nesting depth exceeded", |parser| parser.branch(context));
        self.state.variables.leave(variables);
        branch
    }

    fn branch(&mut self, context: &str) -> Result<Branch, ParseError> {
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        let is_range = usize::from(context == "range");
        self.state.ranges += is_range;
        let list = self.list();
        self.state.ranges -= is_range;
        let (list, stop) = list?;
        let Stop::Else(position) = stop else { return Ok(Branch { pipe, list, otherwise: None }) };
        // One `{{end}}` ends the whole chain.
        let chained = match (context, self.peek().kind) {
            ("if", Kind::If) => Some("if"),
            ("with", Kind::With) => Some("with"),
            _ => None,
        };
        if let Some(context) = chained {
            self.next();
            let branch = self.control(context)?;
            let branch = Box::new(branch);
            let node = if context == "if" { Node::If(branch) } else { Node::With(branch) };
            return Ok(Branch { pipe, list, otherwise: Some(List { position, nodes: vec![node] }) });
        }
        match self.list()? {
            (otherwise, Stop::End) => Ok(Branch { pipe, list, otherwise: Some(otherwise) }),
            (_, stop) => self.fail(format_args!("expected end; found {}", stop.text())),
        }
    }

    fn block(&mut self) -> Result<Node, ParseError> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelimiter)?;
        self.nested("max nesting depth exceeded", |parser| {
            parser.within(name.clone(), |parser| parser.body(CONTEXT))
        })?;
        Ok(Node::Template(Template { position: token.position, name, pipe: Some(pipe) }))
    }

    fn template(&mut self) -> Result<Node, ParseError> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe: Option<Pipe> = match self.next_non_space().kind {
            Kind::RightDelimiter => None,
            _ => {
                self.back();
                Some(self.pipeline(CONTEXT, Kind::RightDelimiter)?)
            }
        };
        Ok(Node::Template(Template { position: token.position, name, pipe }))
    }

    fn template_name(&self, token: &Token<'_>, context: &str) -> Result<Vec<u8>, ParseError> {
        match token.kind {
            Kind::String | Kind::RawString => self.unquote(token.text),
            _ => self.unexpected(token, context),
        }
    }
}
