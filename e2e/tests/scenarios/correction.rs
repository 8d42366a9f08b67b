//! Artifacts of a version that gave empty files the content of the file before: they are made anew by themselves, once.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use e2e::artifact::{digest, download};
use e2e::objects::Look;
use e2e::process::{output, temp_folder};
use e2e::scenario::Scenario;
use serde_json::{Value, json};

const SOURCES: [&str; 3] = ["GitRepository/app", "GitRepository/fine", "GitRepository/asleep"];

/// Does to a stored artifact, its lock and the status what the faulty version did: an empty `b.env` has the content of
/// `a.env`, and the lock says nothing of who wrote the artifact.
async fn store_as_before(test: &Scenario, source: &str, storage: &Path) -> Result<String> {
    let path = test.get(source).await?.text("/status/artifact/path").to_owned();
    let (file, folder) = (storage.join(&path), temp_folder("former")?);
    output(Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(folder.path()))?;
    for entry in fs::read_dir(folder.path())? {
        let wrong = entry?.path().join("b.env");
        if wrong.exists() {
            fs::copy(wrong.with_file_name("a.env"), wrong)?;
        }
    }
    output(Command::new("tar").arg("-czf").arg(&file).arg("-C").arg(folder.path()).arg("."))?;
    fs::write(format!("{}.lock", file.display()), "")?;
    let wrong = digest(&fs::read(&file)?);
    let artifact = json!({"status": {"artifact": {"digest": wrong, "size": fs::metadata(&file)?.len()}}});
    test.kubectl(&[
        "patch",
        &source.to_lowercase(),
        "--subresource=status",
        "--type=merge",
        "-p",
        &artifact.to_string(),
    ])?;
    Ok(wrong)
}

/// What the ConfigMap that is made of `b.env` holds of it.
async fn applied(test: &Scenario, what: &str) -> Result<Value> {
    let is =
        |map: &Value| map["data"]["b.env"].as_str().or(map["binaryData"]["b.env"].as_str()) == Some(what);
    test.until("ConfigMap/env", &format!("holds {what:?}"), is).await
}

async fn corrections(test: &Scenario, source: &str) -> Result<Vec<String>> {
    let events = test.objects.events(&test.id(source)?).await?;
    let corrections = events.iter().filter(|event| event["reason"] == "ArtifactCorrected");
    corrections.map(|event| Ok(event["message"].as_str().context("no message")?.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_a_former_version_got_wrong_is_made_anew_once() -> Result<()> {
    let mut test = Scenario::with_own_controllers("correction", &[]).await?;
    test.repo.write("app/a.env", "password=secret\n")?;
    test.repo.write("app/b.env", "")?;
    let generator = "configMapGenerator: [{name: env, files: [b.env]}]\ngeneratorOptions: {disableNameSuffixHash: true}\n";
    let commit = test.repo.commit_file("app/kustomization.yaml", generator)?;
    let fine = test.git.create("fine")?;
    fine.commit_file("a.env", "nothing is empty here")?;
    test.apply_source().await?;
    for (name, repository) in [("fine", "fine"), ("asleep", "app")] {
        let source = test.source_yaml("1h", "").replace("name: app", &format!("name: {name}"));
        test.apply(&source.replace(&test.git.url("app"), &test.git.url(repository))).await?;
    }
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    applied(&test, "").await?;
    let mut right = Vec::new();
    for source in SOURCES {
        right.push(test.ready(source).await?["status"]["artifact"].clone());
    }
    test.patch("GitRepository/asleep", &json!({"spec": {"suspend": true}})).await?;
    test.until("GitRepository/asleep", "was seen", |o| {
        o["status"]["observedGeneration"] == o["metadata"]["generation"]
    })
    .await?;

    // The state that the faulty version left: the consumer applied what it should not have.
    let storage = test.pair()?.source.storage();
    let mut wrong = Vec::new();
    for source in SOURCES {
        wrong.push(store_as_before(&test, source, &storage).await?);
    }
    applied(&test, "password=secret\n").await?;

    test.own()?.source.kill();
    test.own()?.source.restart().await?;
    for (source, right) in SOURCES.iter().zip(&right).take(2) {
        let corrected = test
            .until(source, "is as it was", |o| {
                o.is_ready() && o["status"]["artifact"]["digest"] == right["digest"]
            })
            .await?;
        assert_eq!(corrected["status"]["artifact"]["revision"], right["revision"]);
        download(&corrected).await?;
    }
    applied(&test, "").await?;
    let message = test.event("GitRepository/app", "Warning", "ArtifactCorrected", "").await?;
    let text = message["message"].as_str().unwrap_or_default();
    assert!(text.contains("in 1 empty file: 'app/b.env'"), "{text}");
    assert!(test.pair()?.source.log_text().contains("stored the content of other files in 1 empty file"));

    // Whoever is suspended keeps what it has, until it is resumed.
    let asleep = test.get(SOURCES[2]).await?;
    assert_eq!(asleep["status"]["artifact"]["digest"], json!(wrong[2]));
    test.patch(SOURCES[2], &json!({"spec": {"suspend": false}})).await?;
    test.until(SOURCES[2], "is as it was", |o| o["status"]["artifact"]["digest"] == right[2]["digest"])
        .await?;
    test.event(SOURCES[2], "Warning", "ArtifactCorrected", "'app/b.env'").await?;

    // Once: neither another process nor a request makes them anew.
    let mut before = Vec::new();
    for source in SOURCES {
        before.push(test.ready(source).await?["status"]["artifact"].clone());
    }
    test.own()?.source.kill();
    test.own()?.source.restart().await?;
    for (source, before) in SOURCES.iter().zip(&before) {
        let after = test.run(source).await?;
        assert_eq!(after["status"]["artifact"], *before, "{source}");
    }
    let counts = [
        corrections(&test, SOURCES[0]).await?,
        corrections(&test, SOURCES[1]).await?,
        corrections(&test, SOURCES[2]).await?,
    ];
    assert_eq!(counts.map(|messages| messages.len()), [1, 0, 1]);
    test.finish().await
}
