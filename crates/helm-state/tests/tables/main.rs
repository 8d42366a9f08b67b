//! helm-controller's tables, row by row.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod attempt;
mod common;
mod digests;
mod next;
mod states;
mod summary;
