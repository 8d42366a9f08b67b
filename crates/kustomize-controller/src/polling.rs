//! Health that no watch tells: that of kinds which the controller itself may not watch, and of the Pods of a set that
//! makes no progress. Asked for at a modest pace, in the identity that applies, while a run waits.

use std::{sync::Arc, time::Duration};

use apply::{
    kstatus::{Status, Verdict, custom::Rule, verdict},
    observe::WatchState,
    prune::Entry,
    read,
};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use kube::Client;
use tokio::time::Instant;

use crate::{
    health::{Awaited, Polled, health_rules},
    pass::Pass,
};

/// Between two polls of an object.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Most objects polled in one go; the others have their turn when these are ready.
const POLLS_AT_ONCE: usize = 32;
/// Longest wait for one answer.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// What has to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unwatched {
    /// The object itself.
    Object,
    /// The Pods of a set.
    Pods,
}

impl Unwatched {
    fn of(awaited: &Awaited, state: &WatchState, seen: Option<Status>) -> Option<Self> {
        let has_pods =
            awaited.gvk.group == "apps" && matches!(&*awaited.gvk.kind, "StatefulSet" | "ReplicaSet");
        match state {
            WatchState::Forbidden(_) => Some(Self::Object),
            WatchState::Synced if has_pods && seen == Some(Status::InProgress) => Some(Self::Pods),
            _ => None,
        }
    }

    /// When it is due: at once if nothing at all is known, and Pods only once there was time for progress.
    fn due(self, last: &Polled) -> Instant {
        match (self, &last.verdict) {
            (Self::Object, None) => last.at,
            _ => last.at + POLL_INTERVAL,
        }
    }
}

impl Pass<'_> {
    /// Asks for the objects whose watch does not tell enough. Gives the time until the next poll, if there are any.
    pub(crate) async fn poll_health(&self, awaited: &mut [Awaited]) -> Option<Duration> {
        let index = &self.cluster.index;
        let rules = health_rules(&self.subject.object, &self.context.arguments).ok();
        let rule = |object: &Awaited| rules.as_ref()?.of(&object.gvk.group, &object.gvk.kind);
        let mut unwatched: Vec<(Unwatched, &mut Awaited)> = Vec::new();
        for object in awaited {
            let (state, seen) = object.watched(index);
            match Unwatched::of(object, &state, seen.map(|seen| seen.verdict.status)) {
                Some(_) if object.polled.verdict.as_ref().is_some_and(|v| v.status == Status::Current) => {}
                // A custom health rule replaces the Pod check.
                Some(Unwatched::Pods) if rule(object).is_some() => {}
                Some(what) => unwatched.push((what, object)),
                None => object.polled.verdict = None,
            }
        }
        unwatched.truncate(POLLS_AT_ONCE);
        let now = Instant::now();
        if unwatched.iter().any(|(what, object)| what.due(&object.polled) <= now)
            && let Ok(client) = self.identity()
        {
            let due = unwatched.iter_mut().filter(|(what, object)| what.due(&object.polled) <= now);
            let polls: Vec<_> =
                due.map(|(what, object)| self.poll(&client, *what, rule(object), object)).collect();
            let at_once = usize::from(self.context.arguments.concurrent_ssa);
            stream::iter(polls).buffered(at_once).collect::<Vec<()>>().await;
        }
        let now = Instant::now();
        unwatched.iter().map(|(what, object)| what.due(&object.polled).saturating_duration_since(now)).min()
    }

    async fn poll(&self, client: &Client, what: Unwatched, rule: Option<&Arc<Rule>>, object: &mut Awaited) {
        let entry = Entry { id: object.id.clone(), version: object.gvk.version.clone() };
        let plain = |status, message| Verdict { status, message, fails_at: None };
        let found = match (what, read::object(client, &self.cluster.mapper, &entry, POLL_TIMEOUT).await) {
            (Unwatched::Object, Ok(Some(live))) => {
                Some(rule.map_or_else(|| verdict(&live, Timestamp::now()), |rule| rule.verdict(&live)))
            }
            (Unwatched::Object, Ok(None)) if object.may_vanish => Some(plain(Status::Current, String::new())),
            (Unwatched::Object, Ok(None)) => Some(plain(Status::NotFound, String::new())),
            (Unwatched::Object, Err(error)) => Some(plain(Status::Unknown, error.to_string())),
            (Unwatched::Pods, Ok(Some(set))) => {
                // Who may not see Pods waits for the set itself.
                let failing = read::has_failed_pods(client, &set, POLL_TIMEOUT).await.unwrap_or_default();
                failing.then(|| plain(Status::Failed, String::new()))
            }
            (Unwatched::Pods, _) => None,
        };
        object.polled = Polled { at: Instant::now(), verdict: found };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Observation;
    use apply::{object::ObjectId, prepare::Owner};

    fn awaited(kind: &str) -> Awaited {
        let id =
            ObjectId { group: "apps".into(), kind: kind.into(), namespace: "n".into(), name: "a".into() };
        let gvk = id.gvk("v1");
        Awaited {
            id,
            gvk,
            not_before: None,
            may_vanish: false,
            observed: Observation::Owned(Owner { namespace: "n".into(), name: "app".into() }),
            polled: Polled::default(),
        }
    }

    #[test]
    fn objects_are_polled_for_what_their_watch_does_not_tell() {
        let forbidden = WatchState::Forbidden("no".into());
        for (kind, state, seen, what) in [
            ("Deployment", &forbidden, None, Some(Unwatched::Object)),
            ("Deployment", &WatchState::Synced, Some(Status::InProgress), None),
            ("Deployment", &WatchState::Failing("x".into()), None, None),
            ("StatefulSet", &WatchState::Synced, Some(Status::InProgress), Some(Unwatched::Pods)),
            ("ReplicaSet", &WatchState::Synced, Some(Status::InProgress), Some(Unwatched::Pods)),
            ("StatefulSet", &WatchState::Synced, Some(Status::Current), None),
            ("StatefulSet", &WatchState::Synced, None, None),
            ("StatefulSet", &forbidden, None, Some(Unwatched::Object)),
        ] {
            assert_eq!(Unwatched::of(&awaited(kind), state, seen), what, "{kind} {state:?} {seen:?}");
        }
    }

    #[test]
    fn an_object_is_asked_for_at_once_and_pods_after_a_while() {
        let mut last = Polled::default();
        assert_eq!(Unwatched::Object.due(&last), last.at);
        assert_eq!(Unwatched::Pods.due(&last), last.at + POLL_INTERVAL);
        last.verdict = Some(Verdict { status: Status::Unknown, message: String::new(), fails_at: None });
        assert_eq!(Unwatched::Object.due(&last), last.at + POLL_INTERVAL);
    }
}
