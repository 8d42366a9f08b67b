//! Namespaces: of objects, of role binding subjects, and in the fields that name one.

use std::collections::HashMap;

use serde::Deserialize;
use smol_str::SmolStr;
use yaml::Node;

use super::Transformer;
use super::field::{self, Create};
use crate::build::Build;
use crate::config::FieldSpec;
use crate::error::{Context, Error, Result};
use crate::meta;
use crate::resid::ResId;
use crate::resmap::ResMap;

/// Sets namespaces.
pub(crate) struct Namespace {
    pub namespace: SmolStr,
    pub fields: Vec<FieldSpec>,
    pub unset_only: bool,
    pub subjects: SubjectMode,
}

/// Which subjects of role bindings get the namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum SubjectMode {
    #[default]
    DefaultOnly,
    AllServiceAccounts,
    None,
}

impl TryFrom<String> for SubjectMode {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        match text.as_str() {
            "" | "defaultOnly" => Ok(Self::DefaultOnly),
            "allServiceAccounts" => Ok(Self::AllServiceAccounts),
            "none" => Ok(Self::None),
            _ => Err(format!(
                "invalid value \"{text}\" for setRoleBindingSubjects: must be one of \"defaultOnly\", \"none\" or \"allServiceAccounts\""
            )),
        }
    }
}

impl Transformer for Namespace {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        if self.namespace.is_empty() {
            return Ok(());
        }
        let schema = &build.schema;
        let resources = map.resources_mut();
        let mut count: HashMap<ResId, usize> = HashMap::with_capacity(resources.len());
        for resource in resources.iter() {
            *count.entry(resource.id(schema)).or_default() += 1;
        }
        for resource in resources.iter_mut().filter(|resource| !resource.is_empty()) {
            if meta::annotation(&resource.node, "internal.config.kubernetes.io/helm-generated")
                == Some("true")
            {
                continue;
            }
            if let Some(number) = count.get_mut(&resource.id(schema)) {
                *number = number.saturating_sub(1);
            }
            resource.store_previous_id(schema);
            build.meter.count_bytes(self.namespace.len())?;
            self.set_in(&mut resource.node, build)?;
            let number = count.entry(resource.id(schema)).or_default();
            *number += 1;
            if *number > 1 {
                return Err(Error::Invalid(format!(
                    "namespace transformation produces ID conflict: {}",
                    resource.describe()
                )));
            }
        }
        Ok(())
    }
}

impl Namespace {
    /// Sets the namespace in one object.
    pub fn set_in(&self, node: &mut Node, build: &Build<'_>) -> Result<()> {
        let kind = meta::text(node, "kind").to_owned();
        let is_core = meta::text(node, "apiVersion") == "v1";
        if !build.schema.is_cluster_scoped(meta::text(node, "apiVersion"), &kind) {
            let spec = FieldSpec::everywhere("metadata/namespace", true);
            field::apply(node, &spec, Create::Scalar, &build.meter, &mut |node| self.set(node))?;
        }
        let is_binding = kind == "RoleBinding" || kind == "ClusterRoleBinding";
        if is_binding {
            self.set_subjects(node)
                .context(|| "setting namespace on (cluster)role binding subjects".into())?;
        }
        for spec in &self.fields {
            let path = spec.path.as_str();
            let handled = path == "metadata/namespace"
                || path == "metadata/name" && !is_core
                || is_binding
                    && path == "subjects/namespace"
                    && matches!(spec.gvk.kind.as_str(), "RoleBinding" | "ClusterRoleBinding");
            if !handled {
                field::apply(node, spec, Create::Scalar, &build.meter, &mut |node| self.set(node))
                    .context(|| "namespace transformation failed".into())?;
            }
        }
        Ok(())
    }

    fn set(&self, node: &mut Node) -> Result<()> {
        let old = field::scalar(node).context(|| "namespace field specs must target scalar nodes".into())?;
        if self.unset_only && !old.is_empty() && !node.is_null() {
            return Ok(());
        }
        meta::set_string(node, &self.namespace);
        Ok(())
    }

    fn set_subjects(&self, node: &mut Node) -> Result<()> {
        let (key, wanted) = match self.subjects {
            SubjectMode::None => return Ok(()),
            SubjectMode::DefaultOnly => ("name", "default"),
            SubjectMode::AllServiceAccounts => ("kind", "ServiceAccount"),
        };
        let Some(subjects) = node.get_mut("subjects").filter(|subjects| !subjects.is_null()) else {
            return Ok(());
        };
        if !subjects.is_sequence() {
            return Err(field::wrong_kind("SequenceNode", subjects));
        }
        for subject in subjects.items_mut().into_iter().flatten() {
            if subject.get(key).and_then(Node::as_str) != Some(wanted) {
                continue;
            }
            if subject.get("namespace").is_none() {
                subject.insert("namespace", meta::untyped(""));
            }
            if let Some(namespace) = subject.get_mut("namespace") {
                self.set(namespace)?;
            }
        }
        Ok(())
    }
}
