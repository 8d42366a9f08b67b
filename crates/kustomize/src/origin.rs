//! Where resources come from, for `buildMetadata`.

use yaml::Node;

use crate::meta;
use crate::remote::RepoSpec;
use crate::resource::Resource;
use crate::tree::path;

/// Holds where a resource comes from.
pub(crate) const ANNOTATION: &str = "config.kubernetes.io/origin";
/// Holds what has changed a resource.
pub(crate) const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";

/// A file or a plugin that resources come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    path: String,
    repo: String,
    reference: String,
    configured_in: String,
    configured_by: Configured,
}

#[derive(Debug, Clone, Default)]
struct Configured {
    api_version: String,
    kind: String,
    name: String,
    namespace: String,
}

impl Origin {
    /// One step further: a file, a directory, or a repository.
    pub fn append(&self, step: &str) -> Self {
        let mut origin = self.clone();
        let step = match RepoSpec::parse(step) {
            Ok(spec) => {
                origin.repo = spec.clone_url();
                origin.reference = spec.reference.clone();
                origin.path.clear();
                spec.path.clone()
            }
            Err(_) => step.to_owned(),
        };
        origin.path = match (origin.path.is_empty(), step.is_empty()) {
            (true, true) => String::new(),
            (true, false) => path::clean(&step),
            (false, _) => path::clean(&format!("{}/{step}", origin.path)),
        };
        origin
    }

    /// A built-in generator or transformer of the kustomization file here.
    pub fn of_builtin(&self, file: &str, kind: &str) -> Self {
        Self {
            repo: self.repo.clone(),
            reference: self.reference.clone(),
            configured_in: self.append(file).path,
            configured_by: Configured {
                api_version: "builtin".into(),
                kind: kind.into(),
                ..Configured::default()
            },
            path: String::new(),
        }
    }

    /// What a plugin's configuration brings forth; nothing when nobody noted where the configuration is from.
    pub fn of_plugin(config: &Resource) -> Option<Self> {
        let noted = meta::annotation(&config.node, ANNOTATION)?;
        let noted = yaml::parse(noted, &yaml::Limits::default())
            .ok()?
            .into_iter()
            .next()
            .unwrap_or_else(Node::mapping);
        Some(Self {
            repo: meta::text(&noted, "repo").to_owned(),
            reference: meta::text(&noted, "ref").to_owned(),
            configured_in: meta::text(&noted, "path").to_owned(),
            configured_by: Configured {
                api_version: config.api_version().to_owned(),
                kind: config.kind().to_owned(),
                name: config.name().to_owned(),
                namespace: config.namespace().to_owned(),
            },
            path: String::new(),
        })
    }

    fn to_node(&self) -> Node {
        let mut node = Node::mapping();
        let by = &self.configured_by;
        for (key, text) in [
            ("path", &self.path),
            ("repo", &self.repo),
            ("ref", &self.reference),
            ("configuredIn", &self.configured_in),
        ] {
            insert_text(&mut node, key, text);
        }
        let mut configured = Node::mapping();
        for (key, text) in [
            ("apiVersion", &by.api_version),
            ("kind", &by.kind),
            ("name", &by.name),
            ("namespace", &by.namespace),
        ] {
            insert_text(&mut configured, key, text);
        }
        if !configured.entries().is_empty() {
            node.insert("configuredBy", configured);
        }
        node
    }

    pub fn to_text(&self) -> String {
        yaml::emit(&self.to_node())
    }
}

fn insert_text(node: &mut Node, key: &str, text: &str) {
    if !text.is_empty() {
        node.insert(key, Node::string(text));
    }
}

/// Notes a transformer on a resource: as its origin if it has none, else among its transformations.
pub(crate) fn note_transformer(resource: &mut Resource, origin: &Origin) {
    meta::normalize_string_map(&mut resource.node, "annotations");
    if meta::annotation(&resource.node, ANNOTATION).is_none() {
        meta::set_annotation(&mut resource.node, ANNOTATION, &origin.to_text());
        return;
    }
    let noted = meta::annotation(&resource.node, TRANSFORMATIONS).unwrap_or_default();
    let noted = yaml::parse(noted, &yaml::Limits::default()).ok().and_then(|nodes| nodes.into_iter().next());
    let mut list = noted.filter(Node::is_sequence).unwrap_or_else(Node::sequence);
    if let Some(items) = list.items_mut() {
        items.push(origin.to_node());
    }
    meta::set_annotation(&mut resource.node, TRANSFORMATIONS, &yaml::emit(&list));
}
