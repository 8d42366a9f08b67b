//! The artifact: what a source produces and a consumer downloads.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::null_is_default;

/// Output of a source's reconciliation: a tarball on the artifact server, and what it is traceable to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(description = "Artifact is the output of a source's reconciliation.")]
pub struct Artifact {
    /// Digest of the file, in the form of '<algorithm>:<checksum>'.
    #[schemars(extend("pattern" = r"^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$"))]
    pub digest: String,
    /// Time of the last write of the artifact, in RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub last_update_time: String,
    /// Additional facts of the upstream, such as OCI annotations.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Path of the file, relative to the root of the artifact storage.
    pub path: String,
    /// Human-readable identifier, traceable in the origin: a branch with its commit, a tag, a chart version.
    pub revision: String,
    /// Size of the file in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// HTTP address at which the file is served.
    pub url: String,
}
