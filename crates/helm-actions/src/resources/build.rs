//! From the text of a manifest to objects.

use std::collections::BTreeSet;

use apply::mapper::{MapError, Mapper};
use apply::object::Manifest;
use helm_chart::FieldError;
use serde_json::Value;
use tokio::time::Instant;

use super::Resource;

/// How deep lists of lists go.
const MOST_LISTS: usize = 8;

/// Why the objects of a manifest cannot be told: one error for each that is at fault.
#[derive(Debug)]
pub struct BuildError(Vec<DocumentError>);

impl std::error::Error for BuildError {}

impl std::fmt::Display for BuildError {
    /// One error as it is, several as Go prints them, each once.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut seen = BTreeSet::new();
        let texts = self.0.iter().map(|error| net::chain(error));
        let texts: Vec<String> = texts.filter(|text| seen.insert(text.clone())).collect();
        match texts.as_slice() {
            [text] => f.write_str(text),
            texts => write!(f, "[{}]", texts.join(", ")),
        }
    }
}

/// What is wrong with a document of a manifest.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no YAML.
    #[error("error parsing")]
    Yaml(#[from] FieldError),
    /// It is no object of Kubernetes with a name.
    #[error(transparent)]
    NoObject(#[from] apply::object::NotAnObject),
    /// Lists hold lists without end.
    #[error("lists of objects are nested more than {MOST_LISTS} deep")]
    Depth,
    /// Its kind is not served. The words are those of `kubectl`.
    #[error(
        "resource mapping not found for name: {name:?} namespace: {namespace:?} from \"\": {cause}\nensure CRDs are installed first"
    )]
    NotServed {
        /// The name of the object.
        name: String,
        /// Its namespace, as it is written.
        namespace: String,
        /// Which kind.
        cause: Box<MapError>,
    },
    /// Which kinds are served cannot be told.
    #[error("unable to recognize \"\"")]
    Discovery(#[source] MapError),
}

/// The objects of a manifest, lists taken apart; those without a namespace get this one if their kind has any.
pub(crate) async fn build(mapper: &Mapper, namespace: &str, text: &str) -> Result<Vec<Resource>, BuildError> {
    let (mut resources, mut errors) = (Vec::new(), Vec::new());
    let since = Instant::now();
    for manifest in read(text, &mut errors) {
        match resolved(mapper, namespace, manifest, since).await {
            Ok(resource) => resources.push(resource),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(resources) } else { Err(BuildError(errors)) }
}

/// The objects of texts as they are written, lists taken apart.
pub(crate) fn manifests<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Manifest>, BuildError> {
    let mut errors = Vec::new();
    let found = texts.flat_map(|text| read(text, &mut errors)).collect();
    if errors.is_empty() { Ok(found) } else { Err(BuildError(errors)) }
}

fn read(text: &str, errors: &mut Vec<DocumentError>) -> Vec<Manifest> {
    let mut manifests = Vec::new();
    for document in helm::manifests::split(text) {
        let read = helm_chart::first_document(document.as_bytes(), &yaml::Limits::default());
        let flat =
            read.map_err(DocumentError::from).and_then(|value| flatten(value, MOST_LISTS, &mut manifests));
        errors.extend(flat.err());
    }
    manifests
}

fn flatten(mut value: Value, depth: usize, manifests: &mut Vec<Manifest>) -> Result<(), DocumentError> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    let items = if is_list { value.get_mut("items").map(Value::take) } else { None };
    match items {
        Some(Value::Array(items)) => {
            let depth = depth.checked_sub(1).ok_or(DocumentError::Depth)?;
            items.into_iter().try_for_each(|item| flatten(item, depth, manifests))
        }
        // A document of comments alone.
        None if value.is_null() => Ok(()),
        _ => {
            manifests.push(Manifest::new(value, None)?);
            Ok(())
        }
    }
}

async fn resolved(
    mapper: &Mapper,
    namespace: &str,
    manifest: Manifest,
    since: Instant,
) -> Result<Resource, DocumentError> {
    let (gvk, mut id) = (manifest.gvk(), manifest.id());
    let mapped = mapper.resolve_since(&gvk, since).await.map_err(|error| match error {
        MapError::NoMatch { .. } => DocumentError::NotServed {
            name: id.name.clone(),
            namespace: id.namespace.clone(),
            cause: Box::new(error),
        },
        MapError::Discovery(_) => DocumentError::Discovery(error),
    })?;
    let mut object = manifest.value().clone();
    match mapped.namespaced {
        true if id.namespace.is_empty() => {
            namespace.clone_into(&mut id.namespace);
            if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
                metadata.insert("namespace".to_owned(), namespace.into());
            }
        }
        true => {}
        false => id.namespace.clear(),
    }
    Ok(Resource { id, gvk, mapped, object, live: None })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn lists_are_taken_apart_and_comments_are_nothing() {
        let text = "---\n# Source: a\nkind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n\
                    - kind: ConfigMapList\n  apiVersion: v1\n  items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}]\n---\n# nothing\n";
        let mut errors = Vec::new();
        let names: Vec<String> = read(text, &mut errors).iter().map(|m| m.name().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[test]
    fn all_documents_at_fault_are_told_once() {
        let mut errors = Vec::new();
        read("---\nkind: A\n---\nkind: A\n---\n{\n", &mut errors);
        assert_eq!(errors.len(), 3);
        let text = BuildError(errors).to_string();
        assert_eq!(text.matches("apiVersion is missing").count(), 1, "{text}");
        assert!(text.starts_with('[') && text.contains(", error parsing: "), "{text}");
    }

    #[test]
    fn lists_in_lists_have_an_end() {
        let nested =
            (0..10).fold(Value::Null, |inner, _| serde_json::json!({"kind": "List", "items": [inner]}));
        assert!(matches!(flatten(nested, MOST_LISTS, &mut Vec::new()), Err(DocumentError::Depth)));
    }
}
