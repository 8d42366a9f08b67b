//! Who may read: passwords, access tokens, and what is said to those who may not.

use anyhow::Result;
use e2e::forge::{Method, PASSWORD};
use e2e::objects::Look;
use serde_json::{Value, json};

use crate::{Interop, main_branch};

#[tokio::test(flavor = "multi_thread")]
async fn a_password_and_access_tokens_open_a_private_repository() -> Result<()> {
    let it = Interop::new("access").await?;
    let revision = format!("main@sha1:{}", it.create("app", "main").await?);
    let token = it.token("reader").await?;
    let url = it.forge.url(&it.repository("app"));
    it.secret(json!({"username": it.account(), "password": "mistyped"})).await?;
    it.source("app", &url, main_branch()).await?;
    it.fails("app", "GitOperationFailed", "authentication required").await?;
    for (n, secret) in [
        json!({"username": it.account(), "password": PASSWORD}),
        json!({"username": it.account(), "password": token}),
        json!({"username": token, "password": "x-oauth-basic"}),
        json!({"bearerToken": token}),
    ]
    .into_iter()
    .enumerate()
    {
        it.secret(secret).await?;
        it.source(&format!("app-{n}"), &url, main_branch()).await?;
        it.holds(&format!("app-{n}"), &revision).await?;
    }
    it.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_may_not_read_are_told_so() -> Result<()> {
    let it = Interop::new("strangers").await?;
    it.create("app", "main").await?;
    let url = it.forge.url(&it.repository("app"));
    // Nobody.
    it.source("nobody", &url, json!({"ref": {"branch": "main"}, "secretRef": null})).await?;
    it.fails("nobody", "GitOperationFailed", "authentication required").await?;
    // Somebody without rights: the forge does not tell that it exists.
    let stranger = format!("{}-x", it.account());
    it.forge.add_account(&stranger).await?;
    it.secret(json!({"username": stranger, "password": PASSWORD})).await?;
    it.source("stranger", &url, main_branch()).await?;
    it.fails("stranger", "GitOperationFailed", "repository not found").await?;
    it.source("missing", &it.forge.url(&it.repository("nope")), main_branch()).await?;
    it.fails("missing", "GitOperationFailed", "repository not found").await?;
    it.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_keeps_the_artifact_until_there_is_another() -> Result<()> {
    let it = Interop::new("revoked").await?;
    let first = it.create("app", "main").await?;
    let token = it.token("old").await?;
    it.secret(json!({"username": it.account(), "password": token})).await?;
    it.source("app", &it.forge.url(&it.repository("app")), main_branch()).await?;
    let before = it.holds("app", &format!("main@sha1:{first}")).await?;
    let path = format!("users/{}/tokens/old", it.account());
    it.forge.call(it.account(), Method::DELETE, &path, &Value::Null).await?;
    let second = it.commit("app", "b.txt", json!({"branch": "main"})).await?;
    it.test.request("GitRepository/app").await?;
    it.fails("app", "GitOperationFailed", "authentication required").await?;
    let during = it.test.get("GitRepository/app").await?;
    assert_eq!(during["status"]["artifact"], before["status"]["artifact"]);
    assert!(reqwest::get(during.text("/status/artifact/url")).await?.status().is_success());
    let token = it.token("new").await?;
    it.secret(json!({"username": it.account(), "password": token})).await?;
    // It recovers by itself.
    it.holds("app", &format!("main@sha1:{second}")).await?;
    let log = it.test.pair()?.source.log_text();
    assert!(!log.contains(&token), "no token in the log");
    it.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_log_in_any_more_is_told_what_the_forge_says() -> Result<()> {
    let it = Interop::new("disabled").await?;
    it.create("app", "main").await?;
    let reader = format!("{}-x", it.account());
    it.forge.add_account(&reader).await?;
    let path = format!("repos/{}/collaborators/{reader}", it.repository("app"));
    it.forge.call(it.account(), Method::PUT, &path, &json!({"permission": "read"})).await?;
    it.secret(json!({"username": reader, "password": PASSWORD})).await?;
    let url = it.forge.url(&it.repository("app"));
    it.source("app", &url, main_branch()).await?;
    it.test.ready("GitRepository/app").await?;
    let no_login = json!({"source_id": 0, "login_name": reader, "prohibit_login": true});
    it.forge.change_account(&reader, &no_login).await?;
    it.test.request("GitRepository/app").await?;
    it.fails("app", "GitOperationFailed", "authentication required: Failed to authenticate user").await?;
    it.test.finish().await
}
