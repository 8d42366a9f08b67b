use std::{future::pending, sync::Arc};

use futures::channel::mpsc::unbounded;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{ResourceExt as _, api::ObjectMeta, runtime::reflector::ObjectRef, runtime::watcher::Event};
use net::Backoff;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::controller::{self, Objects, Options, Outcome, Reconcile};

/// Does with an object what its name says, and tells of the passes that began.
struct ByName(mpsc::UnboundedSender<String>);

impl Reconcile<ConfigMap> for ByName {
    async fn reconcile(&self, object: Arc<ConfigMap>) -> Outcome {
        let name = object.name_any();
        self.0.send(name.clone()).unwrap();
        match name.as_str() {
            "fails" => Outcome::Failed("canary".into()),
            "fetches" => Outcome::Underway,
            "hangs" => pending().await,
            "is-scheduled" => Outcome::After(Duration::from_secs(3600)),
            _ => Outcome::Wait,
        }
    }

    fn activity(&self, object: &ConfigMap) -> Activity {
        let step = Step { name: "fetch", since: Some(Instant::now()), waits_for: Some("its host".into()) };
        Activity {
            suspended: object.name_any() == "is-suspended",
            ready: Some(Ready { status: "False", reason: "Because".into() }),
            step: (object.name_any() == "fetches").then_some(step),
            pause: None,
        }
    }

    fn gone(&self, _object: &ObjectRef<ConfigMap>) {}
}

fn object(namespace: &str, name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            generation: Some(3),
            annotations: Some([("secret".to_owned(), "canary".to_owned())].into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

#[tokio::test]
async fn each_object_tells_its_last_step_the_present_one_and_why_it_waits() {
    let names = ["fails", "fetches", "hangs", "is-scheduled", "is-suspended", "waits"];
    let (passes, mut begun) = mpsc::unbounded_channel();
    let (events, received) = unbounded();
    let (diagnostics, metrics) = (Diagnostics::default(), Metrics::new().unwrap());
    let stop = CancellationToken::new();
    let hour = Duration::from_secs(3600);
    let options =
        Options { concurrent: 6, retry: Backoff { first: hour, longest: hour }, grace: Duration::ZERO };
    let work = controller::run(
        Arc::new(ByName(passes)),
        Objects::default(),
        received,
        options,
        metrics.clone(),
        diagnostics.clone(),
        stop.clone(),
    );
    let running = tokio::spawn(work);
    events.unbounded_send(Ok(Event::Init)).unwrap();
    for name in names {
        events.unbounded_send(Ok(Event::InitApply(object("ns", name)))).unwrap();
    }
    events.unbounded_send(Ok(Event::InitDone)).unwrap();
    let mut left = names.to_vec();
    while !left.is_empty() {
        let name = begun.recv().await.unwrap();
        left.retain(|left| *left != name);
    }
    // All but one pass end in the moment in which they begin, the last one not before this task looks again.
    tokio::task::yield_now().await;
    let text = diagnostics.answer("", &metrics).unwrap();
    assert!(!text.contains("canary"), "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let told: Vec<_> = answer["objects"].as_array().unwrap().iter().map(summary).collect();
    let expected = [
        "ConfigMap ns/fails 3 False Because; last failed 1; next back-off after 1 failed pass",
        "ConfigMap ns/fetches 3 False Because; last underway 0; now fetch, waits for its host; next the step that is under way",
        "ConfigMap ns/hangs 3 False Because; now pass",
        "ConfigMap ns/is-scheduled 3 False Because; last scheduled 0; next its interval",
        "ConfigMap ns/is-suspended 3 False Because; last done 0; next spec.suspend to be false",
        "ConfigMap ns/waits 3 False Because; last done 0; next a change of the object",
    ];
    assert_eq!(told, expected);
    let queue =
        serde_json::json!({ "kind": "ConfigMap", "objects": 6, "due": 0, "running": 1, "scheduled": 2 });
    assert_eq!(answer["queues"][0], queue);
    assert_eq!(answer["totals"]["budget configmap_passes used"], 1.0);
    stop.cancel();
    running.await.unwrap();
    let answer: Value = serde_json::from_str(&diagnostics.answer("", &metrics).unwrap()).unwrap();
    assert_eq!(
        answer["objects"].as_array().unwrap().len(),
        0,
        "nothing is told of a controller that has ended"
    );
}

fn summary(object: &Value) -> String {
    let field = |path: &str| {
        object.pointer(path).map(|value| value.as_str().map_or(value.to_string(), str::to_owned))
    };
    let mut text = format!(
        "{} {}/{} {} {} {}",
        field("/kind").unwrap(),
        field("/namespace").unwrap(),
        field("/name").unwrap(),
        field("/generation").unwrap(),
        field("/ready/status").unwrap(),
        field("/ready/reason").unwrap()
    );
    if let Some(result) = field("/last/result") {
        text += &format!("; last {result} {}", field("/last/failures").unwrap());
    }
    if let Some(step) = field("/running/step") {
        text += &format!("; now {step}");
    }
    if let Some(waits_for) = field("/running/waitsFor") {
        text += &format!(", waits for {waits_for}");
    }
    if let Some(why) = field("/next/why") {
        text += &format!("; next {why}");
    }
    text
}

/// Objects without a controller.
struct Many(&'static str, usize);

impl Inspect for Many {
    fn kind(&self) -> String {
        self.0.to_owned()
    }

    fn queue(&self) -> QueueState {
        QueueState { kind: self.kind(), objects: self.1, due: 0, running: 0, scheduled: 0 }
    }

    fn objects(&self, query: &Query, most: usize) -> Vec<ObjectState> {
        let names = (0..self.1).map(|number| format!("{number:04}"));
        let state = |name| ObjectState {
            kind: self.kind(),
            namespace: "ns".to_owned(),
            name,
            generation: None,
            suspended: false,
            deleting: false,
            ready: None,
            last: None,
            running: None,
            next: None,
        };
        names.filter(|name| query.takes(self.0, "ns", name)).take(most).map(state).collect()
    }
}

#[test]
fn thousands_of_objects_come_in_pages_each_object_once() {
    let (diagnostics, metrics) = (Diagnostics::default(), Metrics::new().unwrap());
    diagnostics.add(Box::new(Many("OCIRepository", 700)));
    diagnostics.add(Box::new(Many("GitRepository", 500)));
    let (mut query, mut sizes, mut seen) = (String::new(), Vec::new(), Vec::new());
    loop {
        let text = diagnostics.answer(&query, &metrics).unwrap();
        assert!(text.len() < 500 * 1000, "{} bytes", text.len());
        let answer: Value = serde_json::from_str(&text).unwrap();
        let objects = answer["objects"].as_array().unwrap();
        sizes.push(objects.len());
        seen.extend(objects.iter().map(|object| format!("{} {}", object["kind"], object["name"])));
        match answer["continue"].as_str() {
            Some(place) => query = format!("continue={place}"),
            None => break,
        }
    }
    assert_eq!(sizes, [500, 500, 200]);
    let answer: Value =
        serde_json::from_str(&diagnostics.answer("kind=gitrepository&limit=1", &metrics).unwrap()).unwrap();
    let queues: Vec<_> = answer["queues"].as_array().unwrap().iter().map(|queue| &queue["kind"]).collect();
    assert_eq!(queues, ["GitRepository"], "others are not looked at");
    let mut once = seen.clone();
    once.dedup();
    assert!(seen.is_sorted() && once.len() == 1200);
}
