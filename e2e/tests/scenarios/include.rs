//! `spec.include`: artifacts of other sources inside an artifact.

use std::fs;

use anyhow::Result;
use e2e::artifact::artifact_entries;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use serde_json::{Value, json};

/// GitRepository `name` for a repository of the test's server, with further lines of spec, indented by two.
fn source(test: &Scenario, name: &str, repository: &str, more: &str) -> String {
    let url = test.git.url(repository);
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: {name}}}\n\
         spec:\n  interval: 1h\n  url: {url}\n  ref: {{branch: main}}\n{more}\n"
    )
}

/// What a status says about one included artifact.
fn included(object: &Value, index: usize) -> (String, String) {
    let field = |name: &str| object.text(&format!("/status/includedArtifacts/{index}/{name}")).to_owned();
    (field("revision"), field("digest"))
}

#[tokio::test(flavor = "multi_thread")]
async fn includes_are_merged_into_the_artifact_and_wake_it_when_they_change() -> Result<()> {
    let test = Scenario::new("include").await?;
    let (lib, base) = (test.git.create("lib")?, test.git.create("base")?);
    for (repo, files) in [
        (&test.repo, &["apps/z.yaml", "apps.yaml", "logo.png"][..]),
        (&lib, &["charts/one/values.yaml", "charts/two.yaml", "readme.md"]),
        (&base, &["b.yaml", "deploy/.sourceignore", "deploy/kept.yaml", "deploy/secret.txt"]),
    ] {
        for file in files {
            repo.write(file, "x: y")?;
        }
    }
    base.write("deploy/.sourceignore", "*.txt\n")?;
    test.repo.commit("files")?;
    lib.commit("files")?;
    base.commit("files")?;
    test.apply(&source(&test, "lib", "lib", "")).await?;
    test.apply(&source(&test, "base", "base", "  ignore: 'b.yaml'")).await?;
    let (lib_object, base_object) =
        (test.ready("GitRepository/lib").await?, test.ready("GitRepository/base").await?);
    test.apply(&source(
        &test,
        "app",
        "app",
        "  include:\n  - {repository: {name: lib}, fromPath: charts, toPath: apps/lib}\n  \
         - {repository: {name: base}}",
    ))
    .await?;
    let app = test.ready("GitRepository/app").await?;
    let artifact = |object: &Value| {
        let field = |name: &str| object.text(&format!("/status/artifact/{name}")).to_owned();
        (field("revision"), field("digest"))
    };
    assert_eq!(included(&app, 0), artifact(&lib_object));
    assert_eq!(included(&app, 1), artifact(&base_object));
    assert_eq!(app["status"]["observedInclude"], app["spec"]["include"]);
    // The rules that came with `base` are the only ones, so that the picture stays.
    assert_eq!(
        artifact_entries(&app).await?,
        [
            ".",
            "apps",
            "apps/lib",
            "apps/lib/one",
            "apps/lib/one/values.yaml",
            "apps/lib/two.yaml",
            "apps/z.yaml",
            "apps.yaml",
            "base",
            "base/deploy",
            "base/deploy/.sourceignore",
            "base/deploy/kept.yaml",
            "logo.png",
        ]
    );

    // Polled once an hour: only the watch can have told.
    let commit = lib.commit_file("charts/three.yaml", "x: y")?;
    test.request("GitRepository/lib").await?;
    let app = test
        .until("GitRepository/app", "has the new commit of lib", |o| {
            o.is_ready() && included(o, 0).0.ends_with(&commit)
        })
        .await?;
    assert!(artifact_entries(&app).await?.contains(&"apps/lib/three.yaml".to_owned()));
    assert_eq!(app.condition("ArtifactOutdated"), None);
    // Without includes the artifact is what it was before.
    test.patch("GitRepository/app", &json!({"spec": {"include": null}})).await?;
    let app = test
        .until("GitRepository/app", "includes nothing", |o| {
            o.is_ready() && o["status"]["includedArtifacts"].is_null()
        })
        .await?;
    assert_eq!(artifact_entries(&app).await?, [".", "apps", "apps/z.yaml", "apps.yaml"]);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_include_that_is_missing_is_waited_for() -> Result<()> {
    let test = Scenario::new("include-wait").await?;
    test.repo.commit_file("a.txt", "one")?;
    test.apply(&test.source_yaml("1h", "  include: [{repository: {name: lib}}]")).await?;
    let text =
        "could not get resource for include 'lib': GitRepository.source.toolkit.fluxcd.io \"lib\" not found";
    test.condition("GitRepository/app", "IncludeUnavailable", "True", "NotFound", text).await?;
    let app = test.condition("GitRepository/app", "Ready", "False", "NotFound", text).await?;
    assert_eq!(app.message, text);
    // A repository without a commit: there is a source, and no artifact.
    let lib = test.git.create("lib")?;
    test.apply(&source(&test, "lib", "lib", "")).await?;
    let text = "no artifact available for include 'lib'";
    test.condition("GitRepository/app", "IncludeUnavailable", "True", "NoArtifact", text).await?;
    lib.commit_file("b.txt", "two")?;
    test.request("GitRepository/lib").await?;
    let app = test.ready("GitRepository/app").await?;
    assert_eq!(app.condition("IncludeUnavailable"), None);
    assert_eq!(artifact_entries(&app).await?, [".", "a.txt", "lib", "lib/b.txt"]);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_include_stays_within_both_trees_and_overwrites_no_directory() -> Result<()> {
    let test = Scenario::new("include-paths").await?;
    test.repo.commit_file("taken/a.txt", "one")?;
    let lib = test.git.create("lib")?;
    lib.write("path/f", "x")?;
    lib.write("file", "x")?;
    lib.commit("files")?;
    test.apply(&source(&test, "lib", "lib", "")).await?;
    test.ready("GitRepository/lib").await?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    let set = async |includes: Value| {
        test.patch("GitRepository/app", &json!({"spec": {"include": includes}})).await.map(drop)
    };
    let lib = |from: &str, to: &str| json!({"repository": {"name": "lib"}, "fromPath": from, "toPath": to});
    for (includes, reason, message) in [
        (
            json!([lib("../../../nowhere", "x")]),
            "CopyFailure",
            "failed to copy 'lib' include from ../../../nowhere to x: no such file or directory",
        ),
        (
            json!([lib("", "taken")]),
            "CopyFailure",
            "failed to copy 'lib' include from  to taken: file exists",
        ),
        (json!([lib("", "../..")]), "CopyFailure", "from  to ../..: file exists"),
        (json!([lib("", "taken/a.txt/x")]), "CopyFailure", "not a directory"),
        (json!([lib("", "x"), lib("", "x/path")]), "CopyFailure", "from  to x/path: file exists"),
        (json!([lib("", "x/y"), lib("", "x")]), "CopyFailure", "from  to x: file exists"),
        (json!([lib("", "a\\b")]), "IllegalPath", "path calculation for include 'lib' failed: "),
    ] {
        set(includes).await?;
        let kind = "StorageOperationFailed";
        test.condition("GitRepository/app", kind, "True", reason, message).await?;
    }
    set(json!([
        lib("../../../path", "../x"),
        lib("", "x/inner"),
        lib("file", "taken/a.txt"),
        lib("file", "new/file"),
    ]))
    .await?;
    let app = test.ready("GitRepository/app").await?;
    assert_eq!(
        artifact_entries(&app).await?,
        [
            ".",
            "new",
            "new/file",
            "taken",
            "taken/a.txt",
            "x",
            "x/f",
            "x/inner",
            "x/inner/file",
            "x/inner/path",
            "x/inner/path/f",
        ]
    );
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_include_each_other_come_to_rest() -> Result<()> {
    let test = Scenario::with_own_controllers("include-cycle", &[]).await?;
    let other = test.git.create("other")?;
    test.repo.commit_file("a.txt", "one")?;
    other.commit_file("b.txt", "one")?;
    test.apply_source().await?;
    test.apply(&source(&test, "other", "other", "")).await?;
    test.ready("GitRepository/app").await?;
    test.ready("GitRepository/other").await?;
    // Not in the cycle: it is woken by each new artifact of those in it.
    let both = "  include: [{repository: {name: app}}, {repository: {name: other}}]";
    test.apply(&source(&test, "outside", "app", both)).await?;
    for (one, another) in [("app", "other"), ("other", "app")] {
        let include = json!({"spec": {"include": [{"repository": {"name": another}}]}});
        test.patch(&format!("GitRepository/{one}"), &include).await?;
        test.until(&format!("GitRepository/{one}"), "holds the other", |o| {
            o.is_ready() && !included(o, 0).0.is_empty()
        })
        .await?;
    }
    test.run("GitRepository/app").await?;
    test.ready("GitRepository/app").await?;
    let digests = async || -> Result<[Value; 2]> {
        let digest = async |name: &str| {
            Ok::<_, anyhow::Error>(test.get(name).await?["status"]["artifact"]["digest"].clone())
        };
        Ok([digest("GitRepository/app").await?, digest("GitRepository/other").await?])
    };
    let before = digests().await?;
    test.until("GitRepository/outside", "holds both", |o| {
        o.is_ready() && [0, 1].map(|index| included(o, index).1) == before.each_ref().map(|d| d.text(""))
    })
    .await?;
    test.idle().await?;
    assert_eq!(digests().await?, before, "they go on only when they are polled");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_include_whose_file_is_damaged_is_not_copied() -> Result<()> {
    let test = Scenario::new("include-damage").await?;
    test.repo.commit_file("a.txt", "one")?;
    test.git.create("lib")?.commit_file("b.txt", "one")?;
    test.apply(&source(&test, "lib", "lib", "")).await?;
    let lib = test.ready("GitRepository/lib").await?;
    let file = test.pair()?.source.storage().join(lib.text("/status/artifact/path"));
    fs::write(&file, "something else")?;
    test.apply(&test.source_yaml("1h", "  include: [{repository: {name: lib}}]")).await?;
    let text = "no artifact available for include 'lib'";
    test.condition("GitRepository/app", "IncludeUnavailable", "True", "NoArtifact", text).await?;
    test.run("GitRepository/lib").await?;
    test.ready("GitRepository/app").await?;
    test.finish().await
}
