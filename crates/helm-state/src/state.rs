//! The state of a release: what is stored against what is wanted.

use std::fmt;
use std::time::Duration;

use api::HelmRelease;
use api::helm_release::{DriftDetectionMode, ReleaseAction, SNAPSHOT_API_VERSION, Snapshot};
use artifact::digest::Digest;
use helm_chart::Metadata;
use helm_release::{MetadataError, Observation, Release, Status, Time};
use jiff::Timestamp;
use serde_json::Map;

use crate::action::Action;
use crate::desired::Desired;
use crate::object::{current, text};
use crate::rendering;

/// How a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateStatus {
    /// There is none.
    Absent,
    /// There is one that is not as we left it.
    Unmanaged,
    /// It is not what is wanted.
    OutOfSync,
    /// It is what is wanted, but its objects are not.
    Drifted,
    /// An action on it was broken off, or goes on elsewhere.
    Locked,
    /// It is what is wanted, and has to be tested.
    Untested,
    /// It is what is wanted.
    InSync,
    /// The last action on it, or a test of it, has failed.
    Failed,
}

/// How a release is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// How it is.
    pub status: StateStatus,
    /// Why; may be empty.
    pub reason: String,
    /// Which objects are not as they should be, one a line; empty unless the release is drifted.
    pub drift: String,
}

impl State {
    fn new(status: StateStatus, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), drift: String::new() }
    }

    /// That of a release that is what is wanted.
    pub fn in_sync() -> Self {
        Self::new(StateStatus::InSync, "")
    }

    /// What was found instead of [`StateStatus::InSync`]: `brief` is how much has drifted, `lines` is what, one object a line.
    pub fn drifted(brief: impl Into<String>, lines: impl Into<String>) -> Self {
        Self { drift: lines.into(), ..Self::new(StateStatus::Drifted, brief) }
    }

    /// Whether the objects in the cluster are to be compared, to tell whether it is [`Self::drifted`].
    pub fn asks_for_drift(&self, object: &HelmRelease) -> bool {
        self.status == StateStatus::InSync && detects_drift(object)
    }
}

/// What is said of it in the log, in helm-controller's words.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.status {
            StateStatus::InSync => return f.write_str("release in-sync with desired state"),
            StateStatus::Absent => "release not installed",
            StateStatus::Unmanaged => "release not managed by controller",
            StateStatus::OutOfSync => "release out-of-sync with desired state",
            StateStatus::Drifted => "detected changes in cluster state",
            StateStatus::Locked => "release locked",
            StateStatus::Untested => "release has not been tested",
            StateStatus::Failed => "release is in a failed state",
        })?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

/// The state cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Nothing is to be done with a revision of this status.
    #[error("unable to determine state for release with status '{}'", .0.name())]
    Status(Status),
    /// What is stored cannot be read.
    #[error("failed to verify release object: {0}")]
    Metadata(#[from] MetadataError),
}

/// A stored revision is not as a snapshot says.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not there.
    #[error("release disappeared from storage")]
    Disappeared,
    /// It is another one.
    #[error("release not observed to be made for object")]
    NotObserved,
    /// The digest of the snapshot is none.
    #[error("release digest verification error")]
    Digest,
    /// It cannot be read.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

/// Compares a stored revision with a snapshot. Digests that are made in another way than now are not compared.
///
/// # Errors
/// It is not the one of the snapshot.
pub fn verify(snapshot: &Snapshot, stored: Option<&Release>) -> Result<(), VerifyError> {
    compare(snapshot, &observe(snapshot, stored.ok_or(VerifyError::Disappeared)?)?)
}

fn observe<'a>(snapshot: &'a Snapshot, stored: &'a Release) -> Result<Observation<'a>, MetadataError> {
    Observation::new(stored, text(snapshot.oci_digest.as_ref()))
}

fn compare(snapshot: &Snapshot, observed: &Observation<'_>) -> Result<(), VerifyError> {
    if snapshot.api_version.as_deref() != Some(SNAPSHOT_API_VERSION) {
        return Ok(());
    }
    let digest: Digest = snapshot.digest.parse().map_err(|_| VerifyError::Digest)?;
    if observed.digest(digest.algorithm()) == digest { Ok(()) } else { Err(VerifyError::NotObserved) }
}

/// What [`determine`] goes by, beside the stored revision: as long as both are the same, a release that was what is wanted still is.
///
/// Whether the generation is observed plays no part: it makes a difference only for what was not looked at yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    generation: Option<i64>,
    current: Option<Snapshot>,
    digests: [Option<String>; 2],
    action: Option<ReleaseAction>,
    chart: (String, String),
    config_digest: String,
}

