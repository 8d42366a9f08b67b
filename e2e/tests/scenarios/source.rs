//! GitRepository: what is fetched, stored and served.

use std::fs;

use anyhow::Result;
use e2e::artifact::artifact_entries;
use e2e::git_server::GitServer;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::config_map;
use e2e::wait::{self, Not};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_reference_gives_the_revision_of_flux() -> Result<()> {
    let test = Scenario::new("refs").await?;
    let first = test.repo.commit_file("a.txt", "one")?;
    test.repo.tag("v1.0.0", None)?;
    let second = test.repo.commit_file("a.txt", "two")?;
    test.repo.tag("v1.1.0", Some("annotated"))?;
    let third = test.repo.commit_file("a.txt", "three")?;
    test.repo.tag("v2.0.0-rc.1", None)?;
    test.repo.switch("feature/x")?;
    let fourth = test.repo.commit_file("a.txt", "four")?;
    test.repo.switch("master")?;
    let url = test.git.url("app");
    let cases = [
        ("branch", json!({"branch": "main"}), format!("main@sha1:{third}")),
        ("branch-with-slash", json!({"branch": "feature/x"}), format!("feature/x@sha1:{fourth}")),
        ("tag", json!({"tag": "v1.0.0"}), format!("v1.0.0@sha1:{first}")),
        ("annotated-tag", json!({"tag": "v1.1.0"}), format!("v1.1.0@sha1:{second}")),
        ("semver", json!({"semver": "1.x"}), format!("v1.1.0@sha1:{second}")),
        ("semver-pre-release", json!({"semver": ">=1.0.0-0"}), format!("v2.0.0-rc.1@sha1:{third}")),
        ("name", json!({"name": "refs/heads/feature/x"}), format!("refs/heads/feature/x@sha1:{fourth}")),
        ("name-of-tag", json!({"name": "refs/tags/v1.0.0"}), format!("refs/tags/v1.0.0@sha1:{first}")),
        ("commit", json!({"commit": first}), format!("sha1:{first}")),
        ("branch-and-commit", json!({"branch": "main", "commit": second}), format!("main@sha1:{second}")),
        ("tag-beats-semver", json!({"tag": "v1.0.0", "semver": "*"}), format!("v1.0.0@sha1:{first}")),
        (
            "name-beats-tag",
            json!({"name": "refs/heads/main", "tag": "v1.0.0"}),
            format!("refs/heads/main@sha1:{third}"),
        ),
    ];
    let source = |name: &str, reference: &Value| {
        format!(
            "{{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {{name: {name}}}, \
             spec: {{interval: 1h, url: '{url}', ref: {reference}}}}}"
        )
    };
    for (name, reference, _) in &cases {
        test.apply(&source(name, reference)).await?;
    }
    for (name, _, revision) in &cases {
        let object = test.ready(&format!("GitRepository/{name}")).await?;
        assert_eq!(object.text("/status/artifact/revision"), revision, "{name}");
        assert_eq!(artifact_entries(&object).await?, [".", "a.txt"], "{name}");
    }
    // Without a reference it is the branch master.
    let last = test.repo.commit_file("a.txt", "five")?;
    test.apply(&source("none", &json!({}))).await?;
    let object = test.ready("GitRepository/none").await?;
    assert_eq!(object.text("/status/artifact/revision"), format!("master@sha1:{last}"));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_artifact_leaves_out_what_flux_leaves_out() -> Result<()> {
    let test = Scenario::new("ignore").await?;
    for file in
        ["app/map.yaml", "app/logo.png", ".github/workflow.yml", ".gitignore", "docs/readme.md", ".sops.yaml"]
    {
        test.repo.write(file, "x: y")?;
    }
    test.repo.commit("files")?;
    test.apply_source().await?;
    let source = test.ready("GitRepository/app").await?;
    assert_eq!(artifact_entries(&source).await?, [".", "app", "app/map.yaml", "docs", "docs/readme.md"]);
    // Own rules replace all built-in ones but those for version control.
    test.patch("GitRepository/app", &json!({"spec": {"ignore": "docs/\n"}})).await?;
    let source = test.until("GitRepository/app", "is ready with own rules", |o| {
        o.is_ready() && o.text("/status/observedIgnore") == "docs/\n"
    });
    let entries = artifact_entries(&source.await?).await?;
    assert_eq!(
        entries,
        [".", ".github", ".github/workflow.yml", ".sops.yaml", "app", "app/logo.png", "app/map.yaml"]
    );
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_and_an_authority_open_a_private_repository() -> Result<()> {
    let test = Scenario::new("private").await?;
    let server = GitServer::start_tls().await?;
    server.set_account(Some(("alice", "s3cret")));
    let commit = server.create("private")?.commit_file("a.txt", "one")?;
    let authority = server.ca_pem().unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"},
        "stringData": {"username": "alice", "password": "s3cret", "ca.crt": authority},
    });
    test.apply(&secret.to_string()).await?;
    let source = test
        .source_yaml("1h", "  secretRef: {name: git}")
        .replace(&test.git.url("app"), &server.url("private"));
    test.apply(&source).await?;
    let object = test.ready("GitRepository/app").await?;
    assert_eq!(object.text("/status/artifact/revision"), format!("main@sha1:{commit}"));
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_commit_is_found_at_the_interval_and_fetched_once() -> Result<()> {
    use e2e::git_server::Asked;
    let test = Scenario::new("poll").await?;
    test.repo.commit_file("a.txt", "one")?;
    test.apply(&test.source_yaml("1s", "")).await?;
    test.ready("GitRepository/app").await?;
    test.git.take_requests();
    let commit = test.repo.commit_file("b.txt", "two")?;
    let revision = format!("main@sha1:{commit}");
    let source = test
        .until("GitRepository/app", "has the new commit", |o| {
            o.is_ready() && o.text("/status/artifact/revision") == revision
        })
        .await?;
    assert_eq!(artifact_entries(&source).await?, [".", "a.txt", "b.txt"]);
    let event = test
        .event("GitRepository/app", "Normal", "NewArtifact", "stored artifact for commit 'write b.txt'")
        .await?;
    let note =
        |name: &str| event["metadata"]["annotations"][format!("source.toolkit.fluxcd.io/{name}")].clone();
    assert_eq!(note("revision"), revision);
    assert_eq!(note("digest"), source["status"]["artifact"]["digest"]);
    let fetches = test.git.take_requests().into_iter().filter(|a| *a == Asked::Objects).count();
    assert_eq!(fetches, 1);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_source_fetches_nothing_until_it_is_resumed() -> Result<()> {
    let test = Scenario::new("suspend-source").await?;
    let first = test.repo.commit_file("a.txt", "one")?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    test.patch("GitRepository/app", &json!({"spec": {"suspend": true}})).await?;
    let second = test.repo.commit_file("a.txt", "two")?;
    test.git.take_requests();
    let object = test.run("GitRepository/app").await?;
    assert_eq!(object.text("/status/artifact/revision"), format!("main@sha1:{first}"));
    assert_eq!(test.git.take_requests(), []);
    test.patch("GitRepository/app", &json!({"spec": {"suspend": false}})).await?;
    test.until("GitRepository/app", "has the second commit", |o| {
        o.is_ready() && o.text("/status/artifact/revision").ends_with(&second)
    })
    .await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_source_takes_its_artifacts_with_it() -> Result<()> {
    let test = Scenario::new("delete-source").await?;
    test.repo.commit_file("a.txt", "one")?;
    test.apply_source().await?;
    let object = test.ready("GitRepository/app").await?;
    assert_eq!(object["metadata"]["finalizers"], json!(["finalizers.fluxcd.io"]));
    let folder = test.pair()?.source.storage().join("gitrepository").join(&test.namespace).join("app");
    assert!(folder.is_dir(), "{}", folder.display());
    let url = object.text("/status/artifact/url");
    test.kubectl(&["delete", "--wait=false", "gitrepository/app"])?;
    test.gone("GitRepository/app").await?;
    assert!(!folder.exists());
    assert_eq!(reqwest::get(url).await?.status(), 404);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_source_can_be_deleted() -> Result<()> {
    let test = Scenario::new("delete-suspended").await?;
    test.repo.commit_file("a.txt", "one")?;
    test.apply_source().await?;
    let object = test.ready("GitRepository/app").await?;
    test.patch("GitRepository/app", &json!({"spec": {"suspend": true}})).await?;
    test.run("GitRepository/app").await?;
    let folder = test.pair()?.source.storage().join("gitrepository").join(&test.namespace).join("app");
    assert!(folder.is_dir(), "{}", folder.display());
    test.kubectl(&["delete", "--wait=false", "gitrepository/app"])?;
    test.gone("GitRepository/app").await?;
    assert!(!folder.exists());
    assert_eq!(reqwest::get(object.text("/status/artifact/url")).await?.status(), 404);
    test.finish().await
}

/// An object with a foreign finalizer that was deleted before it was ever seen gets none of ours, which would hold it up.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_being_deleted_gets_no_finalizer() -> Result<()> {
    let mut test = Scenario::with_own_controllers("finalizer", &[]).await?;
    test.repo.commit_file("a.txt", "one")?;
    test.own()?.source.stop()?;
    test.apply_source().await?;
    let foreign = json!(["example.com/foreign"]);
    test.patch("GitRepository/app", &json!({"metadata": {"finalizers": foreign}})).await?;
    test.kubectl(&["delete", "--wait=false", "gitrepository/app"])?;
    test.own()?.source.restart().await?;
    // By then everything that was there has been seen.
    let other = test.source_yaml("1h", "").replace("name: app", "name: other");
    test.apply(&other).await?;
    test.ready("GitRepository/other").await?;
    let app = test.get("GitRepository/app").await?;
    assert_eq!(app["metadata"]["finalizers"], foreign);
    assert_eq!(app.condition("Ready"), None, "it is not reconciled either");
    let log = test.pair()?.source.log_text();
    assert!(!log.contains("\"level\":\"error\""), "{log}");
    test.patch("GitRepository/app", &json!({"metadata": {"finalizers": null}})).await?;
    test.gone("GitRepository/app").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_was_tampered_with_is_built_again() -> Result<()> {
    let test = Scenario::new("tamper").await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    test.apply_source().await?;
    let before = test.ready("GitRepository/app").await?;
    let file = test.pair()?.source.storage().join(before.text("/status/artifact/path"));
    for damage in [Some("other bytes"), None] {
        match damage {
            Some(bytes) => fs::write(&file, bytes)?,
            None => fs::remove_file(&file)?,
        }
        test.run("GitRepository/app").await?;
        let after = test.ready("GitRepository/app").await?;
        assert_eq!(after["status"]["artifact"]["digest"], before["status"]["artifact"]["digest"]);
        artifact_entries(&after).await?;
        if damage.is_some() {
            test.event(
                "GitRepository/app",
                "Warning",
                "ArtifactVerificationFailed",
                "failed to verify integrity of artifact",
            )
            .await?;
        }
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controllers_report_what_dashboards_read() -> Result<()> {
    let test = Scenario::new("metrics").await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "")).await?;
    test.ready("Kustomization/app").await?;
    let pair = test.pair()?;
    let namespace = format!("namespace=\"{}\"", test.namespace);
    let exported = format!("exported_{namespace}");
    for (controller, kind) in [(&pair.source, "GitRepository"), (&pair.kustomize, "Kustomization")] {
        let lower = format!("controller=\"{}\"", kind.to_lowercase());
        let kind = format!("kind=\"{kind}\"");
        let duration = "gotk_reconcile_duration_seconds_count";
        assert!(controller.metric(duration, &[&kind, &namespace, "name=\"app\""]).await? >= 1.0);
        assert!(controller.metric("controller_runtime_reconcile_total", &[&lower]).await? >= 1.0);
        assert!(controller.metric("controller_runtime_max_concurrent_reconciles", &[&lower]).await? >= 1.0);
        assert!(controller.metric("process_resident_memory_bytes", &[]).await? > 0.0);
        for series in [
            "workqueue_adds_total",
            "workqueue_queue_duration_seconds_count",
            "workqueue_work_duration_seconds_count",
        ] {
            assert!(controller.metric(series, &[&lower]).await? >= 1.0, "{series}");
        }
        let text = controller.metrics().await?;
        for series in ["workqueue_depth", "gotk_oldest_run_seconds", "gotk_most_overdue_seconds"] {
            assert!(text.contains(&format!("{series}{{{lower}")), "{series} in\n{text}");
        }
        let info = [
            &*kind.replace("kind", "customresource_kind"),
            "ready=\"True\"",
            "suspended=\"false\"",
            "name=\"app\"",
            &exported,
        ];
        assert_eq!(controller.metric("gotk_resource_info", &info).await?, 1.0);
    }
    let revision = test.repo.head()?;
    for (controller, more) in [
        (&pair.source, format!("url=\"{}\"", test.git.url("app"))),
        (&pair.kustomize, "source_name=\"app\"".to_owned()),
    ] {
        assert_eq!(controller.metric("gotk_resource_info", &[&exported, &more, &revision]).await?, 1.0);
    }
    // The series go with the object.
    test.kubectl(&["delete", "--wait=false", "kustomization/app", "gitrepository/app"])?;
    test.gone("Kustomization/app").await?;
    test.gone("GitRepository/app").await?;
    for controller in [&pair.source, &pair.kustomize] {
        test.wait("the series of what is gone are gone", async || {
            let left = controller
                .metric("gotk_reconcile_duration_seconds_count", &[&namespace])
                .await
                .map_err(wait::not_yet)?;
            let told = controller.metric("gotk_resource_info", &[&exported]).await.map_err(wait::not_yet)?;
            if left + told == 0.0 { Ok(()) } else { Err(Not::Yet(format!("{left} runs, {told} objects"))) }
        })
        .await?;
    }
    test.finish().await
}
