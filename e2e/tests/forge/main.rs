//! GitRepositories on a forge: the real source-controller, a real API server and a real Gitea.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod access;
mod contents;
mod moves;
mod ssh;

use std::path::Path;

use anyhow::Result;
use e2e::forge::{Forge, Method, PASSWORD};
use e2e::objects::Look;
use e2e::process::temp_folder;
use e2e::repository::git;
use e2e::scenario::Scenario;
use serde_json::{Value, json};

/// A test with an account of its own on the forge, which has the namespace's name.
struct Interop {
    test: Scenario,
    forge: &'static Forge,
}

impl Interop {
    async fn new(name: &str) -> Result<Interop> {
        let forge = Forge::shared().await?;
        let test = Scenario::new(&format!("forge-{name}")).await?;
        forge.add_account(&test.namespace).await?;
        Ok(Interop { test, forge })
    }

    fn account(&self) -> &str {
        &self.test.namespace
    }

    /// `<account>/<name>`.
    fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.account())
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.forge.call(self.account(), Method::POST, path, &body).await
    }

    /// Posts to a repository of the account.
    async fn post_to(&self, name: &str, path: &str, body: Value) -> Result<Value> {
        self.post(&format!("repos/{}/{path}", self.repository(name)), body).await
    }

    /// Creates a private repository whose default branch has a commit; answers its commit.
    async fn create(&self, name: &str, branch: &str) -> Result<String> {
        let repository = json!({"name": name, "private": true, "default_branch": branch});
        self.post("user/repos", repository).await?;
        self.commit(name, "a.txt", json!({"branch": branch})).await
    }

    /// Adds a file; answers the commit. `more` says on which branch.
    async fn commit(&self, name: &str, file: &str, more: Value) -> Result<String> {
        let mut body = json!({"content": "eA==", "message": format!("write {file}")});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.post_to(name, &format!("contents/{file}"), body).await?;
        Ok(made.text("/commit/sha").to_owned())
    }

    /// Makes an access token that reads repositories.
    async fn token(&self, name: &str) -> Result<String> {
        let token = json!({"name": name, "scopes": ["read:repository"]});
        let made = self.post(&format!("users/{}/tokens", self.account()), token).await?;
        Ok(made.text("/sha1").to_owned())
    }

    /// Applies Secret `git`.
    async fn secret(&self, data: Value) -> Result<()> {
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"}, "stringData": data});
        // Keys that are gone shall be gone.
        self.test.kubectl(&["delete", "secret", "git", "--ignore-not-found"])?;
        self.test.apply(&secret.to_string()).await
    }

    /// Applies Secret `git` with the name and the password of the account.
    async fn password(&self) -> Result<()> {
        self.secret(json!({"username": self.account(), "password": PASSWORD})).await
    }

    /// Applies GitRepository `name` with Secret `git` and these fields of spec; null takes one away.
    async fn source(&self, name: &str, url: &str, more: Value) -> Result<()> {
        let mut spec = json!({"interval": "1h", "url": url, "secretRef": {"name": "git"}});
        let fields = spec.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        fields.retain(|_, value| !value.is_null());
        let source = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": name}, "spec": spec,
        });
        self.test.apply(&source.to_string()).await
    }

    /// Waits until GitRepository `name` holds a revision and is ready.
    async fn holds(&self, name: &str, revision: &str) -> Result<Value> {
        let has = |o: &Value| o.is_ready() && o.text("/status/artifact/revision") == revision;
        self.test.until(&format!("GitRepository/{name}"), &format!("holds {revision}"), has).await
    }

    /// Waits until GitRepository `name` has failed to fetch, and says so.
    async fn fails(&self, name: &str, reason: &str, message: &str) -> Result<()> {
        let name = format!("GitRepository/{name}");
        self.test.condition(&name, "FetchFailed", "True", reason, message).await?;
        self.test.condition(&name, "Ready", "False", reason, message).await.map(drop)
    }

    /// Clones a repository of the account into `folder`, as its owner does.
    fn clone(&self, name: &str, folder: &Path) -> Result<()> {
        let url = self.forge.url_for(self.account(), &self.repository(name));
        git(folder.parent().unwrap(), &["clone", "-q", &url, folder.to_str().unwrap()]).map(drop)
    }

    /// Pushes a submodule to branch main of a repository; answers the commit.
    fn add_submodule(&self, name: &str, path: &str, url: &str, commit: &str) -> Result<String> {
        let temp = temp_folder("clone")?;
        let work = temp.path().join(name);
        self.clone(name, &work)?;
        let module = format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n");
        std::fs::write(work.join(".gitmodules"), module)?;
        git(&work, &["add", "-A"])?;
        git(&work, &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")])?;
        git(&work, &["commit", "-q", "-m", "submodule"])?;
        git(&work, &["push", "-q", "origin", "main"])?;
        git(&work, &["rev-parse", "HEAD"])
    }
}

/// On branch main.
fn main_branch() -> Value {
    json!({"ref": {"branch": "main"}})
}
