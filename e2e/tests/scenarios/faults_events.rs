//! Receivers of events that are dead, silent or hostile, and annotations of any size: nobody is held up by them.

use anyhow::{Context, Result};
use e2e::api_proxy::{Fault, Rule, When};
use e2e::objects::Look;
use e2e::scenario::{REQUESTED_AT, Scenario};
use e2e::testkit::config_map;
use e2e::wait::{self, Not};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a receiver does with a connection.
#[derive(Clone, Copy, Debug)]
enum Receiver {
    /// Takes everything and says nothing.
    Silent,
    /// Answers without end.
    Endless,
    /// Answers what is no HTTP.
    Rubbish,
    /// Sends everybody round in circles.
    Redirecting,
}

async fn receive(mut stream: TcpStream, receiver: Receiver, own: String) -> Result<()> {
    let mut buffer = vec![0; 4096];
    if stream.read(&mut buffer).await? == 0 {
        return Ok(());
    }
    match receiver {
        Receiver::Silent => while stream.read(&mut buffer).await? > 0 {},
        Receiver::Rubbish => stream.write_all(b"\0\xff nonsense\r\n\r\n").await?,
        Receiver::Redirecting => {
            let text = format!("HTTP/1.1 307 Moved\r\nlocation: {own}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(text.as_bytes()).await?;
        }
        Receiver::Endless => {
            stream.write_all(b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            loop {
                stream.write_all(b"5\r\nagain\r\n").await?;
            }
        }
    }
    Ok(())
}

/// A receiver's URL.
async fn start(receiver: Receiver) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let own = url.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(receive(stream, receiver, own.clone()));
        }
    });
    Ok(url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_dead_or_hostile_delays_no_deployment() -> Result<()> {
    let dead = format!("http://127.0.0.1:{}/", e2e::process::free_port()?);
    let mut urls = vec![("dead", dead)];
    for receiver in [Receiver::Silent, Receiver::Endless, Receiver::Rubbish, Receiver::Redirecting] {
        urls.push((
            if let Receiver::Silent = receiver { "silent" } else { "hostile" },
            start(receiver).await?,
        ));
    }
    for (kind, url) in urls {
        // A namespace may fill half of it: with what one run reports, what is being stored included.
        let options = [format!("--events-addr={url}"), "--events-queue-size=4".to_owned()];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut test = Scenario::with_own_controllers(&format!("events-{kind}"), &options).await?;
        test.apply_source().await?;
        test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
        test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
        for version in 1..=3 {
            let commit = test.repo.commit_file("app/map.yaml", &config_map("map", &version.to_string()))?;
            test.request("GitRepository/app").await?;
            test.applied("Kustomization/app", &commit).await?;
        }
        // Who waited for a post would queue one event at a time, and drop none.
        test.wait(&format!("events for {url} are dropped"), async || {
            let dropped =
                test.pair().map_err(Not::Ever)?.kustomize.metric("gotk_events_dropped_total", &["webhook"]);
            match dropped.await.map_err(wait::not_yet)? {
                0.0 => Err(Not::Yet("none was dropped".into())),
                _ => Ok(()),
            }
        })
        .await?;
        // Events of the cluster have a queue of their own, which is not full when a run changes nothing.
        test.request("Kustomization/app").await?;
        test.event("Kustomization/app", "Normal", "ReconciliationSucceeded", "").await?;
        // It ends by itself, before Kubernetes would kill it.
        let status = tokio::task::block_in_place(|| test.own()?.kustomize.stop())?;
        assert_eq!(status.code(), Some(0), "{url}");
        test.finish().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_the_cluster_does_not_take_delay_no_deployment() -> Result<()> {
    let test = Scenario::through_proxy("events-api", &["--events-queue-size=2"]).await?;
    let proxy = test.proxy()?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    for (version, fault) in
        [Fault::Status(500), Fault::Status(403), Fault::Throttle(30), Fault::Hold(When::Before)]
            .into_iter()
            .enumerate()
    {
        proxy.heal();
        proxy.add(Rule::new(fault, |call| call.is_about("events")));
        let commit = test.repo.commit_file("app/map.yaml", &config_map("map", &version.to_string()))?;
        test.request("GitRepository/app").await?;
        test.applied("Kustomization/app", &commit).await?;
    }
    let dropped = test.pair()?.kustomize.metric("gotk_events_dropped_total", &["kubernetes"]).await?;
    assert!(dropped > 0.0, "what is not taken is counted");
    test.finish().await
}

/// Whoever may annotate may write anything: as large as the API server takes it, or of another time.
#[tokio::test(flavor = "multi_thread")]
async fn annotations_of_any_size_and_time_harm_nobody() -> Result<()> {
    let test = Scenario::new("annotations").await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let long = "x".repeat(200 * 1024);
    for token in ["9999-12-31T23:59:59Z", "-1", " ", "\u{0}\u{1F980}", &*long] {
        for object in ["GitRepository/app", "Kustomization/app"] {
            let annotation = json!({"metadata": {"annotations": { REQUESTED_AT: token }}});
            test.patch(object, &annotation).await?;
            let is =
                |o: &serde_json::Value| o.text("/status/lastHandledReconcileAt") == token && o.is_ready();
            test.until(object, &format!("has handled {:?}", token.chars().take(20).collect::<String>()), is)
                .await?;
        }
    }
    // The same in what goes along with events.
    for object in ["GitRepository/app", "Kustomization/app"] {
        let annotations = json!({ REQUESTED_AT: "again", "event.toolkit.fluxcd.io/note": long });
        test.patch(object, &json!({"metadata": {"annotations": annotations}})).await?;
    }
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "2"))?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/app", &commit).await?;
    let map = test.get("ConfigMap/map").await?;
    assert_eq!(map.text("/data/value"), "2");
    test.get("GitRepository/app").await?.condition("Ready").context("it has one")?;
    test.finish().await
}
