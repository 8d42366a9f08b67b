//! `kustomize build` without kustomize: same flags, same output, same exit codes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use kustomize::{DiskTree, LoadRestrictor, Options, Reorder, Resource};

/// Builds a kustomization and prints the resources.
#[derive(Parser)]
#[command(name = "kustomize-build", version)]
struct Arguments {
    /// The directory of the kustomization.
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Which files may be loaded from outside of a kustomization's own directory.
    #[arg(long, value_enum, default_value_t = Restrictor::RootOnly)]
    load_restrictor: Restrictor,
    /// Order of the output: `legacy` or `none`; kustomize's default when not given.
    #[arg(long, value_enum)]
    reorder: Option<Order>,
    /// Adds the label app.kubernetes.io/managed-by to all resources.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value_t = false, require_equals = true)]
    enable_managedby_label: bool,
    /// Writes to this file, or one file per resource to this directory if it exists.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Restrictor {
    #[value(name = "LoadRestrictionsRootOnly", alias = "rootOnly")]
    RootOnly,
    #[value(name = "LoadRestrictionsNone", alias = "none")]
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum Order {
    Legacy,
    None,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let directory = &arguments.directory;
    let absolute = std::path::absolute(directory).with_context(|| directory.display().to_string())?;
    let tree = DiskTree::new("/").context("the file system")?;
    let Some(directory) = absolute.strip_prefix("/").ok().and_then(Path::to_str) else {
        bail!("'{}' is no path in UTF-8", absolute.display());
    };
    let options = Options {
        load_restrictor: match arguments.load_restrictor {
            Restrictor::RootOnly => LoadRestrictor::RootOnly,
            Restrictor::None => LoadRestrictor::None,
        },
        reorder: match arguments.reorder {
            Some(Order::None) => Reorder::None,
            Some(Order::Legacy) | None => Reorder::Legacy,
        },
        managed_by_label: arguments.enable_managedby_label,
        environment: std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        ..Options::default()
    };
    let resources = kustomize::build(&tree, directory, &options, None)?;
    match &arguments.output {
        Some(output) if output.is_dir() => write_each(output, &resources),
        Some(output) => std::fs::write(output, kustomize::to_yaml(&resources)?)
            .with_context(|| output.display().to_string()),
        None => {
            use std::io::Write;
            std::io::stdout().write_all(kustomize::to_yaml(&resources)?.as_bytes()).context("standard output")
        }
    }
}

/// One file per resource, named after its kind and name; after its namespace, too, when there is more than one.
fn write_each(directory: &Path, resources: &[Resource]) -> Result<()> {
    let mut namespaces: Vec<&str> = resources.iter().map(Resource::namespace).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for resource in resources {
        let (group, version) = resource.api_version().split_once('/').unwrap_or(("", resource.api_version()));
        let mut parts = Vec::new();
        if namespaces.len() > 1 {
            parts.push(resource.namespace().to_lowercase());
        }
        parts.extend(
            [group, version, resource.kind()]
                .iter()
                .filter(|part| !part.is_empty())
                .map(|part| part.to_lowercase()),
        );
        parts.push(resource.name().to_lowercase());
        let file = directory.join(format!("{}.yaml", parts.join("_").replace(['/', ':'], "_")));
        let text = kustomize::to_yaml(std::slice::from_ref(resource))?;
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
