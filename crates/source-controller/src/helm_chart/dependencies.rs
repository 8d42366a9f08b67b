//! What a chart in a directory lacks: found in the same source, or pulled from repositories, one after the other.

use std::sync::Arc;

use ::helm_chart::{
    Chart, Dependency, LimitError, Limits, Requirement, Tree, load_archive, load_directory, local_path,
};
use net::Deadline;
use runtime::error::chain;
use source::failure::Failure;
use versions::{Constraint, Version};

use super::failure;
use super::pulls::Pulled;
use super::trees::SourceTree;

/// Dependencies that a chart may lack.
pub const DEPENDENCIES: usize = 100;

/// A dependency that is to be added.
pub struct Added {
    /// What is lacking.
    pub requirement: Requirement,
    /// Its version and archive if it comes from a repository.
    pub pulled: Option<(String, Arc<Pulled>)>,
}

/// Adds what a chart at `path` lacks.
///
/// # Errors
/// For the first one that cannot be added.
pub fn add(
    chart: &mut Chart,
    tree: &Arc<SourceTree>,
    path: &str,
    added: &[Added],
    limits: &Limits,
    deadline: &Deadline,
) -> Result<(), Failure> {
    let mut size = chart.size();
    for Added { requirement: Requirement { dependency, .. }, pulled } in added {
        if deadline.is_cancelled() {
            return Err(failure::dependency("it took too long"));
        }
        let name = dependency.local_name();
        let mut subchart = match pulled {
            Some((version, archive)) => load_archive(archive.bytes.as_slice(), limits).map_err(|error| {
                let why = chain(&error);
                remote(name, format!("failed to load downloaded archive of version '{version}': {why}"))
            })?,
            None => local(tree.as_ref(), path, dependency, limits).map_err(|why| {
                failure::dependency(format!("failed to add local dependency '{name}': {why}"))
            })?,
        };
        // All of them are in memory until the chart is packaged.
        size = size.saturating_add(subchart.size());
        if size > limits.bytes {
            return Err(failure::dependency(LimitError::Bytes(limits.bytes)));
        }
        if !dependency.alias.is_empty() {
            subchart.metadata.name.clone_from(&dependency.alias);
        }
        chart.dependencies.push(subchart);
    }
    Ok(())
}

/// A dependency cannot be had from its repository.
pub fn remote(name: &str, why: impl std::fmt::Display) -> Failure {
    failure::dependency(format!("failed to add remote dependency '{name}': {why}"))
}

/// Why a chart of the same source is not what is wanted, in Flux's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unfit(String);

fn local(tree: &dyn Tree, chart: &str, dependency: &Dependency, limits: &Limits) -> Result<Chart, Unfit> {
    let Dependency { repository, version, .. } = dependency;
    let path = local_path(chart, dependency);
    if tree.node(&path).is_none() {
        return Err(Unfit(format!("no chart found at '/{path}' (reference '{repository}')")));
    }
    let constraint = Constraint::parse(version)
        .map_err(|error| Unfit(format!("invalid version/constraint format '{version}': {error}")))?;
    let subchart = load_directory(tree, &path, limits).map_err(|error| {
        Unfit(format!("failed to load chart from '/{path}' (reference '{repository}'): {}", chain(&error)))
    })?;
    let fits =
        Version::parse_loose(&subchart.metadata.version).is_some_and(|found| constraint.matches(&found));
    if fits {
        Ok(subchart)
    } else {
        Err(Unfit(format!("can't get a valid version for constraint '{version}'")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ::helm_chart::MemoryTree;

    use super::*;

    #[test]
    fn local_dependencies_are_found_or_refused_as_by_flux() {
        let mut tree = MemoryTree::default();
        tree.insert("charts/db/Chart.yaml", "apiVersion: v2\nname: db\nversion: 1.2.3\n");
        tree.insert("charts/bad/Chart.yaml", "apiVersion: v2\nname: bad\n");
        let limits = Limits::default();
        for (repository, version, expected) in [
            ("file://../db", "1.x", Ok("db".to_owned())),
            ("file://../../../../charts/db", ">=1", Ok("db".to_owned())),
            ("file://../db", "2.x", Err("can't get a valid version for constraint '2.x'")),
            (
                "file://../db",
                "x y",
                Err("invalid version/constraint format 'x y': improper constraint: \"x y\""),
            ),
            ("file://../no", "1.x", Err("no chart found at '/charts/no' (reference 'file://../no')")),
            ("", "1.x", Err("no chart found at '/charts/app/charts/db' (reference '')")),
            (
                "file://../bad",
                "1.x",
                Err("failed to load chart from '/charts/bad' (reference 'file://../bad'): \
                     failed to load chart from /charts/bad/: validation: chart.metadata.version is required"),
            ),
        ] {
            let dependency = Dependency {
                name: "db".into(),
                repository: repository.into(),
                version: version.into(),
                ..Dependency::default()
            };
            let found = local(&tree, "charts/app", &dependency, &limits).map(|chart| chart.metadata.name);
            let expected = expected.map_err(str::to_owned);
            assert_eq!(found.map_err(|error| error.to_string()), expected, "{repository} {version}");
        }
    }
}
