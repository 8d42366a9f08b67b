//! Building, looking up and changing nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use yaml::{Kind, Limits, Node, Resolved, Resolver, Style, emit, emit_indented, parse, parse_unexpanded};

fn one(text: &str) -> Node {
    parse(text, &Limits::default()).unwrap().remove(0)
}

#[test]
fn nodes_are_reached_by_path_and_changed_in_place() {
    let mut node = one("kind: A # kind\nmetadata:\n  name: x\n  labels: {a: b}\n");
    assert_eq!(node.get_path(&["metadata", "labels", "a"]).unwrap().as_str(), Some("b"));
    assert!(node.get_path(&["metadata", "missing", "a"]).is_none());
    node.get_mut("kind").unwrap().set_string("B");
    node.get_path_mut(&["metadata", "labels"]).unwrap().insert("c", Node::string("1"));
    assert_eq!(node.get_mut("metadata").unwrap().remove("name").unwrap().as_str(), Some("x"));
    node.insert("spec", Node::mapping_of([("replicas", Node::integer(2)), ("paused", Node::bool(false))]));
    assert_eq!(
        emit(&node),
        "kind: B # kind\nmetadata:\n  labels: {a: b, c: \"1\"}\nspec:\n  replicas: 2\n  paused: false\n"
    );
}

/// What go-yaml 3.0.5 writes with `SetIndent(4)`.
#[test]
fn indentation_may_be_that_of_go_yaml() {
    let text = "\
a:
    # list
    - x # inline
    - - nested
      - k: v
        l:
            m: n
    - key: |
        text
b: []
---
c: {}
";
    assert_eq!(emit_indented(&parse(text, &Limits::default()).unwrap(), 4), text);
    // go-yaml writes the step, not the columns that are meant.
    let spaces = Node::mapping_of([("a", Node::sequence_of([Node::string("  b\n")]))]);
    assert_eq!(emit_indented(&[spaces], 4), "a:\n    - |4\n        b\n");
}

#[test]
fn strings_that_read_as_something_else_are_quoted() {
    for text in ["1", "true", "null", "", "~", "yes", "off", "1:30", "2020-01-01", "0x1f", "1e3", ".5", "y"] {
        let node = Node::string(text);
        assert_eq!(emit(&node), format!("\"{text}\"\n"));
        let mut changed = Node::string("plain");
        changed.set_string(text);
        assert_eq!(emit(&changed), format!("\"{text}\"\n"));
    }
    for text in ["plain", "a b", "1.2.3", "v1", "True1", "a:b", "$x"] {
        assert_eq!(emit(&Node::string(text)), format!("{text}\n"));
    }
    assert_eq!(emit(&Node::mapping_of([("a", Node::string("x\ny\n"))])), "a: |\n  x\n  y\n");
}

#[test]
fn setting_a_string_keeps_quotes_and_comments() {
    let mut node = one("a: 'x' # why\nb: 3\n");
    node.get_mut("a").unwrap().set_string("y");
    node.get_mut("b").unwrap().set_string("z");
    assert_eq!(emit(&node), "a: 'y' # why\nb: z\n");
}

#[test]
fn equality_sees_content_and_type_only() {
    assert_eq!(one("# c\na: 'x'\nb: [1, 2]\n"), one("a: x # d\nb:\n- 1\n- 2\n"));
    assert_ne!(one("a: '1'\n"), one("a: 1\n"));
    assert_ne!(one("a: 1\nb: 2\n"), one("b: 2\na: 1\n"));
    assert_ne!(one("- a\n"), one("a\n"));
}

#[test]
fn large_mappings_find_their_keys_through_every_change() {
    let mut node = Node::mapping();
    for number in 0..100 {
        node.insert(&format!("k{number}"), Node::integer(number));
    }
    assert_eq!(node.get("k57").unwrap().as_str(), Some("57"));
    assert_eq!(node.remove("k10").unwrap().as_str(), Some("10"));
    assert!(node.get("k10").is_none());
    assert_eq!(node.get("k57").unwrap().as_str(), Some("57"));
    node.insert("new", Node::null());
    assert!(node.get("new").unwrap().is_null());
    assert_eq!(node.insert("k57", Node::string("x")).unwrap().as_str(), Some("57"));
    node.as_mapping_mut().unwrap().entries_vec_mut().reverse();
    assert_eq!(node.get("k57").unwrap().as_str(), Some("x"));
    assert_eq!(node.entries().len(), 100);
    let copy = node.clone();
    assert_eq!(copy.get("k99").unwrap().as_str(), Some("99"));
}

