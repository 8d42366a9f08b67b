//! What a controller says at its start, and how it ends where it cannot start.

use std::process::Command;

use anyhow::{Context, Result};
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
        "--events-addr=http://me:canary@receiver.example/?token=canary",
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
    let changed = "--metrics-addr=nowhere --events-addr=http://receiver.example/ --runtime-namespace=flux-system \
                   --feature-gates=GroupChangeLog=true";
    assert_eq!(first.pointer("/flags"), Some(&json!(changed)));
    let gates = first.text("/gates");
    assert!(
        gates.contains("GroupChangeLog=true,") && gates.contains("StrictPostBuildSubstitutions=true"),
        "{gates}"
    );
    Ok(())
}
