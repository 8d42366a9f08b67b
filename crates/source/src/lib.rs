//! The pass of any source, once: what GitRepository, OCIRepository, Bucket and the kinds of Helm have in common.
//!
//! A kind is an [`Upstream`]: it reads its spec, fetches and builds. Here is the rest: storage, conditions, events, fetches that
//! outlast their pass, deletion.
//!
//! ```text
//! Controller ── Pass ── check storage ── Upstream::fetch (background) ── Upstream::build (thread) ── status, events
//! ```

pub mod background;
pub mod blocking;
mod controller;
mod correction;
pub mod failure;
mod pass;
pub mod status;
pub mod storage;
pub mod temporary;
pub mod upstream;

pub use controller::{Controller, Options};
pub use pass::timeout;
pub use upstream::Upstream;
