//! A run of an action: what it writes to the storage becomes history.

use std::time::Duration;

use api::HelmRelease;
use api::helm::conditions::{REMEDIATED, TEST_SUCCESS};
use api::helm_release::{ReleaseAction, Snapshot, latest};
use api::meta::reasons::PROGRESSING;
use helm_release::{MetadataError, Observation, Release, Status as ReleaseStatus};
use jiff::Timestamp;
use runtime::conditions::{READY, Status};

use crate::action::Action;
use crate::desired::Desired;
use crate::history::{snapshot, test_hooks};
use crate::notice::Notice;
use crate::object::{Settings, conditions, current, history, status, text};
use crate::record::Recording;
use crate::rendering;
use crate::summary::summarize;

/// How a run of an action went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ran<'a> {
    /// Why it failed; `None` if it did not.
    pub error: Option<&'a str>,
    /// Whether it failed because there is no such release, or none that is locked.
    pub is_not_found: bool,
    /// The revision that it was about: of a test or an uninstall the one that it returned, of an unlock the one that was locked, as
    /// it was before.
    pub release: Option<&'a Release>,
    /// How long it took.
    pub took: Duration,
}

/// What is to be done after a run of an action was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// What is to be told.
    pub notice: Option<Notice>,
    /// Why the pass cannot go on; `None` if the new state says what is next, which it does as soon as something was stored.
    pub error: Option<String>,
}

/// A run of an action on a release.
#[derive(Debug)]
pub struct Run {
    action: Action,
    settings: Settings,
    /// The newest snapshot, as it was before.
    before: Option<Snapshot>,
    history: Vec<Snapshot>,
    /// The revisions that it has made.
    made: Vec<i64>,
    has_written: bool,
    oci_digest: String,
    filters: Vec<api::helm_release::Filter>,
}

impl Run {
    /// Notes that an action is to be run. What is stored of revisions from now on goes to
    /// [`Self::created`] and [`Self::updated`]; what is deleted says nothing new.
    pub fn begin(object: &mut HelmRelease, action: Action, settings: &Settings, now: Timestamp) -> Self {
        let attempted = match action {
            Action::Install => Some(ReleaseAction::Install),
            Action::Upgrade => Some(ReleaseAction::Upgrade),
            _ => None,
        };
        if attempted.is_some() {
            status(object).last_attempted_release_action = attempted;
            let mut conditions = conditions(object, now);
            conditions.remove(TEST_SUCCESS);
            conditions.remove(REMEDIATED);
        }
        if action == Action::Install {
            // Nothing from before is gone back to.
            status(object).history.clear();
        }
        if action == Action::CorrectDrift {
            conditions(object, now).set(READY, Status::Unknown, PROGRESSING, "correcting cluster drift");
        }
        Self {
            before: current(object).cloned(),
            history: history(object).to_vec(),
            made: Vec::new(),
            has_written: false,
            oci_digest: text(status(object).last_attempted_revision_digest.as_ref()).to_owned(),
            filters: object.spec.test.filters.clone(),
            settings: *settings,
            action,
        }
    }

    /// Takes notice of a revision that is new in the storage.
    ///
    /// # Errors
    /// The metadata of its chart cannot be read.
    pub fn created(&mut self, release: &Release) -> Result<(), MetadataError> {
        self.has_written = true;
        let (oci_digest, action) = match self.action {
            Action::Install => (self.oci_digest.as_str(), Some(ReleaseAction::Install)),
            Action::Upgrade => (self.oci_digest.as_str(), Some(ReleaseAction::Upgrade)),
            _ => ("", None),
        };
        let made = snapshot(&Observation::new(release, oci_digest)?, self.settings.digest, action);
        self.made.push(release.version);
        self.history.insert(0, made);
        Ok(())
    }

    /// Takes notice of a revision that was changed in the storage. One that is not in the history is none of ours.
    ///
    /// # Errors
    /// The metadata of its chart cannot be read.
    pub fn updated(&mut self, release: &Release) -> Result<(), MetadataError> {
        self.has_written = true;
        let Release { name, namespace, version, .. } = release;
        let known = self.history.iter().position(|known| known.targets(name, namespace, *version));
        match known.and_then(|at| self.history.get(at).cloned().map(|known| (at, known))) {
            Some((at, known)) => self.update(release, at, &known),
            None => Ok(()),
        }
    }

    fn update(&mut self, release: &Release, at: usize, known: &Snapshot) -> Result<(), MetadataError> {
        let is_made = self.made.contains(&release.version);
        let (action, hooks) = match self.action {
            Action::Install | Action::Upgrade if !is_made => (None, known.test_hooks.clone()),
            Action::Rollback(_) => (Some(ReleaseAction::Rollback), known.test_hooks.clone()),
            Action::UninstallRemediation => {
                (Some(ReleaseAction::UninstallRemediation), known.test_hooks.clone())
            }
            Action::Uninstall => (Some(ReleaseAction::Uninstall), known.test_hooks.clone()),
            Action::Test if latest(&self.history).is_some_and(|newest| newest.version == known.version) => {
                (known.action, Some(test_hooks(release, &self.filters)))
            }
            Action::Test => return Ok(()),
            _ => (known.action, None),
        };
        let observed = Observation::new(release, text(known.oci_digest.as_ref()))?;
        let new = Snapshot { test_hooks: hooks, ..snapshot(&observed, self.settings.digest, action) };
        if let Some(entry) = self.history.get_mut(at) {
            *entry = new;
        }
        Ok(())
    }

    /// Writes down how the run went: history, counters and conditions.
    pub fn end(self, object: &mut HelmRelease, desired: &Desired, ran: &Ran<'_>, now: Timestamp) -> Ended {
        let settings = self.settings;
        let takes_part = !matches!(self.action, Action::UninstallRemediation | Action::CorrectDrift);
        status(object).history = self.history;
        match self.action {
            Action::Install | Action::Upgrade if ran.error.is_none() => rendering::note(object, &settings),
            Action::Rollback(_) if self.has_written => rendering::note_rollback(object),
            _ => {}
        }
        let mut recording = Recording { object, desired, settings, now };
        let before = self.before.as_ref();
        let ended = match self.action {
            Action::Install | Action::Upgrade => recording.release(&self.action, ran, self.has_written),
            Action::Test => recording.test(ran, before),
            Action::Rollback(target) => recording.rollback(ran, before, &target),
            Action::UninstallRemediation => recording.uninstall_remediation(ran, before),
            Action::Uninstall => recording.uninstall(ran, before),
            Action::Unlock => recording.unlock(ran),
            Action::CorrectDrift => Ended::default(),
        };
        if takes_part {
            summarize(object, now);
        }
        ended
    }
}

/// What an unlocked revision says of itself.
pub fn unlocked_description(was: ReleaseStatus) -> String {
    format!("Release unlocked from stale '{}' state", was.name())
}
