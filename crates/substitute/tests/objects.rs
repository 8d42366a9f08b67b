//! Whole objects: Flux's own cases, the quoting rules, and the limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use substitute::{Error, Limits, Variables, is_disabled, substitute, substitute_object};

fn from_yaml(text: &str) -> Value {
    let documents = yaml::parse(text, &yaml::Limits::default()).unwrap();
    documents[0].to_json(yaml::Resolver::KubernetesV2).unwrap()
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    Variables::new(pairs.iter().copied()).unwrap()
}

/// The value of `data.x` written as `expression`.
fn value_of(expression: &str, pairs: &[(&str, &str)]) -> Value {
    let object = json!({"data": {"x": expression}});
    substitute_object(&object, &variables(pairs), true, &Limits::default()).unwrap()["data"]["x"].take()
}

#[test]
fn flux_cases_give_the_recorded_objects_and_errors() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let cases = std::env::var_os("SHARED").map_or_else(beside, PathBuf::from).join("flux-cases/varsub");
    let Ok(entries) = std::fs::read_dir(&cases) else {
        eprintln!("skipped: no cases in {}", cases.display());
        return;
    };
    let mut seen = 0;
    for entry in entries {
        let path = entry.unwrap().path().join("case.json");
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let inline = case["spec"]["spec"]["postBuild"]["substitute"].as_object().cloned().unwrap_or_default();
        let pairs = case["vars"].as_object().unwrap().clone().into_iter().chain(inline);
        let variables =
            Variables::new(pairs.map(|(name, value)| (name, value.as_str().unwrap().to_owned()))).unwrap();

        let object = from_yaml(case["resource"].as_str().unwrap());
        assert_eq!(is_disabled(&object), case["skipped"] == true, "{}", path.display());
        if !is_disabled(&object) {
            let strict = case["strict"] == true;
            let result = if variables.is_empty() && case["always"] != true {
                Ok(object)
            } else {
                substitute_object(&object, &variables, strict, &Limits::default())
            };
            match result {
                Ok(object) => {
                    assert_eq!(object, from_yaml(case["result"].as_str().unwrap()), "{}", path.display())
                }
                Err(error) => assert_eq!(error.to_string(), case["error"], "{}", path.display()),
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn values_lose_their_quotes_and_take_the_type_they_read_as() {
    assert_eq!(value_of("${v}", &[("v", "123")]), json!(123));
    assert_eq!(value_of("${v}", &[("v", "yes")]), json!(true));
    assert_eq!(value_of("${v}", &[("v", "")]), Value::Null);
    assert_eq!(value_of("${v}", &[("v", "\"123\"")]), json!("123"));
    assert_eq!(value_of("${v}", &[("v", "1e3")]), json!(1000));
    assert_eq!(value_of("${v}", &[("v", "{a: b}")]), json!({"a": "b"}));
    assert_eq!(value_of("v${v}", &[("v", "1")]), json!("v1"));
    assert_eq!(value_of("$${v}", &[("v", "1")]), json!("${v}"));
}

#[test]
fn text_that_needs_quotes_keeps_them_around_its_value() {
    assert_eq!(value_of("a: ${v}", &[("v", "1")]), json!("a: 1"));
    assert_eq!(value_of("0${v}", &[("v", "1")]), json!(1));
    assert_eq!(value_of("two\n${v}", &[("v", "1")]), json!("two\n1"));
    assert_eq!(value_of("{${v}", &[("v", "1''2")]), json!("{1'2"), "inside single quotes");
}

#[test]
fn a_value_that_breaks_the_yaml_is_an_error() {
    let object = json!({"data": {"x": "${v}"}});
    let result = substitute_object(&object, &variables(&[("v", "a: b")]), true, &Limits::default());
    assert_eq!(
        result.unwrap_err().to_string(),
        "envsubst error: YAMLToJSON: yaml: line 2: mapping values are not allowed in this context"
    );
}

#[test]
fn keys_and_metadata_are_substituted_and_order_does_not_matter() {
    let object = json!({"kind": "A", "metadata": {"name": "${v}", "labels": {"${v}": "z"}}});
    let result = substitute_object(&object, &variables(&[("v", "x")]), true, &Limits::default()).unwrap();
    assert_eq!(result, json!({"kind": "A", "metadata": {"name": "x", "labels": {"x": "z"}}}));
}

#[test]
fn an_object_without_expressions_is_returned_unchanged() {
    let object = json!({"a": [1, -1.5, 1e21, "1", "yes", "", null, "x\ny\n"], "2": {}});
    assert_eq!(substitute_object(&object, &Variables::default(), true, &Limits::default()).unwrap(), object);
}

#[test]
fn names_are_checked_and_newlines_stripped() {
    let error = Variables::new([("a-b", "x")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "envsubst error: 'a-b' var name is invalid, must match '^[_[:alpha:]][_[:alpha:][:digit:]]*$'"
    );
    assert!(Variables::new([("1a", "x")]).is_err());
    assert!(Variables::new([("", "x")]).is_err());
    let variables = variables(&[("_a1", "x\ny\n")]);
    assert_eq!(substitute("${_a1}", &variables, true, &Limits::default()).unwrap(), "xy");
}

#[test]
fn values_do_not_show_in_debug_output() {
    assert_eq!(format!("{:?}", variables(&[("token", "hunter2")])), "{\"token\"}");
}

#[test]
fn output_beyond_the_limit_is_refused() {
    let limits = Limits { output_bytes: 1000, ..Limits::default() };
    let variables = variables(&[("v", &"a".repeat(500)), ("w", &"b".repeat(500))]);
    assert!(substitute("${v}${w}", &variables, true, &limits).is_ok());
    let expected = Err(Error::Limit { what: "bytes of output", limit: 1000 });
    assert_eq!(substitute("${v}${w}.", &variables, true, &limits), expected);
    assert_eq!(substitute("${v//a/${w}}", &variables, true, &limits), expected);
    assert_eq!(substitute("${x:-${v}${v}${v}}", &variables, true, &limits), expected);
}

#[test]
fn nesting_beyond_the_limit_is_refused() {
    let nested = |depth: usize| format!("{}x{}", "${a:-".repeat(depth), "}".repeat(depth));
    let limits = Limits { depth: 10, ..Limits::default() };
    assert_eq!(substitute(&nested(10), &Variables::default(), true, &limits).unwrap(), "x");
    let expected = Err(Error::Limit { what: "nested expressions", limit: 10 });
    assert_eq!(substitute(&nested(11), &Variables::default(), true, &limits), expected);
    assert_eq!(substitute(&"${a:-".repeat(100_000), &Variables::default(), true, &limits), expected);
}

#[test]
fn slow_patterns_end_at_the_limit() {
    let limits = Limits { match_steps: 10_000, ..Limits::default() };
    let variables = variables(&[("v", &"a".repeat(5000))]);
    assert_eq!(
        substitute("${v##*a*a*a*b}", &variables, true, &limits),
        Err(Error::Limit { what: "steps of pattern matching", limit: 10_000 })
    );
    let limits = Limits { match_steps: 1_000_000, ..limits };
    assert_eq!(substitute("${v##*a}", &variables, true, &limits).unwrap(), "");
}

#[test]
fn long_patterns_are_searched_in_linear_time() {
    let pattern = "a".repeat(400_000) + "b";
    let variables = variables(&[("v", &"a".repeat(800_000)), ("p", &pattern)]);
    let limits = Limits { match_steps: 1_000_000, ..Limits::default() };
    assert_eq!(substitute("${v//${p}/x}", &variables, true, &limits).unwrap().len(), 800_000);
    assert_eq!(
        substitute("${v#${p}}", &variables, true, &limits),
        Err(Error::Limit { what: "steps of pattern matching", limit: limits.match_steps })
    );
}

#[test]
fn long_values_are_not_looked_at_any_number_of_times() {
    let value = "a".repeat(64 << 10);
    let variables = variables(&[("v", &value), ("s", "x")]);
    let limits = Limits { work_bytes: 4 << 20, ..Limits::default() };
    // With a value of 1 MB, 3.2 and 4.8 KB of text took 4.6 and 9.3 seconds before the work was counted.
    for expression in ["${v//a/}", "${s:-${v,,}}", "${#v}"] {
        assert_eq!(
            substitute(&expression.repeat(400), &variables, true, &limits),
            Err(Error::Limit { what: "bytes of values looked at", limit: 4 << 20 }),
            "{expression}"
        );
        assert!(substitute(&expression.repeat(10), &variables, true, &limits).is_ok());
    }
}
