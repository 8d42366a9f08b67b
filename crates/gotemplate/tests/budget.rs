//! Templates of strangers: whatever they ask for, they end, and take no more than the budget.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, dead_code)]

mod world;

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use gotemplate::value::Type;
use gotemplate::{Budget, Error, Exhausted, Function, Limits, MissingKey, Run, Set, Value};
use world::set;

/// In a thread whose stack is as large as the budget says.
fn render(source: &str, budget: Budget) -> Result<String, Error> {
    let source = source.to_owned();
    let thread = std::thread::Builder::new().stack_size(budget.stack_size()).spawn(move || {
        let mut set = set(MissingKey::Zero);
        set.parse("t", source.as_bytes())?;
        let run = Run::new(budget, &|| false);
        let data = Value::map([("one", Value::Int(1)), ("text", "x".into())]);
        set.execute(&run, "t", data).map(|text| text.to_string())
    });
    thread.unwrap().join().unwrap()
}

fn exhausted(source: &str, budget: Budget) -> Exhausted {
    match render(source, budget) {
        Err(Error::Exhausted(exhausted)) => exhausted,
        other => panic!("{source}: {:?}", other.map(|text| text.len())),
    }
}

fn default() -> Budget {
    Budget::default()
}

/// Templates that call themselves in every way there is.
const RECURSIVE: [&str; 8] = [
    r#"{{define "a"}}{{template "a" .}}{{end}}{{template "a" .}}"#,
    r#"{{define "a"}}{{if 1}}{{with 1}}{{range 1}}{{template "a" .}}{{end}}{{end}}{{end}}{{end}}{{template "a" .}}"#,
    r#"{{define "a"}}{{include "a" .}}{{end}}{{template "a" .}}"#,
    r#"{{define "a"}}{{print (same (include "a" . | printf "%s") | same)}}{{end}}{{template "a" .}}"#,
    r#"{{define "a"}}{{with (include "a" . | printf "%s").x.y}}{{end}}{{end}}{{template "a" .}}"#,
    r#"{{define "a"}}{{tpl "{{include \"a\" .}}" .}}{{end}}{{template "a" .}}"#,
    r#"{{define "a"}}{{and 1 (or 0 (include "a" .))}}{{end}}{{template "a" .}}"#,
    r#"{{define "a"}}{{printf "%s" (print 1 | print (include "a" .))}}{{end}}{{template "a" .}}"#,
];

#[test]
fn recursion_without_end_is_stopped_before_the_stack_ends() {
    let depth = default().depth;
    for source in RECURSIVE {
        assert_eq!(exhausted(source, default()), Exhausted::Depth(depth), "{source}");
    }
}

/// Where the stack of the caller's caller ends, about.
fn stack_address() -> usize {
    let local = 0_u8;
    std::hint::black_box(&raw const local) as usize
}

