use std::{future::pending, time::Duration};

use futures::{FutureExt as _, StreamExt as _, channel::mpsc::UnboundedSender};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt as _,
    api::ObjectMeta,
    runtime::watcher::{self, Event},
};
use net::Backoff;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    controller::{Objects, Options, Outcome, Reconcile, run},
    diagnostics::Diagnostics,
    metrics::Metrics,
};

fn reference(namespace: &str, name: &str) -> ObjectRef<ConfigMap> {
    ObjectRef::new(name).within(namespace)
}

fn usage(turns: &Turns<ConfigMap>) -> (u64, u64) {
    let usage = turns.budget.usage();
    (usage.used, usage.waiting)
}

/// The names of those who are brought back, in no order.
fn brought_back(turns: &Turns<ConfigMap>) -> Vec<String> {
    let mut come = Box::pin(turns.come());
    std::iter::from_fn(|| come.next().now_or_never().flatten()).map(|object| object.name).collect()
}

#[test]
fn a_namespace_alone_has_all_passes_and_leaves_one_to_others() {
    let turns = Turns::new(2);
    let all = ["1", "2"].map(|name| turns.take(&reference("a", name)).unwrap());
    assert!(turns.take(&reference("a", "3")).is_none());
    let other = turns.take(&reference("b", "1")).unwrap();
    assert!(turns.take(&reference("b", "2")).is_none(), "all are taken");
    assert_eq!(usage(&turns), (3, 2));
    drop((all, other));
    assert_eq!(usage(&turns), (2, 0), "those who waited");
}

#[tokio::test]
async fn a_pass_that_gives_up_its_turn_lets_another_one_begin() {
    let turns = Turns::new(1);
    give_up_turn();
    let count = usize::try_from(WITHOUT_TURN).unwrap();
    let (mut passes, mut begun) = (Vec::new(), 0);
    let names: Vec<_> = (0..count + 3).map(|number| number.to_string()).collect();
    for name in &names {
        let Some(turn) = turns.take(&reference("a", name)) else { break };
        let mut pass = Box::pin(turn.run(async {
            give_up_turn();
            give_up_turn();
            pending::<()>().await;
        }));
        assert!(futures::poll!(&mut pass).is_pending());
        (begun, _) = (begun + 1, passes.push(pass));
    }
    assert_eq!(begun, count + 1, "the last one keeps its turn");
    assert!(turns.take(&reference("b", "0")).is_some(), "others have theirs");
    passes.truncate(1);
    assert_eq!((turns.without.usage().used, turns.budget.usage().used), (1, 1), "the next one has its turn");
    drop(passes);
    assert_eq!(turns.without.usage().used, 0);
}

#[test]
fn turns_of_a_namespace_are_in_the_order_of_places_and_used_once() {
    let turns = Turns::new(1);
    let mut turn = turns.take(&reference("a", "0"));
    let names: Vec<_> = (1..20).map(|n| n.to_string()).collect();
    for name in &names {
        assert!(turns.take(&reference("a", name)).is_none());
    }
    for name in names.iter().rev() {
        assert!(turns.take(&reference("a", name)).is_none(), "due again: the place is the same");
    }
    for (done, name) in names.iter().enumerate() {
        turn = None.or_else(|| {
            drop(turn.take());
            assert_eq!(brought_back(&turns), std::slice::from_ref(name));
            turns.take(&reference("a", name))
        });
        assert_eq!(usage(&turns), (1, (names.len() - 1 - done) as u64));
        assert!(brought_back(&turns).is_empty());
    }
}

#[test]
fn what_is_free_goes_to_the_namespace_that_has_less() {
    let turns = Turns::new(2);
    let of_a = ["1", "2"].map(|name| turns.take(&reference("a", name)).unwrap());
    let of_b = turns.take(&reference("b", "1")).unwrap();
    for (namespace, name) in [("a", "3"), ("b", "2"), ("c", "of c")] {
        assert!(turns.take(&reference(namespace, name)).is_none());
    }
    drop(of_a);
    let mut next = brought_back(&turns);
    next.sort();
    assert_eq!(next, ["3", "of c"]);
    drop(of_b);
    assert_eq!(brought_back(&turns), ["2"]);
}

