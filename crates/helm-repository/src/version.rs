//! A version of a chart as an index has it: the fields of Helm's `ChartVersion`, in the order in which Go writes them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use versions::Version;

/// The name of a field, and what its value is.
const FIELDS: [(&str, Kind); 25] = [
    ("name", Kind::Text),
    ("home", Kind::Text),
    ("sources", Kind::Texts),
    ("version", Kind::Text),
    ("description", Kind::Text),
    ("keywords", Kind::Texts),
    ("maintainers", Kind::Maintainers),
    ("icon", Kind::Text),
    ("apiVersion", Kind::Text),
    ("condition", Kind::Text),
    ("tags", Kind::Text),
    ("appVersion", Kind::Text),
    ("deprecated", Kind::Bool),
    ("annotations", Kind::TextMap),
    ("kubeVersion", Kind::Text),
    ("dependencies", Kind::Dependencies),
    ("type", Kind::Text),
    ("urls", Kind::Texts),
    ("created", Kind::Text),
    ("removed", Kind::Bool),
    ("digest", Kind::Text),
    ("checksum", Kind::Text),
    ("engine", Kind::Text),
    ("tillerVersion", Kind::Text),
    ("url", Kind::Text),
];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    TextMap,
    Bool,
    Maintainers,
    Dependencies,
}

/// Somebody who keeps a chart.
#[derive(Deserialize, Serialize)]
struct Maintainer {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// A chart that another one needs.
#[derive(Deserialize, Serialize)]
struct Dependency {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(rename = "import-values", skip_serializing_if = "Option::is_none")]
    import_values: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
}

/// The fields that are not empty.
#[derive(Debug, Default)]
pub(crate) struct ChartVersion(Map<String, Value>);

impl ChartVersion {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The first address.
    pub(crate) fn url(&self) -> &str {
        self.0.get("urls").and_then(|urls| urls.get(0)).and_then(Value::as_str).unwrap_or_default()
    }

    /// Seconds since 1970; the least of all if the index does not say.
    ///
    /// # Errors
    /// The text that is no time.
    pub(crate) fn created(&self) -> Result<i64, String> {
        match self.text("created") {
            "" => Ok(i64::MIN),
            text => {
                text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_second).map_err(|_| text.to_owned())
            }
        }
    }

    /// Whether Helm takes it for a chart. What it does not is left out of an index.
    pub(crate) fn is_valid(&self) -> bool {
        let name = self.text("name");
        let is_name = !matches!(name, "" | "." | "..") && !name.contains('/');
        let is_kind = matches!(self.text("type"), "" | "application" | "library");
        is_name && is_kind && Version::parse_loose(self.text("version")).is_some()
    }

    /// As Go writes it, `<`, `>` and `&` escaped, empty fields left out.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        let mut ordered = Map::new();
        for (name, _) in FIELDS {
            match self.0.get(name) {
                Some(value) => _ = ordered.insert(name.to_owned(), value.clone()),
                // Charts of the first Helm have none.
                None if name == "apiVersion" => _ = ordered.insert(name.to_owned(), "v1".into()),
                None if name == "urls" => _ = ordered.insert(name.to_owned(), Value::Array(Vec::new())),
                None => {}
            }
        }
        Ok(escape_html(&serde_json::to_string(&ordered)?))
    }
}

/// What `encoding/json` escapes beside what must be.
pub(crate) fn escape_html(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// Reads a version, or the null that some indexes have in its place.
pub(crate) struct VersionSeed {
    /// Whether a field that Helm does not know is an error.
    pub(crate) is_strict: bool,
}

impl<'de> DeserializeSeed<'de> for VersionSeed {
    type Value = Option<ChartVersion>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for VersionSeed {
    type Value = Option<ChartVersion>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version of a chart")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let Some((name, kind)) = FIELDS.iter().find(|(name, _)| *name == key) else {
                if self.is_strict {
                    return Err(serde::de::Error::custom(format_args!("unknown field \"{key}\"")));
                }
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if let Some(value) = value(*kind, &mut map)? {
                fields.insert((*name).to_owned(), value);
            }
        }
        Ok(Some(ChartVersion(fields)))
    }
}

/// The value of a field unless it is empty.
fn value<'de, A: MapAccess<'de>>(kind: Kind, map: &mut A) -> Result<Option<Value>, A::Error> {
    let texts = |texts: Option<Vec<Option<String>>>| {
        let texts = texts.unwrap_or_default().into_iter().map(|text| Value::from(text.unwrap_or_default()));
        Some(texts.collect::<Vec<_>>()).filter(|texts| !texts.is_empty()).map(Value::from)
    };
    Ok(match kind {
        Kind::Text => map.next_value::<Option<String>>()?.filter(|text| !text.is_empty()).map(Value::from),
        Kind::Texts => texts(map.next_value()?),
        Kind::Bool => map.next_value::<Option<bool>>()?.filter(|value| *value).map(Value::from),
        Kind::TextMap => {
            let entries: Option<std::collections::BTreeMap<String, Option<String>>> = map.next_value()?;
            let entries = entries.unwrap_or_default().into_iter();
            let entries: Map<_, _> =
                entries.map(|(key, text)| (key, text.unwrap_or_default().into())).collect();
            Some(entries).filter(|entries| !entries.is_empty()).map(Value::from)
        }
        Kind::Maintainers => list(map.next_value::<Option<Vec<Option<Maintainer>>>>()?)?,
        Kind::Dependencies => list(map.next_value::<Option<Vec<Option<Dependency>>>>()?)?,
    })
}

fn list<T: Serialize, E: serde::de::Error>(items: Option<Vec<Option<T>>>) -> Result<Option<Value>, E> {
    let items: Vec<T> = items.unwrap_or_default().into_iter().flatten().collect();
    let value = serde_json::to_value(&items).map_err(E::custom)?;
    Ok(Some(value).filter(|_| !items.is_empty()))
}
