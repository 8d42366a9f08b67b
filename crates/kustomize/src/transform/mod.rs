//! The built-in transformers: one struct each, made from a kustomization's fields or from a plugin configuration.

mod annotations;
pub(crate) mod field;
mod hash;
mod images;
mod labels;
mod name;
mod namespace;
mod patches;
mod replacements;
mod replicas;
mod sort;
mod value_add;

pub(crate) use annotations::Annotations;
pub(crate) use hash::Hash;
pub(crate) use images::Images;
pub(crate) use labels::Labels;
pub(crate) use name::{Affix, Side};
pub(crate) use namespace::{Namespace, SubjectMode};
pub(crate) use patches::{JsonPatch, Patches, StrategicPatches};
pub(crate) use replacements::Replacements;
pub(crate) use replicas::Replicas;
pub(crate) use sort::Sort;
pub(crate) use value_add::{ValueAdd, ValueTarget};

use crate::build::Build;
use crate::error::Result;
use crate::resmap::ResMap;

/// Changes resources in place.
pub(crate) trait Transformer {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()>;
}
