//! What is recorded of actions, in helm-controller's words.

use api::HelmRelease;
use api::helm::actions::{DRIFT_DETECTION, HEALTH_CHECK};
use api::helm::reasons::{DRIFT_CORRECTED, DRIFT_CORRECTION_FAILED, HEALTH_CHECK_CANCELED};
use api::helm_release::{HelmReleaseStatus, Snapshot};
use helm_release::Release;
use jiff::Timestamp;
use runtime::conditions::{READY, Status};

use crate::action::Action;
use crate::desired::Desired;
use crate::notice::{About, Notice};
use crate::object::{Settings, conditions, current, status};
use crate::run::Ended;

mod release;
mod remedy;

/// Writes down how an action went.
pub(crate) struct Recording<'a> {
    pub(crate) object: &'a mut HelmRelease,
    pub(crate) desired: &'a Desired,
    pub(crate) settings: Settings,
    pub(crate) now: Timestamp,
}

impl Recording<'_> {
    fn status(&mut self) -> &mut HelmReleaseStatus {
        status(self.object)
    }

    /// Sets a condition, and tells of it.
    fn succeed(
        &mut self,
        action: &Action,
        condition: (&str, Status),
        reason: &'static str,
        message: String,
        about: About,
    ) -> Ended {
        conditions(self.object, self.now).set(condition.0, condition.1, reason, &message);
        let notice = Notice {
            is_warning: false,
            action: action.event(),
            reason,
            message,
            has_log: false,
            about: Some(about),
        };
        Ended { notice: Some(notice), error: None }
    }

    /// Makes a condition false, counts a failure, and warns of it. `error` is why the pass cannot go on.
    fn fail(
        &mut self,
        action: &Action,
        condition: &str,
        reason: &'static str,
        message: String,
        about: About,
        error: Option<&str>,
    ) -> Ended {
        let failures = &mut self.status().failures;
        *failures = failures.saturating_add(1);
        let Ended { notice, .. } = self.succeed(action, (condition, Status::False), reason, message, about);
        // What Helm says of tests and unlocks is in the message.
        let has_log = !matches!(action, Action::Test | Action::Unlock);
        let notice = notice.map(|notice| Notice { is_warning: true, has_log, ..notice });
        Ended { notice, error: error.map(str::to_owned) }
    }

    fn current(&self) -> Option<Snapshot> {
        current(self.object).cloned()
    }

    /// Whether the newest snapshot is another one than before.
    fn has_changed(&self, before: Option<&Snapshot>) -> bool {
        let digest = |snapshot: Option<&Snapshot>| snapshot.map(|snapshot| snapshot.digest.clone());
        digest(current(self.object)) != digest(before)
    }
}

/// The corrections of drift: what could not be corrected, and which objects were, each with what was done.
pub fn drift_corrected(object: &HelmRelease, errors: &[String], changes: &[String]) -> Option<Notice> {
    let name = full_name(current(object));
    let lines = changes.join("\n");
    let (is_warning, reason, message) = if !errors.is_empty() {
        let (partially, corrections) = if changes.is_empty() {
            ("", String::new())
        } else {
            ("partially ", format!("\n\nSuccessful corrections:\n{lines}"))
        };
        let errors = errors.join("\n");
        let message =
            format!("Failed to {partially}correct cluster state of release {name}:\n{errors}{corrections}");
        (true, DRIFT_CORRECTION_FAILED, message)
    } else if !changes.is_empty() {
        (false, DRIFT_CORRECTED, format!("Cluster state of release {name} has been corrected:\n{lines}"))
    } else {
        return None;
    };
    let about = current(object).map(About::snapshot);
    Some(Notice { is_warning, action: DRIFT_DETECTION, reason, message, has_log: false, about })
}

/// A wait was ended for a change of this object, `<kind>/<namespace>/<name>`. The pass ends with [`crate::Outcome::Requeue`].
pub fn health_check_canceled(object: &mut HelmRelease, trigger: &str, now: Timestamp) -> Notice {
    let message = format!("New reconciliation triggered by {trigger}");
    conditions(object, now).set(READY, Status::False, HEALTH_CHECK_CANCELED, message);
    Notice {
        is_warning: false,
        action: HEALTH_CHECK,
        reason: HEALTH_CHECK_CANCELED,
        message: format!("Health checks canceled due to new reconciliation triggered by {trigger}"),
        has_log: false,
        about: None,
    }
}

/// That an install or upgrade succeeded.
pub(crate) fn succeeded_text(action: &str, current: Option<&Snapshot>) -> String {
    format!("Helm {action} succeeded for release {}", with_chart(current))
}

/// `<namespace>/<name>.v<version>`
pub(crate) fn full_name(snapshot: Option<&Snapshot>) -> String {
    snapshot.map(Snapshot::full_release_name).unwrap_or_default()
}

/// A release with its chart.
fn with_chart(snapshot: Option<&Snapshot>) -> String {
    let chart = snapshot.map(Snapshot::versioned_chart_name).unwrap_or_default();
    format!("{} with chart {chart}", full_name(snapshot))
}

fn about(snapshot: Option<&Snapshot>) -> About {
    snapshot.map(About::snapshot).unwrap_or_default()
}

/// An action that Helm does to the newest revision was done to another one than the newest we know.
fn mismatch(done: &str, release: Option<&Release>, before: Option<&Snapshot>) -> Option<String> {
    let (release, before) = release.zip(before)?;
    let Release { name, namespace, version, .. } = release;
    (!before.targets(name, namespace, *version)).then(|| {
        let current = before.full_release_name();
        format!("release mismatch: {done} release {namespace}/{name}.v{version} != current release {current}")
    })
}
