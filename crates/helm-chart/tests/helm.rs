//! Beside the real Helm: what it packages is read here, what is packaged here it reads, and both refuse the same charts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use helm_chart::{Limits, MemoryTree, load_archive, load_directory, save};
use support::{CHART_YAML, chain, gunzip, members};
use tempfile::TempDir;

fn helm(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(toolchain::helm().unwrap());
    command.args(arguments).env("HOME", home.path()).env("HELM_NO_PLUGINS", "1").output().unwrap()
}

fn succeeds(arguments: &[&str]) -> String {
    let output = helm(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// What Helm makes for people who begin, a subchart in it, a lock file, and files that are left out.
fn chart(root: &Path) {
    succeeds(&["create", root.join("app").to_str().unwrap()]);
    succeeds(&["create", root.join("app/charts/db").to_str().unwrap()]);
    let old = fs::read_to_string(root.join("app/Chart.yaml")).unwrap();
    let dependencies = "unknown: lost\nannotations: {b: \"1\", a: x}\nmaintainers: [{name: Ann, email: a@b.c}]\n\
                        keywords: [one, two]\ndependencies:\n- name: db\n  version: 0.1.x\n  repository: \"\"\n\
                        \x20 alias: \"\"\n  condition: db.enabled\n  tags: [data]\n  import-values: [x, {child: a, parent: b}]\n";
    write(root, "app/Chart.yaml", &format!("{old}{dependencies}"));
    write(
        root,
        "app/Chart.lock",
        "generated: \"2024-01-02T03:04:05.123456789+02:00\"\ndigest: sha256:0\ndependencies:\n- name: db\n  repository: \"\"\n  version: 0.1.0\n",
    );
    write(root, "app/values.schema.json", "{\"type\": \"object\"}");
    write(root, "app/crds/crd.yaml", "kind: CustomResourceDefinition\n");
    write(root, "app/ignored/deep/x", "no");
    write(root, "app/kept/ignored.txt/x", "yes");
    write(root, "app/a.bak", "no");
    write(root, "app/templates/.hidden", "no");
    write(root, "app/README.md", "\u{feff}with a mark");
    let ignore = fs::read_to_string(root.join("app/.helmignore")).unwrap();
    write(root, "app/.helmignore", &format!("{ignore}\nignored/\n*.bak\n"));
}

fn tree(root: &Path, below: &str, tree: &mut MemoryTree) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{below}/{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => self::tree(root, &path, tree),
            false => tree.insert(&path, fs::read(entry.path()).unwrap()),
        }
    }
}

fn packaged(root: &TempDir) -> Vec<u8> {
    let (source, target) = (root.path().join("app"), root.path().join("out"));
    succeeds(&["package", source.to_str().unwrap(), "-d", target.to_str().unwrap()]);
    fs::read(target.join("app-0.1.0.tgz")).unwrap()
}

#[test]
fn an_archive_of_helm_is_written_again_byte_for_byte() {
    let root = tempfile::tempdir().unwrap();
    chart(root.path());
    let original = packaged(&root);
    let loaded = load_archive(original.as_slice(), &Limits::default()).unwrap();
    let ours = save(&loaded, Vec::new()).unwrap();
    assert!(gunzip(&ours) == gunzip(&original), "{:#?}\n{:#?}", members(&ours), members(&original));
    // The flags, the time, the system; the length of the extra field.
    assert_eq!(ours[..10], original[..10]);
}

#[test]
fn a_directory_gives_what_helm_packages() {
    let root = tempfile::tempdir().unwrap();
    chart(root.path());
    let mut files = MemoryTree::default();
    tree(root.path(), "app", &mut files);
    let loaded = load_directory(&files, "app", &Limits::default()).unwrap();
    let ours = save(&loaded, Vec::new()).unwrap();
    assert_eq!(members(&ours), members(&packaged(&root)));
    assert_eq!(ours, save(&loaded, Vec::new()).unwrap(), "the same chart gives the same bytes");
}

#[test]
fn helm_reads_what_we_package() {
    let root = tempfile::tempdir().unwrap();
    chart(root.path());
    let mut files = MemoryTree::default();
    tree(root.path(), "app", &mut files);
    let mut loaded = load_directory(&files, "app", &Limits::default()).unwrap();
    loaded.metadata.version = "0.1.0+abc.1".to_owned();
    let values = serde_json::json!({"replicaCount": 7, "image": {"repository": "r", "tag": "t", "pullPolicy": "Always"},
        "serviceAccount": {"create": false}, "service": {"type": "ClusterIP", "port": 80}, "autoscaling": {"enabled": false},
        "ingress": {"enabled": false}, "httpRoute": {"enabled": false}});
    loaded.set_default_values(values.as_object().unwrap().clone()).unwrap();
    let file = root.path().join("ours.tgz");
    fs::write(&file, save(&loaded, Vec::new()).unwrap()).unwrap();
    let file = file.to_str().unwrap();
    assert!(succeeds(&["show", "chart", file]).contains("\nversion: 0.1.0+abc.1\n"));
    assert!(succeeds(&["template", "release", file]).contains("replicas: 7"));
}

