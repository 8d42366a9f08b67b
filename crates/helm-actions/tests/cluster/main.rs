//! Releases in a real cluster, with the real Helm client beside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod bed;
mod client;
mod client_side;
mod counting;
mod definitions;
mod drifting;
mod hooks;
mod installing;
mod storing;
mod validating;
mod waiting;
