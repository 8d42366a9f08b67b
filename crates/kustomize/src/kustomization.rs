//! The kustomization file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::FieldSpec;
use crate::decode::{self, Mode};
use crate::error::{Error, Result};
use crate::meter::Meter;

/// Names under which a kustomization file is looked for.
pub(crate) const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

pub(crate) const KIND: &str = "Kustomization";
pub(crate) const API_VERSION: &str = "kustomize.config.k8s.io/v1beta1";
pub(crate) const COMPONENT_KIND: &str = "Component";
const COMPONENT_API_VERSION: &str = "kustomize.config.k8s.io/v1alpha1";

/// Labels, annotations and the like.
pub(crate) type StringMap = BTreeMap<String, String>;

/// A kustomization file's content.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Kustomization {
    pub api_version: String,
    pub kind: String,
    pub metadata: Option<ObjectMeta>,
    pub openapi: Option<StringMap>,
    pub name_prefix: String,
    pub name_suffix: String,
    pub namespace: String,
    pub common_labels: Option<StringMap>,
    pub labels: Option<Vec<Label>>,
    pub common_annotations: Option<StringMap>,
    pub patches_strategic_merge: Option<Vec<String>>,
    #[serde(rename = "patchesJson6902")]
    pub patches_json6902: Option<Vec<Patch>>,
    pub patches: Option<Vec<Patch>>,
    pub images: Option<Vec<Image>>,
    pub image_tags: Option<Vec<Image>>,
    pub replacements: Option<Vec<Replacement>>,
    pub replicas: Option<Vec<Replica>>,
    pub vars: Option<Vec<Var>>,
    pub sort_options: Option<SortOptions>,
    pub resources: Option<Vec<String>>,
    pub components: Option<Vec<String>>,
    pub crds: Option<Vec<String>>,
    pub bases: Option<Vec<String>>,
    pub config_map_generator: Option<Vec<GeneratorArgs>>,
    pub secret_generator: Option<Vec<GeneratorArgs>>,
    pub helm_globals: Option<HelmGlobals>,
    pub helm_charts: Option<Vec<serde_json::Value>>,
    pub helm_chart_inflation_generator: Option<Vec<serde_json::Value>>,
    pub generator_options: Option<GeneratorOptions>,
    pub configurations: Option<Vec<String>>,
    pub generators: Option<Vec<String>>,
    pub transformers: Option<Vec<String>>,
    pub validators: Option<Vec<String>>,
    pub build_metadata: Option<Vec<String>>,
}

