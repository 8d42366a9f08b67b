//! Fields of a Kustomization object, laid over the root file.

use yaml::Node;

use super::{Action, Error};
use crate::error::Error as BuildError;
use crate::meter::Meter;

/// The fields of a Kustomization's spec that change the root file.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// Replaces `namespace`.
    pub target_namespace: Option<String>,
    /// Replaces `namePrefix`.
    pub name_prefix: Option<String>,
    /// Replaces `nameSuffix`.
    pub name_suffix: Option<String>,
    /// Appended to `patches`.
    pub patches: Vec<PatchOverride>,
    /// Merged into `images` by name.
    pub images: Vec<ImageOverride>,
    /// Appended to `components`.
    pub components: Vec<String>,
    /// Leaves out components that are not there.
    pub ignore_missing_components: bool,
    /// Replaces `buildMetadata`, unless empty.
    pub build_metadata: Vec<String>,
}

/// One of `spec.patches`.
#[derive(Debug, Clone, Default)]
pub struct PatchOverride {
    /// A strategic merge or JSON patch.
    pub patch: String,
    /// Which resources it is for.
    pub target: Option<SelectorOverride>,
}

/// Which resources a patch is for.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct SelectorOverride {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
    pub annotation_selector: String,
    pub label_selector: String,
}

/// One of `spec.images`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct ImageOverride {
    pub name: String,
    pub new_name: String,
    pub new_tag: String,
    pub digest: String,
}

/// Fields of a kustomization file; what else the root file holds disappears, as it does in Flux.
const FIELDS: [&str; 34] = [
    "apiVersion",
    "kind",
    "metadata",
    "openapi",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "commonAnnotations",
    "patchesStrategicMerge",
    "patchesJson6902",
    "patches",
    "images",
    "imageTags",
    "replacements",
    "replicas",
    "vars",
    "sortOptions",
    "resources",
    "components",
    "crds",
    "bases",
    "configMapGenerator",
    "secretGenerator",
    "helmGlobals",
    "helmCharts",
    "helmChartInflationGenerator",
    "generatorOptions",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "buildMetadata",
];

/// The root file's text with the overlay merged in. `keep` says whether a path stays, `exists` whether a component is there.
pub(super) fn merge(
    text: &str,
    action: Action,
    overlay: &Overlay,
    meter: &Meter<'_>,
    keep: impl Fn(&str) -> bool,
    exists: impl Fn(&str) -> bool,
) -> Result<String, Error> {
    let invalid = |error: BuildError| Error::Generate(error);
    let root = meter.parse(text).map_err(Error::Generate)?.into_iter().next();
    let root = root.filter(|root| !root.is_null()).unwrap_or_else(Node::mapping);
    if !root.is_mapping() {
        return Err(invalid(BuildError::Invalid("the kustomization file is not a mapping".into())));
    }
    let mut file = known_fields(&root);
    if action == Action::Unchanged
        && file.get("resources").is_none_or(|resources| resources.items().is_empty())
    {
        file.insert("buildMetadata", strings(&["originAnnotations".to_owned()]));
    }
    for field in ["resources", "components", "crds"] {
        if let Some(entries) = file.get_mut(field).and_then(Node::items_mut) {
            entries.retain(|entry| entry.as_str().is_none_or(|entry| entry.contains("://") || keep(entry)));
        }
    }
    for (field, value) in [
        ("namespace", &overlay.target_namespace),
        ("namePrefix", &overlay.name_prefix),
        ("nameSuffix", &overlay.name_suffix),
    ] {
        if let Some(value) = value {
            file.insert(field, Node::string(value));
        }
    }
    append(&mut file, "patches", overlay.patches.iter().map(patch));
    let mut components = Vec::new();
    for component in &overlay.components {
        if !is_local_relative(component) {
            return Err(Error::RemoteComponent(component.clone()));
        }
        if exists(component) || !overlay.ignore_missing_components {
            components.push(Node::string(component));
        }
    }
    append(&mut file, "components", components.into_iter());
    overlay.images.iter().for_each(|image| merge_image(&mut file, image));
    if !overlay.build_metadata.is_empty() {
        file.insert("buildMetadata", strings(&overlay.build_metadata));
    }
    Ok(yaml::emit(&file))
}

/// The entries whose keys mean something, spelled as they should be; the last of several of one name counts.
fn known_fields(root: &Node) -> Node {
    let mut file = Node::mapping();
    for (key, value) in root.entries() {
        let text = key.as_str().unwrap_or_default();
        let known = FIELDS.iter().find(|field| field.eq_ignore_ascii_case(text));
        if let Some(field) = known {
            file.insert(field, value.clone());
        }
    }
    for (field, default) in
        [("kind", crate::kustomization::KIND), ("apiVersion", crate::kustomization::API_VERSION)]
    {
        if file.get(field).is_none_or(Node::is_null) {
            file.insert(field, Node::string(default));
        }
    }
    file
}

fn strings(texts: &[String]) -> Node {
    Node::sequence_of(texts.iter().map(Node::string))
}

fn append(file: &mut Node, field: &str, items: impl Iterator<Item = Node>) {
    for item in items {
        if !file.get(field).is_some_and(Node::is_sequence) {
            file.insert(field, Node::sequence());
        }
        if let Some(list) = file.get_mut(field).and_then(Node::items_mut) {
            list.push(item);
        }
    }
}

fn mapping_of_texts(pairs: &[(&str, &String)]) -> Node {
    let pairs = pairs.iter().filter(|(_, text)| !text.is_empty());
    Node::mapping_of(pairs.map(|(key, text)| (*key, Node::string(text))))
}

fn patch(patch: &PatchOverride) -> Node {
    let mut node = mapping_of_texts(&[("patch", &patch.patch)]);
    if let Some(target) = &patch.target {
        let target = mapping_of_texts(&[
            ("group", &target.group),
            ("version", &target.version),
            ("kind", &target.kind),
            ("name", &target.name),
            ("namespace", &target.namespace),
            ("annotationSelector", &target.annotation_selector),
            ("labelSelector", &target.label_selector),
        ]);
        node.insert("target", target);
    }
    node
}

/// A new name replaces the one in the file; a tag and a digest replace both of its.
fn merge_image(file: &mut Node, image: &ImageOverride) {
    let known = file.get_mut("images").and_then(Node::items_mut).into_iter().flatten();
    let known = known.into_iter().find(|known| crate::meta::text(known, "name") == image.name);
    let Some(known) = known else {
        let image = mapping_of_texts(&[
            ("name", &image.name),
            ("newName", &image.new_name),
            ("newTag", &image.new_tag),
            ("digest", &image.digest),
        ]);
        return append(file, "images", std::iter::once(image));
    };
    if !image.new_name.is_empty() {
        known.insert("newName", Node::string(&image.new_name));
    }
    if image.new_tag.is_empty() && image.digest.is_empty() {
        return;
    }
    for (field, text) in [("newTag", &image.new_tag), ("digest", &image.digest)] {
        known.remove(field);
        if !text.is_empty() {
            known.insert(field, Node::string(text));
        }
    }
}

/// True for a path below the kustomization, false for URLs and absolute paths.
fn is_local_relative(path: &str) -> bool {
    const REMOTE: [&str; 8] =
        ["git::", "gh:", "ssh://", "https://", "http://", "git@", "github.com:", "github.com/"];
    let lower = path.to_lowercase();
    let remote = REMOTE.iter().any(|prefix| prefix.len() < path.len() && lower.starts_with(prefix));
    let absolute =
        path.starts_with('/') || lower.strip_prefix("file://").is_some_and(|rest| rest.starts_with('/'));
    !remote && !absolute
}
