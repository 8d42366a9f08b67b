//! Values files, and what a chart lacks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use helm_chart::{
    Chart, Limits, load_archive, load_directory, local_path, merge_from_chart, merge_from_tree, missing,
    read_values,
};
use support::{CHART_YAML, archive, chain, tree};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn chart(files: &[(&str, &str)]) -> Chart {
    load_directory(&tree(files), "", &Limits::default()).unwrap()
}

#[test]
fn maps_are_merged_and_all_else_is_replaced() {
    let files = tree(&[
        ("a.yaml", "b: 1\na: {x: 1, w: [1, 2], z: {q: 1}}\n"),
        ("b.yaml", "a: {w: [3], z: null, new: true}\nc: \"1\"\n"),
        ("empty.yaml", ""),
    ]);
    let merged =
        merge_from_tree(&files, &names(&["a.yaml", "empty.yaml", "./b.yaml"]), false, &Limits::default())
            .unwrap();
    assert_eq!(merged.files, ["a.yaml", "empty.yaml", "./b.yaml"]);
    let mut chart = chart(&[("Chart.yaml", CHART_YAML), ("values.yaml", "# comment\nold: 1\n")]);
    assert!(chart.set_default_values(merged.values.clone()).unwrap());
    let text = "a:\n  new: true\n  w:\n  - 3\n  x: 1\n  z: null\nb: 1\nc: \"1\"\n";
    assert_eq!(chart.values_file.clone().unwrap().data, text);
    assert!(!chart.set_default_values(merged.values).unwrap(), "they are the same now");
}

#[test]
fn a_missing_values_file_is_named_or_passed_over() {
    let files = tree(&[("a.yaml", "a: 1"), ("d/x", "")]);
    let limits = Limits { values_files: 3, file_bytes: 3, ..Limits::default() };
    let all = names(&["no.yaml", "a.yaml"]);
    assert_eq!(merge_from_tree(&files, &all, true, &Limits::default()).unwrap().files, ["a.yaml"]);
    for (paths, ignore, limits, expected) in [
        (
            &all[..],
            false,
            &Limits::default(),
            "no values file found at path '/no.yaml' (reference 'no.yaml')",
        ),
        (&names(&["d"]), true, &Limits::default(), "no values file found at path '/d' (reference 'd')"),
        (&names(&["a.yaml"; 4]), false, &limits, "more than 3 values files"),
        (
            &names(&["a.yaml"]),
            false,
            &limits,
            "could not read values from file 'a.yaml': file size (4) exceeds limit (3)",
        ),
    ] {
        let error = merge_from_tree(&files, paths, ignore, limits).unwrap_err();
        assert_eq!(chain(&error), expected);
    }
    let list = tree(&[("l.yaml", "[1]")]);
    let error = merge_from_tree(&list, &names(&["l.yaml"]), false, &Limits::default()).unwrap_err();
    let expected = "unmarshaling values from 'l.yaml' failed: error unmarshaling JSON: while decoding JSON: \
                    json: cannot unmarshal array into Go value of type map[string]interface {}";
    assert_eq!(chain(&error), expected);
}

