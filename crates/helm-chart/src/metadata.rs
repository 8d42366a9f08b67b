//! Chart.yaml.

use serde_json::{Map, Value, json};

use crate::dependency::Dependency;
use crate::fields::{FieldError, Fields};
use versions::Version;

/// `apiVersion` of charts whose dependencies are in requirements.yaml.
pub const API_VERSION_1: &str = "v1";
/// `apiVersion` of charts whose dependencies are in Chart.yaml.
pub const API_VERSION_2: &str = "v2";

/// What is wrong with metadata, in Helm's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("validation: {0}")]
pub struct ValidationError(pub(crate) String);

/// Somebody who keeps a chart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintainer {
    /// A person or an organisation.
    pub name: String,
    /// Their address.
    pub email: String,
    /// Their page.
    pub url: String,
}

/// What Chart.yaml says. Empty texts and lists are the same as none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// The chart's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `v1` or `v2`.
    pub api_version: String,
    /// The version of what is in it.
    pub app_version: String,
    /// A sentence about it.
    pub description: String,
    /// The page of the project.
    pub home: String,
    /// Where its sources are.
    pub sources: Vec<String>,
    /// Words to find it by.
    pub keywords: Vec<String>,
    /// Who keeps it; null entries are refused by [`Metadata::validate`].
    pub maintainers: Vec<Option<Maintainer>>,
    /// The address of an image.
    pub icon: String,
    /// What decides whether it is used as a subchart.
    pub condition: String,
    /// The same by groups.
    pub tags: String,
    /// Whether it should not be used any more.
    pub deprecated: bool,
    /// Texts that Helm does not look at.
    pub annotations: Map<String, Value>,
    /// The versions of Kubernetes that it is for.
    pub kube_version: String,
    /// The charts that it needs; null entries are refused by [`Metadata::validate`].
    pub dependencies: Vec<Option<Dependency>>,
    /// Empty, `application` or `library`.
    pub kind: String,
}

impl Metadata {
    /// Those that are stored as JSON.
    ///
    /// # Errors
    /// A value is of another type than what it is for.
    pub fn from_json(value: &Value) -> Result<Self, FieldError> {
        let mut metadata = Self::default();
        metadata.read(value)?;
        Ok(metadata)
    }

    /// Puts in what a document says; what it does not name stays as it is.
    pub(crate) fn read(&mut self, document: &Value) -> Result<(), FieldError> {
        let Some(fields) = Fields::of(document, "v2.Metadata")? else { return Ok(()) };
        for (name, into) in [
            ("name", &mut self.name),
            ("version", &mut self.version),
            ("apiVersion", &mut self.api_version),
            ("appVersion", &mut self.app_version),
            ("description", &mut self.description),
            ("home", &mut self.home),
            ("icon", &mut self.icon),
            ("condition", &mut self.condition),
            ("tags", &mut self.tags),
            ("kubeVersion", &mut self.kube_version),
            ("type", &mut self.kind),
        ] {
            fields.text(name, into)?;
        }
        fields.boolean("deprecated", &mut self.deprecated)?;
        fields.texts("sources", &mut self.sources)?;
        fields.texts("keywords", &mut self.keywords)?;
        fields.text_map("annotations", &mut self.annotations)?;
        if let Some(items) = fields.items("maintainers", "[]*v2.Maintainer")? {
            let read =
                |item| fields.nested("maintainers", item, "v2.Maintainer")?.map(maintainer).transpose();
            self.maintainers = items.iter().map(read).collect::<Result<_, _>>()?;
        }
        if let Some(items) = fields.items("dependencies", "[]*v2.Dependency")? {
            self.dependencies = Dependency::list(&fields, items)?;
        }
        Ok(())
    }

