//! What holds of every kind of source beside GitRepository, wherever its content comes from.

use std::fs;

use anyhow::Result;
use e2e::artifact::{digest, download};
use e2e::file_server::FileServer;
use e2e::helm::{helm, package};
use e2e::objects::Look;
use e2e::process::temp_folder;
use e2e::registry::{LAYER, Registry, Setup};
use e2e::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use e2e::scenario::Scenario;
use serde_json::{Value, json};

/// Where the sources of a test come from.
struct Upstreams {
    registry: Registry,
    bucket: S3Server,
    charts: FileServer,
}

impl Upstreams {
    /// What they were asked since the last time, and how often for the index of charts altogether.
    fn asked(&self) -> Result<(Vec<String>, usize)> {
        let mut asked = self.registry.take_requests()?;
        asked.extend(self.bucket.take_requests());
        Ok((asked, self.charts.count("/index.yaml")))
    }
}

fn source(kind: &str, spec: &Value) -> String {
    let mut spec = spec.clone();
    spec["interval"] = "1h".into();
    json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": kind, "metadata": {"name": "app"}, "spec": spec})
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_source_is_made_kept_suspended_and_removed_in_the_same_way() -> Result<()> {
    let test = Scenario::with_own_controllers("source-kinds", &[]).await?;
    let folder = temp_folder("charts")?;
    package(folder.path(), "app", "1.0.0")?;
    helm(folder.path(), &["repo", "index", "."])?;
    let upstreams = Upstreams {
        registry: Registry::start(Setup { access_log: true, ..Setup::default() }).await,
        bucket: S3Server::start(false).await?,
        charts: FileServer::start(folder.path(), None).await?,
    };
    upstreams.registry.pusher().artifact("latest", &[(LAYER, b"content")]).await;
    upstreams.bucket.put("a", "1");
    let keys = json!({"accesskey": ACCESS_KEY, "secretkey": SECRET_KEY});
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys});
    test.apply(&secret.to_string()).await?;
    let registry = format!("oci://{}/team/app", upstreams.registry.address());
    for (kind, spec) in [
        ("OCIRepository", json!({"url": registry, "layerSelector": {"operation": "copy"}})),
        (
            "Bucket",
            json!({"bucketName": BUCKET, "endpoint": upstreams.bucket.endpoint(), "insecure": true,
                "secretRef": {"name": "keys"}}),
        ),
        ("HelmRepository", json!({"url": upstreams.charts.url()})),
        ("HelmChart", json!({"chart": "app", "sourceRef": {"kind": "HelmRepository", "name": "app"}})),
    ] {
        test.apply(&source(kind, &spec)).await?;
    }
    // The chart goes before its repository.
    for (kind, event) in [
        ("OCIRepository", "NewArtifact"),
        ("Bucket", "NewArtifact"),
        ("HelmChart", "ChartPullSucceeded"),
        ("HelmRepository", "NewArtifact"),
    ] {
        let lived = lives(&test, &upstreams, kind, event).await;
        lived.map_err(|error| error.context(kind))?;
    }
    test.finish().await
}

async fn lives(test: &Scenario, upstreams: &Upstreams, kind: &str, event: &str) -> Result<()> {
    let id = format!("{kind}/app");
    let made = test.ready(&id).await?;
    assert_eq!(made["metadata"]["finalizers"], json!(["finalizers.fluxcd.io"]));
    assert_eq!(made["status"]["observedGeneration"], made["metadata"]["generation"]);
    let mut conditions: Vec<_> = made["status"]["conditions"].as_array().into_iter().flatten().collect();
    conditions.sort_by_key(|condition| condition.text("/type"));
    let types: Vec<_> = conditions.iter().map(|condition| condition.text("/type")).collect();
    assert_eq!(types, ["ArtifactInStorage", "Ready"]);
    let artifact = &made["status"]["artifact"];
    let content = download(&made).await?;
    assert_eq!(artifact["digest"], digest(&content));
    let told = test.event(&id, "Normal", event, "").await?;
    let note =
        |name: &str| told["metadata"]["annotations"][format!("source.toolkit.fluxcd.io/{name}")].clone();
    assert_eq!((&note("revision"), &note("digest")), (&artifact["revision"], &artifact["digest"]));

    // What is on disk is looked at with each pass.
    let storage = test.pair()?.source.storage();
    let file = storage.join(artifact.text("/path"));
    for damage in [Some("other bytes"), None] {
        match damage {
            Some(bytes) => fs::write(&file, bytes)?,
            None => fs::remove_file(&file)?,
        }
        test.run(&id).await?;
        let again = test.ready(&id).await?;
        assert_eq!(download(&again).await?, content);
    }
    let text = "failed to verify integrity of artifact";
    test.event(&id, "Warning", "ArtifactVerificationFailed", text).await?;

    let before = test.get(&id).await?;
    test.patch(&id, &json!({"spec": {"suspend": true}})).await?;
    let (_, indexes) = upstreams.asked()?;
    let suspended = test.run(&id).await?;
    assert_eq!(suspended["status"]["artifact"], before["status"]["artifact"]);
    assert_eq!(upstreams.asked()?, (Vec::new(), indexes), "nothing is fetched for who is suspended");

    let folder = storage.join(kind.to_lowercase()).join(&test.namespace).join("app");
    assert!(folder.is_dir(), "{}", folder.display());
    test.kubectl(&["delete", "--wait=false", &id])?;
    test.gone(&id).await?;
    assert!(!folder.exists(), "{}", folder.display());
    assert_eq!(reqwest::get(artifact.text("/url")).await?.status(), 404);
    Ok(())
}