#[test]
fn values_files_of_a_chart_are_its_own() {
    let packed = archive(&[
        ("app/Chart.yaml", CHART_YAML.as_bytes()),
        ("app/values.yaml", b"a: 1\n---\nb: 2\n"),
        ("app/ci/prod.yaml", b"b: 3\n"),
        ("app/templates/x.yaml", b"c: 4\n"),
    ]);
    let chart = load_archive(packed.as_slice(), &Limits::default()).unwrap();
    let merged =
        merge_from_chart(&chart, &names(&["values.yaml", "ci//prod.yaml"]), false, &Limits::default())
            .unwrap();
    assert_eq!(serde_json::to_string(&merged.values).unwrap(), r#"{"a":1,"b":3}"#);
    for path in ["templates/x.yaml", "../app/ci/prod.yaml", "/ci/prod.yaml", "no.yaml"] {
        let error = merge_from_chart(&chart, &names(&[path]), false, &Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("no values file found at path '{path}'"));
        assert!(
            merge_from_chart(&chart, &names(&[path]), true, &Limits::default()).unwrap().files.is_empty()
        );
    }
}

#[test]
fn a_chart_without_default_values_takes_no_others() {
    let error = chart(&[("Chart.yaml", CHART_YAML)]).set_default_values(serde_json::Map::new()).unwrap_err();
    assert_eq!(error.to_string(), "failed to locate values file: values.yaml");
}

const THREE: &str = "dependencies:\n- {name: db, version: 1.x, repository: \"https://example.com\"}\n\
                     - {name: db, version: 2.x, repository: \"file://../db\", alias: other}\n\
                     - {name: local, version: \">0\", repository: \"\"}\n";

fn shown(chart: &Chart) -> Vec<String> {
    let shown = |r: &helm_chart::Requirement| {
        format!("{} {} {}", r.dependency.local_name(), r.dependency.version, r.is_local)
    };
    missing(chart).iter().map(shown).collect()
}

#[test]
fn what_is_missing_is_found_by_name_and_count() {
    let yaml = format!("{CHART_YAML}{THREE}");
    let with = |more: &[(&str, &str)]| chart(&[&[("Chart.yaml", yaml.as_str())], more].concat());
    assert_eq!(shown(&with(&[])), ["db 1.x false", "other 2.x true", "local >0 true"]);
    let db = ("charts/db/Chart.yaml", "apiVersion: v2\nname: db\nversion: 9.9.9\n");
    assert_eq!(shown(&with(&[db])), ["other 2.x true", "local >0 true"]);
    let foreign = ("charts/x/Chart.yaml", "apiVersion: v2\nname: x\nversion: 1.0.0\n");
    let another = ("charts/y/Chart.yaml", "apiVersion: v2\nname: y\nversion: 1.0.0\n");
    assert_eq!(shown(&with(&[db, foreign, another])), [""; 0], "there are as many as are wanted");
    let lock = "generated: \"2024-01-02T03:04:05Z\"\ndigest: d\n\
                dependencies: [{name: db, version: 1.4.2, repository: \"https://example.com\"}]\n";
    assert_eq!(shown(&with(&[("Chart.lock", lock)])), ["db 1.4.2 false"], "the lock file has the last word");
}

#[test]
fn local_dependencies_are_in_the_tree() {
    let yaml = format!("{CHART_YAML}{THREE}");
    let chart = chart(&[("Chart.yaml", &yaml)]);
    let path = |name: &str, repository: &str| {
        let mut dependency = missing(&chart).remove(0).dependency;
        (dependency.name, dependency.repository) = (name.to_owned(), repository.to_owned());
        local_path("charts/app", &dependency)
    };
    assert_eq!(path("db", ""), "charts/app/charts/db");
    assert_eq!(path("../../../x", ""), "x");
    assert_eq!(path("db", "file://../db"), "charts/db");
    assert_eq!(path("db", "file:///sub/db"), "charts/app/sub/db");
    assert_eq!(path("db", "file://../../../../etc"), "etc");
}

/// What Helm 4.3.1 makes of the files, byte for byte.
#[test]
fn documents_of_values_are_cut_at_lines_that_begin_with_three_dashes() {
    let read = |text: &str| match read_values(text.as_bytes(), &Limits::default().yaml) {
        Ok(values) => serde_json::to_string(&values).unwrap(),
        Err(error) => chain(&error),
    };
    for (text, expected) in [
        ("a: 1\n---# c\nb: 2", r#"{"a":1,"b":2}"#),
        ("---\n---\na: 1\n---\n", r#"{"a":1}"#),
        ("a: |\n  b\n  c", r#"{"a":"b\nc\n"}"#),
        ("a: 1\n--- \na: {b: 2}\n---\na: {c: 3}", r#"{"a":{"b":2,"c":3}}"#),
        ("a: 1\n...\nb: 2", r#"{"a":1}"#),
        (" a: 1\nb: 2", r#"{"a":1}"#),
        ("a: 1\n--- {}\n", "error reading yaml document: invalid Yaml document separator: {}"),
        ("a: 1\n---b: 2\n", "error reading yaml document: invalid Yaml document separator: b: 2"),
        (
            "a: 1\n---\nb: 2\nc: d: e\n",
            "cannot unmarshal yaml document: error converting YAML to JSON: yaml: line 2: mapping values are not allowed \
             in this context",
        ),
    ] {
        assert_eq!(read(text), expected, "{text:?}");
    }
    let limits = yaml::Limits { documents: 1, ..Limits::default().yaml };
    assert!(
        chain(&read_values(b"---\n---\n---\na: 1", &limits).unwrap_err()).contains("more than 1 documents")
    );
}

/// `sigs.k8s.io/yaml` writes them with 32 bits.
#[test]
fn a_float_in_the_place_of_a_text_has_few_digits() {
    for (written, expected) in [
        ("20240101.1", "2.0240102e+07"),
        ("12345e7", "1.2345e+11"),
        ("3.14159265", "3.1415927"),
        ("1.10", "1.1"),
    ] {
        let metadata = format!("{CHART_YAML}appVersion: {written}\n");
        assert_eq!(chart(&[("Chart.yaml", &metadata)]).metadata.app_version, expected);
    }
}
