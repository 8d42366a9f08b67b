//! Whole passes over an object of an API server that lives in this process, with an upstream that does what it is told.

mod api_server;
mod background;
mod builds;
mod deletion;
mod failures;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use api::meta::FINALIZER;
use api::{GitRepository, GitRepositorySpec};
use artifact::store::{self, Store};
use budget::{Budget, Limits};
use kube::ResourceExt;
use net::Named;
use runtime::controller::{Objects, Outcome, Reconcile, Waker};
use runtime::events::{Recorder, Sinks};
use runtime::latest::Latest;
use runtime::metrics::Metrics;
use runtime::queue::InFlight;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::api_server::ApiServer;
use self::upstream::{Fetch, Scripted};
use crate::background::Background;
use crate::controller::Controller;

/// An object, its API server, and the controller that reconciles it.
struct Fixture {
    server: ApiServer,
    controller: Controller<Scripted>,
    upstream: Arc<Scripted>,
    stop: CancellationToken,
    event_workers: JoinSet<()>,
    storage: TempDir,
}

/// An object that was never reconciled.
fn object() -> GitRepository {
    object_in("ns")
}

fn object_in(namespace: &str) -> GitRepository {
    let spec = GitRepositorySpec { interval: "10m".into(), ..GitRepositorySpec::default() };
    let mut object = GitRepository::new("app", spec);
    object.metadata.namespace = Some(namespace.to_owned());
    object.metadata.uid = Some("1-2-3".to_owned());
    object.metadata.generation = Some(1);
    object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    object
}

impl Fixture {
    fn new(upstream: Scripted) -> Fixture {
        Fixture::of(&object(), upstream)
    }

    fn of(object: &GitRepository, upstream: Scripted) -> Fixture {
        Fixture::with_builds(object, upstream, Budget::new(Limits { process: 4, tenant: 2 }))
    }

    fn with_builds(object: &GitRepository, upstream: Scripted, builds: Budget) -> Fixture {
        Fixture::with_budgets(object, upstream, Budget::new(Limits { process: 16, tenant: 16 }), builds)
    }

    fn with_budgets(object: &GitRepository, upstream: Scripted, fetches: Budget, builds: Budget) -> Fixture {
        let (server, metrics) = (ApiServer::new(object), Metrics::new().unwrap());
        let storage = tempfile::tempdir().unwrap();
        let store = Store::open(storage.path(), store::Options::new("localhost")).unwrap();
        let sinks =
            Sinks { client: server.client(), component: "source-controller", webhook: None, capacity: 100 };
        let (events, event_workers) = Recorder::start(sinks, metrics.clone());
        let (upstream, stop) = (Arc::new(upstream), CancellationToken::new());
        let controller = Controller {
            client: server.client(),
            events,
            metrics,
            storage: Arc::new(store),
            upstream: upstream.clone(),
            background: Background::new(Waker::default(), fetches, Some(16)),
            builds: Background::new(Waker::default(), builds, None),
            build_turns: Named::default(),
            latest: Arc::new(Latest::new(Objects::default().store())),
            manager: "source-controller",
            jitter: 0,
            requeue_dependency: Duration::from_secs(30),
            max_timeout: Duration::from_secs(600),
            build_timeout: Duration::from_secs(600),
            stop: stop.clone(),
            runs: InFlight::default(),
        };
        Fixture { server, controller, upstream, stop, event_workers, storage }
    }

    /// One that has an artifact of `revision`.
    async fn stored(revision: &'static str, upstream: Scripted) -> Fixture {
        upstream.fetches.lock().unwrap().push_front(Fetch::Revision(revision));
        let fixture = Fixture::new(upstream);
        assert_eq!(fixture.reconcile().await, "again after 600s");
        fixture
    }

    /// One pass; gives its outcome.
    async fn reconcile(&self) -> String {
        let object = self.server.object::<GitRepository>().unwrap();
        match self.controller.reconcile(Arc::new(object)).await {
            Outcome::Wait => "wait".to_owned(),
            Outcome::After(pause) => format!("again after {}s", pause.as_secs()),
            Outcome::Underway => "under way".to_owned(),
            Outcome::Failed(error) => format!("failed: {error}"),
        }
    }

    fn object(&self) -> GitRepository {
        self.server.object().unwrap()
    }

