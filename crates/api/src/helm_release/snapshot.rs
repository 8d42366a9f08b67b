//! Releases as they are recorded in the status.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ReleaseAction;
use crate::lenient::null_is_default;

/// The way in which the digests of snapshots are made now. A digest of another way is not compared (Flux:
/// `CurrentSnapshotAPIVersion`).
pub const SNAPSHOT_API_VERSION: &str = "v2";

/// How many snapshots are kept where none is of a successful release (Flux: `defaultMaxHistory`).
const MAX_SNAPSHOTS: usize = 5;

/// Phases of a test hook (Helm: `HookPhase`).
pub mod test_phases {
    /// The hook was successful.
    pub const SUCCEEDED: &str = "Succeeded";
    /// The hook failed.
    pub const FAILED: &str = "Failed";
}

/// A release in the storage, as the controller saw it last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct Snapshot {
    /// How the digest was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Digest of the release in the storage, in the form of '<algorithm>:<checksum>'.
    pub digest: String,
    /// Name of the release.
    pub name: String,
    /// Namespace of the release.
    pub namespace: String,
    /// Revision of the release.
    #[schemars(with = "i32")]
    pub version: i64,
    /// Status of the release.
    pub status: String,
    /// The action that made the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub action: Option<ReleaseAction>,
    /// Name of the chart.
    pub chart_name: String,
    /// Version of the chart.
    pub chart_version: String,
    /// Version of the application in the chart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// Digest of the values, in the form of '<algorithm>:<checksum>'.
    pub config_digest: String,
    /// When the release was first deployed, in RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub first_deployed: String,
    /// When the release was last deployed, in RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub last_deployed: String,
    /// When the release was uninstalled, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub deleted: Option<String>,
    /// Results of the tests by the name of their hooks. Absent: not tested. Empty: there was nothing to test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_hooks: Option<BTreeMap<String, TestHookStatus>>,
    /// Digest of the OCI artifact of the chart.
    #[serde(rename = "ociDigest", skip_serializing_if = "Option::is_none")]
    pub oci_digest: Option<String>,
}

/// Result of a test hook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestHookStatus {
    /// When the hook was started, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_started: Option<String>,
    /// When the hook ended, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_completed: Option<String>,
    /// Phase of the hook.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub phase: String,
}

impl Snapshot {
    /// `<namespace>/<name>.v<version>` (Flux: `Snapshot.FullReleaseName`).
    pub fn full_release_name(&self) -> String {
        format!("{}/{}.v{}", self.namespace, self.name, self.version)
    }

    /// `<name>@<version>` of the chart (Flux: `Snapshot.VersionedChartName`).
    pub fn versioned_chart_name(&self) -> String {
        format!("{}@{}", self.chart_name, self.chart_version)
    }

    /// Whether it is of this release and revision (Flux: `Snapshot.Targets`).
    pub fn targets(&self, name: &str, namespace: &str, version: i64) -> bool {
        self.name == name && self.namespace == namespace && self.version == version
    }

    /// Whether the tests are done: there are none, one failed, or all succeeded (Flux: `Snapshot.HasBeenTested`).
    pub fn is_tested(&self) -> bool {
        self.test_hooks.as_ref().is_some_and(|hooks| {
            self.has_failed_test() || hooks.values().all(|hook| hook.phase == test_phases::SUCCEEDED)
        })
    }

    /// Whether a test failed.
    pub fn has_failed_test(&self) -> bool {
        self.test_hooks.iter().flatten().any(|(_, hook)| hook.phase == test_phases::FAILED)
    }

    fn is_successful(&self, ignore_tests: bool) -> bool {
        let released = matches!(self.status.as_str(), "deployed" | "superseded");
        released && (ignore_tests || !self.has_failed_test())
    }
}

/// The newest snapshot, by version (Flux: `Snapshots.Latest`).
pub fn latest(history: &[Snapshot]) -> Option<&Snapshot> {
    history.iter().max_by_key(|snapshot| snapshot.version)
}

/// The newest snapshot before the latest that was deployed, and whose tests did not fail unless that is to be ignored (Flux:
/// `Snapshots.Previous`).
pub fn previous(history: &[Snapshot], ignore_tests: bool) -> Option<&Snapshot> {
    let mut sorted: Vec<_> = history.iter().collect();
    sorted.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.version));
    sorted.into_iter().skip(1).find(|snapshot| snapshot.is_successful(ignore_tests))
}

/// Sorts the snapshots, newest first, and drops those before the [`previous`] one; if there is none, all but the newest five (Flux:
/// `Snapshots.Truncate`).
pub fn truncate(history: &mut Vec<Snapshot>, ignore_tests: bool) {
    sort(history);
    let previous = history.iter().skip(1).position(|snapshot| snapshot.is_successful(ignore_tests));
    history.truncate(previous.map_or(MAX_SNAPSHOTS, |after_latest| after_latest + 2));
}

/// Sorts the snapshots, newest first, and keeps the newest five (Flux: `Snapshots.TruncateIgnoringPreviousSnapshots`).
pub fn keep_newest(history: &mut Vec<Snapshot>) {
    sort(history);
    history.truncate(MAX_SNAPSHOTS);
}

fn sort(history: &mut [Snapshot]) {
    history.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.version));
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
