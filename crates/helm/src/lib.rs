//! The Helm engine: a chart and values in, manifests and hooks out, byte for byte as Helm 4 renders them.
//!
//! ```text
//! Chart ──▶ tree ── dependencies ──▶ coalesce ──▶ schema ──▶ engine ──▶ manifests ──▶ Rendered
//!            (which subcharts)       (values)                  │
//!                                                       functions, objects
//! ```
//!
//! There are no sockets and no files here. The clock, the randomness and what templates may ask a cluster are handed in as a
//! [`World`]; a rendering takes no more than its [`Costs`], in a thread of its own.
//!
//! ```
//! use helm::{Capabilities, Costs, HelmVersion, Input, KubeVersion, ParsedChart, Release, World};
//! use helm_chart::{Limits, MemoryTree, load_directory};
//!
//! let mut tree = MemoryTree::default();
//! tree.insert("app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\n");
//! tree.insert("app/values.yaml", "replicas: 1\n");
//! tree.insert("app/templates/scale.yaml", "kind: Scale\nspec: {replicas: {{ .Values.replicas }}}\n");
//! let chart = ParsedChart::new(load_directory(&tree, "app", &Limits::default())?);
//!
//! let rendered = helm::render(&chart, &Input {
//!     release: &Release { name: "demo".into(), namespace: "apps".into(), revision: 1, is_upgrade: false },
//!     values: &serde_json::from_str(r#"{"replicas": 3}"#)?,
//!     defaults: None,
//!     capabilities: &Capabilities {
//!         kube_version: KubeVersion::discovered("v1.36.0", "1", "36"),
//!         api_versions: vec!["v1".into()],
//!         helm_version: HelmVersion::default(),
//!     },
//!     world: &World::default(),
//!     costs: &Costs::default(),
//!     skips_schema: false,
//!     post_renderer: None,
//!     is_stopped: &|| false,
//! })?;
//! assert_eq!(rendered.manifest(), "---\n# Source: app/templates/scale.yaml\nkind: Scale\nspec: {replicas: 3}\n\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What differs from Helm stands in `docs/differences.md`.

#![forbid(unsafe_code)]

mod allowance;
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
mod post_render;
mod render;
mod reuse;
mod schema;
mod threads;
mod tree;
mod warnings;

pub use allowance::ValuesError;
pub use coalesce::TypeMismatch;
pub use crds::{Crd, crds};
pub use engine::Costs;
pub use functions::{Lookup, World};
pub use manifests::{Event, Hook, Manifest, ManifestError};
pub use objects::{Capabilities, HelmVersion, KubeVersion, KubeVersionError};
pub use parsed::ParsedChart;
pub use post_render::{PostRenderError, PostRenderStrategy, PostRenderer};
pub use render::{
    Files, Input, Release, ReleaseNameError, RenderError, Rendered, SeenValues, UsedChart, render,
    render_files, values,
};
pub use reuse::{reuse_defaults, reuse_values};
pub use schema::SchemaErrors;
