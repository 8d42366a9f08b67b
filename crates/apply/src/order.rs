//! In which order objects are applied: stages that wait for each other, and kinds that go first inside a stage.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::str::FromStr;

use crate::object::{Manifest, ObjectId};

const FIRST: &[&str] = &[
    "CustomResourceDefinition",
    "Namespace",
    "ClusterRole",
    "ClusterClass",
    "RuntimeClass",
    "PriorityClass",
    "StorageClass",
    "VolumeSnapshotClass",
    "IngressClass",
    "GatewayClass",
    "ClusterRoleBinding",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Service",
    "LimitRange",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Rank of a kind; lower goes first. The group plays no part.
pub fn rank(kind: &str) -> usize {
    if let Some(i) = FIRST.iter().position(|k| *k == kind) {
        i
    } else if let Some(i) = LAST.iter().position(|k| *k == kind) {
        FIRST.len() + 1 + i
    } else {
        FIRST.len()
    }
}

/// Order of objects: rank, then group, kind, namespace, name.
pub fn compare(a: &ObjectId, b: &ObjectId) -> Ordering {
    rank(&a.kind).cmp(&rank(&b.kind)).then_with(|| a.cmp(b))
}

/// What distinguishes the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageKind {
    /// CustomResourceDefinitions, Namespaces and ClusterRoles.
    Definitions,
    /// Kinds whose name ends in `Class`.
    Classes,
    /// Kinds the operator named.
    Custom,
    /// Everything else.
    Rest,
}

impl StageKind {
    /// Whether the objects of the stage must be ready before the next stage begins.
    pub fn waits(self) -> bool {
        matches!(self, Self::Definitions | Self::Classes)
    }
}

/// Objects that are checked together and applied together.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Which stage.
    pub kind: StageKind,
    /// Its objects, sorted; never empty.
    pub manifests: Vec<Manifest>,
}

impl Stage {
    /// Whether applying the stage changes what kinds the server knows.
    pub fn defines_kinds(&self) -> bool {
        self.manifests.iter().any(|m| is_crd(m.group(), m.kind()))
    }
}

/// A kind in a group, written `group/Kind`, or `Kind` for the core group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind {
    /// Group, empty for core.
    pub group: String,
    /// Kind.
    pub kind: String,
}

impl FromStr for GroupKind {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (group, kind) = text.rsplit_once('/').unwrap_or(("", text));
        Ok(Self { group: group.to_owned(), kind: kind.to_owned() })
    }
}

/// Splits sorted objects into stages, leaving out empty ones.
pub fn stages(manifests: Vec<Manifest>, custom: &BTreeSet<GroupKind>) -> Vec<Stage> {
    let mut keyed: Vec<_> = manifests.into_iter().map(|m| (stage_of(&m, custom), m.id(), m)).collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| compare(&a.1, &b.1)));
    let mut stages: Vec<Stage> = Vec::new();
    for (kind, _, manifest) in keyed {
        match stages.last_mut() {
            Some(stage) if stage.kind == kind => stage.manifests.push(manifest),
            _ => stages.push(Stage { kind, manifests: vec![manifest] }),
        }
    }
    stages
}

fn stage_of(m: &Manifest, custom: &BTreeSet<GroupKind>) -> StageKind {
    let (group, kind) = (m.group(), m.kind());
    let is = |g: &str, k: &str| group == g && kind.eq_ignore_ascii_case(k);
    if is_crd(group, kind) || is("", "Namespace") || is("rbac.authorization.k8s.io", "ClusterRole") {
        StageKind::Definitions
    } else if kind.ends_with("Class") {
        StageKind::Classes
    } else if custom.contains(&GroupKind { group: group.to_owned(), kind: kind.to_owned() }) {
        StageKind::Custom
    } else {
        StageKind::Rest
    }
}

pub(crate) fn is_crd(group: &str, kind: &str) -> bool {
    group == "apiextensions.k8s.io" && kind.eq_ignore_ascii_case("CustomResourceDefinition")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    fn m(api_version: &str, kind: &str, name: &str) -> Manifest {
        Manifest::new(json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}), None)
            .unwrap()
    }

    #[test]
    fn stages_hold_what_must_exist_first_and_are_sorted_inside() {
        let objects = vec![
            m("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "w"),
            m("v1", "Pod", "p"),
            m("example.org/v1", "Widget", "w"),
            m("apps/v1", "Deployment", "d"),
            m("v1", "ConfigMap", "b"),
            m("v1", "ConfigMap", "a"),
            m("rbac.authorization.k8s.io/v1", "Role", "r"),
            m("storage.k8s.io/v1", "StorageClass", "s"),
            m("v1", "Namespace", "n"),
            m("apiextensions.k8s.io/v1", "CustomResourceDefinition", "c"),
        ];
        let custom = BTreeSet::from(["rbac.authorization.k8s.io/Role".parse().unwrap()]);
        let got: Vec<_> = stages(objects, &custom)
            .into_iter()
            .map(|s| {
                (
                    s.kind,
                    s.manifests
                        .iter()
                        .map(|m| format!("{}/{}", m.kind(), m.name()))
                        .collect::<Vec<_>>()
                        .join(" "),
                )
            })
            .collect();
        assert_eq!(
            got,
            [
                (StageKind::Definitions, "CustomResourceDefinition/c Namespace/n".into()),
                (StageKind::Classes, "StorageClass/s".into()),
                (StageKind::Custom, "Role/r".into()),
                (
                    StageKind::Rest,
                    "ConfigMap/a ConfigMap/b Deployment/d Pod/p Widget/w ValidatingWebhookConfiguration/w"
                        .to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_kind_of_another_group_is_no_definition() {
        let s =
            stages(vec![m("example.org/v1", "Namespace", "n"), m("v1", "namespace", "n")], &BTreeSet::new());
        assert_eq!(s.iter().map(|s| s.kind).collect::<Vec<_>>(), [StageKind::Definitions, StageKind::Rest]);
    }

    #[test]
    fn stages_of_definitions_and_classes_are_waited_for_and_no_others() {
        assert!(StageKind::Definitions.waits() && StageKind::Classes.waits());
        assert!(!StageKind::Custom.waits() && !StageKind::Rest.waits());
    }
}
