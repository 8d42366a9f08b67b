//! What a HelmRelease keeps of a stored revision, so that it knows it again (`internal/release` of helm-controller, `chartutil` of
//! fluxcd/pkg).

use artifact::digest::{Algorithm, Digest, Hasher};
use helm_chart::{FieldError, Metadata};
use serde::Deserialize;
use serde_json::{Map, Value};
use yaml::{JsonFields, json_list, json_string};

use crate::json;
use crate::release::Release;

/// The event of hooks that test a release.
pub const TEST: &str = "test";

/// The stored chart of a revision has metadata that are none.
#[derive(Debug, thiserror::Error)]
#[error("the chart of the release has no valid metadata")]
pub struct MetadataError(#[source] MetadataCause);

#[derive(Debug, thiserror::Error)]
enum MetadataCause {
    #[error("line {line}, column {column}")]
    Json { line: usize, column: usize },
    #[error(transparent)]
    Field(#[from] FieldError),
}

/// A revision with the metadata of its chart.
#[derive(Debug)]
pub struct Observation<'a> {
    /// The revision.
    pub release: &'a Release,
    /// What its chart says of itself.
    pub metadata: Metadata,
    /// The digest of the OCI artifact that the chart is from, which Helm does not store; empty if it is from none.
    pub oci_digest: &'a str,
}

impl<'a> Observation<'a> {
    /// Looks at a revision.
    ///
    /// # Errors
    /// The metadata of its chart cannot be read.
    pub fn new(release: &'a Release, oci_digest: &'a str) -> Result<Self, MetadataError> {
        Ok(Self { release, metadata: metadata(release)?, oci_digest })
    }

    /// The digest over all that matters of the revision. Tests are left out, for users may run them, too.
    ///
    /// Numbers of the values count as Go decodes them, so the digest of a revision is the same before and after it was stored.
    pub fn digest(&self, algorithm: Algorithm) -> Digest {
        let Release { name, info, config, manifest, hooks, version, namespace, .. } = self.release;
        let config = config.as_ref().filter(|config| !config.is_empty());
        let config = config.map(|config| yaml::canonical_json(&Value::Object(floats(config, &Value::from))));
        let hooks = hooks.iter().flatten().filter(|hook| !hook.is_for(TEST));
        let hooks: Vec<String> = hooks.map(|hook| hook.to_json()).collect();
        let mut fields = JsonFields::default();
        fields.raw("name", &json_string(name));
        fields.raw("version", &version.to_string());
        fields.raw("info", &info.to_json());
        fields.raw("chartMetadata", &json::ordered(&self.metadata.to_json()));
        fields.raw("config", config.as_deref().unwrap_or("null"));
        fields.raw("manifest", &json_string(manifest));
        fields.raw("hooks", &if hooks.is_empty() { "null".to_owned() } else { json_list(&hooks) });
        fields.raw("namespace", &json_string(namespace));
        fields.text("ociDigest", self.oci_digest);
        hash(algorithm, &[fields.finish().as_bytes(), b"\n"])
    }

    /// [`config_digest`] of its values.
    pub fn config_digest(&self, algorithm: Algorithm) -> Digest {
        config_digest(self.release.config.as_ref(), algorithm)
    }
}

/// The digest of values, in which the order of keys does not count. No values have the digest of an empty text.
pub fn config_digest(values: Option<&Map<String, Value>>, algorithm: Algorithm) -> Digest {
    let values = values.filter(|values| !values.is_empty());
    let text = values.map(|values| yaml::sorted_yaml(&floats(values, &whole)));
    hash(algorithm, &[text.unwrap_or_default().as_bytes()])
}

fn hash(algorithm: Algorithm, parts: &[&[u8]]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finish()
}

fn metadata(release: &Release) -> Result<Metadata, MetadataError> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Chart {
        metadata: Value,
    }
    let Some(chart) = &release.chart else { return Ok(Metadata::default()) };
    // What is in it is not told.
    let chart: Option<Chart> = serde_json::from_str(chart.get())
        .map_err(|error| MetadataError(MetadataCause::Json { line: error.line(), column: error.column() }))?;
    let value = chart.unwrap_or_default().metadata;
    Metadata::from_json(&value).map_err(|error| MetadataError(error.into()))
}

/// Go has no other numbers in JSON.
fn floats(map: &Map<String, Value>, write: &impl Fn(f64) -> Value) -> Map<String, Value> {
    map.iter().map(|(key, value)| (key.clone(), float(value, write))).collect()
}

fn float(value: &Value, write: &impl Fn(f64) -> Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| value.clone(), write),
        Value::Array(items) => items.iter().map(|item| float(item, write)).collect(),
        Value::Object(map) => floats(map, write).into(),
        value => value.clone(),
    }
}

/// What fits into an integer is one in YAML (`JSONObjectToYAMLObject` of sigs.k8s.io/yaml).
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(float: f64) -> Value {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    match float {
        float if float.trunc() != float => float.into(),
        float if (-TWO_TO_63..TWO_TO_63).contains(&float) => (float as i64).into(),
        float if (0.0..2.0 * TWO_TO_63).contains(&float) => (float as u64).into(),
        float => float.into(),
    }
}
