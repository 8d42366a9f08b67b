//! Object caches that sources share, and Git servers that let everybody wait.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::artifact::artifact_entries;
use e2e::git_server::{Asked, Fault, GitServer};
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::wait::{Not, not_yet};
use serde_json::json;

fn source(name: &str, url: &str, more: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: {name}}}\n\
         spec:\n  interval: 1h\n  url: {url}\n  ref: {{branch: main}}\n{more}\n"
    )
}

/// The object caches in a storage folder with the sources that use them.
fn caches(storage: &Path) -> Result<Vec<(PathBuf, Vec<String>)>> {
    let mut caches = Vec::new();
    for entry in fs::read_dir(storage.join(".cache/git"))? {
        let folder = entry?.path();
        if let Ok(owners) = fs::read_to_string(folder.join("owners")) {
            let mut owners: Vec<String> = owners.lines().map(str::to_owned).collect();
            owners.sort();
            caches.push((folder, owners));
        }
    }
    Ok(caches)
}

/// The cache that a source uses, and all who use it.
fn cache_of(test: &Scenario, name: &str) -> Result<(PathBuf, Vec<String>)> {
    let owner = format!("{}/{name}", test.namespace);
    let all = caches(&test.pair()?.source.storage())?;
    all.into_iter().find(|(_, owners)| owners.contains(&owner)).context("no cache")
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_with_the_same_url_and_credentials_share_one_cache() -> Result<()> {
    let test = Scenario::new("sharing").await?;
    test.repo.commit_file("a.txt", "one")?;
    let url = test.git.url("app");
    for name in ["one", "two", "three"] {
        test.apply(&source(name, &url, "")).await?;
    }
    for name in ["one", "two", "three"] {
        let object = test.ready(&format!("GitRepository/{name}")).await?;
        assert_eq!(artifact_entries(&object).await?, [".", "a.txt"]);
    }
    let fetched = test.git.take_requests().into_iter().filter(|asked| *asked == Asked::Objects).count();
    assert_eq!(fetched, 1);
    let (shared, owners) = cache_of(&test, "one")?;
    let names = |names: &[&str]| names.iter().map(|n| format!("{}/{n}", test.namespace)).collect::<Vec<_>>();
    assert_eq!(owners, names(&["one", "three", "two"]));

    // Who has credentials shares with those who have the same.
    let secret = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"username": "alice", "password": "s3cret"},
        })
    };
    for (name, secret_name) in [("four", "first"), ("five", "second")] {
        test.apply(&secret(secret_name).to_string()).await?;
        test.apply(&source(name, &url, &format!("  secretRef: {{name: {secret_name}}}"))).await?;
        test.ready(&format!("GitRepository/{name}")).await?;
    }
    let (private, owners) = cache_of(&test, "four")?;
    assert_ne!(private, shared);
    assert_eq!(owners, names(&["five", "four"]));

    // It goes with the last one.
    for (name, left) in [("one", true), ("two", true), ("three", false)] {
        test.kubectl(&["delete", "--wait=false", &format!("gitrepository/{name}")])?;
        test.gone(&format!("GitRepository/{name}")).await?;
        assert_eq!(shared.exists(), left, "{name}");
    }
    // Another URL is another cache, and the old one goes.
    let other = test.git.create("other")?;
    other.commit_file("b.txt", "one")?;
    test.kubectl(&["delete", "--wait=false", "gitrepository/five"])?;
    test.gone("GitRepository/five").await?;
    test.patch("GitRepository/four", &json!({"spec": {"url": test.git.url("other")}})).await?;
    let four = test.ready("GitRepository/four").await?;
    assert_eq!(artifact_entries(&four).await?, [".", "b.txt"]);
    assert!(!private.exists());
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_run_sees_what_was_pushed_before_it_however_many_share() -> Result<()> {
    let test = Scenario::new("sharing-fresh").await?;
    test.repo.commit_file("a.txt", "0")?;
    let url = test.git.url("app");
    for name in ["one", "two"] {
        test.apply(&source(name, &url, "")).await?;
        test.ready(&format!("GitRepository/{name}")).await?;
    }
    for i in 1..6 {
        let commit = test.repo.commit_file("a.txt", &i.to_string())?;
        for name in ["GitRepository/one", "GitRepository/two"] {
            let object = test.run(name).await?;
            assert!(object.text("/status/artifact/revision").ends_with(&commit), "{name}: {i}");
        }
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_no_cache_behind_and_a_damaged_one_is_replaced() -> Result<()> {
    let mut test = Scenario::with_own_controllers("sharing-crash", &[]).await?;
    test.repo.commit_file("a.txt", "one")?;
    test.apply_source().await?;
    let before = test.ready("GitRepository/app").await?;
    let (cache, _) = cache_of(&test, "app")?;
    test.own()?.source.kill();
    let storage = test.own()?.source.storage();
    let orphan = storage.join(".cache/git").join("0".repeat(64));
    fs::create_dir_all(orphan.join("content"))?;
    fs::write(orphan.join("owners"), format!("{}/gone\n", test.namespace))?;
    let packs = cache.join("content/0/objects/pack");
    for entry in fs::read_dir(&packs)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "pack") {
            let mut bytes = fs::read(&path)?;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            fs::remove_file(&path)?;
            fs::write(&path, bytes)?;
        }
    }
    fs::remove_file(storage.join(before.text("/status/artifact/path")))?;
    test.own()?.source.restart().await?;
    test.wait("the orphan is swept", async || {
        if orphan.exists() { Err(Not::Yet("the orphan is still there".into())) } else { Ok(()) }
    })
    .await?;
    let file = storage.join(before.text("/status/artifact/path"));
    test.wait("the artifact is stored anew", async || {
        if file.exists() { Ok(()) } else { Err(Not::Yet("no artifact".into())) }
    })
    .await?;
    let after = test.ready("GitRepository/app").await?;
    assert_eq!(after["status"]["artifact"]["digest"], before["status"]["artifact"]["digest"]);
    assert_eq!(artifact_entries(&after).await?, [".", "a.txt"]);
    assert!(test.own()?.source.log_text().contains("object cache is damaged"));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_keeps_nobody_else_waiting() -> Result<()> {
    // Two workers, which is the default.
    let test = Scenario::with_own_controllers("hung", &[]).await?;
    let hung = GitServer::start().await?;
    hung.set_fault(Fault::Silent);
    // More than there are workers, and fewer than a namespace may ask one host for.
    let count = 6;
    for i in 0..count {
        test.apply(&source(&format!("hung-{i}"), &hung.url(&i.to_string()), "")).await?;
    }
    test.wait("the hung server is asked", async || {
        let asked = hung.take_requests().len();
        if asked > 0 { Ok(()) } else { Err(Not::Yet("nobody asked".into())) }
    })
    .await?;
    for i in 0..count {
        let repository = test.git.create(&format!("healthy-{i}"))?;
        repository.commit_file("a.txt", "one")?;
        test.apply(&source(&format!("healthy-{i}"), &test.git.url(&format!("healthy-{i}")), "")).await?;
    }
    for i in 0..count {
        test.ready(&format!("GitRepository/healthy-{i}")).await?;
    }
    // Not one has given up by then.
    for i in 0..count {
        let object = test.get(&format!("GitRepository/hung-{i}")).await?;
        assert_eq!(object.condition("FetchFailed"), None, "{object}");
        assert_eq!(object.condition("Reconciling").context("not reconciling")?.status, "True");
    }
    // One that was waiting goes at once when it is deleted.
    test.kubectl(&["delete", "--wait=false", "gitrepository/hung-3"])?;
    test.gone("GitRepository/hung-3").await?;
    let object = test.get("GitRepository/hung-4").await?;
    assert_eq!(object.condition("FetchFailed"), None);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_silent_for_too_long_is_a_failure_and_tried_again() -> Result<()> {
    let test = Scenario::new("silent").await?;
    let commit = test.repo.commit_file("a.txt", "one")?;
    test.git.set_fault(Fault::Silent);
    test.apply(&test.source_yaml("1h", "  timeout: 2s")).await?;
    let text = "context deadline exceeded";
    test.condition("GitRepository/app", "FetchFailed", "True", "GitOperationFailed", text).await?;
    test.git.set_fault(Fault::None);
    let app = test.ready("GitRepository/app").await?;
    assert!(app.text("/status/artifact/revision").ends_with(&commit));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_waits_for_its_server_is_one_pass_to_those_who_watch() -> Result<()> {
    let test = Scenario::new("outlast").await?;
    let source = "GitRepository/app";
    test.repo.write("a.txt", "one")?;
    test.repo.commit("one")?;
    test.apply_source().await?;
    let before = test.ready(source).await?;
    let namespace = format!("namespace=\"{}\"", test.namespace);
    let labels = ["kind=\"GitRepository\"", "name=\"app\"", &namespace];
    let controller = &test.pair()?.source;
    let (count, sum) = ("gotk_reconcile_duration_seconds_count", "gotk_reconcile_duration_seconds_sum");
    let passes_after = async |passes: f64| {
        test.wait("the pass is over", async || match controller.metric(count, &labels).await {
            Ok(now) if now > passes => Ok(now),
            Ok(_) => Err(Not::Yet("it is not over".into())),
            Err(error) => Err(not_yet(error)),
        })
        .await
    };
    let (passes, seconds) = (passes_after(0.0).await?, controller.metric(sum, &labels).await?);

    // Longer than a worker waits. The artifact is made anew, and is the same.
    test.git.set_fault(Fault::Slow(Duration::from_secs(1)));
    fs::remove_file(controller.storage().join(before.text("/status/artifact/path")))?;
    test.run(source).await?;
    let after = test.ready(source).await?;
    assert_eq!(after["status"]["artifact"]["digest"], before["status"]["artifact"]["digest"]);
    assert_eq!(passes_after(passes).await? - passes, 1.0);
    assert!(controller.metric(sum, &labels).await? - seconds >= 1.0, "the server took as long");

    // So it is no news; the next commit is.
    test.git.set_fault(Fault::None);
    test.repo.write("a.txt", "two")?;
    test.repo.commit("two")?;
    test.run(source).await?;
    test.event(source, "Normal", "NewArtifact", "'two'").await?;
    let events = test.objects.events(&test.id(source)?).await?;
    let told = events.iter().filter(|event| event.text("/reason") == "NewArtifact");
    assert_eq!(told.map(|event| event["count"].as_i64().unwrap_or_default()).sum::<i64>(), 2, "{events:#?}");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_deleted_while_no_controller_runs_leaves_no_cache() -> Result<()> {
    let mut test = Scenario::with_own_controllers("sharing-down", &[]).await?;
    test.repo.commit_file("a.txt", "one")?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    let (cache, _) = cache_of(&test, "app")?;
    test.own()?.source.kill();
    test.objects.delete(&test.id("GitRepository/app")?).await?;
    test.own()?.source.restart().await?;
    test.gone("GitRepository/app").await?;
    test.idle().await?;
    assert!(!cache.exists(), "{}", cache.display());
    test.finish().await
}
