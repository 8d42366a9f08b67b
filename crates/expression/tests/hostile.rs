//! Expressions that are built to hurt: each is refused or ends, and nothing panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use expression::{Expression, Limits};
use proptest::prelude::*;
use serde_json::{Value, json};

fn run(source: &str, data: &Value, limits: &Limits) -> Result<bool, String> {
    let expression = Expression::parse(source, limits).map_err(|e| e.to_string())?;
    expression.evaluate(&|name| data.get(name)).map_err(|e| e.to_string())
}

fn message(source: &str, data: &Value) -> String {
    run(source, data, &Limits::default()).unwrap_err()
}

#[test]
fn nesting_of_any_kind_is_refused_before_it_is_recursed_into() {
    let deep = 4000;
    for source in [
        "(".repeat(deep),
        format!("{}1{}", "(".repeat(deep), ")".repeat(deep)),
        "[".repeat(deep),
        "{".repeat(deep),
        format!("{}true", "!".repeat(deep)),
        format!("{}x", "-".repeat(deep)),
        format!("a{}", ".b".repeat(deep)),
        format!("a{}", "[0]".repeat(deep)),
        format!("1{}", "+1".repeat(deep)),
        format!("1{}", "<1".repeat(deep)),
        "a?b:".repeat(deep),
        "f(".repeat(deep),
        "a.all(x,".repeat(1000),
        format!("{}1", "!-".repeat(deep)),
    ] {
        let error = message(&source, &json!({}));
        assert!(
            error.contains("nested deeper than 100 levels")
                || error.contains("more than 4000 parts")
                || error.contains("Syntax error"),
            "{error:.200}"
        );
    }
}

#[test]
fn a_long_chain_of_conditions_is_no_nesting() {
    let source = vec!["x == 1"; 900].join(" || ");
    assert_eq!(run(&source, &json!({"x": 2}), &Limits::default()), Ok(false));
}

#[test]
fn the_text_has_a_limit() {
    let limits = Limits { source: 10, ..Limits::default() };
    assert_eq!(
        run("true || false", &json!({}), &limits).unwrap_err(),
        "failed to parse the CEL expression: it has 13 bytes, at most 10 are allowed"
    );
}

#[test]
fn loops_over_large_lists_end_at_the_ceiling() {
    let many: Vec<u32> = (0..100_000).collect();
    let data = json!({"l": many, "s": "a".repeat(1_000_000)});
    for source in [
        "l.all(a, l.all(b, l.all(c, a + b + c >= 0)))",
        "l.map(a, l.map(b, l)).size() > 0",
        "l.exists(a, l == [a])  || l.all(a, l.filter(b, true).size() > 0)",
        "l.all(a, s.contains('b') || true)",
        "l.all(a, s.matches('(a|aa)+$') || true)",
        "l.all(a, 'x'.matches('a' + string(a)) || true)",
        "sets.equivalent(l, l.filter(a, true))",
        "l.map(a, s + s).size() > 0",
        "l.map(a, {'k': a}).size() == 0 || l.map(a, b'aaaaaaaaaaaaaaaaaa').size() > 0",
        "l.exists(a, l.exists(b, b < 0) || a < 0)",
        "s.split('').size() > 0",
        "s.replace('', s).size() > 0",
        "l.map(a, [s].join(s)).size() > 0",
        "'%s'.format([[l, l, l, l]]).size() > 0",
    ] {
        let before = Instant::now();
        let error = message(source, &data);
        assert!(
            error.contains("cost limit exceeded") || error.contains("took too long"),
            "{source}: {error}"
        );
        assert!(before.elapsed() < Duration::from_secs(5), "{source}");
    }
}

#[test]
fn doubling_ends_at_the_ceiling() {
    let doubling = format!("['{}']{}.size() > 0", "a".repeat(100), ".map(x, x + x)".repeat(60));
    assert!(message(&doubling, &json!({})).contains("cost limit exceeded"));
    let lists = format!("[[1]]{}.size() > 0", ".map(x, x + x)".repeat(60));
    assert!(message(&lists, &json!({})).contains("cost limit exceeded"));
}

