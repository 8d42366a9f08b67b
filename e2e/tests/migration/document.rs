//! The commands of `docs/migrate.md`, run as they stand there.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, User};
use e2e::controller::find_binary;

/// The blocks of commands in a section of the document, in their order.
pub fn commands(section: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(e2e::workspace().join("docs/migrate.md"))?;
    let (_, rest) =
        text.split_once(&format!("\n## {section}\n")).with_context(|| format!("no section {section}"))?;
    let section = rest.split("\n## ").next().unwrap_or_default();
    let mut blocks = Vec::new();
    let mut block: Option<Vec<&str>> = None;
    for line in section.lines().map(str::trim) {
        match (&mut block, line) {
            (None, "```sh") => block = Some(Vec::new()),
            (Some(lines), "```") => {
                blocks.push(lines.join("\n"));
                block = None;
            }
            (Some(lines), line) => lines.push(line),
            (None, _) => {}
        }
    }
    ensure!(!blocks.is_empty(), "no commands");
    Ok(blocks)
}

/// Runs a block of commands as a cluster administrator would, and answers what they print. Each has to succeed.
pub async fn run(cluster: &Cluster, block: &str) -> Result<String> {
    let mut folders =
        vec![cluster.kubectl().get_program().to_owned().into(), find_binary("source-controller")?];
    folders.iter_mut().for_each(|program: &mut std::path::PathBuf| {
        program.pop();
    });
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut shell = Command::new("sh");
    shell.args(["-euxc", block]).env("PATH", std::env::join_paths(folders)?);
    shell.env("KUBECONFIG", cluster.kubeconfig(User::Admin));
    let output = tokio::task::spawn_blocking(move || shell.output()).await??;
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    ensure!(output.status.success(), "{block}: {}\n{text}", output.status);
    Ok(text)
}
