//! Programs that answer rows: the real Helm and ours.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The error of a program that answers no more.
pub const ENDED: &str = "the program ended";

/// A chart, values for it and how to render it. Chart `c`, release `r` in `ns`, Kubernetes v1.33.0.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub id: u64,
    /// `templates/t.yaml`
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// `values.yaml`
    #[serde(rename = "v", skip_serializing_if = "Option::is_none")]
    pub chart_values: Option<String>,
    pub files: BTreeMap<String, String>,
    /// Files of the user.
    pub values: Vec<String>,
    pub set: Vec<String>,
    pub set_string: Vec<String>,
    pub set_json: Vec<String>,
    pub set_literal: Vec<String>,
    pub upgrade: bool,
    #[serde(rename = "includeCRDs")]
    pub include_crds: bool,
}

/// What a program makes of a row.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Answer {
    pub out: Option<serde_json::Value>,
    pub err: Option<String>,
    #[serde(default)]
    pub notes: String,
    /// Whether the real Helm itself answers now this, now that.
    #[serde(default)]
    pub unstable: bool,
}

/// A program that gets rows on its standard input, and answers each with a line.
pub struct Program {
    command: Vec<String>,
    running: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Program {
    /// It is started with the first row.
    pub fn new(program: &str, mode: &str) -> Self {
        Self { command: vec![program.to_owned(), mode.to_owned()], running: None }
    }

    /// The answer to a row. A program that ends instead is an error of the row; it is started again for the next one.
    pub fn ask(&mut self, row: &Row) -> Result<Answer> {
        if self.running.is_none() {
            let mut words = self.command.iter();
            let mut child = Command::new(words.next().context("no program")?)
                .args(words)
                .env("TZ", "UTC")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .with_context(|| format!("start {:?}", self.command))?;
            let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).context("no pipes")?;
            self.running = Some((child, stdin, BufReader::new(stdout)));
        }
        let (_, stdin, stdout) = self.running.as_mut().context("not running")?;
        let mut line = serde_json::to_string(row)?;
        line.push('\n');
        let mut answer = String::new();
        let asked = stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush());
        if asked.is_err() || stdout.read_line(&mut answer)? == 0 {
            let status = self.running.take().map(|(mut child, ..)| child.wait()).transpose()?;
            return Ok(Answer {
                out: None,
                err: Some(format!("{ENDED}: {status:?}")),
                notes: String::new(),
                unstable: false,
            });
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some((mut child, stdin, _)) = self.running.take() {
            drop(stdin);
            let _ = child.wait();
        }
    }
}
