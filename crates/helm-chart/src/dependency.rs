//! The charts that a chart needs.

use serde_json::{Map, Value, json};

use crate::chart::Chart;
use crate::fields::{FieldError, Fields};
use crate::metadata::{ValidationError, invalid, put_list, put_text, sanitize};
use crate::tree::clean_path;

/// An entry of `dependencies` in Chart.yaml, requirements.yaml or a lock file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dependency {
    /// The chart's name.
    pub name: String,
    /// Its version, or a constraint.
    pub version: String,
    /// Where it is.
    pub repository: String,
    /// The values that decide whether it is used.
    pub condition: String,
    /// The same by groups.
    pub tags: Vec<String>,
    /// Whether it is used.
    pub enabled: bool,
    /// Values that its parent takes over.
    pub import_values: Vec<Value>,
    /// The name under which it is used, if that is another one.
    pub alias: String,
}

impl Dependency {
    pub(crate) fn list(fields: &Fields<'_>, items: &[Value]) -> Result<Vec<Option<Self>>, FieldError> {
        items
            .iter()
            .map(|item| {
                fields.nested("dependencies", item, "v2.Dependency")?.map(|f| Self::read(&f)).transpose()
            })
            .collect()
    }

    fn read(fields: &Fields<'_>) -> Result<Self, FieldError> {
        let mut read = Dependency::default();
        for (name, into) in [
            ("name", &mut read.name),
            ("version", &mut read.version),
            ("repository", &mut read.repository),
            ("condition", &mut read.condition),
            ("alias", &mut read.alias),
        ] {
            fields.text(name, into)?;
        }
        fields.texts("tags", &mut read.tags)?;
        fields.boolean("enabled", &mut read.enabled)?;
        let imports = fields.items("import-values", "[]interface {}")?;
        read.import_values = imports.map(<[Value]>::to_vec).unwrap_or_default();
        Ok(read)
    }

    /// The name of its folder: the alias if it has one.
    pub fn local_name(&self) -> &str {
        if self.alias.is_empty() { &self.name } else { &self.alias }
    }

    pub(crate) fn validate(&mut self) -> Result<(), ValidationError> {
        [&mut self.name, &mut self.version, &mut self.repository, &mut self.condition]
            .into_iter()
            .chain(&mut self.tags)
            .for_each(sanitize);
        if self.alias.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Ok(());
        }
        Err(invalid(format!("dependency {:?} has disallowed characters in the alias", self.name)))
    }

    pub(crate) fn optional_json(dependency: &Option<Self>) -> Value {
        let Some(dependency) = dependency else { return Value::Null };
        let mut map = Map::new();
        map.insert("name".to_owned(), json!(dependency.name));
        put_text(&mut map, "version", &dependency.version);
        map.insert("repository".to_owned(), json!(dependency.repository));
        put_text(&mut map, "condition", &dependency.condition);
        put_list(&mut map, "tags", dependency.tags.iter().map(|tag| json!(tag)));
        if dependency.enabled {
            map.insert("enabled".to_owned(), true.into());
        }
        put_list(&mut map, "import-values", dependency.import_values.iter().cloned());
        put_text(&mut map, "alias", &dependency.alias);
        map.into()
    }
}

/// A dependency that a chart lacks.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// What it is.
    pub dependency: Dependency,
    /// Whether it is in the same source, and not in a repository.
    pub is_local: bool,
}

/// What is to be added to a chart, in the order of its file; a lock file has the last word. As in Flux, nothing is missing where
/// the chart has as many subcharts as it asks for, whatever these are.
pub fn missing(chart: &Chart) -> Vec<Requirement> {
    let wanted = match &chart.lock {
        Some(lock) => &lock.dependencies,
        None => &chart.metadata.dependencies,
    };
    if wanted.len() == chart.dependencies.len() {
        return Vec::new();
    }
    let mut requirements: Vec<Requirement> = Vec::new();
    for dependency in wanted.iter().flatten() {
        let name = dependency.local_name();
        let is_there = chart.dependencies.iter().any(|subchart| subchart.metadata.name == name);
        if is_there {
            continue;
        }
        let is_local = dependency.repository.is_empty() || dependency.repository.starts_with("file://");
        let requirement = Requirement { dependency: dependency.clone(), is_local };
        // A later entry of the same name replaces an earlier one.
        match requirements.iter_mut().find(|earlier| earlier.dependency.local_name() == name) {
            Some(earlier) => *earlier = requirement,
            None => requirements.push(requirement),
        }
    }
    requirements
}

/// Where the local dependency of the chart at `chart_path` is in its tree; it never leaves that.
pub fn local_path(chart_path: &str, dependency: &Dependency) -> String {
    match dependency.repository.strip_prefix("file://") {
        // The host of such a URL is the beginning of a relative path.
        Some(path) => {
            let path = path.split(['?', '#']).next().unwrap_or_default();
            clean_path(&format!("{chart_path}/{path}"))
        }
        None => clean_path(&format!("{chart_path}/charts/{}", dependency.name)),
    }
}
