//! The objects of a manifest (`pkg/kube` of Helm).

mod build;
mod delete;
mod ownership;
mod patch;
mod patch_types;
mod send;
mod update;

use std::collections::HashMap;
use std::fmt;

use apply::mapper::RestMapping;
use apply::object::ObjectId;
use apply::request::Target;
use kube::core::GroupVersionKind;
use serde_json::Value;

pub use build::{BuildError, DocumentError};
pub use delete::Propagation;
pub use ownership::{AdoptionError, Metadata, OwnershipError};
pub use patch::PatchError;
pub use send::SendError;
pub use update::Joined;

pub(crate) use build::{build, manifests};
pub(crate) use delete::delete_all;
pub(crate) use ownership::{conflicting, existing, owned_alone};
pub(crate) use send::Method;
pub(crate) use update::{KEEP, POLICY, Updating, create_all, update_all};

/// An object of a manifest, and where it is served.
#[derive(Clone)]
pub(crate) struct Resource {
    /// Its namespace is filled in; empty for kinds without one.
    pub id: ObjectId,
    pub gvk: GroupVersionKind,
    pub mapped: RestMapping,
    pub object: Value,
    /// What the API server answered when it was written last.
    pub live: Option<Value>,
}

impl fmt::Debug for Resource {
    /// The content may be a Secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resource").field(&self.id).finish()
    }
}

impl Resource {
    pub(crate) fn target(&self) -> Target<'_> {
        Target { mapped: &self.mapped, namespace: &self.id.namespace, name: &self.id.name }
    }

    /// Drops its content: who waits for it needs none.
    pub(crate) fn forget(&mut self) {
        self.object = Value::Null;
        self.live = None;
    }

    /// Its namespace, name and kind as the log has them.
    pub(crate) fn named(&self) -> [(&'static str, Value); 3] {
        let ObjectId { namespace, name, kind, .. } = &self.id;
        [("namespace", namespace), ("name", name), ("kind", kind)]
            .map(|(key, text)| (key, text.as_str().into()))
    }

    /// As Go prints it: `namespace/name group/version, Kind=Kind`.
    pub(crate) fn described(&self) -> String {
        let GroupVersionKind { group, version, kind } = &self.gvk;
        format!("{}/{} {group}/{version}, Kind={kind}", self.id.namespace, self.id.name)
    }
}

/// Objects by what they are, whatever the version in which they are asked for; of several that are the same, the first.
pub(crate) type ById<'a> = HashMap<&'a ObjectId, &'a Resource>;

pub(crate) fn by_id(resources: &[Resource]) -> ById<'_> {
    resources.iter().rev().map(|resource| (&resource.id, resource)).collect()
}

/// The runs of objects of one kind, in their order: those of one run are written at the same time.
pub(crate) fn groups(resources: &mut [Resource]) -> impl Iterator<Item = &mut [Resource]> {
    resources.chunk_by_mut(|a, b| a.id.kind == b.id.kind)
}
