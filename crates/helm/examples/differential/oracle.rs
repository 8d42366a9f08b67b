//! Programs that answer rows: the real Helm and ours.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

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
            return Ok(Answer { out: None, err: Some(format!("the program ended: {status:?}")), notes: String::new(), unstable: false });
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

/// Our own program. It answers rows, too, but renders whole charts from folders, as its user does.
pub enum Ours {
    Rows(Program),
    Folder(String),
}

impl Ours {
    pub fn new(program: &str, mode: &str) -> Self {
        if mode == "template" { Self::Folder(program.to_owned()) } else { Self::Rows(Program::new(program, mode)) }
    }

    /// As [`Program::ask`].
    pub fn ask(&mut self, row: &Row) -> Result<Answer> {
        match self {
            Self::Rows(program) => program.ask(row),
            Self::Folder(program) => render(program, row),
        }
    }
}

/// Of a chart that has no file of this.
const METADATA: &str = "apiVersion: v2\nname: c\nversion: 1.2.3\nappVersion: 4.5.6\n";

/// What the program prints for a chart in a folder.
fn render(program: &str, row: &Row) -> Result<Answer> {
    let folder = tempfile::tempdir()?;
    let (chart, notes) = (folder.path().join("chart"), folder.path().join("notes"));
    let metadata = METADATA.to_owned();
    let own = [("Chart.yaml", Some(&metadata)), ("values.yaml", row.chart_values.as_ref())];
    let own = own.into_iter().filter_map(|(name, text)| Some((name, text?)));
    for (name, text) in own.chain(row.files.iter().map(|(name, text)| (name.as_str(), text))) {
        let path = chart.join(name);
        std::fs::create_dir_all(path.parent().context("no folder")?)?;
        std::fs::write(path, text)?;
    }
    let mut command = Command::new(program);
    command.current_dir(folder.path()).env("TZ", "UTC");
    command.args(["template", "r", "chart", "--namespace", "ns", "--kube-version", "v1.33.0", "--notes"]).arg(&notes);
    for (index, text) in row.values.iter().enumerate() {
        let name = format!("v{index}.yaml");
        std::fs::write(folder.path().join(&name), text)?;
        command.args(["-f", &name]);
    }
    let flags = [("--set-json", &row.set_json), ("--set", &row.set), ("--set-string", &row.set_string), ("--set-literal", &row.set_literal)];
    for (flag, texts) in flags {
        texts.iter().for_each(|text| {
            command.arg(format!("{flag}={text}"));
        });
    }
    if row.upgrade {
        command.arg("--is-upgrade");
    }
    if row.include_crds {
        command.arg("--include-crds");
    }
    let output = command.output().with_context(|| format!("start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("level=")).collect();
        let said = said.join("\n");
        let error = said.strip_prefix("Error: ").unwrap_or(&said).trim_end_matches("\n\nUse --debug flag to render out invalid YAML");
        let error = if output.status.code().is_some_and(|code| code != 101) { error.to_owned() } else { format!("the program ended: {}: {error}", output.status) };
        return Ok(Answer { out: None, err: Some(error), notes: String::new(), unstable: false });
    }
    let notes = std::fs::read_to_string(&notes).unwrap_or_default();
    Ok(Answer { out: Some(String::from_utf8_lossy(&output.stdout).into()), err: None, notes, unstable: false })
}
