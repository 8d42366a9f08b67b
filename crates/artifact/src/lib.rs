//! Artifacts: what source-controller publishes and its consumers download.
//!
//! The producer's side goes from left to right, the consumer's side back:
//!
//! ```text
//! files ── ignore ── archive ── store ── server      fetch ── unpack ── cache
//!                      (digest: computed while writing, verified while reading)
//! ```
//!
//! This crate knows neither Kubernetes nor Git: whoever walks a tree pushes its entries into an
//! [`archive::ArchiveWriter`], and whoever wants the tree back gets entries pushed by [`unpack::unpack`].
//! Everything but [`server`], [`fetch`], [`cache`] and [`token`] is synchronous; async callers wrap it in `spawn_blocking`.

pub mod archive;
pub mod cache;
pub mod digest;
pub mod fetch;
pub mod ignore;
pub mod path;
pub mod repack;
pub mod server;
pub mod store;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod test_archive;
pub mod token;
pub mod unpack;

/// An error of a closure handed to this crate, carried through unchanged.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
