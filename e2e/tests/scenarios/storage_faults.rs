//! A storage that is full, empty, damaged, shared or not to be written, and a process that dies while it stores: no
//! torn file is ever served, the last good artifact stays, and what is lost is made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::artifact::{digest, download};
use e2e::controller::Controller;
use e2e::failing_writes::FailingWrites;
use e2e::objects::{Look, documents};
use e2e::process::Signal;
use e2e::scenario::{LIMIT, SHARD, Scenario, Settings};
use e2e::testkit::{config_map, files};
use e2e::wait::{self, Not};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const ARCHIVE_FAILED: &str = "ArchiveOperationFailed";
const GIT_FAILED: &str = "GitOperationFailed";

/// Text that cannot be compressed much.
fn noise(bytes: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), bytes)
}

/// Waits until `app` holds the commit and serves it.
async fn holds(test: &Scenario, commit: &str) -> Result<Value> {
    let source = test
        .until("GitRepository/app", &format!("holds {commit}"), |o| {
            o.is_ready() && o.text("/status/artifact/revision").ends_with(commit)
        })
        .await?;
    download(&source).await?;
    Ok(source)
}

/// No file is left that was being written.
fn no_temporary_file(storage: &Path) {
    let cache = |name: &str| {
        matches!(name, "complete" | "shallow" | "verified" | "lock" | "owners" | "key" | ".lock")
    };
    let known = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        cache(&name) || [".tar.gz", ".lock", ".pack", ".idx"].iter().any(|end| name.ends_with(end))
    };
    let odd: Vec<_> = files(storage).into_iter().filter(|path| !known(path)).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_the_last_artifact_and_is_made_good_when_there_is_room() -> Result<()> {
    let mut test = Scenario::with_own_controllers("disk-full", &[]).await?;
    let commit = test.repo.commit_file("a.txt", "small")?;
    test.apply_source().await?;
    let before = holds(&test, &commit).await?;
    let unchanged = async |test: &Scenario| {
        let during = test.get("GitRepository/app").await?;
        assert_eq!(during["status"]["artifact"], before["status"]["artifact"]);
        download(&during).await.map(drop)
    };
    // Nearly equal files: little to fetch, much to store.
    test.own()?.source.limit_file_size(Some(1 << 20))?;
    let base = noise(100_000);
    for i in 0..30 {
        test.repo.write(&format!("big/{i}.txt"), &format!("{i}\n{base}"))?;
    }
    let commit = test.repo.commit("much to store")?;
    test.request("GitRepository/app").await?;
    let text = "unable to archive artifact to storage";
    let (kind, reason) = ("StorageOperationFailed", "ArchiveOperationFailed");
    test.condition("GitRepository/app", kind, "True", reason, text).await?;
    test.condition("GitRepository/app", "Ready", "False", reason, text).await?;
    test.event("GitRepository/app", "Warning", reason, text).await?;
    unchanged(&test).await?;
    // More to fetch than there is room for.
    test.repo.remove("big")?;
    test.repo.commit_file("noise.txt", &noise(3_000_000))?;
    test.request("GitRepository/app").await?;
    test.condition("GitRepository/app", "Ready", "False", "GitOperationFailed", "").await?;
    unchanged(&test).await?;
    let small = test.repo.git(&["checkout", "-q", &commit, "--", "big"]).is_ok();
    ensure!(small, "the files are back");
    let commit = test.repo.commit("all of it")?;
    test.own()?.source.limit_file_size(None)?;
    // Nobody has to say so; but the back-off may have grown.
    test.request("GitRepository/app").await?;
    let after = holds(&test, &commit).await?;
    assert_eq!(after.condition(kind), None);
    no_temporary_file(&test.pair()?.source.storage());
    test.own()?.source.expect_running()?;
    test.finish().await
}

