//! Prefixes and suffixes of names.

use smol_str::SmolStr;

use super::Transformer;
use super::field::{self, Create};
use crate::build::Build;
use crate::config::FieldSpec;
use crate::error::Result;
use crate::meta;
use crate::resid::{Gvk, ResId};
use crate::resmap::ResMap;

/// Which end of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Side {
    Prefix,
    Suffix,
}

/// Adds a text to names.
pub(crate) struct Affix {
    pub side: Side,
    pub text: SmolStr,
    pub fields: Vec<FieldSpec>,
}

impl Transformer for Affix {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        for resource in map.resources_mut() {
            let id = resource.original_id(&build.schema);
            if keeps_its_name(&id) {
                continue;
            }
            for spec in &self.fields {
                if !id.gvk.is_selected_by(&spec.gvk) {
                    continue;
                }
                if spec.path == "metadata/name" && !self.text.is_empty() {
                    match self.side {
                        Side::Prefix => resource.prefixes.push(self.text.clone()),
                        Side::Suffix => resource.suffixes.push(self.text.clone()),
                    }
                    resource.store_previous_id(&build.schema);
                }
                field::apply(&mut resource.node, spec, Create::Scalar, &build.meter, &mut |node| {
                    let old = field::scalar(node)?;
                    build.meter.count_bytes(old.len() + self.text.len())?;
                    let new = match self.side {
                        Side::Prefix => format!("{}{old}", self.text),
                        Side::Suffix => format!("{old}{}", self.text),
                    };
                    meta::set_text(node, &new);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}

/// Kinds whose names mean something to the cluster.
fn keeps_its_name(id: &ResId) -> bool {
    match id.gvk.kind.as_str() {
        "CustomResourceDefinition" | "Namespace" => true,
        "APIService" => {
            id.gvk.is_selected_by(&Gvk { group: "apiregistration.k8s.io".into(), ..Gvk::default() })
        }
        _ => false,
    }
}
