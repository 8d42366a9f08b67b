//! Credentials in a Secret: a mapping of names to texts, in YAML or JSON.

use secret::Secret;
use serde_json::{Map, Value};
use yaml::{Limits, Resolver};

/// The content of a Secret is not understood. The text holds nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// Not one mapping.
    #[error("it is not a mapping in YAML or JSON")]
    Syntax,
    /// A number, a list and the like.
    #[error("the value of '{0}' is not a text")]
    NotText(String),
    /// Neither `true` nor `false`.
    #[error("the value of '{0}' is neither true nor false")]
    NotBool(String),
}

/// The fields of a mapping.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a text as the API server's YAML is read.
    pub fn parse(text: &str) -> Result<Fields, FieldsError> {
        let documents = yaml::parse(text, &Limits::default()).map_err(|_| FieldsError::Syntax)?;
        let json = documents.first().map(|node| node.to_json(Resolver::KubernetesV2));
        match json.transpose().map_err(|_| FieldsError::Syntax)? {
            Some(Value::Object(fields)) => Ok(Fields(fields)),
            None | Some(Value::Null) => Ok(Fields(Map::new())),
            Some(_) => Err(FieldsError::Syntax),
        }
    }

    /// A text that is not empty.
    pub fn text(&self, name: &str) -> Result<Option<String>, FieldsError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(FieldsError::NotText(name.to_owned())),
        }
    }

    /// The same, when it is secret.
    pub fn secret(&self, name: &str) -> Result<Option<Secret>, FieldsError> {
        Ok(self.text(name)?.map(Secret::new))
    }

    /// Whether something is so; it is not if nothing is said.
    pub fn flag(&self, name: &str) -> Result<bool, FieldsError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(FieldsError::NotBool(name.to_owned())),
        }
    }

    /// A list of mappings.
    pub fn list(&self, name: &str) -> Result<Vec<Fields>, FieldsError> {
        let items = match self.0.get(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(FieldsError::Syntax),
        };
        let mapping = |item: &Value| item.as_object().cloned().map(Fields).ok_or(FieldsError::Syntax);
        items.iter().map(mapping).collect()
    }
}
