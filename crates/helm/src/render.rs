//! A chart and values in, manifests and hooks out.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use gotemplate::Value;
use gotemplate::value::{Map, Type};
use helm_chart::{Chart, Dependency};
use serde_json::{Map as JsonMap, Value as Json};

use crate::allowance::{Allowance, ValuesError};
use crate::coalesce::{self, Nulls};
use crate::convert::{self, Numbers};
use crate::dependencies;
use crate::engine::{self, Costs, Top};
use crate::functions::World;
use crate::manifests::{self, Hook, Manifest, ManifestError};
use crate::objects::Capabilities;
use crate::parsed::ParsedChart;
use crate::post_render::{self, PostRenderError, PostRenderStrategy, PostRenderer};
use crate::schema::{self, SchemaErrors};
use crate::tree::ChartNode;
use crate::warnings::Warnings;

/// The suffix of files that are notes.
const NOTES: &str = "NOTES.txt";

/// What a chart is rendered for: `.Release`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The revision that it is about to have, from 1.
    pub revision: i64,
    /// Whether there was one before.
    pub is_upgrade: bool,
}

/// A text cannot be the name of a release; the words are Helm's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "release name check failed: release name {0:?}: invalid release name, must match regex \
     ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the length must not be longer than {LONGEST_NAME}"
)]
pub struct ReleaseNameError(String);

/// The most bytes of a release name: with what charts put behind it, it must fit a name of Kubernetes.
const LONGEST_NAME: usize = 53;

impl Release {
    /// Whether it can have its name.
    ///
    /// # Errors
    /// It cannot.
    pub fn check_name(&self) -> Result<(), ReleaseNameError> {
        let is_part = |part: &str| {
            let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !part.is_empty() && !part.starts_with('-') && !part.ends_with('-') && part.bytes().all(is_inner)
        };
        match self.name.len() <= LONGEST_NAME && self.name.split('.').all(is_part) {
            true => Ok(()),
            false => Err(ReleaseNameError(self.name.clone())),
        }
    }
}

/// What one rendering needs besides the chart.
pub struct Input<'a> {
    /// The release.
    pub release: &'a Release,
    /// The values of the user. An integer is an `int64` to templates; numbers of YAML files are floats: [`crate::floats`].
    pub values: &'a JsonMap<String, Json>,
    /// What takes the place of the default values of the chart, those of its subcharts excepted: [`crate::reuse_defaults`].
    pub defaults: Option<&'a JsonMap<String, Json>>,
    /// The cluster.
    pub capabilities: &'a Capabilities,
    /// What functions may use of the world.
    pub world: &'a World,
    /// What it may cost.
    pub costs: &'a Costs,
    /// Whether values need not be as the schemas of the charts want them.
    pub skips_schema: bool,
    /// What changes the documents, and which.
    pub post_renderer: Option<(&'a dyn PostRenderer, PostRenderStrategy)>,
    /// Asked again and again; once it says so, the rendering ends.
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
}

/// What was used of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct UsedChart {
    /// Its subcharts, under the names that they have here.
    pub dependencies: Vec<Dependency>,
    /// Its default values, with those that it imports.
    pub values: JsonMap<String, Json>,
}

/// What a chart becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// What of the chart it is from.
    pub chart: UsedChart,
    /// The objects of the release, in the order in which they are installed.
    pub manifests: Vec<Manifest>,
    /// What runs when something happens, sorted by kind.
    pub hooks: Vec<Hook>,
    /// What the chart has to say to the user.
    pub notes: String,
    /// What is odd about the values, yet no error.
    pub warnings: Vec<String>,
}

impl Rendered {
    /// The text that Helm stores as the manifest of a release.
    pub fn manifest(&self) -> String {
        fn parts(manifest: &Manifest) -> [&str; 5] {
            ["---\n# Source: ", &manifest.name, "\n", &manifest.content, "\n"]
        }
        self.manifests.iter().flat_map(parts).collect::<Vec<&str>>().concat()
    }
}

