//! `spec.recurseSubmodules`: other repositories in directories of the tree.

use anyhow::Result;
use e2e::artifact::artifact_entries;
use e2e::objects::Look;
use e2e::repository::Repository;
use e2e::scenario::Scenario;
use serde_json::json;

/// Adds a submodule, as `git submodule add` would.
fn add(to: &Repository, path: &str, url: &str, commit: &str) -> Result<String> {
    to.git(&["config", "-f", ".gitmodules", &format!("submodule.{path}.path"), path])?;
    to.git(&["config", "-f", ".gitmodules", &format!("submodule.{path}.url"), url])?;
    to.git(&["add", ".gitmodules"])?;
    to.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")])?;
    to.git(&["commit", "-q", "-m", "submodule"])?;
    to.git(&["push", "-q", "origin", "HEAD"])?;
    to.head()
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_are_in_the_artifact_when_they_are_asked_for() -> Result<()> {
    let test = Scenario::new("submodules").await?;
    let (lib, inner) = (test.git.create("lib")?, test.git.create("inner")?);
    let inner_commit = inner.commit_file("inner.yaml", "x: y")?;
    lib.write("lib.yaml", "x: y")?;
    lib.write("secret.txt", "x")?;
    lib.write(".sourceignore", "*.txt\n")?;
    lib.commit("files")?;
    let lib_commit = add(&lib, "nested", "../inner.git", &inner_commit)?;
    test.repo.commit_file("kept.txt", "x: y")?;
    let commit = add(&test.repo, "vendor/lib", &test.git.url("lib"), &lib_commit)?;
    test.apply(&test.source_yaml("1h", "")).await?;
    let app = test.ready("GitRepository/app").await?;
    assert_eq!(artifact_entries(&app).await?, [".", "kept.txt", "vendor", "vendor/lib"]);
    test.patch("GitRepository/app", &json!({"spec": {"recurseSubmodules": true}})).await?;
    let app = test.ready("GitRepository/app").await?;
    assert_eq!(app["status"]["observedRecurseSubmodules"], true);
    assert_eq!(app.text("/status/artifact/revision"), format!("main@sha1:{commit}"));
    let all = [
        ".",
        "kept.txt",
        "vendor",
        "vendor/lib",
        "vendor/lib/.sourceignore",
        "vendor/lib/lib.yaml",
        "vendor/lib/nested",
        "vendor/lib/nested/inner.yaml",
    ];
    assert_eq!(artifact_entries(&app).await?, all);
    // A named commit has its submodules too.
    test.patch("GitRepository/app", &json!({"spec": {"ref": {"commit": commit}}})).await?;
    assert_eq!(artifact_entries(&test.ready("GitRepository/app").await?).await?, all);
    // With a sparse checkout they stay out.
    test.patch("GitRepository/app", &json!({"spec": {"sparseCheckout": ["vendor"]}})).await?;
    let app = test.ready("GitRepository/app").await?;
    assert_eq!(artifact_entries(&app).await?, [".", "vendor", "vendor/lib"]);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_that_cannot_be_had_is_named() -> Result<()> {
    let test = Scenario::new("submodule-faults").await?;
    test.repo.commit_file("a.txt", "x")?;
    for (url, message) in [
        ("../nowhere.git", "failed to checkout and determine revision: submodule 'lib': unable to clone '"),
        (
            "ext::sh -c id",
            "failed to checkout and determine revision: submodule 'lib': URL \"ext::sh -c id\": ",
        ),
    ] {
        add(&test.repo, "lib", url, &"1".repeat(40))?;
        test.apply(&test.source_yaml("1h", "  recurseSubmodules: true")).await?;
        test.request("GitRepository/app").await?;
        test.condition("GitRepository/app", "FetchFailed", "True", "GitOperationFailed", message).await?;
    }
    test.finish().await
}
