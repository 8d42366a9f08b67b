//! Text to nodes.

mod comments;
mod cursor;
mod properties;
mod scalars;
mod scanner;
mod token;
mod tree;

use crate::{Error, Limits, Node};

/// All documents of a stream, aliases and merge keys (`<<`) expanded and anchors gone, as kustomize's `DeAnchor` leaves them.
///
/// An empty document is a null node; a stream without content has no documents.
///
/// # Errors
/// Bad syntax, an unknown alias, or more than `limits` allow.
pub fn parse(text: &str, limits: &Limits) -> Result<Vec<Node>, Error> {
    let mut parsed = tree::parse(text, limits)?;
    if parsed.has_aliases {
        for document in &mut parsed.documents {
            document.expand_aliases(limits)?;
        }
    }
    Ok(parsed.documents)
}

/// All documents of a stream with anchors, aliases and merge keys as written.
///
/// # Errors
/// Bad syntax, an unknown alias, or more than `limits` allow.
pub fn parse_unexpanded(text: &str, limits: &Limits) -> Result<Vec<Node>, Error> {
    tree::parse(text, limits).map(|parsed| parsed.documents)
}
