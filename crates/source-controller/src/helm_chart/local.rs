//! Charts in directories of other sources.

use std::sync::Arc;
use std::time::Duration;

use ::helm_chart::{
    Limits, Requirement, Tree, clean_path, load_directory, missing, read_directory_metadata,
    with_build_metadata,
};
use api::helm_chart::{HelmChart, ReconcileStrategy};
use kube::ResourceExt;
use net::Deadline;
use runtime::error::chain;
use source::blocking;
use source::failure::{Failure, Interrupted};
use source::upstream::Outcome;

use super::dependencies::{self, Added, DEPENDENCIES};
use super::recipe::{Base, Recipe, values_files};
use super::sources::Tarball;
use super::trees::{SourceTree, TreeError};
use super::{HelmCharts, failure, remote, summary};

/// How long it may take to unpack a source and to find out what a chart lacks.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Hex digits of a commit or digest that a version has.
const SHORT_REVISION: usize = 12;

/// Finds the chart in its source, and pulls what it lacks, unless the stored one is it.
pub async fn fetch(
    charts: &Arc<HelmCharts>,
    object: &HelmChart,
    source: Tarball,
    known: Option<&str>,
) -> Result<Outcome<Recipe>, Interrupted> {
    let (namespace, deadline) = (object.namespace().unwrap_or_default(), Deadline::new(READ_TIMEOUT));
    let Tarball { artifact, .. } = &source;
    let (storage, path) = (charts.storage.clone(), artifact.path.clone());
    let open = move || storage.open_file(&path).map_err(std::io::Error::other);
    let tree = charts.trees.get(&namespace, &artifact.digest, open, &deadline).await;
    let tree = tree.map_err(|error| match error {
        TreeError::Blocking(error) => error.into(),
        error => Interrupted::from(failure::set_up(Failure::fetch("Failed", chain(&error)))),
    })?;
    let found = {
        let (tree, object, limits) = (tree.clone(), object.clone(), charts.limits.clone());
        let source = (source.kind, artifact.revision.clone());
        let find = move |_: &Deadline| find(tree.as_ref(), &object, source, &limits);
        blocking::run(Deadline::new(READ_TIMEOUT), Some(READ_TIMEOUT), &charts.stop, find).await??
    };
    if known == Some(&found.version) {
        return Ok(Outcome::Unchanged(found.version));
    }
    let base = match found.kind {
        Kind::Archived => Base::Archived { tree, path: found.path },
        Kind::Archive => Base::Local { tree, path: found.path, dependencies: Vec::new() },
        Kind::Directory => {
            let missing = lacking(charts, &namespace, tree.clone(), found.path.clone()).await?;
            let dependencies = pull(charts, object, missing).await?;
            Base::Local { tree, path: found.path, dependencies }
        }
    };
    let news = summary::new(&found.name, &found.version);
    let source_revision = Some(artifact.revision.clone());
    let content =
        Recipe { name: found.name, version: found.version.clone(), base, source_revision, verified: None };
    Ok(Outcome::New { revision: found.version, news, content })
}

/// What is at the path of a chart.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// A directory, which is packaged.
    Directory,
    /// An archive that is packaged anew.
    Archive,
    /// An archive that is stored as it is.
    Archived,
}

/// A chart in a source.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    path: String,
    name: String,
    /// The version that it will have.
    version: String,
    kind: Kind,
}

fn find(
    tree: &dyn Tree,
    object: &HelmChart,
    (source_kind, revision): (&str, String),
    limits: &Limits,
) -> Result<Found, Failure> {
    if object.spec.chart.is_empty() {
        return Err(failure::reference("no path set for local chart reference"));
    }
    if object.spec.chart.starts_with('/') {
        return Err(failure::reference("local chart reference path is expected to be relative"));
    }
    let path = clean_path(&object.spec.chart);
    let metadata = read_directory_metadata(tree, &path, limits);
    let mut metadata = metadata.map_err(|error| failure::reference(chain(&error)))?;
    metadata.validate().map_err(failure::reference)?;
    let mark = mark(object, source_kind, &revision);
    let version = match &mark {
        Some(mark) => with_build_metadata(&metadata.version, mark).map_err(failure::metadata)?,
        None => metadata.version,
    };
    let kind = match tree.node(&path) {
        Some(::helm_chart::Node::File { .. }) if mark.is_none() => Kind::Archived,
        Some(::helm_chart::Node::File { .. }) => Kind::Archive,
        _ => Kind::Directory,
    };
    Ok(Found { path, name: metadata.name, version, kind })
}

/// What is put behind the version: the revision of the source where that makes a new chart, and the generation of the object where
/// it has values of its own.
fn mark(object: &HelmChart, source_kind: &str, revision: &str) -> Option<String> {
    let hash = revision.rsplit(':').next().unwrap_or_default();
    // A commit, or the digest of a bucket; of all else the whole.
    let hash: String = match source_kind {
        "GitRepository" | "Bucket" => hash.chars().take(SHORT_REVISION).collect(),
        _ => revision.to_owned(),
    };
    let by_revision = object.spec.reconcile_strategy == ReconcileStrategy::Revision;
    let revision = by_revision.then_some(hash);
    let generation = object.metadata.generation.unwrap_or_default().to_string();
    let generation = (!values_files(object).is_empty()).then_some(generation);
    let parts: Vec<String> = revision.into_iter().chain(generation).collect();
    (!parts.is_empty()).then(|| parts.join("."))
}

