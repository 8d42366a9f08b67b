//! What a Kustomization reports about itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::null_is_default;
use crate::{Condition, Duration};

/// Observed state of a Kustomization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KustomizationStatus {
    /// Last generation that was reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the Kustomization.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Revision of the last artifact that was applied with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_revision: Option<String>,
    /// Revision of the last applied artifact in the origin of its source, if the artifact names it: for an OCI artifact
    /// the annotation "org.opencontainers.image.revision".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_origin_revision: Option<String>,
    /// Revision of the last artifact that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,
    /// Objects that were applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<ResourceInventory>,
    /// The last results, newest first.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Snapshot>,
    /// Value of the last reconcile request that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// Objects that a Kustomization applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceInventory {
    /// One entry for each object.
    #[serde(deserialize_with = "null_is_default")]
    pub entries: Vec<ResourceRef>,
}

/// Locates an applied object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ResourceRef {
    /// Identity of the object, in the form of '<namespace>_<name>_<group>_<kind>'.
    pub id: String,
    /// Version of the object's API group.
    #[serde(rename = "v")]
    #[schemars(rename = "v")]
    pub version: String,
}

/// A result, and how often and when it was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct Snapshot {
    /// Digest of the built objects, in the form of '<algorithm>:<checksum>'.
    pub digest: String,
    /// When this result was first reached, in RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub first_reconciled: String,
    /// When this result was last reached, in RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub last_reconciled: String,
    /// How long the last reconciliation took.
    pub last_reconciled_duration: Duration,
    /// Reason of the Ready condition after the last reconciliation.
    pub last_reconciled_status: String,
    /// How many reconciliations had this result.
    pub total_reconciliations: i64,
    /// Additional facts, such as the revision.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}
