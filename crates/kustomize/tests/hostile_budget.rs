//! Trees that stay below each limit of a file and would take too much together, and builds that nobody waits for.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use kustomize::{Budget, Cancel, Error, Limits, MemoryTree, Options, ParseCache, build, flux};

/// A kustomization of `files` ConfigMaps, each with so many `lines` in a list.
fn lists(files: usize, lines: usize) -> MemoryTree {
    let mut tree = MemoryTree::default();
    let mut kustomization = String::from("resources:\n");
    for file in 0..files {
        kustomization.push_str(&format!("- f{file}.yaml\n"));
        let text = format!("kind: ConfigMap\nmetadata:\n  name: f{file}\nspec:\n{}", "- a\n".repeat(lines));
        tree.insert(&format!("f{file}.yaml"), text.into_bytes());
    }
    tree.insert("kustomization.yaml", kustomization.into_bytes());
    tree
}

fn pods(names: &[String], kustomization: &str) -> MemoryTree {
    let mut tree = MemoryTree::default();
    tree.insert("kustomization.yaml", format!("resources: [p.yaml]\n{kustomization}").into_bytes());
    let pod = |name: &String| format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: '{name}'}}\n");
    tree.insert("p.yaml", names.iter().map(pod).collect::<String>().into_bytes());
    tree
}

fn refused(tree: &MemoryTree, limits: Limits) -> Error {
    build(tree, "", &Options { limits, ..Options::default() }, None).unwrap_err()
}

#[test]
fn a_build_has_one_budget_of_nodes_over_all_files() {
    // A file has nine nodes and its list; the kustomization has eight.
    let limits = |nodes| Limits { nodes, ..Limits::default() };
    let options = |nodes| Options { limits: limits(nodes), ..Options::default() };
    assert!(build(&lists(4, 100), "", &options(500), None).is_ok());
    let error = refused(&lists(5, 100), limits(500));
    assert!(error.to_string().ends_with("more than 500 nodes in all files of a build"), "{error}");
    assert_eq!(error.budget(), Some(Budget::Nodes));
}

#[test]
fn the_attack_of_many_large_files_is_refused_by_default() {
    let error = refused(&lists(8, 150_000), Limits::default());
    assert!(error.to_string().contains("f6.yaml"), "{error}");
    assert!(error.to_string().ends_with("more than 1000000 nodes in all files of a build"), "{error}");
}

#[test]
fn the_budget_holds_for_files_of_a_directory_and_for_those_that_are_known() {
    let mut tree = MemoryTree::default();
    for file in 0..5 {
        let text = format!("kind: A\nmetadata: {{name: a{file}}}\nspec: [{}]\n", "a, ".repeat(100));
        tree.insert(&format!("{file}.yaml"), text.into_bytes());
    }
    let mut options = Options { parsed: Some(ParseCache::new(1 << 20)), ..Options::default() };
    assert!(flux::build(&tree, "", &flux::Overlay::default(), &options, None, None).is_ok());
    options.limits.nodes = 400;
    let error = flux::build(&tree, "", &flux::Overlay::default(), &options, None, None).unwrap_err();
    assert_eq!(error.budget(), Some(Budget::Nodes), "{error}");
}

#[test]
fn what_transformers_add_to_many_resources_counts() {
    let names: Vec<String> = (0..100).map(|name| format!("p{name}")).collect();
    let long = "x".repeat(1000);
    for kustomization in [
        format!("namePrefix: {long}\n"),
        format!("namespace: {long}\n"),
        format!("labels: [{{pairs: {{a: {long}}}}}]\n"),
        format!("commonAnnotations: {{a: {long}}}\n"),
    ] {
        let limits = Limits { total_bytes: 60_000, ..Limits::default() };
        let error = refused(&pods(&names, &kustomization), limits);
        assert_eq!(error.budget(), Some(Budget::Bytes), "{kustomization}: {error}");
    }
    let labels: String = (0..50).map(|label| format!("l{label}: a, ")).collect();
    let limits = Limits { nodes: 5000, ..Limits::default() };
    let error = refused(&pods(&names, &format!("labels: [{{pairs: {{{labels}}}}}]\n")), limits);
    assert_eq!(error.budget(), Some(Budget::Nodes), "{error}");
}

#[test]
fn vars_multiply_no_text_beyond_the_budget() {
    let kustomization = "vars: [{name: V, objref: {apiVersion: v1, kind: Pod, name: p}, fieldref: {fieldPath: spec.hostname}}]\n";
    let mut tree = pods(&[], kustomization);
    let (value, uses) = ("x".repeat(1000), "$(V)".repeat(200));
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{hostname: {value}, containers: [{{name: c, args: ['{uses}']}}]}}\n"
    );
    tree.insert("p.yaml", pod.into_bytes());
    let error = refused(&tree, Limits { total_bytes: 100_000, ..Limits::default() });
    assert_eq!(error.budget(), Some(Budget::Bytes), "{error}");
}

#[test]
fn selectors_cost_what_their_automata_may_take() {
    let patch = |pattern: &str| {
        format!(
            "patches:\n- target: {{name: '{pattern}'}}\n  patch: '{{kind: Pod, metadata: {{name: x}}}}'\n"
        )
    };
    let name = |length| vec!["b".repeat(length)];
    let error = refused(&pods(&name(100_000), &patch(".*a[ab]{900}[^ab].*")), Limits::default());
    assert!(error.to_string().ends_with("more than 65536 bytes of text for a regular expression"), "{error}");
    let limits = || Limits { regex_work: 100_000, ..Limits::default() };
    let cheap = Options { limits: limits(), ..Options::default() };
    assert!(build(&pods(&name(60_000), &patch("b+")), "", &cheap, None).is_ok());
    let error = refused(&pods(&name(60_000), &patch(".*a[ab]{900}[^ab].*")), limits());
    assert!(error.to_string().ends_with("more than 100000 steps of matching regular expressions"), "{error}");
}

#[test]
fn image_names_that_begin_otherwise_cost_nothing() {
    let containers: String =
        (0..200).map(|n| format!("- {{name: c{n}, image: 'registry/other-{n}:1'}}\n")).collect();
    let images: String =
        (0..200).map(|n| format!("- {{name: example.com/app-{n}, newTag: '2'}}\n")).collect();
    let mut tree = pods(&[], &format!("images:\n{images}"));
    let pod = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n{containers}");
    tree.insert("p.yaml", pod.replace("\n- {", "\n  - {").into_bytes());
    let limits = Limits { regex_work: 1, ..Limits::default() };
    build(&tree, "", &Options { limits, ..Options::default() }, None).unwrap();
}

#[test]
fn a_cancelled_build_ends_at_its_next_step() {
    let cancel = Cancel::default();
    let options = Options { cancel: cancel.clone(), ..Options::default() };
    let tree = lists(1, 10);
    assert!(build(&tree, "", &options, None).is_ok());
    cancel.cancel();
    let error = build(&tree, "", &options, None).unwrap_err().to_string();
    assert!(error.ends_with("the build was cancelled"), "{error}");
    let error =
        flux::build(&tree, "", &flux::Overlay::default(), &options, None, None).unwrap_err().to_string();
    assert!(error.ends_with("the build was cancelled"), "{error}");
}
