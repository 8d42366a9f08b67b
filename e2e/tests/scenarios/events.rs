//! What notification-controller gets to know: the bodies that are posted to `--events-addr`.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::config_map;
use e2e::token_server::TokenServer;
use e2e::wait::{self, Not};
use serde_json::{Value, json};

/// A receiver, and what it got so far.
pub struct Receiver {
    server: TokenServer,
    posts: Mutex<Vec<Value>>,
}

impl Receiver {
    /// The first post with this reason and action, if there is one yet.
    pub fn find(&self, reason: &str, action: &str) -> Result<Value, Not> {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, body) in self.server.take_requests() {
            posts.push(serde_json::from_str(&body).map_err(|error| Not::Ever(error.into()))?);
        }
        let found = posts.iter().find(|e| e.text("/reason") == reason && e.text("/action") == action);
        found.cloned().ok_or_else(|| Not::Yet(format!("there are {posts:?}")))
    }

    /// Waits for a post with this reason and action.
    pub async fn posted(&self, test: &Scenario, reason: &str, action: &str) -> Result<Value> {
        let what = format!("an event {reason} of {action} is posted");
        test.wait(&what, async || self.find(reason, action)).await
    }
}

/// A test whose controllers post their events to a receiver of its own.
pub struct Posts {
    pub test: Scenario,
    pub receiver: Receiver,
    pub sources: Controller,
    /// The flag with the address of the receiver.
    pub address: String,
}

impl Posts {
    /// `options` are further flags of kustomize-controller.
    pub async fn start(name: &str, options: &[&str]) -> Result<Posts> {
        let server = TokenServer::start(false, &[("POST /", 200, "")]).await?;
        let address = format!("--events-addr={}/", server.url);
        let receiver = Receiver { server, posts: Mutex::default() };
        let options = [&[&*address], options].concat();
        let mut test = Scenario::with_own_controllers(name, &options).await?;
        tokio::task::block_in_place(|| test.own()?.source.stop())?;
        let selector = test.selector();
        let sources = Controller::start(test.cluster, User::SourceController, &[&selector, &address]).await?;
        Ok(Posts { test, receiver, sources, address })
    }
}

