//! The release itself: from what is stored and what is wanted to what is done, until there is nothing more to do.

use std::collections::HashMap;
use std::sync::Arc;

use api::helm_release::shorten_release_name;
use apply::mask::Mask;
use futures::FutureExt;
use helm_actions::drift::{Diff, DriftOptions};
use helm_actions::storage::{Storage, StorageError};
use helm_actions::{Configuration, Observer};
use helm_release::{ApplyMethod, Release};
use helm_state::next::{Next, decide};
use helm_state::state::{Basis, determine};
use helm_state::{
    Action, Ended, Kind, Notice, Outcome, Pass as Loop, State, StateStatus, Step, health_check_canceled,
    verify,
};
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use net::chain;

use crate::actions::Found;
use crate::drift;
use crate::obstacle::Halt;
use crate::pass::{Pass, Prepared};

/// What an object in the cluster shows of a release.
struct Seen {
    newest: Option<Release>,
    state: State,
    diff: Option<Diff>,
}

impl Pass<'_> {
    /// Makes the release what is wanted.
    ///
    /// # Errors
    /// When the status cannot be written.
    pub(crate) async fn keep_released(&mut self, prepared: &mut Prepared) -> Result<Outcome, Halt> {
        let settings = self.context.arguments.settings();
        let namespace = self.subject.object.storage_namespace();
        let configuration = self.configuration(&prepared.target, namespace, Observer::default());
        let storage = configuration.storage();
        let mut turn = Loop::default();
        let mut is_first = true;
        loop {
            if self.context.ending.is_cancelled() {
                // What is next is for the next process.
                return Ok(Outcome::Requeue);
            }
            let looked = self.look(prepared, &configuration, &storage, std::mem::take(&mut is_first));
            let seen = match looked.await {
                Ok(seen) => seen,
                Err(error) => {
                    let object = &mut self.subject.object;
                    return Ok(Loop::without_state(object, &error, Timestamp::now()));
                }
            };
            match seen.state.status {
                StateStatus::InSync => tracing::debug!("{}", seen.state),
                _ => tracing::info!("{}", seen.state),
            }
            let object = &mut self.subject.object;
            let next = match decide(object, &seen.state, &settings, Timestamp::now()) {
                Ok(decision) => {
                    if let Some(notice) = &decision.notice {
                        self.subject.notify(&self.context.events, notice);
                    }
                    Ok(decision.next)
                }
                Err(error) => Err(error),
            };
            self.count_reported_drift(&next, seen.diff.as_ref());
            let object = &mut self.subject.object;
            let mut step = turn.before(object, next, &settings, Timestamp::now());
            if let Step::Verify(target) = step {
                let stored = match storage.get(&target.name, target.version).await {
                    Ok(stored) => stored,
                    // As one that is not there.
                    Err(error @ StorageError::Decode { .. }) => {
                        tracing::warn!(error = chain(&error), "there is no going back to a stored revision");
                        None
                    }
                    Err(error) => {
                        let object = &mut self.subject.object;
                        return Ok(Loop::without_state(object, &chain(&error), Timestamp::now()));
                    }
                };
                let verified = verify(&target, stored.as_ref());
                let next = Next::after_verification(target, verified);
                let object = &mut self.subject.object;
                step = turn.before(object, Ok(next), &settings, Timestamp::now());
            }
            let (action, timeout) = match step {
                Step::Run { action, timeout } => (action, timeout),
                Step::End(outcome) => return Ok(outcome),
                // What was verified is not to be verified again.
                Step::Verify(_) => return Ok(Outcome::Requeue),
            };
            if matches!(action, Action::Install | Action::Upgrade) && prepared.chart.is_none() {
                let (kind, values) = (&prepared.source.kind, prepared.desired.values());
                let chart = self.chart(kind, &prepared.artifact, values).await?;
                prepared.chart = Some(Arc::new(chart));
            }
            let (name, timeout) = (action.name(), api::duration::go_duration_string(timeout));
            tracing::info!("running '{name}' action with timeout of {timeout}");
            self.subject.save().await?;
            let kind = action.kind();
            let ended = self.act_on(prepared, action, seen).await;
            if let Some(outcome) = self.canceled(prepared, kind, &ended) {
                return Ok(outcome);
            }
            let object = &mut self.subject.object;
            let error = ended.error.as_deref();
            if let Some(outcome) = turn.after(object, kind, error, &settings, Timestamp::now()) {
                return Ok(outcome);
            }
            self.subject.save().await?;
        }
    }

    async fn act_on(&mut self, prepared: &mut Prepared, action: Action, seen: Seen) -> Ended {
        let (before, kind) = (self.subject.object.status.clone().unwrap_or_default(), action.kind());
        let found = Found { newest: seen.newest, diff: seen.diff };
        let ended = self.perform(prepared, action, found).boxed().await;
        if self.context.stop.is_cancelled() || self.is_interrupted(kind, &ended) {
            // That the process ends or something newer has come is no failure of the release: it is tried again.
            let status = helm_state::status(&mut self.subject.object);
            status.failures = before.failures;
            status.install_failures = before.install_failures;
            status.upgrade_failures = before.upgrade_failures;
        }
        if let Some(notice) = &ended.notice {
            self.tell(notice, &prepared.target.secrets);
        }
        ended
    }

    /// Tells of an action, but not what is secret.
    pub(crate) fn tell(&self, notice: &Notice, secrets: &Mask) {
        let masked = Notice { message: secrets.apply(&notice.message), ..notice.clone() };
        self.subject.notify(&self.context.events, &masked);
    }

    /// Whether an action has failed while something newer had come.
    fn is_interrupted(&self, kind: Kind, ended: &Ended) -> bool {
        let has_failed = ended.notice.as_ref().is_some_and(|notice| notice.is_warning);
        self.interrupt.is_cancelled() && kind != Kind::DriftCorrection && has_failed
    }

    /// How a pass ends whose action was broken off.
    fn canceled(&mut self, prepared: &Prepared, kind: Kind, ended: &Ended) -> Option<Outcome> {
        if self.context.stop.is_cancelled() {
            let why = ended.error.as_deref().unwrap_or("context canceled");
            return Some(Outcome::Failed(format!("atomic release canceled: {why}")));
        }
        if !self.is_interrupted(kind, ended) {
            return None;
        }
        let object = &self.subject.object;
        let newest = self.context.store.get(&ObjectRef::from_obj(object));
        let is_same = newest.is_some_and(|newest| newest.metadata.generation == object.metadata.generation);
        let trigger = if is_same {
            prepared.source.to_string()
        } else {
            format!("HelmRelease/{}/{}", self.subject.namespace(), self.subject.name())
        };
        let notice = health_check_canceled(&mut self.subject.object, &trigger, Timestamp::now());
        self.subject.notify(&self.context.events, &notice);
        Some(Outcome::Requeue)
    }

    /// What is stored of the release, and what that means. What somebody asks for is looked at as a whole.
    async fn look(
        &mut self,
        prepared: &Prepared,
        configuration: &Configuration,
        storage: &Storage,
        is_first: bool,
    ) -> Result<Seen, String> {
        self.progress.at("compare", None);
        let name = shorten_release_name(&self.subject.object.release_name());
        let stored = storage.entries(&name).await.map_err(|error| chain(&error))?;
        let stamp = stored.last().map(|entry| entry.stamp);
        let basis = Basis::new(&self.subject.object, &prepared.desired);
        let is_in_sync = stamp.is_some_and(|stamp| self.slot.memory.is_in_sync(stamp, &basis));
        let untouched = match is_in_sync && !(is_first && self.subject.is_requested()) {
            true => self.untouched(),
            false => HashMap::new(),
        };
        if is_in_sync {
            let (state, object) = (State::in_sync(), &self.subject.object);
            if !state.asks_for_drift(object) || self.slot.memory.objects.are_all(&untouched) {
                return Ok(Seen { newest: None, state, diff: None });
            }
        }
        let newest = storage.newest(&name, &stored).await.map_err(|error| chain(&error))?;
        let object = &self.subject.object;
        let state = determine(object, newest.as_ref(), &prepared.desired, Timestamp::now());
        let state = state.map_err(|error| chain(&error))?;
        let is_newest = newest.as_ref().map(|release| release.version) == stored.last().map(|e| e.revision);
        match stamp.filter(|_| is_newest && state.status == StateStatus::InSync) {
            Some(stamp) => self.slot.memory.in_sync(stamp, basis),
            None => self.slot.memory.forget(),
        }
        let Some(release) = newest.as_ref().filter(|_| state.asks_for_drift(object)) else {
            return Ok(Seen { newest, state, diff: None });
        };
        let options = drift::options(object, &self.context.arguments.override_manager);
        let options = options.map_err(|error| chain(&error))?;
        let options = DriftOptions { known: untouched, ..options };
        let diff =
            self.with_objects(configuration, release, configuration.diff(release, &options).boxed()).await;
        self.compared(&diff, release.apply_method == Some(ApplyMethod::ServerSide));
        for error in &diff.errors {
            tracing::error!(error = chain(error), "it cannot be told whether an object has drifted");
        }
        if !diff.has_changes() {
            if let Some(error) = diff.errors.first() {
                return Err(format!("unable to determine cluster state: {}", chain(error)));
            }
            return Ok(Seen { newest, state, diff: None });
        }
        let state = State::drifted(diff.brief(), diff.summary());
        Ok(Seen { newest, state, diff: Some(diff) })
    }
}
