//! What a HelmRelease keeps of a stored revision, so that it knows it again (`internal/release` of helm-controller).

use artifact::digest::{Algorithm, Digest, Hasher};
use helm_chart::{FieldError, Metadata, floats};
use serde::Deserialize;
use serde_json::Value;
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
        let config = config.clone().filter(|config| !config.is_empty()).map(|mut config| {
            floats(&mut config);
            yaml::canonical_json(&config.into())
        });
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
        let mut hasher = Hasher::new(algorithm);
        hasher.update(fields.finish().as_bytes());
        hasher.update(b"\n");
        hasher.finish()
    }
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
