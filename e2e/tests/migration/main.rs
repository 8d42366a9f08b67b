//! From Flux to Ferroflux and back: Flux's own controllers and manifests, and the commands of `docs/migrate.md`.
//!
//! By `make migration` alone, since Flux's controllers take minutes to build.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod installation;
mod kubelet;
mod releases;
mod stores;
mod takeover;
mod tree;
