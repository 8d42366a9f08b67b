//! JSON text and YAML from JSON, against tables made by Go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use serde_json::{Value, json};
use yaml::{Limits, Node, Resolver, canonical_json, emit, from_json, json_to_yaml, parse};

fn rows(table: &'static str) -> impl Iterator<Item = Value> {
    table.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn floats_have_the_digits_go_gives_them() {
    let mut seen = 0;
    for row in rows(include_str!("data/floats.jsonl")) {
        let value = f64::from_bits(row["bits"].as_str().unwrap().parse().unwrap());
        assert_eq!(canonical_json(&json!(value)), row["json"].as_str().unwrap(), "{value:e}");
        // go-yaml reads the sign of a zero away.
        if value != 0.0 {
            assert_eq!(
                emit(&from_json(&json!(value))).trim_end(),
                row["yaml"].as_str().unwrap(),
                "{value:e}"
            );
        }
        seen += 1;
    }
    assert!(seen > 250);
}

#[test]
fn a_float_read_from_yaml_reaches_json_with_go_digits() {
    for row in rows(include_str!("data/floats.jsonl")) {
        let value = f64::from_bits(row["bits"].as_str().unwrap().parse().unwrap());
        let text = format!("{value:?}");
        let json = Node::plain(&text).to_json(Resolver::KubernetesV2).unwrap();
        if value.abs() < 1.8e19 && value != 0.0 {
            assert_eq!(json.to_string().parse::<f64>(), Ok(value), "{text}");
        }
        assert_eq!(canonical_json(&json), row["json"].as_str().unwrap(), "{text}");
    }
}

#[test]
fn whole_floats_become_integers_and_big_integers_stay_exact() {
    let json = |text: &str| Node::plain(text).to_json(Resolver::KubernetesV2).unwrap();
    assert_eq!(json("1.0"), json!(1));
    assert_eq!(json("1e3"), json!(1000));
    assert_eq!(json("9223372036854775807"), json!(i64::MAX));
    assert_eq!(json("18446744073709551615"), json!(u64::MAX));
    assert_eq!(json("1.5"), json!(1.5));
    assert_eq!(json("1152921504606846976.0").to_string(), "1152921504606847000");
}

#[test]
fn strings_are_escaped_as_go_escapes_them() {
    let mut seen = 0;
    for row in rows(include_str!("data/json.jsonl")) {
        assert_eq!(canonical_json(&row[0]), row[1].as_str().unwrap());
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn canonical_json_sorts_keys_at_every_level() {
    assert_eq!(
        canonical_json(&json!({"b": [{"z": 1, "a": null}], "a": true})),
        r#"{"a":true,"b":[{"a":null,"z":1}]}"#
    );
}

#[test]
fn keys_come_in_the_order_of_go_yaml() {
    let mut seen = 0;
    for row in rows(include_str!("data/keys.jsonl")) {
        let keys: Vec<&str> = row.as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        let object: serde_json::Map<String, Value> =
            keys.iter().rev().map(|key| ((*key).to_owned(), json!(1))).collect();
        let document = parse(&json_to_yaml(&Value::Object(object)), &Limits::default()).unwrap().remove(0);
        let ours: Vec<&str> = document.entries().iter().map(|(key, _)| key.as_str().unwrap()).collect();
        assert_eq!(ours, keys);
        seen += 1;
    }
    assert!(seen > 150, "{seen}");
}

#[test]
fn keys_whose_order_has_a_cycle_are_sorted_all_the_same() {
    let object: serde_json::Map<String, Value> = (0..3000)
        .map(|number| (format!("{:b}{}", number, ["A", "b", ""][number % 3]), json!(number)))
        .collect();
    let object = Value::Object(object);
    let document = parse(&json_to_yaml(&object), &Limits::default()).unwrap().remove(0);
    assert_eq!(document.entries().len(), 3000);
}

#[test]
fn long_plain_text_folds_as_kustomize_prints_it() {
    let text = "word ".repeat(30).trim_end().to_owned();
    assert_eq!(
        json_to_yaml(&json!({"description": text})),
        format!("description: {}\n  {}\n", "word ".repeat(14).trim_end(), "word ".repeat(16).trim_end())
    );
}

#[test]
fn doubled_quotes_count_as_columns_when_folding() {
    let key = "{{ time_since('', '{{ target.metadata.creationTimestamp }}', '') }}";
    let all = json!([{ "key": key }]);
    assert_eq!(
        json_to_yaml(&json!({"spec": all})),
        "spec:\n- key: '{{ time_since('''', ''{{ target.metadata.creationTimestamp }}'', '''') }}'\n"
    );
    assert_eq!(
        json_to_yaml(&json!({"spec": {"conditions": {"all": all}}})),
        "spec:\n  conditions:\n    all:\n    - key: '{{ time_since('''', ''{{ target.metadata.creationTimestamp }}'', '''')\n        }}'\n"
    );
}

#[test]
fn kustomize_quotes_what_may_not_stand_plain_in_a_flow_collection() {
    for (text, expected) in [
        ("at: 2001-12-14 21:59:43", json!({"at": "2001-12-14T21:59:43Z"})),
        ("{at: 2001-12-14 21:59:43}", json!({"at": "2001-12-14 21:59:43"})),
        ("a: [2001-12-14t21:59:43.10-05:00]", json!({"a": ["2001-12-14t21:59:43.10-05:00"]})),
        ("a: {2001-12-14 21:59:43: 1}", json!({"a": {"2001-12-14 21:59:43": 1}})),
        ("a: {b: [[2001-12-14   21:59:43]]}", json!({"a": {"b": [["2001-12-14   21:59:43"]]}})),
        ("a: {at: !!timestamp 2001-12-14 21:59:43}", json!({"a": {"at": "2001-12-14T21:59:43Z"}})),
        ("a: {at: 2001-12-14}", json!({"a": {"at": "2001-12-14T00:00:00Z"}})),
        ("a: {b: , c: 1.5}", json!({"a": {"b": "", "c": 1.5}})),
    ] {
        let node = parse(text, &Limits::default()).unwrap().remove(0);
        assert_eq!(node.to_json(Resolver::KustomizeV3).unwrap(), expected, "{text}");
    }
    // Go reads one space in the layout of a time as any number of them.
    let node = parse("at: 2001-12-14   21:59:43", &Limits::default()).unwrap().remove(0);
    assert_eq!(node.to_json(Resolver::KustomizeV3).unwrap(), json!({"at": "2001-12-14T21:59:43Z"}));
}
