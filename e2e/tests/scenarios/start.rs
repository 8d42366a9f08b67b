//! What a controller says at its start, and how it ends where it cannot start.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::cluster::User::{self, HelmController, KustomizeController, SourceController, SourceWatcher};
use e2e::controller::find_binary;
use e2e::objects::Look;
use e2e::process::{Owner, Process, temp_folder};
use e2e::wait::{self, LIMIT, Not};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

/// How many controllers of one test run beside each other.
const AT_ONCE: usize = 24;

/// Status and output of a controller that ends by itself, started with no environment but this.
async fn ended(user: User, args: &[&str], environment: &[(&str, &str)]) -> Result<(i32, Vec<String>)> {
    let temp = temp_folder("start")?;
    let log = temp.path().join("log");
    let mut command = Command::new(find_binary(user.name())?);
    command.args(args).env_clear().envs(environment.iter().copied()).env("RUST_BACKTRACE", "1");
    let mut process = Process::start(user.name(), &mut command, &log, Owner::Harness)?;
    let status = wait::until(LIMIT, async || match process.ended().map_err(Not::Ever)? {
        Some(status) => Ok(status),
        None => Err(Not::Yet("it runs".into())),
    })
    .await?;
    let lines = std::fs::read_to_string(&log)?.lines().map(str::to_owned).collect();
    Ok((status.code().context("ended by a signal")?, lines))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_line_says_what_a_controller_was_started_with() -> Result<()> {
    for (user, concurrent, gate, default) in [
        (SourceController, 2, "ObjectLevelWorkloadIdentity=true", "CacheSecretsAndConfigMaps=false"),
        (KustomizeController, 4, "GroupChangeLog=true", "StrictPostBuildSubstitutions=true"),
        (HelmController, 4, "UseHelm3Defaults=true", "ExternalArtifact=true"),
        (SourceWatcher, 10, "DirectSourceFetch=true", ""),
    ] {
        let (concurrent, gates) = (format!("--concurrent={concurrent}"), format!("--feature-gates={gate}"));
        let events = "--events-addr=http://me:canary@receiver.example/canary?token=canary";
        // Longer than the labels of DNS, so nobody is asked.
        let nowhere = format!("--metrics-addr={}:80", "x".repeat(64));
        let flags = [&*nowhere, &*concurrent, events, &*gates];
        let (status, lines) = ended(user, &flags, &[("RUNTIME_NAMESPACE", "flux-system")]).await?;
        assert_eq!(status, 1);
        assert!(!lines.concat().contains("canary"), "{lines:?}");
        let first: Value = serde_json::from_str(lines.first().context("no line")?)?;
        assert_eq!(first.text("/msg"), format!("starting {}", user.name()));
        assert_eq!(first.text("/version"), env!("CARGO_PKG_VERSION"));
        assert!(!first.text("/revision").is_empty());
        // One of them has its default.
        let changed = format!(
            "{nowhere} --events-addr=http://receiver.example --runtime-namespace=flux-system {gates}"
        );
        assert_eq!(first.pointer("/flags"), Some(&json!(changed)));
        let told = first.text("/gates");
        assert!(told.contains(gate) && told.contains(default), "{told}");
    }
    Ok(())
}

/// A kubeconfig with a server that nobody listens at.
const NOBODY: &str = "
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
users: [{name: u}]
";

/// Base64 of a PEM file whose certificate is none.
const BROKEN_CERTIFICATE: &str =
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCmJtOXVaUT09Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K";

/// What a controller is started with, the kubeconfig by its name, and how it ends: with a status and words in its last line.
type Row = (User, &'static str, Vec<String>, i32, String);

/// Mistakes that any controller may be started with; `address` is where somebody else listens.
fn mistakes(user: User, address: SocketAddr) -> Vec<Row> {
    let usage = |flag: &str, says: &str| (user, "nobody", vec![flag.to_owned()], 2, says.to_owned());
    let fails = |kubeconfig, flag: Option<String>, says: &str| {
        (user, kubeconfig, flag.into_iter().collect(), 1, says.to_owned())
    };
    vec![
        // Flags.
        usage("--nonsense", "unexpected argument '--nonsense' found"),
        usage("stray", "unexpected argument 'stray' found"),
        usage(
            "--concurrent=none",
            "invalid value 'none' for '--concurrent <CONCURRENT>': invalid digit found in string",
        ),
        usage("--events-addr=notification-controller", "it has to be a URL such as http://notification-"),
        usage("--watch-label-selector=a b", "\"a b\" is no label selector: key=value, "),
        usage("--feature-gates=Nonsense=true", "feature-gate 'Nonsense' not supported"),
        // Listeners.
        fails("nobody", Some(format!("--metrics-addr={address}")), &in_use(address, "--metrics-addr")),
        fails("nobody", Some(format!("--health-addr={address}")), &in_use(address, "--health-addr")),
        usage(
            "--metrics-addr=nowhere",
            "invalid value 'nowhere' for '--metrics-addr <METRICS_ADDR>': it has to be host:port or :port",
        ),
        // Who and where the API server is.
        fails("broken", None, "failed to parse kubeconfig"),
        fails("absent", None, "failed to find a kubeconfig or an in-cluster configuration"),
        fails(
            "certificate",
            None,
            "failed to set up the Kubernetes client: failed to read the client configuration: rustls tls error",
        ),
        fails(
            "nobody",
            Some("--enable-leader-election".into()),
            "leader election needs the environment variable RUNTIME_NAMESPACE",
        ),
    ]
}

fn in_use(address: SocketAddr, flag: &str) -> String {
    format!("failed to listen on {address}, which {flag} names: Address already in use")
}

/// Mistakes in the storage of a controller that serves artifacts; `folder` has an empty file `empty`.
fn storage_mistakes(user: User, address: SocketAddr, folder: &Path) -> Vec<Row> {
    let path = |name: &str| folder.join(name).display().to_string();
    let storage = format!("--storage-path={}", folder.display());
    let fails = |flags: &[String], says: String| (user, "nobody", flags.to_vec(), 1, says);
    // source-watcher shows the token to others, too, and has to know whom.
    let hosts = if user == SourceWatcher { "--artifact-hosts=h" } else { "--storage-adv-addr=h" }.to_owned();
    let invalid = "the storage at --storage-path, which must be an existing directory: invalid storage path";
    vec![
        fails(&[storage.clone(), format!("--storage-addr={address}")], in_use(address, "--storage-addr")),
        (
            user,
            "nobody",
            vec!["--storage-addr=nowhere".into()],
            2,
            "for '--storage-addr <STORAGE_ADDR>': it has to be host:port or :port".into(),
        ),
        fails(
            &[format!("--storage-path={}", path("none"))],
            format!("{invalid} {}: No such file", path("none")),
        ),
        fails(&[format!("--storage-path={}", path("empty"))], format!("{invalid} {}", path("empty"))),
        fails(
            &[storage, hosts, format!("--artifact-token-file={}", path("none"))],
            format!("failed to read the artifact token from '{}': No such file", path("none")),
        ),
    ]
}

/// Mistakes that only one controller, or some, can be started with.
fn own_mistakes(folder: &Path) -> Vec<Row> {
    let empty = |user: User, flag: &str| {
        let argument = flag.to_uppercase().replace('-', "_");
        let says = "name a service account, or leave the flag out";
        let says = format!("invalid value '' for '--{flag} <{argument}>': {says}");
        (user, "nobody", vec![format!("--{flag}=")], 2, says)
    };
    let usage = |user, flag: &str, says: &str| (user, "nobody", vec![flag.to_owned()], 2, says.to_owned());
    let token = folder.join("empty").display().to_string();
    let mut rows = vec![
        usage(
            SourceController,
            "--storage-header-timeout=soon",
            "for '--storage-header-timeout <STORAGE_HEADER_TIMEOUT>': time: invalid duration",
        ),
        usage(
            SourceWatcher,
            "--reconciliation-timeout=soon",
            "for '--reconciliation-timeout <RECONCILIATION_TIMEOUT>': time: invalid duration",
        ),
        empty(KustomizeController, "default-service-account"),
        empty(KustomizeController, "default-kubeconfig-service-account"),
        empty(KustomizeController, "default-decryption-service-account"),
        empty(HelmController, "default-service-account"),
        empty(HelmController, "default-kubeconfig-service-account"),
        empty(SourceController, "default-service-account"),
    ];
    let holds_none = format!("'{token}' holds no artifact token");
    let token = format!("--artifact-token-file={token}");
    for user in [KustomizeController, HelmController, SourceWatcher] {
        rows.push(usage(user, "--artifact-token-file=/t", "--artifact-hosts"));
        let flags = vec!["--artifact-hosts=h".into(), token.clone()];
        rows.push((user, "nobody", flags, 1, holds_none.clone()));
    }
    // They guard their own artifacts with it.
    for (user, more) in [(SourceController, "--storage-adv-addr=h"), (SourceWatcher, "--artifact-hosts=h")] {
        let flags = vec![more.into(), format!("--storage-path={}", folder.display()), token.clone()];
        rows.push((user, "nobody", flags, 1, holds_none.clone()));
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_ends_a_controller_with_one_line_that_says_what_to_do() -> Result<()> {
    let temp = temp_folder("bad-input")?;
    let path = |name: &str| temp.path().join(name).display().to_string();
    std::fs::write(path("nobody"), NOBODY)?;
    std::fs::write(path("broken"), "clusters: [")?;
    let secured = format!("'https://127.0.0.1:1', certificate-authority-data: {BROKEN_CERTIFICATE}");
    std::fs::write(path("certificate"), NOBODY.replace("'http://127.0.0.1:1'", &secured))?;
    std::fs::write(path("empty"), "")?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    let mut rows = own_mistakes(temp.path());
    for user in User::CONTROLLERS {
        rows.extend(mistakes(user, address));
    }
    for user in [SourceController, SourceWatcher] {
        rows.extend(storage_mistakes(user, address, temp.path()));
    }
    // Each waits for the API server for some seconds, so they go on beside each other.
    let path = &path;
    let cases = rows.into_iter().map(|(user, kubeconfig, flags, status, says)| async move {
        let given = flags.iter().map(String::as_str);
        let ports = ["--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0"];
        let args: Vec<&str> = ports.into_iter().chain(given).collect();
        let kubeconfig = path(kubeconfig);
        let ended = ended(user, &args, &[("KUBECONFIG", &kubeconfig)]).await;
        let (ended, lines) = ended.with_context(|| format!("{user:?} {flags:?}"))?;
        let last = lines.last().map(String::as_str).unwrap_or_default();
        let failures = lines.iter().filter(|line| line.contains("problem running manager")).count();
        let is_one = if status == 2 { lines.len() == 1 } else { failures == 1 };
        let is_clean =
            !lines.iter().any(|line| line.contains("panicked") || line.contains("stack backtrace"));
        ensure!(
            ended == status && last.contains(says.as_str()) && is_one && is_clean,
            "{user:?} {flags:?} ended with {ended}, wanted {status} and {says}:\n{}",
            lines.join("\n")
        );
        Ok(())
    });
    futures::stream::iter(cases).buffer_unordered(AT_ONCE).try_collect().await
}

/// It may still be starting, so nobody ends.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_does_not_answer_is_waited_for_and_the_log_says_so() -> Result<()> {
    let temp = temp_folder("nobody")?;
    let path = temp.path().join("nobody");
    std::fs::write(&path, NOBODY)?;
    let path = path.display().to_string();
    let cases = User::CONTROLLERS.map(async |user| {
        let log = temp.path().join(user.name());
        let mut command = Command::new(find_binary(user.name())?);
        command.args(["--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0"]);
        if [SourceController, SourceWatcher].contains(&user) {
            command.arg(format!("--storage-path={}", temp.path().display()));
        }
        let mut process =
            Process::start(user.name(), command.env("KUBECONFIG", &path), &log, Owner::Harness)?;
        let wanted = "the API server http://127.0.0.1:1/ does not answer: ";
        wait::until(LIMIT, async || {
            process.expect_running().map_err(Not::Ever)?;
            let text = std::fs::read_to_string(&log).map_err(|error| Not::Ever(error.into()))?;
            let told = text.lines().filter(|line| line.contains("waiting for the API server")).count();
            if told > 0 && text.contains(wanted) { Ok(()) } else { Err(Not::Yet(text)) }
        })
        .await
        .with_context(|| user.name())
    });
    futures::future::try_join_all(cases).await.map(drop)
}
