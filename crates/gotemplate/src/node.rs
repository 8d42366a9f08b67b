//! What a template consists of. `Display` gives the text by which errors name a node, which is not quite the source: Go's own.

use std::fmt::{self, Display, Formatter};

use strconv::quote;

/// An offset in the source, in bytes.
pub type Position = usize;

/// Nodes one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List {
    /// Where it begins.
    pub position: Position,
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// Text, or an action. What is large is boxed: charts have tens of thousands of nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// What is printed as it is.
    Text(Position, Vec<u8>),
    /// `{{pipe}}`
    Action(Pipe),
    /// `{{if pipe}} … {{else}} … {{end}}`
    If(Box<Branch>),
    /// `{{range pipe}} … {{else}} … {{end}}`
    Range(Box<Branch>),
    /// `{{with pipe}} … {{else}} … {{end}}`
    With(Box<Branch>),
    /// `{{template "name" pipe}}`, which a block is, too.
    Template(Template),
    /// `{{break}}`
    Break(Position),
    /// `{{continue}}`
    Continue(Position),
}

/// A condition or a list, and what depends on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// What is looked at.
    pub pipe: Pipe,
    /// What is done if it is not empty.
    pub list: List,
    /// What is done if it is.
    pub otherwise: Option<List>,
}

/// A call of another template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Where its name stands.
    pub position: Position,
    /// Whom it calls.
    pub name: Vec<u8>,
    /// What becomes the dot there.
    pub pipe: Option<Pipe>,
}

/// Commands, each of which gets the result of the one before as its last argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipe {
    /// Where it begins.
    pub position: Position,
    /// Whether the variables are there already: `=`, not `:=`.
    pub is_assignment: bool,
    /// The variables that get the result.
    pub variables: Vec<Variable>,
    /// The commands, one at least.
    pub commands: Vec<Command>,
}

/// A function, method or value and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Where it begins.
    pub position: Position,
    /// What is called, then the arguments; one at least.
    pub operands: Vec<Operand>,
}

/// A variable and fields of its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Where it stands; with fields in tokens of their own, where the first of these does.
    pub position: Position,
    /// With the `$`.
    pub name: Vec<u8>,
    /// The fields.
    pub fields: Fields,
}

/// Names of fields within each other, as they are written: `.a.b`. Charts have tens of thousands, so they are one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Box<[u8]>);

impl Fields {
    /// From the texts of tokens, each a name behind its dot.
    pub(crate) fn new(written: impl Into<Box<[u8]>>) -> Self {
        Self(written.into())
    }

    /// With further ones behind.
    pub(crate) fn with(&self, more: &Self) -> Self {
        Self([&*self.0, &*more.0].concat().into())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, outermost first.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        // Nothing is before the first dot.
        self.0.split(|byte| *byte == b'.').skip(1)
    }
}

impl Display for Fields {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&lossy(&self.0))
    }
}

/// A value, or how to get one.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// `true` or `false`
    Bool(Position, bool),
    /// `.`
    Dot(Position),
    /// `nil`
    Nil(Position),
    /// `12`, `1.5`, `'a'`
    Number(Position, Box<Number>),
    /// A string in quotes.
    String(Position, Text),
    /// The name of a function.
    Identifier(Position, Vec<u8>),
    /// `.a.b`
    Field(Position, Fields),
    /// `$a.b`
    Variable(Variable),
    /// `(pipe).a.b` or `function.a.b`
    Chain(Position, Box<Operand>, Fields),
    /// `(pipe)`
    Pipe(Box<Pipe>),
}

/// A string and how it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// With the quotes.
    pub source: Vec<u8>,
    /// Without.
    pub value: crate::value::Text,
}

/// A number and what it may be taken for.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// As it was written.
    pub source: String,
    /// If it is a signed integer.
    pub int: Option<i64>,
    /// If it is an unsigned one.
    pub uint: Option<u64>,
    /// If it is real.
    pub float: Option<f64>,
    /// Real and imaginary part, if it was written as a complex number.
    pub complex: Option<(f64, f64)>,
}

impl Node {
    /// Where it stands, for errors.
    pub fn position(&self) -> Position {
        match self {
            Self::Text(position, _) | Self::Break(position) | Self::Continue(position) => *position,
            Self::Action(pipe) => pipe.position,
            Self::If(branch) | Self::Range(branch) | Self::With(branch) => branch.pipe.position,
            Self::Template(template) => template.position,
        }
    }
}

impl Operand {
    /// Where it stands, for errors.
    pub fn position(&self) -> Position {
        match self {
            Self::Bool(position, _)
            | Self::Dot(position)
            | Self::Nil(position)
            | Self::Number(position, _)
            | Self::String(position, _)
            | Self::Identifier(position, _)
            | Self::Field(position, _)
            | Self::Chain(position, ..) => *position,
            Self::Variable(variable) => variable.position,
            Self::Pipe(pipe) => pipe.position,
        }
    }
}

fn lossy(text: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(text)
}

impl Display for List {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.nodes.iter().try_for_each(|node| node.fmt(f))
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_, text) => f.write_str(&lossy(text)),
            Self::Action(pipe) => write!(f, "{{{{{pipe}}}}}"),
            Self::If(branch) => branch.write("if", f),
            Self::Range(branch) => branch.write("range", f),
            Self::With(branch) => branch.write("with", f),
            Self::Template(template) => template.fmt(f),
            Self::Break(_) => f.write_str("{{break}}"),
            Self::Continue(_) => f.write_str("{{continue}}"),
        }
    }
}

impl Branch {
    fn write(&self, keyword: &str, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{keyword} {}}}}}{}", self.pipe, self.list)?;
        if let Some(otherwise) = &self.otherwise {
            write!(f, "{{{{else}}}}{otherwise}")?;
        }
        f.write_str("{{end}}")
    }
}

impl Display for Template {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", quote(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}

impl Display for Pipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, variable) in self.variables.iter().enumerate() {
            write!(f, "{}{variable}", if index > 0 { ", " } else { "" })?;
        }
        if !self.variables.is_empty() {
            f.write_str(if self.is_assignment { " = " } else { " := " })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if index > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, operand) in self.operands.iter().enumerate() {
            write!(f, "{}{operand}", if index > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl Display for Variable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&lossy(&self.name))?;
        self.fields.fmt(f)
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(_, value) => value.fmt(f),
            Self::Dot(_) => f.write_str("."),
            Self::Nil(_) => f.write_str("nil"),
            Self::Number(_, number) => f.write_str(&number.source),
            Self::String(_, text) => f.write_str(&lossy(&text.source)),
            Self::Identifier(_, name) => f.write_str(&lossy(name)),
            Self::Field(_, fields) => fields.fmt(f),
            Self::Variable(variable) => variable.fmt(f),
            Self::Chain(_, operand, fields) => {
                operand.fmt(f)?;
                fields.fmt(f)
            }
            Self::Pipe(pipe) => write!(f, "({pipe})"),
        }
    }
}
