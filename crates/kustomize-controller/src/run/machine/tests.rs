//! The machine driven by effects that answer as each case says, without a cluster.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod build;
mod cancellation;
mod health;
mod prune;
pub(crate) mod script;
mod stages;
