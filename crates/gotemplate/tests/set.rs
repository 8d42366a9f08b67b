//! Sets of templates: what a source adds, and what a run sees of it.
#![allow(clippy::unwrap_used)]

use gotemplate::value::Type;
use gotemplate::{Budget, Error, Function, Functions, Limits, MissingKey, Run, Set, Value};

fn set(functions: Functions) -> Set {
    Set::new("gotpl", functions, Limits::default(), MissingKey::Default)
}

fn render(set: &Set, name: &str) -> Result<String, Error> {
    let run = Run::new(Budget::default(), &|| false);
    set.execute(&run, name, Value::from("data")).map(|text| text.to_string())
}

#[test]
fn later_templates_replace_earlier_ones_unless_they_are_empty() {
    let mut set = set(Functions::default());
    set.parse("a", b"{{define `x`}}1{{end}}{{define `y`}}1{{end}}a{{template `x`}}{{template `y`}}").unwrap();
    set.parse("b", b"{{define `x`}}2{{end}}{{define `y`}} {{end}}").unwrap();
    assert_eq!(render(&set, "a").unwrap(), "a21");
    assert_eq!(render(&set, "b").unwrap(), "");
    set.parse("a", b" \n").unwrap();
    assert_eq!(render(&set, "a").unwrap(), "a21");
    assert_eq!(set.len(), 4);
}

#[test]
fn a_clone_has_templates_of_its_own() {
    let mut one = set(Functions::default());
    one.parse("a", b"one").unwrap();
    let mut other = one.clone();
    other.parse("a", b"other").unwrap();
    other.parse("b", b"{{.}}").unwrap();
    assert_eq!(render(&one, "a").unwrap(), "one");
    assert_eq!(render(&other, "a").unwrap(), "other");
    assert_eq!(render(&other, "b").unwrap(), "data");
    assert_eq!(
        render(&one, "b").unwrap_err().to_string(),
        r#"template: no template "b" associated with template "gotpl""#
    );
}

#[test]
fn a_source_that_is_no_template_changes_nothing() {
    let mut set = set(Functions::default());
    set.parse("a", b"one").unwrap();
    let error = set.parse("a", b"{{define `x`}}{{end}}{{nope}}").unwrap_err();
    assert_eq!(error.to_string(), r#"template: a:1: function "nope" not defined"#);
    assert_eq!((render(&set, "a").unwrap().as_str(), set.len()), ("one", 1));
}

#[test]
fn functions_of_the_host_go_before_builtins() {
    let mut functions = Functions::default();
    functions.insert("len", Function::new(&[Type::Any], Type::Any, |_, _| Ok(Value::from("mine"))));
    functions.insert("break", Function::new(&[], Type::Any, |_, _| Ok(Value::from("a function"))));
    let mut set = set(functions);
    set.parse("a", b"{{len 1}} {{range 2}}{{break}} {{end}}").unwrap();
    assert_eq!(render(&set, "a").unwrap(), "mine a function a function ");
}

#[test]
fn functions_say_what_they_want() {
    let mut functions = Functions::default();
    functions.insert(
        "f",
        Function::new(&[Type::String], Type::String, |_, arguments| Ok(arguments.to_vec().swap_remove(0))),
    );
    let mut set = set(functions);
    for (source, message) in [
        ("{{f}}", "at <f>: wrong number of args for f: want 1 got 0"),
        ("{{f 1}}", "at <1>: expected string; found 1"),
        ("{{$x := 1}}{{f $x}}", "at <$x>: wrong type for value; expected string; got int"),
    ] {
        set.parse("a", source.as_bytes()).unwrap();
        let error = render(&set, "a").unwrap_err();
        assert!(matches!(error, Error::Execution { .. }) && error.to_string().ends_with(message), "{error}");
    }
}
