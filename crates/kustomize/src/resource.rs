//! One Kubernetes object and what the build remembers of it.

use std::sync::Arc;

use smol_str::SmolStr;
use yaml::{Node, Resolver};

use crate::error::{Context, Result};
use crate::meta;
use crate::resid::{Gvk, ResId};
use crate::schema::Schema;

/// One object of the output.
#[derive(Debug, Clone)]
pub struct Resource {
    pub(crate) node: Node,
    pub(crate) file: Option<Arc<str>>,
    /// Names it had before, oldest first.
    pub(crate) previous: Vec<Previous>,
    pub(crate) prefixes: Vec<SmolStr>,
    pub(crate) suffixes: Vec<SmolStr>,
    pub(crate) behavior: Behavior,
    pub(crate) needs_hash: bool,
    /// What this patch may do to its target.
    pub(crate) allow_name_change: bool,
    pub(crate) allow_kind_change: bool,
    /// Vars that read from it.
    pub(crate) vars: Vec<SmolStr>,
}

/// A former name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Previous {
    pub kind: SmolStr,
    pub name: SmolStr,
    /// `default` or `_non_namespaceable_` where it had none.
    pub namespace: SmolStr,
}

/// What a generated resource does to one that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Behavior {
    #[default]
    Unspecified,
    Create,
    Replace,
    Merge,
}

impl Behavior {
    /// Anything unknown counts as unspecified.
    pub fn parse(text: &str) -> Self {
        match text {
            "create" => Self::Create,
            "replace" => Self::Replace,
            "merge" => Self::Merge,
            _ => Self::Unspecified,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Merge => "merge",
        }
    }
}

/// What callers see.
impl Resource {
    /// `apiVersion`, or nothing.
    pub fn api_version(&self) -> &str {
        meta::text(&self.node, "apiVersion")
    }

    /// `kind`, or nothing.
    pub fn kind(&self) -> &str {
        meta::text(&self.node, "kind")
    }

    /// `metadata.name`, or nothing.
    pub fn name(&self) -> &str {
        meta::metadata_text(&self.node, "name")
    }

    /// `metadata.namespace`, or nothing.
    pub fn namespace(&self) -> &str {
        meta::metadata_text(&self.node, "namespace")
    }

    /// The file it was read from or the kustomization file that generated it, as a path in the tree.
    pub fn origin_file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The object.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The object, by value.
    pub fn into_node(self) -> Node {
        self.node
    }

    /// The object as it reaches the API server: kustomize's reading of the scalars, which its output text keeps.
    ///
    /// # Errors
    /// Duplicate keys, keys that are no strings, numbers that JSON does not have.
    pub fn to_json(&self) -> Result<serde_json::Value> {
        self.node.to_json(Resolver::KustomizeV3).context(|| self.describe())
    }

    /// The resource with its file, for messages.
    pub(crate) fn describe(&self) -> String {
        let id = self.id_unscoped();
        match &self.file {
            Some(file) => format!("{id} from '{file}'"),
            None => id.to_string(),
        }
    }
}

/// Identity.
impl Resource {
    pub(crate) fn new(node: Node) -> Self {
        Self {
            node,
            file: None,
            previous: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            behavior: Behavior::Unspecified,
            needs_hash: false,
            allow_name_change: false,
            allow_kind_change: false,
            vars: Vec::new(),
        }
    }

    pub(crate) fn gvk(&self) -> Gvk {
        Gvk::new(self.api_version(), self.kind())
    }

    /// The identity it has now.
    pub(crate) fn id(&self, schema: &Schema) -> ResId {
        ResId {
            cluster_scoped: schema.is_cluster_scoped(self.api_version(), self.kind()),
            ..self.id_unscoped()
        }
    }

    /// The identity it has now, leaving open whether the kind is cluster-scoped.
    pub(crate) fn id_unscoped(&self) -> ResId {
        ResId {
            gvk: self.gvk(),
            name: self.name().into(),
            namespace: self.namespace().into(),
            cluster_scoped: false,
        }
    }

    /// The identities it had, oldest first. Group and version are today's.
    pub(crate) fn previous_ids(&self) -> impl Iterator<Item = ResId> + '_ {
        let gvk = self.gvk();
        self.previous.iter().map(move |previous| ResId {
            gvk: Gvk { kind: previous.kind.clone(), ..gvk.clone() },
            name: previous.name.clone(),
            namespace: previous.namespace.clone(),
            cluster_scoped: false,
        })
    }

    /// The identity it was loaded with.
    pub(crate) fn original_id(&self, schema: &Schema) -> ResId {
        self.previous_ids().next().unwrap_or_else(|| self.id(schema))
    }

    /// Remembers today's name before it changes.
    pub(crate) fn store_previous_id(&mut self, schema: &Schema) {
        let id = self.id(schema);
        let namespace = SmolStr::new(id.effective_namespace());
        self.previous.push(Previous { kind: id.gvk.kind, name: id.name, namespace });
    }

    /// True when kustomize would keep notes about it in annotations by now; patches can tell.
    pub(crate) fn has_build_notes(&self) -> bool {
        !self.previous.is_empty() || !self.prefixes.is_empty() || !self.suffixes.is_empty() || self.needs_hash
    }

    /// Null, an empty mapping or an empty sequence: what patches leave of a deleted resource.
    pub(crate) fn is_empty(&self) -> bool {
        meta::is_empty(&self.node)
    }

    /// Moves into `self`, freshly generated, what `other` has already: names, labels, annotations, memory.
    pub(crate) fn inherit_metadata(&mut self, other: &Resource) {
        meta::merge_string_map(&mut self.node, "labels", &other.node);
        meta::merge_string_map(&mut self.node, "annotations", &other.node);
        meta::set_name(&mut self.node, other.name());
        meta::set_namespace(&mut self.node, other.namespace());
        self.previous.clone_from(&other.previous);
        self.prefixes.clone_from(&other.prefixes);
        self.suffixes.clone_from(&other.suffixes);
        self.vars.clone_from(&other.vars);
        self.behavior = other.behavior;
        self.needs_hash = self.needs_hash && other.needs_hash;
        if self.file.is_none() {
            self.file.clone_from(&other.file);
        }
    }
}
