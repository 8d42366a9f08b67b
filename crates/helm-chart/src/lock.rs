//! Chart.lock and requirements.lock.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::dependency::Dependency;
use crate::fields::{FieldError, Fields};

/// What Go writes for a time that was never set.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// The versions of dependencies that were chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Lock {
    /// When, in the form of RFC 3339.
    pub generated: String,
    /// A hash of what they were chosen for.
    pub digest: String,
    /// The dependencies, each with its version.
    pub dependencies: Vec<Option<Dependency>>,
    /// Whether the file had a list of them at all.
    has_list: bool,
}

impl Lock {
    pub(crate) fn read(document: &Value) -> Result<Option<Lock>, FieldError> {
        let Some(fields) = Fields::of(document, "v2.Lock")? else { return Ok(None) };
        let (mut generated, mut digest) = (ZERO_TIME.to_owned(), String::new());
        fields.text("generated", &mut generated)?;
        if generated.parse::<Timestamp>().is_err() {
            return Err(FieldError::Time(generated));
        }
        fields.text("digest", &mut digest)?;
        let items = fields.items("dependencies", "[]*v2.Dependency")?;
        let dependencies = items.map(|items| Dependency::list(&fields, items)).transpose()?;
        let has_list = dependencies.is_some();
        Ok(Some(Lock { generated, digest, dependencies: dependencies.unwrap_or_default(), has_list }))
    }

    /// Seconds after 1970; 0 for a time before.
    pub(crate) fn seconds(&self) -> u64 {
        let time = self.generated.parse::<Timestamp>().map_or(0, Timestamp::as_second);
        u64::try_from(time).unwrap_or(0)
    }

    pub(crate) fn to_yaml(&self) -> String {
        yaml::json_to_yaml(&self.to_json().into())
    }

    /// The fields in the order in which Go has them.
    pub fn to_json(&self) -> Map<String, Value> {
        let list = || self.dependencies.iter().map(Dependency::optional_json).collect::<Vec<_>>();
        let mut map = Map::new();
        map.insert("generated".to_owned(), json!(self.generated));
        map.insert("digest".to_owned(), json!(self.digest));
        map.insert("dependencies".to_owned(), if self.has_list { list().into() } else { Value::Null });
        map
    }
}
