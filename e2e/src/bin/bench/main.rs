//! What secrets and variables cost: kustomize-controller over N Kustomizations, with and without them; what N sources of one registry
//! cost, and N charts of one index; and helm-controller over N HelmReleases. Part of `make bench`.
//!
//! ```text
//! bench [N] [secrets|registry|charts|helm|buckets|generic|gcp|azure]...
//! ```
//!
//! `buckets` tells what one bucket of N objects costs at each kind of store, which may be named alone, and is only measured when it is
//! named. `E2E_BIN_DIR` may have other controllers, such as Flux's source-controller, to measure them beside ours. That one has no
//! credentials for the servers that stand for Google's store, so of the buckets it is `generic` that can be compared.

mod bucket;
mod charts;
mod helm;
mod registry;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::controller::find_binary;
use e2e::objects::Look;
use e2e::scenario::{REQUESTED_AT, Scenario};
use e2e::sops::Key;
use e2e::testkit::config_map;
use e2e::wait::{self, Not, not_yet};
use serde_json::{Value, json};

/// Kustomizations if no number is given.
const COUNT: usize = 300;
/// ConfigMaps that each takes variables from.
const CONFIG_MAPS: usize = 3;
/// How long a phase may take. Other controllers read a large index for each chart anew.
const LIMIT: Duration = Duration::from_secs(3600);
/// The pause between two looks at all objects, in times of what a look takes.
const LOOK_PAUSE: u32 = 20;
/// In a second; a constant of Linux.
const CLOCK_TICKS: f64 = 100.0;

/// What a phase took of a controller.
struct Cost {
    cpu: f64,
    wall: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(Ok(COUNT), |text| text.parse()).context("a number")?;
    let wanted: Vec<String> = arguments.collect();
    let is_wanted = |table: &str| wanted.is_empty() || wanted.iter().any(|name| name == table);
    if is_wanted("secrets") {
        secrets(count).await?;
    }
    if is_wanted("registry") {
        registry::table(count).await?;
    }
    if is_wanted("charts") {
        charts::table(count).await?;
    }
    if is_wanted("helm") {
        helm::table(count).await?;
    }
    let stores = bucket::STORES.into_iter().filter(|store| wanted.iter().any(|name| name == store));
    let stores: Vec<&str> = stores.collect();
    match wanted.iter().any(|name| name == "buckets") {
        true => bucket::table(count, &bucket::STORES).await?,
        false if !stores.is_empty() => bucket::table(count, &stores).await?,
        false => {}
    }
    Ok(())
}

async fn secrets(count: usize) -> Result<()> {
    println!(
        "{count} Kustomizations with a Secret and a ConfigMap each        install            no change       peak"
    );
    let plain = row("as they are", "bench-plain", count, false).await?;
    let full = row("3 ConfigMaps of variables, Secret of SOPS (age)", "bench-full", count, true).await?;
    println!("{:<50} {:>8.2}x {:>18.2}x", "CPU, beside the same without", full.0 / plain.0, full.1 / plain.1);
    Ok(())
}

/// Measures and prints; gives the CPU seconds of both phases.
async fn row(what: &str, name: &str, count: usize, full: bool) -> Result<(f64, f64)> {
    let test = Scenario::with_own_controllers(name, &[]).await?;
    let key = Key::age();
    test.objects.apply_one(&key.secret("keys"), &test.namespace).await?;
    for number in 0..CONFIG_MAPS {
        let map = config_map(&format!("variables-{number}"), &format!("value-{number}"));
        test.apply(&map.replace("value:", &format!("v{number}:"))).await?;
    }
    let secret = match full {
        true => key.manifest("name-of-it", "hunter2")?,
        false => {
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: name-of-it\nstringData:\n  value: hunter2\n"
                .to_owned()
        }
    };
    let value = if full { "${v0} ${v1} ${v2}" } else { "value-0 value-1 value-2" };
    for number in 0..count {
        // Neither the name nor the MAC is part of what a value is encrypted with.
        test.repo.write(
            &format!("app-{number}/secret.yaml"),
            &secret.replace("name-of-it", &format!("s-{number}")),
        )?;
        test.repo.write(&format!("app-{number}/map.yaml"), &config_map(&format!("m-{number}"), value))?;
    }
    test.repo.commit("all")?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    let mut more = String::new();
    if full {
        more.push_str(
            "  decryption: {provider: sops, secretRef: {name: keys}}\n  postBuild:\n    substituteFrom:\n",
        );
        for number in 0..CONFIG_MAPS {
            more.push_str(&format!("    - {{kind: ConfigMap, name: variables-{number}}}\n"));
        }
    }
    let process = test.pair()?.kustomize.id().context("not running")?;
    let install = phase(process, async || {
        for number in 0..count {
            test.apply(&test.kustomization_yaml(&format!("k-{number}"), &format!("./app-{number}"), &more))
                .await?;
        }
        all(&test, "Kustomization", count, |object| {
            object.condition("Ready").is_some_and(|ready| ready.status == "True")
        })
        .await
    })
    .await?;
    let no_change = phase(process, async || {
        let request = json!({"metadata": {"annotations": {REQUESTED_AT: "now"}}});
        for number in 0..count {
            test.patch(&format!("Kustomization/k-{number}"), &request).await?;
        }
        all(&test, "Kustomization", count, |object| object.text("/status/lastHandledReconcileAt") == "now")
            .await
    })
    .await?;
    let peak = test.pair()?.kustomize.usage()?.peak_kib >> 10;
    println!(
        "{what:<50} {:>6.2} s CPU {:>5.1} s {:>6.2} s CPU {:>5.1} s {peak:>4} MiB",
        install.cpu, install.wall, no_change.cpu, no_change.wall
    );
    Ok((install.cpu, no_change.cpu))
}

async fn phase(process: u32, work: impl AsyncFnOnce() -> Result<()>) -> Result<Cost> {
    let (begin, before) = (Instant::now(), cpu(process)?);
    work().await?;
    Ok(Cost { cpu: cpu(process)? - before, wall: begin.elapsed().as_secs_f64() })
}

/// Waits until all objects of a kind are so. Looks take a small part of the time only: the API server shares the processors with whom
/// is measured.
async fn all(test: &Scenario, kind: &str, count: usize, is: impl Fn(&Value) -> bool) -> Result<()> {
    let like = test.id(&format!("{kind}/any"))?;
    wait::until(LIMIT, async || {
        let begin = Instant::now();
        let done =
            test.objects.list(&like).await.map_err(not_yet)?.iter().filter(|object| is(object)).count();
        if done == count {
            return Ok(());
        }
        tokio::time::sleep(begin.elapsed() * LOOK_PAUSE).await;
        Err(Not::Yet(format!("{done} of {count}")))
    })
    .await
    .with_context(|| format!("all objects of {kind}"))
}

/// The controller that is measured, which `E2E_BIN_DIR` may change.
fn measured(controller: &str) -> Result<String> {
    let program = fs::canonicalize(find_binary(controller)?)?;
    Ok(program.display().to_string())
}

/// Seconds of processor time that a process has used.
fn cpu(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before may have blanks.
    let fields: Vec<&str> = stat.rsplit_once(')').context("no name")?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).context("no time");
    Ok((ticks(11)? + ticks(12)?) / CLOCK_TICKS)
}
