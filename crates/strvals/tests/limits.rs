//! What one text can make is bounded, and no text makes the crate panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use strvals::{Error, Flag, FlagError, Limits, MAX_INDEX};

fn assigned(text: &str, limits: &Limits) -> Result<Value, Error> {
    let mut values = Map::new();
    strvals::parse_into(text, &mut values, limits).map(|()| Value::Object(values))
}

#[test]
fn lists_of_the_greatest_length_are_made_four_times_and_no_more() {
    let text = |lists: usize| {
        let parts: Vec<_> = (0..lists).map(|list| format!("l{list}[{MAX_INDEX}]=x")).collect();
        parts.join(",")
    };
    let limits = Limits::default();
    assert_eq!(assigned(&text(4), &limits).unwrap()["l3"].as_array().unwrap().len(), MAX_INDEX + 1);
    assert_eq!(assigned(&text(5), &limits), Err(Error::Items(limits.items)));
}

#[test]
fn lists_within_lists_are_bounded_in_items_and_in_depth() {
    let limits = Limits::default();
    let wide = format!("a{}=1", format!("[{MAX_INDEX}]").repeat(90));
    assert_eq!(assigned(&wide, &limits), Err(Error::Items(limits.items)));
    for name in ["[0]", "[0].b", ".b[0]"] {
        let deep = format!("a{}=1", name.repeat(100_000));
        assert_eq!(assigned(&deep, &limits), Err(Error::Depth(limits.depth)), "{name}");
    }
    assert!(assigned(&format!("a{}=1", "[0]".repeat(100)), &limits).is_ok());
}

#[test]
fn what_a_list_has_already_is_not_counted_again() {
    let limits = Limits { items: 3, ..Limits::default() };
    assert_eq!(assigned("a[2]=x,a[0]=y,a[1]=z", &limits), Ok(json!({"a": ["y", "z", "x"]})));
    assert_eq!(assigned("a[2]=x,b[0]=y", &limits), Err(Error::Items(3)));
    assert_eq!(assigned("a={1,2,3,4}", &limits), Err(Error::Items(3)));
}

#[test]
fn json_counts_as_well() {
    let limits = Limits { items: 3, depth: 10 };
    let mut values = Map::new();
    let mut set = |text: &str| strvals::parse_into_json(text, &mut values, &limits);
    assert_eq!(set("a=[1,2]"), Ok(()));
    assert_eq!(set("a=[1,2,3]"), Err(Error::Items(3)));
    let limits = Limits { items: 1000, depth: 10 };
    let mut set = |text: &str| strvals::parse_into_json(text, &mut values, &limits);
    assert_eq!(set(&format!("a={}", "[".repeat(500))), Err(Error::Depth(10)));
    assert_eq!(set(&format!("b.b.c.d.e={}", "[".repeat(7))), Err(Error::Depth(10)));
}

#[test]
fn the_command_line_says_which_flag_is_wrong() {
    let limits = Limits::default();
    let apply = |flag: Flag, text: &str| {
        let mut values = json!({"m": {"a": 1.0, "b": 2.0}}).as_object().unwrap().clone();
        let done = flag.apply(text, &mut values, &mut |path| Err(format!("open {path}: gone")), &limits);
        done.map(|()| Value::Object(values)).map_err(|error| match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
    };
    let failures = [
        (Flag::Set, "a", "failed parsing --set data: key \"a\" has no value"),
        (Flag::String, "a={b", "failed parsing --set-string data: list must terminate with '}'"),
        (Flag::File, "a=f", "failed parsing --set-file data: open f: gone"),
        (
            Flag::Literal,
            "a[x]=1",
            "failed parsing --set-literal data: error parsing index: strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (Flag::Json, "a=nope", "failed parsing --set-json data a=nope"),
        (Flag::Json, " {\"a\": } ", "failed parsing --set-json data JSON:  {\"a\": } "),
    ];
    for (flag, text, message) in failures {
        assert_eq!(apply(flag, text), Err(message.to_owned()));
    }
    let merged = apply(Flag::Json, " {\"m\": {\"b\": null, \"c\": 3}, \"l\": [1]}");
    assert_eq!(merged, Ok(json!({"m": {"a": 1.0, "b": null, "c": 3.0}, "l": [1.0]})));
    let flags = [Flag::Literal, Flag::Set, Flag::Json, Flag::File, Flag::String];
    let order: Vec<_> = BTreeSet::from(flags).into_iter().collect();
    assert_eq!(order, [Flag::Json, Flag::Set, Flag::String, Flag::File, Flag::Literal]);
}

#[test]
fn what_is_wrong_with_json_is_kept_behind_what_helm_says() {
    let mut values = Map::new();
    let done = Flag::Json.apply("a=nope", &mut values, &mut |_| Ok(String::new()), &Limits::default());
    let Err(FlagError::Json { cause, .. }) = done else { panic!("{done:?}") };
    assert_eq!(cause.to_string(), "invalid character 'o' in literal null (expecting 'u')");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r#"([a-c.\[\]0-9=,{}\\" é]|true|null|\[0\]|\{"a":1\}){0,40}"#) {
        let limits = Limits { items: 1000, depth: 20 };
        let mut values = json!({"a": {"b": [1]}, "b": ["x", {}], "c": null}).as_object().unwrap().clone();
        for flag in [Flag::Json, Flag::Set, Flag::String, Flag::File, Flag::Literal] {
            let _ = flag.apply(&text, &mut values, &mut |path| Ok(path.to_owned()), &limits);
        }
    }
}
