//! What Helm itself answers to small templates: the shared table of the engine, as far as functions alone decide.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use gotemplate::value::{Object, Type};
use gotemplate::{Budget, Error, Function, Limits, MissingKey, Run, Set, Value};
use serde::Deserialize;

/// The folder with the table, beside the repository. Without it there is nothing to compare with.
fn tables() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/helm-cases/tables");
    folder.is_dir().then_some(folder)
}

/// Rows that functions alone do not decide, or that are known to differ.
const LEFT_OUT: &[&str] = &[
    // The engine of Helm ends the line of the error, and has a line for each template.
    "control-051",
    "templates-022",
    // It coalesces values.
    "subcharts-010",
    "values-parse-115",
    // `fromToml` has its own words.
    "to-toml-029",
    "to-toml-031",
    // Go compares structs.
    "compare-303",
];

#[derive(Deserialize)]
struct Row {
    id: String,
    t: String,
    #[serde(default)]
    values: serde_json::Value,
    #[serde(default)]
    files: BTreeMap<String, String>,
    out: Option<String>,
    err: Option<String>,
}

/// The values under the name of their type in Helm.
#[derive(Debug)]
struct Values(Value);

impl Object for Values {
    fn go_type(&self) -> &'static str {
        "common.Values"
    }

    fn underlying(&self) -> Option<Value> {
        Some(self.0.clone())
    }
}

fn value_of(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => (*value).into(),
        serde_json::Value::Number(number) => number.as_f64().unwrap().into(),
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(items) => Value::list(items.iter().map(value_of).collect()),
        serde_json::Value::Object(entries) => {
            Value::map(entries.iter().map(|(key, value)| (key.as_str(), value_of(value))))
        }
    }
}

fn values(row: &Row, shared: &str) -> Value {
    let text = match &row.values {
        serde_json::Value::String(_) => shared,
        serde_json::Value::Array(texts) => texts.first().and_then(|text| text.as_str()).unwrap_or_default(),
        _ => "",
    };
    let documents = yaml::parse(text, &yaml::Limits::default()).unwrap_or_default();
    let json = documents.first().and_then(|node| node.to_json(yaml::Resolver::KubernetesV2).ok());
    json.filter(|json| json.is_object())
        .map_or_else(|| Value::map([("", Value::Nil); 0]), |json| value_of(&json))
}

fn text(values: &[Value], index: usize) -> &[u8] {
    let Value::String(text) = &values[index] else { panic!("a string") };
    text
}

struct TestHost;

impl sprig::Host for TestHost {
    fn now(&self) -> (i64, u32) {
        (1_700_000_000, 123_456_789)
    }

    /// Not random at all, but every value comes.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        bytes.fill_with(|| NEXT.fetch_add(37, Ordering::Relaxed));
        Ok(())
    }
}

fn host() -> Arc<dyn sprig::Host> {
    Arc::new(TestHost)
}

/// What a test needs of the engine of Helm.
fn set() -> Set {
    let mut functions = sprig::functions(&host());
    let named = [Type::String, Type::Any];
    functions.insert(
        "include",
        Function::new(&named, Type::String, |context, values| {
            Ok(context.execute(text(values, 0), values[1].clone())?.into())
        }),
    );
    functions.insert(
        "tpl",
        Function::new(&named, Type::String, |context, values| {
            Ok(context.execute_source("gotpl", text(values, 0), values[1].clone())?.into())
        }),
    );
    functions.insert(
        "required",
        Function::new(&named, Type::Any, |_, values| match &values[1] {
            Value::Nil => Err(String::from_utf8_lossy(text(values, 0)).into_owned().into()),
            value => Ok(value.clone()),
        }),
    );
    Set::new("gotpl", functions, Limits::default(), MissingKey::Zero)
}

fn render(row: &Row, shared: &str) -> Result<String, String> {
    let mut set = set();
    for (name, file) in row.files.iter().filter(|(name, _)| name.starts_with("templates/")) {
        set.parse(&format!("c/{name}"), file.as_bytes()).map_err(|error| error.to_string())?;
    }
    set.parse("c/templates/t.yaml", row.t.as_bytes()).map_err(|error| error.to_string())?;
    let release = Value::map([
        ("Name", Value::from("r")),
        ("Namespace", "ns".into()),
        ("Revision", Value::Int(1)),
        ("IsInstall", true.into()),
        ("IsUpgrade", false.into()),
        ("Service", "Helm".into()),
    ]);
    let top = Value::map([("Values", Value::object(Values(values(row, shared)))), ("Release", release)]);
    let run = Run::new(Budget::default(), &|| false);
    let text = set.execute(&run, "c/templates/t.yaml", Value::object(Values(top)));
    text.map(|text| text.to_string().replace("<no value>", "")).map_err(|error: Error| error.to_string())
}

/// Helm breaks the lines of some errors, and leaves out where others come from.
fn is_same_error(found: &str, expected: &str) -> bool {
    let expected = expected.replace("\n  executing", ": executing").replace(">:\n    ", ">: ");
    match expected.strip_prefix("execution error at (").and_then(|rest| rest.split_once("): ")) {
        Some((place, message)) => found.contains(place) && found.ends_with(message),
        None => found.trim_start_matches("template: ") == expected.trim_start_matches("template: "),
    }
}

#[test]
fn functions_answer_as_helm_does() {
    let Some(tables) = tables() else { return };
    let shared = fs::read_to_string(tables.join("engine-values.yaml")).unwrap();
    let names: Vec<String> = sprig::functions(&host()).names().map(str::to_owned).collect();
    let mut figures: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let (mut equal, mut rows) = (0, 0);
    let mut differences = Vec::new();
    for line in fs::read_to_string(tables.join("engine.jsonl")).unwrap().lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        // The engine's own objects, and what is about parsing.
        let foreign = [".Files", ".Capabilities", ".Chart", ".Subcharts", ".Template", " . "];
        let words: Vec<&str> = row.t.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let used: Vec<&String> = names.iter().filter(|name| words.contains(&name.as_str())).collect();
        let is_about_parsing =
            |text: &str| text.starts_with("failed to parse") || text.starts_with("parse error");
        let is_left_out =
            LEFT_OUT.contains(&row.id.as_str()) || row.err.as_deref().is_some_and(is_about_parsing);
        if is_left_out || used.is_empty() || foreign.iter().any(|name| row.t.contains(name)) {
            continue;
        }
        let found = render(&row, &shared);
        let is_equal = match (&found, &row.out, &row.err) {
            (Ok(found), Some(out), _) => found == out,
            (Err(found), _, Some(err)) => is_same_error(found, err),
            _ => false,
        };
        rows += 1;
        equal += usize::from(is_equal);
        for name in used {
            let figure = figures.entry(name).or_default();
            figure.0 += usize::from(is_equal);
            figure.1 += 1;
        }
        if !is_equal {
            let expected = row.out.clone().ok_or(row.err.clone().unwrap_or_default());
            differences.push(format!("{} {}\n  Helm: {expected:?}\n  here: {found:?}", row.id, row.t));
        }
    }
    for (name, (equal, rows)) in figures {
        println!("{name}: {equal} of {rows}");
    }
    println!("{equal} of {rows} rows are equal");
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n"));
}
