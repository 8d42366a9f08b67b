//! source-watcher over a storage that is full: the last artifact stays, and the next one is made when there is room.

use anyhow::{Result, ensure};
use e2e::artifact::download;
use e2e::cluster::User;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use rand::distr::{Alphanumeric, SampleString};
use serde_json::{Value, json};

use crate::diagnostics::told;
use crate::each_controller::{apply, has_followed, object, start, write};

const ARTIFACT: &str = "ExternalArtifact/out";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_the_last_artifact_of_a_generator_until_there_is_room() -> Result<()> {
    let (test, user) = (Scenario::with_own_controllers("watcher-full", &[]).await?, User::SourceWatcher);
    let watcher = start(&test, user, &[]).await?;
    let commit = write(&test, "0")?;
    apply(&test, user, &json!({})).await?;
    has_followed(&test, user, &commit, "0").await?;
    let before = test.get(ARTIFACT).await?;
    let told = |what: &'static str| {
        told(&test, &watcher, "ArtifactGenerator", "app", what, move |generator| {
            generator.text("/next/why").starts_with(what)
        })
    };
    ensure!(told("its interval").await?.text("/ready/status") == "True");
    watcher.limit_file_size(Some(1 << 20))?;
    // Text that cannot be compressed much.
    test.repo.write("app/noise.txt", &Alphanumeric.sample_string(&mut rand::rng(), 3_000_000))?;
    let commit = write(&test, "1")?;
    test.request("GitRepository/app").await?;
    let fails = |generator: &Value| {
        generator.condition("Ready").is_some_and(|ready| {
            (&*ready.status, &*ready.reason) == ("False", "BuildFailed")
                && ready.message.contains("File too large")
        })
    };
    test.until(object(user), "says that there is no room", fails).await?;
    test.event(object(user), "Warning", "BuildFailed", "File too large").await?;
    ensure!(told("back-off after ").await?.number("/last/failures") > 0);
    let all = watcher.debug_objects("").await?;
    ensure!(all["objects"].as_array().is_some_and(|all| all.len() == 1), "{all}");
    let during = test.get(ARTIFACT).await?;
    ensure!(during["status"]["artifact"] == before["status"]["artifact"], "{during}");
    download(&during).await?;
    watcher.limit_file_size(None)?;
    has_followed(&test, user, &commit, "1").await?;
    told("its interval").await?;
    test.finish().await
}
