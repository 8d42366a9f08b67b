//! The tree of an expression. Macros are nodes of their own.

use std::sync::Arc;

use crate::functions::Overload;

/// A part of an expression.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins in the text, in bytes.
    pub at: usize,
    /// Nodes from here to the deepest leaf.
    pub depth: usize,
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    Literal(Literal),
    Name(String),
    /// `a.b`, or `a.?b` if optional.
    Select {
        operand: Box<Node>,
        field: String,
        optional: bool,
    },
    /// `has(a.b)`.
    Has {
        operand: Box<Node>,
        field: String,
    },
    /// `a[b]`, or `a[?b]` if optional.
    Index {
        operand: Box<Node>,
        index: Box<Node>,
        optional: bool,
    },
    /// A function, or an operator by its name in CEL. The target of a member function is the first argument.
    Call {
        function: String,
        member: bool,
        overloads: &'static [Overload],
        arguments: Vec<Node>,
    },
    And(Vec<Node>),
    Or(Vec<Node>),
    Conditional(Box<[Node; 3]>),
    List(Vec<Element>),
    Map(Vec<(Node, Element)>),
    /// A macro that evaluates `body` for each element of `range`.
    Loop {
        what: Loop,
        range: Box<Node>,
        variable: String,
        filter: Option<Box<Node>>,
        body: Box<Node>,
    },
    /// `a.optMap(v, body)`, or `optFlatMap` if flat.
    OptionalMap {
        operand: Box<Node>,
        variable: String,
        body: Box<Node>,
        flat: bool,
    },
}

/// An element of a list or a value of a map; an optional one is left out if it has no value.
#[derive(Clone, Debug)]
pub struct Element {
    pub optional: bool,
    pub value: Node,
}

/// A value in the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Arc<[u8]>),
}

/// The macros that loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loop {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}