    /// `type=status/reason message` of each condition.
    fn conditions(&self) -> Vec<String> {
        let status = self.object().status.unwrap_or_default();
        let shown = |c: &api::Condition| format!("{}={}/{} {}", c.type_, c.status, c.reason, c.message);
        status.conditions.iter().map(shown).collect()
    }

    fn observed_generation(&self) -> Option<i64> {
        self.object().status?.observed_generation
    }

    fn revision(&self) -> Option<String> {
        Some(self.object().status?.artifact?.revision)
    }

    /// All events, once those are stored that were recorded.
    async fn events(self) -> Vec<String> {
        let Fixture { server, controller, mut event_workers, .. } = self;
        drop(controller);
        while event_workers.join_next().await.is_some() {}
        server.events()
    }
}

fn script(fetches: impl IntoIterator<Item = Fetch>) -> Scripted {
    let upstream = Scripted::default();
    upstream.fetches.lock().unwrap().extend(fetches);
    upstream
}

#[tokio::test(start_paused = true)]
async fn a_new_object_gets_a_finalizer_an_artifact_and_an_event() {
    let mut object = object();
    object.metadata.finalizers = None;
    let fixture = Fixture::of(&object, script([Fetch::Revision("one")]));
    assert_eq!(fixture.reconcile().await, "again after 600s");
    assert_eq!(fixture.object().finalizers(), [FINALIZER]);
    assert_eq!(
        fixture.conditions(),
        [
            "Ready=True/Succeeded stored artifact for revision 'one'",
            "ArtifactInStorage=True/Succeeded stored artifact for revision 'one'",
        ]
    );
    assert_eq!((fixture.observed_generation(), fixture.revision()), (Some(1), Some("one".to_owned())));
    assert_eq!(fixture.server.status_writes(), 1, "a quick pass writes its end only");
    assert_eq!(fixture.events().await, ["Normal NewArtifact stored artifact for title of one"]);
}

#[tokio::test(start_paused = true)]
async fn a_pass_over_an_unmoved_upstream_writes_nothing() {
    let fixture = Fixture::stored("one", script([Fetch::Revision("one")])).await;
    let before = fixture.object();
    assert_eq!(fixture.reconcile().await, "again after 600s");
    assert_eq!(fixture.object(), before);
    assert_eq!(fixture.events().await.len(), 1, "that of the first pass");
}

#[tokio::test(start_paused = true)]
async fn an_artifact_that_is_lost_is_stored_again() {
    let fixture = Fixture::stored("one", script([Fetch::Revision("one")])).await;
    std::fs::remove_dir_all(fixture.storage.path().join("gitrepository")).unwrap();
    assert_eq!(fixture.reconcile().await, "again after 600s");
    assert_eq!(fixture.revision().as_deref(), Some("one"));
    let path = fixture.object().status.unwrap().artifact.unwrap().path;
    assert!(fixture.storage.path().join(path).exists());
}

#[tokio::test(start_paused = true)]
async fn a_suspended_object_is_not_fetched_and_its_fetch_ends() {
    let fixture = Fixture::new(script([Fetch::Never]));
    assert_eq!(fixture.reconcile().await, "under way");
    assert_eq!(Arc::strong_count(&fixture.upstream.running), 2);
    fixture.server.edit(|object| {
        object["spec"]["suspend"] = true.into();
        object["metadata"]["generation"] = 2.into();
    });
    assert_eq!(fixture.reconcile().await, "wait");
    assert_eq!(Arc::strong_count(&fixture.upstream.running), 1);
    assert_eq!(fixture.observed_generation(), Some(2));
    assert!(fixture.events().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_handled_request_is_in_the_status() {
    let fixture = Fixture::stored("one", script([Fetch::Revision("one")])).await;
    fixture.server.edit(|object| {
        object["metadata"]["annotations"] = serde_json::json!({"reconcile.fluxcd.io/requestedAt": "now"});
    });
    assert_eq!(fixture.reconcile().await, "again after 600s");
    assert_eq!(fixture.object().status.unwrap().last_handled_reconcile_at.as_deref(), Some("now"));
}

#[tokio::test]
async fn an_interval_has_a_floor() {
    let mut object = object();
    object.spec.interval = "1ms".into();
    let upstream = Scripted::default();
    upstream.fetches.lock().unwrap().push_front(Fetch::Revision("main@sha1:1"));
    let fixture = Fixture::of(&object, upstream);
    assert_eq!(fixture.reconcile().await, "again after 1s");
}
