//! When to go on, and when to stop.

use std::time::Duration;

use api::HelmRelease;
use api::duration::go_duration_string;
use api::helm::reasons::{MISSING_ROLLBACK_TARGET, RECONCILE_ERROR, RETRIES_EXCEEDED, STATE_ERROR};
use api::helm_release::ReleaseAction;
use api::meta::reasons::{PROGRESSING, PROGRESSING_WITH_RETRY};
use jiff::Timestamp;
use runtime::conditions::{READY, RECONCILING, Status, find, is_true};

use crate::action::{Action, Kind};
use crate::next::{Next, NextError};
use crate::object::{Settings, conditions, listed};
use crate::rendering;
use crate::summary::summarize;

/// How a pass ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is nothing more to do until the interval is over.
    Done,
    /// Something failed that is tried again after this time.
    RetryAfter(Duration),
    /// There is more to do, at once, but not more often than the rate limit has it.
    Requeue,
    /// Only a change of the object, the chart or the values helps. Why is the text.
    Stalled(String),
    /// Something failed that is tried again, each time later. What is the text.
    Failed(String),
}

impl Outcome {
    /// Whether the generation of the object counts as observed.
    pub fn observes_generation(&self) -> bool {
        matches!(self, Self::Done | Self::RetryAfter(_) | Self::Stalled(_))
    }
}

/// What is done next in a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The action is run. The status is sent before.
    Run {
        /// The action.
        action: Action,
        /// How long each of its operations may take.
        timeout: Duration,
    },
    /// The revision of a snapshot is read and compared; see [`Next::VerifyTarget`].
    Verify(Box<api::helm_release::Snapshot>),
    /// The pass ends.
    End(Outcome),
}

/// A pass of the loop: it has each kind of action once, and a remediation ends it.
#[derive(Debug, Default)]
pub struct Pass {
    done: Vec<Kind>,
}

impl Pass {
    /// Says whether what is to be done next is done in this pass.
    pub fn before(
        &self,
        object: &mut HelmRelease,
        next: Result<Next, NextError>,
        settings: &Settings,
        now: Timestamp,
    ) -> Step {
        let action = match next {
            Ok(Next::Run(action)) => action,
            Ok(Next::VerifyTarget(target)) => return Step::Verify(target),
            Ok(Next::Nothing) => {
                conditions(object, now).remove(RECONCILING);
                rendering::note(object, settings);
                summarize(object, now);
                return Step::End(Outcome::Done);
            }
            Err(error) => return Step::End(refused(object, &error, now)),
        };
        if self.done.contains(&action.kind()) {
            return Step::End(cut_short(object, settings, now));
        }
        let timeout = action.timeout(object);
        let message =
            format!("Running '{}' action with timeout of {}", action.name(), go_duration_string(timeout));
        let is_release = action.kind() == Kind::Release;
        let mut conditions = conditions(object, now);
        conditions.reconciling(PROGRESSING, &message);
        // Others must not hide a failure of the release.
        if is_release {
            conditions.set(READY, Status::Unknown, PROGRESSING, &message);
        }
        Step::Run { action, timeout }
    }

    /// Says how the pass ends with an action that was run and recorded; `None` if it goes on with the new state. The status is sent
    /// before.
    pub fn after(
        &mut self,
        object: &mut HelmRelease,
        kind: Kind,
        error: Option<&str>,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Outcome> {
        let retry = object.active_retry(settings.retry_on_failure);
        if let Some(error) = error {
            if let Some(retry) = retry {
                return Some(retry_after(object, retry, now));
            }
            if is_true(listed(object), READY) {
                conditions(object, now).set(READY, Status::False, RECONCILE_ERROR, error);
            }
            return Some(Outcome::Failed(error.to_owned()));
        }
        if kind == Kind::Remediate {
            return Some(remediated(object, retry, now));
        }
        self.done.push(kind);
        None
    }

    /// The state cannot be told, or what is stored cannot be read: `error` says why.
    pub fn without_state(object: &mut HelmRelease, error: &str, now: Timestamp) -> Outcome {
        let message = format!("Could not determine release state: {error}");
        conditions(object, now).set(READY, Status::False, STATE_ERROR, message);
        Outcome::Failed(format!("cannot determine release state: {error}"))
    }
}

/// The next action is of a kind that was done.
fn cut_short(object: &mut HelmRelease, settings: &Settings, now: Timestamp) -> Outcome {
    if let Some(retry) = object.active_retry(settings.retry_on_failure) {
        return retry_after(object, retry, now);
    }
    if is_exhausted(object) {
        conditions(object, now).remove(RECONCILING);
        return Outcome::Done;
    }
    requeue(object, now)
}

fn remediated(object: &mut HelmRelease, retry: Option<Duration>, now: Timestamp) -> Outcome {
    if let Some(retry) = retry {
        return retry_after(object, retry, now);
    }
    let installs_anew = object.active_remediation().is_some_and(|r| r.is_uninstall_after_upgrade());
    if !is_exhausted(object) || installs_anew {
        return requeue(object, now);
    }
    stalled_for_retries(object, now);
    Outcome::Stalled("exceeded maximum retries".to_owned())
}

fn refused(object: &mut HelmRelease, error: &NextError, now: Timestamp) -> Outcome {
    match error {
        NextError::ExceededRetries(_) => stalled_for_retries(object, now),
        NextError::MissingRollbackTarget => {
            let message = format!("Failed to perform remediation: {error}");
            conditions(object, now).stalled(MISSING_ROLLBACK_TARGET, message);
        }
        _ => return Outcome::Failed(error.to_string()),
    }
    Outcome::Stalled(error.to_string())
}

fn retry_after(object: &mut HelmRelease, retry: Duration, now: Timestamp) -> Outcome {
    let message = format!("retrying after {}", go_duration_string(retry));
    conditions(object, now).reconciling(PROGRESSING_WITH_RETRY, message);
    Outcome::RetryAfter(retry)
}

fn requeue(object: &mut HelmRelease, now: Timestamp) -> Outcome {
    let message = find(listed(object), READY).map(|ready| ready.message.clone()).unwrap_or_default();
    conditions(object, now).reconciling(PROGRESSING_WITH_RETRY, message);
    Outcome::Requeue
}

fn stalled_for_retries(object: &mut HelmRelease, now: Timestamp) {
    let remediation = object.active_remediation();
    let status = object.status.as_ref();
    let failures = remediation.zip(status).map_or(0, |(remediation, status)| remediation.failures(status));
    let action = match status.and_then(|status| status.last_attempted_release_action) {
        Some(ReleaseAction::Install) => "install",
        Some(ReleaseAction::Upgrade) => "upgrade",
        _ => "",
    };
    let message = format!("Failed to {action} after {failures} attempt(s)");
    conditions(object, now).stalled(RETRIES_EXCEEDED, message);
}

/// Whether no retry is left to the action that was attempted last.
fn is_exhausted(object: &HelmRelease) -> bool {
    let remediation = object.active_remediation();
    remediation
        .zip(object.status.as_ref())
        .is_some_and(|(remediation, status)| remediation.is_exhausted(status))
}
