//! What notification-controller gets to know: the bodies that are posted to `--events-addr`.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::scenario::{SHARD, Scenario};
use e2e::testkit::config_map;
use e2e::token_server::TokenServer;
use e2e::wait::{self, Not};
use serde_json::Value;

/// A receiver, and what it got so far.
struct Receiver {
    server: TokenServer,
    posts: Mutex<Vec<Value>>,
}

impl Receiver {
    /// The first post with this reason and action, if there is one yet.
    fn find(&self, reason: &str, action: &str) -> Result<Value, Not> {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, body) in self.server.take_requests() {
            posts.push(serde_json::from_str(&body).map_err(|error| Not::Ever(error.into()))?);
        }
        let found = posts.iter().find(|e| e.text("/reason") == reason && e.text("/action") == action);
        found.cloned().ok_or_else(|| Not::Yet(format!("there are {posts:?}")))
    }

    /// Waits for a post with this reason and action.
    async fn posted(&self, test: &Scenario, reason: &str, action: &str) -> Result<Value> {
        let what = format!("an event {reason} of {action} is posted");
        test.wait(&what, async || self.find(reason, action)).await
    }
}

/// All that Flux's events say of their object.
fn assert_names_object(event: &Value, namespace: &str) {
    assert_eq!(event.text("/involvedObject/namespace"), namespace, "{event}");
    for field in ["apiVersion", "kind", "name", "uid", "resourceVersion"] {
        assert_ne!(event.text(&format!("/involvedObject/{field}")), "", "{field} of {event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_name_the_action_and_the_source_of_a_kustomization() -> Result<()> {
    let server = TokenServer::start(false, &[("POST /", 200, "")]).await?;
    let address = format!("--events-addr={}/", server.url);
    let receiver = Receiver { server, posts: Mutex::default() };
    let mut test = Scenario::with_own_controllers("events-posted", &[&address]).await?;
    tokio::task::block_in_place(|| test.own()?.source.stop())?;
    let selector = format!("--watch-label-selector={SHARD}={}", test.namespace);
    let _sources = Controller::start(test.cluster, User::SourceController, &[&selector, &address]).await?;

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
