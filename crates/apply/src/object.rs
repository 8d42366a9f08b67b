//! Identity of Kubernetes objects: the desired object as read from the build, and the ids used in messages and inventories.

use std::fmt;
use std::sync::Arc;

use kube::core::GroupVersionKind;
use serde_json::Value;

/// What an inventory remembers an object by. The version is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind, as written in manifests.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectId {
    /// How messages name the object: `Kind/namespace/name`, or `Kind/name` without a namespace.
    pub fn subject(&self) -> String {
        if self.namespace.is_empty() {
            format!("{}/{}", self.kind, self.name)
        } else {
            format!("{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }

    /// The inventory id `<namespace>_<name>_<group>_<Kind>`. Names of RBAC kinds may hold colons, written as `__`.
    pub fn inventory_id(&self) -> String {
        let rbac = self.group == "rbac.authorization.k8s.io"
            && matches!(self.kind.as_str(), "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding");
        let name = if rbac { self.name.replace(':', "__") } else { self.name.clone() };
        format!("{}_{}_{}_{}", self.namespace, name, self.group, self.kind)
    }

    /// Reads an inventory id. `None` if it is not one.
    pub fn parse_inventory_id(id: &str) -> Option<Self> {
        let (namespace, rest) = id.split_once('_')?;
        let (rest, kind) = rest.rsplit_once('_')?;
        let (name, group) = rest.rsplit_once('_')?;
        if name.is_empty() || kind.is_empty() {
            return None;
        }
        Some(Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.replace("__", ":"),
        })
    }

    /// The full kind at a version.
    pub fn gvk(&self, version: &str) -> GroupVersionKind {
        GroupVersionKind::gvk(&self.group, version, &self.kind)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject())
    }
}

/// Splits `apiVersion` into group and version.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// A string below the object's `metadata`, or the empty string.
pub(crate) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object.pointer("/metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// A label, if it is a string.
pub(crate) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}

/// An annotation, if it is a string.
pub(crate) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

/// A built value that is no Kubernetes object.
#[derive(Debug, thiserror::Error)]
#[error("failed to decode Kubernetes apiVersion, kind and name from: {object}{}: {cause}", in_file(.source_file.as_ref()))]
pub struct NotAnObject {
    /// What is known of the object: `Kind.apiVersion/name`.
    object: String,
    /// The field at fault and what is wrong with it.
    cause: String,
    source_file: Option<Arc<str>>,
}

fn in_file(file: Option<&Arc<str>>) -> String {
    file.map(|file| format!(" in {file}")).unwrap_or_default()
}

/// What keeps a value from being a text with content.
fn fault_of_text(value: Option<&Value>) -> Option<&'static str> {
    match value {
        Some(Value::String(text)) if text.is_empty() => Some("is empty"),
        Some(Value::String(_)) => None,
        None | Some(Value::Null) => Some("is missing"),
        Some(Value::Bool(_)) => Some("is a boolean, not a string"),
        Some(Value::Number(_)) => Some("is a number, not a string"),
        Some(Value::Array(_)) => Some("is a list, not a string"),
        Some(Value::Object(_)) => Some("is an object, not a string"),
    }
}

/// A desired object and where it came from. It has `apiVersion`, `kind` and `metadata.name`.
#[derive(Clone, PartialEq)]
pub struct Manifest {
    value: Value,
    /// The file the object was built from, for messages.
    pub source_file: Option<Arc<str>>,
}

impl fmt::Debug for Manifest {
    /// The content may be a Secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Manifest").field(&self.id()).field(&self.source_file).finish()
    }
}

impl Manifest {
    /// Takes a built object.
    ///
    /// # Errors
    /// If `apiVersion`, `kind` or `metadata.name` is missing or no string.
    pub fn new(value: Value, source_file: Option<Arc<str>>) -> Result<Self, NotAnObject> {
        let fields = [("/apiVersion", "apiVersion"), ("/kind", "kind"), ("/metadata/name", "metadata.name")];
        let fault = fields.iter().find_map(|(pointer, field)| {
            fault_of_text(value.pointer(pointer)).map(|fault| format!("{field} {fault}"))
        });
        let Some(cause) = fault else { return Ok(Self { value, source_file }) };
        let part = |pointer| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let object = format!("{}.{}/{}", part("/kind"), part("/apiVersion"), part("/metadata/name"));
        Err(NotAnObject { object, cause, source_file })
    }

