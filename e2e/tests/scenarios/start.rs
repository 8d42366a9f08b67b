//! What a controller says at its start, and how it ends where it cannot start.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::cluster::User;
use e2e::controller::find_binary;
use e2e::objects::Look;
use e2e::process::{Owner, Process, temp_folder};
use e2e::wait::{self, LIMIT, Not};
use serde_json::{Value, json};

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
    let flags = [
        "--metrics-addr=nowhere",
        "--concurrent=4",
        "--events-addr=http://me:canary@receiver.example/canary?token=canary",
        "--feature-gates=GroupChangeLog=true",
    ];
    let (status, lines) =
        ended(User::KustomizeController, &flags, &[("RUNTIME_NAMESPACE", "flux-system")]).await?;
    assert_eq!(status, 1);
    assert!(!lines.concat().contains("canary"), "{lines:?}");
    let first: Value = serde_json::from_str(lines.first().context("no line")?)?;
    assert_eq!(first.text("/msg"), "starting kustomize-controller");
    assert_eq!(first.text("/version"), env!("CARGO_PKG_VERSION"));
    assert!(!first.text("/revision").is_empty());
    let changed = "--metrics-addr=nowhere --events-addr=http://receiver.example --runtime-namespace=flux-system \
                   --feature-gates=GroupChangeLog=true";
    assert_eq!(first.pointer("/flags"), Some(&json!(changed)));
    let gates = first.text("/gates");
    assert!(
        gates.contains("GroupChangeLog=true,") && gates.contains("StrictPostBuildSubstitutions=true"),
        "{gates}"
    );
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

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_ends_a_controller_with_one_line_that_says_what_to_do() -> Result<()> {
    use User::{HelmController as Helm, KustomizeController as Kustomize, SourceController as Source};
    let temp = temp_folder("bad-input")?;
    let path = |name: &str| temp.path().join(name).display().to_string();
    std::fs::write(path("nobody"), NOBODY)?;
    std::fs::write(path("broken"), "clusters: [")?;
    let secured = format!("'https://127.0.0.1:1', certificate-authority-data: {BROKEN_CERTIFICATE}");
    std::fs::write(path("certificate"), NOBODY.replace("'http://127.0.0.1:1'", &secured))?;
    std::fs::write(path("empty"), "")?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    let storage = format!("--storage-path={}", temp.path().display());
    let in_use =
        |flag: &str| format!("failed to listen on {address}, which {flag} names: Address already in use");
    let empty = |user: User, flag: &str| {
        let says = "name a service account, or leave the flag out";
        let argument = flag.to_uppercase().replace('-', "_");
        let says = format!("invalid value '' for '--{flag} <{argument}>': {says}");
        (user, "nobody", vec![format!("--{flag}=")], 2, says)
    };
    let rows: Vec<(User, &str, Vec<String>, i32, String)> = vec![
        // Flags.
        (Kustomize, "nobody", vec!["--nonsense".into()], 2, "unexpected argument '--nonsense' found".into()),
        (Source, "nobody", vec!["stray".into()], 2, "unexpected argument 'stray' found".into()),
        (
            Kustomize,
            "nobody",
            vec!["--concurrent=none".into()],
            2,
            "invalid value 'none' for '--concurrent <CONCURRENT>': invalid digit found in string".into(),
        ),
        (
            Source,
            "nobody",
            vec!["--storage-header-timeout=soon".into()],
            2,
            "for '--storage-header-timeout <STORAGE_HEADER_TIMEOUT>': time: invalid duration".into(),
        ),
        (
            Kustomize,
            "nobody",
            vec!["--watch-label-selector=a b".into()],
            2,
            "\"a b\" is no label selector: key=value, ".into(),
        ),
        (
            Kustomize,
            "nobody",
            vec!["--feature-gates=Nonsense=true".into()],
            2,
            "feature-gate 'Nonsense' not supported".into(),
        ),
        (Kustomize, "nobody", vec!["--artifact-token-file=/t".into()], 2, "--artifact-hosts".into()),
        empty(Kustomize, "default-service-account"),
        empty(Kustomize, "default-kubeconfig-service-account"),
        empty(Kustomize, "default-decryption-service-account"),
        empty(Helm, "default-service-account"),
        empty(Helm, "default-kubeconfig-service-account"),
        empty(Source, "default-service-account"),
        // Listeners.
        (Kustomize, "nobody", vec![format!("--metrics-addr={address}")], 1, in_use("--metrics-addr")),
        (Source, "nobody", vec![format!("--health-addr={address}")], 1, in_use("--health-addr")),
        (
            Source,
            "nobody",
            vec![storage.clone(), format!("--storage-addr={address}")],
            1,
            in_use("--storage-addr"),
        ),
        (
            Kustomize,
            "nobody",
            vec!["--metrics-addr=nowhere".into()],
            1,
            "--metrics-addr has to be host:port or :port, and \\\"nowhere\\\" is not".into(),
        ),
        (
            Source,
            "nobody",
            vec![storage.clone(), "--storage-addr=nowhere".into()],
            1,
            "--storage-addr has to be host:port or :port, and \\\"nowhere\\\" is not".into(),
        ),
        // Who and where the API server is.
        (Kustomize, "broken", vec![], 1, "failed to parse kubeconfig".into()),
        (Source, "absent", vec![], 1, "failed to find a kubeconfig or an in-cluster configuration".into()),
        (
            Kustomize,
            "certificate",
            vec![],
            1,
            "failed to set up the Kubernetes client: failed to read the client configuration: rustls tls error".into(),
        ),
        (
            Kustomize,
            "nobody",
            vec!["--enable-leader-election".into()],
            1,
            "leader election needs the environment variable RUNTIME_NAMESPACE".into(),
        ),
        // Volumes and files.
        (
            Source,
            "nobody",
            vec![format!("--storage-path={}", path("none"))],
            1,
            format!(
                "the storage at --storage-path, which must be an existing directory: invalid storage path {}: No such file",
                path("none")
            ),
        ),
        (
            Source,
            "nobody",
            vec![format!("--storage-path={}", path("empty"))],
            1,
            format!("the storage at --storage-path, which must be an existing directory: invalid storage path {}", path("empty")),
        ),
        (
            Source,
            "nobody",
            vec![storage.clone(), format!("--artifact-token-file={}", path("none"))],
            1,
            format!("failed to read the artifact token from '{}': No such file", path("none")),
        ),
        (
            Kustomize,
            "nobody",
            vec!["--artifact-hosts=h".into(), format!("--artifact-token-file={}", path("empty"))],
            1,
            format!("'{}' holds no artifact token", path("empty")),
        ),
    ];
    // Each waits for the API server for some seconds, so they go on beside each other.
    let path = &path;
    let cases = rows.iter().map(|(user, kubeconfig, flags, status, says)| async move {
        let given = flags.iter().map(String::as_str);
        let ports = ["--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0"];
        let args: Vec<&str> = ports.into_iter().chain(given).collect();
        let kubeconfig = path(kubeconfig);
        let ended = ended(*user, &args, &[("KUBECONFIG", &kubeconfig)]).await;
        let (ended, lines) = ended.with_context(|| format!("{flags:?}"))?;
        let last = lines.last().map(String::as_str).unwrap_or_default();
        let failures = lines.iter().filter(|line| line.contains("problem running manager")).count();
        let is_one = if *status == 2 { lines.len() == 1 } else { failures == 1 };
        let is_clean =
            !lines.iter().any(|line| line.contains("panicked") || line.contains("stack backtrace"));
        ensure!(
            ended == *status && last.contains(says.as_str()) && is_one && is_clean,
            "{flags:?} ended with {ended}, wanted {status} and {says}:\n{}",
            lines.join("\n")
        );
        Ok(())
    });
    futures::future::try_join_all(cases).await.map(drop)
}