#[test]
fn the_ceiling_is_not_hidden_by_a_disjunction() {
    let data = json!({"l": (0..100_000).collect::<Vec<u32>>()});
    assert!(message("l.all(a, l.all(b, true)) || true", &data).contains("cost limit exceeded"));
}

#[test]
fn time_is_a_limit_of_its_own() {
    let limits = Limits { cost: u64::MAX, time: Duration::from_millis(20), ..Limits::default() };
    let data = json!({"l": (0..100_000).collect::<Vec<u32>>()});
    let before = Instant::now();
    let error = run("l.all(a, l.all(b, true))", &data, &limits).unwrap_err();
    assert!(error.contains("took too long"), "{error}");
    assert!(before.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_regular_expression_has_a_limit() {
    for pattern in ["(a{1000}){1000}", "((((a{99}){99}){99}){99})", "[", "(?P<a", "\\pL{5000}"] {
        let error = message(&format!("'a'.matches(r'{pattern}')"), &json!({}));
        assert!(error.starts_with("failed to evaluate the CEL expression"), "{error}");
    }
}

#[test]
fn a_regular_expression_costs_what_its_automaton_may_take() {
    // A second each before, with the default limits: the patterns are short, their automata are not.
    for (pattern, length) in
        [("a[ab]{600}[^ab]", 260_000), ("a[ab]{300}[^ab]", 390_000), ("(a|b)*c", 1_000_000)]
    {
        let data = json!({"x": "ab".repeat(length / 2)});
        let error = message(&format!("x.matches('{pattern}')"), &data);
        assert!(error.ends_with("actual cost limit exceeded"), "{pattern}: {error}");
    }
    let data = json!({"x": "registry.example.com/team/app:v1.2.3-rc.1 ".repeat(20)});
    for pattern in ["^[a-z0-9./:-]+ ", "v\\\\d+\\\\.\\\\d+", "(?i)TEAM/(app|web)"] {
        assert_eq!(run(&format!("x.matches('{pattern}')"), &data, &Limits::default()), Ok(true), "{pattern}");
    }
    let both = "x.matches('^registry') && x.matches('^registry')";
    assert_eq!(run(both, &data, &Limits { cost: 10_000, ..Limits::default() }), Ok(true));
}

#[test]
fn what_is_evaluated_often_is_cheap_in_the_usual_case() {
    let limits = Limits { cost: 200, ..Limits::default() };
    let conditions: Vec<_> = (0..5).map(|i| json!({"type": format!("T{i}"), "status": "True"})).collect();
    let data = json!({"status": {"conditions": conditions}});
    let source = "status.conditions.filter(e, e.type == 'T4').all(e, e.status == 'True')";
    assert_eq!(run(source, &data, &limits), Ok(true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_it_panic(source in "[a-c0-9.?:()\\[\\]{}<>=!&|+*/%,'\"\\\\x ue-]{0,40}") {
        let data = json!({"a": [1, 2.5, "x"], "b": {"c": null}, "c": -1});
        let _ = run(&source, &data, &Limits::default());
        let _ = Expression::check(&source, &["a", "b"], &Limits::default());
    }

    #[test]
    fn no_function_panics_on_any_argument(
        function in prop::sample::select(vec![
            "charAt", "indexOf", "lastIndexOf", "join", "replace", "split", "substring", "format", "matches", "size",
            "getHours", "first", "orValue", "contains", "reverse",
        ]),
        target in prop::sample::select(vec!["'äbc'", "''", "[1, 'a']", "a", "{}", "1.5", "optional.none()", "b'x'", "'%5.f %.999s %'"]),
        first in prop::sample::select(vec!["-1", "2", "'ä'", "''", "9223372036854775807", "[]", "['a', 2]", "a"]),
        second in prop::sample::select(vec!["-9223372036854775808", "1", "'b'", "0", "null"]),
    ) {
        let data = json!({"a": [1, 2.5, "x"]});
        for source in [
            format!("{target}.{function}() == 1"),
            format!("{target}.{function}({first}) == 1"),
            format!("{target}.{function}({first}, {second}) == 1"),
            format!("{target}.{function}({first}, {first}, {second}) == 1"),
        ] {
            let _ = run(&source, &data, &Limits::default());
        }
    }
}
