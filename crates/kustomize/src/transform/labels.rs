//! Labels, in metadata and wherever else the fields say.

use super::Transformer;
use super::field::{self, Create};
use crate::build::Build;
use crate::config::FieldSpec;
use crate::error::Result;
use crate::kustomization::StringMap;
use crate::meter::Meter;
use crate::resmap::ResMap;

/// Sets labels.
pub(crate) struct Labels {
    pub labels: StringMap,
    pub fields: Vec<FieldSpec>,
}

impl Transformer for Labels {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        set_all(map, &self.fields, &self.labels, &build.meter)
    }
}

/// Sets entries of the mappings that `fields` name, in all resources.
pub(super) fn set_all(
    map: &mut ResMap,
    fields: &[FieldSpec],
    entries: &StringMap,
    meter: &Meter<'_>,
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let bytes = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    for resource in map.contents_mut() {
        for spec in fields {
            field::apply(&mut resource.node, spec, Create::Mapping, &mut |node| {
                meter.count_nodes(entries.len())?;
                meter.count_bytes(bytes)?;
                field::set_entries(node, entries)
            })?;
        }
    }
    Ok(())
}
