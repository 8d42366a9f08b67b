//! The kustomize build engine: a file tree in, ordered resources out. What kustomize 5.8.1 builds, in time linear in the input.
//!
//! [`build`] is `kustomize build`; [`flux::build`] is what Flux makes of it: a missing kustomization file is generated, fields
//! of a Kustomization object are laid over the root file, nothing outside the tree is read. Pure functions from values to
//! values: no sockets (see [`Fetcher`]), no clock, no global state, so builds run in parallel. They may share what they parse: [`ParseCache`].

mod accumulator;
mod build;
mod cancel;
mod config;
mod decode;
mod document;
mod error;
pub mod flux;
mod generate;
mod kustomization;
mod loader;
mod lookup;
mod meta;
mod meter;
mod options;
mod origin;
mod parsed;
mod patch;
mod path;
mod pattern;
mod plugin;
mod reference;
mod remote;
mod resid;
mod resmap;
mod resource;
mod schema;
mod selector;
mod shared;
mod target;
mod transform;
pub mod tree;
mod vars;

pub use cancel::Cancel;
pub use error::{Budget, Error, Result};
pub use options::{Limits, LoadRestrictor, Options, Reorder};
pub use parsed::ParseCache;
pub use remote::{FetchError, Fetcher, NotARepo, RepoSpec, Repository};
pub use resource::Resource;
pub use selector::ObjectSelector;
pub use tree::{DiskTree, FileTree, MemoryTree, TreeError};

use accumulator::Accumulator;
use build::Build;
use error::Context;
use loader::Loader;
use resmap::ResMap;
use target::Target;
use transform::{Hash, Labels, Sort, Transformer};

/// What `app.kubernetes.io/managed-by` is set to.
const MANAGED_BY: &str = "kustomize-v5.8.1";

/// Annotations that kustomize keeps for itself while building.
const INTERNAL_ANNOTATIONS: [&str; 19] = [
    "internal.config.kubernetes.io/previousKinds",
    "internal.config.kubernetes.io/previousNames",
    "internal.config.kubernetes.io/prefixes",
    "internal.config.kubernetes.io/suffixes",
    "internal.config.kubernetes.io/previousNamespaces",
    "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange",
    "internal.config.kubernetes.io/refBy",
    "internal.config.kubernetes.io/generatorBehavior",
    "internal.config.kubernetes.io/needsHashSuffix",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/seqindent",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "internal.config.kubernetes.io/helm-generated",
    "config.kubernetes.io/path",
    "config.kubernetes.io/index",
    "config.k8s.io/id",
];

/// Builds the kustomization in a directory of the tree.
///
/// # Errors
/// Whatever is wrong with the input, with the file, field or resource at fault; a limit that it exceeds.
pub fn build(
    tree: &dyn FileTree,
    directory: &str,
    options: &Options,
    fetcher: Option<&dyn Fetcher>,
) -> Result<Vec<Resource>> {
    let mut build = Build::new(options, fetcher);
    resources(tree, directory, &mut build).map_err(|error| build.redact(error))
}

fn resources(tree: &dyn FileTree, directory: &str, build: &mut Build<'_>) -> Result<Vec<Resource>> {
    let options = build.options;
    let loader = Loader::root(tree, directory, options.load_restrictor)?;
    let mut target = Target::load(loader, build)?;
    target.choose_schema(true, build)?;
    target.start_origin();
    let mut gathered = target.accumulate(Accumulator::default(), build)?;
    Hash.transform(&mut gathered.map, build)?;
    reference::fix(&mut gathered.map, &gathered.config, build)?;
    gathered.vars.resolve(&mut gathered.map, &gathered.config, build)?;
    let mut map = drop_local(gathered.map, build)?;
    let sort = match (&target.file.sort_options, options.reorder) {
        (Some(options), _) => Some(options.clone()),
        (None, Reorder::Legacy) => {
            Some(kustomization::SortOptions { order: "legacy".into(), legacy_sort_options: None })
        }
        (None, Reorder::None) => None,
    };
    if let Some(options) = sort {
        Sort { options }.transform(&mut map, build)?;
    }
    if options.managed_by_label || target.file.has_build_metadata("managedByLabel") {
        let labels = [("app.kubernetes.io/managed-by".to_owned(), MANAGED_BY.to_owned())].into();
        let fields = vec![config::FieldSpec::everywhere("metadata/labels", true)];
        Labels { labels, fields }.transform(&mut map, build)?;
    }
    let keep_origin = target.file.has_build_metadata("originAnnotations");
    let keep_transformations = target.file.has_build_metadata("transformerAnnotations");
    let mut resources = map.into_resources();
    for resource in &mut resources {
        finish(resource, keep_origin, keep_transformations);
    }
    Ok(resources)
}

/// Drops resources that are only meant for the build itself, and checks that the others still are objects.
fn drop_local(map: ResMap, build: &Build<'_>) -> Result<ResMap> {
    let mut kept = ResMap::default();
    for resource in map.into_resources() {
        if resource.kind().is_empty() {
            return Err(Error::Invalid(format!("missing kind in object {}", resource.describe())));
        }
        if resource.name().is_empty() && !resource.kind().ends_with("List") {
            return Err(Error::Invalid(format!("missing metadata.name in object {}", resource.describe())));
        }
        let local = meta::annotation(&resource.node, "config.kubernetes.io/local-config");
        if local.is_none_or(|local| local == "false") {
            kept.append(resource, &build.schema).context(|| "collecting the output".into())?;
        }
    }
    Ok(kept)
}

/// Takes the build's own annotations off.
fn finish(resource: &mut Resource, keep_origin: bool, keep_transformations: bool) {
    let node = &mut resource.node;
    let gone: Vec<String> = meta::metadata_map(node, "annotations")
        .map(|(key, _)| key)
        .filter(|key| {
            INTERNAL_ANNOTATIONS.contains(key)
                || !keep_origin && *key == origin::ANNOTATION
                || !keep_transformations && *key == origin::TRANSFORMATIONS
        })
        .map(str::to_owned)
        .collect();
    gone.iter().for_each(|key| meta::remove_annotation(node, key));
    meta::normalize_string_map(node, "annotations");
}

/// The text that `kustomize build` prints.
///
/// # Errors
/// When a resource has no JSON form: duplicate keys, keys that are no strings, numbers that are not finite.
pub fn to_yaml(resources: &[Resource]) -> Result<String> {
    let mut text = String::new();
    for resource in resources {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        text.push_str(&object_to_yaml(&resource.to_json()?));
    }
    Ok(text)
}

/// The text that `kustomize build` prints of one object.
pub fn object_to_yaml(object: &serde_json::Value) -> String {
    yaml::json_to_yaml(object)
}
