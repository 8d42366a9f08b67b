//! Reading, writing and converting against tables made by the Go stack: kyaml 0.21.1 (go-yaml 3.0.4) and
//! sigs.k8s.io/yaml 1.6.0 (go-yaml 2.4.2). Each row is a text and what they make of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::Value;
use yaml::{
    Kind, Limits, Node, Resolver, Style, canonical_json, emit, json_to_yaml, parse, parse_unexpanded,
    parse_v2,
};

/// Hand-written, generated and mutated documents.
const DOCUMENTS: &str = include_str!("data/documents.jsonl");
/// The same, with edits of real manifests, merge keys and many aliases, for go-yaml v2.
const KUBERNETES: &str = include_str!("data/kubernetes.jsonl");
/// Strings that need care in quoting.
const STRINGS: &str = include_str!("data/strings.jsonl");
/// Scalars near the edges of numbers, booleans, nulls and dates.
const SCALARS: &str = include_str!("data/scalars.jsonl");

struct Row {
    line: &'static str,
    value: Value,
}

impl Row {
    fn text(&self) -> &str {
        self.value["text"].as_str().unwrap()
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.value[name].as_str()
    }
}

/// Runs a check on every row and reports all that differ.
fn check(table: &'static str, at_least: usize, check: impl Fn(&Row) -> Result<(), String>) {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for line in table.lines() {
        let row = Row { line, value: serde_json::from_str(line).unwrap() };
        rows += 1;
        if let Err(difference) = check(&row) {
            wrong.push(format!("{}\n{difference}", row.line));
        }
    }
    assert!(rows >= at_least, "the table has only {rows} rows");
    assert!(wrong.is_empty(), "{} of {rows} rows differ:\n{}", wrong.len(), wrong.join("\n\n"));
}

fn same(what: &str, theirs: &str, ours: &str) -> Result<(), String> {
    if theirs == ours { Ok(()) } else { Err(format!("{what}\n--- theirs\n{theirs}\n--- ours\n{ours}")) }
}

/// Kind, line, column and style of every node, in order.
fn places(node: &Node, out: &mut Vec<String>) {
    let kind = match node.kind() {
        Kind::Scalar => 'S',
        Kind::Sequence => 'Q',
        Kind::Mapping => 'M',
        Kind::Alias => 'A',
    };
    let style = match node.style() {
        Style::Plain => 0,
        Style::DoubleQuoted => 2,
        Style::SingleQuoted => 4,
        Style::Literal => 8,
        Style::Folded => 16,
        Style::Flow => 32,
    };
    out.push(format!("{kind}{}:{},{style}", node.line(), node.column()));
    node.items().iter().for_each(|item| places(item, out));
    for (key, value) in node.entries() {
        places(key, out);
        places(value, out);
    }
}

fn documents_agree(row: &Row) -> Result<(), String> {
    let documents = match parse_unexpanded(row.text(), &Limits::default()) {
        Ok((documents, _)) => documents,
        Err(error) => return same("error", row.field("err").unwrap_or("none"), &error.to_string()),
    };
    if let Some(error) = row.field("err") {
        return Err(format!("no error, expected {error}"));
    }
    let theirs = row.value["docs"].as_array().unwrap();
    same("documents", &theirs.len().to_string(), &documents.len().to_string())?;
    for (position, document) in documents.iter().enumerate() {
        same("emitted", theirs[position].as_str().unwrap(), &emit(document))?;
        if let Some(theirs) = row.value["places"][position].as_str() {
            let mut ours = Vec::new();
            places(document, &mut ours);
            same("places", theirs, &ours.join(" "))?;
        }
    }
    Ok(())
}

/// kyaml's view of the first document: aliases expanded, as JSON, and as `kustomize build` prints it.
fn kustomize_agrees(row: &Row) -> Result<(), String> {
    if row.field("err").is_some() {
        return Ok(());
    }
    let documents = match (parse(row.text(), &Limits::default()), row.field("flatErr")) {
        (Ok(documents), None) => documents,
        (Err(_), Some(_)) => return Ok(()),
        (Ok(_), Some(error)) => return Err(format!("no error, expected {error}")),
        (Err(error), None) => return Err(error.to_string()),
    };
    let Some(document) = documents.first() else { return Ok(()) };
    if let Some(flat) = row.field("flat") {
        same("expanded", flat, &emit(document))?;
    }
    match (row.field("v3"), row.field("v3Err"), document.to_json(Resolver::KustomizeV3)) {
        (Some(theirs), _, Ok(json)) => {
            same("JSON", theirs, &canonical_json(&json))?;
            row.field("out").map_or(Ok(()), |out| same("YAML from JSON", out, &json_to_yaml(&json)))
        }
        (None, None, _) | (None, Some(_), Err(_)) => Ok(()),
        (theirs, error, ours) => Err(format!("JSON\n--- theirs\n{theirs:?} {error:?}\n--- ours\n{ours:?}")),
    }
}

/// sigs.k8s.io/yaml's view of the first document.
fn kubernetes(row: &Row) -> Result<Value, yaml::Error> {
    let (document, _) = parse_v2(row.text(), &Limits::default())?;
    document.map_or(Ok(Value::Null), |document| document.to_json(Resolver::KubernetesV2))
}

fn kubernetes_agrees(row: &Row) -> Result<(), String> {
    match (row.field("json"), row.field("err"), kubernetes(row)) {
        (Some(theirs), _, Ok(json)) => same("JSON", theirs, &canonical_json(&json)),
        (None, Some(theirs), Err(ours)) => same("error", theirs, &ours.to_string()),
        (theirs, error, ours) => Err(format!("JSON\n--- theirs\n{theirs:?} {error:?}\n--- ours\n{ours:?}")),
    }
}

#[test]
fn documents_parse_and_emit_as_in_kyaml() {
    check(DOCUMENTS, 1000, documents_agree);
}

#[test]
fn documents_convert_as_in_kustomize() {
    check(DOCUMENTS, 1000, kustomize_agrees);
}

#[test]
fn documents_convert_as_before_the_api_server() {
    check(KUBERNETES, 1000, kubernetes_agrees);
}

#[test]
fn strings_are_quoted_as_in_go() {
    check(STRINGS, 400, documents_agree);
    check(STRINGS, 400, kustomize_agrees);
}

#[test]
fn scalars_resolve_as_in_kustomize() {
    check(SCALARS, 1500, kustomize_agrees);
}

#[test]
fn scalars_resolve_as_before_the_api_server() {
    check(SCALARS, 1500, |row| match (row.field("v2"), kubernetes(row)) {
        (Some(theirs), Ok(json)) => same("JSON", theirs, &canonical_json(&json)),
        (None, Err(_)) => Ok(()),
        (theirs, ours) => Err(format!("JSON\n--- theirs\n{theirs:?}\n--- ours\n{ours:?}")),
    });
}
