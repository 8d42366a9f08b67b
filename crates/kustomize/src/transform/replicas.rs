//! Replica counts.

use yaml::{Node, Style};

use super::Transformer;
use super::field::{self, Create};
use crate::build::Build;
use crate::config::FieldSpec;
use crate::error::{Error, Result};
use crate::kustomization::Replica;
use crate::resmap::ResMap;

/// Sets the count of the workloads of one name.
pub(crate) struct Replicas {
    pub replica: Replica,
    pub fields: Vec<FieldSpec>,
}

impl Transformer for Replicas {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        let mut found = false;
        let named = map.matching_any_name(&self.replica.name);
        let resources = map.contents_mut();
        for spec in &self.fields {
            for index in &named {
                let Some(resource) = resources.get_mut(*index) else { continue };
                let matches = [resource.id(&build.schema)]
                    .into_iter()
                    .chain(resource.previous_ids())
                    .any(|id| id.name == self.replica.name && id.gvk.is_selected_by(&spec.gvk));
                if matches {
                    found = true;
                    field::apply(&mut resource.node, spec, Create::Scalar, &build.meter, &mut |node| {
                        field::scalar(node)?;
                        set_count(node, self.replica.count);
                        Ok(())
                    })?;
                }
            }
        }
        if found {
            return Ok(());
        }
        let kinds: Vec<_> = self.fields.iter().map(|spec| spec.gvk.to_string()).collect();
        Err(Error::Invalid(format!(
            "resource with name {} does not match a config with the following GVK [{}]",
            self.replica.name,
            kinds.join(" ")
        )))
    }
}

/// A count in quotes keeps them, so that it stays a text; anything else becomes a number.
fn set_count(node: &mut Node, count: i64) {
    let quoted = node.style() != Style::Plain && matches!(node.tag(), "" | "!");
    if quoted {
        node.set_scalar_text(count.to_string());
    } else {
        node.assign(Node::integer(count));
    }
}
