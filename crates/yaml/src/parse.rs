//! Text to nodes.

use crate::{Error, Limits, Node};

/// All documents of a stream, aliases and merge keys (`<<`) expanded, anchors gone, as kustomize's `DeAnchor` leaves them.
///
/// # Errors
/// Bad syntax, an unknown alias, or more than `limits` allow.
pub fn parse(text: &str, limits: &Limits) -> Result<Vec<Node>, Error> {
    let _ = (text, limits);
    todo!()
}

/// All documents of a stream with anchors, aliases and merge keys as written.
///
/// # Errors
/// Bad syntax or more than `limits` allow.
pub fn parse_unexpanded(text: &str, limits: &Limits) -> Result<Vec<Node>, Error> {
    let _ = (text, limits);
    todo!()
}

impl Node {
    /// Replaces aliases by copies of what they name, then merges `<<` entries under the mapping's own keys.
    ///
    /// # Errors
    /// An unknown alias, or more copies than `limits` allow.
    pub fn expand_aliases(&mut self, limits: &Limits) -> Result<(), Error> {
        let _ = limits;
        todo!()
    }
}
