//! How much a YAML text may ask for.

/// Bounds on one call of [`parse`](crate::parse).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text.
    pub bytes: usize,
    /// Nested collections, also after alias expansion. Parser and tree walks recurse, so this bounds stack use: the
    /// default leaves most of a 2 MiB stack free even without optimisation.
    pub depth: usize,
    /// Documents in one stream.
    pub documents: usize,
    /// Nodes in one stream, before alias expansion. A long tag counts as several, a comment as one more.
    pub nodes: usize,
    /// Nodes that alias expansion and merge keys may add in one document. Long texts and comments count as several.
    pub alias_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 32 << 20, depth: 200, documents: 100_000, nodes: 2_000_000, alias_nodes: 200_000 }
    }
}
