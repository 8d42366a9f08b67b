//! What the tests render charts for.

use helm::{
    Capabilities, Costs, HelmVersion, Input, KubeVersion, ParsedChart, Release, RenderError, Rendered, World,
};
use serde_json::{Map, Value};

/// Renders a chart as release `r` in `ns`, with what is the default elsewhere.
pub fn render(chart: &ParsedChart, values: &Map<String, Value>) -> Result<Rendered, RenderError> {
    render_within(chart, values, &Costs::default())
}

/// The same, at no more than these costs.
pub fn render_within(
    chart: &ParsedChart,
    values: &Map<String, Value>,
    costs: &Costs,
) -> Result<Rendered, RenderError> {
    let release =
        Release { name: "r".to_owned(), namespace: "ns".to_owned(), revision: 1, is_upgrade: false };
    let input = Input {
        release: &release,
        values,
        defaults: None,
        capabilities: &Capabilities {
            kube_version: KubeVersion::discovered("v1.33.0", "1", "33"),
            api_versions: Vec::new(),
            helm_version: HelmVersion::default(),
        },
        world: &World::default(),
        costs,
        skips_schema: false,
        post_renderer: None,
        is_stopped: &|| false,
    };
    helm::render(chart, &input)
}
