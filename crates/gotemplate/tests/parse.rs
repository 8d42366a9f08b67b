//! What Go's own parser says. `data/parse.go` recorded it with Go 1.26; its head says how.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use gotemplate::node::{Branch, List, Node, Operand, Pipe};
use gotemplate::{Limits, Tree, parse};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    source: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    trees: BTreeMap<String, String>,
    #[serde(default)]
    at: BTreeMap<String, Vec<String>>,
}

fn is_function(name: &[u8]) -> bool {
    [b"f" as &[u8], b"g", b"printf", b"len"].contains(&name)
}

/// The positions of all nodes, each before those within.
fn positions(list: &List, into: &mut Vec<usize>) {
    for node in &list.nodes {
        into.push(node.position());
        match node {
            Node::Text(..) | Node::Break(_) | Node::Continue(_) => {}
            Node::Action(pipe) => of_pipe(pipe, into),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                let Branch { pipe, list, otherwise } = &**branch;
                of_pipe(pipe, into);
                positions(list, into);
                otherwise.iter().for_each(|list| positions(list, into));
            }
            Node::Template(template) => template.pipe.iter().for_each(|pipe| of_pipe(pipe, into)),
        }
    }
}

fn of_pipe(pipe: &Pipe, into: &mut Vec<usize>) {
    into.push(pipe.position);
    into.extend(pipe.variables.iter().map(|variable| variable.position));
    for command in &pipe.commands {
        into.push(command.position);
        command.operands.iter().for_each(|operand| of_operand(operand, into));
    }
}

fn of_operand(operand: &Operand, into: &mut Vec<usize>) {
    match operand {
        Operand::Pipe(pipe) => of_pipe(pipe, into),
        Operand::Chain(position, operand, _) => {
            into.push(*position);
            of_operand(operand, into);
        }
        operand => into.push(operand.position()),
    }
}

#[test]
fn sources_are_parsed_as_go_parses_them() {
    let mut differences = Vec::new();
    let rows = include_str!("data/parse.jsonl").lines();
    for row in rows.map(|line| serde_json::from_str::<Row>(line).unwrap()) {
        let parsed = parse("dir/t.yaml", row.source.clone().into(), &Limits::default(), &is_function);
        let (error, trees) = match parsed {
            Ok(trees) => (String::new(), trees),
            Err(error) => (error.to_string(), Vec::new()),
        };
        let name = |tree: &Tree| String::from_utf8(tree.name.clone()).unwrap();
        let texts: BTreeMap<_, _> = trees.iter().map(|tree| (name(tree), tree.root.to_string())).collect();
        let at: BTreeMap<_, Vec<_>> = trees
            .iter()
            .map(|tree| {
                let mut found = Vec::new();
                positions(&tree.root, &mut found);
                (name(tree), found.into_iter().map(|position| tree.location(position)).collect())
            })
            .collect();
        if (&error, &texts, &at) != (&row.error, &row.trees, &row.at) {
            differences.push(format!(
                "{:?}\n  Go:   {:?} {:?} {:?}\n  here: {error:?} {texts:?} {at:?}",
                row.source, row.error, row.trees, row.at
            ));
        }
    }
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    // As much as `Limits::depth` says.
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(refuse_what_is_nested_too_deep);
    thread.unwrap().join().unwrap();
}

fn refuse_what_is_nested_too_deep() {
    for (open, close, message) in [
        ("(", ")", "max expression depth exceeded"),
        ("if ", "", "max nesting depth exceeded"),
        ("range ", "", "max nesting depth exceeded"),
        ("block \"NAME\" ", "", "max nesting depth exceeded"),
    ] {
        for (depth, fits) in [(250, true), (251, false), (100_000, false)] {
            let source = match close {
                "" => {
                    let opened = (0..depth)
                        .map(|level| format!("{{{{{open}.}}}}").replace("NAME", &level.to_string()));
                    opened.collect::<String>() + "x" + &"{{end}}".repeat(depth)
                }
                _ => format!("{{{{{}.{}}}}}", open.repeat(depth), close.repeat(depth)),
            };
            let parsed = parse("t", source.clone().into(), &Limits::default(), &is_function);
            match parsed {
                Ok(trees) => assert!(fits && trees.iter().all(|tree| !tree.root.to_string().is_empty())),
                Err(error) => assert!(!fits && error.to_string().ends_with(message), "{error}"),
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_source_makes_the_parser_panic(source in "([{}()|.$:=,\"'`\\\\ \n+-]|\\{\\{|\\}\\}|if|range|end|else|with|define|[a-z0-9é\u{200b}]){0,60}") {
        if let Ok(trees) = parse("t", source.clone().into(), &Limits::default(), &is_function) {
            for tree in trees {
                let _ = tree.root.to_string();
            }
        }
    }
}
