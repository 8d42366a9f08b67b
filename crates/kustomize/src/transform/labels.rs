//! Labels, in metadata and wherever else the fields say.

use super::Transformer;
use super::field::{self, Create};
use crate::build::Build;
use crate::config::FieldSpec;
use crate::error::Result;
use crate::kustomization::StringMap;
use crate::resmap::ResMap;

/// Sets labels.
pub(crate) struct Labels {
    pub labels: StringMap,
    pub fields: Vec<FieldSpec>,
}

impl Transformer for Labels {
    fn transform(&self, map: &mut ResMap, _build: &mut Build<'_>) -> Result<()> {
        set_all(map, &self.fields, &self.labels)
    }
}

/// Sets entries of the mappings that `fields` name, in all resources.
pub(super) fn set_all(map: &mut ResMap, fields: &[FieldSpec], entries: &StringMap) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    for resource in map.contents_mut() {
        for spec in fields {
            field::apply(&mut resource.node, spec, Create::Mapping, &mut |node| {
                field::set_entries(node, entries)
            })?;
        }
    }
    Ok(())
}
