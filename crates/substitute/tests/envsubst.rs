//! The grammar against a table made by the original.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use serde_json::Value;
use substitute::{Error, Limits, Variables, substitute};

/// The first line holds the variables, every other one a text and what envsubst 1.8.0 makes of it.
const TABLE: &str = include_str!("data/envsubst.jsonl");

/// What the original says where ours answers with an error of its own.
fn words(error: &Error) -> String {
    match error {
        Error::NotUtf8 => "invalid utf-8".into(),
        error => {
            error.to_string().trim_start_matches("envsubst error: variable substitution failed: ").into()
        }
    }
}

#[test]
fn every_text_gives_what_the_original_gives() {
    let mut lines = TABLE.lines();
    let pairs: BTreeMap<String, String> = serde_json::from_str(lines.next().unwrap()).unwrap();
    let variables = Variables::new(pairs).unwrap();
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in lines {
        let row: Value = serde_json::from_str(line).unwrap();
        let strict = row["strict"].as_bool().unwrap_or(false);
        let ours = substitute(row["text"].as_str().unwrap(), &variables, strict, &Limits::default());
        let (out, err) = match &ours {
            Ok(out) => (out.as_str(), String::new()),
            Err(error) => ("", words(error)),
        };
        if out != row["out"] || err != row["err"].as_str().unwrap_or("") {
            wrong.push(format!("{line}\n  ours: {ours:?}"));
        }
        rows += 1;
    }
    assert!(rows > 500, "the table has only {rows} rows");
    assert!(wrong.is_empty(), "{} of {rows} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}
