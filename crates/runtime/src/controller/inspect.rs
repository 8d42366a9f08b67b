//! What a controller tells of its objects when somebody asks: see [`crate::diagnostics`].

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use budget::Bound;
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

use super::{Pass, Reconcile};
use crate::{
    diagnostics::{
        Activity, Inspect, LastState, NextState, ObjectState, Query, QueueState, Step, StepState, wall_time,
    },
    queue::{Known, PassResult},
};

/// The objects of a controller, as long as it runs.
pub(super) struct Inspected<K: Resource<DynamicType = ()> + 'static, R>(pub Weak<Pass<K, R>>);

impl<K, R> Inspect for Inspected<K, R>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    R: Reconcile<K>,
{
    fn kind(&self) -> String {
        K::kind(&()).into_owned()
    }

    fn queue(&self) -> QueueState {
        let pass = self.0.upgrade();
        let counts = pass.as_ref().map(|pass| pass.queue.counts(Instant::now())).unwrap_or_default();
        QueueState {
            kind: self.kind(),
            objects: pass.map(|pass| pass.store.len()).unwrap_or_default(),
            due: counts.due,
            running: counts.running,
            scheduled: counts.scheduled,
        }
    }

    fn objects(&self, query: &Query, most: usize) -> Vec<ObjectState> {
        let (Some(pass), kind) = (self.0.upgrade(), self.kind()) else { return Vec::new() };
        let place = |object: &K| (object.namespace().unwrap_or_default(), object.name_any());
        let is_taken = |object: &Arc<K>| {
            let (namespace, name) = place(object.as_ref());
            query.takes(&kind, &namespace, &name)
        };
        let mut objects: Vec<_> = pass.store.state().into_iter().filter(is_taken).collect();
        objects.sort_by_cached_key(|object| place(object.as_ref()));
        objects.truncate(most);
        objects.iter().map(|object| pass.state(object.as_ref())).collect()
    }
}

impl<K, R> Pass<K, R>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    R: Reconcile<K>,
{
    fn state(&self, object: &K) -> ObjectState {
        let reference = ObjectRef::from_obj(object);
        let (known, failures) = (self.queue.get(&reference), self.backoff.count(&reference));
        let Activity { suspended, ready, step, pause } = self.reconciler.activity(object);
        let facts = Facts {
            known,
            failures,
            bound: self.turns.waits_for(&reference),
            suspended,
            goes_on: step.is_some(),
            pause,
        };
        let next = next(facts, Instant::now());
        ObjectState {
            kind: K::kind(&()).into_owned(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            generation: object.meta().generation,
            suspended,
            deleting: object.meta().deletion_timestamp.is_some(),
            ready,
            last: known.last.map(|last| LastState {
                ended: wall_time(last.ended),
                seconds: last.took.as_secs_f64(),
                result: result(last.result),
                failures,
            }),
            running: running(known, step),
            next,
        }
    }
}

fn result(result: PassResult) -> &'static str {
    match result {
        PassResult::Done => "done",
        PassResult::Scheduled => "scheduled",
        PassResult::Underway => "underway",
        PassResult::Failed => "failed",
    }
}

/// What goes on: a pass, or work without one.
fn running(known: Known, step: Option<Step>) -> Option<StepState> {
    let pass = known.begun.map(|begun| Step { name: "pass", since: Some(begun), waits_for: None });
    let Step { name, since, waits_for } = step.or(pass)?;
    Some(StepState { step: name, since: since.map(wall_time), waits_for })
}

struct Facts {
    known: Known,
    failures: u32,
    bound: Option<Bound>,
    suspended: bool,
    /// Whether there is work without a pass.
    goes_on: bool,
    pause: Option<String>,
}

/// When the next pass comes, and what it waits for until then.
fn next(facts: Facts, now: Instant) -> Option<NextState> {
    let Facts { known, failures, bound, suspended, goes_on, pause } = facts;
    let why = match known.due {
        _ if known.begun.is_some() && known.due.is_none() => return None,
        Some(_) if known.begun.is_some() => "the end of the pass that is under way".to_owned(),
        Some(due) if due <= now => match bound {
            Some(Bound::Tenant(share)) => {
                format!("a free pass: its namespace uses its share of {share} (--concurrent)")
            }
            Some(_) => "a free pass: all are in use (--concurrent)".to_owned(),
            None => "nothing: it is due".to_owned(),
        },
        Some(_) if failures > 0 => format!("back-off after {failures} failed passes"),
        Some(_) if goes_on => "the step that is under way, or its deadline".to_owned(),
        Some(_) => pause.unwrap_or_else(|| "its interval".to_owned()),
        None if goes_on => "the step that is under way".to_owned(),
        None if suspended => "spec.suspend to be false".to_owned(),
        None => pause.unwrap_or_else(|| "a change of the object".to_owned()),
    };
    Some(NextState { at: known.due.map(wall_time), why })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn next_says_what_is_waited_for() {
        let now = Instant::now();
        let (past, later) = (now.checked_sub(Duration::from_secs(1)).unwrap(), now + Duration::from_secs(60));
        let why = |due: Option<Instant>, begun: bool, change: fn(&mut Facts)| {
            let known = Known { due, begun: begun.then_some(past), last: None };
            let mut facts =
                Facts { known, failures: 0, bound: None, suspended: false, goes_on: false, pause: None };
            change(&mut facts);
            next(facts, now).map(|next| next.why)
        };
        type Row = (Option<Instant>, bool, fn(&mut Facts), Option<&'static str>);
        let rows: [Row; 12] = [
            (None, true, |_| {}, None),
            (Some(past), true, |_| {}, Some("the end of the pass that is under way")),
            (Some(past), false, |_| {}, Some("nothing: it is due")),
            (
                Some(past),
                false,
                |facts| facts.bound = Some(Bound::Tenant(4)),
                Some("a free pass: its namespace uses its share of 4 (--concurrent)"),
            ),
            (
                Some(past),
                false,
                |facts| facts.bound = Some(Bound::Process(5)),
                Some("a free pass: all are in use (--concurrent)"),
            ),
            (Some(later), false, |facts| facts.failures = 3, Some("back-off after 3 failed passes")),
            (Some(later), false, |_| {}, Some("its interval")),
            (Some(later), false, |facts| facts.pause = Some("x".into()), Some("x")),
            (
                Some(later),
                false,
                |facts| facts.goes_on = true,
                Some("the step that is under way, or its deadline"),
            ),
            (None, false, |facts| facts.goes_on = true, Some("the step that is under way")),
            (None, false, |facts| facts.suspended = true, Some("spec.suspend to be false")),
            (None, false, |_| {}, Some("a change of the object")),
        ];
        for (row, (due, begun, change, expected)) in rows.into_iter().enumerate() {
            assert_eq!(why(due, begun, change).as_deref(), expected, "row {row}");
        }
    }

    #[test]
    fn a_step_of_the_controller_is_told_before_the_pass_itself() {
        let now = Instant::now();
        let known = Known { due: None, begun: Some(now), last: None };
        let step = |step| running(known, step).map(|step| (step.step, step.since.is_some(), step.waits_for));
        assert_eq!(step(None), Some(("pass", true, None)));
        let fetch = Step { name: "fetch", since: None, waits_for: Some("its turn".into()) };
        assert_eq!(step(Some(fetch)), Some(("fetch", false, Some("its turn".into()))));
        assert!(running(Known::default(), None).is_none());
    }
}
