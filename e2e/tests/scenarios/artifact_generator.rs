//! Artifacts composed of the files of sources, by source-watcher.

use std::fs;

use anyhow::{Context, Result};
use e2e::artifact::artifact_entries;
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::flux::Client;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::silent_server::SilentServer;
use e2e::testkit::{config_map, files};
use serde_json::{Value, json};

const GENERATOR: &str = "ArtifactGenerator/gen";

/// A test, and the controller for its generators alone.
struct Watched {
    test: Scenario,
    watcher: Controller,
}

impl Watched {
    async fn new(name: &str) -> Result<Self> {
        Self::with_options(name, &[]).await
    }

    async fn with_options(name: &str, options: &[&str]) -> Result<Self> {
        let test = Scenario::with_own_controllers(name, &[]).await?;
        let selector = test.selector();
        let options = [&[&*selector], options].concat();
        let watcher = Controller::start(test.cluster, User::SourceWatcher, &options).await?;
        Ok(Self { test, watcher })
    }

    /// Applies generator `gen` over source `app` with these artifacts and further lines of spec.
    async fn generate(&self, artifacts: &Value, more: &Value) -> Result<()> {
        let mut spec = json!({
            "sources": [{"alias": "app", "kind": "GitRepository", "name": "app"}], "artifacts": artifacts,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let object = json!({
            "apiVersion": "source.extensions.fluxcd.io/v1beta1", "kind": "ArtifactGenerator",
            "metadata": {"name": "gen"}, "spec": spec,
        });
        self.test.apply(&object.to_string()).await
    }

    /// Waits until the generator says this of a success at its newest generation.
    async fn generated(&self, count: usize) -> Result<Value> {
        let text = format!("reconciliation succeeded, generated {count} artifact(s)");
        self.until_generator("has succeeded", |generator| {
            generator.condition("Ready").is_some_and(|ready| {
                ready.observed_generation == generator.number("/metadata/generation")
                    && (ready.status.as_str(), &ready.message) == ("True", &text)
            })
        })
        .await
    }

    async fn until_generator(&self, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let waited = self.test.until(GENERATOR, what, is).await;
        waited.with_context(|| self.watcher.log_about(&self.test.namespace, 30))
    }

    /// Waits until an artifact has other content than `digest`.
    async fn changed(&self, name: &str, digest: &str) -> Result<Value> {
        let is = |artifact: &Value| artifact.text("/status/artifact/digest") != digest;
        let waited = self.test.until(&format!("ExternalArtifact/{name}"), "has other content", is).await;
        waited.with_context(|| self.watcher.log_about(&self.test.namespace, 30))
    }

    async fn artifact(&self, name: &str) -> Result<Value> {
        self.test.get(&format!("ExternalArtifact/{name}")).await
    }
}

fn output(name: &str, from: &str) -> Value {
    json!({"name": name, "copy": [{"from": format!("@app/{from}"), "to": "@artifact/"}]})
}

fn version(object: &Value) -> String {
    object.text("/metadata/resourceVersion").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sources_become_one_artifact_that_a_kustomization_applies() -> Result<()> {
    let watched = Watched::new("compose").await?;
    let test = &watched.test;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.repo.commit_file("app/image.zip", "left out")?;
    let other = test.git.create("other")?;
    other.commit_file("values/run.yaml", &config_map("run", "2"))?;
    test.apply_source().await?;
    let url = test.git.url("other");
    let second = test.source_yaml("1h", "").replace("{name: app}", "{name: other}");
    test.apply(&second.replace(&test.git.url("app"), &url)).await?;
    let copy = json!([
        {"from": "@app/app/**", "to": "@artifact/app/"},
        {"from": "@other/values/run.yaml", "to": "@artifact/app/run.yaml"},
    ]);
    let sources = json!([
        {"alias": "app", "kind": "GitRepository", "name": "app"},
        {"alias": "other", "kind": "GitRepository", "name": "other"},
    ]);
    let artifacts = json!([{"name": "composed", "copy": copy, "originRevision": "@app"}]);
    let more = json!({"sources": sources, "commonMetadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}}});
    watched.generate(&artifacts, &more).await?;
    let generator = watched.generated(1).await?;
    let composed = watched.artifact("composed").await?;
    assert_eq!(artifact_entries(&composed).await?, [".", "app", "app/map.yaml", "app/run.yaml"]);
    let (digest, namespace) = (composed.text("/status/artifact/digest"), &test.namespace);
    assert_eq!(composed.text("/status/artifact/revision"), format!("latest@{digest}"));
    let origin = composed["status"]["artifact"]["metadata"]["org.opencontainers.image.revision"].as_str();
    assert!(origin.is_some_and(|origin| origin.starts_with("main@sha1:")), "{commit}: {composed}");
    let entry = json!([{
        "name": "composed", "namespace": namespace, "digest": digest,
        "filename": composed.text("/status/artifact/path").rsplit('/').next(),
    }]);
    assert_eq!(generator["status"]["inventory"], entry);
    let labels = json!({
        "team": "a", "app.kubernetes.io/managed-by": "source-watcher",
        "source.extensions.fluxcd.io/generator": generator["metadata"]["uid"],
    });
    assert_eq!(composed["metadata"]["labels"], labels);
    assert_eq!(composed["metadata"]["annotations"], json!({"note": "b"}));
    assert_eq!(composed.text("/spec/sourceRef/name"), "gen");
    let ready = composed.condition("Ready").context("a condition")?;
    assert_eq!((ready.reason.as_str(), ready.message.as_str()), ("Succeeded", "Artifact is ready"));
    let announced = format!("external artifacts reconciled: {namespace}/composed ({digest})");
    test.event(GENERATOR, "Normal", "Ready", &announced).await?;
    let yaml = test.kustomization_yaml("app", "./app", "");
    test.apply(&yaml.replace("kind: GitRepository, name: app", "kind: ExternalArtifact, name: composed"))
        .await?;
    test.applied("Kustomization/app", digest).await?;
    assert!(test.exists("ConfigMap/map").await? && test.exists("ConfigMap/run").await?);
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_commit_touches_is_made_and_written_anew() -> Result<()> {
    let watched = Watched::new("touched").await?;
    let test = &watched.test;
    for app in ["one", "two"] {
        test.repo.commit_file(&format!("{app}/map.yaml"), &config_map(app, "1"))?;
    }
    test.apply_source().await?;
    let artifacts = json!([output("one", "one/**"), output("two", "two/**")]);
    watched.generate(&artifacts, &json!({})).await?;
    watched.generated(2).await?;
    let (one, two) = (watched.artifact("one").await?, watched.artifact("two").await?);
    test.repo.commit_file("two/map.yaml", &config_map("two", "2"))?;
    let audit = test.cluster.audit();
    test.request("GitRepository/app").await?;
    watched.changed("two", two.text("/status/artifact/digest")).await?;
    watched.generated(2).await?;
    assert_eq!(version(&watched.artifact("one").await?), version(&one), "nothing was written");
    if let Some(audit) = audit {
        let writes = audit.requests(User::SourceWatcher, &test.namespace)?;
        let of =
            |name: &str| writes.iter().filter(|request| !request.is_read() && request.name == name).count();
        assert_eq!((of("one"), of("two")), (0, 1), "{writes:?}");
    }
    // Nothing is done for a request alone.
    let before = version(&watched.artifact("two").await?);
    test.run(GENERATOR).await?;
    assert_eq!(version(&watched.artifact("two").await?), before);
    test.event(GENERATOR, "Normal", "Ready", "No drift detected, 2 artifact(s) up to date").await?;
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_to_one_of_fifty_directories_writes_one_artifact_and_its_generator() -> Result<()> {
    let watched = Watched::new("fifty").await?;
    let test = &watched.test;
    for app in 0..50 {
        test.repo.write(&format!("apps/app{app}/map.yaml"), &config_map("map", &app.to_string()))?;
    }
    test.repo.commit("fifty")?;
    test.apply_source().await?;
    let expanded = json!([{"name": "{app}", "copy": [{"from": "@app/apps/{app}/**", "to": "@artifact/"}]}]);
    watched.generate(&expanded, &json!({"pathPattern": "@app/apps/{app}"})).await?;
    watched.generated(50).await?;
    let before = watched.artifact("app7").await?;
    let Some(audit) = test.cluster.audit() else { return watched.test.finish().await };
    test.repo.commit_file("apps/app7/map.yaml", &config_map("map", "changed"))?;
    test.request("GitRepository/app").await?;
    let after = watched.changed("app7", before.text("/status/artifact/digest")).await?;
    // A request before the news are written would be answered with them.
    let digest = after.text("/status/artifact/digest");
    watched
        .until_generator("tells of the news", |generator| {
            generator["status"]["inventory"].to_string().contains(digest)
        })
        .await?;
    // Everything that this causes is over when a later request is handled.
    test.run(GENERATOR).await?;
    let requests = audit.requests(User::SourceWatcher, &test.namespace)?;
    let writes = requests.iter().filter(|request| !request.is_read() && request.resource != "events");
    let (of_generator, others): (Vec<_>, Vec<_>) = writes.partition(|request| request.name == "gen");
    let others: Vec<_> = others.iter().map(|request| (&*request.resource, &*request.name)).collect();
    assert_eq!(others, [("externalartifacts/status", "app7")]);
    // The news, the answer to the request, and what tells of work under way on a machine that is busy.
    assert!((2..=4).contains(&of_generator.len()), "{of_generator:?}");
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_downloaded_once_for_all_generators() -> Result<()> {
    let mut watched = Watched::new("shared-source").await?;
    watched.test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    watched.test.apply_source().await?;
    watched.generate(&json!([output("one", "app/**")]), &json!({})).await?;
    let first = watched.generated(1).await?;
    // Nobody serves the artifact any more.
    watched.test.own()?.source.kill();
    let second = json!({
        "apiVersion": "source.extensions.fluxcd.io/v1beta1", "kind": "ArtifactGenerator",
        "metadata": {"name": "second"},
        "spec": {"sources": first["spec"]["sources"], "artifacts": [output("two", "app")]},
    });
    watched.test.apply(&second.to_string()).await?;
    let made = watched.test.until("ExternalArtifact/two", "is there", |two| {
        two.condition("Ready").is_some_and(|ready| ready.status == "True")
    });
    assert_eq!(artifact_entries(&made.await?).await?, [".", "app", "app/map.yaml"]);
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_not_ready_is_waited_for() -> Result<()> {
    let watched = Watched::new("unready").await?;
    let test = &watched.test;
    watched.generate(&json!([output("out", "app/**")]), &json!({})).await?;
    let missing = "get sources failed: GitRepository.source.toolkit.fluxcd.io \"app\" not found";
    test.condition(GENERATOR, "Ready", "False", "SourceFetchFailed", missing).await?;
    test.event(GENERATOR, "Warning", "SourceFetchFailed", missing).await?;
    // Without a commit there is no artifact.
    test.apply_source().await?;
    let unready = format!("get sources failed: source 'GitRepository/{}/app' is not ready", test.namespace);
    test.condition(GENERATOR, "Ready", "False", "SourceFetchFailed", &unready).await?;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.request("GitRepository/app").await?;
    watched.generated(1).await?;
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_generated_artifacts_is_repaired_at_once() -> Result<()> {
    let watched = Watched::new("tampered").await?;
    let test = &watched.test;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    watched.generate(&json!([output("out", "app/**")]), &json!({})).await?;
    watched.generated(1).await?;
    let out = watched.artifact("out").await?;
    let (artifact, labels) = (&out["status"]["artifact"], &out["metadata"]["labels"]);
    let is_repaired = |object: &Value| {
        object["status"]["artifact"] == *artifact
            && object["metadata"]["labels"] == *labels
            && object.text("/spec/sourceRef/name") == "gen"
    };
    let stolen = json!({"status": {"artifact": {"url": "http://elsewhere/"}}}).to_string();
    test.kubectl(&["patch", "externalartifacts/out", "--subresource=status", "--type=merge", "-p", &stolen])?;
    test.until("ExternalArtifact/out", "has its URL again", is_repaired).await?;
    test.patch("ExternalArtifact/out", &json!({"spec": {"sourceRef": {"name": "other"}}})).await?;
    test.until("ExternalArtifact/out", "has its source again", is_repaired).await?;
    let unlabelled = json!({"metadata": {"labels": {"source.extensions.fluxcd.io/generator": null}}});
    test.patch("ExternalArtifact/out", &unlabelled).await?;
    test.until("ExternalArtifact/out", "has its label again", is_repaired).await?;
    test.objects.delete(&test.id("ExternalArtifact/out")?).await?;
    test.until("ExternalArtifact/out", "is there again", is_repaired).await?;
    // What is on disk is looked at when somebody asks.
    let file = watched.watcher.storage().join(out.text("/status/artifact/path"));
    for damage in [true, false] {
        if damage {
            fs::write(&file, "damaged")?
        } else {
            fs::remove_file(&file)?
        }
        test.run(GENERATOR).await?;
        watched.generated(1).await?;
        assert_eq!(artifact_entries(&watched.artifact("out").await?).await?, [".", "map.yaml"]);
    }
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_generated_goes_and_a_deletion_takes_all() -> Result<()> {
    let watched = Watched::new("orphans").await?;
    let test = &watched.test;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    watched.generate(&json!([output("one", "app/**"), output("two", "app/**")]), &json!({})).await?;
    watched.generated(2).await?;
    let folder = watched.watcher.storage().join("externalartifact").join(&test.namespace);
    assert!(folder.join("one").is_dir() && folder.join("two").is_dir());
    watched.generate(&json!([output("two", "app/**")]), &json!({})).await?;
    test.gone("ExternalArtifact/one").await?;
    watched.generated(1).await?;
    assert!(!folder.join("one").exists() && folder.join("two").is_dir());
    // One that somebody else has taken over stays.
    watched.generate(&json!([output("two", "app/**"), output("three", "app/**")]), &json!({})).await?;
    watched.generated(2).await?;
    test.objects.delete(&test.id(GENERATOR)?).await?;
    for name in ["two", "three"] {
        test.gone(&format!("ExternalArtifact/{name}")).await?;
    }
    test.gone(GENERATOR).await?;
    assert!(!folder.join("two").exists() && !folder.join("three").exists());
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_is_disabled_and_enabled_by_its_annotation() -> Result<()> {
    let watched = Watched::new("disabled").await?;
    let test = &watched.test;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let mut disabled = json!({
        "apiVersion": "source.extensions.fluxcd.io/v1beta1", "kind": "ArtifactGenerator",
        "metadata": {"name": "gen", "annotations": {"source.extensions.fluxcd.io/reconcile": "Disabled"}},
        "spec": {
            "sources": [{"alias": "app", "kind": "GitRepository", "name": "app"}],
            "artifacts": [{"name": "out", "revision": "@app", "copy": [{"from": "@app/app", "to": "@artifact/"}]}],
        },
    });
    test.apply(&disabled.to_string()).await?;
    let text = "Initialized with reconciliation suspended";
    test.condition(GENERATOR, "Ready", "True", "ReconciliationDisabled", text).await?;
    test.event(GENERATOR, "Normal", "ReconciliationDisabled", "Reconciliation is disabled").await?;
    assert!(!test.exists("ExternalArtifact/out").await?);
    disabled["metadata"]["annotations"]["source.extensions.fluxcd.io/reconcile"] = "enabled".into();
    test.apply(&disabled.to_string()).await?;
    watched.generated(1).await?;
    let out = watched.artifact("out").await?;
    assert_eq!(out.text("/status/artifact/revision"), format!("main@sha1:{commit}"));
    assert_eq!(artifact_entries(&out).await?, [".", "app", "app/map.yaml"]);
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_pattern_gives_an_artifact_for_each_directory() -> Result<()> {
    let watched = Watched::new("pattern").await?;
    let test = &watched.test;
    test.repo.commit_file("apps/One/prod/map.yaml", &config_map("one", "1"))?;
    test.repo.commit_file("apps/two/prod/map.yaml", &config_map("two", "1"))?;
    test.apply_source().await?;
    let expanded = json!([{
        "name": "{app}-{env}", "copy": [{"from": "@app/apps/{app}/{env}/**", "to": "@artifact/"}],
    }]);
    // What is common is less than what is captured, and that is less than whose the object is.
    let common = json!({"labels": {"team": "a", "app": "common", "app.kubernetes.io/managed-by": "me"}});
    watched
        .generate(&expanded, &json!({"pathPattern": "@app/apps/{app}/{env}", "commonMetadata": common}))
        .await?;
    let generator = watched.generated(2).await?;
    let one = watched.artifact("one-prod").await?;
    let labels = json!({
        "team": "a", "app": "one", "env": "prod", "app.kubernetes.io/managed-by": "source-watcher",
        "source.extensions.fluxcd.io/generator": generator["metadata"]["uid"],
    });
    assert_eq!(one["metadata"]["labels"], labels);
    assert_eq!(artifact_entries(&one).await?, [".", "map.yaml"]);
    test.repo.remove("apps/One/prod/map.yaml")?;
    test.repo.commit_file("apps/two/dev/map.yaml", &config_map("two", "2"))?;
    test.request("GitRepository/app").await?;
    test.gone("ExternalArtifact/one-prod").await?;
    test.until("ExternalArtifact/two-dev", "is there", |_| true).await?;
    test.repo.commit_file("apps/TWO/dev/map.yaml", &config_map("two", "2"))?;
    test.request("GitRepository/app").await?;
    let text = "failed to expand path pattern: pathPattern \"@app/apps/{app}/{env}\": directories \"apps/TWO/dev\" and \
                \"apps/two/dev\" both resolve to artifact name \"two-dev\"";
    let stalled = test.condition(GENERATOR, "Stalled", "True", "BuildFailed", text).await?;
    assert_eq!(stalled.message, text);
    // The next commit is another try.
    test.repo.remove("apps/TWO/dev/map.yaml")?;
    test.repo.commit("one again")?;
    test.request("GitRepository/app").await?;
    watched.generated(2).await?;
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_of_a_spec_stall_a_generator_and_failures_of_builds_do_not() -> Result<()> {
    let watched = Watched::with_options("mistakes", &["--no-cross-namespace-refs=true"]).await?;
    let test = &watched.test;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    let twice = json!([output("out", "app/**"), output("out", "app/**")]);
    watched.generate(&twice, &json!({})).await?;
    let text = "duplicate artifact name 'out' found";
    test.condition(GENERATOR, "Stalled", "True", "ValidationFailed", text).await?;
    test.event(GENERATOR, "Warning", "ValidationFailed", text).await?;
    let foreign = json!([{"alias": "app", "kind": "GitRepository", "name": "app", "namespace": "default"}]);
    let text = "cross-namespace reference to source GitRepository/default/app is not allowed";
    watched.generate(&json!([output("out", "app/**")]), &json!({"sources": foreign})).await?;
    test.condition(GENERATOR, "Stalled", "True", "AccessDenied", text).await?;
    watched.generate(&json!([output("out", "none/**")]), &json!({})).await?;
    let text = "out build failed: failed to apply copy operations: failed to apply copy operation from '@app/none/**' to \
                '@artifact/': no files match pattern 'none/**' in source 'app'";
    let ready = test.condition(GENERATOR, "Ready", "False", "BuildFailed", text).await?;
    assert_eq!(ready.message, text);
    assert_eq!(test.get(GENERATOR).await?.condition("Stalled"), None);
    watched.generate(&json!([output("out", "app/**")]), &json!({})).await?;
    watched.generated(1).await?;
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_leaves_artifacts_as_they_are_and_sees_what_changed_meanwhile() -> Result<()> {
    let mut watched = Watched::new("watcher-restart").await?;
    watched.test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    watched.test.apply_source().await?;
    watched.generate(&json!([output("out", "app/**")]), &json!({})).await?;
    watched.generated(1).await?;
    let before = watched.artifact("out").await?;
    watched.watcher.restart().await?;
    watched.test.run(GENERATOR).await?;
    assert_eq!(version(&watched.artifact("out").await?), version(&before));
    assert_eq!(artifact_entries(&before).await?, [".", "map.yaml"]);
    watched.watcher.kill();
    watched.test.repo.commit_file("app/map.yaml", &config_map("map", "2"))?;
    watched.test.run("GitRepository/app").await?;
    watched.watcher.restart().await?;
    let changed = watched.changed("out", before.text("/status/artifact/digest")).await?;
    // As with a volume that ends with its Pod.
    watched.watcher.kill();
    fs::remove_dir_all(watched.watcher.storage().join("externalartifact"))?;
    watched.watcher.restart().await?;
    watched.test.run(GENERATOR).await?;
    let again = watched.artifact("out").await?;
    assert_eq!(again["status"]["artifact"]["digest"], changed["status"]["artifact"]["digest"]);
    assert_eq!(artifact_entries(&again).await?, [".", "map.yaml"]);
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_that_waits_for_a_dead_server_can_be_deleted() -> Result<()> {
    let watched = Watched::new("dead-source").await?;
    let test = &watched.test;
    let silent = SilentServer::start("127.0.0.3").await?;
    let published = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "ExternalArtifact", "metadata": {"name": "dead"},
    });
    test.objects.apply_one(&published, &test.namespace).await?;
    let artifact = json!({
        "digest": format!("sha256:{}", "0".repeat(64)), "lastUpdateTime": "2026-01-01T00:00:00Z", "path": "a/b/c/d",
        "revision": "latest@sha256:0", "url": silent.url,
    });
    let status = json!({"status": {"artifact": artifact}}).to_string();
    test.kubectl(&[
        "patch",
        "externalartifacts/dead",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ])?;
    let sources = json!([{"alias": "app", "kind": "ExternalArtifact", "name": "dead"}]);
    watched.generate(&json!([output("out", "app/**")]), &json!({"sources": sources})).await?;
    let text = "Reconciliation in progress";
    test.condition(GENERATOR, "Reconciling", "True", "Progressing", text).await?;
    test.objects.delete(&test.id(GENERATOR)?).await?;
    test.gone(GENERATOR).await?;
    assert!(test.exists("ExternalArtifact/dead").await?);
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn old_artifacts_are_collected_though_every_pass_makes_a_new_one() -> Result<()> {
    let options = ["--artifact-retention-ttl=0s", "--artifact-retention-records=1"];
    let watched = Watched::with_options("collected", &options).await?;
    let test = &watched.test;
    test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    test.apply_source().await?;
    watched.generate(&json!([output("out", "app/**")]), &json!({})).await?;
    watched.generated(1).await?;
    let mut digest = watched.artifact("out").await?.text("/status/artifact/digest").to_owned();
    for value in 1..=4 {
        test.repo.commit_file("app/map.yaml", &config_map("map", &value.to_string()))?;
        test.request("GitRepository/app").await?;
        digest = watched.changed("out", &digest).await?.text("/status/artifact/digest").to_owned();
    }
    let folder = watched.watcher.storage().join("externalartifact").join(&test.namespace).join("out");
    let archives = files(&folder).iter().filter(|file| file.extension().is_some_and(|e| e == "gz")).count();
    assert_eq!(archives, 2, "the current one, and the one before it, which somebody may be reading");
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_not_taken_from_another_generator() -> Result<()> {
    let watched = Watched::new("contested").await?;
    let test = &watched.test;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    watched.generate(&json!([output("out", "app/**")]), &json!({})).await?;
    let owner = watched.generated(1).await?;
    let spec = json!({"sources": owner["spec"]["sources"], "artifacts": owner["spec"]["artifacts"]});
    let second = json!({
        "apiVersion": "source.extensions.fluxcd.io/v1beta1", "kind": "ArtifactGenerator",
        "metadata": {"name": "second"}, "spec": spec,
    });
    test.apply(&second.to_string()).await?;
    let text = format!(
        "out reconcile failed: the ExternalArtifact belongs to another ArtifactGenerator, with the uid {}",
        owner.text("/metadata/uid")
    );
    test.condition("ArtifactGenerator/second", "Ready", "False", "ReconciliationFailed", &text).await?;
    assert_eq!(watched.artifact("out").await?.text("/spec/sourceRef/name"), "gen");
    // Its deletion takes nothing from the first one.
    test.objects.delete(&test.id("ArtifactGenerator/second")?).await?;
    test.gone("ArtifactGenerator/second").await?;
    assert_eq!(artifact_entries(&watched.artifact("out").await?).await?, [".", "map.yaml"]);
    watched.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_shows_and_exports_generators_and_what_they_generate() -> Result<()> {
    let watched = Watched::new("flux-generator").await?;
    let test = &watched.test;
    test.repo.commit_file("app/map.yaml", &config_map("map", "1"))?;
    test.apply_source().await?;
    watched.generate(&json!([output("out", "app/**")]), &json!({})).await?;
    watched.generated(1).await?;
    let digest = watched.artifact("out").await?.text("/status/artifact/digest").to_owned();
    let flux = Client::new(test.cluster.kubeconfig(User::Admin), &test.namespace).await?;
    let table = flux.table(&["get", "artifacts", "generators"])?;
    let row = table.get(1).context("a row")?;
    assert_eq!(row.first().map(String::as_str), Some("gen"), "{table:?}");
    assert!(row.iter().any(|cell| cell == "reconciliation succeeded, generated 1 artifact(s)"), "{table:?}");
    let table = flux.table(&["get", "sources", "external"])?;
    let row = table.get(1).context("a row")?;
    assert_eq!(row.first().map(String::as_str), Some("out"), "{table:?}");
    assert!(row.iter().any(|cell| cell == "Artifact is ready"), "{table:?}");
    let short = digest.split(':').nth(1).and_then(|hex| hex.get(..8)).unwrap_or_default();
    assert!(row.iter().any(|cell| cell.starts_with("latest@sha256:") && cell.contains(short)), "{table:?}");
    let said = flux.run(&["tree", "artifact", "generator", "gen"])?;
    assert!(said.contains(&format!("ExternalArtifact/{}/out", test.namespace)), "{said}");
    let said = flux.run(&["export", "artifact", "generator", "gen"])?;
    assert!(said.contains("kind: ArtifactGenerator") && said.contains("from: '@app/app/**'"), "{said}");
    watched.test.finish().await
}