impl Basis {
    /// That of an object and of what it wants.
    pub fn new(object: &HelmRelease, desired: &Desired) -> Self {
        let status = object.status.as_ref();
        Self {
            generation: object.metadata.generation,
            current: current(object).cloned(),
            digests: [
                status.and_then(|status| status.observed_post_renderers_digest.clone()),
                status.and_then(|status| status.observed_common_metadata_digest.clone()),
            ],
            action: status.and_then(|status| status.last_attempted_release_action),
            chart: (desired.chart_name.clone(), desired.chart_version.clone()),
            config_digest: desired.config_digest(),
        }
    }
}

/// The state of a release, of which this is the newest stored revision. Drift is not looked for, see [`State::asks_for_drift`].
///
/// # Errors
/// The state cannot be told.
pub fn determine(
    object: &HelmRelease,
    newest: Option<&Release>,
    desired: &Desired,
    now: Timestamp,
) -> Result<State, StateError> {
    let Some(release) = newest else {
        return Ok(State::new(StateStatus::Absent, "no release in storage for object"));
    };
    let status = release.info.status;
    let locked = || State::new(StateStatus::Locked, format!("release with status '{}'", status.name()));
    if status.is_pending() {
        return Ok(locked());
    }
    if status == Status::Uninstalling {
        return if goes_on(object, release, now) { Err(StateError::Status(status)) } else { Ok(locked()) };
    }
    let uninstalled = || State::new(StateStatus::Absent, "found uninstalled release in storage");
    let Some(current) = current(object) else {
        return Ok(match status {
            Status::Uninstalled => uninstalled(),
            _ => State::new(StateStatus::Unmanaged, "found existing release in storage"),
        });
    };
    let observed = observe(current, release)?;
    if let Err(error) = compare(current, &observed) {
        return Ok(State::new(StateStatus::Unmanaged, error.to_string()));
    }
    match status {
        Status::Failed => Ok(State::new(StateStatus::Failed, "")),
        Status::Uninstalled => Ok(uninstalled()),
        Status::Deployed if object.spec.upgrade.preserve_values => {
            // Flux compares with the values of the spec alone, and upgrades forever.
            let desired = desired.above(release.config.as_ref().unwrap_or(&Map::new()));
            Ok(deployed(object, &observed.metadata, current, &desired))
        }
        Status::Deployed => Ok(deployed(object, &observed.metadata, current, desired)),
        status => Err(StateError::Status(status)),
    }
}

/// Whether somebody may still be uninstalling a release. Whoever died while doing so, or could not, left it behind: it is not what Flux
/// takes for the end, but unlocked as what is pending is.
fn goes_on(object: &HelmRelease, release: &Release, now: Timestamp) -> bool {
    if current(object).is_some_and(|current| {
        current.targets(&release.name, &release.namespace, release.version)
            && current.status == Status::Uninstalling.name()
    }) {
        return false;
    }
    let begun = release.info.deleted.as_ref().and_then(Time::timestamp);
    let took = begun.and_then(|begun| Duration::try_from(now.duration_since(begun)).ok());
    took.is_none_or(|took| took <= Action::UninstallRemediation.timeout(object))
}

fn deployed(object: &HelmRelease, chart: &Metadata, current: &Snapshot, desired: &Desired) -> State {
    let differs = if (&chart.name, &chart.version) != (&desired.chart_name, &desired.chart_version) {
        Some("release chart changed")
    } else if !desired.has_config_digest(&current.config_digest) {
        Some("release config values changed")
    } else {
        rendering::differs(object)
    };
    if let Some(reason) = differs {
        return State::new(StateStatus::OutOfSync, reason);
    }
    if object.spec.test.enable {
        // What we saw counts, not what is stored: users may run tests, too.
        if !current.is_tested() {
            return State::new(StateStatus::Untested, "");
        }
        let remediation = object.active_remediation();
        if remediation.is_some_and(|remediation| !remediation.ignore_test_failures)
            && current.has_failed_test()
        {
            return State::new(StateStatus::Failed, "release has test in failed phase");
        }
    }
    State::in_sync()
}

/// Whether drift is looked for.
pub(crate) fn detects_drift(object: &HelmRelease) -> bool {
    matches!(object.drift_detection_mode(), DriftDetectionMode::Enabled | DriftDetectionMode::Warn)
}
