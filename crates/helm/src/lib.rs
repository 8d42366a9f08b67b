//! The Helm engine: a chart and values in, manifests and hooks out, byte for byte as Helm 4 renders them.
//!
//! ```text
//! Chart ──▶ tree ── dependencies ──▶ coalesce ──▶ schema ──▶ engine ──▶ manifests ──▶ Rendered
//!            (which subcharts)       (values)                  │
//!                                                       functions, objects
//! ```
//!
//! There are no sockets and no files here. The clock, the randomness and what templates may ask a cluster are handed in as a
//! [`World`]; a rendering takes no more than its [`Costs`].

#![forbid(unsafe_code)]

mod coalesce;
mod convert;
mod crds;
mod dependencies;
mod engine;
mod failure;
mod functions;
mod go;
pub mod manifests;
mod objects;
mod parsed;
mod render;
mod schema;
mod tree;
mod warnings;

pub use coalesce::TypeMismatch;
pub use convert::floats;
pub use crds::{Crd, crds};
pub use engine::Costs;
pub use functions::{Lookup, World};
pub use manifests::{Event, Hook, Manifest, ManifestError};
pub use objects::{Capabilities, HelmVersion, KubeVersion, KubeVersionError};
pub use parsed::ParsedChart;
pub use render::{
    Files, Input, Release, ReleaseNameError, RenderError, Rendered, render, render_files, values,
};
pub use schema::SchemaErrors;
