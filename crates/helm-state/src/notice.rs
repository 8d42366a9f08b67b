use api::helm_release::Snapshot;

use crate::desired::Desired;
use crate::object::text;

/// An event that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether it is a warning.
    pub is_warning: bool,
    /// `action` of the event.
    pub action: &'static str,
    /// Its reason.
    pub reason: &'static str,
    /// Its message, without the last lines of the log.
    pub message: String,
    /// Whether the last lines of the log belong to the message.
    pub has_log: bool,
    /// What it is about; `None` if it carries no metadata.
    pub about: Option<About>,
}

/// The metadata of an event. Empty ones are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The version of the chart.
    pub revision: String,
    /// The digest of the values.
    pub token: String,
    /// The version of what is in the chart.
    pub app_version: String,
    /// The digest of the OCI artifact of the chart.
    pub oci_digest: String,
}

impl About {
    /// A release that was made.
    pub(crate) fn snapshot(snapshot: &Snapshot) -> Self {
        Self {
            revision: snapshot.chart_version.clone(),
            token: snapshot.config_digest.clone(),
            app_version: text(snapshot.app_version.as_ref()).to_owned(),
            oci_digest: text(snapshot.oci_digest.as_ref()).to_owned(),
        }
    }

    /// What is wanted.
    pub(crate) fn desired(desired: &Desired) -> Self {
        Self {
            revision: desired.chart_version.clone(),
            token: desired.config_digest(),
            app_version: desired.app_version.clone(),
            oci_digest: desired.oci_digest.clone(),
        }
    }
}
