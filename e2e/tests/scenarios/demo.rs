//! `make demo`, as somebody runs it who has nothing but the programs that it builds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use e2e::process::{processes_of, temp_folder};

/// The demo with an empty home and a cache of its own, which has what was built before and nothing that runs.
fn demo(verb: &str, folder: &Path) -> Result<Output> {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
    demo.arg(verb).env("HOME", folder.join("home")).env("FERROFLUX_CACHE", folder.join("cache"));
    Ok(tokio::task::block_in_place(|| demo.output())?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_works_in_an_empty_home_and_takes_away_what_it_left() -> Result<()> {
    let temp = temp_folder("demo")?;
    let (home, cache) = (temp.path().join("home"), temp.path().join("cache"));
    fs::create_dir(&home)?;
    fs::create_dir(&cache)?;
    // It would build what is missing.
    tokio::task::spawn_blocking(toolchain::Toolchain::ensure).await??;
    for entry in fs::read_dir(toolchain::cache()?)? {
        let entry = entry?;
        if entry.file_name() != "run" {
            symlink(entry.path(), cache.join(entry.file_name()))?;
        }
    }
    let up = demo("up", temp.path());
    let left = processes_of(&cache);
    let down = demo("down", temp.path())?;
    let (said, told) = (up?, |output: &Output| {
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
    });
    ensure!(said.status.success(), "{}", told(&said));
    ensure!(told(&said).contains("✔ all of it in "), "{}", told(&said));
    ensure!(left.len() >= 5, "the control plane, the Git server and source-controller stay: {left:?}");
    ensure!(down.status.success(), "{}", told(&down));
    ensure!(processes_of(&cache).is_empty(), "{}", told(&down));
    ensure!(!cache.join("run/demo").exists(), "its folder is left");
    Ok(())
}
