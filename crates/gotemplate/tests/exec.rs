//! What Go's own engine makes of templates and formats. `data/exec.go` recorded it with Go 1.26; its head says how.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use gotemplate::{Budget, MissingKey, Run, Value};
use serde::Deserialize;
use world::{set, world};

#[derive(Deserialize)]
struct Row {
    source: String,
    #[serde(default)]
    missing: String,
    #[serde(default)]
    output: String,
    #[serde(default)]
    error: String,
}

/// The text or the error of a template.
fn render(source: &str, missing_key: MissingKey) -> Result<String, String> {
    let mut set = set(missing_key);
    set.parse("dir/t.yaml", source.as_bytes()).map_err(|error| error.to_string())?;
    let run = Run::new(Budget::default(), &|| false);
    let text = set.execute(&run, "dir/t.yaml", Value::map(world()));
    text.map(|text| text.to_string()).map_err(|error| error.to_string())
}

#[test]
fn templates_give_what_go_gives() {
    let mut differences = Vec::new();
    for line in include_str!("data/exec.jsonl").lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        let missing_key = match row.missing.as_str() {
            "zero" => MissingKey::Zero,
            "error" => MissingKey::Error,
            _ => MissingKey::Default,
        };
        let expected = if row.error.is_empty() { Ok(row.output) } else { Err(row.error) };
        let found = render(&row.source, missing_key);
        if found != expected {
            differences.push(format!("{:?}\n  Go:   {expected:?}\n  here: {found:?}", row.source));
        }
    }
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n"));
}

#[derive(Deserialize)]
struct Format {
    format: String,
    texts: Vec<String>,
}

#[test]
fn every_kind_of_value_is_formatted_as_go_formats_it() {
    let mut differences = Vec::new();
    let world = world();
    for line in include_str!("data/fmt.jsonl").lines() {
        let row: Format = serde_json::from_str(line).unwrap();
        assert_eq!(row.texts.len(), world.len());
        for ((name, value), expected) in world.iter().zip(&row.texts).filter(|(_, text)| *text != "-") {
            let mut set = set(MissingKey::Default);
            set.parse("t", b"{{printf .format .value}}").unwrap();
            let data = Value::map([("format", row.format.as_str().into()), ("value", value.clone())]);
            let found = set.execute(&Run::new(Budget::default(), &|| false), "t", data).unwrap().to_string();
            if found != *expected {
                differences
                    .push(format!("{} of {name}\n  Go:   {expected:?}\n  here: {found:?}", row.format));
            }
        }
    }
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n"));
}
