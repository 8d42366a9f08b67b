//! The verbs of Flux's client around an application: artifacts in a registry, tenants, what debugs and what migrates.

use std::fs;

use anyhow::Result;
use e2e::git_server::GitServer;
use e2e::objects::Look;
use e2e::process::temp_folder;
use e2e::registry::{PASSWORD, Registry, Setup, USER};
use e2e::sshd::{SshServer, keygen};
use e2e::testkit::config_map;
use serde_json::json;

use crate::flux_cli::Flux;

#[tokio::test(flavor = "multi_thread")]
async fn flux_pushes_an_artifact_and_everything_after_it() -> Result<()> {
    let flux = Flux::new("flux-oci").await?;
    let (test, namespace) = (&flux.test, &flux.test.namespace);
    let registry = Registry::start(Setup { basic_auth: true, ..Setup::default() }).await;
    let url = format!("oci://{}/team/app", registry.address());
    let folder = temp_folder("app")?;
    let path = folder.path().to_str().unwrap();
    let credentials = format!("--creds={USER}:{PASSWORD}");
    let push = |value: &str| -> Result<()> {
        fs::write(folder.path().join("map.yaml"), config_map("map", value))?;
        let tagged = format!("{url}:latest");
        let revision = format!("--revision=main@sha1:{value}");
        let source = "--source=https://example.com/app";
        flux.run(&[
            "push",
            "artifact",
            &tagged,
            "--path",
            path,
            &revision,
            source,
            &credentials,
            "--insecure-registry",
        ])?;
        Ok(())
    };
    push("1")?;
    let (user, password) = (format!("--username={USER}"), format!("--password={PASSWORD}"));
    let registry_url = format!("--url={}", registry.address());
    flux.run(&["create", "secret", "oci", "registry", &registry_url, &user, &password])?;
    let from = format!("--url={url}");
    let source =
        ["create", "source", "oci", "app", &from, "--tag=latest", "--secret-ref=registry", "--insecure"];
    let said = flux.run(&[&source[..], &["--interval=1h"]].concat())?;
    assert!(said.contains("✔ fetched revision: latest@sha256:"), "{said}");
    let target = format!("--target-namespace={namespace}");
    let said = flux.run(&[
        "create",
        "kustomization",
        "app",
        "--source=OCIRepository/app",
        "--prune=true",
        "--interval=1h",
        &target,
    ])?;
    assert!(said.contains("✔ applied revision latest@sha256:"), "{said}");
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "1");
    let trace = flux.run(&["trace", "configmap", "map"])?;
    for line in [
        "OCIRepository:   app\n",
        "Origin Revision: main@sha1:1\n",
        "Origin Source:   https://example.com/app\n",
    ] {
        assert!(trace.contains(line), "{line} in\n{trace}");
    }

    push("2")?;
    flux.run(&["suspend", "source", "oci", "app"])?;
    assert_eq!(flux.table(&["get", "sources", "oci"])?[1][2..4], ["True", "True"]);
    let said = flux.run(&["resume", "source", "oci", "app"])?;
    assert!(said.contains("✔ fetched revision latest@sha256:"), "{said}");
    flux.run(&["reconcile", "kustomization", "app"])?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "2");
    push("3")?;
    flux.run(&["reconcile", "source", "oci", "app"])?;
    flux.run(&["reconcile", "kustomization", "app", "--with-source"])?;
    assert_eq!(test.get("ConfigMap/map").await?.text("/data/value"), "3");
    let exported = flux.run(&["export", "source", "oci", "app"])?;
    assert!(exported.contains(&format!("url: {url}\n")) && !exported.contains("status"), "{exported}");
    let said = flux.run(&["get", "sources", "all"])?;
    assert!(said.contains("ocirepository/app"), "{said}");
    flux.run(&["delete", "kustomization", "app", "--silent"])?;
    test.gone("Kustomization/app").await?;
    flux.run(&["delete", "source", "oci", "app", "--silent"])?;
    test.gone("OCIRepository/app").await?;
    assert!(!test.exists("ConfigMap/map").await?);
    flux.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_makes_the_secrets_that_sources_need() -> Result<()> {
    let flux = Flux::new("flux-secrets").await?;
    let commit = flux.test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    let folder = temp_folder("keys")?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let ssh = SshServer::start(&["ed25519"]);
    let key = keygen(folder.path(), "key", "ecdsa-384", &[]);
    ssh.authorize(&key);
    // The client asks the server for its keys, and has none by itself.
    let (url, key) = (ssh.url(flux.test.repo.bare()), format!("--private-key-file={}", path("key")));
    let create = ["create", "source", "git", "--branch=main", "--interval=1h"];
    let said = flux.run(&[&create[..], &["by-ssh", "--silent", "--url", &url, &key]].concat())?;
    assert!(said.ends_with(&format!("✔ fetched revision: main@sha1:{commit}\n")), "{said}");

    let git = GitServer::start_tls().await?;
    git.set_account(Some(("alice", "s3cret")));
    let commit = git.create("tls")?.commit_file("app/map.yaml", &config_map("map", "1"))?;
    fs::write(path("ca.crt"), git.ca_pem().unwrap())?;
    let (url, ca) = (git.url("tls"), format!("--ca-file={}", path("ca.crt")));
    let account = ["--username=alice", "--password=s3cret"];
    let said = flux.run(&[&create[..], &["by-tls", "--url", &url, &ca], &account].concat())?;
    assert!(said.ends_with(&format!("✔ fetched revision: main@sha1:{commit}\n")), "{said}");
    flux.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_debug_shows_status_history_and_variables() -> Result<()> {
    let (flux, revision) = Flux::with_app("flux-debug").await?;
    let test = &flux.test;
    test.apply(&config_map("variables", "from a ConfigMap")).await?;
    let variables = json!({"spec": {"postBuild": {
        "substitute": {"own": "1"}, "substituteFrom": [{"kind": "ConfigMap", "name": "variables"}],
    }}});
    test.patch("Kustomization/app", &variables).await?;
    flux.run(&["reconcile", "kustomization", "app"])?;
    let debug = |show: &str| flux.run(&["debug", "kustomization", "app", show]);
    let said = debug("--show-vars")?;
    assert_eq!(said, "own=1\nvalue=from a ConfigMap\n");
    let said = debug("--show-status")?;
    assert!(said.contains(&format!("lastAppliedRevision: {revision}\n")), "{said}");
    let said = debug("--show-history")?;
    assert!(said.contains("lastReconciledStatus: ReconciliationSucceeded\n"), "{said}");
    flux.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_migrate_writes_every_object_and_changes_none() -> Result<()> {
    let (flux, _) = Flux::with_app("flux-migrate").await?;
    let test = &flux.test;
    let said = flux.run(&["check", "--pre"])?;
    assert!(said.ends_with("✔ prerequisites checks passed\n"), "{said}");
    let before = [test.get("GitRepository/app").await?, test.get("Kustomization/app").await?];
    let said = flux.run(&["migrate"])?;
    assert!(said.ends_with("✔ custom resources migrated successfully\n"), "{said}");
    let after = [test.get("GitRepository/app").await?, test.get("Kustomization/app").await?];
    for (before, after) in before.iter().zip(&after) {
        for field in ["/spec", "/status", "/metadata/generation", "/metadata/uid"] {
            assert_eq!(before.pointer(field), after.pointer(field), "{field}");
        }
    }
    flux.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_makes_a_tenant_whose_kustomization_is_applied_as_it() -> Result<()> {
    let flux = Flux::new("flux-tenant").await?;
    let (test, namespace) = (&flux.test, &flux.test.namespace);
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "0"))?;
    test.apply_source().await?;
    let of = format!("--with-namespace={namespace}");
    flux.run(&["create", "tenant", "dev", &of, "--skip-namespace", "--cluster-role=admin"])?;
    let target = format!("--target-namespace={namespace}");
    let create = [
        "create",
        "kustomization",
        "app",
        "--source=GitRepository/app",
        "--path=./app",
        "--prune=true",
        "--interval=1h",
        "--service-account=dev",
        &target,
    ];
    let said = flux.run(&create)?;
    assert!(said.ends_with(&format!("✔ applied revision main@sha1:{commit}\n")), "{said}");
    // An administrator of a namespace has no rights beyond it.
    let role =
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: taken}\nrules: []\n";
    test.repo.commit_file("app/role.yaml", role)?;
    // What is tried again is waited for.
    flux.fails(&["reconcile", "kustomization", "app", "--with-source", "--timeout=4s"])?;
    test.until("Kustomization/app", "fails", |app| {
        app.condition("Ready").is_some_and(|c| c.status == "False")
    })
    .await?;
    let rows = flux.table(&["get", "kustomizations", "app"])?;
    let user = format!("system:serviceaccount:{namespace}:dev");
    assert_eq!(rows[1][3], "False");
    assert!(rows[1][4].contains(&user) && rows[1][4].contains("cannot"), "{rows:?}");
    flux.test.finish().await
}
