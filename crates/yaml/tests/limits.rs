//! Hostile text meets a limit, not the end of stack or memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use yaml::{Error, Limits, Node, Resolver, canonical_json, emit, json_to_yaml, parse, parse_unexpanded};

fn refused(text: &str, limits: &Limits) -> (&'static str, usize) {
    match parse(text, limits) {
        Err(Error::Limit { what, limit, .. }) => (what, limit),
        other => panic!("no limit met: {:.200}", format!("{other:?}")),
    }
}

#[test]
fn text_beyond_the_byte_limit_is_refused_unread() {
    let text = "a".repeat(100 << 20);
    assert_eq!(refused(&text, &Limits::default()), ("bytes", 32 << 20));
}

#[test]
fn one_scalar_of_nearly_the_whole_byte_limit_is_read() {
    let limits = Limits { bytes: 3 << 20, ..Limits::default() };
    let literal = format!("k: |\n  {}\n", "x".repeat(2 << 20));
    let quoted = format!("k: \"{}\"\n", "x y ".repeat(1 << 19));
    let plain = format!("k: {}\n", "x y ".repeat(1 << 19));
    for (text, length) in [(literal, (2 << 20) + 1), (quoted, 2 << 20), (plain, (2 << 20) - 1)] {
        let documents = parse(&text, &limits).unwrap();
        assert_eq!(documents[0].get("k").unwrap().as_str().unwrap().len(), length);
    }
}

#[test]
fn deep_nesting_is_refused_in_every_notation() {
    let n = 100_000;
    let block_map: String = (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    for text in [
        "[".repeat(n),
        "{a: ".repeat(n),
        "- ".repeat(n),
        "? ".repeat(n),
        "[{".repeat(n),
        format!("a: {}", "[".repeat(n)),
        block_map,
        "- [".repeat(n),
        format!("{}{}", "[".repeat(n), "]".repeat(n)),
    ] {
        assert_eq!(refused(&text, &Limits::default()), ("nested collections", 200), "{:.20}", text);
    }
}

#[test]
fn the_deepest_allowed_tree_is_walked_on_a_small_stack() {
    let depth = Limits::default().depth;
    let walk = move || {
        let text = format!("{}x{}", "[".repeat(depth), "]".repeat(depth));
        let block = format!("{}x", "- ".repeat(depth));
        for text in [text, block] {
            let document = parse(&text, &Limits::default()).unwrap().remove(0);
            let copy = document.clone();
            assert_eq!(copy, document);
            assert_eq!(parse(&emit(&document), &Limits::default()).unwrap()[0], document);
            for resolver in [Resolver::KubernetesV2, Resolver::KustomizeV3] {
                let json = document.to_json(resolver).unwrap();
                assert!(canonical_json(&json).len() > depth && json_to_yaml(&json).len() > depth);
                assert_eq!(yaml::from_json(&json), document);
            }
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(walk).unwrap().join().unwrap();
}

#[test]
fn too_many_documents_are_refused() {
    assert_eq!(refused(&"---\n".repeat(1_000_000), &Limits::default()), ("documents", 100_000));
    let limits = Limits { documents: 3, ..Limits::default() };
    assert_eq!(parse("a\n---\nb\n---\nc\n", &limits).unwrap().len(), 3);
    assert_eq!(refused("a\n---\nb\n---\nc\n---\n", &limits), ("documents", 3));
}

#[test]
fn too_many_nodes_are_refused() {
    let limits = Limits { nodes: 1000, ..Limits::default() };
    assert_eq!(parse(&"- a\n".repeat(999), &limits).unwrap()[0].items().len(), 999);
    assert_eq!(refused(&"- a\n".repeat(1000), &limits), ("nodes", 1000));
    assert_eq!(refused(&format!("[{}]", "a,".repeat(5000)), &limits), ("nodes", 1000));
}

/// Nine anchors, each a list of nine of the one before: 9^9 nodes when expanded.
fn billion_laughs() -> String {
    let mut text = String::from("a0: &a0 lol\n");
    for level in 1..10 {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    text
}

#[test]
fn alias_bombs_are_refused() {
    let limits = Limits::default();
    assert_eq!(refused(&billion_laughs(), &limits), ("nodes copied by aliases", limits.alias_nodes));
    let (unexpanded, _) = parse_unexpanded(&billion_laughs(), &limits).unwrap();
    assert_eq!(unexpanded[0].entries().len(), 10);

    let big: String = (0..1000).map(|n| format!("  k{n}: v\n")).collect();
    let merges = "- <<: *b\n".repeat(1000);
    let text = format!("base: &b\n{big}list:\n{merges}");
    assert_eq!(refused(&text, &limits), ("nodes copied by aliases", limits.alias_nodes));
}

#[test]
fn long_texts_and_comments_copied_by_aliases_count() {
    let limits = Limits::default();
    let text = "x".repeat(1 << 20);
    let aliases = "- *a\n".repeat(1000);
    for anchored in [format!("- &a {text}\n"), format!("- &a x # {text}\n")] {
        let bomb = anchored + &aliases;
        assert_eq!(refused(&bomb, &limits), ("nodes copied by aliases", limits.alias_nodes));
    }
    let modest = format!("- &a {}\n{}", "x".repeat(1000), "- *a\n".repeat(1000));
    assert_eq!(parse(&modest, &limits).unwrap()[0].items().len(), 1001);
}

#[test]
fn short_tags_that_stand_for_long_ones_count() {
    let limits = Limits { nodes: 10_000, ..Limits::default() };
    let text = format!("%TAG !p! tag:{}\n---\n{}", "x".repeat(100_000), "- !p!a b\n".repeat(20));
    assert_eq!(refused(&text, &limits), ("nodes", 10_000));
    let directives: String = (0..100_000).map(|n| format!("%TAG !t{n}! tag:x\n")).collect();
    assert_eq!(parse(&format!("{directives}---\n!t7!a b\n"), &limits).unwrap()[0].tag(), "tag:xa");
}

#[test]
fn depth_counts_after_expansion() {
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..300 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert_eq!(refused(&text, &Limits::default()), ("nested collections", 200));
}

#[test]
fn anchors_inside_themselves_are_refused() {
    for text in ["&a [*a]\n", "a: &a\n  b: *a\n", "a: &a {<<: *a}\n", "&a [&b [*a, *b]]\n"] {
        let error = parse(text, &Limits::default()).unwrap_err().to_string();
        assert!(error.contains("value contains itself"), "{error}");
    }
}

#[test]
fn many_open_keys_take_no_quadratic_time() {
    // Each token would look through all open brackets if they were searched.
    let row = format!("{}{}", "[".repeat(150), "a, ".repeat(200_000));
    assert!(parse(&row, &Limits::default()).is_err());
    let keys: String = (0..200_000).map(|n| format!("k{n}: v\n")).collect();
    let document: Node = parse(&keys, &Limits::default()).unwrap().remove(0);
    assert!((0..200_000).all(|n| document.get(&format!("k{n}")).is_some()));
    assert!(document.to_json(Resolver::KustomizeV3).is_ok());
}

#[test]
fn comments_and_blank_lines_take_no_quadratic_time() {
    let text = format!("a: 1\n{}b: 2\n", "# c\n\n".repeat(200_000));
    let document = parse(&text, &Limits::default()).unwrap().remove(0);
    assert_eq!(document.entries().len(), 2);
    assert!(emit(&document).len() > 600_000);
}