#[test]
fn a_level_takes_no_more_stack_than_the_budget_says() {
    let depth = 1000;
    for source in RECURSIVE {
        let source = source.replace(r#"{{define "a"}}"#, r#"{{define "a"}}{{probe}}"#);
        let addresses = Arc::new(Mutex::new(Vec::new()));
        let seen = addresses.clone();
        let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(move || {
            let mut functions = world::functions();
            functions.insert(
                "probe",
                Function::new(&[], Type::Any, move |_, _| {
                    seen.lock().unwrap().push(stack_address());
                    Ok(Value::Nil)
                }),
            );
            let mut set = Set::new("gotpl", functions, Limits::default(), MissingKey::Zero);
            set.parse("t", source.as_bytes()).unwrap();
            let result = set.execute(&Run::new(Budget { depth, ..default() }, &|| false), "t", Value::Nil);
            assert_eq!(result, Err(Error::Exhausted(Exhausted::Depth(depth))));
        });
        thread.unwrap().join().unwrap();
        let addresses = addresses.lock().unwrap();
        let used = addresses.iter().max().unwrap() - addresses.iter().min().unwrap();
        assert!(used / depth <= Budget::STACK_PER_LEVEL, "{}", used / depth);
    }
}

#[test]
fn ranges_without_end_are_stopped() {
    let budget = Budget { steps: 100_000, ..default() };
    for source in [
        "{{range 1000000000000}}{{end}}",
        "{{range 1000000}}{{range 1000000}}{{end}}{{end}}",
        "{{range 1000000000}}{{$x := .}}{{$x = 1}}{{end}}",
        "{{range 1000000000}}{{if and 1 (not 0)}}{{continue}}{{end}}{{end}}",
        r#"{{$s := printf "%64000s" ""}}{{$t := printf "%64000s" ""}}{{range 1000}}{{$x := eq $s $t}}{{end}}"#,
        r#"{{$s := printf "%64000s" ""}}{{$t := printf "%64000s" ""}}{{range 1000}}{{$x := le $s $t}}{{end}}"#,
        r#"{{$d := dict "a" 1 "b" 2}}{{range 1000000}}{{range $d}}{{break}}{{end}}{{end}}"#,
    ] {
        assert_eq!(exhausted(source, budget.clone()), Exhausted::Steps(100_000), "{source}");
    }
}

#[test]
fn variables_behind_many_others_cost_more() {
    let many = "{{$x := 1}}".repeat(16_000);
    let source = format!("{{{{$first := 1}}}}{many}{{{{range 100}}}}{{{{$y := $first}}}}{{{{end}}}}");
    assert_eq!(exhausted(&source, Budget { steps: 100_000, ..default() }), Exhausted::Steps(100_000));
}

#[test]
fn output_is_bounded() {
    let budget = Budget { output: 10_000, ..default() };
    for source in [
        "{{range 1000000000}}some text{{end}}",
        "{{range 1000000000}}{{.}}{{end}}",
        r#"{{define "a"}}some text{{end}}{{range 1000000000}}{{$x := include "a" .}}{{end}}"#,
        r#"{{range 1000000000}}{{$x := tpl "some text" .}}{{end}}"#,
    ] {
        assert_eq!(exhausted(source, budget.clone()), Exhausted::Output(10_000), "{source}");
    }
    assert_eq!(render("{{range 1000}}0123456789{{end}}", budget).unwrap().len(), 10_000);
}

#[test]
fn memory_is_bounded() {
    let memory = 1 << 20;
    let budget = Budget { memory, ..default() };
    for source in [
        r#"{{$s := "x"}}{{range 100}}{{$s = print $s $s}}{{end}}"#,
        r#"{{printf "%1000000d%1000000d" 1 1}}"#,
        r#"{{printf "%1000000s%-1000000s" "" ""}}"#,
        r#"{{printf "%.1000000f%.1000000f" 1.0 1.0}}"#,
        r#"{{printf "%1000000.1000000x%01000000d" 1 1}}"#,
        r#"{{printf "%[1]*[1]d%[1]*[1]d" 1000000}}"#,
        r#"{{$s := printf "%600000s" "<"}}{{html $s $s}}"#,
        r#"{{$s := printf "%0400000d" 1 | printf "%x"}}{{printf "%x %q" $s $s}}"#,
        r#"{{$s := printf "%400000s" ""}}{{urlquery $s}}{{urlquery $s}}{{js $s}}"#,
        r#"{{$s := printf "%400000s" ""}}{{range 10}}{{$x := slice $s 1}}{{end}}"#,
        r#"{{$l := list 1}}{{range 30}}{{$l = list $l $l}}{{end}}{{print $l}}"#,
        r#"{{$l := list 1}}{{range 30}}{{$l = list $l $l}}{{end}}{{printf "%d" $l}}"#,
        r#"{{$l := list 1}}{{range 30}}{{$l = list $l $l}}{{end}}{{eq $l $l}}"#,
        r#"{{$d := dict}}{{range 1000000}}{{$_ := set $d (print .) .}}{{end}}"#,
        r#"{{$s := "{{.}}" | printf "%8000s"}}{{tpl $s 1}}"#,
    ] {
        assert_eq!(exhausted(source, budget.clone()), Exhausted::Memory(memory), "{source}");
    }
}

#[test]
fn widths_beyond_those_of_go_are_no_widths() {
    assert_eq!(render(r#"{{printf "%1000000000d" 1}}"#, default()).unwrap(), "%!(NOVERB)%!(EXTRA int=1)");
    assert_eq!(render(r#"{{printf "%*d" 1000000000 1}}"#, default()).unwrap(), "%!(BADWIDTH)1");
}

#[test]
fn values_within_themselves_are_not_printed_without_end() {
    for source in [
        r#"{{$d := dict}}{{$_ := set $d "d" $d}}{{print $d}}"#,
        r#"{{$d := dict}}{{$_ := set $d "d" (list $d)}}{{$d}}"#,
        r#"{{$d := dict}}{{$_ := set $d "d" $d}}{{printf "%#v" $d}}"#,
        r#"{{$d := dict}}{{$_ := set $d "d" $d}}{{eq $d $d}}"#,
        r#"{{$d := dict}}{{range 5000}}{{$_ := set $d (print .) ""}}{{end}}{{$_ := set $d " " $d}}{{printf "%#v" $d}}"#,
        r#"{{$l := list}}{{range 100000}}{{$l = list $l}}{{end}}{{print $l}}"#,
    ] {
        // The stack is little more than the reserve.
        let budget = Budget { depth: 16, ..default() };
        assert_eq!(exhausted(source, budget), Exhausted::Nesting(500), "{source}");
    }
}

#[test]
fn the_deepest_template_can_still_parse_another() {
    let (open, close) = ("(".repeat(250), ")".repeat(250));
    let source = format!(
        r#"{{{{define "a"}}}}{{{{tpl "{{{{define `x`}}}}{{{{{open}.{close}}}}}{{{{end}}}}" .}}}}{{{{template "a" .}}}}{{{{end}}}}{{{{template "a" .}}}}"#
    );
    let budget = Budget { depth: 300, ..default() };
    assert_eq!(exhausted(&source, budget), Exhausted::Depth(300));
}

#[test]
fn a_run_ends_when_its_caller_says_so() {
    let mut set = set(MissingKey::Zero);
    set.parse("t", b"{{range 1000000000}}{{end}}").unwrap();
    let questions = Cell::new(0);
    let is_stopped = || {
        questions.set(questions.get() + 1);
        questions.get() > 3
    };
    let result = set.execute(&Run::new(default(), &is_stopped), "t", Value::Nil);
    assert_eq!(result, Err(Error::Exhausted(Exhausted::Stopped)));
    assert_eq!(questions.get(), 4);
}

#[test]
fn templates_share_the_budget_of_their_run() {
    let mut set = set(MissingKey::Zero);
    set.parse("t", b"{{range 300}}{{end}}").unwrap();
    let run = Run::new(Budget { steps: 1000, ..default() }, &|| false);
    let mut results = (0..5).map(|_| set.execute(&run, "t", Value::Nil));
    assert!(results.by_ref().take(3).all(|result| result.is_ok()));
    assert_eq!(results.next(), Some(Err(Error::Exhausted(Exhausted::Steps(1000)))));
}

#[test]
fn messages_of_nested_templates_have_an_end() {
    let source = r#"{{define "a"}}{{if lt . 900}}{{include "a" (add . 1)}}{{else}}{{fail .x}}{{end}}{{end}}{{include "a" 0}}"#;
    let long = "a".repeat(300);
    let error = render(&source.replace("\"a\"", &format!("{long:?}")), default()).unwrap_err().to_string();
    assert!(error.starts_with("template: t:1:"), "{error}");
    assert!(error.len() < 263_000, "{}", error.len());
}
