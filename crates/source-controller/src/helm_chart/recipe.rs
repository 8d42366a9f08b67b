//! From what was fetched to a stored chart. Everything here blocks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek};
use std::sync::Arc;

use ::helm_chart::{
    Chart, Limits, Merged, ValuesError, load_archive, load_directory, merge_from_chart, merge_from_tree,
    read_metadata, save,
};
use api::helm_chart::HelmChart;
use artifact::store;
use net::Deadline;
use runtime::error::chain;
use source::failure::Failure;
use source::storage::ObjectStorage;
use source::upstream::Built;

use super::dependencies::{self, Added};
use super::pulls::Pulled;
use super::trees::SourceTree;
use super::{failure, summary};

/// How a chart is made.
pub struct Recipe {
    /// Its name, as it was asked for or as the chart has it.
    pub name: String,
    /// The version that it will have.
    pub version: String,
    /// What it is made from.
    pub base: Base,
    /// The revision of its source.
    pub source_revision: Option<String>,
    /// What it was verified by.
    pub verified: Option<String>,
}

/// What a chart is made from.
pub enum Base {
    /// The archive of a repository. It is stored as it is where it keeps its version and values.
    Pulled {
        /// The archive.
        archive: Arc<Pulled>,
        /// Whether it is packaged anew.
        is_packaged: bool,
    },
    /// An archive in another source that is stored as it is.
    Archived {
        /// The source.
        tree: Arc<SourceTree>,
        /// Where it is.
        path: String,
    },
    /// A directory or an archive in another source.
    Local {
        /// The source.
        tree: Arc<SourceTree>,
        /// Where it is.
        path: String,
        /// What it lacks.
        dependencies: Vec<Added>,
    },
}

impl Recipe {
    /// Makes and stores the chart; gives the values files that it has.
    ///
    /// # Errors
    /// Whatever goes wrong on the way.
    pub fn build(
        &self,
        object: &HelmChart,
        storage: &ObjectStorage,
        limits: &Limits,
        deadline: &Deadline,
    ) -> Result<(Built, Vec<String>), Failure> {
        let values = values_files(object);
        let (artifact, is_packaged, files) = match &self.base {
            Base::Pulled { archive, is_packaged: false } => {
                check_pulled(archive.bytes.as_slice(), limits)?;
                (self.store(storage, &mut archive.bytes.as_slice())?, false, Vec::new())
            }
            Base::Pulled { archive, .. } => {
                let mut chart = load_archive(archive.bytes.as_slice(), limits).map_err(|error| {
                    failure::package(format!("failed to load downloaded chart: {}", chain(&error)))
                })?;
                let merged =
                    merge_from_chart(&chart, values, object.spec.ignore_missing_values_files, limits)
                        .map_err(|error| {
                            failure::values(format!("failed to merge chart values: {}", chain(&error)))
                        })?;
                let files = overwrite(&mut chart, merged)?;
                (self.package(chart, storage)?, true, files)
            }
            Base::Archived { tree, path } => {
                let bytes = ::helm_chart::Tree::read(tree.as_ref(), path).map_err(failure::pull)?;
                (self.store(storage, &mut bytes.as_slice())?, false, Vec::new())
            }
            Base::Local { tree, path, dependencies } => {
                let merged = match values {
                    [] => None,
                    values => {
                        let ignore = object.spec.ignore_missing_values_files;
                        let merged = merge_from_tree(tree.as_ref(), values, ignore, limits);
                        Some(merged.map_err(|error| failure::values(chain(&error)))?)
                    }
                };
                let mut chart = load_directory(tree.as_ref(), path, limits)
                    .map_err(|error| failure::package(chain(&error)))?;
                let files = merged.map_or(Ok(Vec::new()), |merged| overwrite(&mut chart, merged))?;
                dependencies::add(&mut chart, tree, path, dependencies, limits, deadline)?;
                (self.package(chart, storage)?, true, files)
            }
        };
        let title = summary::built(is_packaged, &self.name, &self.version, &files);
        Ok((Built { artifact, metadata: BTreeMap::new(), title, verified: None }, files))
    }

    fn package(&self, mut chart: Chart, storage: &ObjectStorage) -> Result<store::Artifact, Failure> {
        chart.metadata.version.clone_from(&self.version);
        let file = tempfile::tempfile().map(BufWriter::new).map_err(failure::package)?;
        let written = save(&chart, file).map_err(|error| failure::package(chain(&error)))?;
        drop(chart);
        let rewound = written.into_inner().map_err(|error| error.into_error()).and_then(|mut file: File| {
            file.rewind()?;
            Ok(file)
        });
        self.store(storage, &mut rewound.map_err(failure::package)?)
    }

    fn store(&self, storage: &ObjectStorage, content: &mut dyn Read) -> Result<store::Artifact, Failure> {
        // A chart in a registry may be asked for by a path.
        let name = self.name.rsplit('/').next().unwrap_or_default();
        let path = storage.file(&format!("{name}-{}.tgz", self.version));
        let stored = storage.store.copy(&path, &self.version, content);
        stored.map_err(|error| Failure::store("copy", &error))
    }
}

/// The values files that are merged: the chart's own alone is what it has anyway.
pub fn values_files(object: &HelmChart) -> &[String] {
    match object.spec.values_files.as_slice() {
        [only] if ::helm_chart::clean_path(only) == "values.yaml" => &[],
        files => files,
    }
}

/// Looks at the metadata of an archive that is stored as it is.
fn check_pulled(archive: &[u8], limits: &Limits) -> Result<(), Failure> {
    let metadata = read_metadata(archive, limits);
    let mut metadata = metadata.map_err(|error| {
        failure::pull(format!("failed to load chart metadata from written chart: {}", chain(&error)))
    })?;
    metadata
        .validate()
        .map_err(|error| failure::pull(format!("failed to validate metadata of written chart: {error}")))
}

/// Gives the chart other default values; tells from which files they are if they differ.
fn overwrite(chart: &mut Chart, merged: Merged) -> Result<Vec<String>, Failure> {
    let changed = chart.set_default_values(merged.values).map_err(ValuesError::from);
    let changed = changed.map_err(|error| failure::values(chain(&error)))?;
    Ok(if changed { merged.files } else { Vec::new() })
}
