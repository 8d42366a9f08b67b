//! Runs a reconciler on kube-runtime's `Controller`: triggers, shares of namespaces, back-off, panics, metrics and log fields.

mod inspect;
mod turns;

use std::{
    collections::HashSet,
    convert::Infallible,
    fmt::Debug,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt, Stream, StreamExt, TryStreamExt, future};
use kube::{
    Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        controller::{Action, Controller},
        reflector::{self, ObjectRef, Store},
        watcher::{self, Event},
    },
};
use net::Backoff;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    backoff::{Failures, jitter},
    diagnostics::{Activity, Diagnostics},
    error::TaskError,
    metrics::{Metrics, ReconcileResult},
    queue::{PassResult, Queue},
    watch::Changes,
};
use inspect::Inspected;
pub use turns::give_up_turn;
use turns::{Turn, Turns};

/// Percentage by which the delay after a failure varies, so that what failed together does not come back together.
const RETRY_JITTER: u8 = 10;

tokio::task_local! {
    /// See [`due_since`].
    static DUE: Instant;
}

/// The last moment at which something made the object of this pass due: what happened before it is what the pass is for. Now, outside of
/// a pass.
pub fn due_since() -> Instant {
    DUE.try_with(|since| *since).unwrap_or_else(|_| Instant::now())
}

/// What becomes of an object after one pass.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing until something changes.
    Wait,
    /// Another pass after this time, or earlier if something changes.
    After(Duration),
    /// The work goes on without a pass, and its end wakes the object. Whether it fails shows then.
    Underway,
    /// The pass failed; another one with back-off.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// The work of one controller.
///
/// # Flow
/// The watch shows an event: `observe` takes it in. If the object asks for a pass, or is woken, or its time has come, `reconcile`
/// gets one. When the object is gone, `gone` hears of it.
///
/// # Guarantees
/// - Never two passes at once for one object; as many at once as [`Options::concurrent`] for one namespace, and one more for all.
/// - An object whose namespace has no pass left waits, holds nothing, and gets its pass in the order in which it came.
/// - `observe` has seen an event before any pass that it causes.
/// - A pass that panics fails, with back-off, and affects no other object. The watch goes on when `observe` or `gone` panics.
///
/// # Caveats
/// - The object handed to `reconcile` may be older than the last write of this process: see [`crate::latest`].
/// - Status writes bring no pass; what must not be missed has to wake the object.
/// - A pass holds one of those of its namespace. What may take long is put aside, or done in a task that wakes the object. Where it
///   must be waited for, [`give_up_turn`] lets others go on.
pub trait Reconcile<K>: Send + Sync + 'static {
    /// Brings one object a step closer to what it asks for. Never runs twice at once for one object.
    fn reconcile(&self, object: Arc<K>) -> impl Future<Output = Outcome> + Send;

    /// The watch tells of objects, before any pass that this causes.
    fn observe(&self, _event: &Event<K>) {}

    /// The object is gone; drop what is kept for it.
    fn gone(&self, object: &ObjectRef<K>)
    where
        K: Resource;

    /// A pass has ended that outlasted its object; drop what it left behind since [`Self::gone`]. What `observe` keeps stays: there
    /// may be an object of the same name again, which has had no pass yet.
    fn outlasted(&self, _object: &ObjectRef<K>)
    where
        K: Resource,
    {
    }

    /// What the object waits for, or what goes on without a pass, for who asks; see [`crate::diagnostics`]. Costs nothing until then.
    fn activity(&self, _object: &K) -> Activity {
        Activity::default()
    }
}

/// How a controller runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Objects of one namespace worked on at once (`--concurrent`), at least one.
    pub concurrent: u16,
    /// Delays after failures.
    pub retry: Backoff,
    /// Longest wait for running passes at shutdown.
    pub grace: Duration,
}

/// Wakes objects from outside the watch. An object waits at most once, however often it is woken, so what is
/// held is bounded by the number of objects.
pub struct Waker<K: Resource>(Arc<Woken<K>>);

impl<K: Resource> Clone for Waker<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Woken<K: Resource> {
    waiting: Mutex<HashSet<ObjectRef<K>>>,
    arrived: Notify,
}