#[test]
fn the_first_of_equal_keys_is_found() {
    let long: String = (0..50).map(|number| format!("k{number}: x\n")).collect();
    for text in ["a: 1\na: 2\n".to_owned(), format!("a: 1\n{long}a: 2\n")] {
        assert_eq!(one(&text).get("a").unwrap().as_str(), Some("1"));
    }
}

#[test]
fn resolvers_differ_where_go_yaml_versions_differ() {
    let resolve =
        |text: &str, resolver| Node::plain(text).resolve(resolver).unwrap().unwrap() == Resolved::Bool(true);
    assert!(resolve("yes", Resolver::KubernetesV2) && !resolve("yes", Resolver::KustomizeV3));
    let date = Node::plain("2020-01-01");
    assert_eq!(date.resolve(Resolver::KubernetesV2).unwrap(), Some(Resolved::String("2020-01-01".into())));
    assert_eq!(
        date.resolve(Resolver::KustomizeV3).unwrap(),
        Some(Resolved::Timestamp("2020-01-01T00:00:00Z".into()))
    );
    assert!(date.resolve(Resolver::KustomizeV3).unwrap() != Some(Resolved::Null));
    assert_eq!(Node::mapping().resolve(Resolver::KustomizeV3).unwrap(), None);
}

#[test]
fn aliases_stay_as_written_when_asked() {
    let node =
        parse_unexpanded("a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n", &Limits::default()).unwrap().0.remove(0);
    assert_eq!(node.get("a").unwrap().anchor(), "x");
    assert_eq!(node.get("c").unwrap().kind(), Kind::Alias);
    assert!(node.to_json(Resolver::KustomizeV3).is_err());
    let mut expanded = node.clone();
    expanded.expand_aliases(&Limits::default()).unwrap();
    assert_eq!(expanded, one("a: {b: 1}\nc: {b: 1}\nd: {b: 1}\n"));
    assert_eq!(expanded.get("a").unwrap().anchor(), "");
}

#[test]
fn own_entries_win_over_merged_ones_and_earlier_merges_over_later() {
    let text =
        "a: &a {k: 1, x: 1}\nb: &b {k: 2, y: 2}\nc:\n  k: 0\n  <<: [*a, *b]\n  z: 3\nd: {<<: [*a, *b]}\n";
    let node = one(text);
    assert_eq!(emit(node.get("c").unwrap()), "k: 0\nz: 3\ny: 2\nx: 1\n");
    assert_eq!(node.get_path(&["d", "k"]).unwrap().as_str(), Some("1"));
}

#[test]
fn comments_can_be_taken_off() {
    let mut node = one("# doc\n\n# head\na: 1 # line\n# foot\n\nb: [x] # y\n# end\n");
    assert_eq!(node.entries()[0].0.comments().head, "# head");
    assert_eq!(node.get("a").unwrap().comments().line, "# line");
    node.strip_comments();
    assert_eq!(emit(&node), "a: 1\nb: [x]\n");
}

#[test]
fn windows_line_ends_and_byte_order_marks_are_read_over() {
    assert_eq!(one("\u{feff}a: 1\r\nb: |\r\n  x\r\n  y\r\n"), one("a: 1\nb: \"x\\ny\\n\"\n"));
}

#[test]
fn styles_are_kept() {
    let text = "a: 'x'\nb: \"y\"\nc: |\n  z\nd: >-\n  w\ne: [1]\n";
    let node = one(text);
    let styles: Vec<Style> = node.entries().iter().map(|(_, value)| value.style()).collect();
    assert_eq!(
        styles,
        [Style::SingleQuoted, Style::DoubleQuoted, Style::Literal, Style::Folded, Style::Flow]
    );
    assert_eq!(emit(&node), text);
}

#[test]
fn errors_name_the_line_as_go_yaml_does() {
    let error = |text: &str| parse(text, &Limits::default()).unwrap_err().to_string();
    assert_eq!(error("a: b\nc: d: e\n"), "yaml: line 2: mapping values are not allowed in this context");
    assert_eq!(error("a:\n\t- b\n"), "yaml: line 2: found character that cannot start any token");
    assert_eq!(error("a: *x\n"), "yaml: unknown anchor 'x' referenced");
    assert_eq!(error("a: \u{1}\n"), "yaml: control characters are not allowed");
    let duplicate = one("a: 1\nb: 2\na: 3\n").to_json(Resolver::KustomizeV3).unwrap_err().to_string();
    assert_eq!(duplicate, "yaml: unmarshal errors:\n  line 3: mapping key \"a\" already defined at line 1");
}
