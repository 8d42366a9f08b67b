//! Annotations, in metadata and in pod templates.

use super::{Transformer, labels};
use crate::build::Build;
use crate::config::FieldSpec;
use crate::error::Result;
use crate::kustomization::StringMap;
use crate::resmap::ResMap;

/// Sets annotations.
pub(crate) struct Annotations {
    pub annotations: StringMap,
    pub fields: Vec<FieldSpec>,
}

impl Transformer for Annotations {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        labels::set_all(map, &self.fields, &self.annotations, build)
    }
}
