//! The harness itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::git_server::{Asked, Fault, GitServer};
use e2e::objects::{Id, Look};
use e2e::process::{exists, processes_of, temp_folder};
use e2e::repository::git;
use e2e::wait::{self, LIMIT, Not};

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: idle}
spec:
  replicas: 0
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec: {containers: [{name: idle, image: idle}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_no_replicas_becomes_available() -> Result<()> {
    let objects = Cluster::shared().await?.objects().await?;
    let namespace = format!("harness-{:05x}", rand::random_range(0..0x10_0000));
    objects.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}"), "").await?;
    objects.apply(DEPLOYMENT, &namespace).await?;
    let id = Id::new("Deployment/idle", &namespace)?;
    wait::until(LIMIT, async || match objects.get(&id).await {
        Ok(Some(live)) if live.condition("Available").is_some_and(|c| c.status == "True") => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?}"))),
    })
    .await?;
    objects.delete(&Id::new(&format!("Namespace/{namespace}"), "")?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_from_the_server_and_sees_new_commits() -> Result<()> {
    let server = GitServer::start().await?;
    let repo = server.create("app")?;
    let temp = temp_folder("clone")?;
    let first = repo.commit_file("a.txt", "one")?;
    git(temp.path(), &["clone", "-q", &server.url("app"), "c"])?;
    let clone = temp.path().join("c");
    assert_eq!(git(&clone, &["rev-parse", "HEAD"])?, first);
    let asked = server.take_requests();
    assert_eq!(asked, [Asked::Greeting, Asked::Refs, Asked::Objects], "protocol version 2");

    let second = repo.commit_file("a.txt", "two")?;
    repo.tag("v1", Some("the first"))?;
    git(&clone, &["pull", "-q"])?;
    assert_eq!(fs::read_to_string(clone.join("a.txt"))?, "two");
    assert_eq!(git(&clone, &["rev-parse", "v1^{commit}"])?, second);

    let third = repo.rewrite("again")?;
    assert!(git(&clone, &["ls-remote", "origin", "main"])?.starts_with(&third));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_git_server_lets_in_only_the_account_it_is_told() -> Result<()> {
    let server = GitServer::start().await?;
    server.create("app")?.commit_file("a.txt", "one")?;
    server.set_account(Some(("alice", "s3cret")));
    let url = server.url("app");
    let with = |account: &str| url.replace("http://", &format!("http://{account}@"));
    let temp = temp_folder("clone")?;
    assert!(git(temp.path(), &["ls-remote", &url]).is_err(), "without a password");
    assert!(git(temp.path(), &["ls-remote", &with("alice:wrong")]).is_err(), "with a wrong password");
    git(temp.path(), &["ls-remote", &with("alice:s3cret")])?;
    server.set_account(None);
    git(temp.path(), &["ls-remote", &url]).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_git_server_speaks_tls_to_those_who_trust_it() -> Result<()> {
    let server = GitServer::start_tls().await?;
    server.create("app")?.commit_file("a.txt", "one")?;
    let temp = temp_folder("clone")?;
    let ca = temp.path().join("ca.pem");
    fs::write(&ca, server.ca_pem().unwrap())?;
    assert!(git(temp.path(), &["ls-remote", &server.url("app")]).is_err(), "without the authority");
    let trust = format!("http.sslCAInfo={}", ca.display());
    git(temp.path(), &["-c", &trust, "clone", "-q", &server.url("app"), "c"]).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_git_server_fails_when_it_is_told_to() -> Result<()> {
    let server = GitServer::start().await?;
    server.create("app")?.commit_file("a.txt", "one")?;
    let temp = temp_folder("clone")?;
    for fault in [Fault::Down, Fault::Status(503)] {
        server.set_fault(fault);
        assert!(git(temp.path(), &["ls-remote", &server.url("app")]).is_err(), "{fault:?}");
    }
    server.set_fault(Fault::None);
    git(temp.path(), &["ls-remote", &server.url("app")]).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_harness_leaves_no_process() -> Result<()> {
    let temp = temp_folder("killed")?;
    let note = temp.path().join("kubeconfig-path");
    let mut harness = Command::new(env!("CARGO_BIN_EXE_kube"))
        .args([
            "run",
            "--",
            "sh",
            "-c",
            "echo $$ > \"$1.pid\"; echo \"$KUBECONFIG\" > \"$1\"; exec sleep 600",
            "sh",
        ])
        .arg(&note)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let read = async || match fs::read_to_string(&note) {
        Ok(path) if path.ends_with('\n') => Ok(path.trim().to_owned()),
        _ => Err(Not::Yet("the cluster is not up".into())),
    };
    let kubeconfig = wait::until(LIMIT, read).await;
    let command: u32 = fs::read_to_string(temp.path().join("kubeconfig-path.pid"))?.trim().parse()?;
    let kubeconfig = kubeconfig?;
    let folder = Path::new(&kubeconfig).parent().unwrap().to_owned();
    let servers = processes_of(&folder);
    assert!(servers.len() >= 3, "etcd, API server and controller manager run: {servers:?}");

    harness.kill()?;
    harness.wait()?;
    wait::until(LIMIT, async || {
        let left: Vec<_> = servers.iter().chain([&command]).filter(|pid| exists(**pid)).collect();
        if left.is_empty() && !folder.exists() { Ok(()) } else { Err(Not::Yet(format!("left: {left:?}"))) }
    })
    .await
}
