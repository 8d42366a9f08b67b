//! Why a chart cannot be loaded, in Helm's words.

use std::io;

use artifact::unpack::UnpackError;

use crate::fields::FieldError;
use crate::ignore::IgnoreError;
use crate::limits::LimitError;
use crate::metadata::ValidationError;
use crate::values::DocumentError;

/// Why a chart cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is no archive, or a broken one.
    #[error(transparent)]
    Unpack(UnpackError),
    /// A name begins with a slash.
    #[error("chart illegally contains absolute paths")]
    AbsolutePath,
    /// A name is not below the chart's directory.
    #[error("chart illegally contains content outside the base directory: {0:?}")]
    Outside(String),
    /// A name goes up.
    #[error("chart illegally references parent directory")]
    ParentDirectory,
    /// A name that is a drive of Windows, or no text.
    #[error("chart contains illegally named files")]
    IllegalName,
    /// The archive has its Chart.yaml at the top.
    #[error("chart yaml not in base directory")]
    NotInBaseDirectory,
    /// There is nothing in the archive.
    #[error("no files in chart archive")]
    NoFiles,
    /// There is no Chart.yaml.
    #[error("Chart.yaml file is missing")]
    NoChartYaml,
    /// The same, where only metadata was looked for.
    #[error("no 'Chart.yaml' found")]
    NoMetadata,
    /// It is too large.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The values file cannot be read.
    #[error("cannot load values.yaml")]
    Values(#[source] DocumentError),
    /// A file cannot be read as what it is by its name.
    #[error("cannot load {file}")]
    File {
        /// The file's name.
        file: &'static str,
        /// What is wrong.
        #[source]
        source: FieldError,
    },
    /// What Chart.yaml says is not allowed.
    #[error(transparent)]
    Validation(#[from] ValidationError),
    /// A subchart cannot be loaded.
    #[error("error unpacking subchart {name} in {parent}")]
    Subchart {
        /// The folder or archive in `charts/`.
        name: String,
        /// The chart that has it.
        parent: String,
        /// What is wrong.
        #[source]
        source: Box<LoadError>,
    },
    /// A folder in `charts/` is called like an archive.
    #[error("error unpacking subchart tar in {parent}: expected {expected}, got {got}")]
    SubchartName {
        /// The chart that has it.
        parent: String,
        /// The name of the folder.
        expected: String,
        /// The file in it.
        got: String,
    },
    /// `.helmignore` has a rule that cannot be read.
    #[error("cannot load ignore rules for chart")]
    Ignore(#[from] IgnoreError),
    /// There is no such directory or file.
    #[error("stat {0}: no such file or directory")]
    Missing(String),
    /// There is no such file in a directory.
    #[error("open {0}: no such file or directory")]
    MissingFile(String),
    /// The files of a directory cannot be gathered.
    #[error("failed to load files from {path}")]
    Files {
        /// The directory.
        path: String,
        /// What is wrong.
        #[source]
        source: Box<LoadError>,
    },
    /// The files of a directory are no chart.
    #[error("failed to load chart from {path}")]
    Directory {
        /// The directory.
        path: String,
        /// What is wrong.
        #[source]
        source: Box<LoadError>,
    },
    /// A file of a tree cannot be read.
    #[error("error reading {path}")]
    Read {
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
}
