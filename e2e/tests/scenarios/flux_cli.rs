//! Flux's own command line client against our controllers: what its users type, and what they then see.

use std::fs;
use std::ops::Deref;
use std::time::Duration;

use anyhow::Result;
use e2e::cluster::User;
use e2e::flux::Client;
use e2e::git_server::Fault;
use e2e::objects::{Look, documents};
use e2e::process::temp_folder;
use e2e::scenario::Scenario;
use e2e::testkit::config_map;
use serde_json::{Value, json};

/// A test whose user has the client.
pub struct Flux {
    pub test: Scenario,
    client: Client,
}

impl Flux {
    pub async fn new(name: &str) -> Result<Flux> {
        let test = Scenario::new(name).await?;
        let client = Client::new(test.cluster.kubeconfig(User::Admin), &test.namespace).await?;
        Ok(Flux { test, client })
    }

    /// The same with source and Kustomization `app`, which apply ConfigMap `map`; answers their revision too.
    pub async fn with_app(name: &str) -> Result<(Flux, String)> {
        let flux = Flux::new(name).await?;
        let commit = flux.test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
        flux.test.apply_source().await?;
        flux.test.apply(&flux.test.kustomization_yaml("app", "./app", "")).await?;
        flux.test.applied("Kustomization/app", &commit).await?;
        Ok((flux, format!("main@sha1:{commit}")))
    }

    /// Commits another value of the ConfigMap; answers the revision.
    fn commit(&self, value: &str) -> Result<String> {
        let commit = self.test.repo.commit_file("app/map.yaml", &config_map("map", value))?;
        Ok(format!("main@sha1:{commit}"))
    }
}

