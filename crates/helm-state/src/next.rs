//! What is done next about the state of a release.

use api::HelmRelease;
use api::helm::actions::DRIFT_DETECTION;
use api::helm::conditions::{DRIFTED, RELEASED, REMEDIATED};
use api::helm::reasons::{
    DRIFT_DETECTED, INSTALL_FAILED, INSTALL_SUCCEEDED, NO_DRIFT_DETECTED, UPGRADE_FAILED, UPGRADE_SUCCEEDED,
};
use api::helm_release::{
    DriftDetectionMode, Remediation, RemediationStrategy, Snapshot, keep_newest, previous, truncate,
};
use jiff::Timestamp;
use runtime::conditions::{READY, Status, find, is_true};

use crate::action::Action;
use crate::notice::Notice;
use crate::object::{Settings, conditions, current, history, ignores_test_failures, listed, status};
use crate::record::{full_name, succeeded_text};
use crate::request::takes_force_request;
use crate::state::{State, StateStatus, VerifyError, detects_drift};
use crate::summary::summarize;

/// What is to be done, and what is to be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is to be done.
    pub next: Next,
    /// What is to be told.
    pub notice: Option<Notice>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// This action.
    Run(Action),
    /// The revision of this snapshot is to be read from the storage, and compared by [`crate::verify`];
    /// [`Next::after_verification`] says what follows.
    VerifyTarget(Box<Snapshot>),
}

/// There is something to do, but it is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NextError {
    /// It was tried often enough.
    #[error("exceeded maximum retries: {0}")]
    ExceededRetries(&'static str),
    /// There is no revision to go back to.
    #[error("missing target release for rollback: cannot remediate failed release")]
    MissingRollbackTarget,
    /// The strategy of remediation is not known.
    #[error("unknown remediation strategy")]
    UnknownStrategy,
}

impl Next {
    /// What follows from the comparison of the target of a rollback. If it is not what it was, or cannot be read, an upgrade is the
    /// better remedy.
    pub fn after_verification(target: Box<Snapshot>, verified: Result<(), VerifyError>) -> Self {
        match verified {
            Ok(()) => Self::Run(Action::Rollback(target)),
            Err(_) => Self::Run(Action::Upgrade),
        }
    }
}

/// Decides what is done about a state, and puts history and conditions in order on the way. A request to force something is handled
/// by it.
///
/// # Errors
/// There is something to do, but it is not done.
pub fn decide(
    object: &mut HelmRelease,
    state: &State,
    settings: &Settings,
    now: Timestamp,
) -> Result<Decision, NextError> {
    let is_forced = takes_force_request(object);
    let next = match state.status {
        StateStatus::InSync => in_sync(object, is_forced, settings, now),
        StateStatus::Locked => Next::Run(Action::Unlock),
        StateStatus::Absent => {
            if !is_forced && is_exhausted(object, &object.install_remediation()) {
                return Err(NextError::ExceededRetries("cannot install release"));
            }
            Next::Run(Action::Install)
        }
        StateStatus::Unmanaged => {
            status(object).history.clear();
            Next::Run(Action::Upgrade)
        }
        StateStatus::OutOfSync => {
            if !is_forced && is_exhausted(object, &object.upgrade_remediation()) {
                return Err(NextError::ExceededRetries("cannot upgrade release"));
            }
            Next::Run(Action::Upgrade)
        }
        StateStatus::Drifted => return Ok(drifted(object, state, now)),
        StateStatus::Untested => {
            replace_remediated(object, now);
            Next::Run(Action::Test)
        }
        StateStatus::Failed => failed(object, is_forced, settings)?,
    };
    Ok(Decision { next, notice: None })
}

fn is_exhausted(object: &HelmRelease, remediation: &Remediation) -> bool {
    object.status.as_ref().is_some_and(|status| remediation.is_exhausted(status))
}