/// Why a chart cannot be rendered, in the words of Helm.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Values of subcharts are no tables, or there are too many of them.
    #[error("chart dependencies processing failed")]
    Dependencies(#[source] ValuesError),
    /// The same, of subcharts that got new values by import.
    #[error(transparent)]
    Values(#[from] ValuesError),
    /// Values are not as schemas want them.
    #[error(transparent)]
    Schema(#[from] SchemaErrors),
    /// The chart is for other versions of Kubernetes.
    #[error("chart requires kubeVersion: {range} which is incompatible with Kubernetes {version}")]
    KubeVersion {
        /// What it is for.
        range: String,
        /// What there is.
        version: String,
    },
    /// A template cannot be read or fails.
    #[error("{0}")]
    Template(String),
    /// What a template made is no YAML.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Documents did not come through the post-renderer.
    #[error(transparent)]
    PostRender(#[from] PostRenderError),
    /// There is no thread to render in.
    #[error("no thread to render in")]
    Thread(#[source] io::Error),
    /// The engine has a fault. What the panic says may quote values.
    #[error("rendering template failed: the engine panicked")]
    Panic,
}

/// Renders a chart. Takes a thread of its own, with the stack that the budget asks for, and waits for it.
///
/// # Errors
/// See [`RenderError`].
pub fn render(chart: &ParsedChart, input: &Input<'_>) -> Result<Rendered, RenderError> {
    let Files { chart: used, mut files, warnings } = render_files(chart, input)?;
    let own_notes = format!("{}/templates/{NOTES}", chart.chart().metadata.name);
    let notes = files.get(&own_notes).map(|text| String::from_utf8_lossy(text).into_owned());
    files.retain(|name, _| !name.ends_with(NOTES));
    if let Some((renderer, strategy)) = input.post_renderer {
        files = post_render::run(&files, renderer, strategy, input.is_stopped)?;
    }
    let files = files.iter().map(|(name, content)| (name.as_str(), content.as_slice()));
    let (manifests, hooks) = manifests::sort(files, input.costs.parsers, input.is_stopped)?;
    Ok(Rendered { chart: used, manifests, hooks, notes: notes.unwrap_or_default(), warnings })
}

/// What the templates of a chart make.
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    /// As [`Rendered::chart`].
    pub chart: UsedChart,
    /// The texts by the names of the files, such as `chart/templates/service.yaml`; partials have none.
    pub files: BTreeMap<String, Vec<u8>>,
    /// As [`Rendered::warnings`].
    pub warnings: Vec<String>,
}

/// Executes the templates of a chart, and no more. Takes a thread of its own, as [`render`].
///
/// # Errors
/// See [`RenderError`].
pub fn render_files(chart: &ParsedChart, input: &Input<'_>) -> Result<Files, RenderError> {
    on_own_stack(input.costs, || {
        let (root, top, warnings) = prepared(chart.shared(), input)?;
        let range = &chart.chart().metadata.kube_version;
        let version = &input.capabilities.kube_version;
        if !range.is_empty() && !dependencies::is_compatible(range, version.comparable()) {
            let (range, version) = (range.clone(), version.version().to_owned());
            return Err(RenderError::KubeVersion { range, version });
        }
        let files = engine::render(chart, &root, &top, input.world, input.costs, input.is_stopped);
        let files = files.map_err(RenderError::Template)?;
        let chart = UsedChart { values: convert::to_json(&root.values), dependencies: root.dependencies };
        Ok(Files { chart, files, warnings: warnings.into_vec() })
    })
}

/// A chart by its full path, and the values that it sees.
pub type SeenValues = (String, JsonMap<String, Json>);

/// The values that each chart sees that is used, by its full path.
///
/// # Errors
/// As [`render`], up to the templates.
pub fn values(chart: &ParsedChart, input: &Input<'_>) -> Result<Vec<SeenValues>, RenderError> {
    on_own_stack(input.costs, || {
        let (root, top, _) = prepared(chart.shared(), input)?;
        let mut seen = Vec::new();
        engine::each_values(&root, "", &top.values, &mut |path, values| {
            seen.push((path.to_owned(), convert::to_json(values)));
        });
        Ok(seen)
    })
}

/// The charts that are used, with what their templates see.
fn prepared<'a>(
    chart: &'a Arc<Chart>,
    input: &Input<'_>,
) -> Result<(ChartNode<'a>, Top, Warnings), RenderError> {
    let mut warnings = Warnings::default();
    let allowance = Allowance::new(input.costs, input.is_stopped);
    let (root, values) = used(chart, input.values, input.defaults, &allowance, &mut warnings)?;
    let values = coalesce::coalesce(&root, &values, Nulls::Delete, &allowance, &mut warnings)?;
    if !input.skips_schema {
        schema::validate(&root, &values, &input.costs.schema)?;
    }
    let release = input.release;
    let entries = [
        ("Name", release.name.as_str().into()),
        ("Namespace", release.namespace.as_str().into()),
        ("IsUpgrade", release.is_upgrade.into()),
        ("IsInstall", (!release.is_upgrade).into()),
        ("Revision", Value::Int(release.revision)),
        ("Service", "Helm".into()),
    ];
    let release = Map::new(&Type::Any, entries);
    let capabilities = Value::object(input.capabilities.clone());
    Ok((root, Top { chart: chart.clone(), release, capabilities, values }, warnings))
}

/// The charts that are used with the values of the user, and these. `defaults` take the place of those of the chart.
pub(crate) fn used<'a>(
    chart: &'a Chart,
    values: &JsonMap<String, Json>,
    defaults: Option<&JsonMap<String, Json>>,
    allowance: &Allowance<'_>,
    warnings: &mut Warnings,
) -> Result<(ChartNode<'a>, Map), RenderError> {
    let mut root = ChartNode::new(chart);
    if let Some(defaults) = defaults {
        root.values = convert::table(defaults, Numbers::Floats);
    }
    let values = convert::table(values, Numbers::AsWritten);
    dependencies::process(&mut root, &values, allowance, warnings).map_err(RenderError::Dependencies)?;
    Ok((root, values))
}

/// Templates recurse, and so do the trees of values.
pub(crate) fn on_own_stack<T: Send>(
    costs: &Costs,
    work: impl FnOnce() -> Result<T, RenderError> + Send,
) -> Result<T, RenderError> {
    let thread =
        std::thread::Builder::new().name("helm-render".to_owned()).stack_size(costs.budget.stack_size());
    std::thread::scope(|scope| {
        let thread = thread.spawn_scoped(scope, work).map_err(RenderError::Thread)?;
        thread.join().unwrap_or(Err(RenderError::Panic))
    })
}
