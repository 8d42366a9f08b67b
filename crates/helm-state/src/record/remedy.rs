//! Remediations, uninstalls, unlocks.

use api::helm::conditions::{RELEASED, REMEDIATED};
use api::helm::reasons::{
    PENDING_RELEASE, ROLLBACK_FAILED, ROLLBACK_SUCCEEDED, UNINSTALL_FAILED, UNINSTALL_SUCCEEDED,
};
use api::helm_release::Snapshot;
use helm_release::{Observation, Status as ReleaseStatus};
use runtime::conditions::Status;

use super::{Recording, about, mismatch, with_chart};
use crate::action::Action;
use crate::history::snapshot;
use crate::notice::About;
use crate::object::{conditions, history, text};
use crate::run::{Ended, Ran};

/// Helm can say that it succeeded though it could not store it.
const NOT_UPDATED: &str = "uninstall completed with error: release not updated in Helm storage";

impl Recording<'_> {
    /// A rollback to an older revision.
    pub(crate) fn rollback(&mut self, ran: &Ran<'_>, before: Option<&Snapshot>, target: &Snapshot) -> Ended {
        let action = Action::Rollback(Box::new(target.clone()));
        let about = About { token: self.desired.config_digest(), ..About::snapshot(target) };
        let rollback = format!("Helm rollback to previous release {}", with_chart(Some(target)));
        let Some(error) = ran.error else {
            let message = format!("{rollback} succeeded");
            return self.succeed(&action, (REMEDIATED, Status::True), ROLLBACK_SUCCEEDED, message, about);
        };
        let message = format!("{rollback} failed: {}", error.trim());
        let error = (!self.has_changed(before)).then_some(error);
        self.fail(&action, REMEDIATED, ROLLBACK_FAILED, message, about, error)
    }

    /// An uninstall that remediates.
    pub(crate) fn uninstall_remediation(&mut self, ran: &Ran<'_>, before: Option<&Snapshot>) -> Ended {
        let action = Action::UninstallRemediation;
        if before.is_none() {
            return without_latest();
        }
        let is_unchanged = !self.has_changed(before);
        let mismatch = mismatch("uninstalled", ran.release, before);
        let error = mismatch.as_deref().or(ran.error).or(is_unchanged.then_some(NOT_UPDATED));
        let current = self.current();
        let current = current.as_ref();
        let uninstall = format!("Helm uninstall remediation for release {}", with_chart(current));
        let Some(error) = error else {
            let message = format!("{uninstall} succeeded");
            let remediated = (REMEDIATED, Status::True);
            return self.succeed(&action, remediated, UNINSTALL_SUCCEEDED, message, about(current));
        };
        let message = format!("{uninstall} failed: {}", error.trim());
        let error = is_unchanged.then_some(error);
        self.fail(&action, REMEDIATED, UNINSTALL_FAILED, message, about(current), error)
    }

    /// An uninstall, because nobody wants the release any more.
    pub(crate) fn uninstall(&mut self, ran: &Ran<'_>, before: Option<&Snapshot>) -> Ended {
        let action = Action::Uninstall;
        let Some(before) = before else { return without_latest() };
        if let Some(how) = self.is_gone(ran) {
            let message = format!("Release {} was {how}", before.full_release_name());
            conditions(self.object, self.now).set(RELEASED, Status::False, UNINSTALL_SUCCEEDED, message);
            return Ended::default();
        }
        let mismatch = mismatch("uninstalled", ran.release, Some(before));
        // One that was uninstalled before is only removed from the storage.
        let was_uninstalled = ReleaseStatus::of(&before.status) == ReleaseStatus::Uninstalled;
        let is_unchanged = !was_uninstalled && !self.has_changed(Some(before));
        let error = mismatch.as_deref().or(ran.error).or(is_unchanged.then_some(NOT_UPDATED));
        let current = self.current();
        let current = current.as_ref();
        let release = with_chart(current);
        let Some(error) = error else {
            self.status().inventory = None;
            let message = format!("Helm uninstall succeeded for release {release}");
            let released = (RELEASED, Status::False);
            return self.succeed(&action, released, UNINSTALL_SUCCEEDED, message, about(current));
        };
        let message = format!("Helm uninstall failed for release {release}: {}", error.trim());
        self.fail(&action, RELEASED, UNINSTALL_FAILED, message, about(current), Some(error))
    }

    /// What else than we removed the release.
    fn is_gone(&self, ran: &Ran<'_>) -> Option<&'static str> {
        if ran.is_not_found {
            return Some("not found, assuming it is uninstalled");
        }
        let is_deleted = ran.error.is_some_and(|error| error.contains("is already deleted"));
        (is_deleted && self.object.spec.uninstall.keep_history).then_some("already uninstalled")
    }

    /// An unlock. If no revision is pending any more, the new state says what is next.
    pub(crate) fn unlock(&mut self, ran: &Ran<'_>) -> Ended {
        if ran.is_not_found {
            return Ended::default();
        }
        let Some(locked) = ran.release.filter(|release| release.info.status.is_underway()) else {
            return Ended { notice: None, error: ran.error.map(str::to_owned) };
        };
        let is_locked = |known: &&Snapshot| known.targets(&locked.name, &locked.namespace, locked.version);
        let known = history(self.object).iter().find(is_locked);
        let observed = Observation::new(locked, text(known.and_then(|known| known.oci_digest.as_ref())));
        let current = match observed {
            Ok(observed) => snapshot(&observed, self.settings.digest, None),
            Err(error) => return Ended { notice: None, error: Some(error.to_string()) },
        };
        let release = with_chart(Some(&current));
        let state = locked.info.status.name();
        let about = About::snapshot(&current);
        let Some(error) = ran.error else {
            let message = format!("Unlocked Helm release {release} in {state} state");
            let released = (RELEASED, Status::False);
            return self.succeed(&Action::Unlock, released, PENDING_RELEASE, message, about);
        };
        let message = format!("Unlock of Helm release {release} in {state} state failed: {}", error.trim());
        self.fail(&Action::Unlock, RELEASED, PENDING_RELEASE, message, about, Some(error))
    }
}

fn without_latest() -> Ended {
    Ended { notice: None, error: Some("no latest release: required to uninstall".to_owned()) }
}