/// Settings for charts, read so that what is wrong in them is told.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HelmGlobals {
    pub chart_home: String,
    pub config_home: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct ObjectMeta {
    pub name: String,
    pub namespace: String,
    pub labels: StringMap,
    pub annotations: StringMap,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Label {
    pub pairs: StringMap,
    pub include_selectors: bool,
    pub include_templates: bool,
    pub fields: Vec<FieldSpec>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Patch {
    pub path: String,
    pub patch: String,
    pub target: Option<Selector>,
    pub options: Option<PatchOptions>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PatchOptions {
    pub allow_name_change: bool,
    pub allow_kind_change: bool,
}

/// Which resources are meant; the texts are regular expressions for patches and replacement targets.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Selector {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
    pub annotation_selector: String,
    pub label_selector: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Image {
    pub name: String,
    pub new_name: String,
    pub tag_suffix: String,
    pub new_tag: String,
    pub digest: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Replica {
    pub name: String,
    pub count: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Replacement {
    pub path: String,
    pub source: Option<Source>,
    pub source_value: Option<String>,
    pub targets: Option<Vec<Target>>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Source {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
    pub field_path: String,
    pub options: Option<FieldOptions>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Target {
    pub select: Option<Selector>,
    pub reject: Vec<Selector>,
    pub field_paths: Vec<String>,
    pub options: Option<FieldOptions>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct FieldOptions {
    pub delimiter: String,
    pub index: i64,
    /// Accepted and without effect, as in kustomize.
    pub encoding: String,
    pub create: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Var {
    pub name: String,
    pub objref: ObjectReference,
    pub fieldref: FieldReference,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ObjectReference {
    pub api_version: String,
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FieldReference {
    pub field_path: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SortOptions {
    pub order: String,
    pub legacy_sort_options: Option<LegacySortOptions>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LegacySortOptions {
    pub order_first: Vec<String>,
    pub order_last: Vec<String>,
}

/// What a ConfigMap or Secret is made of.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct GeneratorArgs {
    pub name: String,
    pub namespace: String,
    pub behavior: String,
    pub literals: Vec<String>,
    pub files: Vec<String>,
    pub envs: Vec<String>,
    pub env: String,
    pub options: Option<GeneratorOptions>,
    /// Secrets only.
    #[serde(rename = "type")]
    pub secret_type: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GeneratorOptions {
    pub labels: StringMap,
    pub annotations: StringMap,
    pub disable_name_suffix_hash: bool,
    pub immutable: bool,
}

impl GeneratorArgs {
    /// Moves the old singular `env` into `envs`, and lets `generatorOptions` fill what the generator leaves open.
    fn complete(&mut self, global: Option<&GeneratorOptions>) {
        if !self.env.is_empty() {
            self.envs.push(std::mem::take(&mut self.env));
        }
        let Some(global) = global else { return };
        let options = self.options.get_or_insert_default();
        for (own, global) in
            [(&mut options.labels, &global.labels), (&mut options.annotations, &global.annotations)]
        {
            for (key, value) in global {
                own.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        options.disable_name_suffix_hash |= global.disable_name_suffix_hash;
        options.immutable |= global.immutable;
    }
}

impl Kustomization {
    /// Reads a file, moves deprecated fields where they belong now and checks what must hold for every file.
    pub fn parse(text: &str, directory: &str, meter: &Meter<'_>) -> Result<Self> {
        let invalid = |error: Error| Error::Invalid(format!("invalid Kustomization: {error}"));
        let mut file: Self = decode::from_text(text, Mode::Strict, meter).map_err(invalid)?;
        let type_only =
            Self { api_version: file.api_version.clone(), kind: file.kind.clone(), ..Self::default() };
        if file == type_only {
            return Err(Error::invalid("kustomization.yaml is empty"));
        }
        file.fix();
        file.check(directory)?;
        Ok(file)
    }

    fn fix(&mut self) {
        if self.kind.is_empty() {
            self.kind = KIND.into();
        }
        if self.api_version.is_empty() {
            self.api_version = self.expected_api_version().into();
        }
        if let Some(bases) = self.bases.take() {
            self.resources.get_or_insert_default().extend(bases);
        }
        if let Some(tags) = self.image_tags.take() {
            self.images.get_or_insert_default().extend(tags);
        }
        let global = self.generator_options.as_ref();
        for generators in [&mut self.config_map_generator, &mut self.secret_generator] {
            generators.iter_mut().flatten().for_each(|args| args.complete(global));
        }
    }

    fn expected_api_version(&self) -> &'static str {
        if self.kind == COMPONENT_KIND { COMPONENT_API_VERSION } else { API_VERSION }
    }

    fn check(&self, directory: &str) -> Result<()> {
        let mut faults = Vec::new();
        if self.kind != KIND && self.kind != COMPONENT_KIND {
            faults.push(format!("kind should be {KIND} or {COMPONENT_KIND}"));
        }
        if self.api_version != self.expected_api_version() {
            faults.push(format!("apiVersion for {} should be {}", self.kind, self.expected_api_version()));
        }
        let charts = [
            ("helmCharts", &self.helm_charts),
            ("helmChartInflationGenerator", &self.helm_chart_inflation_generator),
        ];
        if faults.is_empty() {
            return match charts.iter().find(|(_, charts)| charts.iter().flatten().next().is_some()) {
                Some((field, _)) => Err(Error::Invalid(format!(
                    "field '{field}' of the kustomization under {directory}: Helm charts are not rendered; must specify --enable-helm"
                ))),
                None => Ok(()),
            };
        }
        Err(Error::Invalid(format!(
            "Failed to read kustomization file under {directory}:\n{}",
            faults.join("\n")
        )))
    }

    pub fn has_build_metadata(&self, option: &str) -> bool {
        self.build_metadata.iter().flatten().any(|known| known == option)
    }
}