impl<K: Resource> Default for Waker<K>
where
    K::DynamicType: Default,
{
    fn default() -> Self {
        Self(Arc::new(Woken { waiting: Mutex::default(), arrived: Notify::new() }))
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Waker<K> {
    /// Asks for a pass of `object`; harmless if it does not exist.
    pub fn wake(&self, object: ObjectRef<K>) {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(object);
        self.0.arrived.notify_one();
    }

    /// The woken objects, for the one controller of this kind.
    fn stream(&self) -> impl Stream<Item = ObjectRef<K>> + Send + use<K> {
        futures::stream::unfold(self.0.clone(), |woken| async move {
            loop {
                let next = {
                    let mut waiting = woken.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    let next = waiting.iter().next().cloned();
                    next.and_then(|object| waiting.take(&object))
                };
                match next {
                    Some(object) => return Some((object, woken)),
                    None => woken.arrived.notified().await,
                }
            }
        })
    }
}

/// The objects of a kind, for its one controller and all who look at them.
pub struct Objects<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    writer: reflector::store::Writer<K>,
    waker: Waker<K>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Default for Objects<K> {
    fn default() -> Self {
        let (store, writer) = reflector::store();
        Self { store, writer, waker: Waker::default() }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Objects<K> {
    /// The objects as the watch knows them.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Wakes them.
    pub fn waker(&self) -> Waker<K> {
        self.waker.clone()
    }
}

/// Runs `reconciler` over `events` until `stop`, then waits for the running passes. Each object comes up when it is
/// first seen, when it asks for a pass (see [`Changes`]), when it is woken and when its outcome says so.
pub async fn run<K, R>(
    reconciler: Arc<R>,
    Objects { store, writer, waker }: Objects<K>,
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    options: Options,
    metrics: Metrics,
    diagnostics: Diagnostics,
    stop: CancellationToken,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + Unpin + 'static,
    R: Reconcile<K>,
{
    let name = K::kind(&()).to_lowercase();
    metrics.controller(&name, options.concurrent);
    let backoff = Arc::new(Failures::new(options.retry));
    backoff.watch(&name, &metrics);
    let queue = Queue::new(&name, &metrics);
    let turns = Turns::new(options.concurrent);
    metrics.budget(format!("{name}_passes"), turns.budget());
    let (mut changes, asked, woken, come) = (Changes::default(), queue.clone(), queue.clone(), turns.come());
    let pass = Arc::new(Pass { reconciler, backoff, metrics, name, queue, turns, store: store.clone() });
    diagnostics.add(Box::new(Inspected(Arc::downgrade(&pass))));
    let (of_gone, observing) = (pass.clone(), pass.clone());
    let events = events.inspect_ok(move |event| observing.shield(|| observing.reconciler.observe(event)));
    let triggers = events.default_backoff().reflect(writer).flat_map(move |event| {
        let due: Vec<Result<K, watcher::Error>> = match event {
            Err(error) => vec![Err(error)],
            Ok(event) => {
                let change = changes.observe(&event);
                for object in change.gone {
                    of_gone.forget(&object);
                    of_gone.shield(|| of_gone.reconciler.gone(&object));
                }
                change.due.iter().for_each(|object| asked.ask(ObjectRef::from_obj(object)));
                change.due.into_iter().map(Ok).collect()
            }
        };
        futures::stream::iter(due)
    });
    // Without a limit of its own: an object that is due asks for its turn at once. Those that kube-runtime kept back would be
    // in its queue, where a namespace with many of them is before all others.
    let listed = store.clone();
    let results = Controller::for_stream(triggers, store)
        .reconcile_on(waker.stream().inspect(move |object| woken.ask(object.clone())))
        .reconcile_on(come)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            |object, pass: Arc<Pass<K, R>>| {
                // Here, and not in the future, it happens in the order in which they came, and between events of the watch.
                let turn = pass.turns.take(&ObjectRef::from_obj(object.as_ref()));
                // Boxed, so that those without a turn are small.
                let action = match turn {
                    Some(turn) => async move { pass.run(object, turn).await }.boxed(),
                    None => future::ready(Action::await_change()).boxed(),
                };
                action.map(Ok::<_, Infallible>)
            },
            |_, never, _| match *never {},
            pass,
        )
        // What the watch says of failures is told where it comes from: see `crate::watch`.
        .for_each(|_| future::ready(()));
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(options.grace).await;
    };
    // Before the first list no pass begins, and kube-runtime waits for that list at the end, too.
    let unlisted = async {
        tokio::select! {
            biased;
            Ok(()) = listed.wait_until_ready() => future::pending().await,
            () = stop.cancelled() => {}
        }
    };
    tokio::select! {
        () = results => {}
        () = unlisted => {}
        () = overdue => tracing::error!("stopping with passes still running"),
    }
}

/// One pass of one object, with everything around it.
struct Pass<K: Resource<DynamicType = ()> + 'static, R> {
    reconciler: Arc<R>,
    backoff: Arc<Failures<ObjectRef<K>>>,
    metrics: Metrics,
    name: String,
    queue: Arc<Queue<ObjectRef<K>>>,
    turns: Turns<K>,
    store: Store<K>,
}

impl<K, R> Pass<K, R>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    R: Reconcile<K>,
{
    async fn run(&self, object: Arc<K>, turn: Turn) -> Action {
        let span = tracing::info_span!(
            "reconcile",
            logger = "controller-runtime.reconciler",
            controller = self.name,
            controllerGroup = %K::group(&()),
            controllerKind = %K::kind(&()),
            namespace = object.namespace().unwrap_or_default(),
            name = object.name_any(),
            reconcileID = %uuid::Uuid::new_v4(),
        );
        let (_busy, started) = (self.metrics.busy(&self.name), Instant::now());
        let reference = ObjectRef::from_obj(object.as_ref());
        let (_working, since) = self.queue.begin(reference.clone());
        let work =
            AssertUnwindSafe(self.reconciler.reconcile(object).instrument(span.clone())).catch_unwind();
        let outcome = DUE.scope(since, turn.run(work)).await.unwrap_or_else(|_| {
            self.metrics.panicked(&self.name);
            Outcome::Failed(TaskError::Panicked.into())
        });
        let (result, ended, next) = match outcome {
            Outcome::Wait => {
                self.backoff.reset(&reference);
                (ReconcileResult::Success, PassResult::Done, None)
            }
            Outcome::After(delay) => {
                self.backoff.reset(&reference);
                (ReconcileResult::RequeueAfter, PassResult::Scheduled, Some(delay))
            }
            Outcome::Underway => (ReconcileResult::Success, PassResult::Underway, None),
            Outcome::Failed(error) => {
                let text = crate::error::chain(error.as_ref());
                span.in_scope(|| tracing::error!(error = text, "Reconciler error"));
                let delay = jitter(self.backoff.failed(reference.clone()), RETRY_JITTER);
                (ReconcileResult::Error, PassResult::Failed, Some(delay))
            }
        };
        self.metrics.reconciled(&self.name, result, started.elapsed());
        self.queue.end(reference.clone(), started.elapsed(), ended, next);
        // An object can go while its pass is under way. What the pass leaves behind would stay for ever.
        if self.store.get(&reference).is_none() {
            self.reconciler.outlasted(&reference);
            self.forget(&reference);
        }
        next.map_or_else(Action::await_change, Action::requeue)
    }

    /// Keeps the watch alive when the reconciler panics over one object.
    fn shield(&self, hook: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(hook)).is_err() {
            self.metrics.panicked(&self.name);
            let error = TaskError::Panicked.to_string();
            tracing::error!(error, "failed to take in an event");
        }
    }

    /// Drops what is known of an object that is gone.
    fn forget(&self, object: &ObjectRef<K>) {
        self.backoff.reset(object);
        self.metrics.forget(&K::kind(&()), object.namespace.as_deref().unwrap_or_default(), &object.name);
        self.queue.forget(object);
        self.turns.forget(object);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;
    use tokio::sync::mpsc;

    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_nanos(10), longest: Duration::from_nanos(40) };

    struct Measures {
        metrics: Metrics,
        outlasted: AtomicBool,
    }

    impl Reconcile<ConfigMap> for Measures {
        async fn reconcile(&self, object: Arc<ConfigMap>) -> Outcome {
            self.metrics.ran("ConfigMap", "ns", &object.name_any(), Duration::ZERO);
            Outcome::Failed("no".into())
        }

        fn gone(&self, _object: &ObjectRef<ConfigMap>) {}

        fn outlasted(&self, _object: &ObjectRef<ConfigMap>) {
            self.outlasted.store(true, Ordering::Relaxed);
        }
    }

    /// What a pass that fails leaves behind: whether it is a series, whether it is due, and the delay after the next failure.
    async fn left_by_a_pass(object_is_there: bool) -> (bool, bool, Duration) {
        let metrics = Metrics::new().unwrap();
        let (store, mut writer) = reflector::store();
        let mut object = ConfigMap::default();
        (object.metadata.name, object.metadata.namespace) = (Some("app".into()), Some("ns".into()));
        if object_is_there {
            writer.apply_watcher_event(&Event::Apply(object.clone()));
        }
        let pass = Pass {
            reconciler: Arc::new(Measures { metrics: metrics.clone(), outlasted: AtomicBool::new(false) }),
            backoff: Arc::new(Failures::new(BACKOFF)),
            metrics: metrics.clone(),
            name: "configmap".into(),
            queue: Queue::new("configmap", &metrics),
            turns: Turns::new(1),
            store,
        };
        let turn = pass.turns.take(&ObjectRef::from_obj(&object)).unwrap();
        pass.run(Arc::new(object.clone()), turn).await;
        let text = metrics.render();
        assert_eq!(pass.reconciler.outlasted.load(Ordering::Relaxed), !object_is_there);
        let measured = text.contains(r#"gotk_reconcile_duration_seconds_count{kind="ConfigMap",name="app""#);
        let due = text.contains(r#"workqueue_depth{controller="configmap",name="configmap"} 1"#);
        (measured, due, pass.backoff.failed(ObjectRef::from_obj(&object)))
    }

    #[tokio::test]
    async fn a_pass_leaves_nothing_of_an_object_that_has_gone_meanwhile() {
        assert_eq!(left_by_a_pass(true).await, (true, true, BACKOFF.after(2)));
        assert_eq!(left_by_a_pass(false).await, (false, false, BACKOFF.after(1)));
    }

    /// Panics wherever it meets an object that is named so, and tells of its passes.
    struct Panicking(mpsc::UnboundedSender<String>);

    impl Reconcile<ConfigMap> for Panicking {
        async fn reconcile(&self, object: Arc<ConfigMap>) -> Outcome {
            let name = object.name_any();
            self.0.send(name.clone()).unwrap();
            assert_ne!(name, "in a pass");
            Outcome::Wait
        }

        fn observe(&self, event: &Event<ConfigMap>) {
            if let Event::Apply(object) = event {
                assert_ne!(object.name_any(), "in the watch");
            }
        }

        fn gone(&self, object: &ObjectRef<ConfigMap>) {
            assert_ne!(object.name, "in the watch");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_in_a_pass_or_hook_affects_that_object_alone() {
        let (passes, mut seen) = mpsc::unbounded_channel();
        let (events, received) = futures::channel::mpsc::unbounded();
        let (metrics, stop) = (Metrics::new().unwrap(), CancellationToken::new());
        let retry = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(1) };
        let options = Options { concurrent: 1, retry, grace: Duration::from_secs(1) };
        let reconciler = Arc::new(Panicking(passes));
        let (objects, stopped) = (Objects::default(), stop.clone());
        let running = tokio::spawn(run(
            reconciler,
            objects,
            received,
            options,
            metrics.clone(),
            Diagnostics::default(),
            stopped,
        ));
        let object = |name: &str| ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some("n".to_owned()),
                uid: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        for event in [Event::Init, Event::InitDone] {
            events.unbounded_send(Ok(event)).unwrap();
        }
        for name in ["in the watch", "in a pass"] {
            events.unbounded_send(Ok(Event::Apply(object(name)))).unwrap();
        }
        events.unbounded_send(Ok(Event::Delete(object("in the watch")))).unwrap();
        events.unbounded_send(Ok(Event::Apply(object("after them")))).unwrap();
        let mut names = Vec::new();
        while names.iter().filter(|name| *name == "in a pass").count() < 3
            || !names.contains(&"after them".to_owned())
        {
            names.push(seen.recv().await.unwrap());
        }
        assert!(!running.is_finished());
        let panics = r#"controller_runtime_reconcile_panics_total{controller="configmap"} "#;
        let text = metrics.render();
        let count = text.lines().find_map(|line| line.strip_prefix(panics)).unwrap();
        assert!(count.parse::<u32>().unwrap() >= 4, "two hooks and two passes: {count}");
        stop.cancel();
        running.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_controller_that_is_stopped_before_its_first_list_ends_at_once() {
        for is_listing in [false, true] {
            let (events, received) = futures::channel::mpsc::unbounded();
            let (metrics, stop) = (Metrics::new().unwrap(), CancellationToken::new());
            let retry = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(1) };
            let options = Options { concurrent: 1, retry, grace: Duration::from_secs(100) };
            let reconciler = Arc::new(Panicking(mpsc::unbounded_channel().0));
            let running = tokio::spawn(run(
                reconciler,
                Objects::default(),
                received,
                options,
                metrics,
                Diagnostics::default(),
                stop.clone(),
            ));
            if is_listing {
                events.unbounded_send(Ok(Event::Init)).unwrap();
            }
            tokio::task::yield_now().await;
            let begun = tokio::time::Instant::now();
            stop.cancel();
            running.await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(1), "it waited {:?} for nothing", begun.elapsed());
        }
    }
}
