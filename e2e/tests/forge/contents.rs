//! What is fetched: references as the forge makes them, pushes, wikis, submodules.

use anyhow::Result;
use e2e::artifact::artifact_entries;
use e2e::process::temp_folder;
use e2e::repository::git;
use serde_json::json;

use crate::{Interop, main_branch};

#[tokio::test(flavor = "multi_thread")]
async fn references_that_the_forge_makes_are_fetched() -> Result<()> {
    let it = Interop::new("refs").await?;
    let first = it.create("app", "main").await?;
    it.post_to("app", "tags", json!({"tag_name": "v1.0.0", "target": "main"})).await?;
    let second = it.commit("app", "b.txt", json!({"branch": "main"})).await?;
    let annotated = json!({"tag_name": "v1.1.0", "target": "main", "message": "annotated"});
    it.post_to("app", "tags", annotated).await?;
    let third = it.commit("app", "c.txt", json!({"branch": "main", "new_branch": "feature/x"})).await?;
    let pull = json!({"head": "feature/x", "base": "main", "title": "more"});
    assert_eq!(it.post_to("app", "pulls", pull).await?["number"], 1);
    let old = it.create("old", "master").await?;
    it.password().await?;
    let cases = [
        ("app", "branch", json!({"branch": "feature/x"}), format!("feature/x@sha1:{third}")),
        ("app", "tag", json!({"tag": "v1.0.0"}), format!("v1.0.0@sha1:{first}")),
        ("app", "annotated", json!({"tag": "v1.1.0"}), format!("v1.1.0@sha1:{second}")),
        ("app", "semver", json!({"semver": ">=1.0.0"}), format!("v1.1.0@sha1:{second}")),
        ("app", "pull", json!({"name": "refs/pull/1/head"}), format!("refs/pull/1/head@sha1:{third}")),
        ("app", "commit", json!({"commit": first}), format!("sha1:{first}")),
        ("app", "in-branch", json!({"branch": "main", "commit": first}), format!("main@sha1:{first}")),
        ("old", "default", json!({}), format!("master@sha1:{old}")),
    ];
    for (repository, name, reference, _) in &cases {
        it.source(name, &it.forge.url(&it.repository(repository)), json!({"ref": reference})).await?;
    }
    for (_, name, _, revision) in &cases {
        it.holds(name, revision).await?;
    }
    // A pull request that gets another commit is followed.
    let fourth = it.commit("app", "d.txt", json!({"branch": "feature/x"})).await?;
    it.test.request("GitRepository/pull").await?;
    let pull = it.holds("pull", &format!("refs/pull/1/head@sha1:{fourth}")).await?;
    assert_eq!(artifact_entries(&pull).await?, [".", "a.txt", "b.txt", "c.txt", "d.txt"]);
    it.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_fetched_when_it_is_asked_for() -> Result<()> {
    let it = Interop::new("push").await?;
    let first = it.create("app", "main").await?;
    it.password().await?;
    it.source("app", &it.forge.url(&it.repository("app")), main_branch()).await?;
    it.holds("app", &format!("main@sha1:{first}")).await?;
    let temp = temp_folder("clone")?;
    let work = temp.path().join("app");
    it.clone("app", &work)?;
    for n in 0..3 {
        std::fs::write(work.join(format!("{n}.txt")), "x")?;
        git(&work, &["add", "-A"])?;
        git(&work, &["commit", "-q", "-m", "more"])?;
        git(&work, &["push", "-q", "origin", "main"])?;
        it.test.request("GitRepository/app").await?;
        it.holds("app", &format!("main@sha1:{}", git(&work, &["rev-parse", "HEAD"])?)).await?;
    }
    // History that was rewritten, to something that was fetched before.
    git(&work, &["push", "-q", "--force", "origin", &format!("{first}:main")])?;
    it.test.request("GitRepository/app").await?;
    let app = it.holds("app", &format!("main@sha1:{first}")).await?;
    assert_eq!(artifact_entries(&app).await?, [".", "a.txt"]);
    it.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiki_is_a_repository() -> Result<()> {
    let it = Interop::new("wiki").await?;
    it.create("app", "main").await?;
    it.password().await?;
    // Before its first page there is none.
    let url = it.forge.url(&it.repository("app.wiki"));
    it.source("app", &url, main_branch()).await?;
    it.fails("app", "GitOperationFailed", "failed to checkout and determine revision: ").await?;
    it.post_to("app", "wiki/new", json!({"title": "Home", "content_base64": "eA=="})).await?;
    let branches = git(
        temp_folder("wiki")?.path(),
        &["ls-remote", &it.forge.url_for(it.account(), &it.repository("app.wiki"))],
    )?;
    let (commit, branch) = branches.lines().find_map(|l| l.split_once("\trefs/heads/")).unwrap();
    it.source("app", &url, json!({"ref": {"branch": branch}})).await?;
    let app = it.holds("app", &format!("{branch}@sha1:{commit}")).await?;
    assert_eq!(artifact_entries(&app).await?, [".", "Home.md"]);
    it.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_beside_the_repository_is_fetched_as_its_owner() -> Result<()> {
    let it = Interop::new("submodule").await?;
    it.create("app", "main").await?;
    let library = it.create("library", "main").await?;
    let commit = it.add_submodule("app", "lib", "../library.git", &library)?;
    it.secret(json!({"username": it.account(), "password": it.token("reader").await?})).await?;
    let submodules = json!({"ref": {"branch": "main"}, "recurseSubmodules": true});
    it.source("app", &it.forge.url(&it.repository("app")), submodules).await?;
    let app = it.holds("app", &format!("main@sha1:{commit}")).await?;
    assert_eq!(artifact_entries(&app).await?, [".", "a.txt", "lib", "lib/a.txt"]);
    it.test.finish().await
}
