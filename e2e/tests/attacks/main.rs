//! What one tenant without special rights does to the process, and what others notice of it. One attack after the other, with
//! both controllers confined to 1 GiB and one processor.
//!
//! While an attack goes on the commits of a bystander are applied, the processes say that they live, and their memory stays within a
//! half of what they have. When the attacker's namespace is gone, all is given back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod content;
mod fleet;
mod sources;
mod trial;
