//! The templates of a chart and its subcharts, executed (`pkg/engine/engine.go`).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use gotemplate::value::{Map, Type};
use gotemplate::{Budget, Limits, MissingKey, Run, Set, Value};
use helm_chart::{Chart, File};

use crate::convert::lookup;
use crate::failure;
use crate::functions::{World, functions, without_no_value};
use crate::objects::{CommonValues, Files, metadata};
use crate::parsed::{ParsedChart, Parsers};
use crate::tree::{ChartNode, child_path, is_partial};

/// What Go calls the outermost template.
const OUTERMOST: &str = "gotpl";

/// What one rendering may cost.
#[derive(Debug, Clone)]
pub struct Costs {
    /// Of the execution.
    pub budget: Budget,
    /// Of the source of one template.
    pub limits: Limits,
    /// Tokens of all templates together: each takes some hundred bytes, and a source of some bytes can have one.
    pub tokens: usize,
    /// Of the comparison of values with one schema.
    pub schema: values_schema::Limits,
    /// Threads that parse templates, and the documents that these make, at once. More than one is for who renders one chart and waits for it.
    pub parsers: usize,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            budget: Budget::default(),
            limits: Limits::default(),
            tokens: 500_000,
            schema: values_schema::Limits::default(),
            parsers: 1,
        }
    }
}

/// A file with the data that its template gets.
struct Renderable<'a> {
    file: &'a File,
    data: Map,
    base_path: String,
}

/// What the templates make, by the names of their files.
///
/// # Errors
/// What Helm says about the first template that cannot be read or fails, and about a budget that is used up.
pub(crate) fn render(
    chart: &ParsedChart,
    root: &ChartNode<'_>,
    top: &Top,
    world: &World,
    costs: &Costs,
    is_stopped: &dyn Fn() -> bool,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut templates = BTreeMap::new();
    collect(root, "", true, &top.values, top, &mut templates);
    // Deeper files first, so that definitions of those above replace theirs.
    let mut order: Vec<(&String, &Renderable<'_>)> = templates.iter().collect();
    order.sort_by_key(|(name, _)| Reverse((name.matches('/').count(), *name)));

    let mut set = Set::new(OUTERMOST, functions(world), costs.limits.clone(), MissingKey::Zero);
    if costs.parsers > 1 {
        let files: Vec<_> = order.iter().map(|(name, template)| (name.as_str(), template.file)).collect();
        let (threads, stack_size) = (costs.parsers, costs.budget.stack_size());
        chart.parse_ahead(&set, &files, Parsers { threads, stack_size, tokens: costs.tokens });
    }
    let mut tokens = 0;
    for (name, template) in &order {
        let trees = chart.trees(&set, name, template.file);
        let trees = trees.map_err(|error| failure::parsing(name, &error.to_string()))?;
        tokens += trees.iter().map(|tree| tree.tokens).sum::<usize>();
        if tokens > costs.tokens {
            let most = costs.tokens;
            return Err(format!(
                "parse error in ({name}): the templates of the chart have more than {most} tokens"
            ));
        }
        set.add(&trees);
    }
    let run = Run::new(costs.budget.clone(), is_stopped);
    let mut rendered = BTreeMap::new();
    for (name, template) in order {
        if is_partial(name) {
            continue;
        }
        let own = [("Name", name.as_str().into()), ("BasePath", template.base_path.as_str().into())];
        template.data.put("Template", Value::object(CommonValues(Map::new(&Type::Any, own))));
        let text = set.execute_to_vec(&run, name, Value::object(CommonValues(template.data.clone())));
        let text = text.map_err(|error| failure::executing(name, &error, run.end()))?;
        rendered.insert(name.clone(), without_no_value(text));
    }
    // A chart holds its subcharts, and these do not hold it: nothing here is a cycle.
    Ok(rendered)
}

/// What all templates see.
pub(crate) struct Top {
    pub chart: Arc<Chart>,
    pub release: Map,
    pub capabilities: Value,
    pub values: Map,
}

/// Adds the templates of a chart and its subcharts; gives the data of the chart.
fn collect<'a>(
    node: &ChartNode<'a>,
    parent: &str,
    is_root: bool,
    values: &Map,
    top: &Top,
    templates: &mut BTreeMap<String, Renderable<'a>>,
) -> Map {
    let path = child_path(parent, &node.name);
    let subcharts = Map::default();
    let data = Map::new(
        &Type::Any,
        [
            ("Chart", Value::Map(metadata(node, is_root))),
            ("Files", Value::object(Files::new(&top.chart, &node.place))),
            ("Release", Value::Map(top.release.clone())),
            ("Capabilities", top.capabilities.clone()),
            ("Values", Value::object(CommonValues(values.clone()))),
            ("Subcharts", Value::Map(subcharts.clone())),
        ],
    );
    for child in &node.children {
        let below = collect(child, &path, false, &own_values(values, child), top, templates);
        subcharts.put(child.name.as_str(), Value::Map(below));
    }
    for file in &node.chart.templates {
        if node.is_library() && !is_partial(&file.name) {
            continue;
        }
        let base_path = format!("{path}/templates");
        let name = format!("{path}/{}", file.name);
        templates.insert(name, Renderable { file, data: data.clone(), base_path });
    }
    data
}

/// Visits the values of a chart below a path, and of each of its subcharts, with its full path.
pub(crate) fn each_values(
    node: &ChartNode<'_>,
    parent: &str,
    values: &Map,
    visit: &mut dyn FnMut(&str, &Map),
) {
    let path = child_path(parent, &node.name);
    visit(&path, values);
    for child in &node.children {
        each_values(child, &path, &own_values(values, child), visit);
    }
}

/// What a subchart sees of the values of its parent. By a path: those of a chart with a dot in its name are not found.
fn own_values(values: &Map, child: &ChartNode<'_>) -> Map {
    lookup(values, &child.name).unwrap_or_default()
}
