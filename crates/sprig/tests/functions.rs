//! What Go's own engine makes of calls of the functions. `data/functions.go` recorded it with Go 1.26; its head says how.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use gotemplate::{Budget, Limits, MissingKey, Run, Set, Value};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    call: String,
    output: Option<String>,
    error: Option<String>,
}

fn render(source: &str) -> Result<String, String> {
    let host: Arc<dyn sprig::Host> = Arc::new(sprig::System);
    let mut set = Set::new("t", sprig::functions(&host), Limits::default(), MissingKey::Zero);
    set.parse("t", source.as_bytes()).map_err(|error| error.to_string())?;
    let text = set.execute(&Run::new(Budget::default(), &|| false), "t", Value::Nil);
    text.map(|text| text.to_string()).map_err(|error| error.to_string())
}

#[test]
fn calls_of_calls_give_what_go_gives() {
    for (source, expected) in [
        (r#"{{ regexFindAll "x" "abc" -1 | sortAlpha | toJson }}"#, "null"),
        (r#"{{ regexFindAll "x" "abc" -1 | toStrings | toJson }}"#, "null"),
        (
            r#"{{ printf "%z" (semver "10.20.30") }}"#,
            "&{%!z(uint64=10) %!z(uint64=20) %!z(uint64=30) %!z(string=) %!z(string=) %!z(string=10.20.30)}",
        ),
        (
            r#"{{ printf "%+.1f" (semver "v1.2") }}"#,
            "&{%!f(uint64=+1) %!f(uint64=+2) %!f(uint64=+0) %!f(string=) %!f(string=) %!f(string=v)}",
        ),
        (
            r#"{{ toYamlPretty (durationRoundTo "90s" "1m") }} {{ toYaml (mustToDuration "1us") }}"#,
            "2m0s 1000",
        ),
        (r#"{{ toYamlPretty (dict "a" (mustToDuration "0s")) }}"#, "a: 0s"),
        (
            r#"{{ toYamlPretty (dict "v1beta" 1 "v1-x" 2 "v-x" 3 "vb" 4) }}"#,
            "v-x: 3\nv1beta: 1\nv1-x: 2\nvb: 4",
        ),
        (r#"{{ toYaml (dict "v1beta" 1 "v1-x" 2) }}"#, "v1-x: 2\nv1beta: 1"),
        (r#"{{ semver "v1.2-a+b" }} {{ printf "%v" (semver "1.2") }}"#, "1.2.0-a+b 1.2.0"),
    ] {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn calls_give_what_go_gives() {
    let mut differences = Vec::new();
    for line in include_str!("data/functions.jsonl").lines() {
        let row: Row = serde_json::from_str(line).unwrap();
        let found = render(&format!(
            r#"{{{{$x := {}}}}}{{{{printf "%T" $x}}}} {{{{$x}}}} {{{{toJson $x}}}}"#,
            row.call
        ));
        let expected = row.output.ok_or(row.error.unwrap_or_default());
        if found != expected {
            differences.push(format!("{}\n  Go:   {expected:?}\n  here: {found:?}", row.call));
        }
    }
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n"));
}
