//! What changes rendered objects before they are applied: the post-renderers of the spec, the common metadata, and the labels that
//! say whose objects they are (Flux: `internal/postrender`).

use std::collections::BTreeMap;
use std::error::Error;

use api::HelmRelease;
use api::helm::{NAME_LABEL, NAMESPACE_LABEL};
use api::helm_release::Kustomize;
use api::kustomization::CommonMetadata;
use helm::PostRenderer;
use helm_chart::first_document;
use kube::ResourceExt;
use kustomize::flux::{Overlay, build};
use kustomize::tree::MemoryTree;
use kustomize::{Options, Resource, object_to_yaml};
use serde_json::{Map, Value};

/// The file that kustomize sees.
const FILE: &str = "helm-output.yaml";

/// All of them, in their order.
pub struct Chain {
    overlays: Vec<Overlay>,
    common: CommonMetadata,
    origin: BTreeMap<String, String>,
    options: Options,
}

/// The labels that say whose objects they are.
pub fn origin_labels(object: &HelmRelease) -> BTreeMap<String, String> {
    BTreeMap::from([
        (NAME_LABEL.to_owned(), object.name_any()),
        (NAMESPACE_LABEL.to_owned(), object.namespace().unwrap_or_default()),
    ])
}

/// Whether a manifest was made for a HelmRelease, as the labels of its first object say: all have them.
pub fn is_origin(object: &HelmRelease, manifest: &str) -> bool {
    let read = |document: &str| first_document(document.as_bytes(), &yaml::Limits::default()).ok();
    let documents = helm::manifests::split(manifest);
    let Some(first) = documents.into_iter().filter_map(read).find(|object| !object.is_null()) else {
        return false;
    };
    let label = |name: &str| first.pointer("/metadata/labels")?.get(name)?.as_str();
    origin_labels(object).iter().all(|(name, value)| label(name) == Some(value))
}

impl Chain {
    /// Those of a HelmRelease; the options bound what each may take.
    pub fn new(object: &HelmRelease, options: Options) -> Self {
        let renderers = object.spec.post_renderers.iter().filter_map(|renderer| renderer.kustomize.as_ref());
        Self {
            overlays: renderers.map(overlay).collect(),
            common: object.spec.common_metadata.clone().unwrap_or_default(),
            origin: origin_labels(object),
            options,
        }
    }

    fn build(&self, text: &str, overlay: &Overlay) -> Result<Vec<Resource>, kustomize::flux::Error> {
        let mut tree = MemoryTree::default();
        tree.insert(FILE, text.as_bytes().to_vec());
        build(&tree, "", overlay, &self.options, None, None)
    }
}

impl PostRenderer for Chain {
    fn run(&self, documents: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
        if documents.trim().is_empty() {
            return Ok(String::new());
        }
        let (last, first) = match self.overlays.split_last() {
            Some((last, first)) => (last.clone(), first),
            // Without any, duplicates are found and lists are taken apart, too.
            None => (Overlay::default(), Default::default()),
        };
        let mut text = documents.to_owned();
        for overlay in first {
            text = kustomize::to_yaml(&self.build(&text, overlay)?)?;
        }
        let mut output = String::new();
        for resource in self.build(&text, &last)? {
            let mut object = resource.to_json()?;
            add(&mut object, "labels", &self.common.labels);
            add(&mut object, "annotations", &self.common.annotations);
            add(&mut object, "labels", &self.origin);
            if !output.is_empty() {
                output.push_str("---\n");
            }
            output.push_str(&object_to_yaml(&object));
        }
        Ok(output)
    }
}

/// Adds labels or annotations, which win over those that are there.
fn add(object: &mut Value, field: &str, entries: &BTreeMap<String, String>) {
    if entries.is_empty() {
        return;
    }
    let Some(fields) = object.as_object_mut() else { return };
    let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Some(metadata) = metadata.as_object_mut() else { return };
    let map = metadata.entry(field).or_insert_with(|| Value::Object(Map::new()));
    if map.is_null() {
        *map = Value::Object(Map::new());
    }
    if let Some(map) = map.as_object_mut() {
        map.extend(entries.iter().map(|(key, value)| (key.clone(), value.clone().into())));
    }
}

fn overlay(kustomize: &Kustomize) -> Overlay {
    let (patches, images) = (overlay::patches(&kustomize.patches), overlay::images(&kustomize.images));
    Overlay { patches, images, ..Overlay::default() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(spec: &Value, documents: &str) -> Result<String, String> {
        let object = json!({"metadata": {"name": "app", "namespace": "apps"}, "spec": spec});
        let chain = Chain::new(&serde_json::from_value(object).unwrap(), Options::default());
        chain.run(documents).map_err(|error| error.to_string())
    }

    const MAP: &str =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {team: x}\ndata: {b: c}\n";

    #[test]
    fn the_labels_of_its_first_object_tell_whose_a_manifest_is() {
        let object = |name: &str| {
            let metadata = json!({"name": name, "namespace": "apps"});
            serde_json::from_value::<HelmRelease>(json!({"metadata": metadata, "spec": {"interval": "1m"}}))
                .unwrap()
        };
        let made = format!("---\n# nothing\n---\n{}", rendered(&json!({"interval": "1m"}), MAP).unwrap());
        assert!(is_origin(&object("app"), &made), "{made}");
        assert!(!is_origin(&object("other"), &made));
        for none in ["", "---\n# nothing\n", MAP, "{"] {
            assert!(!is_origin(&object("app"), none), "{none}");
        }
    }

    #[test]
    fn objects_get_patches_then_the_common_metadata_then_labels_of_their_origin() {
        let patch = r#"[{"op": "replace", "path": "/data/b", "value": "d"}]"#;
        let spec = json!({
            "interval": "1m",
            "postRenderers": [{"kustomize": {"patches": [{"patch": patch, "target": {"kind": "ConfigMap"}}]}}],
            "commonMetadata": {"labels": {"team": "y", NAME_LABEL: "no"}, "annotations": {"e": "f"}},
        });
        let expected = "apiVersion: v1\ndata:\n  b: d\nkind: ConfigMap\nmetadata:\n  annotations:\n    e: f\n  labels:\n    \
                        helm.toolkit.fluxcd.io/name: app\n    helm.toolkit.fluxcd.io/namespace: apps\n    team: \"y\"\n  name: a\n";
        assert_eq!(rendered(&spec, MAP).unwrap(), expected);
    }

    #[test]
    fn without_post_renderers_objects_get_their_origin_and_are_no_duplicates() {
        let spec = json!({"interval": "1m"});
        assert!(rendered(&spec, MAP).unwrap().contains("namespace: apps"));
        let error = rendered(&spec, &format!("{MAP}---\n{MAP}")).unwrap_err();
        assert!(error.contains("may not add resource with an already registered id"), "{error}");
        assert_eq!(rendered(&spec, "\n").unwrap(), "");
    }
}
