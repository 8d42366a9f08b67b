//! What an ArtifactGenerator asks for, as functions from values to values: the trees of its sources become the trees of its artifacts.
//!
//! ```text
//! spec ── check ── expand (pathPattern) ── compose (copy operations) ── Composed ── archive
//!                       ▲                       ▲
//!                  Tree of a source       Trees of sources
//! ```
//!
//! Trees are in memory and share the contents of their files, so a copy costs an entry and no bytes. A tree has directories and
//! regular files alone: nothing in it, and no path of a spec, leads out of it. Everything here computes and waits for nothing; what
//! it may cost is counted by a [`Meter`].

mod compose;
mod doublestar;
mod expand;
mod find;
mod identity;
mod meter;
mod names;
mod spec;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod test_tree;
mod tree;

pub use compose::{ComposeError, Composed, Sources, WriteError, compose};
pub use expand::{ExpandError, Output, expand};
pub use identity::{ObservedSource, sources_digest};
pub use meter::{LimitError, Limits, Meter};
pub use spec::{SpecError, check, path_alias};
pub use tree::{Directory, File, Node, Tree};
