//! Promises of the project, each shown on a real API server with the two controllers as they ship.
//!
//! One program, so that all tests share one control plane and one pair of controllers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;
