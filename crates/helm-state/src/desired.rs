//! What a HelmRelease wants.

use std::collections::BTreeMap;

use api::helm_release::PostRenderer;
use api::kustomization::{CommonMetadata, Image, Patch, Selector};
use artifact::digest::{Algorithm, Digest, Hasher};
use helm_chart::Metadata;
use helm_values::config_digest;
use serde_json::{Map, Value};
use yaml::{JsonFields, json_list, json_string};

use crate::object::text;

/// The chart and the values of a HelmRelease.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The name of the chart.
    pub chart_name: String,
    /// Its version.
    pub chart_version: String,
    /// The version of what is in it.
    pub app_version: String,
    /// The digest of the OCI artifact that it is from; empty if it is from none.
    pub oci_digest: String,
    values: Map<String, Value>,
    config_digest: Digest,
}

impl Desired {
    /// A chart, with the version as which it is released, and values, whose digest is of an algorithm.
    pub fn new(chart: &Metadata, oci_digest: &str, values: Map<String, Value>, algorithm: Algorithm) -> Self {
        Self {
            chart_name: chart.name.clone(),
            chart_version: chart.version.clone(),
            app_version: chart.app_version.clone(),
            oci_digest: oci_digest.to_owned(),
            config_digest: config_digest(algorithm, &values),
            values,
        }
    }

    /// The values.
    pub fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// The digest of the values.
    pub fn config_digest(&self) -> String {
        self.config_digest.to_string()
    }

    /// The same with the values that an upgrade makes of these and of those of the release (`spec.upgrade.preserveValues`).
    #[must_use]
    pub fn above(&self, former: &Map<String, Value>) -> Self {
        let values = helm::reuse_values(&self.values, former);
        let config_digest = config_digest(self.config_digest.algorithm(), &values);
        Self { values, config_digest, ..self.clone() }
    }

    /// Whether a digest is that of the values, by whatever algorithm it is.
    pub fn has_config_digest(&self, digest: &str) -> bool {
        let Ok(digest) = digest.parse::<Digest>() else { return false };
        let algorithm = digest.algorithm();
        if algorithm == self.config_digest.algorithm() {
            return digest == self.config_digest;
        }
        digest == config_digest(algorithm, &self.values)
    }
}

/// The digest of the post-renderers; empty without any. It is over the text that Go writes (`postrender.Digest`).
pub fn post_renderers_digest(renderers: &[PostRenderer], algorithm: Algorithm) -> String {
    if renderers.is_empty() {
        return String::new();
    }
    let renderers: Vec<String> = renderers.iter().map(renderer).collect();
    hash(&json_list(&renderers), algorithm)
}

/// The digest of the common metadata; empty without any (`postrender.CommonMetadataDigest`).
pub fn common_metadata_digest(metadata: Option<&CommonMetadata>, algorithm: Algorithm) -> String {
    let Some(CommonMetadata { labels, annotations }) = metadata else { return String::new() };
    let mut fields = JsonFields::default();
    for (name, map) in [("annotations", annotations), ("labels", labels)] {
        if !map.is_empty() {
            fields.raw(name, &texts(map));
        }
    }
    hash(&fields.finish(), algorithm)
}

fn hash(json: &str, algorithm: Algorithm) -> String {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(json.as_bytes());
    hasher.update(b"\n");
    hasher.finish().to_string()
}

fn texts(map: &BTreeMap<String, String>) -> String {
    let mut fields = JsonFields::default();
    for (name, text) in map {
        fields.raw(name, &json_string(text));
    }
    fields.finish()
}

fn renderer(renderer: &PostRenderer) -> String {
    let mut fields = JsonFields::default();
    if let Some(kustomize) = &renderer.kustomize {
        let mut of = JsonFields::default();
        of.list("patches", &kustomize.patches.iter().map(patch).collect::<Vec<_>>());
        of.list("images", &kustomize.images.iter().map(image).collect::<Vec<_>>());
        fields.raw("kustomize", &of.finish());
    }
    fields.finish()
}

fn patch(Patch { patch, target }: &Patch) -> String {
    let mut fields = JsonFields::default();
    fields.raw("patch", &json_string(patch));
    if let Some(target) = target {
        fields.raw("target", &selector(target));
    }
    fields.finish()
}

fn selector(selector: &Selector) -> String {
    let Selector { group, version, kind, name, namespace, annotation_selector, label_selector } = selector;
    let mut fields = JsonFields::default();
    for (name, value) in [
        ("group", group),
        ("version", version),
        ("kind", kind),
        ("namespace", namespace),
        ("name", name),
        ("annotationSelector", annotation_selector),
        ("labelSelector", label_selector),
    ] {
        fields.text(name, text(value.as_ref()));
    }
    fields.finish()
}

fn image(Image { name, new_name, new_tag, digest }: &Image) -> String {
    let mut fields = JsonFields::default();
    fields.raw("name", &json_string(name));
    for (name, value) in [("newName", new_name), ("newTag", new_tag), ("digest", digest)] {
        fields.text(name, text(value.as_ref()));
    }
    fields.finish()
}
