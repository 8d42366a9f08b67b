//! Whether the objects of a run are healthy: a judgement over what the observed index knows.

use std::time::Duration;

use api::{Kustomization, duration::go_duration_string, meta::is_older_version};
use apply::{
    kstatus::{
        Status, Verdict,
        custom::{HealthRules, HealthRulesError},
    },
    object::ObjectId,
    observe::{Index, ObjectWatch, Observed, Presence, WatchState},
    prepare::Owner,
};
use kube::core::GroupVersionKind;
use tokio::time::Instant;

use crate::{flags::Arguments, subject::service_account};

/// The rules of `spec.healthCheckExprs`. As upstream's readers are ordered, those of an impersonated service account for
/// Jobs count and the controller's own do not.
///
/// # Errors
/// If an expression is invalid.
pub fn health_rules(object: &Kustomization, arguments: &Arguments) -> Result<HealthRules, HealthRulesError> {
    let account = service_account(object, arguments.default_service_account.as_deref());
    HealthRules::new(&object.spec.health_check_exprs, account.is_some())
}

/// An object whose health is awaited.
pub struct Awaited {
    /// The object.
    pub id: ObjectId,
    /// Its kind in the version it was applied in.
    pub gvk: GroupVersionKind,
    /// What is observed must not be older than this; any will do without it.
    pub not_before: Option<Presence>,
    /// A Job that removes itself when it is done.
    pub may_vanish: bool,
    /// How it is observed.
    pub observed: Observation,
    /// What the watch does not tell.
    pub polled: Polled,
}

/// How an object whose health is awaited is observed.
pub enum Observation {
    /// By the watch of the owned objects of its kind, as one of this owner.
    Owned(Owner),
    /// By a watch of its own: it does not carry our labels, and the identity that applies may read it.
    Watched(ObjectWatch),
    /// By asking in the identity that applies: whether that may read it is not known.
    Polled,
}

/// What was found by asking for an object, where its watch does not tell.
#[derive(Debug)]
pub struct Polled {
    /// When that was, or when the wait began.
    pub at: Instant,
    /// What was found.
    pub verdict: Option<Verdict>,
}

impl Default for Polled {
    fn default() -> Self {
        Self { at: Instant::now(), verdict: None }
    }
}

impl Awaited {
    /// How its watch stands, and what that shows.
    pub fn watched(&self, index: &Index) -> (WatchState, Option<Observed>) {
        match &self.observed {
            Observation::Owned(_) => (index.ensure(&self.gvk), index.get(&self.id)),
            Observation::Watched(watch) => (watch.state(), watch.get()),
            Observation::Polled => (WatchState::Forbidden("not looked at yet".to_owned()), None),
        }
    }

    /// Its health.
    pub fn verdict(&self, index: &Index) -> Verdict {
        let (state, seen) = self.watched(index);
        let forbidden = matches!(state, WatchState::Forbidden(_));
        let has_vanished = match (&self.observed, &self.not_before) {
            (Observation::Owned(owner), Some(applied)) if self.may_vanish && seen.is_none() => {
                index.has_gone(&self.id, applied, owner)
            }
            _ => false,
        };
        let not_before = self.not_before.as_ref().map_or("", |applied| &*applied.resource_version);
        let verdict = verdict(state, seen, not_before, has_vanished);
        match &self.polled.verdict {
            Some(found) if forbidden || verdict.status == Status::InProgress => found.clone(),
            _ => verdict,
        }
    }
}

/// The health of an object from the state of its watch and what it showed last.
fn verdict(state: WatchState, seen: Option<Observed>, not_before: &str, has_vanished: bool) -> Verdict {
    let plain = |status, message: String| Verdict { status, message, fails_at: None };
    match (state, seen) {
        (WatchState::Forbidden(error) | WatchState::Failing(error) | WatchState::NotServed(error), _) => {
            plain(Status::Unknown, error)
        }
        (_, Some(seen)) if is_older_version(&seen.resource_version, not_before) => {
            plain(Status::InProgress, String::new())
        }
        (_, Some(seen)) => seen.verdict,
        (WatchState::Synced, None) if has_vanished => plain(Status::Current, String::new()),
        (WatchState::Synced, None) => plain(Status::NotFound, String::new()),
        (WatchState::Starting, None) => plain(Status::Unknown, String::new()),
    }
}

