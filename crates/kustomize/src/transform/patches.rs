//! Patches on resources: strategic merge and JSON.

use yaml::Node;

use super::Transformer;
use crate::build::Build;
use crate::document;
use crate::error::{Context, Error, Result};
use crate::kustomization::{PatchOptions, Selector};
use crate::meta;
use crate::meter::Meter;
use crate::patch::json::{self, Operation};
use crate::patch::strategic::{self, Fate};
use crate::resmap::ResMap;
use crate::resource::Resource;
use crate::selector;

/// One entry of `patches`.
pub(crate) struct Patches {
    content: Content,
    target: Option<Selector>,
    /// What messages call it.
    source: String,
}

enum Content {
    Strategic(Vec<Resource>),
    Json(Vec<Operation>),
}

impl Patches {
    /// Reads the text as whatever it is.
    pub fn new(
        text: &str,
        target: Option<Selector>,
        options: Option<&PatchOptions>,
        source: String,
        meter: &Meter<'_>,
    ) -> Result<Self> {
        let strategic = document::resources(text, meter);
        let operations = json::parse(text, meter);
        let content = match (strategic, operations) {
            (Err(error), _) | (_, Err(error)) if error.is_final() => return Err(error),
            (Ok(patches), Ok(operations)) if !patches.is_empty() && !operations.is_empty() => {
                return Err(Error::Invalid(format!(
                    "illegally qualifies as both an SM and JSON patch: {source}"
                )));
            }
            (Ok(mut patches), _) => {
                let options = options.cloned().unwrap_or_default();
                for patch in &mut patches {
                    patch.allow_name_change = options.allow_name_change;
                    patch.allow_kind_change = options.allow_kind_change;
                    if patch.allow_name_change || patch.allow_kind_change {
                        // kustomize notes this among the patch's annotations, which makes them all strings.
                        meta::normalize_string_map(&mut patch.node, "annotations");
                    }
                }
                Content::Strategic(patches)
            }
            (Err(_), Ok(operations)) => Content::Json(operations),
            (Err(strategic), Err(json)) => {
                return Err(Error::Invalid(format!(
                    "unable to parse SM or JSON patch from {source}: {strategic}; {json}"
                )));
            }
        };
        Ok(Self { content, target, source })
    }
}

impl Transformer for Patches {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        match (&self.content, &self.target) {
            (Content::Strategic(patches), None) => {
                for patch in patches {
                    let id = patch.original_id(&build.schema);
                    let index = map
                        .the_one_with_any_id(&id, &build.schema)
                        .context(|| format!("no resource matches strategic merge patch \"{id}\""))?;
                    apply(map, index, patch, build)?;
                }
                Ok(())
            }
            (Content::Strategic(patches), Some(target)) => match &patches[..] {
                [] => Ok(()),
                [patch] => {
                    let selected = selector::select(map, target, build)
                        .context(|| format!("unable to find patch target {target:?} in `resources`"))?;
                    apply_to_all(map, selected, patch, build)
                }
                _ => Err(Error::Invalid(format!(
                    "Multiple Strategic-Merge Patches in one `patches` entry is not allowed to set `patches.target` field: {}",
                    self.source
                ))),
            },
            (Content::Json(operations), Some(target)) => {
                for index in selector::select(map, target, build)? {
                    apply_json(map, index, operations, true, build)?;
                }
                Ok(())
            }
            (Content::Json(operations), None) if operations.is_empty() => Ok(()),
            (Content::Json(_), None) => {
                Err(Error::Invalid(format!("must specify a target for JSON patch {}", self.source)))
            }
        }
    }
}

/// The entries of `patchesStrategicMerge`.
pub(crate) struct StrategicPatches {
    pub patches: Vec<Resource>,
}

impl Transformer for StrategicPatches {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        for patch in &self.patches {
            let id = patch.original_id(&build.schema);
            let index = map.the_one_with_any_id(&id, &build.schema)?;
            apply_to_all(map, vec![index], patch, build)?;
            map.drop_empty();
        }
        Ok(())
    }
}

/// One entry of `patchesJson6902`.
pub(crate) struct JsonPatch {
    pub target: Selector,
    pub operations: Vec<Operation>,
}

impl Transformer for JsonPatch {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        for index in selector::select(map, &self.target, build)? {
            apply_json(map, index, &self.operations, false, build)?;
        }
        Ok(())
    }
}

/// Applies a patch that selects its targets: it takes the target's group, version and own metadata maps as strings.
fn apply_to_all(
    map: &mut ResMap,
    selected: Vec<usize>,
    patch: &Resource,
    build: &mut Build<'_>,
) -> Result<()> {
    let mut patch = patch.clone();
    meta::merge_string_map(&mut patch.node, "labels", &Node::mapping());
    meta::merge_string_map(&mut patch.node, "annotations", &Node::mapping());
    let kind = patch.kind().to_owned();
    for index in selected {
        let Some(api_version) = map.get(index).map(|resource| resource.api_version().to_owned()) else {
            continue;
        };
        meta::set_api_version(&mut patch.node, &api_version);
        meta::set_kind(&mut patch.node, &kind);
        apply(map, index, &patch, build)?;
    }
    map.check_unique(&build.schema)
}

/// Applies a strategic merge patch to one resource; a deleted resource stays as an empty one.
fn apply(map: &mut ResMap, index: usize, patch: &Resource, build: &mut Build<'_>) -> Result<()> {
    let renames = patch.allow_name_change || patch.allow_kind_change;
    let resources = if renames { &mut map.resources_mut()[..] } else { map.contents_mut() };
    let Some(target) = resources.get_mut(index) else { return Ok(()) };
    let (name, namespace) = (target.name().to_owned(), target.namespace().to_owned());
    let kind = target.kind().to_owned();
    if renames {
        target.store_previous_id(&build.schema);
    }
    let (depth, nodes) = meta::measure(&patch.node);
    build.meter.count_copy(0, depth, nodes)?;
    let fate = strategic::merge(&mut target.node, patch.node.clone(), build)
        .context(|| format!("applying a patch to {}", patch.describe()))?;
    if fate == Fate::Gone {
        target.node = Node::null();
        map.resources_mut();
        return Ok(());
    }
    if target.is_empty() {
        return Ok(());
    }
    if !patch.allow_kind_change {
        meta::set_kind(&mut target.node, &kind);
    }
    if !patch.allow_name_change {
        meta::set_name(&mut target.node, &name);
    }
    meta::set_namespace(&mut target.node, &namespace);
    Ok(())
}

fn apply_json(
    map: &mut ResMap,
    index: usize,
    operations: &[Operation],
    store: bool,
    build: &mut Build<'_>,
) -> Result<()> {
    let Some(target) = map.contents_mut().get_mut(index) else { return Ok(()) };
    let id = target.id(&build.schema);
    if store {
        target.store_previous_id(&build.schema);
    }
    if target.has_build_notes() {
        // kustomize keeps its notes in annotations, so that there always is a place to add one.
        if let Some(metadata) = meta::metadata_mut(&mut target.node) {
            meta::child_mapping_mut(metadata, "annotations");
        }
    }
    let described = format!("applying a JSON patch to {}", target.describe());
    json::apply(&mut target.node, operations, build).context(|| described)?;
    meta::normalize_string_map(&mut target.node, "annotations");
    if target.id(&build.schema) != id {
        map.resources_mut();
    }
    Ok(())
}
