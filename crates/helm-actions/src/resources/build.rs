//! From the text of a manifest to objects.

use std::collections::BTreeSet;

use apply::mapper::{MapError, Mapper};
use apply::object::Manifest;
use helm_chart::FieldError;
use serde_json::Value;
use tokio::time::Instant;

use super::Resource;
use crate::memory::{OBJECT, of_value};

/// How deep lists of lists go.
const MOST_LISTS: usize = 8;
/// Bytes of memory that all objects of one manifest may take. A manifest that fits into a Secret takes a quarter of it at the most, unless
/// it is made to take more.
const MANIFEST_MEMORY: u64 = 128 << 20;
/// Documents at fault that are told. What comes behind them is not read.
const DOCUMENT_ERRORS: usize = 100;

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
    /// All objects together take too much.
    #[error("the objects take more than {0} bytes of memory")]
    TooLarge(u64),
    /// The work on them was broken off.
    #[error("the objects are not read, for the process ends")]
    Ended,
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
    let (found, mut errors) = read(vec![text.to_owned()]).await;
    let (mut resources, since) = (Vec::new(), Instant::now());
    for manifest in found {
        if errors.len() >= DOCUMENT_ERRORS {
            break;
        }
        match resolved(mapper, namespace, manifest, since).await {
            Ok(resource) => resources.push(resource),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(resources) } else { Err(BuildError(errors)) }
}

/// The objects of texts as they are written, lists taken apart.
pub(crate) async fn manifests(texts: Vec<String>) -> Result<Vec<Manifest>, BuildError> {
    let (found, errors) = read(texts).await;
    if errors.is_empty() { Ok(found) } else { Err(BuildError(errors)) }
}

async fn read(texts: Vec<String>) -> (Vec<Manifest>, Vec<DocumentError>) {
    let work = tokio::task::spawn_blocking(move || {
        let mut reading = Reading::new(MANIFEST_MEMORY);
        texts.iter().for_each(|text| reading.read(text));
        (reading.manifests, reading.errors)
    });
    work.await.unwrap_or_else(|_| (Vec::new(), vec![DocumentError::Ended]))
}

/// What was read of a manifest.
struct Reading {
    manifests: Vec<Manifest>,
    errors: Vec<DocumentError>,
    limit: u64,
    /// Bytes of memory that are left.
    left: u64,
}

impl Reading {
    fn new(limit: u64) -> Self {
        Self { manifests: Vec::new(), errors: Vec::new(), limit, left: limit }
    }

    fn read(&mut self, text: &str) {
        for document in helm::manifests::split(text) {
            let read = self.document(document);
            let is_full = matches!(read, Err(DocumentError::TooLarge(_)));
            self.errors.extend(read.err());
            if is_full || self.errors.len() >= DOCUMENT_ERRORS {
                return;
            }
        }
    }

    fn document(&mut self, text: &str) -> Result<(), DocumentError> {
        let value = helm_chart::first_document(text.as_bytes(), &yaml::Limits::default())?;
        let left = self.left.checked_sub(OBJECT + of_value(&value));
        self.left = left.ok_or(DocumentError::TooLarge(self.limit))?;
        flatten(value, MOST_LISTS, &mut self.manifests)
    }
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
        let mut reading = Reading::new(MANIFEST_MEMORY);
        reading.read(text);
        let names: Vec<&str> = reading.manifests.iter().map(Manifest::name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(reading.errors.is_empty(), "{:?}", reading.errors);
    }

    #[test]
    fn all_documents_at_fault_are_told_once() {
        let mut reading = Reading::new(MANIFEST_MEMORY);
        reading.read("---\nkind: A\n---\nkind: A\n---\n{\n");
        assert_eq!(reading.errors.len(), 3);
        let text = BuildError(reading.errors).to_string();
        assert_eq!(text.matches("apiVersion is missing").count(), 1, "{text}");
        assert!(text.starts_with('[') && text.contains(", error parsing: "), "{text}");
    }

    #[test]
    fn what_documents_take_together_is_bounded() {
        let error = |document: &str, count: usize| {
            let mut reading = Reading::new(MANIFEST_MEMORY);
            reading.read(&document.repeat(count));
            assert_eq!(reading.errors.len(), 1, "{:?}", reading.errors);
            reading.errors.remove(0).to_string()
        };
        let full = "the objects take more than 134217728 bytes of memory";
        let head = "---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n";
        assert_eq!(error(&format!("{head}a: [{}]\n", "0,".repeat(100_000)), 30), full);
        // An alias is some bytes of text.
        let aliases = format!("{head}a: &a [{}]\nb: [{}]\n", "0,".repeat(1000), "*a,".repeat(100));
        assert_eq!(error(&aliases, 30), full);
        let mut reading = Reading::new(10 * OBJECT);
        reading.read(&"---\n# nothing\n".repeat(20));
        assert_eq!(reading.errors.len(), 1);
        reading = Reading::new(MANIFEST_MEMORY);
        reading.read(&"---\nkind: A\n".repeat(1000));
        assert_eq!(reading.errors.len(), DOCUMENT_ERRORS);
    }

    #[test]
    fn a_large_manifest_is_read() {
        let mut reading = Reading::new(MANIFEST_MEMORY);
        let text = "a line of a file\n    ".repeat(10_000);
        let map = |index: usize| {
            format!(
                "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{index}}}\ndata:\n  a: |\n    {text}\n"
            )
        };
        reading.read(&(0..50).map(map).collect::<String>());
        assert!(reading.errors.is_empty(), "{:?}", reading.errors);
        assert_eq!(reading.manifests.len(), 50);
    }

    #[test]
    fn lists_in_lists_have_an_end() {
        let nested =
            (0..10).fold(Value::Null, |inner, _| serde_json::json!({"kind": "List", "items": [inner]}));
        assert!(matches!(flatten(nested, MOST_LISTS, &mut Vec::new()), Err(DocumentError::Depth)));
    }
}
