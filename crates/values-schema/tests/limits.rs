//! What a schema may ask for is bounded, and none makes the crate panic, hang or overflow the stack.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use values_schema::{Exceeded, Limits, SchemaError, validate};

fn judged(schema: &Value, values: &Value, limits: &Limits) -> Result<(), SchemaError> {
    validate(schema.to_string().as_bytes(), values.as_object().unwrap(), limits)
}

fn exceeded(schema: &Value, values: &Value, limits: &Limits) -> Option<Exceeded> {
    match judged(schema, values, limits) {
        Err(SchemaError::Exceeded(exceeded)) => Some(exceeded),
        _ => None,
    }
}

/// Runs with the smallest stack that threads have here.
fn on_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap()
}

fn nested(depth: usize, key: &str) -> Value {
    (0..depth).fold(json!({}), |inner, _| json!({ key: inner }))
}

#[test]
fn a_schema_has_a_size() {
    let limits = Limits { schema_bytes: 20, ..Limits::default() };
    assert_eq!(
        exceeded(&json!({"type": "object", "x": 1}), &json!({}), &limits),
        Some(Exceeded::SchemaBytes(20))
    );
    assert_eq!(judged(&json!({"type": "object"}), &json!({}), &limits), Ok(()));
}

#[test]
fn schema_and_values_have_a_depth() {
    on_small_stack(|| {
        let limits = Limits::default();
        let deep = Some(Exceeded::Depth(limits.depth));
        assert_eq!(exceeded(&nested(101, "x"), &json!({}), &limits), deep);
        assert_eq!(exceeded(&json!({}), &nested(101, "x"), &limits), deep);
        assert_eq!(judged(&nested(100, "x"), &nested(100, "x"), &limits), Ok(()));
        let text = "[".repeat(1_000_000);
        assert_eq!(
            validate(text.as_bytes(), &Map::new(), &limits),
            Err(Exceeded::Depth(limits.depth).into())
        );
    });
}

#[test]
fn the_deepest_of_all_fits_on_a_small_stack() {
    on_small_stack(|| {
        let limits = Limits::default();
        // A list of trees is a list of trees.
        let tree = json!({"$defs": {"t": {"additionalProperties": {"allOf": [{"$ref": "#/$defs/t"}]}}}, "$ref": "#/$defs/t"});
        assert_eq!(judged(&tree, &nested(98, "x"), &limits), Ok(()));
        // One schema after the other.
        let chain = |length: usize| {
            let link = |index: usize| {
                (format!("d{index}"), json!({"allOf": [{"$ref": format!("#/$defs/d{}", index + 1)}]}))
            };
            let mut links: Map<String, Value> = (0..length).map(link).collect();
            links.insert(format!("d{length}"), json!(true));
            json!({"$defs": links, "$ref": "#/$defs/d0"})
        };
        assert_eq!(judged(&chain(140), &json!({}), &limits), Ok(()));
        assert_eq!(
            exceeded(&chain(1000), &json!({}), &limits),
            Some(Exceeded::NestedSchemas(limits.nested_schemas))
        );
        // The metaschema is compared with what is deepest in a schema.
        let deep = |depth: usize| (0..depth).fold(json!(true), |inner, _| json!({"not": inner}));
        assert_eq!(judged(&deep(50), &json!({}), &limits), Ok(()));
        assert!(matches!(judged(&deep(99), &json!({}), &limits), Err(SchemaError::Exceeded(_))));
    });
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    on_small_stack(|| {
        let limits = Limits::default();
        let message =
            "- at '': both /$ref and  resolve to \"file:///values.schema.json#\" causing reference cycle\n";
        let done = judged(&json!({"$ref": "#"}), &json!({}), &limits);
        assert_eq!(done, Err(SchemaError::Values(message.to_owned())));
        let tree = json!({"properties": {"x": {"$ref": "#"}}, "additionalProperties": false});
        assert_eq!(judged(&tree, &nested(90, "x"), &limits), Ok(()));
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let both = json!({keyword: [{"$ref": "#"}, {"$dynamicRef": "#"}]});
            assert!(judged(&both, &nested(10, "x"), &limits).is_err(), "{keyword}");
        }
    });
}

#[test]
fn steps_double_with_each_level_until_they_run_out() {
    let limits = Limits { steps: 100_000, ..Limits::default() };
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let level = |index: usize| {
            let next = json!({"$ref": format!("#/$defs/d{}", index + 1)});
            (format!("d{index}"), json!({keyword: [{"not": next}, {"not": {"not": next}}, next]}))
        };
        let mut levels: Map<String, Value> = (0..40).map(level).collect();
        levels.insert("d40".to_owned(), json!({"type": "object"}));
        let schema = json!({"$defs": levels, "$ref": "#/$defs/d0"});
        assert_eq!(exceeded(&schema, &json!({}), &limits), Some(Exceeded::Steps(100_000)), "{keyword}");
    }
}

#[test]
fn comparing_what_is_long_takes_steps() {
    let limits = Limits { steps: 100_000, ..Limits::default() };
    let steps = Some(Exceeded::Steps(100_000));
    let items: Vec<_> = (0..1000).collect();
    let wanted: Vec<_> = (0..1000).map(|index| json!({"x": index, "y": "z".repeat(100)})).collect();
    let values = json!({"a": items, "b": "x".repeat(10_000)});
    let schemas = [
        json!({"properties": {"a": {"items": {"enum": wanted}}}}),
        json!({"properties": {"b": {"pattern": format!("^{}$", "(x|y|z)*".repeat(50))}}}),
        json!({"properties": {"a": {"items": {"allOf": vec![json!({"not": {"type": "string"}}); 100]}}}}),
    ];
    for schema in schemas {
        assert_eq!(exceeded(&schema, &values, &limits), steps, "{schema:.100}");
    }
}

