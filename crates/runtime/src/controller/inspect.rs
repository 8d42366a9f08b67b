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
        let found = match (&query.namespace, &query.name) {
            (Some(namespace), Some(name)) => {
                pass.store.get(&ObjectRef::new(name).within(namespace)).into_iter().collect()
            }
            _ => pass.store.state(),
        };
        let is_taken = |object: &Arc<K>| {
            let (namespace, name) = place(object.as_ref());
            query.takes(&kind, namespace, name)
        };
        let by_place = |a: &Arc<K>, b: &Arc<K>| place(a.as_ref()).cmp(&place(b.as_ref()));
        let mut objects: Vec<_> = found.into_iter().filter(is_taken).collect();
        if most < objects.len() {
            objects.select_nth_unstable_by(most, by_place);
            objects.truncate(most);
        }
        objects.sort_unstable_by(by_place);
        objects.iter().map(|object| pass.state(object.as_ref())).collect()
    }
}

/// Namespace and name, by which objects are sorted.
fn place<K: Resource>(object: &K) -> (&str, &str) {
    let metadata = object.meta();
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
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
            None => "it is due and begins at once".to_owned(),
        },
        Some(_) if failures == 1 => "back-off after 1 failed pass".to_owned(),
        Some(_) if failures > 1 => format!("back-off after {failures} failed passes"),
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
    use std::{
        borrow::Cow,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        api::ObjectMeta,
        core::NamespaceResourceScope,
        runtime::{reflector, watcher::Event},
    };
    use net::Backoff;

    use super::*;
    use crate::{
        backoff::Failures,
        controller::{Outcome, turns::Turns},
        metrics::Metrics,
        queue::Queue,
    };

    /// An object that counts how often it is looked at.
    #[derive(Clone)]
    struct Counting(ConfigMap, Arc<AtomicUsize>);

    impl Resource for Counting {
        type DynamicType = ();
        type Scope = NamespaceResourceScope;

        fn kind((): &()) -> Cow<'_, str> {
            ConfigMap::kind(&())
        }

        fn group((): &()) -> Cow<'_, str> {
            ConfigMap::group(&())
        }

        fn version((): &()) -> Cow<'_, str> {
            ConfigMap::version(&())
        }

        fn plural((): &()) -> Cow<'_, str> {
            ConfigMap::plural(&())
        }

        fn meta(&self) -> &ObjectMeta {
            self.1.fetch_add(1, Ordering::Relaxed);
            &self.0.metadata
        }

        fn meta_mut(&mut self) -> &mut ObjectMeta {
            &mut self.0.metadata
        }
    }

    /// Counts what is asked of it.
    #[derive(Default)]
    struct Asked(AtomicUsize);

    impl Reconcile<Counting> for Asked {
        async fn reconcile(&self, _object: Arc<Counting>) -> Outcome {
            Outcome::Wait
        }

        fn gone(&self, _object: &ObjectRef<Counting>) {}

        fn activity(&self, _object: &Counting) -> Activity {
            self.0.fetch_add(1, Ordering::Relaxed);
            Activity::default()
        }
    }

    #[test]
    fn who_asks_for_one_object_of_thousands_has_one_looked_at() {
        let (store, mut writer) = reflector::store();
        let (looks, metrics) = (Arc::new(AtomicUsize::new(0)), Metrics::new().unwrap());
        for number in 0..5000 {
            let mut object = ConfigMap::default();
            // Not in the order of their names.
            object.metadata.name = Some(format!("{:04}", number * 7 % 5000));
            object.metadata.namespace = Some("ns".into());
            writer.apply_watcher_event(&Event::Apply(Counting(object, looks.clone())));
        }
        let hour = Duration::from_secs(3600);
        let pass = Arc::new(Pass {
            reconciler: Arc::new(Asked::default()),
            backoff: Arc::new(Failures::new(Backoff { first: hour, longest: hour })),
            metrics: metrics.clone(),
            name: "configmap".into(),
            queue: Queue::new("configmap", &metrics),
            turns: Turns::new(1),
            store,
        });
        let inspected = Inspected(Arc::downgrade(&pass));
        let ask = |query: &str, most: usize| {
            looks.store(0, Ordering::Relaxed);
            pass.reconciler.0.store(0, Ordering::Relaxed);
            let objects = inspected.objects(&Query::parse(query).unwrap(), most);
            let names: Vec<_> = objects.into_iter().map(|object| object.name).collect();
            (names, looks.load(Ordering::Relaxed), pass.reconciler.0.load(Ordering::Relaxed))
        };
        let (names, looked_at, asked) = ask("namespace=ns&name=2500", 501);
        assert_eq!((names, asked), (vec!["2500".to_owned()], 1));
        assert!(looked_at < 20, "{looked_at}");
        assert_eq!(ask("namespace=other&name=2500", 501), (Vec::new(), 0, 0));
        assert_eq!(ask("namespace=ns&name=2500&continue=ConfigMap/ns/3000", 501).0, [""; 0]);
        let (names, looked_at, asked) = ask("continue=ConfigMap/ns/2499", 3);
        assert_eq!((names, asked), (["2500", "2501", "2502"].map(str::to_owned).to_vec(), 3));
        assert!(looked_at < 5000 * 20, "{looked_at}");
    }

    #[test]
    fn next_says_what_is_waited_for() {
        let now = Instant::now();
        let (past, later) = (now.checked_sub(Duration::from_secs(1)).unwrap(), now + Duration::from_secs(60));
        let why = |due: Option<Instant>, begun: bool, change: fn(&mut Facts)| {
            let known = Known { due, begun: begun.then_some(past), ..Known::default() };
            let mut facts =
                Facts { known, failures: 0, bound: None, suspended: false, goes_on: false, pause: None };
            change(&mut facts);
            next(facts, now).map(|next| next.why)
        };
        type Row = (Option<Instant>, bool, fn(&mut Facts), Option<&'static str>);
        let rows: [Row; 13] = [
            (None, true, |_| {}, None),
            (Some(past), true, |_| {}, Some("the end of the pass that is under way")),
            (Some(past), false, |_| {}, Some("it is due and begins at once")),
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
            (Some(later), false, |facts| facts.failures = 1, Some("back-off after 1 failed pass")),
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
        let known = Known { begun: Some(now), ..Known::default() };
        let step = |step| running(known, step).map(|step| (step.step, step.since.is_some(), step.waits_for));
        assert_eq!(step(None), Some(("pass", true, None)));
        let fetch = Step { name: "fetch", since: None, waits_for: Some("its turn".into()) };
        assert_eq!(step(Some(fetch)), Some(("fetch", false, Some("its turn".into()))));
        assert!(running(Known::default(), None).is_none());
    }
}
