//! Flux's layer: what a controller relies on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use kustomize::flux::{self, ImageOverride, Overlay, PatchOverride, SelectorOverride};
use kustomize::{MemoryTree, Options, to_yaml};

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  template:\n    spec:\n      containers: [{name: c, image: app:1}]\n";

fn tree(files: &[(&str, &str)]) -> MemoryTree {
    let mut tree = MemoryTree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes().to_vec());
    }
    tree
}

fn build(files: &[(&str, &str)], path: &str, overlay: &Overlay) -> Result<String, String> {
    let built = flux::build(&tree(files), path, overlay, &Options::default(), None, None);
    built.map(|resources| to_yaml(&resources).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn a_plain_directory_builds_with_all_its_yaml_and_its_kustomizations() {
    let files = [
        ("app/a.yaml", "kind: A\nmetadata: {name: a}\n"),
        ("app/deep/er/b.yml", "kind: B\nmetadata: {name: b}\n"),
        ("app/own/kustomization.yaml", "resources: [c.yaml]\nnamePrefix: own-\n"),
        ("app/own/c.yaml", "kind: C\nmetadata: {name: c}\n"),
        ("app/own/left-out.yaml", "kind: C\nmetadata: {name: left-out}\n"),
        ("app/README.md", "text"),
        ("app/data.json", "{}"),
        ("other/x.yaml", "kind: X\nmetadata: {name: x}\n"),
    ];
    let built = build(&files, "./app/", &Overlay::default()).unwrap();
    let names: Vec<&str> = built.lines().filter_map(|line| line.strip_prefix("  name: ")).collect();
    assert_eq!(names, ["a", "b", "own-c"]);
}

#[test]
fn an_empty_directory_builds_nothing() {
    let mut tree = MemoryTree::default();
    tree.insert_directory("empty");
    let built = flux::build(&tree, "empty", &Overlay::default(), &Options::default(), None, None).unwrap();
    assert!(built.is_empty());
}

#[test]
fn the_fields_of_a_kustomization_are_laid_over_the_root_file() {
    let overlay = Overlay {
        target_namespace: Some("team".into()),
        name_prefix: Some("p-".into()),
        name_suffix: Some("-s".into()),
        images: vec![ImageOverride { name: "app".into(), new_tag: "2".into(), ..ImageOverride::default() }],
        patches: vec![PatchOverride {
            patch: "- {op: add, path: /spec/replicas, value: 3}".into(),
            target: Some(SelectorOverride { kind: "Deployment".into(), ..SelectorOverride::default() }),
        }],
        ..Overlay::default()
    };
    let root =
        "resources: [d.yaml]\nnamespace: own\nimages: [{name: app, newTag: '0'}]\nunknownField: dropped\n";
    let built = build(&[("kustomization.yaml", root), ("d.yaml", DEPLOYMENT)], "", &overlay).unwrap();
    let expected = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: p-d-s\n  namespace: team\nspec:\n  replicas: 3\n  template:\n    spec:\n      containers:\n      - image: app:2\n        name: c\n";
    assert_eq!(built, expected);
}

#[test]
fn errors_are_worded_as_in_flux() {
    let none = Overlay::default();
    let stray = build(&[("ci.yaml", "steps: [a]\n")], "", &none).unwrap_err();
    assert!(stray.starts_with("failed to decode Kubernetes YAML from /ci.yaml: "), "{stray}");
    let failed = build(&[("kustomization.yaml", "resources: [gone.yaml]")], "", &none).unwrap_err();
    assert!(failed.starts_with("kustomize build failed: accumulating resources: "), "{failed}");
    assert!(failed.contains("gone.yaml"), "{failed}");
    let missing = build(&[("a/b.yaml", "kind: B\nmetadata: {name: b}\n")], "c", &none).unwrap_err();
    assert_eq!(missing, "kustomization path not found: /c");
    let outside = build(&[("a/kustomization.yaml", "resources: [../../x.yaml]")], "a", &none).unwrap_err();
    assert!(
        outside.contains("fs-security-constraint") && outside.contains("is not in or below"),
        "{outside}"
    );
    let remote =
        build(&[("kustomization.yaml", "resources: ['https://host/x.yaml']")], "", &none).unwrap_err();
    assert!(remote.contains("remote resource 'https://host/x.yaml' is not allowed"), "{remote}");
}

#[test]
fn components_must_be_local_and_may_be_missing_only_by_leave() {
    let files = [("kustomization.yaml", "resources: [d.yaml]"), ("d.yaml", DEPLOYMENT)];
    for component in ["https://host/x", "GIT@host:x", "github.com/a/b", "/abs", "file:///abs"] {
        let overlay = Overlay { components: vec![component.into()], ..Overlay::default() };
        let refused = build(&files, "", &overlay).unwrap_err();
        assert_eq!(refused, format!("component path '{component}' must be local and relative"));
    }
    let missing = |ignore_missing_components| {
        let components = vec!["gone".into()];
        build(&files, "", &Overlay { components, ignore_missing_components, ..Overlay::default() })
    };
    assert!(missing(true).is_ok());
    assert!(missing(false).unwrap_err().starts_with("kustomize build failed: accumulating components: "));
}

#[test]
fn files_may_come_from_anywhere_in_the_tree() {
    let files = [("a/kustomization.yaml", "resources: [../shared/d.yaml]"), ("shared/d.yaml", DEPLOYMENT)];
    assert!(build(&files, "a", &Overlay::default()).unwrap().contains("name: d"));
}

#[test]
fn a_resource_knows_the_file_it_came_from() {
    let files = tree(&[
        ("a/kustomization.yaml", "resources: [d.yaml]\nconfigMapGenerator: [{name: g, literals: [k=v]}]"),
        ("a/d.yaml", DEPLOYMENT),
    ]);
    let built = flux::build(&files, "a", &Overlay::default(), &Options::default(), None, None).unwrap();
    let origins: Vec<_> =
        built.iter().map(|resource| (resource.kind(), resource.origin_file().unwrap())).collect();
    assert_eq!(origins, [("Deployment", "a/d.yaml"), ("ConfigMap", "a/kustomization.yaml")]);
}

#[test]
fn resources_are_in_the_order_of_the_files_unless_one_of_them_says_otherwise() {
    // As with Flux 2.9 and 2.10, which leave the order unset where the command has a default.
    let kinds = |more: &str| {
        let root = format!("resources: [b.yaml, a.yaml]\n{more}");
        let object = |kind: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: x}}\n");
        let files = [
            ("kustomization.yaml", root.as_str()),
            ("a.yaml", &object("Namespace")),
            ("b.yaml", &object("ConfigMap")),
        ];
        let built =
            flux::build(&tree(&files), "", &Overlay::default(), &Options::default(), None, None).unwrap();
        built.iter().map(|resource| resource.kind().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(""), ["ConfigMap", "Namespace"]);
    assert_eq!(kinds("sortOptions: {order: legacy}"), ["Namespace", "ConfigMap"]);
}

#[test]
fn a_file_at_the_top_is_named_with_one_slash() {
    for (path, file) in [("", "/kustomization.yaml"), ("a", "/a/kustomization.yaml")] {
        let files = [(file.trim_start_matches('/'), "kind: Bogus")];
        let failed = build(&files, path, &Overlay::default()).unwrap_err();
        assert!(failed.contains(file) && !failed.contains("//"), "{failed}");
    }
}
