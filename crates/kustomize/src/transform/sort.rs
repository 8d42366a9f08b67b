//! Order of the output.

use super::Transformer;
use crate::build::Build;
use crate::error::{Error, Result};
use crate::kustomization::SortOptions;
use crate::resid::{ORDER_FIRST, ORDER_LAST, ResId, rank_in};
use crate::resmap::ResMap;

/// Sorts resources as `sortOptions` says.
pub(crate) struct Sort {
    pub options: SortOptions,
}

impl Transformer for Sort {
    fn transform(&self, map: &mut ResMap, build: &mut Build<'_>) -> Result<()> {
        let legacy = self.options.legacy_sort_options.as_ref();
        match (self.options.order.as_str(), legacy) {
            ("fifo", None) => return Ok(()),
            ("fifo", Some(_)) => {
                return Err(Error::invalid(
                    "the field 'sortOptions.legacySortOptions' is set but the selected sort order is 'fifo', not 'legacy'",
                ));
            }
            ("legacy", _) => {}
            _ => return Err(Error::invalid("the field 'sortOptions.order' must be one of [fifo, legacy]")),
        }
        let rank = |kind: &str| match legacy {
            Some(options) => rank_in(kind, &options.order_first, &options.order_last),
            None => rank_in(kind, &ORDER_FIRST, &ORDER_LAST),
        };
        map.resources_mut().sort_by_cached_key(|resource| {
            let id = resource.id(&build.schema);
            let rank = rank(&id.gvk.kind);
            // Among kinds called Namespace, Kubernetes' own comes first.
            let own_namespace = rank != 0 && id.gvk.kind == "Namespace" && id.gvk.group.is_empty();
            (rank, !own_namespace, id.gvk.sort_text(), name_text(&id))
        });
        Ok(())
    }
}

fn name_text(id: &ResId) -> String {
    let namespace = if id.namespace.is_empty() { "~X" } else { &id.namespace };
    let name = if id.name.is_empty() { "~N" } else { &id.name };
    format!("{}|{namespace}|{name}", id.gvk)
}
