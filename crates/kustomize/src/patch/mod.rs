//! Patches as functions from nodes to nodes.

pub(crate) mod json;
pub(crate) mod strategic;
mod strategic_list;