fn in_sync(object: &mut HelmRelease, is_forced: bool, settings: &Settings, now: Timestamp) -> Next {
    if object.active_retry(settings.retry_on_failure).is_some() {
        keep_newest(&mut status(object).history);
    } else {
        // The revision before is kept, for tests may be enabled later, and fail.
        let ignores_tests = ignores_test_failures(object);
        truncate(&mut status(object).history, ignores_tests);
    }
    if is_forced {
        return Next::Run(Action::Upgrade);
    }
    replace_remediated(object, now);
    restore(object, now);
    if detects_drift(object) {
        let message = "No drift detected against the cluster state";
        conditions(object, now).set(DRIFTED, Status::False, NO_DRIFT_DETECTED, message);
    }
    Next::Nothing
}

/// A release that was rolled back to, and is what is wanted now, is no failure any more.
fn replace_remediated(object: &mut HelmRelease, now: Timestamp) {
    let Some(remediated) = find(listed(object), REMEDIATED).filter(|c| c.status == Status::True) else {
        return;
    };
    let since = remediated.last_transition_time.clone();
    let message = succeeded_text("upgrade", current(object));
    let mut conditions = conditions(object, now);
    conditions.remove(REMEDIATED);
    conditions.set(RELEASED, Status::True, UPGRADE_SUCCEEDED, message);
    let released = status(object).conditions.iter_mut().find(|c| c.type_ == RELEASED);
    if let Some(released) = released {
        released.last_transition_time = since;
    }
}

/// A failure that is no longer one, as a revision that has become deployed on its own.
fn restore(object: &mut HelmRelease, now: Timestamp) {
    let conditions_are_fine = [READY, RELEASED].iter().all(|kind| is_true(listed(object), kind));
    let reason = find(listed(object), RELEASED).map(|released| released.reason.as_str());
    let (reason, action) = match reason {
        Some(INSTALL_FAILED) => (INSTALL_SUCCEEDED, "install"),
        Some(UPGRADE_FAILED) => (UPGRADE_SUCCEEDED, "upgrade"),
        _ => return,
    };
    if conditions_are_fine {
        return;
    }
    let message = succeeded_text(action, current(object));
    conditions(object, now).set(RELEASED, Status::True, reason, message);
    summarize(object, now);
}

fn drifted(object: &mut HelmRelease, state: &State, now: Timestamp) -> Decision {
    let message = format!(
        "Cluster state of release {} has drifted from the desired state:\n{}",
        full_name(current(object)),
        state.drift
    );
    conditions(object, now).set(DRIFTED, Status::True, DRIFT_DETECTED, &message);
    let notice = Notice {
        is_warning: true,
        action: DRIFT_DETECTION,
        reason: DRIFT_DETECTED,
        message,
        has_log: false,
        about: None,
    };
    let next = match object.drift_detection_mode() {
        DriftDetectionMode::Enabled => Next::Run(Action::CorrectDrift),
        _ => Next::Nothing,
    };
    Decision { next, notice: Some(notice) }
}

fn failed(object: &mut HelmRelease, is_forced: bool, settings: &Settings) -> Result<Next, NextError> {
    if object.active_retry(settings.retry_on_failure).is_some() {
        keep_newest(&mut status(object).history);
        return Ok(Next::Run(Action::Upgrade));
    }
    let Some(remediation) = object.active_remediation() else { return Ok(Next::Run(Action::Upgrade)) };
    // Without a failure that counts, what failed was something else than what is wanted now.
    if is_forced || remediation.failures(status(object)) <= 0 {
        return Ok(Next::Run(Action::Upgrade));
    }
    if is_exhausted(object, &remediation) && !remediation.remediate_last_failure {
        return Err(NextError::ExceededRetries("cannot remediate failed release"));
    }
    truncate(&mut status(object).history, remediation.ignore_test_failures);
    match remediation.strategy {
        RemediationStrategy::Rollback => previous(history(object), remediation.ignore_test_failures)
            .map(|target| Next::VerifyTarget(Box::new(target.clone())))
            .ok_or(NextError::MissingRollbackTarget),
        RemediationStrategy::Uninstall => Ok(Next::Run(Action::UninstallRemediation)),
        RemediationStrategy::Unknown => Err(NextError::UnknownStrategy),
    }
}
