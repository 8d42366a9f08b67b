//! Rendered documents on their way through a post-renderer and back to the files that they are from (`annotateAndMerge` and
//! `splitAndDeannotate` of `pkg/action/action.go`).
//!
//! A post-renderer takes one stream of documents. An annotation tells of each which file it is from, and is removed behind.

use std::collections::BTreeMap;

use yaml::{Kind, Limits, Node};

use crate::manifests::{self, Hook, Manifest, ManifestError, split};
use crate::tree::is_partial;

/// The annotation that names the file.
const FILE: &str = "postrenderer.helm.sh/postrender-filename";

/// Changes documents before they are applied.
pub trait PostRenderer: Sync {
    /// Takes a stream of documents, and gives the changed one.
    ///
    /// # Errors
    /// What is told to the user.
    fn run(&self, documents: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;
}

/// What of a chart goes through the post-renderer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PostRenderStrategy {
    /// Manifests and hooks in one stream.
    #[default]
    Combined,
    /// Hooks in one stream, manifests in another: an object may be in both.
    Separate,
    /// Manifests alone.
    NoHooks,
}

/// Why a document is no object, in the words of kyaml.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no YAML.
    #[error("MalformedYAMLError")]
    Yaml(#[source] yaml::Error),
    /// It is a list or a scalar. What is in it is not told: it may be a secret.
    #[error("wrong node kind: expected MappingNode but got {0}")]
    Kind(&'static str),
}

/// Why documents did not come through a post-renderer, in the words of Helm.
#[derive(Debug, thiserror::Error)]
pub enum PostRenderError {
    /// What a template made cannot be read.
    #[error("error merging {group}: parsing {file}")]
    Merge {
        /// Which documents.
        group: &'static str,
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        source: DocumentError,
    },
    /// The post-renderer failed.
    #[error("error while running post render on {group}")]
    Run {
        /// Which documents.
        group: &'static str,
        /// What it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What the post-renderer gave cannot be read.
    #[error("error while parsing post rendered output{}: error parsing YAML", .group.map(|group| format!(" for {group}")).unwrap_or_default())]
    Output {
        /// Which documents, if not all.
        group: Option<&'static str>,
        /// What is wrong.
        #[source]
        source: DocumentError,
    },
    /// What a template made is no object.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Sends the documents of files through a post-renderer; gives the new files.
///
/// # Errors
/// See [`PostRenderError`].
pub(crate) fn run(
    files: &BTreeMap<String, Vec<u8>>,
    renderer: &dyn PostRenderer,
    strategy: PostRenderStrategy,
    is_stopped: &(dyn Fn() -> bool + Sync),
) -> Result<BTreeMap<String, Vec<u8>>, PostRenderError> {
    let bytes = |files: BTreeMap<String, String>| -> BTreeMap<String, Vec<u8>> {
        files.into_iter().map(|(file, text)| (file, text.into_bytes())).collect()
    };
    if strategy == PostRenderStrategy::Combined {
        let texts =
            files.iter().map(|(file, text)| (file.clone(), String::from_utf8_lossy(text).into_owned()));
        return through(&texts.collect(), renderer, Group { merge: "manifests", run: "files", output: None })
            .map(bytes);
    }
    let borrowed = files.iter().map(|(file, text)| (file.as_str(), text.as_slice()));
    let (manifests, hooks) = manifests::sort(borrowed, 1, is_stopped)?;
    let hooks = grouped(hooks.into_iter().map(|Hook { path, manifest, .. }| (path, manifest)));
    let manifests = grouped(manifests.into_iter().map(|Manifest { name, content, .. }| (name, content)));
    let hooks = match strategy {
        PostRenderStrategy::NoHooks => hooks,
        _ => through(&hooks, renderer, Group { merge: "hooks", run: "hooks", output: Some("hooks") })?,
    };
    let own = Group { merge: "manifests", run: "manifests", output: Some("manifests") };
    let manifests = through(&manifests, renderer, own)?;
    Ok(bytes(grouped(hooks.into_iter().chain(manifests))))
}

/// What messages call documents that are sent together.
#[derive(Clone, Copy)]
struct Group {
    merge: &'static str,
    run: &'static str,
    output: Option<&'static str>,
}

/// The texts of each file, one after the other.
fn grouped(texts: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (file, text) in texts {
        match files.get_mut(&file) {
            Some(before) => {
                before.push_str("\n---\n");
                before.push_str(&text);
            }
            None => drop(files.insert(file, text)),
        }
    }
    files
}

fn through(
    files: &BTreeMap<String, String>,
    renderer: &dyn PostRenderer,
    group: Group,
) -> Result<BTreeMap<String, String>, PostRenderError> {
    if files.is_empty() && group.output.is_some() {
        return Ok(BTreeMap::new());
    }
    let mut documents = Vec::new();
    for (file, text) in files.iter().filter(|(file, _)| !is_partial(file)) {
        for document in split(text) {
            let read = objects(document);
            let read = read.map_err(|source| PostRenderError::Merge {
                group: group.merge,
                file: file.clone(),
                source,
            })?;
            documents.extend(read.into_iter().map(|mut node| {
                annotate(&mut node, file);
                node
            }));
        }
    }
    let output = renderer.run(&yaml::emit_all(&documents));
    let output = output.map_err(|source| PostRenderError::Run { group: group.run, source })?;
    let documents =
        objects(&output).map_err(|source| PostRenderError::Output { group: group.output, source })?;
    let mut by_file: BTreeMap<String, Vec<Node>> = BTreeMap::new();
    for (index, mut node) in documents.into_iter().enumerate() {
        let file = take_annotation(&mut node).filter(|file| !file.is_empty()).unwrap_or_else(|| match group
            .output
        {
            Some(group) => format!("generated-by-postrender-{group}-{index}.yaml"),
            None => format!("generated-by-postrender-{index}.yaml"),
        });
        by_file.entry(file).or_default().push(node);
    }
    Ok(by_file.into_iter().map(|(file, nodes)| (file, yaml::emit_all(&nodes))).collect())
}

/// The objects of a text. One that is a list alone stands for its items.
fn objects(text: &str) -> Result<Vec<Node>, DocumentError> {
    let parsed = yaml::parse_unexpanded(&text.replace("\r\n", "\n"), &Limits::default());
    let (documents, _) = parsed.map_err(DocumentError::Yaml)?;
    let mut documents: Vec<Node> = documents.into_iter().filter(|node| !node.is_null()).collect();
    if let [list] = documents.as_mut_slice() {
        let is_list = matches!(list.get("kind").and_then(Node::as_str), Some("List" | "ResourceList"));
        let items = list.get_mut("items").filter(|_| is_list);
        if let Some(items) = items.and_then(Node::items_mut) {
            documents = std::mem::take(items);
        }
    }
    let other = documents.iter().find_map(|node| match node.kind() {
        Kind::Mapping => None,
        Kind::Sequence => Some("SequenceNode"),
        _ => Some("ScalarNode"),
    });
    other.map_or(Ok(documents), |kind| Err(DocumentError::Kind(kind)))
}

fn annotate(node: &mut Node, file: &str) {
    let metadata = child(node, "metadata");
    if let Some(annotations) = metadata.and_then(|metadata| child(metadata, "annotations")) {
        annotations.insert(FILE, Node::string(file));
    }
}

/// The mapping in a field, which is made if it is not there.
fn child<'n>(node: &'n mut Node, field: &str) -> Option<&'n mut Node> {
    if node.get(field).is_none_or(Node::is_null) {
        node.insert(field, Node::mapping());
    }
    node.get_mut(field).filter(|node| node.is_mapping())
}

/// The file that the annotation names, which is removed, and with it what would be empty.
fn take_annotation(node: &mut Node) -> Option<String> {
    let annotations = node.get_path_mut(&["metadata", "annotations"])?;
    let file = annotations.remove(FILE)?.as_str().map(str::to_owned);
    if annotations.entries().is_empty() {
        let metadata = node.get_mut("metadata")?;
        metadata.remove("annotations");
        if metadata.entries().is_empty() {
            node.remove("metadata");
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails;

    impl PostRenderer for Fails {
        fn run(&self, _: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
            Err("no reason".into())
        }
    }

    fn failure(text: &str, strategy: PostRenderStrategy) -> String {
        let files = BTreeMap::from([("c/templates/a.yaml".to_owned(), text.as_bytes().to_vec())]);
        let error = run(&files, &Fails, strategy, &|| false).err().map(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {source}")
        });
        error.unwrap_or_default()
    }

    #[test]
    fn failures_say_where_and_show_no_content() {
        let combined = PostRenderStrategy::Combined;
        let merging = "error merging manifests: parsing c/templates/a.yaml: wrong node kind: expected MappingNode but got";
        assert_eq!(failure("hunter2\n", combined), format!("{merging} ScalarNode"));
        assert_eq!(failure("- hunter2\n", combined), format!("{merging} SequenceNode"));
        assert_eq!(failure("kind: A\n", combined), "error while running post render on files: no reason");
        let hook = "kind: A\nmetadata: {annotations: {helm.sh/hook: test}}\n";
        assert_eq!(
            failure(hook, PostRenderStrategy::Separate),
            "error while running post render on hooks: no reason"
        );
        assert_eq!(failure(hook, PostRenderStrategy::NoHooks), "");
    }
}
