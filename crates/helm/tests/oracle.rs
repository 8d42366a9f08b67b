//! What the real Helm 4.3.1 makes of small charts: each row of `data/rows.jsonl` has its answer, which `e2e/tools/helm-oracle` gave.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

/// The rows of a mode, answered by `helm-template`.
fn answers(mode: &str, rows: &[Value]) -> Vec<Value> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_helm-template"))
        .arg(mode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = program.stdin.take().unwrap();
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn charts_become_what_helm_makes_of_them() {
    let rows: Vec<Value> =
        include_str!("data/rows.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut failed = Vec::new();
    for (mode, ours) in [("table", "table"), ("values", "values"), ("template", "manifests")] {
        let rows: Vec<Value> = rows.iter().filter(|row| row["mode"] == mode).cloned().collect();
        assert!(!rows.is_empty());
        let answers = answers(ours, &rows);
        assert_eq!(answers.len(), rows.len());
        for (row, answer) in rows.iter().zip(answers) {
            for part in ["out", "err", "notes"] {
                if row.get(part) != answer.get(part) {
                    let (expected, got) = (row.get(part), answer.get(part));
                    failed.push(format!("{} {part}\nexpected {expected:?}\ngot      {got:?}\n", row["id"]));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