/// What one namespace may store is bounded, so that its artifacts cannot fill the volume of all.
#[tokio::test(flavor = "multi_thread")]
async fn artifacts_beyond_the_share_of_their_namespace_are_refused_until_it_has_room() -> Result<()> {
    let source = &["--namespace-artifact-max-size=150000"];
    let test = Scenario::with_settings("share", Settings { source, ..Settings::default() }).await?;
    // Three quarters of it are bytes of the artifact.
    let commit = test.repo.commit_file("noise.txt", &noise(130_000))?;
    test.apply_source().await?;
    let first = holds(&test, &commit).await?;
    let second = test.source_yaml("1h", "").replace("name: app}", "name: second}");
    test.apply(&second).await?;
    let text = format!(
        "the artifacts of namespace \"{}\" would have more than 150000 bytes (--namespace-artifact-max-size)",
        test.namespace
    );
    let (kind, reason) = ("StorageOperationFailed", ARCHIVE_FAILED);
    test.condition("GitRepository/second", kind, "True", reason, &text).await?;
    download(&first).await?;

    let other = format!("{}-other", test.namespace);
    test.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {other}}}\n")).await?;
    test.apply(
        &test.source_yaml("1h", "").replace("name: app}", &format!("name: app, namespace: {other}}}")),
    )
    .await?;
    test.kubectl(&["wait", "-n", &other, "--for=condition=Ready", "gitrepository/app", "--timeout=2m"])?;

    test.objects.delete(&test.id("GitRepository/app")?).await?;
    test.gone("GitRepository/app").await?;
    // Its back-off may have grown.
    test.request("GitRepository/second").await?;
    let second = test.ready("GitRepository/second").await?;
    assert_eq!(second.condition(kind), None);
    no_temporary_file(&test.pair()?.source.storage());
    test.kubectl(&["delete", "namespace", &other, "--wait=false"])?;
    test.finish().await
}

/// The kernel's own file systems take no files from anybody, root included.
#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_cannot_be_written_is_named_and_ends_nothing() -> Result<()> {
    let test = Scenario::new("read-only").await?;
    let selector = test.selector();
    let mut controller = Controller::start_over(test.cluster, Path::new("/sys/kernel"), &[&selector]).await?;
    test.repo.commit_file("a.txt", "one")?;
    for mut source in documents(&test.source_yaml("1h", ""))? {
        source["metadata"]["labels"] = json!({ SHARD: test.namespace });
        test.objects.apply_one(&source, &test.namespace).await?;
    }
    let failed = |o: &Value| o.condition("Ready").is_some_and(|c| c.status == "False");
    let app = test.until("GitRepository/app", "is not ready", failed).await?;
    let ready = app.condition("Ready").context("it was just seen")?;
    assert!(!ready.message.is_empty() && ready.reason != "Succeeded", "{ready:?}");
    controller.expect_running()?;
    test.objects.delete(&test.id("GitRepository/app")?).await?;
    test.gone("GitRepository/app").await?;
    test.finish().await
}

/// A disk can have room and yet take no further file, and it can turn read-only, as one does that has failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_storage_without_inodes_or_that_turns_read_only_keeps_the_last_artifact_until_it_is_made_good()
-> Result<()> {
    let test = Scenario::new("inodes").await?;
    let selector = test.selector();
    let mut controller = Controller::start_over_own_storage(test.cluster, &[&selector]).await?;
    let mut commit = test.repo.commit_file("a.txt", "first")?;
    for mut source in documents(&test.source_yaml("1h", ""))? {
        source["metadata"]["labels"] = json!({ SHARD: test.namespace });
        test.objects.apply_one(&source, &test.namespace).await?;
    }
    let no_inodes = || {
        let files = rustix::fs::statvfs(&controller.own_view()?)?;
        let options = format!("remount,nr_inodes={}", files.f_files - files.f_ffree);
        controller.mount(&["mount", "-o", &options])
    };
    let read_only = || {
        let storage = controller.storage().display().to_string();
        controller.mount(&["mount", "--bind", &storage])?;
        controller.mount(&["mount", "-o", "remount,bind,ro"])
    };
    let no_inodes: &dyn Fn() -> Result<()> = &no_inodes;
    let more_inodes: &[&str] = &["mount", "-o", "remount,nr_inodes=100000"];
    let faults = [
        ("No space left on device", no_inodes, ARCHIVE_FAILED, more_inodes),
        ("Read-only file system", &read_only, GIT_FAILED, &["umount"]),
    ];
    for (text, fault, reason, mend) in faults {
        let before = holds(&test, &commit).await?;
        fault()?;
        let fails = async |reason: &str| -> Result<Value> {
            let failed = |o: &Value| {
                o.condition("Ready")
                    .is_some_and(|c| c.status == "False" && c.reason == reason && c.message.contains(text))
            };
            let during = test.until("GitRepository/app", &format!("says {reason}, {text}"), failed).await?;
            assert_eq!(during["status"]["artifact"], before["status"]["artifact"]);
            download(&during).await?;
            Ok(during)
        };
        // Nothing to fetch, but another artifact to store. The lock of the cache is a file, too, but there is one.
        test.patch("GitRepository/app", &json!({"spec": {"ignore": format!("# {text}")}})).await?;
        let during = fails(reason).await?;
        let condition = during.condition("StorageOperationFailed").map(|c| c.reason);
        assert_eq!(condition, (reason == ARCHIVE_FAILED).then(|| reason.to_owned()));
        commit = test.repo.commit_file("a.txt", text)?;
        test.request("GitRepository/app").await?;
        fails(GIT_FAILED).await?;
        controller.mount(mend)?;
        test.request("GitRepository/app").await?;
        let after = holds(&test, &commit).await?;
        assert_eq!(after.condition("StorageOperationFailed"), None);
        no_temporary_file(&controller.own_view()?);
    }
    controller.expect_running()?;
    test.finish().await
}

