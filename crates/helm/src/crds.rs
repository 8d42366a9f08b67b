//! The custom resource definitions that a chart has in `crds/`.

use bytes::Bytes;
use helm_chart::{Chart, File};
use serde_json::{Map as JsonMap, Value as Json};

use crate::allowance::Allowance;
use crate::engine::Costs;
use crate::render::{self, RenderError};
use crate::tree::base_name;
use crate::warnings::Warnings;

/// A file of definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crd {
    /// Its path with that of its chart, such as `chart/crds/widgets.yaml`.
    pub name: String,
    /// The text, which may have several documents.
    pub content: Bytes,
}

/// The definitions of a chart and of those of its subcharts that are used with the values. They are no templates.
/// Takes a thread of its own, as [`crate::render`]; `is_stopped` is asked again and again.
///
/// # Errors
/// See [`RenderError`].
pub fn crds(
    chart: &Chart,
    values: &JsonMap<String, Json>,
    costs: &Costs,
    is_stopped: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Crd>, RenderError> {
    render::on_own_stack(costs, || {
        let allowance = Allowance::new(costs, is_stopped);
        let (root, _) = render::used(chart, values, None, &allowance, &mut Warnings::default())?;
        let mut crds = Vec::new();
        root.each("", &mut |path, node| {
            let files = node.chart.files.iter().filter(|file| is_definition(file));
            crds.extend(
                files.map(|file| Crd { name: format!("{path}/{}", file.name), content: file.data.clone() }),
            );
        });
        Ok(crds)
    })
}

fn is_definition(file: &File) -> bool {
    let extension =
        base_name(&file.name).rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    file.name.starts_with("crds/") && matches!(extension.as_deref(), Some("yaml" | "yml" | "json"))
}
