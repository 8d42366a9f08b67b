//! How resources are named.

use std::fmt;
use std::hash::{Hash, Hasher};

use smol_str::SmolStr;

/// Stands for the namespace of what has none.
const NOT_A_NAMESPACE: &str = "_non_namespaceable_";
const DEFAULT_NAMESPACE: &str = "default";

/// Group, version and kind. As a selector, an empty part matches anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Gvk {
    pub group: SmolStr,
    pub version: SmolStr,
    pub kind: SmolStr,
}

impl Gvk {
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = split_api_version(api_version);
        Self { group: group.into(), version: version.into(), kind: kind.into() }
    }

    /// True when each part that `selector` has is the same here.
    pub fn is_selected_by(&self, selector: &Gvk) -> bool {
        let part = |wanted: &SmolStr, have: &SmolStr| wanted.is_empty() || wanted == have;
        part(&selector.group, &self.group)
            && part(&selector.version, &self.version)
            && part(&selector.kind, &self.kind)
    }

    /// Where the kind stands in kustomize's order of kinds, then a text to compare by.
    pub fn sort_key(&self) -> (i32, String) {
        (kind_rank(&self.kind), self.sort_text())
    }

    pub fn sort_text(&self) -> String {
        let part =
            |text: &SmolStr, none: &str| if text.is_empty() { none.to_owned() } else { text.to_string() };
        format!("{}_{}_{}", part(&self.group, "~G"), part(&self.version, "~V"), part(&self.kind, "~K"))
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part =
            |text: &SmolStr, none: &'static str| if text.is_empty() { none.into() } else { text.clone() };
        write!(
            f,
            "{}.{}.{}",
            part(&self.kind, "[noKind]"),
            part(&self.version, "[noVer]"),
            part(&self.group, "[noGrp]")
        )
    }
}

/// Group and version of an `apiVersion`.
pub(crate) fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Kinds that others need, in the order in which they are needed.
pub(crate) const ORDER_FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

/// Kinds that need others.
pub(crate) const ORDER_LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

fn kind_rank(kind: &str) -> i32 {
    rank_in(kind, &ORDER_FIRST, &ORDER_LAST)
}

/// Negative for kinds in `first`, positive for kinds in `last`, 0 for the rest. The last mention counts, `last` over `first`.
pub(crate) fn rank_in(kind: &str, first: &[impl AsRef<str>], last: &[impl AsRef<str>]) -> i32 {
    let position = |list: &[&str]| list.iter().rposition(|k| *k == kind).and_then(|i| i32::try_from(i).ok());
    let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
    let last: Vec<&str> = last.iter().map(AsRef::as_ref).collect();
    let length = i32::try_from(first.len()).unwrap_or(i32::MAX);
    match (position(&last), position(&first)) {
        (Some(at), _) => 1 + at,
        (None, Some(at)) => at - length,
        (None, None) => 0,
    }
}

/// Identity of a resource within a build. Equality is kustomize's: no namespace is the same as `default`, and what is known
/// to be cluster-scoped has no namespace whatever it says.
#[derive(Debug, Clone)]
pub(crate) struct ResId {
    pub gvk: Gvk,
    pub name: SmolStr,
    pub namespace: SmolStr,
    pub cluster_scoped: bool,
}

impl ResId {
    pub fn effective_namespace(&self) -> &str {
        match self.namespace.as_str() {
            _ if self.cluster_scoped => NOT_A_NAMESPACE,
            "" => DEFAULT_NAMESPACE,
            namespace => namespace,
        }
    }

    pub fn is_namespace_equal(&self, other: &Self) -> bool {
        self.effective_namespace() == other.effective_namespace()
    }

    /// Equal but for the namespace.
    pub fn is_gvkn_equal(&self, other: &Self) -> bool {
        self.gvk == other.gvk && self.name == other.name
    }
}

impl PartialEq for ResId {
    fn eq(&self, other: &Self) -> bool {
        self.is_gvkn_equal(other) && self.is_namespace_equal(other)
    }
}

impl Eq for ResId {}

impl Hash for ResId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.gvk.kind.hash(state);
        self.effective_namespace().hash(state);
    }
}

impl fmt::Display for ResId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "[noName]" } else { &self.name };
        let namespace = if self.namespace.is_empty() { "[noNs]" } else { &self.namespace };
        write!(f, "{}/{name}.{namespace}", self.gvk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: &str, namespace: &str, cluster_scoped: bool) -> ResId {
        ResId { gvk: Gvk::new("v1", kind), name: "x".into(), namespace: namespace.into(), cluster_scoped }
    }

    #[test]
    fn no_namespace_is_the_default_namespace() {
        assert_eq!(id("Pod", "", false), id("Pod", "default", false));
        assert_ne!(id("Pod", "", false), id("Pod", "other", false));
    }

    #[test]
    fn the_namespace_of_a_cluster_scoped_kind_does_not_count() {
        assert_eq!(id("Node", "a", true), id("Node", "b", true));
    }

    #[test]
    fn ids_print_as_kustomize_prints_them() {
        assert_eq!(id("Pod", "", false).to_string(), "Pod.v1.[noGrp]/x.[noNs]");
    }

    #[test]
    fn namespaces_rank_before_the_unranked_and_webhooks_after() {
        assert!(kind_rank("Namespace") < kind_rank("Secret"));
        assert!(kind_rank("Secret") < kind_rank("Ingress"));
        assert!(kind_rank("Ingress") < kind_rank("ValidatingWebhookConfiguration"));
    }
}
