//! What must hold for every value and every text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use yaml::{
    Limits, Node, Resolver, Style, canonical_json, emit, from_json, json_to_yaml, parse, parse_unexpanded,
};

/// Pieces that texts and strings are made of, each of which means something somewhere in YAML.
const PIECES: &[&str] = &[
    "a",
    "b1",
    "word",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\n  ",
    "\n- ",
    "- ",
    ": ",
    ":",
    " #c",
    "#",
    "'",
    "\"",
    "\\",
    "[",
    "]",
    "{",
    "}",
    ",",
    "?",
    "? ",
    "|",
    "|\n",
    "|2\n",
    ">-\n",
    "> ",
    "&x ",
    "*x",
    "!t ",
    "!!str ",
    "!!int ",
    "%",
    "@",
    "`",
    "\t",
    "~",
    "null",
    "true",
    "1",
    "0777",
    "1e3",
    "2020-01-01",
    "<<: ",
    "---\n",
    "--- ",
    "...\n",
    "\r\n",
    "\r",
    "é",
    "日本",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "😀",
    "=",
    "key: value\n",
    "k:\n  - v\n",
    "\\n",
    "\\x41",
    "x: &x {y: z}\n",
];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.concat())
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![4 => text(), 1 => any::<String>(), 2 => "[a-z0-9.-]{0,12}", 1 => "([a-z]{1,9} ){8,30}"]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // go-yaml loses the sign of a zero.
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite() && *value != 0.0)
            .prop_map(|value| json!(value)),
        string().prop_map(Value::from),
        string().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((string(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Texts in which go-yaml's own writing does not survive its reading.
fn survives(text: &str, style: Style) -> bool {
    match style {
        // Breaks around indented lines multiply.
        Style::Folded => false,
        // A tab is taken for indentation; a first line of blanks for the block's.
        Style::Plain if !text.contains('\n') => true,
        Style::Literal | Style::Plain => !text.trim_start_matches('\n').starts_with(['\t', ' ']),
        _ => true,
    }
}

fn key() -> impl Strategy<Value = String> {
    string().prop_filter("survives", |text| survives(text, Style::Plain) && !text.contains(odd_break))
}

fn node() -> impl Strategy<Value = Node> {
    const STYLES: &[Style] = &[Style::Plain, Style::SingleQuoted, Style::DoubleQuoted, Style::Literal];
    let leaf = (string(), prop::sample::select(STYLES)).prop_map(|(text, style)| {
        let mut node = Node::string(&text);
        if style != Style::Plain && survives(&text, style) && !text.contains(odd_break) {
            node.set_style(style);
        } else if !survives(&text, Style::Plain) || text.contains(odd_break) {
            node.set_style(Style::DoubleQuoted);
        }
        node
    });
    leaf.prop_recursive(4, 40, 5, |inner| {
        let block = prop::bool::ANY;
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), block)
                .prop_map(|(items, flow)| flowing(Node::sequence_of(items), flow)),
            (prop::collection::btree_map(key(), inner, 0..5), block)
                .prop_map(|(entries, flow)| flowing(Node::mapping_of(entries), flow)),
        ]
    })
}

/// Breaks that YAML 1.1 knows and a block scalar turns into others.
fn odd_break(c: char) -> bool {
    matches!(c, '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn flowing(mut node: Node, flow: bool) -> Node {
    if flow {
        node.set_style(Style::Flow);
    }
    node
}

fn one(text: &str) -> Result<Node, String> {
    let mut documents = parse(text, &Limits::default()).map_err(|error| error.to_string())?;
    if documents.len() == 1 { Ok(documents.remove(0)) } else { Err(format!("{} documents", documents.len())) }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_text_is_parsed_or_refused(text in text()) {
        for text in [text.clone(), format!("a:\n  {text}"), format!("- {text}\n# c"), format!("[{text}]")] {
            if let Ok((documents, _)) = parse_unexpanded(&text, &Limits::default()) {
                for document in &documents {
                    let _ = emit(document);
                    let _ = document.to_json(Resolver::KubernetesV2);
                }
            }
            if let Ok(documents) = parse(&text, &Limits::default()) {
                for document in &documents {
                    let _ = document.to_json(Resolver::KustomizeV3).map(|json| json_to_yaml(&json));
                }
            }
        }
    }

    #[test]
    fn any_bytes_that_are_text_are_parsed_or_refused(text in any::<String>()) {
        let _ = parse(&text, &Limits::default());
    }

    #[test]
    fn json_survives_yaml(value in json_value()) {
        // A raw NEL or control character never survives Go's own conversion; here it does.
        let text = json_to_yaml(&value);
        let back = one(&text).map_err(TestCaseError::fail)?.to_json(Resolver::KubernetesV2).unwrap();
        prop_assert_eq!(canonical_json(&back), canonical_json(&value), "{}", text);
    }

    #[test]
    fn json_survives_nodes(value in json_value()) {
        for resolver in [Resolver::KubernetesV2, Resolver::KustomizeV3] {
            let back = from_json(&value).to_json(resolver).unwrap();
            prop_assert_eq!(canonical_json(&back), canonical_json(&value));
        }
    }

    #[test]
    fn nodes_survive_their_text(node in node()) {
        let text = emit(&node);
        let back = one(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(&back, &node, "{}", text);
        prop_assert_eq!(emit(&back), text);
    }

    #[test]
    fn parsed_text_survives_being_written(text in text()) {
        let Ok(documents) = parse(&text, &Limits::default()) else { return Ok(()) };
        for document in documents {
            if !all_survive(&document) {
                continue;
            }
            let written = emit(&document);
            let mut back = one(&written).map_err(|error| TestCaseError::fail(format!("{error}\n{written}")))?;
            let mut document = document;
            back.strip_comments();
            document.strip_comments();
            prop_assert_eq!(&back, &document, "{}", written);
        }
    }
}

/// Whether go-yaml's writing keeps everything in the tree.
fn all_survive(node: &Node) -> bool {
    let own = match node.as_str() {
        // Missing values become '' in flow collections and keys; `<<` becomes a merge.
        Some(text) => {
            !text.is_empty() && text != "<<" && !text.contains(odd_break) && survives(text, node.style())
        }
        None => true,
    };
    own && node.comments().foot.is_empty()
        && node.comments().line.is_empty()
        && node.items().iter().all(all_survive)
        && node.entries().iter().all(|(key, value)| all_survive(key) && all_survive(value) && !key.is_null())
}