/// All that Flux's events say of their object.
pub fn assert_names_object(event: &Value, namespace: &str) {
    assert_eq!(event.text("/involvedObject/namespace"), namespace, "{event}");
    for field in ["apiVersion", "kind", "name", "uid", "resourceVersion"] {
        assert_ne!(event.text(&format!("/involvedObject/{field}")), "", "{field} of {event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_name_the_action_and_the_source_of_a_kustomization() -> Result<()> {
    let Posts { test, receiver, sources: _sources, .. } = Posts::start("events-posted", &[]).await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.repo.commit_file("app/other.yaml", &config_map("other", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  wait: true")).await?;
    let source = test.ready("GitRepository/app").await?;
    test.ready("Kustomization/app").await?;

    let stored = receiver.posted(&test, "NewArtifact", "Reconcile").await?;
    assert_eq!(stored.text("/involvedObject/kind"), "GitRepository");
    assert_eq!(stored.get("relatedObject"), None);
    assert_names_object(&stored, &test.namespace);
    let uid = source.text("/metadata/uid");
    for name in ["GitRepository/app", "Kustomization/app"] {
        let id = test.id(name)?;
        let what = format!("{name} has an event");
        let stored = test.wait(&what, async || {
            let events = test.objects.events(&id).await.map_err(wait::not_yet)?;
            events.first().cloned().ok_or_else(|| Not::Yet("there is none".into()))
        });
        assert_names_object(&stored.await?, &test.namespace);
    }
    for (reason, action) in
        [("Progressing", "Apply"), ("Progressing", "HealthCheck"), ("ReconciliationSucceeded", "Reconcile")]
    {
        let event = receiver.posted(&test, reason, action).await?;
        assert_eq!(event.text("/involvedObject/kind"), "Kustomization", "{event}");
        assert_names_object(&event, &test.namespace);
        for (field, expected) in [
            ("kind", "GitRepository"),
            ("name", "app"),
            ("namespace", &test.namespace),
            ("apiVersion", "source.toolkit.fluxcd.io/v1"),
            ("uid", uid),
        ] {
            assert_eq!(event.text(&format!("/relatedObject/{field}")), expected, "{event}");
        }
    }

    test.repo.remove("app/other.yaml")?;
    test.repo.commit("remove other")?;
    test.request("GitRepository/app").await?;
    receiver.posted(&test, "Progressing", "Prune").await?;

    test.kubectl(&["delete", "kustomization", "app"])?;
    let event = receiver.posted(&test, "ReconciliationSucceeded", "Finalize").await?;
    assert_eq!(event.get("relatedObject"), None);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_of_what_goes_wrong_name_the_step_and_the_source_once_it_was_read() -> Result<()> {
    let Posts { test, receiver, sources, .. } =
        Posts::start("events-wrong", &["--no-cross-namespace-refs"]).await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let source = test.ready("GitRepository/app").await?;
    let missing = "  dependsOn: [{name: missing}]";
    let invalid = "  dependsOn: [{name: dependent, readyExpr: dep.status.}]";
    let unhealthy = "  healthCheckExprs: [{apiVersion: x.org/v1, kind: W, current: foo.}]";
    for (name, path, more, reason, action, related) in [
        ("broken", "./nothing", "", "ArtifactFailed", "Reconcile", Some("app")),
        ("dependent", "./app", missing, "DependencyNotReady", "CheckDependencies", Some("app")),
        ("expression", "./app", invalid, "InvalidCELExpression", "CheckDependencies", Some("app")),
        ("health", "./app", unhealthy, "InvalidCELExpression", "HealthCheck", None),
        ("foreign", "./app", "", "AccessDenied", "ResolveSource", None),
    ] {
        let yaml = test.kustomization_yaml(name, path, more);
        let elsewhere = "sourceRef: {kind: GitRepository, namespace: elsewhere, name: app}";
        test.apply(&match name {
            "foreign" => yaml.replace("sourceRef: {kind: GitRepository, name: app}", elsewhere),
            _ => yaml,
        })
        .await?;
        let event = receiver.posted(&test, reason, action).await?;
        assert_eq!(event.text("/involvedObject/name"), name, "{event}");
        assert_names_object(&event, &test.namespace);
        assert_eq!(event.pointer("/relatedObject/name").and_then(Value::as_str), related, "{event}");
        let revision = event.pointer("/metadata/kustomize.toolkit.fluxcd.io~1revision");
        assert_eq!(revision.is_some(), related.is_some(), "{event}");
    }

    std::fs::write(sources.storage().join(source.text("/status/artifact/path")), "damaged")?;
    test.run("GitRepository/app").await?;
    let branch = test.source_yaml("1h", "").replace("{branch: main}", "{branch: gone}");
    test.apply(&branch).await?;
    for (reason, action) in
        [("ArtifactVerificationFailed", "ReconcileStorage"), ("GitOperationFailed", "Reconcile")]
    {
        let event = receiver.posted(&test, reason, action).await?;
        assert_eq!(event.text("/involvedObject/kind"), "GitRepository", "{event}");
        assert_eq!((event.text("/severity"), event.get("relatedObject")), ("error", None), "{event}");
        assert_names_object(&event, &test.namespace);
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_against_commit_status_events_drops_that_of_a_successful_run_and_no_other() -> Result<()> {
    let gate = "--feature-gates=DisableCommitStatusEvent=true";
    let Posts { test, receiver, sources: _sources, .. } = Posts::start("events-no-status", &[gate]).await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.ready("Kustomization/app").await?;
    receiver.posted(&test, "Progressing", "Apply").await?;
    let log = &test.pair()?.kustomize;
    // It is written after the status.
    test.wait("the log says it", async || match log.log_text().contains("Reconciliation finished in ") {
        true => Ok(()),
        false => Err(Not::Yet("it does not".into())),
    })
    .await?;

    // Events come in order, so after this one the other would have come.
    test.patch("Kustomization/app", &json!({"spec": {"path": "./nothing"}})).await?;
    receiver.posted(&test, "ArtifactFailed", "Reconcile").await?;
    let succeeded = receiver.find("ReconciliationSucceeded", "Reconcile");
    assert!(matches!(succeeded, Err(Not::Yet(_))), "{succeeded:?}");
    test.event("Kustomization/app", "Warning", "ArtifactFailed", "").await?;
    let events = test.objects.events(&test.id("Kustomization/app")?).await?;
    assert!(events.iter().all(|event| event.text("/reason") != "ReconciliationSucceeded"), "{events:?}");
    test.finish().await
}
