//! What expressions mean, and which mistakes are found when.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use expression::{Expression, Limits};
use serde_json::{Value, json};

fn over(data: &Value, source: &str) -> Result<bool, String> {
    let expression = Expression::parse(source, &Limits::default()).map_err(|e| e.to_string())?;
    expression.evaluate(&|name| data.get(name)).map_err(|e| e.to_string())
}

fn object() -> Value {
    json!({
        "metadata": {"name": "app", "labels": {"tier": "web"}, "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"replicas": 3, "ratio": 0.5, "ports": [80, 443], "names": ["b", "a", "b"]},
        "status": {"conditions": [
            {"type": "Synced", "status": "True"},
            {"type": "Ready", "status": "False", "reason": "Waiting"},
        ]},
    })
}

#[track_caller]
fn holds(source: &str) {
    assert_eq!(over(&object(), source), Ok(true), "{source}");
}

#[track_caller]
fn fails(source: &str, message: &str) {
    let wanted = format!("failed to evaluate the CEL expression '{source}': {message}");
    assert_eq!(over(&object(), source), Err(wanted));
}

#[test]
fn fields_of_the_object_are_variables() {
    holds("metadata.name == 'app' && spec.replicas > 2");
    holds("metadata['labels']['tier'] == \"web\"");
    holds("has(spec.replicas) && !has(spec.missing)");
    holds("status.conditions.exists(e, e.type == 'Ready' && e.status == 'False')");
    holds("status.conditions.filter(e, e.type == 'Ready').all(e, e.reason == 'Waiting')");
    fails("spec.missing == 1", "no such key: missing");
    fails("missing", "no such attribute(s): missing");
    fails("spec.ports[2] == 1", "index out of bounds: 2");
}

#[test]
fn a_missing_variable_is_named_with_what_is_selected_of_it() {
    for (source, name) in [
        ("absent.phase", "absent.phase"),
        ("absent.phase.x == 1", "absent.phase.x"),
        ("absent['a'].b", "absent.a.b"),
        ("absent.c[0].type", "absent.c"),
        ("absent[spec.replicas].x", "absent"),
        ("has(absent.a.b)", "absent.a.b"),
        ("absent.a.?b", "absent.a.b"),
        ("absent[?'a']", "absent.a"),
        ("absent.phase.startsWith('x')", "absent.phase"),
        ("absent.list.exists(e, e.type == 'x')", "absent.list"),
        ("[absent][0].x", "absent"),
        ("size(absent.x)", "absent.x"),
    ] {
        fails(source, &format!("no such attribute(s): {name}"));
    }
}

#[test]
fn the_errors_of_one_side_do_not_matter_if_the_other_decides() {
    holds("spec.missing || true");
    holds("!(spec.missing && false)");
    holds("spec.ports.exists(p, p == 443 || p.missing)");
    fails("spec.missing || false", "no such key: missing");
}

#[test]
fn numbers_compare_across_their_types() {
    holds("1 < 2u && 2u == 2 && 1.0 == 1 && 1 < 1.5 && 3 in [3.0] && spec.ratio < 1");
    holds("9223372036854775807 < 9223372036854775808.0 && 18446744073709551615u > -1");
    holds("double('NaN') != double('NaN') && !(1.0 < double('NaN'))");
    holds("1 != '1' && [1, 2] == [1.0, 2u] && {'a': 1} == {'a': 1.0}");
}

#[test]
fn arithmetic_ends_with_an_error_where_it_has_no_answer() {
    holds("1 + 2 * 3 - 4 / 2 == 5 && -7 % 3 == -1 && - -1 == 1 && -9223372036854775808 < 0");
    fails("1 / 0 == 1", "division by zero");
    fails("1 % 0 == 1", "modulus by zero");
    fails("9223372036854775807 + 1 == 0", "return error for overflow");
    fails("0u - 1u == 0u", "return error for overflow");
    fails("-9223372036854775808 / -1 == 0", "return error for overflow");
    fails("1 + '1' == 2", "no such overload: _+_");
}

#[test]
fn strings_have_the_extension_functions() {
    holds("'tacocat'.charAt(3) == 'o' && 'hello mellow'.indexOf('ello', 2) == 7 && 'x'.indexOf('y') == -1");
    holds("'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1");
    holds("['a', 'b'].join('-') == 'a-b' && [].join() == '' && 'TacoÆ'.lowerAscii() == 'tacoÆ'");
    holds("'hello hello'.replace('he', 'we', 1) == 'wello hello' && 'a,b,c'.split(',') == ['a', 'b', 'c']");
    holds(
        "'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'ab'.split('') == ['a', 'b'] && 'ab'.split(',', 0) == []",
    );
    holds("'tacocat'.substring(4) == 'cat' && 'täco'.substring(1, 3) == 'äc' && ' a '.trim() == 'a'");
    holds("'gums'.reverse() == 'smug' && strings.quote('a\"b\\n') == r'\"a\\\"b\\n\"'");
    holds("'%s has %d of %.2f, %x %%'.format(['a', 3, 0.5, 255]) == 'a has 3 of 0.50, ff %'");
    holds("'%s %s %e'.format([[1, 'b'], {'k': null}, 1234.5]) == '[1, b] {k: null} 1.234500e+03'");
    holds("'abc'.contains('b') && 'abc'.startsWith('ab') && 'abc'.endsWith('c') && 'äb'.size() == 2");
    holds("'v1.2.3'.matches(r'^v[0-9]+\\.') && matches('x', '.') && !'x'.matches('^$')");
    fails("'tacocat'.charAt(30) == 'o'", "index out of range");
    fails("'x'.substring(1, 0) == ''", "invalid substring range");
}

#[test]
fn sets_encoders_and_optional_values_are_there() {
    holds("sets.contains([1, 2], [2.0]) && sets.equivalent([1, 1], [1]) && sets.intersects([1], [1, 2])");
    holds("!sets.contains([1], [2]) && !sets.intersects([], [1])");
    holds("base64.encode(b'hello') == 'aGVsbG8=' && base64.decode('aGVsbG8') == b'hello'");
    holds(
        "spec.?missing.orValue(3) == 3 && spec.?replicas.orValue(1) == 3 && !spec.?missing.?more.hasValue()",
    );
    holds("spec.ports[?5].or(optional.of(1)).value() == 1 && optional.none().orValue('x') == 'x'");
    holds(
        "spec.?replicas.optMap(n, n + 1).value() == 4 && spec.?missing.optMap(n, n + 1) == optional.none()",
    );
    holds("[1, ?spec.?missing, ?spec.?replicas] == [1, 3] && {?'a': spec.?missing} == {}");
    holds("optional.ofNonZeroValue(0) == optional.none() && [].first() == optional.none()");
    holds("[optional.of(1), optional.none()].unwrapOpt() == [1] && spec.ports.last().value() == 443");
    holds("spec.?replicas.orValue(1 / 0) == 3");
    fails("spec.?missing.value() == 1", "optional.none() dereference");
}

#[test]
fn no_error_tells_what_is_in_the_object() {
    let data = json!({"data": {"password": "hunter2", "pin": 4711}});
    for source in [
        "{}[data.password]",
        "data[data.password]",
        "[1][data.pin]",
        "{data.password: 1, data.password: 2}",
        "'x'.matches(data.password + '(')",
        "base64.decode('!' + data.password)",
        "int(data.password) == 1",
        "timestamp(data.password) == timestamp(data.password)",
        "'x'.charAt(data.pin) == 'x'",
        "'x'.substring(1, 0 - data.pin) == ''",
        "('%' + data.password).format([1]) == ''",
        "data.password + 1",
        "data.password",
    ] {
        let error = over(&data, source).unwrap_err();
        assert!(!error.contains("hunter") && !error.contains("4711"), "{error}");
    }
}

#[test]
fn types_convert_and_time_is_utc() {
    holds("int('12') == 12 && uint(3) == 3u && double('1.5') == 1.5 && string(12) == '12' && bool('true')");
    holds(
        "int(1.9) == 1 && bytes('a') == b'a' && string(b'a') == 'a' && type(1) == int && type('') == string",
    );
    holds("timestamp(metadata.creationTimestamp).getHours() == 3 && string(duration('1h30m')) == '5400s'");
    holds("timestamp('2026-01-02T00:00:00Z') - timestamp('2026-01-01T00:00:00Z') == duration('24h')");
    holds("timestamp('2026-01-04T00:00:00Z').getDayOfWeek() == 0 && duration('90s').getMinutes() == 1");
    fails("int('x') == 1", "type conversion error");
    fails("uint(-1) == 1u", "range error");
}

#[test]
fn macros_loop_over_lists_and_keys() {
    holds("spec.names.map(n, n + '!') == ['b!', 'a!', 'b!'] && spec.ports.map(p, p > 100, p + 1) == [444]");
    holds("spec.names.exists_one(n, n == 'a') && !spec.names.exists_one(n, n == 'b')");
    holds("metadata.labels.all(key, key == 'tier') && [].all(x, false) && ![].exists(x, true)");
    holds("spec.ports.filter(p, spec.ports.exists(q, q < p)) == [443]");
}

#[test]
fn literals_are_read_as_the_language_defines_them() {
    holds("0xfF == 255 && 0x10u == 16u && 1e3 == 1000.0 && .5 == 0.5 && 'a' \n== // a comment\n \"a\"");
    holds(r#"'\x41\101\u00e9\U0001F600' == 'AAé😀' && b'\xff' != b'\377a' && r'\n' == '\\n'"#);
    holds("'''a\n'b' ''' == \"a\\n'b' \" && true ? !false : false");
}

#[test]
fn an_answer_that_is_no_boolean_is_an_error() {
    let error = "failed to evaluate CEL expression as boolean: 'metadata.name'".to_owned();
    assert_eq!(over(&object(), "metadata.name"), Err(error));
}

#[test]
fn what_is_no_expression_is_found_before_evaluation() {
    for (source, message) in [
        ("foo.", "1:5: Syntax error: mismatched input '<EOF>' expecting IDENTIFIER"),
        ("", "1:1: Syntax error: mismatched input '<EOF>' expecting an expression"),
        ("a ==\n b c", "2:4: Syntax error: mismatched input 'c' expecting <EOF>"),
        ("'abc", "1:1: Syntax error: a string does not end"),
        ("a # b", "1:3: Syntax error: token recognition error at: '#'"),
        ("has(a)", "1:1: invalid argument to has() macro"),
        ("a.all(b.c, true)", "1:2: argument must be a simple name"),
        ("99999999999999999999 == a", "1:1: invalid number literal"),
        ("if == 1", "1:1: reserved identifier: if"),
    ] {
        let error = Expression::parse(source, &Limits::default()).unwrap_err().to_string();
        assert_eq!(error, format!("failed to parse the CEL expression '{source}': ERROR: <input>:{message}"));
    }
}

fn check(source: &str) -> Result<(), String> {
    Expression::check(source, &["self", "dep"], &Limits::default()).map(drop).map_err(|e| e.to_string())
}

#[test]
fn a_checked_expression_must_be_known_to_be_a_boolean() {
    for good in [
        "true",
        "dep.status.foo == true",
        "dep.status.conditions.exists(e, e.type == 'Ready') && has(self.metadata.labels)",
        "self.metadata.labels['v'] == dep.metadata.labels['v']",
        "dep.metadata.?labels[?'v'].orValue('') == 'v1' && dep.status.observedGeneration >= 1",
        "sets.contains(dep.spec.names.map(n, n), ['a']) && dep.status.x == null && 1 < 2.0",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    let mismatch = "CEL expression output type mismatch: expected bool, got";
    for (source, wanted) in [
        ("dep.status.foo", format!("{mismatch} dyn")),
        ("'foo'", format!("{mismatch} string")),
        ("dep.?status", format!("{mismatch} optional_type(dyn)")),
        ("[1].map(x, x + 1)", format!("{mismatch} list(int)")),
    ] {
        assert_eq!(check(source), Err(wanted));
    }
}

#[test]
fn a_checked_expression_knows_its_names_and_types() {
    for (source, message) in [
        ("foo", "1:1: undeclared reference to 'foo' (in container '')"),
        ("dep.status.run() == 1", "1:11: undeclared reference to 'run' (in container '')"),
        (
            "dep == 'bar'",
            "1:5: found no matching overload for '_==_' applied to '(map(string, dyn), string)'",
        ),
        ("1 + 'a' == 2", "1:3: found no matching overload for '_+_' applied to '(int, string)'"),
        ("'a'.startsWith(1)", "1:4: found no matching overload for 'startsWith' applied to '(string, int)'"),
        (
            "startsWith('a', 'a')",
            "1:1: found no matching overload for 'startsWith' applied to '(string, string)'",
        ),
        ("[1, 'a'] == dep.x", "1:5: expected type 'int' but found 'string'"),
        ("1.all(x, true)", "1:2: Syntax error: mismatched input 'all' expecting <EOF>"),
        (
            "'a'.all(x, true)",
            "1:1: expression of type 'string' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("'a' && true", "1:1: found no matching overload for '_&&_' applied to '(string)'"),
    ] {
        let Err(error) = check(source) else { panic!("{source}") };
        let prefix = format!("failed to parse the CEL expression '{source}': ERROR: <input>:");
        if source != "1.all(x, true)" {
            assert_eq!(error, format!("{prefix}{message}"));
        }
    }
}
