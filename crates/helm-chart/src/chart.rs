//! Charts: from files to what they are, subcharts included.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::archive::load_within;
use crate::error::LoadError;
use crate::fields::{FieldError, document_of_fields};
use crate::limits::{Allowance, Limits};
use crate::lock::Lock;
use crate::metadata::{API_VERSION_1, Metadata};
use crate::values::{self, NoDefaultValues, Values};

/// A file of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path in the chart.
    pub name: String,
    /// Seconds after 1970 at which it was changed; none if it does not come from an archive.
    pub modified: Option<u64>,
    /// What is in it.
    pub data: Bytes,
}

/// A chart with its subcharts.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Chart.yaml, and requirements.yaml where that is its place.
    pub metadata: Metadata,
    /// When Chart.yaml was changed.
    pub modified: Option<u64>,
    /// The lock file.
    pub lock: Option<Lock>,
    /// values.yaml as it is.
    pub values_file: Option<File>,
    /// What is in it.
    pub values: Values,
    /// values.schema.json.
    pub schema: Option<File>,
    /// What is in `templates/`.
    pub templates: Vec<File>,
    /// Everything else, `crds/` included.
    pub files: Vec<File>,
    /// The subcharts, by the names of their folders or archives.
    pub dependencies: Vec<Chart>,
}

impl Chart {
    /// The bytes of all files, those of subcharts included.
    pub fn size(&self) -> u64 {
        let files = self.values_file.iter().chain(&self.schema).chain(&self.templates).chain(&self.files);
        let own: u64 = files.map(|file| file.data.len() as u64).sum();
        own + self.dependencies.iter().map(Chart::size).sum::<u64>()
    }

    /// Puts other default values in the place of the chart's own; gives whether they differ.
    ///
    /// # Errors
    /// When the chart has none.
    pub fn set_default_values(&mut self, values: Values) -> Result<bool, NoDefaultValues> {
        let file = self.values_file.as_mut().ok_or(NoDefaultValues)?;
        let data = if values.is_empty() { String::new() } else { yaml::json_to_yaml(&values.clone().into()) };
        if file.data == data.as_bytes() {
            return Ok(false);
        }
        file.data = data.into();
        self.values = values;
        Ok(true)
    }
}

/// Reads Chart.yaml into `metadata`.
pub(crate) fn read_metadata_file(
    data: &[u8],
    metadata: &mut Metadata,
    limits: &Limits,
) -> Result<(), LoadError> {
    document_of_fields(data, &limits.yaml)
        .and_then(|(document, _)| metadata.read(&document))
        .map_err(|source| LoadError::File { file: "Chart.yaml", source })?;
    // Charts of Helm 2 do not say which version they are of.
    if metadata.api_version.is_empty() {
        API_VERSION_1.clone_into(&mut metadata.api_version);
    }
    Ok(())
}

/// Puts requirements.yaml into `metadata`.
pub(crate) fn read_requirements(
    data: &[u8],
    metadata: &mut Metadata,
    limits: &Limits,
) -> Result<(), LoadError> {
    document_of_fields(data, &limits.yaml)
        .and_then(|(document, _)| metadata.read(&document))
        .map_err(|source| LoadError::File { file: "requirements.yaml", source })
}

fn read_lock(file: &'static str, data: &[u8], limits: &Limits) -> Result<Option<Lock>, LoadError> {
    let read = |data| Lock::read(&document_of_fields(data, &limits.yaml)?.0);
    read(data).map_err(|source: FieldError| LoadError::File { file, source })
}

/// Makes a chart of its files, which are in any order.
pub(crate) fn load_files(mut files: Vec<File>, allowance: &mut Allowance<'_>) -> Result<Chart, LoadError> {
    let limits = allowance.limits;
    let mut metadata = None;
    let mut modified = None;
    for file in files.iter().filter(|file| file.name == "Chart.yaml") {
        read_metadata_file(&file.data, metadata.get_or_insert_default(), limits)?;
        modified = file.modified;
    }
    files.retain(|file| file.name != "Chart.yaml");
    let mut chart = Chart {
        metadata: metadata.ok_or(LoadError::NoChartYaml)?,
        modified,
        lock: None,
        values_file: None,
        values: Values::new(),
        schema: None,
        templates: Vec::new(),
        files: Vec::new(),
        dependencies: Vec::new(),
    };
    let mut subcharts: BTreeMap<String, Vec<File>> = BTreeMap::new();
    for file in files {
        chart.add(file, &mut subcharts, limits)?;
    }
    chart.metadata.validate()?;
    for (name, files) in subcharts {
        if name.starts_with(['_', '.']) {
            continue;
        }
        let parent = &chart.metadata.name;
        allowance.descend()?;
        let loaded = load_subchart(&name, files, parent, allowance);
        allowance.ascend();
        let subchart = loaded.map_err(|error| match error {
            error @ (LoadError::SubchartName { .. } | LoadError::Limit(_)) => error,
            source => LoadError::Subchart { name, parent: parent.clone(), source: Box::new(source) },
        })?;
        chart.dependencies.push(subchart);
    }
    Ok(chart)
}

impl Chart {
    /// Puts a file where it belongs by its name.
    fn add(
        &mut self,
        file: File,
        subcharts: &mut BTreeMap<String, Vec<File>>,
        limits: &Limits,
    ) -> Result<(), LoadError> {
        let is_version_1 = self.metadata.api_version == API_VERSION_1;
        match file.name.as_str() {
            "Chart.lock" => self.lock = read_lock("Chart.lock", &file.data, limits)?,
            "values.yaml" => {
                let read = values::read_values(&file.data, &limits.yaml);
                self.values = read.map_err(LoadError::Values)?;
                self.values_file = Some(file);
            }
            "values.schema.json" => self.schema = Some(file),
            "requirements.yaml" => {
                read_requirements(&file.data, &mut self.metadata, limits)?;
                self.files.extend(is_version_1.then_some(file));
            }
            "requirements.lock" => {
                self.lock = read_lock("requirements.lock", &file.data, limits)?;
                self.files.extend(is_version_1.then_some(file));
            }
            name if name.starts_with("templates/") => self.templates.push(file),
            name => match name.strip_prefix("charts/") {
                Some(rest) if !name.ends_with(".prov") => {
                    let (folder, rest) =
                        (rest.split('/').next().unwrap_or_default().to_owned(), rest.to_owned());
                    subcharts.entry(folder).or_default().push(File { name: rest, ..file });
                }
                _ => self.files.push(file),
            },
        }
        Ok(())
    }
}

/// Loads what is in `charts/<name>`: the files of a folder, or the one that is an archive.
fn load_subchart(
    name: &str,
    files: Vec<File>,
    parent: &str,
    allowance: &mut Allowance<'_>,
) -> Result<Chart, LoadError> {
    if name.ends_with(".tgz") {
        return match files.into_iter().next() {
            Some(file) if file.name == name => load_within(&*file.data, allowance),
            file => Err(LoadError::SubchartName {
                parent: parent.to_owned(),
                expected: name.to_owned(),
                got: file.map(|file| file.name).unwrap_or_default(),
            }),
        };
    }
    // A file in `charts/` that is in no folder is no chart, and gives none.
    let within = |file: File| {
        let name = file.name.split_once('/')?.1.to_owned();
        Some(File { name, ..file })
    };
    load_files(files.into_iter().filter_map(within).collect(), allowance)
}