/// The state of all objects together.
#[derive(Debug, PartialEq, Eq)]
pub enum Health {
    /// All are current.
    Current,
    /// Some are not yet; each with its status.
    Waiting(Vec<String>),
    /// There is no use in waiting; each object that is not current with its status.
    Failed(Vec<String>),
}

/// The health of the objects. With `fail_fast` one failed object is enough to give up; without, all must have ended.
pub fn summarise(awaited: &[Awaited], index: &Index, fail_fast: bool) -> Health {
    over(awaited.iter().map(|object| (object.id.subject(), object.verdict(index))), fail_fast)
}

fn over(objects: impl Iterator<Item = (String, Verdict)>, fail_fast: bool) -> Health {
    let (mut open, mut failed, mut pending) = (Vec::new(), Vec::new(), false);
    for (subject, verdict) in objects {
        let line = describe(&subject, &verdict);
        match verdict.status {
            Status::Current => continue,
            Status::Failed => failed.push(line.clone()),
            _ => pending = true,
        }
        open.push(line);
    }
    match (failed.is_empty(), pending) {
        (true, false) => Health::Current,
        (false, pending) if fail_fast || !pending => Health::Failed(failed),
        _ => Health::Waiting(open),
    }
}

fn describe(subject: &str, verdict: &Verdict) -> String {
    let status = verdict.status.as_str();
    if verdict.status == Status::Unknown && !verdict.message.is_empty() {
        return format!("{subject} status: '{status}': {}", verdict.message);
    }
    format!("{subject} status: '{status}'")
}

/// The message of a health check that ran out of time.
pub fn timeout_message(open: &[String]) -> String {
    format!("timeout waiting for: [{}]", open.join(", "))
}

/// The message of a health check that was given up.
pub fn failed_message(failed: &[String]) -> String {
    format!("failed early due to stalled resources: [{}]", failed.join(", "))
}

/// What Ready says of a failed health check.
pub fn ready_message(took: Duration, inner: &str) -> String {
    format!("health check failed after {}: {inner}", go_duration_string(took))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(version: &str, status: Status) -> Option<Observed> {
        Some(Observed {
            uid: "u".into(),
            resource_version: version.into(),
            deleting: false,
            fingerprint: 0,
            verdict: Verdict { status, message: String::new(), fails_at: None },
            owner: None,
        })
    }

    fn verdicts(list: &[(&str, Status)], fail_fast: bool) -> Health {
        let verdict = |status: Status| Verdict { status, message: String::new(), fails_at: None };
        over(list.iter().map(|(subject, status)| ((*subject).to_owned(), verdict(*status))), fail_fast)
    }

    #[test]
    fn an_observation_from_before_the_apply_does_not_count() {
        let status = |version, not_before| {
            verdict(WatchState::Synced, seen(version, Status::Current), not_before, false).status
        };
        assert_eq!(status("9", "10"), Status::InProgress);
        assert_eq!(status("10", "10"), Status::Current);
        assert_eq!(status("11", "10"), Status::Current);
        assert_eq!(status("9", ""), Status::Current);
    }

    #[test]
    fn an_absent_object_is_missing_only_when_the_watch_knows() {
        let absent = |state, has_vanished| verdict(state, None, "", has_vanished).status;
        assert_eq!(absent(WatchState::Starting, false), Status::Unknown);
        assert_eq!(absent(WatchState::Synced, false), Status::NotFound);
        assert_eq!(absent(WatchState::Synced, true), Status::Current);
    }

    #[test]
    fn a_watch_that_is_not_allowed_is_reported_with_its_reason() {
        let verdict = verdict(WatchState::Forbidden("may not".into()), None, "", false);
        assert_eq!(describe("Deployment/ns/a", &verdict), "Deployment/ns/a status: 'Unknown': may not");
    }

    #[test]
    fn one_failed_object_ends_the_wait_only_if_it_should() {
        let mixed = [("a", Status::Failed), ("b", Status::InProgress), ("c", Status::Current)];
        assert_eq!(verdicts(&mixed, true), Health::Failed(vec!["a status: 'Failed'".into()]));
        let Health::Waiting(open) = verdicts(&mixed, false) else { panic!("b goes on") };
        assert_eq!(
            timeout_message(&open),
            "timeout waiting for: [a status: 'Failed', b status: 'InProgress']"
        );
        assert_eq!(
            verdicts(&[("a", Status::Failed), ("c", Status::Current)], false),
            Health::Failed(vec!["a status: 'Failed'".into()])
        );
        assert_eq!(verdicts(&[("c", Status::Current)], true), Health::Current);
    }
}
