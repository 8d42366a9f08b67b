//! Repositories that are renamed, given to another owner, and deleted.

use anyhow::Result;
use e2e::forge::Method;
use serde_json::{Value, json};

use crate::{Interop, main_branch};

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_moves_is_followed_and_one_that_is_deleted_is_missed() -> Result<()> {
    let it = Interop::new("moves").await?;
    let first = it.create("app", "main").await?;
    it.password().await?;
    it.source("app", &it.forge.url(&it.repository("app")), main_branch()).await?;
    it.holds("app", &format!("main@sha1:{first}")).await?;

    let path = format!("repos/{}", it.repository("app"));
    it.forge.call(it.account(), Method::PATCH, &path, &json!({"name": "renamed"})).await?;
    let second = it.commit("renamed", "b.txt", json!({"branch": "main"})).await?;
    it.test.request("GitRepository/app").await?;
    it.holds("app", &format!("main@sha1:{second}")).await?;

    let team = format!("{}-team", it.account());
    it.post("orgs", json!({"username": team, "visibility": "private"})).await?;
    it.post_to("renamed", "transfer", json!({"new_owner": team})).await?;
    let file = format!("repos/{team}/renamed/contents/c.txt");
    let made = it.post(&file, json!({"content": "eA==", "message": "more", "branch": "main"})).await?;
    let third = made["commit"]["sha"].as_str().unwrap();
    it.test.request("GitRepository/app").await?;
    let before = it.holds("app", &format!("main@sha1:{third}")).await?;

    it.forge.call(it.account(), Method::DELETE, &format!("repos/{team}/renamed"), &Value::Null).await?;
    it.test.request("GitRepository/app").await?;
    it.fails("app", "GitOperationFailed", "repository not found").await?;
    let after = it.test.get("GitRepository/app").await?;
    assert_eq!(after["status"]["artifact"], before["status"]["artifact"], "the last artifact stays");

    // Another one of the old name is taken for what it is.
    let other = it.create("app", "main").await?;
    it.test.request("GitRepository/app").await?;
    it.holds("app", &format!("main@sha1:{other}")).await?;
    it.test.finish().await
}
