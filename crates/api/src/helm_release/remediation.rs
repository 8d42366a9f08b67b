//! What follows a failed install or upgrade.

use std::time::Duration as StdDuration;

use super::{
    ActionStrategy, HelmRelease, HelmReleaseStatus, InstallRemediation, ReleaseAction, RemediationStrategy,
    UpgradeRemediation,
};
use crate::Duration;

/// Time until the next try where none is given (Flux: `InstallStrategy.GetRetryInterval`).
const RETRY_INTERVAL: StdDuration = StdDuration::from_secs(5 * 60);

/// How failures of an install or upgrade are remediated, with all defaults applied (Flux: the interface `Remediation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remediation {
    /// The action that is remediated: an install or an upgrade.
    pub action: ReleaseAction,
    /// How often the action is tried again; a negative number means for ever.
    pub retries: i64,
    /// Whether failed tests are not remediated.
    pub ignore_test_failures: bool,
    /// Whether the last failure is remediated too.
    pub remediate_last_failure: bool,
    /// By what it is remediated.
    pub strategy: RemediationStrategy,
}

impl Remediation {
    /// How often the action failed for the desired state.
    pub fn failures(&self, status: &HelmReleaseStatus) -> i64 {
        if self.action == ReleaseAction::Upgrade { status.upgrade_failures } else { status.install_failures }
    }

    /// Counts a failure of the action.
    pub fn count_failure(&self, status: &mut HelmReleaseStatus) {
        let failures = if self.action == ReleaseAction::Upgrade {
            &mut status.upgrade_failures
        } else {
            &mut status.install_failures
        };
        *failures = failures.saturating_add(1);
    }

    /// Whether no retry is left.
    pub fn is_exhausted(&self, status: &HelmReleaseStatus) -> bool {
        self.retries >= 0 && self.failures(status) > self.retries
    }

    /// Whether an upgrade is remediated by an uninstall, after which an install follows whatever the retries say.
    pub fn is_uninstall_after_upgrade(&self) -> bool {
        self.action == ReleaseAction::Upgrade && self.strategy == RemediationStrategy::Uninstall
    }
}

impl HelmRelease {
    /// How a failed install is remediated (Flux: `Install.GetRemediation`).
    pub fn install_remediation(&self) -> Remediation {
        let InstallRemediation { retries, ignore_test_failures, remediate_last_failure } =
            self.spec.install.remediation.clone().unwrap_or_default();
        Remediation {
            action: ReleaseAction::Install,
            retries,
            ignore_test_failures: ignore_test_failures.unwrap_or(self.spec.test.ignore_failures),
            remediate_last_failure: remediate_last_failure.unwrap_or(false),
            strategy: RemediationStrategy::Uninstall,
        }
    }

    /// How a failed upgrade is remediated (Flux: `Upgrade.GetRemediation`).
    pub fn upgrade_remediation(&self) -> Remediation {
        let UpgradeRemediation { retries, ignore_test_failures, remediate_last_failure, strategy } =
            self.spec.upgrade.remediation.clone().unwrap_or_default();
        Remediation {
            action: ReleaseAction::Upgrade,
            retries,
            ignore_test_failures: ignore_test_failures.unwrap_or(self.spec.test.ignore_failures),
            remediate_last_failure: remediate_last_failure.unwrap_or(retries > 0),
            strategy: strategy.unwrap_or_default(),
        }
    }

    /// The remediation of the action that was attempted last; none if none was (Flux: `HelmRelease.GetActiveRemediation`).
    pub fn active_remediation(&self) -> Option<Remediation> {
        match self.last_attempted_action()? {
            ReleaseAction::Install => Some(self.install_remediation()),
            ReleaseAction::Upgrade => Some(self.upgrade_remediation()),
            _ => None,
        }
    }

    /// Time until a failed install is tried again, if that is the strategy; `by_default` is the feature gate
    /// DefaultToRetryOnFailure (Flux: `Install.GetRetry`).
    pub fn install_retry(&self, by_default: bool) -> Option<StdDuration> {
        let strategy = self.spec.install.strategy.as_ref();
        retry(strategy.map(|strategy| (strategy.name, strategy.retry_interval.as_ref())), by_default)
    }

    /// Time until a failed upgrade is tried again, if that is the strategy (Flux: `Upgrade.GetRetry`).
    pub fn upgrade_retry(&self, by_default: bool) -> Option<StdDuration> {
        let strategy = self.spec.upgrade.strategy.as_ref();
        retry(strategy.map(|strategy| (strategy.name, strategy.retry_interval.as_ref())), by_default)
    }

    /// Time until the action that was attempted last is tried again, if that is its strategy (Flux: `HelmRelease.GetActiveRetry`).
    pub fn active_retry(&self, by_default: bool) -> Option<StdDuration> {
        match self.last_attempted_action()? {
            ReleaseAction::Install => self.install_retry(by_default),
            ReleaseAction::Upgrade => self.upgrade_retry(by_default),
            _ => None,
        }
    }

    fn last_attempted_action(&self) -> Option<ReleaseAction> {
        self.status.as_ref()?.last_attempted_release_action
    }
}

fn retry(strategy: Option<(ActionStrategy, Option<&Duration>)>, by_default: bool) -> Option<StdDuration> {
    match strategy {
        None => by_default.then_some(RETRY_INTERVAL),
        Some((ActionStrategy::RetryOnFailure, interval)) => {
            Some(interval.and_then(|interval| interval.parse().ok()).unwrap_or(RETRY_INTERVAL))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
#[path = "remediation_tests.rs"]
mod tests;