/// Loads the chart to see what it lacks.
async fn lacking(
    charts: &Arc<HelmCharts>,
    namespace: &str,
    tree: Arc<SourceTree>,
    path: String,
) -> Result<Vec<Requirement>, Interrupted> {
    let grant = charts.loads.acquire(budget::Request::new(namespace, 1)).await;
    let limits = charts.limits.clone();
    let look = move |_: &Deadline| {
        let _grant = grant;
        let chart = load_directory(tree.as_ref(), &path, &limits);
        Ok::<_, Failure>(missing(&chart.map_err(|error| failure::package(chain(&error)))?))
    };
    let missing =
        blocking::run(Deadline::new(READ_TIMEOUT), Some(READ_TIMEOUT), &charts.stop, look).await??;
    if missing.len() > DEPENDENCIES {
        return Err(failure::dependency(format!("more than {DEPENDENCIES} missing dependencies")).into());
    }
    Ok(missing)
}

/// Pulls dependencies one after the other.
async fn pull(
    charts: &Arc<HelmCharts>,
    object: &HelmChart,
    missing: Vec<Requirement>,
) -> Result<Vec<Added>, Interrupted> {
    let mut added = Vec::new();
    let mut bytes = 0_u64;
    for requirement in missing {
        let pulled = match requirement.is_local {
            true => None,
            false => Some(remote::dependency(charts, object, &requirement.dependency).await?),
        };
        bytes = bytes.saturating_add(pulled.as_ref().map_or(0, |(_, archive)| archive.bytes.len() as u64));
        if bytes > charts.limits.bytes {
            let name = requirement.dependency.local_name();
            let limit = charts.limits.bytes;
            return Err(dependencies::remote(
                name,
                format!("all archives exceed the limit of {limit} bytes"),
            )
            .into());
        }
        added.push(Added { requirement, pulled });
    }
    Ok(added)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ::helm_chart::MemoryTree;

    use super::*;

    fn object(chart: &str, strategy: ReconcileStrategy, values: &[&str]) -> HelmChart {
        let mut object = HelmChart::new("a", Default::default());
        object.metadata.generation = Some(3);
        object.spec.chart = chart.to_owned();
        object.spec.reconcile_strategy = strategy;
        object.spec.values_files = values.iter().map(|file| (*file).to_owned()).collect();
        object
    }

    #[test]
    fn versions_tell_what_a_chart_was_made_from() {
        use ReconcileStrategy::{ChartVersion, Revision};
        let mut tree = MemoryTree::default();
        tree.insert("charts/app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.2.3+old\n");
        let git = "main@sha1:0123456789abcdef0123456789abcdef01234567";
        for (strategy, values, kind, revision, expected) in [
            (ChartVersion, &[][..], "GitRepository", git, "1.2.3+old"),
            (ChartVersion, &["values.yaml"], "GitRepository", git, "1.2.3+old"),
            (ChartVersion, &["./values.yaml"], "GitRepository", git, "1.2.3+old"),
            (ChartVersion, &["values.yaml", "b"], "GitRepository", git, "1.2.3+3"),
            (Revision, &[], "GitRepository", git, "1.2.3+0123456789ab"),
            (Revision, &["b"], "Bucket", "sha256:fedcba9876543210", "1.2.3+fedcba987654.3"),
        ] {
            let object = object("./charts/app", strategy, values);
            let found = find(&tree, &object, (kind, revision.to_owned()), &Limits::default()).unwrap();
            assert_eq!((found.version.as_str(), found.path.as_str()), (expected, "charts/app"));
            assert_eq!((found.name.as_str(), found.kind), ("app", Kind::Directory));
        }
    }

    #[test]
    fn what_is_no_chart_is_an_invalid_reference() {
        let mut tree = MemoryTree::default();
        tree.insert("bad/Chart.yaml", "apiVersion: v2\nname: app\n");
        tree.insert("empty/x", "");
        tree.insert("file", "x");
        for (chart, expected) in [
            ("", "no path set for local chart reference"),
            ("/bad", "local chart reference path is expected to be relative"),
            ("no", "stat no: no such file or directory"),
            ("../../no", "stat no: no such file or directory"),
            ("empty", "open empty/Chart.yaml: no such file or directory"),
            ("bad", "validation: chart.metadata.version is required"),
            ("file", "requires gzip-compressed body: invalid gzip header"),
        ] {
            let object = object(chart, ReconcileStrategy::ChartVersion, &[]);
            let source = ("GitRepository", "main@sha1:1".to_owned());
            let failure = find(&tree, &object, source, &Limits::default()).unwrap_err();
            assert_eq!(failure, failure::reference(expected), "{chart}");
        }
    }
}
