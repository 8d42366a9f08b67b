//! Labels, in metadata and wherever else the fields say.

use yaml::Node;

use super::Transformer;
use super::field::{self, Create};
use crate::build::Build;
use crate::config::FieldSpec;
use crate::error::Result;
use crate::kustomization::StringMap;
use crate::resmap::ResMap;
use crate::shared::{Entry, Written};

/// Sets labels.
pub(crate) struct Labels {
    pub labels: StringMap,
    pub fields: Vec<FieldSpec>,
}

impl Transformer for Labels {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        set_all(map, &self.fields, &self.labels, build)
    }
}

/// Sets entries of the mappings that `fields` name, in all resources.
pub(super) fn set_all(
    map: &mut ResMap,
    fields: &[FieldSpec],
    entries: &StringMap,
    build: &mut Build<'_>,
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let bytes = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    let entries: Vec<Entry<'_>> =
        entries.iter().map(|(key, text)| Entry::new(key, text, build.next_shared())).collect();
    let meter = &build.meter;
    for resource in map.contents_mut() {
        let (mut entries, mut written) = (entries.clone(), Written::default());
        for spec in fields {
            field::apply(&mut resource.node, spec, Create::Mapping, meter, &mut |node| {
                meter.count_nodes(entries.len())?;
                meter.count_bytes(bytes)?;
                set_entries(node, &mut entries, &mut written)
            })?;
        }
        written.spread(&mut resource.node, meter)?;
    }
    Ok(())
}

/// Sets entries of a mapping; a null that could not be created stays.
fn set_entries(node: &mut Node, entries: &mut [Entry<'_>], written: &mut Written) -> Result<()> {
    if node.is_null() {
        return Ok(());
    }
    if !node.is_mapping() {
        return Err(field::wrong_kind("MappingNode", node));
    }
    entries.iter_mut().for_each(|entry| entry.set_in(node, written));
    Ok(())
}
