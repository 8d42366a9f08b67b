//! Content hashes in the names of generated resources.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use yaml::{Node, Resolver};

use super::Transformer;
use crate::build::Build;
use crate::error::Result;
use crate::meta;
use crate::resmap::ResMap;

/// Appends the hash to every name that asks for it.
pub(crate) struct Hash;

impl Transformer for Hash {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        for resource in map.resources_mut().iter_mut().filter(|resource| resource.needs_hash) {
            let suffix = suffix_of(&resource.node)?;
            resource.store_previous_id(&build.schema);
            let name = format!("{}-{suffix}", resource.name());
            meta::set_name(&mut resource.node, &name);
        }
        Ok(())
    }
}

/// The hash of an object's content: of its data for ConfigMaps and Secrets, of everything for other kinds.
fn suffix_of(node: &Node) -> Result<String> {
    let content = match meta::text(node, "kind") {
        "ConfigMap" => content(node, "ConfigMap", &["data"], "binaryData")?,
        "Secret" => content(node, "Secret", &["data", "type"], "stringData")?,
        _ => node.to_json(Resolver::KustomizeV3)?,
    };
    let digest = Sha256::digest(yaml::canonical_json(&content).as_bytes());
    Ok(digest.iter().take(5).flat_map(|byte| [byte >> 4, byte & 15]).map(letter).collect())
}

/// Kubernetes' alphabet for hashes: no vowels, no digits that look like letters.
fn letter(digit: u8) -> char {
    match digit {
        0 => 'g',
        1 => 'h',
        3 => 'k',
        10 => 'm',
        14 => 't',
        digit => char::from_digit(u32::from(digit), 16).unwrap_or('g'),
    }
}

/// What kustomize hashes: the named fields, an optional one when it is a mapping, and a name that is always empty.
fn content(node: &Node, kind: &str, fields: &[&str], optional: &str) -> Result<Value> {
    let mut content = Map::new();
    content.insert("kind".into(), kind.into());
    content.insert("name".into(), "".into());
    for field in fields {
        content.insert((*field).into(), value(node.get(field))?);
    }
    let extra = value(node.get(optional))?;
    if extra.is_object() {
        content.insert(optional.into(), extra);
    }
    Ok(Value::Object(content))
}

fn value(field: Option<&Node>) -> Result<Value> {
    Ok(match field {
        None => "".into(),
        Some(scalar) if scalar.is_scalar() => scalar.as_str().unwrap_or_default().into(),
        Some(collection) => collection.to_json(Resolver::KustomizeV3)?,
    })
}
