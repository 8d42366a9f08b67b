//! Snapshots of revisions.

use std::collections::BTreeMap;

use api::helm_release::{Filter, ReleaseAction, SNAPSHOT_API_VERSION, Snapshot, TestHookStatus};
use artifact::digest::Algorithm;
use helm_release::{Observation, Release, TEST, Time};
use helm_values::config_digest;
use runtime::conditions::rfc3339;

use crate::object::field;

/// What the API takes for a time that there is none of.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// What is kept of a revision.
pub fn snapshot(observed: &Observation<'_>, algorithm: Algorithm, action: Option<ReleaseAction>) -> Snapshot {
    let Release { name, namespace, version, info, config, .. } = observed.release;
    let values = config.clone().unwrap_or_default();
    let time = |time: &Option<Time>| time.as_ref().and_then(Time::timestamp).map(rfc3339);
    Snapshot {
        api_version: Some(SNAPSHOT_API_VERSION.to_owned()),
        digest: observed.digest(algorithm).to_string(),
        name: name.clone(),
        namespace: namespace.clone(),
        version: *version,
        status: info.status.name().to_owned(),
        action,
        chart_name: observed.metadata.name.clone(),
        chart_version: observed.metadata.version.clone(),
        app_version: field(&observed.metadata.app_version),
        config_digest: config_digest(algorithm, &values).to_string(),
        first_deployed: time(&info.first_deployed).unwrap_or_else(|| ZERO_TIME.to_owned()),
        last_deployed: time(&info.last_deployed).unwrap_or_else(|| ZERO_TIME.to_owned()),
        deleted: time(&info.deleted),
        test_hooks: None,
        oci_digest: field(observed.oci_digest),
    }
}

/// How the tests of a revision went that the filters select.
pub(crate) fn test_hooks(release: &Release, filters: &[Filter]) -> BTreeMap<String, TestHookStatus> {
    let time = |time: &Option<Time>| time.as_ref().and_then(Time::timestamp).map(rfc3339);
    let hooks = release.hooks.iter().flatten().filter(|hook| hook.is_for(TEST));
    hooks
        .filter(|hook| is_selected(&hook.name, filters))
        .map(|hook| {
            let run = &hook.last_run;
            let status = TestHookStatus {
                last_started: time(&run.started_at),
                last_completed: time(&run.completed_at),
                phase: run.phase.name().to_owned(),
            };
            (hook.name.clone(), status)
        })
        .collect()
}

/// Whether no filter excludes it, and one includes it if any includes anything.
fn is_selected(name: &str, filters: &[Filter]) -> bool {
    let (excludes, includes): (Vec<_>, Vec<_>) = filters.iter().partition(|filter| filter.exclude);
    let is_in = |filters: &[&Filter]| filters.iter().any(|filter| filter.name == name);
    !is_in(&excludes) && (includes.is_empty() || is_in(&includes))
}
