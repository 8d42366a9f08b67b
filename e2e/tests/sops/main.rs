//! The crate `sops` beside the real program: what that has encrypted we decrypt, to the bytes that it prints. No cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod documents;
mod failures;
mod keys;
mod random;
mod tool;
