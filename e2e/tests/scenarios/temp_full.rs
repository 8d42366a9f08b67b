//! A folder for temporary files that is full: what is too large to be downloaded in memory waits, what is applied stays.

use anyhow::{Result, ensure};
use e2e::cluster::User::{HelmController, KustomizeController};
use e2e::objects::Look;
use e2e::scenario::Scenario;
use rand::distr::{Alphanumeric, SampleString};
use serde_json::json;

use crate::each_controller::{apply, has_followed, object, start, write};

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_finds_no_room_for_its_download_is_fetched_when_there_is_some() -> Result<()> {
    let test = Scenario::with_own_controllers("temp-full", &[]).await?;
    let (kustomize, helm) = (&test.pair()?.kustomize, start(&test, HelmController, &[]).await?);
    let users = [KustomizeController, HelmController];
    let commit = write(&test, "0")?;
    for user in users {
        apply(&test, user, &json!({})).await?;
        has_followed(&test, user, &commit, "0").await?;
    }
    for controller in [kustomize, &helm] {
        controller.limit_file_size(Some(1 << 20))?;
    }
    // Text that cannot be compressed much: artifact and chart have more than the 4 MiB that are kept in memory.
    for number in 0..4 {
        let noise = Alphanumeric.sample_string(&mut rand::rng(), 2_000_000);
        test.repo.write(&format!("app/{number}.txt"), &noise)?;
        test.repo.write(&format!("chart/files/{number}.txt"), &noise)?;
    }
    let commit = write(&test, "1")?;
    test.request("GitRepository/app").await?;
    for user in users {
        test.condition(object(user), "Ready", "False", "ArtifactFailed", "failed to copy temp contents")
            .await?;
    }
    for name in ["ConfigMap/map", "ConfigMap/released"] {
        ensure!(test.get(name).await?.text("/data/value") == "0", "{name} has changed");
    }
    for controller in [kustomize, &helm] {
        controller.limit_file_size(None)?;
    }
    has_followed(&test, KustomizeController, &commit, "1").await?;
    // Helm has to keep all files of a chart in a Secret.
    test.repo.remove("chart/files")?;
    let commit = write(&test, "2")?;
    test.request("GitRepository/app").await?;
    for user in users {
        has_followed(&test, user, &commit, "2").await?;
    }
    test.finish().await
}
