//! Helm charts as Helm 4 and source-controller read and write them.
//!
//! ```text
//! archive ──▶ load_archive ──┐
//!                            ├──▶ Chart ── values files, version, missing dependencies ──▶ save ──▶ archive
//! Tree ─────▶ load_directory ┘
//! ```
//!
//! There are no sockets and no files here: an archive is whatever can be read, and a directory is a [`Tree`]. Whatever a chart
//! holds is bounded by [`Limits`], subcharts and archives in archives included.

mod archive;
mod chart;
mod dependency;
mod directory;
mod error;
mod fields;
mod ignore;
mod limits;
mod lock;
mod metadata;
mod save;
mod tree;
mod values;
mod version;

pub use archive::{load_archive, read_metadata};
pub use chart::{Chart, File};
pub use dependency::{Dependency, Requirement, local_path, missing};
pub use directory::{load_directory, read_directory_metadata};
pub use error::LoadError;
pub use fields::{FieldError, Fields, document_of_fields, first_document};
pub use ignore::IgnoreError;
pub use limits::{LimitError, Limits};
pub use lock::Lock;
pub use metadata::{Maintainer, Metadata, ValidationError};
pub use save::{SaveError, save};
pub use tree::{MemoryTree, Node, Tree, clean_path};
pub use values::{
    DocumentError, Merged, NoDefaultValues, Values, ValuesError, floats, merge_from_chart, merge_from_tree,
    read_values,
};
pub use version::{MetadataError, with_build_metadata};
