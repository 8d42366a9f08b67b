//! Values of a HelmRelease: composed of ConfigMaps, Secrets and what is inline, and their digest.
//!
//! ```text
//! valuesFrom ── referents() ── who asks the API server ── Referents ─┐
//! values ────────────────────────────────────────────────────────────┴─ compose() ── Values ── config_digest()
//! ```
//!
//! Nothing here reads anything: the caller gets the objects that [`referents`] names, each once, and hands them over. What comes out is
//! what Flux makes (fluxcd/pkg, `chartutil`), which `tests/oracle.rs` compares. Numbers of YAML are `f64`, numbers of a target path `i64`:
//! templates can tell them apart, the digest cannot.
//!
//! # What Flux does, odd as it is
//!
//! Inline values win over references, but a reference with a target path is assigned into a map that may *be* the inline one. So
//! `foo` of a reference loses to the inline `foo`, while `a.b` wins over the inline `a.b`, unless an earlier reference has made an `a`
//! of its own. `sharing` follows which maps and lists are the inline ones.
//!
//! # Where this differs from Flux
//!
//! - An error does not show what a Secret holds: in place of the cause, it has the kind of the error alone.
//! - [`Limits`] bound what one HelmRelease may ask for.
//! - An error anywhere in a YAML text counts; Flux reads the first document only.
//! - A key of a map that is a list or a map is refused in other words.
//! - When a list is lengthened, what its items hold is no longer the inline one.

#![forbid(unsafe_code)]

mod compose;
mod digest;
mod error;
mod names;
mod referents;
mod sharing;

pub use compose::{Limits, compose};
pub use digest::config_digest;
pub use error::{Error, Reason, ReferenceError};
pub use helm_chart::Values;
pub use referents::{Entries, Kind, Referent, Referents, Wanted, referents};
