//! Which fields each transformer touches: the defaults, `configurations` and `crds`.

mod crds;
mod defaults;
mod fieldspec;

use std::sync::Arc;

use serde::Deserialize;

use crate::decode;
use crate::error::{Context, Error, Result};
use crate::meter::Meter;
use crate::resid::Gvk;
pub(crate) use crds::from_crds;
pub(crate) use fieldspec::{FieldSpec, Segment, merge_all, merge_one};

/// Fields per transformer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Config {
    pub name_prefix: Vec<FieldSpec>,
    pub name_suffix: Vec<FieldSpec>,
    pub namespace: Vec<FieldSpec>,
    pub common_labels: Vec<FieldSpec>,
    pub labels: Vec<FieldSpec>,
    pub template_labels: Vec<FieldSpec>,
    pub common_annotations: Vec<FieldSpec>,
    pub name_reference: Vec<BackReferences>,
    pub var_reference: Vec<FieldSpec>,
    pub images: Vec<FieldSpec>,
    pub replicas: Vec<FieldSpec>,
}

/// Where a kind is referred to by name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, from = "BackReferencesText")]
pub(crate) struct BackReferences {
    pub target: Gvk,
    pub referrers: Vec<FieldSpec>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct BackReferencesText {
    group: String,
    version: String,
    kind: String,
    #[serde(rename = "fieldSpecs")]
    field_specs: Vec<FieldSpec>,
}

impl From<BackReferencesText> for BackReferences {
    fn from(text: BackReferencesText) -> Self {
        let target = Gvk { group: text.group.into(), version: text.version.into(), kind: text.kind.into() };
        Self { target, referrers: text.field_specs }
    }
}

impl Config {
    /// What kustomize does by itself.
    pub fn default_fields() -> Arc<Self> {
        defaults::shared()
    }

    /// Reads a file of `configurations`; unknown fields are errors.
    pub fn parse(text: &str, meter: &Meter<'_>) -> Result<Self> {
        let mut config: Self = decode::from_text(text, decode::Mode::Strict, meter)?;
        config.sort();
        Ok(config)
    }

    /// Both together. A field that both have must agree on whether it is created.
    ///
    /// What is added is added in order, so that a field of every kind is left out when a kind before it has it: this is how
    /// `configurations` for some kinds take the default for all kinds away, once they are merged into nothing.
    pub fn merge(self: &Arc<Self>, other: &Arc<Self>) -> Result<Arc<Self>> {
        if **other == Self::default() || Arc::ptr_eq(self, other) {
            return Ok(Arc::clone(self));
        }
        if **self == Self::default() && Arc::ptr_eq(other, &Self::default_fields()) {
            return Ok(Arc::clone(other));
        }
        let mut merged = Self::clone(self);
        for (name, into, from) in [
            ("NamePrefix", &mut merged.name_prefix, &other.name_prefix),
            ("NameSuffix", &mut merged.name_suffix, &other.name_suffix),
            ("NameSpace", &mut merged.namespace, &other.namespace),
            ("CommonAnnotations", &mut merged.common_annotations, &other.common_annotations),
            ("CommonLabels", &mut merged.common_labels, &other.common_labels),
            ("Labels", &mut merged.labels, &other.labels),
            ("TemplateLabels", &mut merged.template_labels, &other.template_labels),
            ("VarReference", &mut merged.var_reference, &other.var_reference),
            ("Images", &mut merged.images, &other.images),
            ("Replicas", &mut merged.replicas, &other.replicas),
        ] {
            merge_all(into, from).context(|| format!("failed to merge {name} fieldSpec"))?;
        }
        for references in &other.name_reference {
            merged.add_references(references).context(|| "failed to merge NameReference fieldSpec".into())?;
        }
        merged.sort();
        Ok(Arc::new(merged))
    }

    fn add_references(&mut self, references: &BackReferences) -> Result<()> {
        match self.name_reference.iter_mut().find(|known| known.target == references.target) {
            Some(known) => merge_all(&mut known.referrers, &references.referrers),
            None => {
                self.name_reference.push(references.clone());
                Ok(())
            }
        }
    }

    fn sort(&mut self) {
        for list in [
            &mut self.name_prefix,
            &mut self.name_suffix,
            &mut self.namespace,
            &mut self.common_labels,
            &mut self.labels,
            &mut self.template_labels,
            &mut self.common_annotations,
            &mut self.var_reference,
            &mut self.images,
            &mut self.replicas,
        ] {
            list.sort_by_cached_key(|spec| spec.gvk.sort_key());
        }
        self.name_reference.sort_by_cached_key(|references| references.target.sort_key());
    }
}

fn conflict() -> Error {
    Error::invalid("conflicting fieldspecs")
}
