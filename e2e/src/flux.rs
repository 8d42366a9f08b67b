//! Flux's own command line client.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::process::temp_folder;

/// The client of a user who looks at one cluster and one namespace.
#[derive(Debug)]
pub struct Client {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
    environment: Vec<(String, String)>,
    home: TempDir,
}

impl Client {
    /// The client, from the cache or built now.
    pub async fn new(kubeconfig: &Path, namespace: &str) -> Result<Self> {
        let program = tokio::task::spawn_blocking(toolchain::flux).await??;
        Ok(Self {
            program,
            kubeconfig: kubeconfig.to_owned(),
            namespace: namespace.to_owned(),
            environment: Vec::new(),
            home: temp_folder("home")?,
        })
    }

    /// The same with a further environment variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs a command.
    pub fn output(&self, args: &[&str]) -> Result<Output> {
        let mut flux = Command::new(&self.program);
        flux.env("KUBECONFIG", &self.kubeconfig).env("HOME", self.home.path());
        flux.envs(self.environment.iter().cloned());
        flux.args(["-n", &self.namespace, "--timeout=100s"]).args(args);
        Ok(tokio::task::block_in_place(|| flux.output())?)
    }

    /// What a command prints, which must succeed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let output = self.output(args)?;
        ensure!(output.status.success(), "flux {}: {}", args.join(" "), text(&output));
        Ok(text(&output))
    }

    /// What a command prints, which must fail.
    pub fn fails(&self, args: &[&str]) -> Result<String> {
        let output = self.output(args)?;
        ensure!(!output.status.success(), "flux {} did not fail: {}", args.join(" "), text(&output));
        Ok(text(&output))
    }

    /// The cells of the table that a command prints.
    pub fn table(&self, args: &[&str]) -> Result<Vec<Vec<String>>> {
        let cells = |line: &str| line.trim_end().split('\t').map(|cell| cell.trim().to_owned()).collect();
        Ok(self.run(args)?.lines().map(cells).collect())
    }
}

fn text(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