impl Deref for Flux {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// A revision as tables show it.
fn short(revision: &str) -> &str {
    &revision[..revision.find(':').unwrap() + 9]
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_reconcile_returns_when_the_new_commit_is_there() -> Result<()> {
    let (flux, _) = Flux::with_app("flux-reconcile").await?;
    let namespace = &flux.test.namespace;
    // The look at a slow server outlasts the pass that the request starts.
    for (value, fault) in [("1", Fault::None), ("2", Fault::Slow(Duration::from_secs(1)))] {
        let revision = flux.commit(value)?;
        flux.test.git.set_fault(fault);
        let said = flux.run(&["reconcile", "source", "git", "app"])?;
        assert_eq!(
            said,
            format!(
                "► annotating GitRepository app in {namespace} namespace\n✔ GitRepository annotated\n\
                 ◎ waiting for GitRepository reconciliation\n✔ fetched revision {revision}\n"
            )
        );
        let revision = flux.commit(&format!("{value}, with source"))?;
        let said = flux.run(&["reconcile", "kustomization", "app", "--with-source"])?;
        assert!(said.contains(&format!("✔ fetched revision {revision}\n")), "{said}");
        assert!(said.ends_with(&format!("✔ applied revision {revision}\n")), "{said}");
        let map = flux.test.get("ConfigMap/map").await?;
        assert_eq!(map.text("/data/value"), format!("{value}, with source"));
    }
    flux.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_reconcile_says_why_it_failed() -> Result<()> {
    let (flux, _) = Flux::with_app("flux-fails").await?;
    flux.test.patch("GitRepository/app", &json!({"spec": {"provider": "github"}})).await?;
    let why = "secretRef with github app data must be specified when provider is set to github";
    flux.test.condition("GitRepository/app", "Stalled", "True", "InvalidProviderConfiguration", why).await?;
    let said = flux.fails(&["reconcile", "source", "git", "app"])?;
    assert!(said.contains(why), "{said}");
    // What is tried again is waited for.
    flux.test
        .patch("GitRepository/app", &json!({"spec": {"provider": null, "ref": {"branch": "no"}}}))
        .await?;
    let said = flux.fails(&["reconcile", "source", "git", "app", "--timeout=4s"])?;
    assert!(said.contains("context deadline exceeded"), "{said}");
    let rows = flux.table(&["get", "sources", "git", "--status-selector", "ready=false"])?;
    assert!(rows[1][4].contains("couldn't find remote ref \"refs/heads/no\""), "{rows:?}");
    flux.test.repo.switch("no")?;
    let revision = flux.commit("1")?.replace("main@", "no@");
    let said = flux.run(&["reconcile", "source", "git", "app"])?;
    assert!(said.ends_with(&format!("✔ fetched revision {revision}\n")), "{said}");
    flux.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_suspend_holds_and_resume_catches_up() -> Result<()> {
    let (flux, old) = Flux::with_app("flux-suspend").await?;
    let namespace = &flux.test.namespace;
    for (kind, name) in [("source git", "GitRepository"), ("kustomization", "Kustomization")] {
        let words: Vec<&str> = kind.split(' ').chain(["app"]).collect();
        let said = flux.run(&[&["suspend"], &*words].concat())?;
        assert_eq!(said, format!("► suspending {kind} app in {namespace} namespace\n✔ {kind} suspended\n"));
        assert_eq!(flux.test.get(&format!("{name}/app")).await?["spec"]["suspend"], true);
        let said = flux.fails(&[&["reconcile"], &*words].concat())?;
        assert!(said.contains("resource is suspended"), "{said}");
    }
    let new = flux.commit("1")?;
    let suspended = [short(&old), "True", "True"];
    assert_eq!(flux.table(&["get", "sources", "git", "app"])?[1][1..4], suspended);
    assert_eq!(flux.table(&["get", "kustomizations"])?[1][1..4], suspended);

    let said = flux.run(&["resume", "source", "git", "app"])?;
    assert_eq!(
        said,
        format!(
            "► resuming source git app in {namespace} namespace\n✔ source git resumed\n\
             ◎ waiting for GitRepository reconciliation\n\
             ✔ GitRepository app reconciliation completed\n✔ fetched revision {new}\n"
        )
    );
    assert_eq!(flux.test.get("ConfigMap/map").await?.text("/data/value"), "0");
    let said = flux.run(&["resume", "kustomization", "app"])?;
    assert!(said.ends_with(&format!("✔ applied revision {new}\n")), "{said}");
    assert_eq!(flux.test.get("ConfigMap/map").await?.text("/data/value"), "1");
    let resumed = [short(&new), "False", "True"];
    assert_eq!(flux.table(&["get", "sources", "git"])?[1][1..4], resumed);
    assert_eq!(flux.table(&["get", "kustomizations"])?[1][1..4], resumed);
    flux.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_get_shows_revisions_and_messages() -> Result<()> {
    let (flux, revision) = Flux::with_app("flux-get").await?;
    let (namespace, short) = (&*flux.test.namespace, short(&revision));
    let head = ["NAME", "REVISION", "SUSPENDED", "READY", "MESSAGE"];
    let stored = format!("stored artifact for revision '{short}'");
    let applied = format!("Applied revision: {short}");
    assert_eq!(
        flux.table(&["get", "sources", "git"])?,
        [head.as_slice(), &["app", short, "False", "True", &stored]]
    );
    assert_eq!(
        flux.table(&["get", "kustomizations"])?,
        [head.as_slice(), &["app", short, "False", "True", &applied]]
    );
    let everywhere = flux.table(&["get", "kustomizations", "--all-namespaces"])?;
    assert!(everywhere.contains(&row([namespace, "app", short, "False", "True", &applied])));
    // Also where the kinds of the other controllers are not installed.
    let all = flux.run(&["get", "all"])?;
    assert!(all.contains("gitrepository/app") && all.contains("kustomization/app"), "{all}");
    flux.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_create_export_and_delete() -> Result<()> {
    let flux = Flux::new("flux-create").await?;
    let test = &flux.test;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    test.git.set_account(Some(("alice", "s3cret")));
    let url = format!("--url={}", test.git.url("app"));
    let source = ["create", "source", "git", "app", &url, "--branch=main", "--interval=1h"];
    let said = flux.run(&[source.as_slice(), &["--username=alice", "--password=s3cret"]].concat())?;
    for line in [
        "► applying secret with repository credentials",
        "✔ GitRepository source created",
        "✔ GitRepository source reconciliation completed",
        &format!("✔ fetched revision: main@sha1:{commit}"),
    ] {
        assert!(said.lines().any(|said| said == line), "{line} in\n{said}");
    }
    let target = format!("--target-namespace={}", test.namespace);
    let kustomization = [
        "create",
        "kustomization",
        "app",
        "--source=GitRepository/app",
        "--path=./app",
        "--prune=true",
        "--wait=true",
        "--interval=1h",
        &target,
    ];
    let said = flux.run(&kustomization)?;
    assert!(said.contains("✔ Kustomization app is ready\n"), "{said}");
    assert!(said.ends_with(&format!("✔ applied revision main@sha1:{commit}\n")), "{said}");
    assert!(test.exists("ConfigMap/map").await?);

    // Changes of the spec are waited for as well.
    let other =
        ["create", "source", "git", "app", &url, "--tag-semver=1.x", "--secret-ref=app", "--interval=1h"];
    test.repo.tag("v1.2.0", Some("annotated"))?;
    let said = flux.run(&other)?;
    assert!(said.ends_with(&format!("✔ fetched revision: v1.2.0@sha1:{commit}\n")), "{said}");

    // What is exported says what was typed, and nothing of the status.
    for (create, export) in [
        (&other[..], ["export", "source", "git", "app"].as_slice()),
        (&kustomization[..], &["export", "kustomization", "app"]),
    ] {
        let [mut live, mut typed] = [export, &[create, &["--export"]].concat()]
            .map(|args| documents(&flux.run(args).unwrap()).unwrap().remove(0));
        for object in [&mut live, &mut typed] {
            assert_eq!(object["status"], Value::Null, "{object}");
            // The API server's defaults stand in the live one alone.
            for default in ["timeout", "force"] {
                object["spec"].as_object_mut().unwrap().remove(default);
            }
        }
        assert_eq!(live["spec"], typed["spec"]);
    }

    let said = flux.run(&["delete", "kustomization", "app", "--silent"])?;
    assert!(said.ends_with("✔ kustomization deleted\n"), "{said}");
    test.gone("Kustomization/app").await?;
    assert!(!test.exists("ConfigMap/map").await?);
    let said = flux.run(&["delete", "source", "git", "app", "--silent"])?;
    assert!(said.ends_with("✔ source git deleted\n"), "{said}");
    test.gone("GitRepository/app").await?;
    flux.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_events_stats_tree_and_trace_find_their_way() -> Result<()> {
    let (flux, revision) = Flux::with_app("flux-trace").await?;
    let (test, namespace) = (&flux.test, &flux.test.namespace);
    test.event("Kustomization/app", "Normal", "ReconciliationSucceeded", "Reconciliation finished").await?;
    test.event("GitRepository/app", "Normal", "NewArtifact", "stored artifact for commit").await?;
    // Those of its source are shown too.
    let rows = flux.table(&["events", "--for", "Kustomization/app"])?;
    assert_eq!(rows[0], ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
    let shown = |kind: &str, reason: &str, message: &str| {
        rows.iter().any(|r| r[1] == "Normal" && r[2] == reason && r[3] == kind && r[4].contains(message))
    };
    assert!(
        shown("GitRepository/app", "NewArtifact", "stored artifact for commit 'write app/map.yaml'"),
        "{rows:?}"
    );
    assert!(shown("Kustomization/app", "ReconciliationSucceeded", "Reconciliation finished in "), "{rows:?}");
    assert!(
        shown("Kustomization/app", "Progressing", &format!("ConfigMap/{namespace}/map created")),
        "{rows:?}"
    );

    let size = test.get("GitRepository/app").await?.number("/status/artifact/size");
    let stats = flux.table(&["stats"])?;
    assert_eq!(stats[0], ["RECONCILERS", "RUNNING", "FAILING", "SUSPENDED", "STORAGE"]);
    assert!(stats.contains(&row(["GitRepository", "1", "0", "0", &format!("{size} B")])), "{stats:?}");
    assert!(stats.contains(&row(["Kustomization", "1", "0", "0", "-"])), "{stats:?}");

    let tree = flux.run(&["tree", "kustomization", "app"])?;
    assert_eq!(tree.trim(), format!("Kustomization/{namespace}/app\n└── ConfigMap/{namespace}/map"));

    let trace = flux.run(&["trace", "configmap", "map"])?;
    for line in [
        format!(
            "Object:          ConfigMap/map\nNamespace:       {namespace}\nStatus:          Managed by Flux\n"
        ),
        format!("Path:            ./app\nRevision:        {revision}\nStatus:          Last reconciled at "),
        format!("Message:         Applied revision: {revision}\n"),
        format!("Branch:          main\nRevision:        {revision}\nStatus:          Last reconciled at "),
        format!("Message:         stored artifact for revision '{revision}'\n"),
    ] {
        assert!(trace.contains(&line), "{line} in\n{trace}");
    }
    flux.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_build_and_diff_agree_with_what_was_applied() -> Result<()> {
    let (flux, _) = Flux::with_app("flux-diff").await?;
    let folder = temp_folder("app")?;
    let path = folder.path().to_str().unwrap();
    fs::write(folder.path().join("map.yaml"), config_map("map", "0"))?;
    let built = documents(&flux.run(&["build", "kustomization", "app", "--path", path])?)?.remove(0);
    let live = flux.test.get("ConfigMap/map").await?;
    for field in ["/data", "/metadata/labels", "/metadata/namespace"] {
        assert_eq!(built.pointer(field), live.pointer(field), "{field}");
    }
    let diff = ["diff", "kustomization", "app", "--path", path, "--progress-bar=false"];
    assert_eq!(flux.run(&diff)?.trim(), "");
    fs::write(folder.path().join("map.yaml"), config_map("map", "1"))?;
    fs::write(folder.path().join("more.yaml"), config_map("more", "1"))?;
    let said = flux.fails(&diff)?;
    let namespace = &flux.test.namespace;
    assert!(said.contains(&format!("► ConfigMap/{namespace}/map drifted")), "{said}");
    assert!(said.contains(&format!("► ConfigMap/{namespace}/more created")), "{said}");
    assert!(said.contains("data.value"), "{said}");
    flux.test.finish().await
}