/// Other errors than that of a full disk are met in the same way: what counts is that it is not written.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_and_a_broken_disk_keep_the_last_artifact_until_writes_are_well() -> Result<()> {
    const EDQUOT: i32 = 122;
    const EIO: i32 = 5;
    let writes = FailingWrites::new()?;
    let settings = Settings { environment: &writes.environment(), ..Settings::default() };
    let test = Scenario::with_settings("quota", settings).await?;
    let mut commit = test.repo.commit_file("a.txt", "first")?;
    test.apply_source().await?;
    for (number, text) in [(EDQUOT, "Disk quota exceeded"), (EIO, "Input/output error")] {
        let before = holds(&test, &commit).await?;
        let stays = async || -> Result<()> {
            let during = test.get("GitRepository/app").await?;
            assert_eq!(during["status"]["artifact"], before["status"]["artifact"]);
            download(&during).await.map(drop)
        };
        writes.fail(number)?;
        // Nothing to fetch, but another artifact to store.
        test.patch("GitRepository/app", &json!({"spec": {"ignore": format!("# {text}")}})).await?;
        for kind in ["StorageOperationFailed", "Ready"] {
            let status = if kind == "Ready" { "False" } else { "True" };
            test.condition("GitRepository/app", kind, status, ARCHIVE_FAILED, text).await?;
        }
        stays().await?;
        commit = test.repo.commit_file("a.txt", text)?;
        test.request("GitRepository/app").await?;
        test.condition("GitRepository/app", "Ready", "False", GIT_FAILED, text).await?;
        stays().await?;
        writes.fail(0)?;
        test.request("GitRepository/app").await?;
        let after = holds(&test, &commit).await?;
        assert_eq!(after.condition("StorageOperationFailed"), None);
        no_temporary_file(&test.pair()?.source.storage());
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_was_emptied_is_filled_again_with_the_same_bytes() -> Result<()> {
    let mut test = Scenario::with_own_controllers("emptied", &["--requeue-dependency=2s"]).await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let before = holds(&test, &commit).await?;
    let storage = test.pair()?.source.storage();
    let map = test.get("ConfigMap/map").await?;
    for running in [false, true] {
        if !running {
            test.own()?.source.kill();
        }
        for entry in fs::read_dir(&storage)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        if !running {
            test.own()?.source.restart().await?;
        } else {
            test.run("GitRepository/app").await?;
        }
        // The status still speaks of the artifact from before, until it is there again.
        let source = test
            .wait("the artifact is there again", async || {
                let source = test.get("GitRepository/app").await.map_err(wait::not_yet)?;
                download(&source).await.map_err(wait::not_yet)?;
                if source.is_ready() { Ok(source) } else { Err(Not::Yet("it is not ready".into())) }
            })
            .await?;
        for field in ["digest", "revision", "path", "size"] {
            assert_eq!(source["status"]["artifact"][field], before["status"]["artifact"][field], "{field}");
        }
    }
    test.run("Kustomization/app").await?;
    test.ready("Kustomization/app").await?;
    let after = test.get("ConfigMap/map").await?;
    assert_eq!(
        after["metadata"]["resourceVersion"], map["metadata"]["resourceVersion"],
        "nothing was applied anew"
    );
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_was_damaged_between_two_starts_is_never_served_as_good() -> Result<()> {
    let mut test = Scenario::with_own_controllers("damaged", &[]).await?;
    let commit = test.repo.commit_file("a.txt", &noise(10_000))?;
    test.apply_source().await?;
    let before = holds(&test, &commit).await?;
    let file = test.pair()?.source.storage().join(before.text("/status/artifact/path"));
    let good = fs::read(&file)?;
    let damages: [(&str, &dyn Fn() -> Result<()>); 3] = [
        ("cut off", &|| Ok(fs::write(&file, &good[..good.len() / 2])?)),
        ("one bit is another", &|| {
            let mut bad = good.clone();
            bad[5000] ^= 1;
            let modified = fs::metadata(&file)?.modified()?;
            fs::write(&file, bad)?;
            Ok(fs::File::options().append(true).open(&file)?.set_modified(modified)?)
        }),
        ("a link", &|| {
            fs::remove_file(&file)?;
            Ok(std::os::unix::fs::symlink("/etc/passwd", &file)?)
        }),
    ];
    for (what, damage) in damages {
        test.own()?.source.kill();
        damage()?;
        test.own()?.source.restart().await?;
        test.wait("the artifact is whole again", async || {
            let source = test.get("GitRepository/app").await.map_err(wait::not_yet)?;
            let bytes = download(&source).await.map_err(wait::not_yet)?;
            if bytes == good { Ok(()) } else { Err(Not::Yet("other bytes".into())) }
        })
        .await
        .with_context(|| what.to_owned())?;
        assert!(file.symlink_metadata()?.is_file(), "{what}");
    }
    test.event("GitRepository/app", "Warning", "ArtifactVerificationFailed", "failed to verify integrity")
        .await?;
    test.finish().await
}

/// Killed again and again while it fetches and stores.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_while_it_stores_leaves_nothing_behind() -> Result<()> {
    let mut test = Scenario::with_own_controllers("kill-storing", &[]).await?;
    let mut commit = test.repo.commit_file("a.txt", &noise(400_000))?;
    test.apply_source().await?;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..500))).await;
        test.own()?.source.kill();
        let source = test.get("GitRepository/app").await?;
        if let Some(path) = source.pointer("/status/artifact/path").and_then(Value::as_str) {
            let bytes = fs::read(test.pair()?.source.storage().join(path))?;
            assert_eq!(
                digest(&bytes),
                source.text("/status/artifact/digest"),
                "what a status names is whole"
            );
        }
        commit = test.repo.commit_file("a.txt", &noise(400_000))?;
        test.own()?.source.restart().await?;
        test.request("GitRepository/app").await?;
    }
    holds(&test, &commit).await?;
    // What nobody writes any more is swept at the start.
    let storage = test.pair()?.source.storage();
    let artifact = test.get("GitRepository/app").await?.text("/status/artifact/path").to_owned();
    fs::write(storage.join(format!("{artifact}.Ab12Cd.tmp")), "half a tarball")?;
    test.own()?.source.kill();
    test.own()?.source.restart().await?;
    test.run("GitRepository/app").await?;
    no_temporary_file(&storage);
    test.finish().await
}