#[test]
fn long_locations_and_messages_take_memory() {
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    let memory = Some(Exceeded::Memory(1 << 20));
    let long = "k".repeat(10_000);
    let many: Map<String, Value> =
        (0..300).map(|index| (index.to_string(), json!({"type": "string"}))).collect();
    let deep = json!({"properties": {long.as_str(): {"properties": many}}});
    assert_eq!(exceeded(&deep, &json!({}), &limits), memory);
    let values: Map<String, Value> = (0..200).map(|index| (format!("{long}{index}"), json!(1))).collect();
    let strings = json!({"additionalProperties": {"type": "string"}});
    assert_eq!(exceeded(&strings, &Value::Object(values), &limits), memory);
    let expressions: Map<String, Value> =
        (0..100).map(|index| (format!("(a{{30}}){{30}}{index}"), json!(true))).collect();
    assert_eq!(exceeded(&json!({"patternProperties": expressions}), &json!({}), &limits), memory);
}

#[test]
fn numbers_have_a_length() {
    let limits = Limits::default();
    let judge = |number: &str| {
        validate(
            format!("{{\"properties\":{{\"a\":{{\"minimum\":{number}}}}}}}").as_bytes(),
            &Map::new(),
            &limits,
        )
    };
    for number in ["1e1001", "-1e-1001", &"9".repeat(1001), "1e99999999999999999999"] {
        assert_eq!(judge(number), Err(Exceeded::Number.into()), "{number}");
    }
    for number in ["1e1000", "0e99999", &"9".repeat(1000)] {
        assert_eq!(judge(number), Ok(()), "{number}");
    }
}

#[test]
fn nothing_is_loaded() {
    let limits = Limits::default();
    let cases = [
        ("http://example.com/x.json", "schemas are not loaded from the network"),
        ("https://example.com/x.json#/a", "schemas are not loaded from the network"),
        ("file:///etc/passwd", "schemas are not loaded from files"),
        ("other.json", "schemas are not loaded from files"),
    ];
    for (reference, why) in cases {
        let Err(SchemaError::Invalid(message)) = judged(&json!({"$ref": reference}), &json!({}), &limits)
        else {
            panic!("{reference}");
        };
        assert!(message.starts_with("failing loading \"") && message.ends_with(why), "{message}");
    }
    assert_eq!(judged(&json!({"$ref": "urn:example:x"}), &json!({"a": 1}), &limits), Ok(()));
}

#[test]
fn integers_of_assignments_are_numbers_as_well() {
    let schema = json!({"properties": {"a": {"type": "integer", "maximum": 5}, "b": {"const": 2}}});
    assert_eq!(judged(&schema, &json!({"a": 5, "b": 2}), &Limits::default()), Ok(()));
    assert_eq!(judged(&schema, &json!({"a": 5.0, "b": 2.0}), &Limits::default()), Ok(()));
    let message = "- at '/a': maximum: got 9.223372036854776×10¹⁸, want 5\n";
    let done = judged(&schema, &json!({"a": i64::MAX}), &Limits::default());
    assert_eq!(done, Err(SchemaError::Values(message.to_owned())));
}

/// Schemas with keywords that have values of any kind.
fn schemas() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (-3..1500_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c#/~%:.$^()*\\[é]{0,6}".prop_map(Value::from),
        prop::sample::select(vec![
            "object",
            "string",
            "date",
            "email",
            "regex",
            "#",
            "#/$defs/a",
            "#a",
            "urn:a",
            "a",
            "http://a/b",
            "http://json-schema.org/draft-04/schema#",
            "http://json-schema.org/draft-07/schema#",
            "https://json-schema.org/draft/2019-09/schema",
            "https://json-schema.org/draft/2020-12/meta/core",
        ])
        .prop_map(Value::from),
    ];
    let keyword = prop::sample::select(vec![
        "$schema",
        "$id",
        "id",
        "$ref",
        "$dynamicRef",
        "$dynamicAnchor",
        "$anchor",
        "$recursiveRef",
        "$recursiveAnchor",
        "$defs",
        "definitions",
        "type",
        "enum",
        "const",
        "format",
        "pattern",
        "properties",
        "patternProperties",
        "additionalProperties",
        "items",
        "prefixItems",
        "additionalItems",
        "contains",
        "minContains",
        "uniqueItems",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "required",
        "dependencies",
        "dependentSchemas",
        "dependentRequired",
        "propertyNames",
        "unevaluatedProperties",
        "unevaluatedItems",
        "minimum",
        "multipleOf",
        "minLength",
        "maxItems",
        "$vocabulary",
        "a",
        "b",
    ]);
    scalar.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keyword.clone(), inner, 0..5).prop_map(|entries| entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_schema_makes_it_panic(schema in schemas(), values in schemas()) {
        let limits = Limits { steps: 1_000_000, ..Limits::default() };
        let values = json!({"a": values, "b": [1, "x", {}]});
        if let Err(error) = judged(&schema, &values, &limits) {
            let mut text = String::new();
            write!(text, "{error}").unwrap();
            prop_assert!(!text.is_empty());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = validate(&text, &Map::new(), &Limits::default());
    }
}
