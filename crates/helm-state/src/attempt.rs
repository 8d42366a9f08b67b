//! What is written down before the state of a release is looked at.

use std::fmt;

use api::HelmRelease;

use crate::desired::Desired;
use crate::object::{field, status, text};
use crate::request::takes_reset_request;

/// Why the counters of failures are set to zero. Its text is helm-controller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// The spec is another one.
    Generation,
    /// The chart is of another version.
    Revision,
    /// The values are others.
    Values,
    /// Somebody asks for it.
    Requested,
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generation => "generation differs from last attempt",
            Self::Revision => "chart version differs from last attempt",
            Self::Values => "values differ from last attempt",
            Self::Requested => "reset requested through annotation",
        })
    }
}

/// Notes what is attempted, and where its revisions are stored. If it is something else than the last time, counting begins anew;
/// the answer says why.
pub fn begin_attempt(object: &mut HelmRelease, desired: &Desired) -> Option<Reset> {
    let reset = reset(object, desired);
    let generation = object.metadata.generation.unwrap_or_default();
    let storage_namespace = object.storage_namespace();
    let status = status(object);
    if reset.is_some() {
        status.clear_failures();
    }
    status.storage_namespace = Some(storage_namespace);
    status.last_attempted_generation = generation;
    status.last_attempted_revision = Some(desired.chart_version.clone());
    status.last_attempted_revision_digest = field(&desired.oci_digest);
    status.last_attempted_config_digest = Some(desired.config_digest());
    status.last_attempted_values_checksum = None;
    status.last_release_revision = 0;
    reset
}

fn reset(object: &mut HelmRelease, desired: &Desired) -> Option<Reset> {
    // A request is handled whatever else is true.
    let requested = takes_reset_request(object);
    let generation = object.metadata.generation.unwrap_or_default();
    let status = status(object);
    if status.last_attempted_generation != generation {
        return Some(Reset::Generation);
    }
    if text(status.last_attempted_revision.as_ref()) != desired.chart_version {
        return Some(Reset::Revision);
    }
    let digest = match text(status.last_attempted_config_digest.as_ref()) {
        "" => field(text(status.last_attempted_values_checksum.as_ref())).map(|sum| format!("sha1:{sum}")),
        digest => Some(digest.to_owned()),
    };
    if digest.is_some_and(|digest| !desired.has_config_digest(&digest)) {
        return Some(Reset::Values);
    }
    requested.then_some(Reset::Requested)
}
