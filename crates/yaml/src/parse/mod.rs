//! Text to nodes.

mod comments;
mod cursor;
mod document;
mod flow;
mod properties;
mod scalars;
mod scanner;
mod token;
mod tree;

use crate::{Error, Limits, Node};
use tree::Parser;

pub use cursor::is_forbidden;

/// All documents of a stream, aliases and merge keys (`<<`) expanded and anchors gone, as kustomize's `DeAnchor` leaves them.
///
/// An empty document is a null node; a stream without content has no documents.
///
/// # Errors
/// Bad syntax, an unknown alias, or more than `limits` allow.
pub fn parse(text: &str, limits: &Limits) -> Result<Vec<Node>, Error> {
    parse_counted(text, limits).map(|(documents, _)| documents)
}

/// What [`parse`] yields, and how many nodes it took as [`Limits`] count them, those that aliases copied included.
///
/// # Errors
/// As [`parse`].
pub fn parse_counted(text: &str, limits: &Limits) -> Result<(Vec<Node>, usize), Error> {
    let mut parser = parser(text, limits)?;
    let mut documents = parser.stream()?;
    let mut nodes = parser.nodes;
    if parser.has_aliases {
        for document in &mut documents {
            nodes += document.expand_counted(limits)?;
        }
    }
    Ok((documents, nodes))
}

/// All documents of a stream with anchors, aliases and merge keys as written, and how many nodes they took.
///
/// # Errors
/// Bad syntax, an unknown alias, or more than `limits` allow.
pub fn parse_unexpanded(text: &str, limits: &Limits) -> Result<(Vec<Node>, usize), Error> {
    let mut parser = parser(text, limits)?;
    let documents = parser.stream()?;
    Ok((documents, parser.nodes))
}

fn parser<'a>(text: &'a str, limits: &'a Limits) -> Result<Parser<'a>, Error> {
    if text.len() > limits.bytes {
        return Err(Error::Limit { line: 0, what: "bytes", limit: limits.bytes });
    }
    Parser::new(text, limits)
}