    /// The object itself.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The object itself, to change it.
    pub(crate) fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }

    /// Digest of the whole object, to tell whether it is the one that was applied before.
    pub fn digest(&self) -> u64 {
        crate::hash::json(&self.value)
    }

    /// Kind.
    pub fn kind(&self) -> &str {
        self.value.get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    /// API group, empty for the core group.
    pub fn group(&self) -> &str {
        split_api_version(self.api_version()).0
    }

    /// `apiVersion` as written.
    pub fn api_version(&self) -> &str {
        self.value.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
    }

    /// Name.
    pub fn name(&self) -> &str {
        meta(&self.value, "name")
    }

    /// Namespace as written; the scope of the kind is for discovery to say.
    pub fn namespace(&self) -> &str {
        meta(&self.value, "namespace")
    }

    /// Full kind.
    pub fn gvk(&self) -> GroupVersionKind {
        let (group, version) = split_api_version(self.api_version());
        GroupVersionKind::gvk(group, version, self.kind())
    }

    /// Id with the namespace as written.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            group: self.group().to_owned(),
            kind: self.kind().to_owned(),
            namespace: self.namespace().to_owned(),
            name: self.name().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    fn id(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectId {
        ObjectId { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    #[test]
    fn inventory_ids_are_written_as_upstream_and_read_back() {
        for (object, text) in [
            (id("", "Namespace", "", "apps"), "_apps__Namespace"),
            (id("", "Service", "default", "podinfo"), "default_podinfo__Service"),
            (id("apps", "Deployment", "default", "podinfo"), "default_podinfo_apps_Deployment"),
            (
                id("rbac.authorization.k8s.io", "ClusterRole", "", "system:node"),
                "_system__node_rbac.authorization.k8s.io_ClusterRole",
            ),
        ] {
            assert_eq!(object.inventory_id(), text);
            assert_eq!(ObjectId::parse_inventory_id(text), Some(object));
        }
    }

    #[test]
    fn a_text_that_is_no_inventory_id_is_refused() {
        for text in ["", "a", "a_b", "a_b_c", "a__g_Kind", "a_b_g_"] {
            assert_eq!(ObjectId::parse_inventory_id(text), None, "{text}");
        }
    }

    #[test]
    fn colons_outside_rbac_stay_as_they_are() {
        assert_eq!(id("", "Secret", "a", "x:y").inventory_id(), "a_x:y__Secret");
    }

    #[test]
    fn a_manifest_does_not_print_its_content() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"k": "hunter2"}});
        let printed = format!("{:?}", Manifest::new(secret, None).unwrap());
        assert!(printed.contains("Secret") && !printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn a_manifest_needs_version_kind_and_name() {
        let good = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "b"}});
        let m = Manifest::new(good, None).unwrap();
        assert_eq!(m.id(), id("apps", "Deployment", "b", "a"));
        assert_eq!(m.id().subject(), "Deployment/b/a");
        let named = |name: Value| json!({"apiVersion": "v1", "kind": "A", "metadata": {"name": name}});
        for (bad, object, cause) in [
            (json!(1), "./", "apiVersion is missing"),
            (json!({"apiVersion": true, "kind": "A"}), "A./", "apiVersion is a boolean, not a string"),
            (json!({"apiVersion": "v1", "kind": ""}), ".v1/", "kind is empty"),
            (json!({"apiVersion": "v1", "kind": "A", "metadata": []}), "A.v1/", "metadata.name is missing"),
            (named(json!(3)), "A.v1/", "metadata.name is a number, not a string"),
            (named(json!(["a"])), "A.v1/", "metadata.name is a list, not a string"),
            (named(json!({"a": 1})), "A.v1/", "metadata.name is an object, not a string"),
        ] {
            let error = Manifest::new(bad, Some("app/a.yaml".into())).unwrap_err().to_string();
            let start = "failed to decode Kubernetes apiVersion, kind and name from: ";
            assert_eq!(error, format!("{start}{object} in app/a.yaml: {cause}"));
        }
    }
}
