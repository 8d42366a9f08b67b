//! ConfigMaps, Secrets and service accounts made from data.

mod sources;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use yaml::{Node, Style};

use crate::build::Build;
use crate::error::{Context, Error, Result};
use crate::kustomization::GeneratorArgs;
use crate::loader::Loader;
use crate::meta;
use crate::resource::{Behavior, Resource};

/// Makes a ConfigMap: text under `data`, other bytes under `binaryData`.
pub(crate) fn config_map(
    args: &GeneratorArgs,
    loader: &Loader<'_>,
    build: &mut Build<'_>,
) -> Result<Resource> {
    let mut node = base("ConfigMap", args)?;
    for (key, bytes) in sources::load(args, loader, build)? {
        let (field, value) = match std::str::from_utf8(&bytes) {
            Ok(text) => ("data", block(text)),
            Err(_) => ("binaryData", block(&encode(&bytes))),
        };
        if let Some(data) = meta::child_mapping_mut(&mut node, field) {
            data.insert(&key, value);
        }
    }
    Ok(finish(node, args))
}

/// Makes a Secret.
pub(crate) fn secret(args: &GeneratorArgs, loader: &Loader<'_>, build: &mut Build<'_>) -> Result<Resource> {
    let mut node = base("Secret", args)?;
    let kind = if args.secret_type.is_empty() { "Opaque" } else { &args.secret_type };
    node.insert("type", meta::string(kind));
    let mut data = Node::mapping();
    for (key, bytes) in sources::load(args, loader, build)? {
        data.insert(&key, block(&encode(&bytes)));
    }
    node.insert("data", data);
    Ok(finish(node, args))
}

fn base(kind: &str, args: &GeneratorArgs) -> Result<Node> {
    if args.name.is_empty() {
        return Err(Error::invalid("a configmap must have a name"));
    }
    let mut metadata = Node::mapping_of([("name", meta::string(&args.name))]);
    if !args.namespace.is_empty() {
        metadata.insert("namespace", meta::string(&args.namespace));
    }
    Ok(Node::mapping_of([
        ("apiVersion", Node::plain("v1")),
        ("kind", Node::plain(kind)),
        ("metadata", metadata),
    ]))
}

fn finish(mut node: Node, args: &GeneratorArgs) -> Resource {
    if let Some(options) = &args.options {
        for (map, entries) in [("labels", &options.labels), ("annotations", &options.annotations)] {
            for (key, value) in entries {
                meta::set_metadata_entry(&mut node, map, key, value);
            }
        }
        if options.immutable {
            node.insert("immutable", Node::bool(true));
        }
    }
    let mut resource = Resource::new(node);
    resource.behavior = Behavior::parse(&args.behavior);
    resource.needs_hash = !args.options.as_ref().is_some_and(|options| options.disable_name_suffix_hash);
    resource
}

/// A string; one of several lines is written as a block.
fn block(text: &str) -> Node {
    let mut node = meta::string(text);
    if text.contains('\n') {
        node.set_style(Style::Literal);
    }
    node
}

/// Base64, in lines of 70 characters when it needs more than one.
fn encode(bytes: &[u8]) -> String {
    const LINE: usize = 70;
    let encoded = STANDARD.encode(bytes);
    if encoded.len() < LINE {
        return encoded;
    }
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / LINE + 1);
    for (at, character) in encoded.chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    lines.push('\n');
    lines
}

/// Lays generated data over the data that is there.
pub(crate) fn merge_data(resource: &mut Resource, under: &Resource) {
    for field in ["data", "binaryData"] {
        let mut merged = Node::mapping();
        for (key, value) in entries(&under.node, field).chain(entries(&resource.node, field)) {
            merged.insert(key, block(value.as_str().filter(|_| !value.is_null()).unwrap_or_default()));
        }
        resource.node.remove(field);
        if !merged.entries().is_empty() {
            resource.node.insert(field, merged);
        }
    }
}

fn entries<'a>(node: &'a Node, field: &str) -> impl Iterator<Item = (&'a str, &'a Node)> {
    let entries = node.get(field).map(Node::entries).unwrap_or_default();
    entries.iter().map(|(key, value)| (key.as_str().unwrap_or_default(), value))
}

/// Configuration of the `IAMPolicyGenerator`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct IamPolicy {
    cloud: String,
    kubernetes_service: Named,
    service_account: Named,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    name: String,
    namespace: String,
    project_id: String,
}

/// Makes the service account of a workload identity.
pub(crate) fn iam_policy(config: &IamPolicy) -> Result<Resource> {
    if config.cloud != "gke" {
        return Err(Error::Invalid(format!("cloud provider {} not supported yet", config.cloud)));
    }
    let account = &config.service_account;
    let email = format!("{}@{}.iam.gserviceaccount.com", account.name, account.project_id);
    let annotations = Node::mapping_of([("iam.gke.io/gcp-service-account", Node::string(email))]);
    let service = &config.kubernetes_service;
    let mut metadata =
        Node::mapping_of([("annotations", annotations), ("name", Node::string(&service.name))]);
    if !service.namespace.is_empty() {
        metadata.insert("namespace", Node::string(&service.namespace));
    }
    let node = Node::mapping_of([
        ("apiVersion", Node::plain("v1")),
        ("kind", Node::plain("ServiceAccount")),
        ("metadata", metadata),
    ]);
    let resource = Resource::new(node);
    if resource.name().is_empty() {
        return Err(Error::invalid("kubernetesService needs a name")).context(|| "IAMPolicyGenerator".into());
    }
    Ok(resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_base64_is_cut_into_lines() {
        assert_eq!(encode(&[0; 48]), "A".repeat(64));
        assert_eq!(encode(&[0; 54]), format!("{}\n{}\n", "A".repeat(70), "AA"));
    }
}