/// Begins to read an artifact, slowly.
async fn begin(source: &Value) -> Result<TcpStream> {
    let url: http::Uri = source.text("/status/artifact/url").parse()?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(url.authority().context("no host")?.as_str().parse()?).await?;
    let request = format!("GET {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", url.path());
    stream.write_all(request.as_bytes()).await?;
    let mut first = [0; 16];
    stream.read_exact(&mut first).await?;
    ensure!(first.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&first));
    Ok(stream)
}

/// Reads the rest; answers the digest of the body.
async fn finish(mut stream: TcpStream) -> Result<String> {
    let mut rest = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await??;
    let head = rest.windows(4).position(|w| w == b"\r\n\r\n").context("no end of the head")?;
    Ok(digest(&rest[head + 4..]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_download_ends_well_though_its_artifact_is_collected_or_the_process_told_to_stop() -> Result<()>
{
    let mut test = Scenario::with_own_controllers("slow", &[]).await?;
    // More than fits into the buffers on the way.
    let commit = test.repo.commit_file("a.txt", &noise(6_500_000))?;
    test.apply_source().await?;
    let first = holds(&test, &commit).await?;
    let (slow, slower) = (begin(&first).await?, begin(&first).await?);
    let file = test.pair()?.source.storage().join(first.text("/status/artifact/path"));
    // Of three artifacts two are kept.
    for text in ["two", "three"] {
        let commit = test.repo.commit_file("a.txt", text)?;
        test.request("GitRepository/app").await?;
        holds(&test, &commit).await?;
    }
    test.run("GitRepository/app").await?;
    assert!(!file.exists(), "it is collected");
    assert_eq!(finish(slow).await?, first.text("/status/artifact/digest"));

    // The rest is read when nobody else is let in any more.
    let address = slower.peer_addr()?;
    let reading = tokio::spawn(async move {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        finish(slower).await
    });
    let status = tokio::task::block_in_place(|| test.own()?.source.stop())?;
    assert_eq!(status.code(), Some(0));
    assert_eq!(reading.await??, first.text("/status/artifact/digest"));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_one_volume_waits_and_takes_over() -> Result<()> {
    let mut test = Scenario::with_own_controllers("two-pods", &[]).await?;
    let commit = test.repo.commit_file("a.txt", "one")?;
    test.apply_source().await?;
    holds(&test, &commit).await?;
    let mut second = test.own()?.source.start_beside()?;
    test.wait("the second process waits for the storage", async || {
        match second.log_text().contains("the storage is in use by another process") {
            true => Ok(()),
            false => Err(Not::Yet(second.log_text())),
        }
    })
    .await?;
    assert!(!second.is_ready().await, "it is not ready");
    let commit = test.repo.commit_file("a.txt", "two")?;
    test.request("GitRepository/app").await?;
    holds(&test, &commit).await?;
    assert_eq!(second.metric("controller_runtime_reconcile_total", &[]).await?, 0.0, "it only waits");
    // However the first one ends.
    test.own()?.source.kill();
    test.wait("the second process is ready", async || {
        if second.is_ready().await { Ok(()) } else { Err(Not::Yet("not ready".into())) }
    })
    .await?;
    let commit = test.repo.commit_file("a.txt", "three")?;
    test.request("GitRepository/app").await?;
    holds(&test, &commit).await?;
    second.expect_running()?;
    test.finish().await
}

/// An artifact server that takes connections and says nothing holds up those who wait for it, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn downloads_that_hang_hold_no_worker() -> Result<()> {
    let mut test = Scenario::with_own_controllers("hung-download", &["--concurrent=2"]).await?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    let other = test.git.create("other")?;
    // Equal content would be the same artifact.
    let other_commit = other.commit_file("app/map.yaml", &config_map("map", "other"))?;
    let source = test.source_yaml("1h", "").replace("name: app", "name: other");
    test.apply(&source.replace("/app.git", "/other.git")).await?;
    test.ready("GitRepository/other").await?;
    test.own()?.source.signal(Signal::STOP)?;
    for i in 0..4 {
        let hung =
            test.kustomization_yaml(&format!("hung-{i}"), "./app", &format!("  namePrefix: hung-{i}-"));
        test.apply(&hung.replace("kind: GitRepository, name: app", "kind: GitRepository, name: other"))
            .await?;
    }
    for i in 0..4 {
        let text = "Fetching manifests for revision";
        test.condition(&format!("Kustomization/hung-{i}"), "Reconciling", "True", "Progressing", text)
            .await?;
    }
    // What is here already is enough for this one.
    test.apply(&test.kustomization_yaml("late", "./app", "  namePrefix: late-")).await?;
    test.applied("Kustomization/late", &commit).await?;
    test.own()?.source.signal(Signal::CONT)?;
    for i in 0..4 {
        test.applied(&format!("Kustomization/hung-{i}"), &other_commit).await?;
    }
    test.finish().await
}
