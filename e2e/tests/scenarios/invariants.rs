//! What holds of every status that a GitRepository ever has.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use e2e::git_server::Fault;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Conditions that are there only when something is wrong.
const NEGATIVE: [&str; 4] =
    ["FetchFailed", "StorageOperationFailed", "IncludeUnavailable", "ArtifactOutdated"];

/// Every state of an object that a watch shows.
pub struct Recorder {
    states: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    pub async fn start(test: &Scenario, object: &str) -> Result<Self> {
        let states = Arc::new(Mutex::new(Vec::new()));
        let mut watch = Box::pin(test.objects.watch(&test.id(object)?).await?);
        let seen = states.clone();
        let task = tokio::spawn(async move {
            while let Some(Ok(object)) = watch.next().await {
                seen.lock().unwrap().push(object);
            }
        });
        Ok(Self { states, task })
    }

    pub fn end(self) -> Vec<Value> {
        self.task.abort();
        std::mem::take(&mut *self.states.lock().unwrap())
    }
}

pub fn status_of<'a>(object: &'a Value, condition: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().find(|c| c.text("/type") == condition).map_or("", |c| c.text("/status"))
}

/// In the middle of a pass too.
fn check_always(object: &Value) {
    let ready = status_of(object, "Ready");
    let (reconciling, stalled) = (status_of(object, "Reconciling"), status_of(object, "Stalled"));
    assert!(reconciling != "True" || stalled != "True", "reconciling and stalled: {object}");
    assert!(stalled != "True" || ready == "False", "stalled and not failed: {object}");
    let observed = object.number("/status/observedGeneration");
    assert!(observed <= object.number("/metadata/generation"), "{object}");
    if object["status"]["conditions"].as_array().is_some_and(|c| !c.is_empty()) {
        assert_ne!(ready, "", "no Ready: {object}");
    }
    if ready == "True" {
        for condition in NEGATIVE {
            assert_ne!(status_of(object, condition), "True", "ready and {condition}: {object}");
        }
        assert_ne!(status_of(object, "SourceVerified"), "False", "{object}");
        assert_eq!(status_of(object, "ArtifactInStorage"), "True", "{object}");
    }
    for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
        assert!(condition.number("/observedGeneration") <= object.number("/metadata/generation"), "{object}");
    }
}

/// At the end of a pass.
fn check_end(object: &Value) {
    let generation = object.number("/metadata/generation");
    let (reconciling, stalled) = (status_of(object, "Reconciling"), status_of(object, "Stalled"));
    if status_of(object, "Ready") == "True" {
        assert!(reconciling != "True" && stalled != "True", "{object}");
        assert_eq!(object.number("/status/observedGeneration"), generation, "{object}");
        // What is suspended is not looked at again, only summed up.
        let looked = object["spec"]["suspend"] != true;
        for condition in object["status"]["conditions"].as_array().unwrap().iter().filter(|_| looked) {
            assert_eq!(condition.number("/observedGeneration"), generation, "{object}");
        }
    } else {
        assert_eq!(status_of(object, "Ready"), "False", "{object}");
        assert!((reconciling == "True") != (stalled == "True"), "{object}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_never_contradict_themselves() -> Result<()> {
    let test = Scenario::new("invariants").await?;
    test.repo.commit_file("a.txt", "one")?;
    let recorder = Recorder::start(&test, "GitRepository/app").await?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    let spec = |change: Value| json!({ "spec": change });
    let unverified = json!({"verify": {"mode": "HEAD", "secretRef": {"name": "nope"}}});
    let steps = [
        (spec(json!({"ref": {"branch": "nope"}})), "FetchFailed"),
        (spec(json!({"ref": {"branch": "main"}})), "True"),
        (spec(json!({"provider": "github"})), "Stalled"),
        (spec(json!({"provider": null})), "True"),
        (spec(json!({"include": [{"repository": {"name": "nope"}}]})), "IncludeUnavailable"),
        (spec(json!({"include": null})), "True"),
        (spec(unverified), "SourceVerified"),
        (spec(json!({"verify": null})), "True"),
        (spec(json!({"suspend": true})), "True"),
        (spec(json!({"suspend": false, "ignore": "b.txt"})), "True"),
    ];
    for (n, (change, outcome)) in steps.iter().enumerate() {
        // Each with a new commit, and with one that is old.
        for round in 0..2 {
            if round == 0 {
                test.repo.commit_file("a.txt", &format!("{n}"))?;
            }
            test.patch("GitRepository/app", change).await?;
            let token = test.request("GitRepository/app").await?;
            let ended = |o: &Value| {
                o.text("/status/lastHandledReconcileAt") == token
                    && match *outcome {
                        "True" => status_of(o, "Ready") == "True" && status_of(o, "Reconciling") != "True",
                        failing => status_of(o, "Ready") == "False" && !status_of(o, failing).is_empty(),
                    }
            };
            check_end(&test.until("GitRepository/app", &format!("ends step {n}: {outcome}"), ended).await?);
        }
    }
    for fault in [Fault::Down, Fault::Status(500)] {
        test.git.set_fault(fault);
        test.request("GitRepository/app").await?;
        let failed = |o: &Value| status_of(o, "FetchFailed") == "True" && status_of(o, "Ready") == "False";
        check_end(&test.until("GitRepository/app", "has failed", failed).await?);
        test.git.set_fault(Fault::None);
        check_end(&test.ready("GitRepository/app").await?);
    }
    let states = recorder.end();
    assert!(states.len() > 2 * steps.len(), "only {} states", states.len());
    states.iter().for_each(check_always);
    test.finish().await
}