#[test]
fn helm_refuses_the_same_charts_with_the_same_words() {
    let long = CHART_YAML;
    for (files, expected) in [
        (
            vec![("Chart.yaml", "apiVersion: v2\nversion: 1.0.0\n")],
            "validation: chart.metadata.name is required",
        ),
        (
            vec![("Chart.yaml", "apiVersion: v2\nname: app\n")],
            "validation: chart.metadata.version is required",
        ),
        (
            vec![("Chart.yaml", "apiVersion: v2\nname: app\nversion: one\n")],
            "validation: chart.metadata.version \"one\" is invalid",
        ),
        (
            vec![("Chart.yaml", "apiVersion: v2\nname: a/b\nversion: 1.0.0\n")],
            "validation: chart.metadata.name \"a/b\" is invalid",
        ),
        (
            vec![("Chart.yaml", "apiVersion: v2\nname: ..\nversion: 1.0.0\n")],
            "validation: chart.metadata.name \"..\" is not allowed",
        ),
        (
            vec![("Chart.yaml", &format!("{long}type: tool\n"))],
            "validation: chart.metadata.type must be application or library",
        ),
        (
            vec![("Chart.yaml", &format!("{long}maintainers: [null]\n"))],
            "validation: maintainers must not contain empty or null nodes",
        ),
        (
            vec![("Chart.yaml", &format!("{long}dependencies: [null]\n"))],
            "validation: dependencies must not contain empty or null nodes",
        ),
        (
            vec![("Chart.yaml", &format!("{long}dependencies: [{{name: a, alias: a.b}}]\n"))],
            "validation: dependency \"a\" has disallowed characters in the alias",
        ),
        (
            vec![("Chart.yaml", &format!("{long}dependencies: [{{name: a}}, {{name: b, alias: a}}]\n"))],
            "validation: more than one dependency with name or alias \"a\"",
        ),
        (
            vec![("Chart.yaml", "apiVersion: v2\nname: {a: b}\nversion: 1.0.0\n")],
            "cannot load Chart.yaml: error unmarshaling JSON: while decoding JSON: \
             json: cannot unmarshal object into Go struct field Metadata.name of type string",
        ),
        (
            vec![("Chart.yaml", "- a\n")],
            "cannot load Chart.yaml: error unmarshaling JSON: while decoding JSON: \
             json: cannot unmarshal array into Go value of type ",
        ),
        (
            vec![("Chart.yaml", "a: [\n")],
            "cannot load Chart.yaml: error converting YAML to JSON: yaml: line ",
        ),
        (
            vec![("Chart.yaml", long), ("charts/sub/x", "")],
            "error unpacking subchart sub in app: Chart.yaml file is missing",
        ),
        (
            vec![("Chart.yaml", long), ("charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\n")],
            "error unpacking subchart sub in app: validation: chart.metadata.version is required",
        ),
        (vec![("Chart.yaml", long), (".helmignore", "a/**\n")], "double-star (**) syntax is not supported"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let mut tree = MemoryTree::default();
        for (path, content) in &files {
            write(root.path(), path, content);
            tree.insert(path, *content);
        }
        let theirs = helm(&["template", root.path().to_str().unwrap()]);
        let theirs = String::from_utf8(theirs.stderr).unwrap();
        let ours = chain(&load_directory(&tree, "", &Limits::default()).unwrap_err());
        assert!(ours.contains(expected), "ours: {ours}, expected: {expected}");
        assert!(theirs.contains(expected), "theirs: {theirs}, expected: {expected}");
    }
}

#[test]
fn numbers_and_booleans_in_place_of_texts_are_read_as_by_helm() {
    let text = "apiVersion: v1\nName: app\nversion: 1.20\nappVersion: 1.10\ndescription: yes\n\
                annotations: {a: 1.50, b: true, c: 012}\nkubeVersion: null\nicon: 1234567.5\n";
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "app/Chart.yaml", text);
    let source = root.path().join("app");
    succeeds(&["package", source.to_str().unwrap(), "-d", root.path().to_str().unwrap()]);
    let theirs = fs::read(root.path().join("app-1.2.tgz")).unwrap();
    let tree = support::tree(&[("app/Chart.yaml", text)]);
    let ours = save(&load_directory(&tree, "app", &Limits::default()).unwrap(), Vec::new()).unwrap();
    assert_eq!(members(&ours), members(&theirs));
}

#[test]
fn requirements_of_the_first_version_stay_where_they_are() {
    let root = tempfile::tempdir().unwrap();
    let (chart, requirements) = (
        "apiVersion: v1\nname: app\nversion: 1.0.0\n",
        "dependencies: [{name: db, version: 1.0.0, repository: r}]\n",
    );
    let lock = "generated: \"2024-01-02T03:04:05Z\"\ndigest: d\ndependencies: []\n";
    let db = "apiVersion: v2\nname: db\nversion: 1.0.0\n";
    let files = [
        ("app/Chart.yaml", chart),
        ("app/requirements.yaml", requirements),
        ("app/requirements.lock", lock),
        ("app/charts/db/Chart.yaml", db),
    ];
    files.iter().for_each(|(path, content)| write(root.path(), path, content));
    let source = root.path().join("app");
    succeeds(&["package", source.to_str().unwrap(), "-d", root.path().to_str().unwrap()]);
    let theirs = fs::read(root.path().join("app-1.0.0.tgz")).unwrap();
    let loaded = load_directory(&support::tree(&files), "app", &Limits::default()).unwrap();
    assert_eq!(loaded.metadata.dependencies.len(), 1);
    assert_eq!(members(&save(&loaded, Vec::new()).unwrap()), members(&theirs));
}
