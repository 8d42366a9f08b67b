//! What templates see besides values: the chart, its files, and the cluster.

mod capabilities;
mod chart;
mod files;
mod glob;
mod values;

pub use capabilities::{Capabilities, HelmVersion, KubeVersion, KubeVersionError};

pub(crate) use chart::metadata;
pub(crate) use files::Files;
pub(crate) use values::CommonValues;
