//! A chart with those of its subcharts that are used, under the names that they have here.

use gotemplate::value::Map;
use helm_chart::{Chart, Dependency};

use crate::convert::{self, Numbers};

/// A chart of the tree that is rendered.
#[derive(Clone)]
pub(crate) struct ChartNode<'a> {
    /// Where its files are.
    pub chart: &'a Chart,
    /// The way to it from the root: which of the subcharts of each chart.
    pub place: Vec<usize>,
    /// Its name, or the alias under which it is used.
    pub name: String,
    /// What it says about its subcharts.
    pub dependencies: Vec<Dependency>,
    /// Its default values.
    pub values: Map,
    /// Its subcharts.
    pub children: Vec<ChartNode<'a>>,
}

impl<'a> ChartNode<'a> {
    /// With all subcharts.
    pub(crate) fn new(chart: &'a Chart) -> Self {
        Self::at(chart, Vec::new())
    }

    fn at(chart: &'a Chart, place: Vec<usize>) -> Self {
        let below = |index| place.iter().copied().chain([index]).collect();
        let children = chart.dependencies.iter().enumerate();
        Self {
            children: children.map(|(index, child)| Self::at(child, below(index))).collect(),
            chart,
            name: chart.metadata.name.clone(),
            dependencies: chart.metadata.dependencies.iter().flatten().cloned().collect(),
            values: convert::table(&chart.values, Numbers::Floats),
            place,
        }
    }

    /// Whether it only has templates for others.
    pub(crate) fn is_library(&self) -> bool {
        self.chart.metadata.kind.eq_ignore_ascii_case("library")
    }

    /// How many charts it is, with those below it.
    pub(crate) fn count(&self) -> usize {
        self.children.iter().fold(1, |count, child| count + child.count())
    }

    /// Visits the chart below a path, and its subcharts behind it, with their full paths, such as `parent/charts/sub`.
    pub(crate) fn each(&self, parent: &str, visit: &mut dyn FnMut(&str, &ChartNode<'a>)) {
        let path = child_path(parent, &self.name);
        visit(&path, self);
        for child in &self.children {
            child.each(&path, visit);
        }
    }
}

/// Whether a template is only there for others: its name begins with `_`.
pub(crate) fn is_partial(file: &str) -> bool {
    base_name(file).starts_with('_')
}

/// The last part of a path.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The full path of a chart below another; below none, it is its name.
pub(crate) fn child_path(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/charts/{name}") }
}
