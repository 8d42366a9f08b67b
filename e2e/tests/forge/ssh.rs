//! The forge's own SSH server.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use e2e::artifact::artifact_entries;
use e2e::forge::Method;
use e2e::process::temp_folder;
use serde_json::{Value, json};

use crate::{Interop, main_branch};

/// A key pair: the private one, and the public one as forges take it.
fn key(options: &[&str]) -> Result<(String, String)> {
    let folder = temp_folder("key")?;
    let file = folder.path().join("key");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-N", "", "-C", "flux"]).args(options).arg("-f").arg(&file).stdin(Stdio::null());
    let output = keygen.output()?;
    ensure!(output.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
    Ok((std::fs::read_to_string(&file)?, std::fs::read_to_string(file.with_extension("pub"))?))
}

#[tokio::test(flavor = "multi_thread")]
async fn deploy_keys_open_the_repository_that_they_are_for() -> Result<()> {
    let it = Interop::new("deploy").await?;
    let mut commit = it.create("app", "main").await?;
    it.create("other", "main").await?;
    let known_hosts = it.forge.known_hosts().await?;
    let url = it.forge.ssh_url(&it.repository("app"));
    for options in [&["-t", "ed25519"][..], &["-t", "ecdsa"], &["-t", "rsa", "-b", "3072"]] {
        let (private, public) = key(options)?;
        let name = options[1];
        let made =
            it.post_to("app", "keys", json!({"title": name, "key": public, "read_only": true})).await?;
        it.secret(json!({"identity": private, "known_hosts": known_hosts})).await?;
        it.source(name, &url, main_branch()).await?;
        it.holds(name, &format!("main@sha1:{commit}")).await?;
        commit = it.commit("app", &format!("{name}.txt"), json!({"branch": "main"})).await?;
        it.test.request(&format!("GitRepository/{name}")).await?;
        it.holds(name, &format!("main@sha1:{commit}")).await?;
        // The key is for one repository.
        it.source("other", &it.forge.ssh_url(&it.repository("other")), main_branch()).await?;
        it.test.request("GitRepository/other").await?;
        it.fails("other", "GitOperationFailed", "is not authorized to read").await?;
        // And goes away.
        let path = format!("repos/{}/keys/{}", it.repository("app"), made["id"]);
        it.forge.call(it.account(), Method::DELETE, &path, &Value::Null).await?;
        it.test.request(&format!("GitRepository/{name}")).await?;
        it.fails(name, "GitOperationFailed", "ssh: handshake failed: ssh: unable to authenticate").await?;
    }
    it.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn references_are_fetched_by_ssh_and_old_names_are_followed() -> Result<()> {
    let it = Interop::new("ssh").await?;
    let first = it.create("app", "main").await?;
    it.post_to("app", "tags", json!({"tag_name": "v1.0.0", "target": "main", "message": "annotated"}))
        .await?;
    let second = it.commit("app", "b.txt", json!({"branch": "main", "new_branch": "feature/x"})).await?;
    it.post_to("app", "pulls", json!({"head": "feature/x", "base": "main", "title": "more"})).await?;
    it.post_to("app", "wiki/new", json!({"title": "Home", "content_base64": "eA=="})).await?;
    let (private, public) = key(&["-t", "ed25519"])?;
    it.post("user/keys", json!({"title": "flux", "key": public})).await?;
    it.secret(json!({"identity": private, "known_hosts": it.forge.known_hosts().await?})).await?;
    for (name, reference, revision) in [
        ("semver", json!({"semver": "*"}), format!("v1.0.0@sha1:{first}")),
        ("pull", json!({"name": "refs/pull/1/head"}), format!("refs/pull/1/head@sha1:{second}")),
        ("commit", json!({"commit": first}), format!("sha1:{first}")),
        ("in-branch", json!({"branch": "feature/x", "commit": first}), format!("feature/x@sha1:{first}")),
    ] {
        it.source(name, &it.forge.ssh_url(&it.repository("app")), json!({"ref": reference})).await?;
        it.holds(name, &revision).await?;
    }
    it.source("missing", &it.forge.ssh_url(&it.repository("nope")), main_branch()).await?;
    it.fails("missing", "GitOperationFailed", "repository not found: error: Cannot find repository: ")
        .await?;
    // A repository that was renamed: by SSH the forge follows by itself.
    let path = format!("repos/{}", it.repository("app"));
    it.forge.call(it.account(), Method::PATCH, &path, &json!({"name": "renamed"})).await?;
    let third = it.commit("renamed", "c.txt", json!({"branch": "main"})).await?;
    it.source("renamed", &it.forge.ssh_url(&it.repository("app")), main_branch()).await?;
    let source = it.holds("renamed", &format!("main@sha1:{third}")).await?;
    assert_eq!(artifact_entries(&source).await?, [".", "a.txt", "c.txt"]);
    it.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_beside_the_repository_is_fetched_with_the_same_key() -> Result<()> {
    let it = Interop::new("ssh-submodule").await?;
    it.create("app", "main").await?;
    let library = it.create("library", "main").await?;
    let commit = it.add_submodule("app", "lib", "../library.git", &library)?;
    let (private, public) = key(&["-t", "ed25519"])?;
    it.post("user/keys", json!({"title": "flux", "key": public})).await?;
    it.secret(json!({"identity": private, "known_hosts": it.forge.known_hosts().await?})).await?;
    let submodules = json!({"ref": {"branch": "main"}, "recurseSubmodules": true});
    it.source("app", &it.forge.ssh_url(&it.repository("app")), submodules).await?;
    let app = it.holds("app", &format!("main@sha1:{commit}")).await?;
    assert_eq!(artifact_entries(&app).await?, [".", "a.txt", "lib", "lib/a.txt"]);
    it.test.finish().await
}
