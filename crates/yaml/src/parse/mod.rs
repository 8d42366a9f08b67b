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

/// The first document of a stream as go-yaml v2 reads it, which `sigs.k8s.io/yaml` uses and stops behind; none without content. Its nodes
/// are counted as by [`parse_counted`].
///
/// Merge keys count where they stand: what is written later wins, so a mapping may have a key twice, of which the last counts, as
/// [`Node::to_json`] does it. Errors are those of v2, which reads no further than it must.
///
/// # Errors
/// As [`parse`], and a document that for the most part consists of what its aliases copy.
pub fn parse_v2(text: &str, limits: &Limits) -> Result<(Option<Node>, usize), Error> {
    let read = || {
        let mut parser = parser(text, limits, Dialect::V2)?;
        let mut document = parser.first()?;
        let mut nodes = parser.nodes;
        if let Some(document) = document.as_mut().filter(|_| parser.has_aliases) {
            nodes += document.expand_counted(limits, Dialect::V2)?;
        }
        Ok((document, nodes))
    };
    read().map_err(Error::of_v2)
}

/// What [`parse`] yields, and how many nodes it took as [`Limits`] count them, those that aliases copied included.
///
/// # Errors
/// As [`parse`].
pub fn parse_counted(text: &str, limits: &Limits) -> Result<(Vec<Node>, usize), Error> {
    let mut parser = parser(text, limits, Dialect::V3)?;
    let mut documents = parser.stream()?;
    let mut nodes = parser.nodes;
    if parser.has_aliases {
        for document in &mut documents {
            nodes += document.expand_counted(limits, Dialect::V3)?;
        }
    }
    Ok((documents, nodes))
}

/// All documents of a stream with anchors, aliases and merge keys as written, and how many nodes they took.
///
/// # Errors
/// Bad syntax, an unknown alias, or more than `limits` allow.
pub fn parse_unexpanded(text: &str, limits: &Limits) -> Result<(Vec<Node>, usize), Error> {
    let mut parser = parser(text, limits, Dialect::V3)?;
    let documents = parser.stream()?;
    Ok((documents, parser.nodes))
}

/// Whose ways count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Those of go-yaml v2.
    V2,
    /// Those of go-yaml v3 and kyaml.
    V3,
}

fn parser<'a>(text: &'a str, limits: &'a Limits, dialect: Dialect) -> Result<Parser<'a>, Error> {
    if text.len() > limits.bytes {
        return Err(Error::Limit { line: 0, what: "bytes", limit: limits.bytes });
    }
    Parser::new(text, limits, dialect)
}
