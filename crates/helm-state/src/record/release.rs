//! Installs, upgrades, their tests.

use api::helm::conditions::{RELEASED, TEST_SUCCESS};
use api::helm::reasons::{
    AWAITING_TESTS, INSTALL_FAILED, INSTALL_SUCCEEDED, TEST_FAILED, TEST_SUCCEEDED, UPGRADE_FAILED,
    UPGRADE_SUCCEEDED,
};
use api::helm_release::Snapshot;
use runtime::conditions::Status;

use super::{Recording, about, mismatch, succeeded_text, with_chart};
use crate::action::Action;
use crate::notice::About;
use crate::object::conditions;
use crate::run::{Ended, Ran};

impl Recording<'_> {
    /// An install or upgrade.
    pub(crate) fn release(&mut self, action: &Action, ran: &Ran<'_>, has_written: bool) -> Ended {
        let is_install = *action == Action::Install;
        self.status().last_attempted_release_action_duration = Some(ran.took.into());
        let Some(error) = ran.error else { return self.released(action, is_install) };
        let message = format!(
            "Helm {} failed for release {}/{} with chart {}@{}: {}",
            action.name(),
            self.object.release_namespace(),
            self.object.release_name(),
            self.desired.chart_name,
            self.desired.chart_version,
            error.trim(),
        );
        let remediation =
            if is_install { self.object.install_remediation() } else { self.object.upgrade_remediation() };
        // Without a new revision there is nothing to remedy.
        if has_written {
            remediation.count_failure(self.status());
        }
        let reason = if is_install { INSTALL_FAILED } else { UPGRADE_FAILED };
        let about = About::desired(self.desired);
        self.fail(action, RELEASED, reason, message, about, (!has_written).then_some(error))
    }

    fn released(&mut self, action: &Action, is_install: bool) -> Ended {
        let by_default = self.settings.retry_on_failure;
        let (reason, retry) = if is_install {
            (INSTALL_SUCCEEDED, self.object.install_retry(by_default))
        } else {
            (UPGRADE_SUCCEEDED, self.object.upgrade_retry(by_default))
        };
        let current = self.current();
        let current = current.as_ref();
        if self.object.spec.test.enable && !current.is_some_and(Snapshot::is_tested) {
            let message = format!("Helm release {} is awaiting tests", with_chart(current));
            conditions(self.object, self.now).set(TEST_SUCCESS, Status::Unknown, AWAITING_TESTS, message);
        }
        if retry.is_some() {
            self.status().clear_failures();
        }
        let message = succeeded_text(action.name(), current);
        self.succeed(action, (RELEASED, Status::True), reason, message, about(current))
    }

    /// A test.
    pub(crate) fn test(&mut self, ran: &Ran<'_>, before: Option<&Snapshot>) -> Ended {
        let action = Action::Test;
        if before.is_none() {
            return Ended { notice: None, error: Some("no latest release: required for test".to_owned()) };
        }
        let mismatch = mismatch("tested", ran.release, before);
        let current = self.current();
        let current = current.as_ref();
        let release = with_chart(current);
        let Some(error) = mismatch.as_deref().or(ran.error) else {
            let hooks = match current.and_then(|current| current.test_hooks.as_ref()).map_or(0, |h| h.len()) {
                0 => "no test hooks".to_owned(),
                1 => "1 test hook completed successfully".to_owned(),
                hooks => format!("{hooks} test hooks completed successfully"),
            };
            let message = format!("Helm test succeeded for release {release}: {hooks}");
            return self.succeed(
                &action,
                (TEST_SUCCESS, Status::True),
                TEST_SUCCEEDED,
                message,
                about(current),
            );
        };
        let is_tested = current.is_some_and(Snapshot::is_tested);
        let remediation = self.object.active_remediation();
        if let Some(remediation) = remediation.filter(|r| is_tested && !r.ignore_test_failures) {
            remediation.count_failure(self.status());
        }
        let message = format!("Helm test failed for release {release}: {}", error.trim());
        // What did not even begin is tried again.
        let error = (!is_tested).then_some(error);
        self.fail(&action, TEST_SUCCESS, TEST_FAILED, message, about(current), error)
    }
}
