//! YAML files as sigs.k8s.io/yaml puts them into a Go struct: by way of JSON, with names in any case, with numbers and booleans
//! for texts.

use serde_json::{Map, Value};
use yaml::{Node, Resolver};

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// It is no YAML, or asks for too much.
    #[error("error converting YAML to JSON")]
    Yaml(#[from] yaml::Error),
    /// It is no text.
    #[error("error converting YAML to JSON: yaml: invalid UTF-8")]
    NotText,
    /// A value is of another type than what it is for.
    #[error(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into {place} of type {expected}"
    )]
    Type {
        /// What there is.
        found: &'static str,
        /// Where it is, as Go tells it.
        place: String,
        /// What there should be.
        expected: &'static str,
    },
    /// A time cannot be read.
    #[error(
        "error unmarshaling JSON: while decoding JSON: parsing time {0:?} as \"2006-01-02T15:04:05Z07:00\""
    )]
    Time(String),
}

/// The first document of a file as JSON; null if it is empty.
///
/// # Errors
/// The file is no YAML, or asks for too much.
pub fn first_document(data: &[u8], limits: &yaml::Limits) -> Result<Value, FieldError> {
    read(data, limits, Node::to_json).map(|(document, _)| document)
}

/// The same for [`Fields`], where a float may be in the place of a text; and how many nodes it took, as [`yaml::parse_counted`] says it.
///
/// # Errors
/// As [`first_document`].
pub fn document_of_fields(data: &[u8], limits: &yaml::Limits) -> Result<(Value, usize), FieldError> {
    read(data, limits, Node::to_json_with_floats)
}

fn read(
    data: &[u8],
    limits: &yaml::Limits,
    to_json: impl Fn(&Node, Resolver) -> Result<Value, yaml::Error>,
) -> Result<(Value, usize), FieldError> {
    let text = std::str::from_utf8(data).map_err(|_| FieldError::NotText)?;
    let (document, nodes) = yaml::parse_v2(text, limits)?;
    let json = document.map(|document| to_json(&document, Resolver::KubernetesV2)).transpose()?;
    Ok((json.unwrap_or(Value::Null), nodes))
}

/// The fields of a struct of Go.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// The name of the struct; one that is declared where it is used has none.
    name: &'static str,
    /// The fields that lead to it, each with a dot before it.
    path: String,
}

impl<'a> Fields<'a> {
    /// Those of a document that is for a struct such as `v2.Metadata`; none if it is empty.
    ///
    /// # Errors
    /// It is of another type.
    pub fn of(value: &'a Value, expected: &'static str) -> Result<Option<Self>, FieldError> {
        match value {
            Value::Null => Ok(None),
            Value::Object(map) => Ok(Some(Fields { map, name: struct_name(expected), path: String::new() })),
            other => Err(FieldError::Type { found: kind(other), place: "Go value".to_owned(), expected }),
        }
    }

    /// The value of a field, unless it is null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        let value = self.map.get(name).or_else(|| {
            self.map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        });
        value.filter(|value| !value.is_null())
    }

    /// Puts a text where there is one.
    ///
    /// # Errors
    /// It is no scalar.
    pub fn text(&self, name: &str, into: &mut String) -> Result<(), FieldError> {
        if let Some(value) = self.get(name) {
            *into = scalar_text(value).ok_or_else(|| self.wrong(name, value, "string"))?;
        }
        Ok(())
    }

    /// The same for a boolean.
    pub(crate) fn boolean(&self, name: &str, into: &mut bool) -> Result<(), FieldError> {
        match self.get(name) {
            None => Ok(()),
            Some(Value::Bool(value)) => {
                *into = *value;
                Ok(())
            }
            Some(other) => Err(self.wrong(name, other, "bool")),
        }
    }

    /// The same for a list of texts; one that is null is empty.
    pub(crate) fn texts(&self, name: &str, into: &mut Vec<String>) -> Result<(), FieldError> {
        let Some(items) = self.items(name, "[]string")? else { return Ok(()) };
        let text = |item: &Value| match item {
            Value::Null => Ok(String::new()),
            item => scalar_text(item).ok_or_else(|| self.wrong(name, item, "string")),
        };
        *into = items.iter().map(text).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The items of a list.
    pub(crate) fn items(
        &self,
        name: &str,
        expected: &'static str,
    ) -> Result<Option<&'a [Value]>, FieldError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(name, other, expected)),
        }
    }

    /// The entries of a map of texts.
    ///
    /// # Errors
    /// It is no map, or its values are no scalars.
    pub fn text_map(&self, name: &str, into: &mut Map<String, Value>) -> Result<(), FieldError> {
        match self.get(name) {
            None => Ok(()),
            Some(Value::Object(map)) => {
                for (key, value) in map {
                    let text = match value {
                        Value::Null => String::new(),
                        value => scalar_text(value).ok_or_else(|| self.wrong(name, value, "string"))?,
                    };
                    into.insert(key.clone(), text.into());
                }
                Ok(())
            }
            Some(other) => Err(self.wrong(name, other, "map[string]string")),
        }
    }

    /// The fields of a struct within; none if it is null.
    ///
    /// # Errors
    /// It is of another type.
    pub fn child(&self, name: &str, expected: &'static str) -> Result<Option<Fields<'a>>, FieldError> {
        self.get(name).map_or(Ok(None), |value| self.nested(name, value, expected))
    }

    /// The fields of an item of a list; none if it is null.
    pub(crate) fn nested(
        &self,
        name: &str,
        item: &'a Value,
        expected: &'static str,
    ) -> Result<Option<Fields<'a>>, FieldError> {
        match item {
            Value::Null => Ok(None),
            Value::Object(map) => {
                let path = format!("{}.{name}", self.path);
                Ok(Some(Fields { map, name: struct_name(expected), path }))
            }
            other => Err(self.wrong(name, other, expected)),
        }
    }

    fn wrong(&self, name: &str, found: &Value, expected: &'static str) -> FieldError {
        let place = format!("Go struct field {}{}.{name}", self.name, self.path);
        FieldError::Type { found: kind(found), place, expected }
    }
}

/// The name of a type without its package.
fn struct_name(expected: &'static str) -> &'static str {
    match expected.rsplit_once('.') {
        Some((_, name)) => name,
        None => "",
    }
}

/// Go's name of a JSON type.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What becomes of a scalar where a text is wanted.
fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(match number.as_f64() {
            // With 32 bits, as it writes a float in the place of a text.
            Some(float) if number.is_f64() => yaml::yaml_float32(float),
            _ => number.to_string(),
        }),
        _ => None,
    }
}