#[test]
fn an_object_that_is_gone_leaves_no_place_and_no_turn() {
    let turns = Turns::new(1);
    let turn = turns.take(&reference("a", "0"));
    for name in ["1", "2", "3"] {
        assert!(turns.take(&reference("a", name)).is_none());
    }
    turns.forget(&reference("a", "1"));
    assert_eq!(usage(&turns), (1, 2));
    drop(turn);
    assert_eq!(brought_back(&turns), ["2"]);
    turns.forget(&reference("a", "2"));
    assert_eq!(brought_back(&turns), ["3"], "the turn that it did not take goes to the next");
    turns.forget(&reference("a", "3"));
    turns.forget(&reference("a", "never seen"));
    assert_eq!(usage(&turns), (0, 0));
}

#[test]
fn who_gets_a_turn_while_it_asks_is_not_brought_back() {
    let turns = Turns::new(1);
    let turn = turns.take(&reference("a", "0")).unwrap();
    assert!(turns.take(&reference("a", "1")).is_none());
    drop(turn);
    let turn = turns.take(&reference("a", "1")).unwrap();
    assert_eq!(usage(&turns), (1, 0));
    drop(turn);
    assert_eq!(usage(&turns), (0, 0));
}

/// Tells of passes as they begin; each goes on until it is let go.
struct Hanging {
    begun: mpsc::UnboundedSender<String>,
    gates: [(&'static str, Semaphore); 3],
}

impl Reconcile<ConfigMap> for Hanging {
    async fn reconcile(&self, object: Arc<ConfigMap>) -> Outcome {
        let name = object.name_any();
        self.begun.send(name.clone()).unwrap();
        match self.gates.iter().find(|(gate, _)| *gate == name) {
            Some((_, gate)) => gate.acquire().await.unwrap().forget(),
            None => pending().await,
        }
        Outcome::Failed("no".into())
    }

    fn gone(&self, _object: &ObjectRef<ConfigMap>) {}
}

/// A controller with `concurrent = 2` whose passes hang.
struct Running {
    events: UnboundedSender<watcher::Result<Event<ConfigMap>>>,
    reconciler: Arc<Hanging>,
    objects: Waker<ConfigMap>,
    begun: mpsc::UnboundedReceiver<String>,
    metrics: Metrics,
    stop: CancellationToken,
    controller: JoinHandle<()>,
}

fn object(namespace: &str, name: &str) -> ConfigMap {
    let [namespace, name] = [namespace, name].map(|text| Some(text.to_owned()));
    let metadata = ObjectMeta { uid: name.clone(), namespace, name, ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}

impl Running {
    /// Passes of objects with one of these names can be let go.
    fn start(gates: [&'static str; 3]) -> Self {
        let (passes, begun) = mpsc::unbounded_channel();
        let (events, received) = futures::channel::mpsc::unbounded();
        let (metrics, stop, objects) =
            (Metrics::new().unwrap(), CancellationToken::new(), Objects::default());
        let retry = Backoff { first: Duration::from_secs(3600), longest: Duration::from_secs(3600) };
        let options = Options { concurrent: 2, retry, grace: Duration::from_secs(1) };
        let gates = gates.map(|name| (name, Semaphore::new(0)));
        let reconciler = Arc::new(Hanging { begun: passes, gates });
        let waker = objects.waker();
        let controller = tokio::spawn(run(
            reconciler.clone(),
            objects,
            received,
            options,
            metrics.clone(),
            Diagnostics::default(),
            stop.clone(),
        ));
        for event in [Event::Init, Event::InitDone] {
            events.unbounded_send(Ok(event)).unwrap();
        }
        Self { events, reconciler, objects: waker, begun, metrics, stop, controller }
    }

    fn see(&self, event: Event<ConfigMap>) {
        self.events.unbounded_send(Ok(event)).unwrap();
    }

    fn let_go(&self, name: &str) {
        self.reconciler.gates.iter().find(|(gate, _)| *gate == name).unwrap().1.add_permits(1);
    }

    /// The object whose pass begins next.
    async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(60), self.begun.recv()).await;
        next.unwrap().unwrap()
    }

    /// What a series says, NaN if it is not there.
    fn value(&self, series: &str) -> f64 {
        let text = self.metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        value.map_or(f64::NAN, |value| value.trim().parse().unwrap())
    }

    async fn until(&self, state: &str, wanted: f64) {
        let series = format!(r#"gotk_budget{{state="{state}",work="configmap_passes"}}"#);
        self.shows(&series, wanted).await;
    }

    async fn shows(&self, series: &str, wanted: f64) {
        for _ in 0..1000 {
            if self.value(series) == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{series} is {}, not {wanted}", self.value(series));
    }
}

#[tokio::test(start_paused = true)]
async fn passes_that_hang_keep_no_other_namespace_waiting() {
    let mut running = Running::start(["a1", "a2", "a3"]);
    for (waiting, name) in [(0.0, "a1"), (0.0, "a2"), (1.0, "a3"), (2.0, "a4")] {
        running.see(Event::Apply(object("a", name)));
        if waiting == 0.0 {
            assert_eq!(running.next().await, name, "one namespace alone has all passes");
        }
        running.until("waiting", waiting).await;
    }
    running.see(Event::Apply(object("b", "b1")));
    assert_eq!(running.next().await, "b1");

    running.let_go("a1");
    assert_eq!(running.next().await, "a3", "in the order in which they came");
    running.see(Event::Delete(object("a", "a4")));
    running.until("waiting", 0.0).await;
    running.let_go("a2");
    running.let_go("a3");
    running.until("used", 1.0).await;
    running.see(Event::Apply(object("a", "a5")));
    assert_eq!(running.next().await, "a5", "and nothing of the one that is gone");
    running.stop.cancel();
    running.controller.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_namespace_with_much_to_do_is_not_before_others() {
    let mut running = Running::start(["a1", "a2", "b1"]);
    for (namespace, name) in [("a", "a1"), ("a", "a2"), ("b", "b1")] {
        running.see(Event::Apply(object(namespace, name)));
        assert_eq!(running.next().await, name);
    }
    for n in 0..100 {
        running.see(Event::Apply(object("a", &format!("another {n}"))));
    }
    running.see(Event::Apply(object("c", "c1")));
    running.until("waiting", 101.0).await;
    running.let_go("a1");
    assert_eq!(running.next().await, "c1");
    running.let_go("b1");
    assert!(running.next().await.starts_with("another "));
    running.stop.cancel();
    running.controller.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_object_that_waits_is_due_and_has_no_pass() {
    let mut running = Running::start(["a1", "a2", "a3"]);
    for name in ["a1", "a2", "a3"] {
        running.see(Event::Apply(object("a", name)));
    }
    running.until("waiting", 1.0).await;
    let first = [running.next().await, running.next().await];
    let waiting =
        ["a1", "a2", "a3"].into_iter().find(|name| !first.iter().any(|begun| begun == name)).unwrap();
    // Woken, which is an add to the queue as any other, and no other place.
    running.objects.wake(reference("a", waiting));
    let of_queue = |series: &str| format!(r#"workqueue_{series}{{controller="configmap",name="configmap"}}"#);
    running.shows(&of_queue("adds_total"), 4.0).await;
    running.until("waiting", 1.0).await;
    assert_eq!(running.value(&of_queue("depth")), 1.0);
    assert_eq!(running.value(r#"controller_runtime_active_workers{controller="configmap"}"#), 2.0);
    assert_eq!(running.value(r#"controller_runtime_max_concurrent_reconciles{controller="configmap"}"#), 2.0);
    assert_eq!(running.value(&of_queue("queue_duration_seconds_count")), 2.0, "nobody else began");
    assert!(running.value(r#"gotk_most_overdue_seconds{controller="configmap"}"#) > 0.0);

    running.let_go(&first[0]);
    assert_eq!(running.next().await, waiting);
    assert_eq!(running.value(&of_queue("depth")), 0.0);
    assert_eq!(running.value(&of_queue("queue_duration_seconds_count")), 3.0);
    assert_eq!(running.value(&of_queue("adds_total")), 5.0, "the back-off of the first one's failure");
    for result in ["success", "requeue_after"] {
        let series =
            format!(r#"controller_runtime_reconcile_total{{controller="configmap",result="{result}"}}"#);
        assert_eq!(running.value(&series), 0.0, "that it waited is no result");
    }
    running.let_go(&first[1]);
    running.let_go(waiting);
    running.until("used", 0.0).await;
    assert!(running.begun.try_recv().is_err(), "one pass each");
    running.stop.cancel();
    running.controller.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_stops_gives_back_all_it_has() {
    let mut running = Running::start(["", "", ""]);
    for name in ["a1", "a2", "a3"] {
        running.see(Event::Apply(object("a", name)));
    }
    running.until("waiting", 1.0).await;
    running.stop.cancel();
    (&mut running.controller).await.unwrap();
    // Passes that were given up end when they are dropped.
    for state in ["used", "waiting"] {
        running.until(state, 0.0).await;
    }
}
