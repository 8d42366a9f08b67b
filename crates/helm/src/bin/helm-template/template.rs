//! `helm-template template`

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use helm::{
    Capabilities, Costs, Crd, Event, HelmVersion, Hook, Input, KubeVersion, ParsedChart, Release, Rendered,
    World,
};

use crate::{api_versions, disk, user_values};

/// The version of Kubernetes that Helm renders for where no cluster is asked.
const KUBE_VERSION: &str = "v1.37.0";

/// Threads that parse the chart.
const PARSERS: usize = 2;

#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the release.
    name: String,
    /// The chart: a directory or an archive.
    chart: PathBuf,
    /// The namespace of the release.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// The version of Kubernetes for .Capabilities.KubeVersion.
    #[arg(long)]
    kube_version: Option<String>,
    /// A version for .Capabilities.APIVersions, besides those that are there anyway.
    #[arg(short, long, value_delimiter = ',')]
    api_versions: Vec<String>,
    /// A file with the versions that are there anyway, one a line.
    #[arg(long)]
    api_versions_file: Option<PathBuf>,
    /// Prints what the charts have in crds/, too.
    #[arg(long)]
    include_crds: bool,
    /// Sets .Release.IsUpgrade in place of .Release.IsInstall.
    #[arg(long)]
    is_upgrade: bool,
    /// Leaves out hooks.
    #[arg(long)]
    no_hooks: bool,
    /// Leaves out hooks that are tests.
    #[arg(long)]
    skip_tests: bool,
    /// Does not check the values by the schemas of the charts.
    #[arg(long)]
    skip_schema_validation: bool,
    /// Writes the notes to this file.
    #[arg(long)]
    notes: Option<PathBuf>,
    /// Renders so many times, for measurements.
    #[arg(long, default_value_t = 1, hide = true)]
    repeat: usize,
    #[command(flatten)]
    values: user_values::Flags,
}

pub fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let values = user_values::merge(&arguments.values)?;
    let chart = disk::load(&arguments.chart)?;
    check_installable(&chart)?;
    let kube_version = arguments.kube_version.as_deref().unwrap_or(KUBE_VERSION);
    let kube_version = KubeVersion::parse(kube_version)
        .map_err(|error| format!("invalid kube version '{kube_version}': {error}"))?;
    let mut api_versions = match &arguments.api_versions_file {
        None => api_versions::KNOWN.iter().map(|version| (*version).to_owned()).collect(),
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        }
    };
    api_versions.extend(arguments.api_versions.iter().cloned());
    let release = Release {
        name: arguments.name.clone(),
        namespace: arguments.namespace.clone(),
        revision: 1,
        is_upgrade: arguments.is_upgrade,
    };
    release.check_name()?;
    let input = Input {
        release: &release,
        values: &values,
        defaults: None,
        capabilities: &Capabilities { kube_version, api_versions, helm_version: HelmVersion::default() },
        world: &World::default(),
        costs: &Costs { parsers: PARSERS, ..Costs::default() },
        skips_schema: arguments.skip_schema_validation,
        post_renderer: None,
        is_stopped: &|| false,
    };
    let chart = ParsedChart::new(chart);
    for _ in 1..arguments.repeat {
        helm::render(&chart, &input)?;
    }
    let rendered = helm::render(&chart, &input)?;
    for warning in &rendered.warnings {
        eprintln!("level=WARN msg={warning:?}");
    }
    let crds = if arguments.include_crds {
        helm::crds(chart.chart(), &values, input.costs, input.is_stopped)?
    } else {
        Vec::new()
    };
    let is_left_out = |hook: &Hook| arguments.skip_tests && hook.events.contains(&Event::Test);
    let is_shown = |hook: &Hook| !arguments.no_hooks && !is_left_out(hook);
    let output = printed(&rendered, &crds, is_shown);
    if let Some(file) = &arguments.notes {
        std::fs::write(file, &rendered.notes).with_context(|| file.display().to_string())?;
    }
    std::io::stdout().write_all(&output).context("standard output")?;
    // The process ends: to free what it has piece by piece takes a seventh of its time.
    std::mem::forget((chart, rendered));
    Ok(())
}

/// What is printed: definitions, manifests, then hooks.
pub fn printed(rendered: &Rendered, crds: &[Crd], is_shown: impl Fn(&Hook) -> bool) -> Vec<u8> {
    let manifests: usize = rendered.manifests.iter().map(|manifest| manifest.content.len() + 128).sum();
    let mut output = Vec::with_capacity(manifests);
    for crd in crds {
        put(&mut output, &crd.name, &crd.content);
    }
    for manifest in &rendered.manifests {
        put(&mut output, &manifest.name, manifest.content.as_bytes());
    }
    // Each begins with a separator: white space is at the end alone.
    output.truncate(output.trim_ascii_end().len());
    output.push(b'\n');
    for hook in rendered.hooks.iter().filter(|hook| is_shown(hook)) {
        put(&mut output, &hook.path, hook.manifest.as_bytes());
    }
    output
}

fn put(output: &mut Vec<u8>, source: &str, document: &[u8]) {
    for part in [b"---\n# Source: ", source.as_bytes(), b"\n", document, b"\n"] {
        output.extend_from_slice(part);
    }
}

/// What Helm's command line refuses, and its library does not.
pub fn check_installable(chart: &helm_chart::Chart) -> Result<()> {
    let metadata = &chart.metadata;
    if !matches!(metadata.kind.as_str(), "" | "application") {
        bail!("{} charts are not installable", metadata.kind);
    }
    check_dependencies(chart)
}

/// Whether all subcharts are there that a chart declares.
pub fn check_dependencies(chart: &helm_chart::Chart) -> Result<()> {
    let metadata = &chart.metadata;
    let is_there = |name: &str| chart.dependencies.iter().any(|subchart| subchart.metadata.name == name);
    let declared = metadata.dependencies.iter().flatten().map(|dependency| dependency.name.as_str());
    let missing: Vec<&str> = declared.filter(|name| !is_there(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "an error occurred while checking for chart dependencies. You may need to run 'helm dependency build' to fetch \
         missing dependencies: found in Chart.yaml, but missing in charts/ directory: {}",
        missing.join(", ")
    )
}
