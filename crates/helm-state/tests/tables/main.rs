//! helm-controller's tables, row by row.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod attempt;
mod common;
mod digests;
mod next;
mod outcomes;
mod records;
mod rendering;
mod settings;
mod states;
mod summary;
mod world;