    /// Puts blanks for what is white space, leaves out what cannot be printed, and looks whether the chart may be used.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&mut self) -> Result<(), ValidationError> {
        for text in [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ] {
            sanitize(text);
        }
        self.sources.iter_mut().chain(&mut self.keywords).for_each(sanitize);
        self.check_identity()?;
        for maintainer in &mut self.maintainers {
            let Some(Maintainer { name, email, url }) = maintainer else {
                return Err(invalid("maintainers must not contain empty or null nodes"));
            };
            [name, email, url].into_iter().for_each(sanitize);
        }
        let mut names = std::collections::BTreeSet::new();
        for dependency in &mut self.dependencies {
            let Some(dependency) = dependency else {
                return Err(invalid("dependencies must not contain empty or null nodes"));
            };
            dependency.validate()?;
            let key = dependency.local_name();
            if !names.insert(key.to_owned()) {
                return Err(invalid(format!("more than one dependency with name or alias {key:?}")));
            }
        }
        Ok(())
    }

    fn check_identity(&self) -> Result<(), ValidationError> {
        let name = &self.name;
        if self.api_version.is_empty() {
            return Err(invalid("chart.metadata.apiVersion is required"));
        }
        if name.is_empty() {
            return Err(invalid("chart.metadata.name is required"));
        }
        if name == "." || name == ".." {
            return Err(invalid(format!("chart.metadata.name {name:?} is not allowed")));
        }
        if name.contains('/') {
            return Err(invalid(format!("chart.metadata.name {name:?} is invalid")));
        }
        if self.version.is_empty() {
            return Err(invalid("chart.metadata.version is required"));
        }
        if Version::parse_loose(&self.version).is_none() {
            return Err(invalid(format!("chart.metadata.version {:?} is invalid", self.version)));
        }
        match self.kind.as_str() {
            "" | "application" | "library" => Ok(()),
            _ => Err(invalid("chart.metadata.type must be application or library")),
        }
    }

    /// The text of Chart.yaml as Helm packs it: keys sorted, what it does not know left out, and what is empty.
    pub(crate) fn to_yaml(&self) -> String {
        let mut fields = self.to_json();
        if self.api_version == API_VERSION_1 {
            fields.shift_remove("dependencies");
        }
        yaml::json_to_yaml(&fields.into())
    }

    /// The fields that are not empty, in the order in which Go has them.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        put_text(&mut map, "name", &self.name);
        put_text(&mut map, "home", &self.home);
        put_list(&mut map, "sources", self.sources.iter().map(|text| json!(text)));
        put_text(&mut map, "version", &self.version);
        put_text(&mut map, "description", &self.description);
        put_list(&mut map, "keywords", self.keywords.iter().map(|text| json!(text)));
        put_list(&mut map, "maintainers", self.maintainers.iter().map(maintainer_json));
        put_text(&mut map, "icon", &self.icon);
        put_text(&mut map, "apiVersion", &self.api_version);
        put_text(&mut map, "condition", &self.condition);
        put_text(&mut map, "tags", &self.tags);
        put_text(&mut map, "appVersion", &self.app_version);
        if self.deprecated {
            map.insert("deprecated".to_owned(), true.into());
        }
        if !self.annotations.is_empty() {
            map.insert("annotations".to_owned(), self.annotations.clone().into());
        }
        put_text(&mut map, "kubeVersion", &self.kube_version);
        put_list(&mut map, "dependencies", self.dependencies.iter().map(Dependency::optional_json));
        put_text(&mut map, "type", &self.kind);
        map
    }
}

pub(crate) fn invalid(message: impl Into<String>) -> ValidationError {
    ValidationError(message.into())
}

fn maintainer(fields: Fields<'_>) -> Result<Maintainer, FieldError> {
    let mut read = Maintainer::default();
    for (name, into) in [("name", &mut read.name), ("email", &mut read.email), ("url", &mut read.url)] {
        fields.text(name, into)?;
    }
    Ok(read)
}

fn maintainer_json(maintainer: &Option<Maintainer>) -> Value {
    let Some(Maintainer { name, email, url }) = maintainer else { return Value::Null };
    let mut map = Map::new();
    for (key, text) in [("name", name), ("email", email), ("url", url)] {
        put_text(&mut map, key, text);
    }
    map.into()
}

pub(crate) fn put_text(map: &mut Map<String, Value>, name: &str, text: &str) {
    if !text.is_empty() {
        map.insert(name.to_owned(), text.into());
    }
}

pub(crate) fn put_list(map: &mut Map<String, Value>, name: &str, items: impl Iterator<Item = Value>) {
    let items: Vec<Value> = items.collect();
    if !items.is_empty() {
        map.insert(name.to_owned(), items.into());
    }
}

/// As Helm: white space becomes a blank, and what Go does not call printable goes.
pub(crate) fn sanitize(text: &mut String) {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return;
    }
    *text = text
        .chars()
        .filter_map(|c| if c.is_whitespace() { Some(' ') } else { Some(c).filter(|c| is_printable(*c)) })
        .collect();
}

/// Neither a control nor a format character, nor one for private use.
fn is_printable(c: char) -> bool {
    let is_format = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}');
    let is_private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
    !(c.is_control() || is_format || is_private)
}
