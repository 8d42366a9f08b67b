//! The objects of a release, for those who look at the status. Nothing is done by it.

use std::collections::HashSet;

use api::kustomization::{ResourceInventory, ResourceRef};
use apply::mapper::Mapper;
use apply::object::Manifest;
use helm::Crd;
use serde_json::Value;
use tokio::time::Instant;

/// Lists within lists that are taken apart.
const MOST_LISTS: usize = 4;

/// What is known of the objects of a release.
pub struct Listed {
    /// The objects.
    pub inventory: ResourceInventory,
    /// Of how many it is not known whether they are in a namespace.
    pub unknown: usize,
}

/// The objects of a manifest and of files of definitions; those without a namespace are in that of the release, if their kind is in any.
///
/// # Errors
/// A text is no object.
pub async fn list(
    mapper: &Mapper,
    namespace: &str,
    manifest: &str,
    definitions: &[Crd],
) -> Result<Listed, String> {
    let mut found = Vec::new();
    let files = definitions.iter().map(|file| String::from_utf8_lossy(&file.content));
    for text in std::iter::once(manifest.into()).chain(files) {
        for document in helm::manifests::split(&text) {
            let value = helm_chart::first_document(document.as_bytes(), &yaml::Limits::default());
            flatten(value.map_err(|error| error.to_string())?, MOST_LISTS, &mut found)?;
        }
    }
    let (since, mut seen) = (Instant::now(), HashSet::new());
    let mut listed = Listed { inventory: ResourceInventory::default(), unknown: 0 };
    for manifest in found {
        let mut id = manifest.id();
        match mapper.resolve_since(&manifest.gvk(), since).await {
            Ok(mapped) if !mapped.namespaced => id.namespace.clear(),
            Ok(_) if id.namespace.is_empty() => namespace.clone_into(&mut id.namespace),
            Ok(_) => {}
            Err(_) => listed.unknown += 1,
        }
        let entry = ResourceRef { id: id.inventory_id(), version: manifest.gvk().version };
        if seen.insert(entry.clone()) {
            listed.inventory.entries.push(entry);
        }
    }
    Ok(listed)
}

fn flatten(mut value: Value, depth: usize, found: &mut Vec<Manifest>) -> Result<(), String> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    let items = if is_list { value.get_mut("items").map(Value::take) } else { None };
    match items {
        Some(Value::Array(items)) => {
            let depth = depth.checked_sub(1).ok_or("lists are nested too deep")?;
            items.into_iter().try_for_each(|item| flatten(item, depth, found))
        }
        None if value.is_null() => Ok(()),
        _ => {
            found.push(Manifest::new(value, None).map_err(|error| error.to_string())?);
            Ok(())
        }
    }
}
